/* SPDX-License-Identifier: MIT
 *
 * The machine's vCPUs, made when the run begins: what they are told of the machine (struct vcpu_machine) and
 * what their guests are told of them (CPUID). Their threads are run.c's.
 */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/machine.h"

static int set_cpuid(struct vmm *machine, struct vmm_error *error)
{
    const struct cpuid_table *cpuid;
    bool has_apic = machine->irqchip != VMM_IRQCHIP_NONE;
    unsigned count = machine->config.cpu_count;
    int result = machine_cpuid(machine, &cpuid, error);
    for (unsigned i = 0; !result && i < count; i++)
        result = cpuid_set(machine->cpus[i].vcpu, cpuid, count, has_apic, error);
    return result;
}

/* KVM says how many pages behind the vCPU's own the ring is. */
static void find_coalesced_ring(struct vmm *machine)
{
    int pages = ioctl(machine->host.kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    machine->coalesced.ports = machine->ports;
    machine->coalesced.memory_bus = machine->memory_bus;
    machine->vcpu_machine.coalesced = &machine->coalesced;
    machine->coalesced.ring = (void *)((char *)machine->cpus[0].vcpu->run + (size_t)pages * PAGE_BYTES);
}

static bool has_trapped(const struct vmm *machine)
{
    size_t count;
    struct bus_region *const *regions = bus_regions(machine->memory_bus, &count);
    for (size_t i = 0; i < count; i++)
        if (regions[i]->is_trapped)
            return true;
    return false;
}

int machine_create_cpus(struct vmm *machine, struct vmm_error *error)
{
    unsigned count = machine->config.cpu_count;
    bool interprets = machine->interprets;
    bool interprets_all = interprets && host_interprets_ring0() && host_can_step(&machine->host);
    bool ends_in_ring3 = interprets && !interprets_all && !host_has_nested_paging();
    machine->vcpu_machine = (struct vcpu_machine){.vm_fd = machine->vm_fd,
                                                  .run_bytes = machine->host.run_bytes,
                                                  .sync_fields = machine->host.sync_fields,
                                                  .ports = machine->ports,
                                                  .memory_bus = machine->memory_bus,
                                                  .memory = machine->memory,
                                                  .has_trapped = has_trapped(machine),
                                                  .run_ahead = !machine->config.no_run_ahead || interprets,
                                                  .queues_ud = machine->queues_ud,
                                                  .host_interprets = host_interprets_ring0,
                                                  .interprets = interprets,
                                                  .interprets_all = interprets_all,
                                                  .ring3_seen = ends_in_ring3 ? &machine->ring3_seen : NULL,
                                                  .kick_signal = machine->config.kick_signal,
                                                  .bus_lock = &machine->bus_lock,
                                                  .is_kernel_device = machine_is_kernel_device,
                                                  .is_kernel_port = machine_is_kernel_port,
                                                  .ram_written = machine->direct_slots ? machine_ram_written
                                                                                       : NULL,
                                                  .log = &machine->log,
                                                  .measure_time = machine->config.measure_time,
                                                  .ioapic_eoi = machine_ioapic_eoi,
                                                  .msr = machine->msrs ? machine_access_msr : NULL,
                                                  .unknown_msrs = machine->unknown_msrs,
                                                  .owner = machine};
    machine->cpus = calloc(count, sizeof(*machine->cpus));
    if (!machine->cpus)
        return error_set(error, -ENOMEM, "machine: out of memory");
    int result = 0;
    for (unsigned i = 0; !result && i < count; i++) {
        machine->cpus[i].machine = machine;
        result = vcpu_create(&machine->vcpu_machine, i, &machine->cpus[i].vcpu, error);
    }
    if (!result && count > 1)
        result = vcpu_announce_apic(machine->cpus[count - 1].vcpu, error);
    if (!result && machine->coalesced.wanted)
        find_coalesced_ring(machine);
    return result ? result : set_cpuid(machine, error);
}
