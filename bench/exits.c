/* SPDX-License-Identifier: MIT
 *
 * `vmm bench exits`: every kind of exit, by our loop and by the bare one, on the same vCPU, by turns. The
 * figure that counts is ours / floor.
 */
#include <linux/kvm.h>
#include <string.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/benches.h"
#include "bench/calls.h"
#include "bench/eventfd.h"
#include "bench/guest.h"
#include "bench/kick.h"
#include "bench/rival.h"
#include "guest/flat/mmio.h"
#include "vmm/host.h"

/* The machines: each operation names the one that it needs. */
enum kind {
    KIND_PLAIN,
    KIND_TRAP,
    KIND_COALESCED,
    KIND_COALESCED_PORTS,
    KIND_DIRECT,
    KIND_HUGE,
    KIND_EVENTFD,
    KIND_WAITER,
    KIND_IRQCHIP,
    KIND_IRQFD,
    KIND_MSR,
    KIND_TWO_CPUS,
    KIND_COUNT
};

#define NEEDS(cap) \
    {              \
        cap, #cap  \
    }

static const struct bench_guest_config kinds[KIND_COUNT] = {
    [KIND_PLAIN] = {.engine = BENCH_KVM},
    [KIND_TRAP] = {.engine = BENCH_TRAP},
    [KIND_COALESCED] = {.engine = BENCH_COALESCED, .needs = NEEDS(KVM_CAP_COALESCED_MMIO)},
    [KIND_COALESCED_PORTS] = {.engine = BENCH_KVM,
                              .coalesced_ports = true,
                              .needs = NEEDS(KVM_CAP_COALESCED_PIO)},
    [KIND_DIRECT] = {.engine = BENCH_DIRECT, .device_bytes = BENCH_RAM_BYTES},
    [KIND_HUGE] = {.engine = BENCH_KVM, .huge_pages = true},
    [KIND_EVENTFD] = {.engine = BENCH_KVM, .has_eventfd = true, .needs = NEEDS(KVM_CAP_IOEVENTFD)},
    [KIND_WAITER] = {.engine = BENCH_KVM,
                     .has_eventfd = true,
                     .has_waiter = true,
                     .needs = NEEDS(KVM_CAP_IOEVENTFD)},
    [KIND_IRQCHIP] = {.engine = BENCH_KVM, .has_irqchip = true},
    [KIND_MSR] = {.engine = BENCH_KVM, .has_msr = true},
    [KIND_TWO_CPUS] = {.engine = BENCH_KVM, .has_irqchip = true, .has_second_cpu = true},
    [KIND_IRQFD] = {.engine = BENCH_KVM,
                    .has_irqchip = true,
                    .has_eventfd = true,
                    .has_waiter = true,
                    .needs = NEEDS(KVM_CAP_IRQFD)},
};

#define RING_0    1u
#define RING_3    2u
#define BOTH      3u
#define TOUCHES   (BENCH_RAM_BYTES / 2 / PAGE_BYTES)
#define HYPERCALL 1000u /* VMCALL or VMMCALL, whichever this processor has */

static const struct operation {
    const char *name;
    unsigned op;
    enum kind kind;
    unsigned rings;
    uint64_t target_gpa;
    unsigned port;
    bool no_floor;                 /* the bare loop cannot do what the emulator does */
    unsigned count_min, count_max; /* as of struct bench_limits */
    enum rival_target qemu;
} operations[] = {
    {"empty loop", MMIO_OP_NOTHING, KIND_PLAIN, BOTH, .qemu = RIVAL_KVM},
    {"CPUID", MMIO_OP_CPUID, KIND_PLAIN, BOTH, .qemu = RIVAL_KVM},
    {"hypercall", HYPERCALL, KIND_PLAIN, RING_0, .qemu = RIVAL_KVM},
    {"RDMSR in the kernel", MMIO_OP_RDMSR, KIND_PLAIN, RING_0, .qemu = RIVAL_KVM},
    {"WRMSR in the kernel", MMIO_OP_WRMSR, KIND_PLAIN, RING_0, .qemu = RIVAL_KVM},
    {"RDMSR in user space", MMIO_OP_RDMSR_USER, KIND_MSR, RING_0},
    {"WRMSR in user space", MMIO_OP_WRMSR_USER, KIND_MSR, RING_0},
    {"port write, 1 byte", MMIO_OP_OUT8, KIND_PLAIN, BOTH, .qemu = RIVAL_POST},
    {"port write, 2 bytes", MMIO_OP_OUT16, KIND_PLAIN, BOTH, .qemu = RIVAL_REGISTER},
    {"port write, 4 bytes", MMIO_OP_OUT32, KIND_PLAIN, BOTH, .qemu = RIVAL_PCI},
    {"port read, 1 byte", MMIO_OP_IN8, KIND_PLAIN, BOTH, .qemu = RIVAL_POST},
    {"port read, 2 bytes", MMIO_OP_IN16, KIND_PLAIN, BOTH, .qemu = RIVAL_REGISTER},
    {"port read, 4 bytes", MMIO_OP_IN32, KIND_PLAIN, BOTH, .qemu = RIVAL_PCI},
    {"REP OUTSB of 4 KiB", MMIO_OP_REP_OUTSB, KIND_PLAIN, BOTH, .qemu = RIVAL_POST},
    {"port write, coalesced", MMIO_OP_OUT8, KIND_COALESCED_PORTS, BOTH, .no_floor = true},
    {"MMIO write, engine kvm", MMIO_OP_STORE, KIND_PLAIN, BOTH, .qemu = RIVAL_HPET},
    {"MMIO read, engine kvm", MMIO_OP_LOAD, KIND_PLAIN, BOTH, .qemu = RIVAL_HPET},
    {"MMIO add, engine kvm", MMIO_OP_ADD, KIND_PLAIN, BOTH, .qemu = RIVAL_HPET},
    {"MMIO write, engine trap", MMIO_OP_STORE, KIND_TRAP, BOTH},
    {"MMIO read, engine trap", MMIO_OP_LOAD, KIND_TRAP, BOTH},
    {"MMIO add, engine trap", MMIO_OP_ADD, KIND_TRAP, BOTH},
    {"MMIO write, coalesced", MMIO_OP_STORE, KIND_COALESCED, BOTH, .no_floor = true, .qemu = RIVAL_COALESCED},
    {"MMIO write, direct", MMIO_OP_STORE, KIND_DIRECT, BOTH},
    {"ioeventfd on a port", MMIO_OP_OUT8, KIND_EVENTFD, BOTH, .port = BENCH_EVENT_PORT,
     .qemu = RIVAL_EVENT_PORT},
    {"ioeventfd on MMIO", MMIO_OP_STORE, KIND_EVENTFD, BOTH, .target_gpa = BENCH_EVENT_GPA,
     .qemu = RIVAL_EVENT_MEMORY},
    {"ioeventfd on a port, thread waits", MMIO_OP_OUT8, KIND_WAITER, BOTH, .port = BENCH_EVENT_PORT},
    {"ioeventfd on MMIO, thread waits", MMIO_OP_STORE, KIND_WAITER, BOTH, .target_gpa = BENCH_EVENT_GPA},
    {"first touch of a 4 KiB page", MMIO_OP_TOUCH, KIND_PLAIN, BOTH, .qemu = RIVAL_FRESH},
    {"first touch, 2 MiB pages, each 4 KiB", MMIO_OP_TOUCH, KIND_HUGE, BOTH, .count_min = TOUCHES,
     .count_max = TOUCHES},
    {"first write under dirty logging", MMIO_OP_TOUCH, KIND_DIRECT, BOTH, .target_gpa = BENCH_DEVICE_GPA},
    {"EOI", MMIO_OP_EOI, KIND_IRQCHIP, RING_0, .qemu = RIVAL_KVM},
    {"self-IPI", MMIO_OP_SELF_IPI, KIND_IRQCHIP, RING_0, .qemu = RIVAL_KVM},
    {"IPI to a vCPU that spins, to its word", MMIO_OP_IPI, KIND_TWO_CPUS, RING_0, .qemu = RIVAL_TWO_CPUS},
    {"IPI to a vCPU that spins, and back", MMIO_OP_IPI_BACK, KIND_TWO_CPUS, RING_0, .qemu = RIVAL_TWO_CPUS},
    {"HLT, woken by another vCPU's IPI, to its word", MMIO_OP_IPI_HLT, KIND_TWO_CPUS, RING_0,
     .qemu = RIVAL_TWO_CPUS},
    {"HLT, woken by the APIC's timer", MMIO_OP_HLT_TIMER, KIND_IRQCHIP, RING_0, .qemu = RIVAL_KVM},
    {"HLT, woken by an irqfd of a thread that is told", MMIO_OP_HLT_IRQFD, KIND_IRQFD, RING_0,
     .port = BENCH_EVENT_PORT},
};

static unsigned op_of(const struct operation *operation)
{
    if (operation->op != HYPERCALL)
        return operation->op;
    return host_is_intel() ? MMIO_OP_VMCALL : MMIO_OP_VMMCALL;
}

/* The machines and QEMUs that were made so far: each when the first operation needs it. */
struct cast {
    const int *second_cpu;
    struct bench_guest *guests[KIND_COUNT][2];
    struct rival *rivals[2];
};

static struct bench_guest *get_guest(struct cast *cast, enum kind kind, int ring)
{
    struct bench_guest **guest = &cast->guests[kind][ring == 3];
    struct bench_guest_config config = kinds[kind];
    config.ring = ring;
    config.second_cpu = cast->second_cpu;
    if (!*guest && bench_guest_create(&config, guest))
        return NULL;
    return *guest;
}

static struct rival *get_rival(struct cast *cast, int ring)
{
    struct rival **rival = &cast->rivals[ring == 3];
    if (!*rival && rival_create(ring, cast->second_cpu, rival))
        return NULL;
    return *rival;
}

static void dismiss(struct cast *cast)
{
    for (size_t i = 0; i < 2; i++) {
        rival_destroy(cast->rivals[i]);
        for (size_t kind = 0; kind < KIND_COUNT; kind++)
            bench_guest_destroy(cast->guests[kind][i]);
    }
}

static int measure_operation(struct bench_report *report, const struct bench_options *options,
                             const struct operation *operation, struct cast *cast, int ring)
{
    struct bench_guest *guest = get_guest(cast, operation->kind, ring);
    struct bench_way ways[3];
    unsigned op = op_of(operation), count = 0;
    if (!guest)
        return -ENOMEM;
    bench_guest_aim(guest, operation->target_gpa, operation->port);
    if (!operation->no_floor)
        ways[count++] = (struct bench_way){"floor", bench_guest_floor, guest};
    ways[count++] = (struct bench_way){"vmm", bench_guest_batch, guest};
    struct rival *rival = options->against_qemu ? get_rival(cast, ring) : NULL;
    if (rival && operation->qemu) {
        rival_aim(rival, operation->qemu);
        ways[count++] = (struct bench_way){"qemu", rival_batch, rival};
    }
    struct bench_limits limits = options->limits;
    limits.count_min = operation->count_min;
    limits.count_max = operation->count_max;
    bench_measure(report, &limits, operation->name, ring, op, ways, count);
    return 0;
}

static int measure_guests(struct bench_report *report, const struct bench_options *options)
{
    struct cast cast = {.second_cpu = options->second_cpu};
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_COUNT(operations); i++)
        for (int ring = 0; !result && ring <= 3; ring += 3)
            if ((operations[i].rings & (ring ? RING_3 : RING_0)) &&
                bench_wants(options, operations[i].name, ring))
                result = measure_operation(report, options, &operations[i], &cast, ring);
    dismiss(&cast);
    return result;
}

static void measure_calls(struct bench_report *report, const struct bench_options *options)
{
    struct calls *calls;
    if (bench_is_interrupted())
        return;
    int result = calls_create(&calls);
    if (result) {
        bench_add_missing(report, "calls without a guest", "vmm", strerror(-result));
        return;
    }
    struct bench_way ways[] = {{"floor", calls_floor, calls}, {"vmm", calls_ours, calls}};
    for (enum call_operation operation = 0; operation < CALL_COUNT; operation++)
        if (bench_wants(options, call_name(operation), -1))
            bench_measure(report, &options->limits, call_name(operation), -1, operation, ways,
                          ARRAY_COUNT(ways));
    calls_destroy(calls);
}

static void measure_kick(struct bench_report *report, const struct bench_options *options)
{
    static const char name[] = "kick of a running vCPU to its stop";
    struct kick *kick;
    if (!bench_wants(options, name, -1) || bench_is_interrupted())
        return;
    int result = kick_create(options->second_cpu, &kick);
    if (result) {
        bench_add_missing(report, name, "vmm", strerror(-result));
        return;
    }
    struct bench_way ways[] = {{"floor", kick_floor, kick}, {"vmm", kick_ours, kick}};
    struct bench_limits limits = options->limits;
    /* Each is timed by itself anyway; a batch of more would be an average with those that had to wait. */
    limits.count_max = 1;
    bench_measure(report, &limits, name, -1, 0, ways, ARRAY_COUNT(ways));
    kick_destroy(kick);
}

int bench_exits(struct bench_report *report, const struct bench_options *options, struct vmm_error *error)
{
    report->bench = "exits";
    int result = bench_need_kvm(error);
    if (result)
        return result;
    result = measure_guests(report, options);
    if (result)
        return error_set_errno(error, result, "bench exits: cannot go on");
    measure_calls(report, options);
    measure_kick(report, options);
    return 0;
}
