/* SPDX-License-Identifier: MIT
 *
 * The host's KVM: /dev/kvm and what it can do. Asked once for each machine, never assumed.
 */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include "base/error.h"
#include "base/types.h"

/* What a machine needs to know of its host. */
struct host {
    int kvm_fd;
    size_t run_bytes;     /* of the page that KVM shares for each vCPU */
    uint64_t sync_fields; /* of KVM_CAP_SYNC_REGS */
    unsigned max_cpus;
    bool irqchip, split_irqchip, pit2, signal_msi;
    bool ioeventfd, ioeventfd_any_size;
};

/* Opens /dev/kvm and asks what a machine needs. The message of a failure says what to do. */
int host_open(struct host *host, struct vmm_error *error);
void host_close(struct host *host);

/* KVM_CREATE_VM; *vm_fd is the caller's to close, or negative. */
int host_create_vm(const struct host *host, int *vm_fd, struct vmm_error *error);

/* Whether KVM runs on VT-x, which needs three pages of guest-physical address space in real mode. */
bool host_is_intel(void);

/* Whether KVM leaves the guest's page tables to the processor (EPT, NPT) instead of keeping shadows of them.
 */
bool host_has_nested_paging(void);

/* Whether KVM interprets all but ring 3 in long mode, since it runs without hardware virtualization. */
bool host_interprets_ring0(void);
/* Whether KVM can execute one instruction, with no interrupt before it (KVM_GUESTDBG_BLOCKIRQ, Linux 5.15).
 */
bool host_can_step(const struct host *host);

#endif
