/* SPDX-License-Identifier: MIT
 *
 * What one emulated instruction costs by itself: fetch, decode and execution in software, of a CPU whose
 * registers are already loaded. No KVM. `emulate [ROUNDS]` prints a table: the best of several runs, in ns.
 */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "mmio/simd_code.h"
#include "mmio/step.h"
#include "mmio/xsave.h"

#define RAM_BYTES  (1 * MIB)
#define CODE       0x10000u
#define DATA       0x20000u
#define TABLES     0x40000u
#define DEVICE_GPA 0xd0000000u
#define RUNS       9

static _Alignas(64) uint8_t area[XSAVE_IMAGE_MAX];
static struct xsave_layout layout;
static volatile uint64_t register_of_device;

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return register_of_device;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device, (void)offset, (void)size;
    register_of_device = value;
}

static int load_vector(void *owner, struct cpu_state *cpu)
{
    (void)owner;
    cpu->vector.xsave = area;
    cpu->vector.xcr0 = layout.components;
    return 0;
}

static const struct bus_ops device_ops = {.read = device_read, .write = device_write};
static const struct step_ops ops = {.load_vector = load_vector};
static struct bus_region device = {
    .name = "device", .base = DEVICE_GPA, .len = PAGE_BYTES, .ops = &device_ops, .device = &device};
static struct step_machine machine = {.ops = &ops};

/* Identity, 2 MiB pages below 4 GiB. */
static void map_memory(void)
{
    uint64_t *table = guest_mem_ptr(machine.memory, TABLES, 6 * PAGE_BYTES);
    table[0] = (TABLES + PAGE_BYTES) | 7;
    for (unsigned i = 0; i < 4; i++)
        table[512 + i] = (TABLES + (2 + i) * PAGE_BYTES) | 7;
    for (unsigned i = 0; i < 2048; i++)
        table[1024 + i] = (uint64_t)i << 21 | 0xe7;
}

static int set_up(void)
{
    struct vmm_error error;
    if (guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &machine.memory, &error) ||
        bus_create(BUS_MEMORY, &machine.bus, &error) || bus_create(BUS_PORTS, &machine.ports, &error) ||
        bus_add(machine.bus, &device, &error) || simd_code_create(&machine.simd, &error)) {
        fprintf(stderr, "emulate: %s\n", error.message);
        return 1;
    }
    map_memory();
    xsave_layout_host(&layout);
    store_le64(area + XSAVE_HEADER, layout.components & XSAVE_VECTOR_COMPONENTS);
    store_le16(area + XSAVE_FCW, FCW_DEFAULT);
    store_le32(area + XSAVE_MXCSR, MXCSR_DEFAULT);
    return 0;
}

static void set_cpu(struct cpu_state *cpu)
{
    *cpu = (struct cpu_state){.rip = CODE, .rflags = FLAG_FIXED};
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->efer = EFER_LME | EFER_LMA | EFER_NXE;
    cpu->segments[CPU_CS].attributes = SEGMENT_CODE | SEGMENT_WRITABLE | SEGMENT_S | SEGMENT_PRESENT |
                                       SEGMENT_L;
    cpu->gpr[CPU_RAX] = DEVICE_GPA;
    cpu->gpr[CPU_RBX] = DATA;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The best run's time for an instruction, or a negative number where it was not executed. */
static double measure(const char *bytes, unsigned len, bool has_hint, unsigned rounds)
{
    struct cpu_state cpu;
    struct step_outcome outcome;
    double best = -1;
    guest_mem_load(machine.memory, CODE, bytes, len);
    set_cpu(&cpu);
    for (unsigned run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (unsigned i = 0; i < rounds; i++) {
            cpu.rip = CODE;
            memset(&outcome, 0, sizeof(outcome));
            if (step_insn(&machine, &cpu, has_hint ? (const uint8_t *)bytes : NULL, has_hint ? len : 0,
                          &outcome) != STEP_DONE)
                return -1;
        }
        double each = (now_ns() - start) / rounds;
        if (best < 0 || each < best)
            best = each;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *bytes;
        unsigned len;
    } lines[] = {
        {"mov [device], ecx", "\x89\x08", 2},
        {"mov ecx, [device]", "\x8b\x08", 2},
        {"add [device], ecx", "\x01\x08", 2},
        {"mov [ram], ecx", "\x89\x0b", 2},
        {"mov ecx, edx", "\x89\xd1", 2},
        {"movups [device], xmm0", "\x0f\x11\x00", 3},
        {"vmovups [device], ymm0", "\xc5\xfc\x11\x00", 4},
        {"vmovdqu64 [device], zmm0", "\x62\xf1\xfe\x48\x7f\x00", 6},
        {"vmovdqu64 zmm0, [device]", "\x62\xf1\xfe\x48\x6f\x00", 6},
        {"vmovdqu64 [ram], zmm0", "\x62\xf1\xfe\x48\x7f\x03", 6},
        {"addps xmm0, [ram]", "\x0f\x58\x03", 3},
        {"vaddps zmm0, zmm1, [ram]", "\x62\xf1\x74\x48\x58\x03", 6},
        {"fld dword [ram]; as one", "\xd9\x03", 2},
    };
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 20000;
    if (!rounds || set_up())
        return 1;
    printf("%-28s %10s %14s\n", "instruction", "ns", "ns, bytes given");
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        double fetched = measure(lines[i].bytes, lines[i].len, false, rounds);
        double given = measure(lines[i].bytes, lines[i].len, true, rounds);
        if (fetched < 0 || given < 0)
            printf("%-28s not on this host\n", lines[i].name);
        else
            printf("%-28s %10.1f %14.1f\n", lines[i].name, fetched, given);
    }
    simd_code_destroy(machine.simd);
    bus_destroy(machine.bus);
    bus_destroy(machine.ports);
    guest_memory_destroy(machine.memory);
    return 0;
}
