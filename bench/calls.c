/* SPDX-License-Identifier: MIT
 *
 * Calls without a guest. See calls.h.
 */
#include "bench/calls.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ept/slots.h"
#include "vcpu/state.h"
#include "vmm/machine.h"

#define RAM_BYTES   (128 * MIB)
#define TRAPPED_GPA 0xd0000000u

struct calls {
    struct host host;
    int vm_fd;
    struct vcpu_machine machine;
    struct vcpu *vcpu;
    struct cpu_state cpu;
    struct kvm_sregs loaded; /* the segments that `cpu` has */
};

static const char *const names[CALL_COUNT] = {
    [CALL_REENTRY] = "re-entry with immediate_exit",
    [CALL_REGS_IOCTL] = "registers by system call",
    [CALL_REGS_SHARED] = "all registers by shared page, and entry",
    [CALL_VM] = "VM with 128 MiB: create, destroy",
    [CALL_VCPU] = "VM with a vCPU",
    [CALL_IRQCHIP] = "VM with interrupt controllers",
    [CALL_SLOT] = "VM with a trapped slot",
};

const char *call_name(enum call_operation operation)
{
    return names[operation];
}

int calls_create(struct calls **out)
{
    struct calls *calls = calloc(1, sizeof(*calls));
    if (!calls)
        return -ENOMEM;
    calls->vm_fd = -1;
    calls->loaded.efer = SREGS_UNKNOWN;
    int result = host_open(&calls->host, NULL);
    if (!result) {
        calls->vm_fd = ioctl(calls->host.kvm_fd, KVM_CREATE_VM, 0);
        result = calls->vm_fd < 0 ? -errno : 0;
    }
    calls->machine = (struct vcpu_machine){
        .vm_fd = calls->vm_fd, .run_bytes = calls->host.run_bytes, .sync_fields = calls->host.sync_fields};
    if (!result)
        result = vcpu_create(&calls->machine, 0, &calls->vcpu, NULL);
    if (result) {
        calls_destroy(calls);
        return result;
    }
    *out = calls;
    return 0;
}

void calls_destroy(struct calls *calls)
{
    if (!calls)
        return;
    vcpu_destroy(calls->vcpu);
    if (calls->vm_fd >= 0)
        close(calls->vm_fd);
    host_close(&calls->host);
    free(calls);
}

/* ---- Ours ---- */

static bool ours_vm(enum vmm_irqchip irqchip)
{
    struct vmm_config config = {.ram_bytes = RAM_BYTES, .irqchip = irqchip};
    struct vmm *machine;
    if (vmm_create(&config, &machine, NULL))
        return false;
    bool done = irqchip == VMM_IRQCHIP_NONE || machine_create_irqchip(machine, NULL) == 0;
    vmm_destroy(machine);
    return done;
}

static bool ours_vcpu(struct calls *calls)
{
    struct vcpu_machine machine = calls->machine;
    struct vcpu *vcpu;
    machine.vm_fd = ioctl(calls->host.kvm_fd, KVM_CREATE_VM, 0);
    bool done = machine.vm_fd >= 0 && vcpu_create(&machine, 0, &vcpu, NULL) == 0;
    if (done)
        vcpu_destroy(vcpu);
    close(machine.vm_fd);
    return done;
}

static bool ours_slot(struct calls *calls)
{
    struct slots *slots = NULL;
    int vm_fd = ioctl(calls->host.kvm_fd, KVM_CREATE_VM, 0);
    bool done = vm_fd >= 0 && slots_create(vm_fd, &slots, NULL) == 0 &&
                slots_add_trapped(slots, TRAPPED_GPA, PAGE_BYTES, NULL) == 0;
    slots_destroy(slots);
    close(vm_fd);
    return done;
}

static bool ours_registers(struct calls *calls)
{
    struct vcpu *vcpu = calls->vcpu;
    vcpu->synced_fields = vcpu->run->kvm_valid_regs = vcpu->run->kvm_dirty_regs = 0;
    return vcpu_load_regs(vcpu, &calls->cpu) == 0 && vcpu_store_regs(vcpu, &calls->cpu) == 0;
}

/* As for an instruction that is executed in software: out with the exit, in with the next entry. */
static bool ours_registers_shared(struct calls *calls)
{
    struct vcpu *vcpu = calls->vcpu;
    vcpu_sync_registers(vcpu, 1);
    vcpu_complete_io(vcpu);
    return vcpu_reload_state(vcpu, &calls->cpu, &calls->loaded) == 0 &&
           vcpu_store_regs(vcpu, &calls->cpu) == 0;
}

static bool ours(struct calls *calls, enum call_operation operation)
{
    switch (operation) {
    case CALL_REENTRY:
        vcpu_complete_io(calls->vcpu);
        return true;
    case CALL_REGS_IOCTL:
        return ours_registers(calls);
    case CALL_REGS_SHARED:
        return ours_registers_shared(calls);
    case CALL_VM:
        return ours_vm(VMM_IRQCHIP_NONE);
    case CALL_VCPU:
        return ours_vcpu(calls);
    case CALL_IRQCHIP:
        return ours_vm(VMM_IRQCHIP_KERNEL);
    case CALL_SLOT:
        return ours_slot(calls);
    case CALL_COUNT:
        break;
    }
    return false;
}

/* ---- The bare calls ---- */

static bool bare_vm(bool has_irqchip)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    void *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                     0);
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES,
                                               .userspace_addr = (unsigned long)ram};
    struct kvm_pit_config pit = {.flags = 0};
    bool done = vm >= 0 && ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0;
    if (done && has_irqchip)
        done = ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0 && ioctl(vm, KVM_CREATE_PIT2, &pit) == 0;
    close(vm);
    munmap(ram, RAM_BYTES);
    close(kvm);
    return done;
}

static bool bare_vcpu(struct calls *calls)
{
    int vm = ioctl(calls->host.kvm_fd, KVM_CREATE_VM, 0);
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    void *run = mmap(NULL, calls->host.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    bool done = run != MAP_FAILED;
    if (done)
        munmap(run, calls->host.run_bytes);
    close(vcpu);
    close(vm);
    return done;
}

static bool bare_slot(struct calls *calls)
{
    int vm = ioctl(calls->host.kvm_fd, KVM_CREATE_VM, 0);
    void *pages = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct kvm_userspace_memory_region slot = {
        .guest_phys_addr = TRAPPED_GPA, .memory_size = PAGE_BYTES, .userspace_addr = (unsigned long)pages};
    bool done = ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0;
    munmap(pages, PAGE_BYTES);
    close(vm);
    return done;
}

static bool bare_reentry(struct calls *calls, uint64_t fields)
{
    struct kvm_run *run = calls->vcpu->run;
    run->immediate_exit = 1;
    run->kvm_valid_regs = fields;
    ioctl(calls->vcpu->fd, KVM_RUN, 0);
    run->immediate_exit = 0;
    run->kvm_dirty_regs = fields & KVM_SYNC_X86_REGS;
    return true;
}

static bool bare_registers(struct calls *calls)
{
    struct kvm_regs regs;
    return ioctl(calls->vcpu->fd, KVM_GET_REGS, &regs) == 0 &&
           ioctl(calls->vcpu->fd, KVM_SET_REGS, &regs) == 0;
}

static bool bare(struct calls *calls, enum call_operation operation)
{
    switch (operation) {
    case CALL_REENTRY:
        return bare_reentry(calls, 0);
    case CALL_REGS_IOCTL:
        return bare_registers(calls);
    case CALL_REGS_SHARED:
        return bare_reentry(calls, calls->machine.sync_fields);
    case CALL_VM:
        return bare_vm(false);
    case CALL_VCPU:
        return bare_vcpu(calls);
    case CALL_IRQCHIP:
        return bare_vm(true);
    case CALL_SLOT:
        return bare_slot(calls);
    case CALL_COUNT:
        break;
    }
    return false;
}

static bool run(struct calls *calls, unsigned operation, unsigned count, struct batch *batch,
                const char **reason, bool (*call)(struct calls *calls, enum call_operation operation))
{
    if (operation == CALL_REGS_SHARED && !(calls->host.sync_fields & KVM_SYNC_X86_REGS)) {
        *reason = "this host's KVM shares no registers";
        return false;
    }
    vcpu_sync_registers(calls->vcpu, 0);
    calls->vcpu->synced_fields = calls->vcpu->run->kvm_valid_regs = calls->vcpu->run->kvm_dirty_regs = 0;
    uint64_t start_ns = bench_now_ns();
    for (unsigned i = 0; i < count; i++) {
        if (!call(calls, operation)) {
            *reason = "KVM refuses it";
            return false;
        }
    }
    batch->ns = (double)(bench_now_ns() - start_ns);
    return true;
}

bool calls_ours(void *calls, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    return run(calls, operation, count, batch, reason, ours);
}

bool calls_floor(void *calls, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    return run(calls, operation, count, batch, reason, bare);
}
