/* SPDX-License-Identifier: MIT
 *
 * step_insn over a machine of memory alone. See own.h.
 */
#include "bench/own.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/run.h"
#include "mmio/simd_code.h"
#include "mmio/step.h"
#include "mmio/xsave.h"
#include "vcpu/exit.h"
#include "vcpu/exit_access.h"
#include "vcpu/exit_trace.h"

#define TABLES_GPA 0x1000u /* PML4, PDPT, PD, PT */
#define CODE_GPA   0x10000u
#define DEVICE_GVA 0x20000u
#define DEVICE_GPA 0xd0000000u

#define ENTRY_BITS 0x67u /* present, writable, user, accessed, dirty */

#define PORT 0x300u

/* The page that KVM shares, and the one behind it, with the data of ports. */
union run_pages {
    struct kvm_run run;
    uint8_t bytes[2 * PAGE_BYTES];
};

struct own {
    struct guest_memory *memory;
    struct bus *bus, *ports;
    struct bus_region port;
    struct vcpu_machine vcpu_machine;
    struct vcpu vcpu;
    union run_pages pages;
    struct lock lock; /* as devices have one */
    struct bus_region region;
    struct simd_code *simd;
    struct step_run *run;
    struct step_machine machine;
    struct cpu_state cpu;
    uint8_t device[4096];
    uint8_t xsave[16384] __attribute__((aligned(64)));
};

static const struct {
    const char *name;
    uint8_t code[8], len;
} operations[OWN_COUNT] = {
    [OWN_STORE] = {"own time: store", {0x89, 0x03}, 2},
    [OWN_LOAD] = {"own time: load", {0x8b, 0x03}, 2},
    [OWN_ADD] = {"own time: add to memory", {0x83, 0x03, 0x03}, 3},
    [OWN_STORE64] = {"own time: 64-byte vector store", {0x62, 0xf1, 0x7c, 0x48, 0x11, 0x03}, 6},
    [OWN_VECTOR_ADD] = {"own time: 16-byte vector add from memory", {0x0f, 0x58, 0x03}, 3},
    [OWN_PLAIN_STEPS] = {"own time: inc ecx", {0xff, 0xc1}, 2},
    [OWN_RUN] = {"own time: run-ahead, per instruction of a loop with a store",
                 {0x89, 0x03, 0xff, 0xc1, 0x85, 0xc9, 0xeb, 0xf8},
                 8},
    [OWN_PORT_WRITE] = {.name = "own time: dispatch of a port write"},
    [OWN_PORT_READ] = {.name = "own time: dispatch of a port read"},
    [OWN_MMIO_WRITE] = {.name = "own time: dispatch of an MMIO write"},
    [OWN_MMIO_READ] = {.name = "own time: dispatch of an MMIO read"},
};

const char *own_operation_name(enum own_operation operation)
{
    return operations[operation].name;
}

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    struct own *own = device;
    return load_le(own->device + offset, size);
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct own *own = device;
    store_le(own->device + offset, value, size);
}

static const struct bus_ops device_ops = {.read = device_read, .write = device_write};

/* Not by __builtin_cpu_supports(): it would have every start of the program execute a dozen CPUIDs, each an
 * exit where the host is itself a guest. */
static bool has_avx512(void)
{
    struct xsave_layout layout;
    xsave_layout_host(&layout);
    return (layout.components & XCR0_AVX512) == XCR0_AVX512;
}

static int load_vector(void *owner, struct cpu_state *cpu)
{
    struct own *own = owner;
    cpu->vector.xsave = own->xsave;
    cpu->vector.xcr0 = has_avx512() ? 0xe7 : 3;
    return 0;
}

/* Leaf by leaf what this CPU says, for what the emulator asks before it executes a vector instruction. */
static void query_cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    (void)owner;
    __asm__("cpuid" : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3]) : "a"(leaf), "c"(subleaf));
}

static const struct step_ops ops = {.load_vector = load_vector, .cpuid = query_cpuid};

static void build_tables(struct own *own)
{
    for (unsigned level = 0; level < 3; level++) {
        uint64_t entry = (TABLES_GPA + 0x1000 * (level + 1)) | ENTRY_BITS;
        guest_mem_load(own->memory, TABLES_GPA + 0x1000 * level, &entry, 8);
    }
    uint64_t code = CODE_GPA | ENTRY_BITS, device = DEVICE_GPA | ENTRY_BITS, table = TABLES_GPA + 0x3000;
    guest_mem_load(own->memory, table + CODE_GPA / 4096 * 8, &code, 8);
    guest_mem_load(own->memory, table + DEVICE_GVA / 4096 * 8, &device, 8);
}

static void set_registers(struct cpu_state *cpu)
{
    const struct cpu_segment data = {.limit = ~0u, .selector = 0x23, .attributes = 0xc0f3};
    cpu->cr0 = CR0_PG | CR0_PE | CR0_WP | CR0_NE | CR0_ET;
    cpu->cr3 = TABLES_GPA;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->efer = EFER_LME | EFER_LMA | EFER_NXE;
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        cpu->segments[i] = data;
    cpu->segments[CPU_CS] = (struct cpu_segment){.limit = ~0u, .selector = 0x2b, .attributes = 0xa0fb};
    cpu->cpl = 3;
    cpu->rflags = FLAG_FIXED;
    cpu->gpr[CPU_RBX] = DEVICE_GVA;
}

static void make_vcpu(struct own *own)
{
    own->vcpu_machine = (struct vcpu_machine){
        .ports = own->ports, .memory_bus = own->bus, .memory = own->memory};
    own->vcpu = (struct vcpu){
        .machine = &own->vcpu_machine, .run = &own->pages.run, .fd = -1, .synced_fields = KVM_SYNC_X86_REGS};
    own->pages.run.s.regs.regs.rip = CODE_GPA;
}

/* As KVM leaves the page. */
static void make_exit(struct own *own, enum own_operation operation)
{
    struct kvm_run *run = &own->pages.run;
    bool is_write = operation == OWN_PORT_WRITE || operation == OWN_MMIO_WRITE;
    if (operation == OWN_PORT_WRITE || operation == OWN_PORT_READ) {
        run->exit_reason = KVM_EXIT_IO;
        run->io.direction = is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
        run->io.size = 1;
        run->io.port = PORT;
        run->io.count = 1;
        run->io.data_offset = PAGE_BYTES;
    } else {
        run->exit_reason = KVM_EXIT_MMIO;
        run->mmio.phys_addr = DEVICE_GPA;
        run->mmio.len = 4;
        run->mmio.is_write = is_write;
    }
}

/* Once for each exit what the vCPU's loop does, but for KVM_RUN. Apart, to be counted by itself. */
__attribute__((noinline)) static void handle_exits(struct vcpu *vcpu, unsigned count)
{
    enum vcpu_end end;
    for (unsigned i = 0; i < count; i++)
        if (!exit_is_access(vcpu, 0))
            vcpu_handle_exit(vcpu, 0, &end);
}

static void handle_exits_traced(struct vcpu *vcpu, unsigned count)
{
    exit_trace_begin(vcpu);
    for (unsigned i = 0; i < count; i++) {
        exit_trace_left(vcpu);
        handle_exits(vcpu, 1);
        exit_trace_flush(vcpu);
    }
}

static void dispatch(struct own *own, enum own_operation operation, unsigned count)
{
    make_exit(own, operation);
    own->vcpu.on_exit = 0;
    if (trace_is_on())
        handle_exits_traced(&own->vcpu, count);
    else
        handle_exits(&own->vcpu, count);
    own->vcpu.traced_exits = own->vcpu.exit_count;
}

int own_create(struct own **out)
{
    struct own *own = aligned_alloc(64, align_up(sizeof(*own), 64));
    if (!own)
        return -ENOMEM;
    memset(own, 0, sizeof(*own));
    *out = own;
    own->region = (struct bus_region){.name = "device",
                                      .base = DEVICE_GPA,
                                      .len = sizeof(own->device),
                                      .ops = &device_ops,
                                      .device = own,
                                      .lock = &own->lock};
    own->port = (struct bus_region){
        .name = "port", .base = PORT, .len = 8, .ops = &device_ops, .device = own, .lock = &own->lock};
    int result = guest_memory_create(1 * MIB, MEMORY_ANONYMOUS, &own->memory, NULL);
    if (!result)
        result = bus_create(BUS_MEMORY, &own->bus, NULL);
    if (!result)
        result = bus_add(own->bus, &own->region, NULL);
    if (!result)
        result = bus_create(BUS_PORTS, &own->ports, NULL);
    if (!result)
        result = bus_add(own->ports, &own->port, NULL);
    if (!result)
        result = simd_code_create(&own->simd, NULL);
    if (!result)
        result = step_run_create(&own->run, NULL);
    if (result) {
        own_destroy(own);
        return result;
    }
    store_le16(own->xsave, 0x37f); /* the x87 control word and MXCSR after a reset */
    store_le32(own->xsave + 24, 0x1f80);
    own->machine = (struct step_machine){.memory = own->memory,
                                         .bus = own->bus,
                                         .ports = own->bus,
                                         .simd = own->simd,
                                         .run = own->run,
                                         .ops = &ops,
                                         .owner = own,
                                         .physical_address_bits = 48,
                                         .vendor_amd = true};
    make_vcpu(own);
    build_tables(own);
    set_registers(&own->cpu);
    return 0;
}

void own_destroy(struct own *own)
{
    if (!own)
        return;
    simd_code_destroy(own->simd);
    step_run_destroy(own->run);
    bus_destroy(own->ports);
    bus_destroy(own->bus);
    guest_memory_destroy(own->memory);
    free(own);
}

/* As the vCPU does (vcpu/emulate.c): so many instructions of a run, or the first by itself. */
static unsigned step_some(struct own *own, unsigned limit, enum step_result *result)
{
    static const uint8_t never;
    struct step_budget budget = {.left = limit, .window_left = limit, .window = limit, .stop = &never};
    unsigned count = step_run_quick(own->run, &budget);
    *result = count ? STEP_DONE : step_run_insn(own->run);
    return count ? count : 1;
}

static enum step_result step_alone(struct own *own, struct step_outcome *outcome)
{
    enum step_result result;
    step_run_begin(own->run, &own->machine, &own->cpu, outcome);
    step_some(own, 1, &result);
    return result == STEP_DONE ? result : step_insn(&own->machine, &own->cpu, NULL, 0, outcome);
}

/* store, inc, test, jmp */
static bool run_batch(struct own *own, unsigned count, struct batch *batch, const char **reason)
{
    struct step_outcome outcome;
    enum step_result result = STEP_DONE;
    uint64_t start_ns = bench_now_ns();
    own->cpu.rip = CODE_GPA;
    step_run_begin(own->run, &own->machine, &own->cpu, &outcome);
    for (unsigned i = 0; i < count; i += step_some(own, count - i, &result)) {
        if (result != STEP_DONE) {
            *reason = outcome.reason ? outcome.reason : "the emulator raised an exception";
            return false;
        }
    }
    *batch = (struct batch){.ns = (double)(bench_now_ns() - start_ns), .exits = 0};
    return true;
}

bool own_batch(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    struct own *own = context;
    struct step_outcome outcome = {.reason = NULL};
    if (operation == OWN_STORE64 && !has_avx512()) {
        *reason = "this processor has no AVX-512";
        return false;
    }
    uint64_t start_ns = bench_now_ns();
    if (operation >= OWN_PORT_WRITE && operation <= OWN_MMIO_READ) {
        dispatch(own, operation, count);
        *batch = (struct batch){.ns = (double)(bench_now_ns() - start_ns), .exits = -1};
        return true;
    }
    guest_mem_load(own->memory, CODE_GPA, operations[operation].code, operations[operation].len);
    start_ns = bench_now_ns();
    if (operation == OWN_RUN)
        return run_batch(own, count, batch, reason);
    for (unsigned i = 0; i < count; i++) {
        own->cpu.rip = CODE_GPA;
        if (step_alone(own, &outcome) != STEP_DONE) {
            *reason = outcome.reason ? outcome.reason : "the emulator raised an exception";
            return false;
        }
    }
    *batch = (struct batch){.ns = (double)(bench_now_ns() - start_ns), .exits = 0};
    return true;
}
