/* SPDX-License-Identifier: MIT
 *
 * KVM's memory slots: what KVM does about a touch of each guest-physical page.
 *
 *   RAM      mapped; no exit
 *   ROM      mapped read-only; a write is KVM_EXIT_MMIO
 *   direct   memory of a device without side effects, mapped; KVM notes which pages were written
 *   trapped  a slot without access: every touch is a violation, KVM_RUN fails with EFAULT
 *   open     no slot: KVM decodes the instruction itself and gives KVM_EXIT_MMIO; writes to a coalesced zone
 *            are collected in a ring instead
 *
 * Changing a slot takes milliseconds on some hosts. Threads: while every vCPU is out.
 */
#ifndef EPT_SLOTS_H
#define EPT_SLOTS_H

#include "base/error.h"
#include "base/types.h"
#include "ept/memory.h"

struct slots;

/* For the VM `vm_fd`, a borrow. */
int slots_create(int vm_fd, struct slots **slots, struct vmm_error *error);
void slots_destroy(struct slots *slots);

/* The ranges of guest memory, which is borrowed: RAM and ROM. */
int slots_add_memory(struct slots *slots, const struct guest_memory *memory, struct vmm_error *error);

/* Pages without access. `gpa` and `len` are multiples of PAGE_BYTES. */
int slots_add_trapped(struct slots *slots, gpa_t gpa, uint64_t len, struct vmm_error *error);

/* Pages of the device's own memory, borrowed; read-only ones are a ROM, whose writes are exits. Returns the
 * number of the slot, for slots_take_dirty. */
int slots_add_direct(struct slots *slots, gpa_t gpa, void *hva, uint64_t len, bool read_only,
                     struct vmm_error *error);

/* Which pages of a direct slot the guest has written since the last call: a bit for each, set in `bitmap`,
 * which has room for a bit for each page, rounded up to 64. */
int slots_take_dirty(struct slots *slots, int slot, uint64_t *bitmap, struct vmm_error *error);

/* Writes to [base, base + len), ports or guest-physical addresses, are collected. -ENOTSUP where KVM cannot.
 */
int slots_add_coalesced(struct slots *slots, bool is_port, uint64_t base, uint32_t len,
                        struct vmm_error *error);

#endif
