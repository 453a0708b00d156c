/* SPDX-License-Identifier: MIT
 *
 * A machine's life: what every machine consists of, and in which order. Devices come by vmm_add_*
 * (devices.c), vCPUs (cpus.c) and interrupt controllers (irq.c) when the run begins, since the image has a
 * say in them.
 */
#include "vmm/machine.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

uint64_t machine_count_phase(struct vmm *machine, enum vmm_phase phase, uint64_t since_ns)
{
    uint64_t now_ns = machine_now_ns();
    machine->phase_ns[phase] += now_ns - since_ns;
    return now_ns;
}

int machine_check_open(const struct vmm *machine, struct vmm_error *error)
{
    return machine->has_run
               ? error_set(error, -EALREADY, "machine: runs, or has run: nothing can be added to it")
               : 0;
}

int machine_check_unloaded(const struct vmm *machine, const char *name, struct vmm_error *error)
{
    return machine->loaded
               ? error_set(error, -EALREADY,
                           "%s: the image is told what is there when it is loaded: call vmm_load later", name)
               : 0;
}

static int own(struct vmm *machine, struct machine_part **parts, void *part, void (*destroy)(void *part),
               struct vmm_error *error)
{
    struct machine_part *entry = NULL;
    int result = machine_check_open(machine, error);
    if (!result) {
        entry = malloc(sizeof(*entry));
        result = entry ? 0 : error_set(error, -ENOMEM, "machine: out of memory");
    }
    if (result) {
        destroy(part);
        return result;
    }
    *entry = (struct machine_part){.next = *parts, .destroy = destroy, .part = part};
    *parts = entry;
    return 0;
}

int machine_own(struct vmm *machine, void *part, void (*destroy)(void *part), struct vmm_error *error)
{
    return own(machine, &machine->parts, part, destroy, error);
}

int machine_own_memory(struct vmm *machine, void *part, void (*destroy)(void *part), struct vmm_error *error)
{
    return own(machine, &machine->memory_parts, part, destroy, error);
}

int machine_add_ports(struct vmm *machine, void *device, void (*destroy)(void *device),
                      struct bus_region *region, struct vmm_error *error)
{
    int result = machine_own(machine, device, destroy, error);
    return result ? result : bus_add(machine->ports, region, error);
}

static int check_config(struct vmm_config *config, struct vmm_error *error)
{
    if (!config->ram_bytes)
        config->ram_bytes = RAM_BYTES_DEFAULT;
    if (!config->cpu_count)
        config->cpu_count = 1;
    if (!config->kick_signal)
        config->kick_signal = KICK_SIGNAL_DEFAULT;
    if (config->ram_bytes < RAM_BYTES_MIN || config->ram_bytes % PAGE_BYTES)
        return error_set(error, -EINVAL,
                         "memory: a guest cannot have %llu bytes of RAM: give a multiple of 4K, from 64K on",
                         (unsigned long long)config->ram_bytes);
    if ((unsigned)config->irqchip > VMM_IRQCHIP_NONE)
        return error_set(error, -EINVAL, "machine: there is no interrupt controller %d",
                         (int)config->irqchip);
    if ((unsigned)config->mmio_engine > VMM_MMIO_TRAP)
        return error_set(error, -EINVAL, "machine: there is no MMIO engine %d", (int)config->mmio_engine);
    if ((unsigned)config->ring0_engine > VMM_RING0_SOFTWARE)
        return error_set(error, -EINVAL, "machine: there is no engine %d for ring 0",
                         (int)config->ring0_engine);
    if (config->irqchip == VMM_IRQCHIP_NONE && config->cpu_count > 1)
        return error_set(error, -EINVAL,
                         "irqchip: %u CPUs need interrupt controllers: choose kernel or split",
                         config->cpu_count);
    return 0;
}

static void kick_handler(int number)
{
    (void)number;
}

/* The signal only has to interrupt KVM_RUN; a handler that the program has installed does that as well. */
static int prepare_kick_signal(int number, struct vmm_error *error)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action))
        return error_set_errno(error, -errno, "kick signal %d", number);
    if ((action.sa_flags & SA_SIGINFO) || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN))
        return 0;
    action = (struct sigaction){.sa_handler = kick_handler};
    if (sigaction(number, &action, NULL))
        return error_set_errno(error, -errno, "kick signal %d", number);
    return 0;
}

/* Pages that VT-x needs for real mode, without which Intel's KVM runs no such guest; others take the calls
 * and do nothing. Asking the processor first would be an exit to a hypervisor below, a hundredth of a small
 * guest's time. */
static int place_real_mode(struct vmm *machine, struct vmm_error *error)
{
    uint64_t identity_map = IDENTITY_MAP_GPA;
    if (ioctl(machine->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) == 0 &&
        ioctl(machine->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_GPA) == 0)
        return 0;
    int result = -errno;
    if (!host_is_intel())
        return 0;
    return error_set_errno(error, result, "/dev/kvm: cannot place what VT-x needs for real mode");
}

/* A processor without nested paging runs ring 0 on KVM's shadows of page tables, of whose changes in software
 * KVM would not know. */
static int check_ring0(const struct vmm_config *config, struct vmm_error *error)
{
    if (config->ring0_engine != VMM_RING0_SOFTWARE || host_has_nested_paging() || host_interprets_ring0())
        return 0;
    return error_set(error, -EOPNOTSUPP,
                     "ring 0 in software: KVM runs without nested paging here (module parameter ept or npt): "
                     "leave ring 0 to KVM");
}

static int create_vm(struct vmm *machine, struct vmm_error *error)
{
    int result = host_create_vm(&machine->host, &machine->vm_fd, error);
    if (result)
        return result;
    if (machine->config.cpu_count > machine->host.max_cpus)
        return error_set(error, -EINVAL, "%u CPUs are more than this host's KVM allows, which is %u",
                         machine->config.cpu_count, machine->host.max_cpus);
    /* Instructions that KVM's emulator does not know come to us from every ring. Where it cannot, they come
     * from the kernel's rings only, and with a #UD that is to be taken back. */
    struct kvm_enable_cap enable = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    machine->queues_ud = ioctl(machine->vm_fd, KVM_ENABLE_CAP, &enable) != 0;
    /* MSRs that nobody knows come to us: the guest gets its #GP all the same, but the user hears of it. */
    enable = (struct kvm_enable_cap){.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                     .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};
    ioctl(machine->vm_fd, KVM_ENABLE_CAP, &enable);
    return place_real_mode(machine, error);
}

static int create_memory(struct vmm *machine, struct vmm_error *error)
{
    static const enum memory_backing backings[] = {[VMM_MEM_ANONYMOUS] = MEMORY_ANONYMOUS,
                                                   [VMM_MEM_HUGE] = MEMORY_HUGE,
                                                   [VMM_MEM_SHARED] = MEMORY_SHARED};
    if ((unsigned)machine->config.mem_backing >= ARRAY_COUNT(backings))
        return error_set(error, -EINVAL, "memory: there is no backing %d", (int)machine->config.mem_backing);
    int result = guest_memory_create(machine->config.ram_bytes, backings[machine->config.mem_backing],
                                     &machine->memory, error);
    if (!result)
        result = slots_create(machine->vm_fd, &machine->slots, error);
    return result ? result : slots_add_memory(machine->slots, machine->memory, error);
}

int vmm_check_cpu_features(const char *text, struct vmm_error *error)
{
    return features_check(text, error);
}

/* The configuration's string is the caller's. */
static int keep_features(struct vmm *machine, struct vmm_error *error)
{
    const char *features = machine->config.cpu_features;
    if (!features)
        return 0;
    machine->config.cpu_features = machine->features = strdup(features);
    return machine->features ? 0 : error_set(error, -ENOMEM, "machine: out of memory");
}

/* What KVM offers to the kernels of several vCPUs and cannot keep: see the functions. */
static void mask_for_kernels(const struct vmm_config *config, struct cpuid_table *table)
{
    bool is_software = config->ring0_engine == VMM_RING0_SOFTWARE;
    bool has_others = config->cpu_count > 1 && host_interprets_ring0();
    if (has_others)
        features_mask_hypercalls(table);
    if (is_software || (has_others && config->ring0_engine == VMM_RING0_AUTO))
        features_mask_deferred_flush(table);
}

static int load_cpuid(struct vmm *machine, struct cpuid_table *table, struct vmm_error *error)
{
    int result = cpuid_load(machine->host.kvm_fd, table);
    if (result)
        return error_set_errno(error, result, "/dev/kvm: does not say which CPUID it supports");
    features_mask_impossible(table);
    mask_for_kernels(&machine->config, table);
    result = features_mask(table, machine->features, error);
    if (result) {
        const struct vmm_error cause = *error;
        error_set(error, result, "cpu_features: %s", cause.message);
    }
    return result;
}

int machine_cpuid(struct vmm *machine, const struct cpuid_table **table, struct vmm_error *error)
{
    if (!machine->cpuid) {
        /* Loaded into the stack, which has been as deep before, and kept as long as it is: fewer new pages.
         */
        struct cpuid_table loaded;
        int result = load_cpuid(machine, &loaded, error);
        if (result)
            return result;
        size_t bytes = offsetof(struct cpuid_table, entries) + loaded.count * sizeof(loaded.entries[0]);
        machine->cpuid = malloc(bytes);
        if (!machine->cpuid)
            return error_set(error, -ENOMEM, "machine: out of memory");
        memcpy(machine->cpuid, &loaded, bytes);
    }
    *table = machine->cpuid;
    return 0;
}

/* What every machine has: KVM's VM, memory, two buses, an event loop that sleeps until it is needed. */
static int machine_init(struct vmm *machine, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    const struct cpuid_table *cpuid;
    int result = check_config(&machine->config, error);
    if (!result)
        result = prepare_kick_signal(machine->config.kick_signal, error);
    if (!result)
        result = host_open(&machine->host, error);
    if (!result)
        result = check_ring0(&machine->config, error);
    if (!result)
        result = keep_features(machine, error);
    if (!result && machine->features)
        result = machine_cpuid(machine, &cpuid, error);
    since_ns = machine_count_phase(machine, VMM_PHASE_HOST, since_ns);
    if (!result)
        result = create_vm(machine, error);
    since_ns = machine_count_phase(machine, VMM_PHASE_VM, since_ns);
    if (!result)
        result = create_memory(machine, error);
    since_ns = machine_count_phase(machine, VMM_PHASE_MEMORY, since_ns);
    if (!result)
        result = bus_create(BUS_PORTS, &machine->ports, error);
    if (!result)
        result = bus_create(BUS_MEMORY, &machine->memory_bus, error);
    if (!result)
        result = event_loop_create(&machine->loop, error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int vmm_create(const struct vmm_config *config, struct vmm **out, struct vmm_error *error)
{
    struct vmm *machine = calloc(1, sizeof(*machine));
    *out = NULL;
    if (!machine)
        return error_set(error, -ENOMEM, "machine: out of memory");
    if (config)
        machine->config = *config;
    machine->created_ns = machine_now_ns();
    machine->vm_fd = machine->host.kvm_fd = -1;
    log_init(&machine->log, machine->config.log, machine->config.log_context, machine->config.log_level);
    pthread_mutex_init(&machine->run.lock, NULL);
    pthread_mutex_init(&machine->run.settle_lock, NULL);
    pthread_mutex_init(&machine->run.report_lock, NULL);
    pthread_mutex_init(&machine->bus_lock, NULL);
    pthread_mutex_init(&machine->coalesced.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&machine->run.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int result = machine_init(machine, error);
    if (result) {
        vmm_destroy(machine);
        return result;
    }
    *out = machine;
    return 0;
}

static void destroy_parts(struct machine_part **parts)
{
    while (*parts) {
        struct machine_part *entry = *parts;
        *parts = entry->next;
        entry->destroy(entry->part);
        free(entry);
    }
}

/* Everything that others can see of the machine: its files, terminals, sockets, threads. Guest memory stays:
 * disks wait for their requests, and queues give back what they hold. */
static void end_effects(struct vmm *machine)
{
    machine_stop_disks(machine);
    if (machine->loop)
        event_loop_stop(machine->loop);
    machine_destroy_trace(machine);
    destroy_parts(&machine->parts);
}

void vmm_destroy_at_exit(struct vmm *machine)
{
    static _Atomic(struct vmm *) left; /* what is left is no leak to those who look for some */
    if (!machine)
        return;
    end_effects(machine);
    machine->left_before = atomic_exchange(&left, machine);
}

void vmm_destroy(struct vmm *machine)
{
    if (!machine)
        return;
    for (unsigned i = 0; machine->cpus && i < machine->config.cpu_count; i++)
        vcpu_destroy(machine->cpus[i].vcpu);
    free(machine->cpus);
    end_effects(machine);
    machine_destroy_regions(machine);
    machine_destroy_irqchip(machine);
    event_loop_destroy(machine->loop);
    bus_destroy(machine->memory_bus);
    bus_destroy(machine->ports);
    if (machine->vm_fd >= 0)
        close(machine->vm_fd);
    slots_destroy(machine->slots);
    destroy_parts(&machine->memory_parts);
    guest_memory_destroy(machine->memory);
    free(machine->cpuid);
    free(machine->features);
    host_close(&machine->host);
    pthread_cond_destroy(&machine->run.changed);
    pthread_mutex_destroy(&machine->coalesced.lock);
    pthread_mutex_destroy(&machine->bus_lock);
    pthread_mutex_destroy(&machine->run.report_lock);
    pthread_mutex_destroy(&machine->run.settle_lock);
    pthread_mutex_destroy(&machine->run.lock);
    log_fini(&machine->log);
    free(machine);
}

int vmm_mem_read(const struct vmm *machine, uint64_t gpa, void *to, size_t len)
{
    return guest_mem_read(machine->memory, gpa, to, len);
}

int vmm_mem_write(struct vmm *machine, uint64_t gpa, const void *from, size_t len)
{
    __atomic_store_n(&machine->ram_dirty, true, __ATOMIC_RELAXED);
    return guest_mem_write(machine->memory, gpa, from, len);
}

int vmm_mem_fd(const struct vmm *machine)
{
    return guest_memory_fd(machine->memory);
}

const char *vmm_version(void)
{
    return VMM_VERSION;
}
