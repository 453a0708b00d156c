/* SPDX-License-Identifier: MIT
 *
 * The emulator over a hostile guest: the input is the CPU's mode and registers, then 64 KiB of RAM that is
 * repeated over the guest's memory, so page tables, descriptors, code and data are all its choice. Whatever
 * comes of it, no sanitizer may complain, a fault must leave the registers alone, and a step must end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/deliver.h"
#include "mmio/run.h"
#include "mmio/simd_code.h"
#include "mmio/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define RAM_BYTES    (1 * MIB)
#define DEVICE_GPA   0x100000u
#define DEVICE_BYTES 0x10000u
#define STEPS        8
#define HEAD_BYTES   200

static struct guest_memory *memory;
static struct bus *bus, *ports;
static struct simd_code *simd;
static const uint8_t never;
static struct step_run *run; /* kept over all inputs: what it remembers must never be stale */
static uint8_t *area;

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    if (!size || size > 8 || (size & (size - 1)))
        abort();
    return offset * 0x0101010101010101ull;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    if (!size || size > 8 || (size & (size - 1)) || (size < 8 && value >> (8 * size)))
        abort();
}

static const struct bus_ops device_ops = {.read = device_read, .write = device_write};

static int load_vector(void *owner, struct cpu_state *cpu)
{
    (void)owner;
    cpu->vector.xsave = area;
    cpu->vector.xcr0 = 0xe7;
    return 0;
}

static void cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    (void)owner;
    (void)leaf;
    (void)subleaf;
    memset(regs, 0xff, 16);
}

static bool msr_read(void *owner, uint32_t index, uint64_t *value)
{
    (void)owner;
    *value = index * 0x10001000100010ull;
    return index & 1;
}

static bool msr_write(void *owner, uint32_t index, uint64_t value)
{
    (void)owner;
    (void)value;
    return index & 1;
}

static uint64_t tsc_read(void *owner)
{
    (void)owner;
    return 1;
}

static bool xcr0_write(void *owner, uint64_t value)
{
    (void)owner;
    return value & 1;
}

static void tlb_flush(void *owner)
{
    (void)owner;
}

static void ram_written(void *owner, gpa_t gpa, uint64_t len)
{
    (void)owner;
    if (!guest_mem_is_ram(memory, gpa, len))
        abort();
}

static const struct step_ops ops = {.load_vector = load_vector,
                                    .cpuid = cpuid,
                                    .msr_read = msr_read,
                                    .msr_write = msr_write,
                                    .tsc_read = tsc_read,
                                    .xcr0_write = xcr0_write,
                                    .tlb_flush = tlb_flush,
                                    .ram_written = ram_written};

static void set_up(void)
{
    static struct bus_region device = {
        .name = "d", .base = DEVICE_GPA, .len = DEVICE_BYTES, .ops = &device_ops};
    static struct bus_region port = {.name = "p", .base = 0, .len = 0x8000, .ops = &device_ops};
    static uint8_t rom[PAGE_BYTES] __attribute__((aligned(4096)));
    if (guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL) ||
        guest_memory_add(memory, 0x200000, rom, sizeof(rom), true, NULL) ||
        bus_create(BUS_MEMORY, &bus, NULL) || bus_create(BUS_PORTS, &ports, NULL) ||
        bus_add(bus, &device, NULL) || bus_add(ports, &port, NULL) || simd_code_create(&simd, NULL) ||
        step_run_create(&run, NULL))
        abort();
    area = aligned_alloc(64, 16384);
    if (!area)
        abort();
}

struct input {
    const uint8_t *at;
    size_t len;
};

static uint64_t take(struct input *input, unsigned size)
{
    uint64_t value = 0;
    unsigned have = input->len < size ? (unsigned)input->len : size;
    memcpy(&value, input->at, have);
    input->at += have;
    input->len -= have;
    return value;
}

/* Small numbers most of the time: addresses that mean something. */
static uint64_t take_address(struct input *input)
{
    uint64_t value = take(input, 4);
    switch (value >> 30) {
    case 0:
        return value & 0x1fffff;
    case 1:
        return DEVICE_GPA + (value & 0x1ffff);
    case 2:
        return value << 32 | (value & 0xffff);
    default:
        return (uint64_t)(int64_t)(int32_t)value;
    }
}

static void take_segment(struct input *input, struct cpu_segment *segment)
{
    segment->base = take_address(input);
    segment->limit = take(input, 1) & 1 ? 0xffffffff : (uint32_t)take(input, 3);
    segment->selector = (uint16_t)take(input, 1);
    segment->attributes = (uint16_t)take(input, 2) & 0xf0ff;
}

/* A CPU that could exist: the modes go together, and so do CPL, SS and CS. */
static void take_cpu(struct input *input, struct cpu_state *cpu)
{
    unsigned mode = (unsigned)take(input, 1);
    memset(cpu, 0, sizeof(*cpu));
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
        cpu->gpr[i] = take_address(input);
    cpu->rip = take_address(input);
    cpu->rflags = (take(input, 3) & 0x3f7fd5) | FLAG_FIXED;
    cpu->cr0 = take(input, 4) & (CR0_WP | CR0_AM | CR0_TS | CR0_EM | CR0_MP);
    cpu->cr4 = take(input, 4) & 0x00f77fff;
    cpu->cr3 = take_address(input);
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        take_segment(input, &cpu->segments[i]);
    take_segment(input, &cpu->ldt);
    take_segment(input, &cpu->tr);
    cpu->gdt = (struct cpu_table){.base = take_address(input), .limit = (uint16_t)take(input, 1)};
    cpu->idt = (struct cpu_table){.base = take_address(input), .limit = (uint16_t)take(input, 2)};
    if (mode & 1)
        cpu->cr0 |= CR0_PE;
    if ((mode & 3) == 3)
        cpu->cr0 |= CR0_PG;
    if ((mode & 7) == 7) {
        cpu->cr4 |= CR4_PAE;
        cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | (mode & 8 ? EFER_NXE : 0);
    }
    if (!(cpu->efer & EFER_LMA))
        cpu->rip = (uint32_t)cpu->rip;
    if (!(cpu->cr0 & CR0_PE) || (cpu->efer & EFER_LMA))
        cpu->rflags &= ~(uint64_t)FLAG_VM;
    cpu->cpl = cpu->rflags & FLAG_VM ? 3 : cpu->cr0 & CR0_PE ? mode >> 4 & 3 : 0;
    if (mode & 0x40) {
        cpu->dr7 = take(input, 4);
        cpu->dr[0] = take_address(input);
    }
}

/* The rest of the input over and over; most of memory is a pattern of it. */
static void fill_memory(const struct input *input)
{
    uint8_t *ram = guest_mem_ptr(memory, 0, RAM_BYTES);
    memset(ram, 0, RAM_BYTES);
    if (!input->len)
        return;
    for (size_t at = 0; at < RAM_BYTES; at += 0x1000)
        memcpy(ram + at, input->at, input->len < 0x1000 ? input->len : 0x1000);
}

/* For half of the long-mode inputs sound tables, identity with 2 MiB pages, over the pattern: else nearly
 * every input would end at its first fetch. */
static void sound_tables(struct cpu_state *cpu)
{
    uint8_t *ram = guest_mem_ptr(memory, 0, RAM_BYTES);
    if (!(cpu->efer & EFER_LMA) || (cpu->cr3 & 1))
        return;
    cpu->cr3 = 0x1000;
    store_le64(ram + 0x1000, 0x2007);
    store_le64(ram + 0x2000, 0x3007);
    for (unsigned i = 0; i < 8; i++)
        store_le64(ram + 0x3000 + 8 * i, (uint64_t)i << 21 | 0x87);
    cpu->cr4 &= ~(uint64_t)(CR4_LA57 | CR4_SMEP | CR4_SMAP | CR4_PKE);
}

#define TASKS_GDT 0x4000u
#define TASKS_IDT 0x4800u
#define TASKS_TSS 0x5000u /* two of them, 0x80 apart */

/* A flat world with sound descriptors of every kind, but for one; what they name, and the selectors in the
 * TSSs, is the input's. */
static const uint64_t sound_gdt[] = {
    0,
    0x00cf9b000000ffff,
    0x00cf93000000ffff,
    0x00cffb000000ffff,
    0x00cff3000000ffff,
    0x0000890000000067 | (uint64_t)TASKS_TSS << 16,
    0x00008b0000000067 | (uint64_t)(TASKS_TSS + 0x80) << 16,
    0x000081000000002b | (uint64_t)TASKS_TSS << 16,
    0x000083000000002b | (uint64_t)(TASKS_TSS + 0x80) << 16,
    0x0000e50000280000, /* task gates */
    0x0000850000380000,
    0x0000820000000047 | (uint64_t)TASKS_GDT << 16, /* an LDT: the same table */
    0x000013000000ffff,
    0x0000e9000fff0067,
};

static void put_transfer(struct input *input, uint8_t *code)
{
    static const uint8_t opcodes[] = {0xea, 0x9a, 0xcf, 0xcd, 0xcc, 0xf1, 0x0f};
    uint8_t opcode = opcodes[take(input, 1) % sizeof(opcodes)];
    code[0] = opcode;
    code[1] = (uint8_t)take(input, 1); /* the vector of INT, the address of the others, which is ignored */
    store_le16(code + 5, (uint16_t)take(input, 1));
}

static void sound_tasks(struct input *input, struct cpu_state *cpu)
{
    /* the link, and segments in both formats */
    static const uint8_t selectors[] = {0, 0x22, 0x24, 0x26, 0x28, 0x48, 0x4c, 0x50, 0x54, 0x60};
    uint8_t *ram = guest_mem_ptr(memory, 0, RAM_BYTES);
    memcpy(ram + TASKS_GDT, sound_gdt, sizeof(sound_gdt));
    store_le64(ram + TASKS_GDT + 8 * (take(input, 1) % ARRAY_COUNT(sound_gdt)), take(input, 8));
    for (unsigned i = 0; i < 32; i++)
        store_le64(ram + TASKS_IDT + 8 * i,
                   i % 2 ? 0x0000ee0000080000 : 0x0000e50000000000 | (uint64_t)(i % 4 ? 0x28 : 0x38) << 16);
    for (unsigned i = 0; i < 2 * sizeof(selectors); i++)
        store_le16(ram + TASKS_TSS + (i & 1) * 0x80 + selectors[i / 2], (uint16_t)take(input, 1));
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        cpu->segments[i] = (struct cpu_segment){.limit = 0xffffffff,
                                                .selector = i == CPU_CS ? 8 : 16,
                                                .attributes = i == CPU_CS ? 0xc09b : 0xc093};
    cpu->gdt = (struct cpu_table){.base = TASKS_GDT, .limit = sizeof(sound_gdt) - 1};
    cpu->idt = (struct cpu_table){.base = TASKS_IDT, .limit = 0xff};
    cpu->tr = (struct cpu_segment){
        .base = TASKS_TSS + 0x80, .limit = 0x67, .selector = 0x30, .attributes = 0x8b};
    cpu->rip = 0x8000 + take(input, 1);
    cpu->dr7 = 0;
    put_transfer(input, ram + cpu->rip);
}

static bool same_registers(const struct cpu_state *a, const struct cpu_state *b)
{
    struct cpu_state copy = *a;
    copy.vector = b->vector;
    copy.pkru = b->pkru;
    return !memcmp(&copy, b, sizeof(copy));
}

/* By what the input's length says; each is filled once, as a vCPU's is. */
static const struct step_machine *get_machine(size_t len)
{
    static struct step_machine machines[4];
    struct step_machine *machine = &machines[len & 3];
    *machine = (struct step_machine){.memory = memory,
                                     .bus = bus,
                                     .ports = ports,
                                     .ops = &ops,
                                     .simd = simd,
                                     .run = len & 2 ? run : NULL,
                                     .physical_address_bits = 40,
                                     .vendor_amd = len & 1,
                                     .rep_limit = 1000};
    return machine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input input = {data, len};
    struct cpu_state cpu, before;
    struct step_outcome outcome;
    if (!memory)
        set_up();
    take_cpu(&input, &cpu);
    fill_memory(&input);
    sound_tables(&cpu);
    bool has_tasks = len > HEAD_BYTES && (data[0] & 0x80) && (cpu.cr0 & CR0_PE) && !(cpu.efer & EFER_LMA) &&
                     !(cpu.cr0 & CR0_PG) && !(cpu.rflags & FLAG_VM);
    if (has_tasks)
        sound_tasks(&input, &cpu);
    memset(area, 0, 16384);
    store_le16(area, 0x37f);
    store_le32(area + 24, 0x1f80);
    const struct step_machine *machine = get_machine(len);
    for (unsigned i = 0; i < STEPS; i++) {
        before = cpu;
        bool is_odd = (cpu.rflags & FLAG_TF) || (cpu.dr7 & DR7_ACTIVE);
        bool in_run = machine->run && (len & 4) && !is_odd;
        if (in_run)
            step_run_begin(run, machine, &cpu, &outcome);
        struct step_budget budget = {.left = 3, .window_left = 3, .window = 3, .stop = &never};
        if (in_run && (len & 8) && step_run_quick(run, &budget))
            continue;
        if (in_run && !same_registers(&before, &cpu))
            abort();
        enum step_result result = in_run ? step_run_insn(run) : step_insn(machine, &cpu, NULL, 0, &outcome);
        bool is_trap = result == STEP_EXCEPTION && outcome.event.is_trap;
        bool is_late = is_trap || (result == STEP_EXCEPTION && !in_run && outcome.task_switched);
        if ((result == STEP_EXCEPTION || result == STEP_UNSUPPORTED) && !is_late &&
            !same_registers(&before, &cpu))
            abort();
        if (result == STEP_UNSUPPORTED && (!outcome.reason || outcome.device_writes))
            abort();
        if (result == STEP_UNSUPPORTED || cpu.cpl > 3)
            return 0;
        struct step_event event = outcome.event;
        if (result == STEP_EXCEPTION && deliver_event(machine, &cpu, &event, &outcome) != STEP_DONE)
            return 0;
    }
    return 0;
}
