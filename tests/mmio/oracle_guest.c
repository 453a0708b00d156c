/* SPDX-License-Identifier: MIT
 *
 * The guest of the differential test: page tables that map its few pages at the linear addresses that they
 * have in the harness, with the same rights, and segments as Linux gives them to a process.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/run.h"
#include "mmio/simd_code.h"
#include "tests/mmio/oracle.h"

#define RAM_BYTES (1 * MIB)
#define DATA_GPA  0x10000
#define CODE_GPA  0x20000
#define GDT_GPA   0x30000
#define TABLE_GPA 0x40000
#define GDT       0xffff800000001000 /* linear, for the supervisor; the LDT is at +0x800 */

#define PTE_PRESENT  0x001ull
#define PTE_WRITABLE 0x002ull
#define PTE_USER     0x004ull
#define PTE_ACCESSED 0x020ull
#define PTE_DIRTY    0x040ull
#define PTE_NX       (1ull << 63)

#define CPUID_CACHE 64

struct oracle_guest {
    const struct native_harness *harness;
    struct guest_memory *memory;
    struct bus *bus, *ports;
    struct step_ops ops;
    struct step_machine machine;
    gpa_t next_table;
    uint64_t xcr0;
    uint64_t quick_count; /* instructions that took the short way */
    bool try_quick;       /* every other case */
    struct {
        uint32_t leaf, subleaf, regs[4];
    } cpuid[CPUID_CACHE];
    unsigned cpuid_count;
    _Alignas(64) uint8_t xsave[NATIVE_XSAVE_MAX];
};

/* The host's, remembered: the instruction is slow in a virtual machine. */
static void guest_cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    struct oracle_guest *guest = owner;
    for (unsigned i = 0; i < guest->cpuid_count; i++) {
        if (guest->cpuid[i].leaf == leaf && guest->cpuid[i].subleaf == subleaf) {
            memcpy(regs, guest->cpuid[i].regs, 16);
            return;
        }
    }
    __cpuid_count(leaf, subleaf, regs[0], regs[1], regs[2], regs[3]);
    if (guest->cpuid_count < CPUID_CACHE) {
        unsigned i = guest->cpuid_count++;
        guest->cpuid[i].leaf = leaf;
        guest->cpuid[i].subleaf = subleaf;
        memcpy(guest->cpuid[i].regs, regs, 16);
    }
}

/* oracle_guest_run has put the case's state there. */
static int guest_load_vector(void *owner, struct cpu_state *cpu)
{
    struct oracle_guest *guest = owner;
    cpu->vector.xsave = guest->xsave;
    cpu->vector.xcr0 = guest->xcr0;
    return 0;
}

bool oracle_is_amd(void)
{
    static int known = -1;
    if (known < 0) {
        unsigned a, b, c, d;
        __cpuid(0, a, b, c, d);
        known = c == signature_AMD_ecx;
    }
    return known;
}

static uint64_t *table_at(struct oracle_guest *guest, gpa_t gpa)
{
    return guest_mem_ptr(guest->memory, gpa, PAGE_BYTES);
}

static void map_page(struct oracle_guest *guest, uint64_t linear, gpa_t gpa, uint64_t flags)
{
    flags |= linear >> 63 ? 0 : PTE_USER;
    gpa_t table = TABLE_GPA;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = &table_at(guest, table)[linear >> shift & 511];
        if (!*entry) {
            *entry = guest->next_table | PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED;
            guest->next_table += PAGE_BYTES;
        }
        table = *entry & 0xffffffffff000;
    }
    table_at(guest, table)[linear >> 12 & 511] = gpa | flags | PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY;
}

static void map_all(struct oracle_guest *guest)
{
    const struct native_harness *harness = guest->harness;
    guest->next_table = TABLE_GPA + PAGE_BYTES;
    for (unsigned i = 0; i < NATIVE_DATA_PAGES; i++) {
        uint64_t flags = PTE_NX | (i < NATIVE_DATA_PAGES - 1 ? PTE_WRITABLE : 0);
        map_page(guest, harness->data_low + i * PAGE_BYTES, DATA_GPA + i * PAGE_BYTES, flags);
        map_page(guest, harness->data_high + i * PAGE_BYTES, DATA_GPA + i * PAGE_BYTES, flags);
    }
    map_page(guest, harness->code, CODE_GPA, 0);
    map_page(guest, GDT, GDT_GPA, PTE_WRITABLE);
}

static uint64_t descriptor(uint64_t base, uint64_t limit, uint64_t attributes)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | attributes << 40 | (limit >> 16 & 0xf) << 48 |
           (base >> 24 & 0xff) << 56;
}

/* What a process of Linux can see of the GDT, and its LDT as the harness has made it. */
static void fill_tables(struct oracle_guest *guest)
{
    uint64_t *gdt = guest_mem_ptr(guest->memory, GDT_GPA, PAGE_BYTES), *ldt = gdt + 0x100;
    gdt[1] = descriptor(0, 0xfffff, 0xc09b);
    gdt[2] = descriptor(0, 0xfffff, 0xa09b);
    gdt[3] = descriptor(0, 0xfffff, 0xc093);
    gdt[4] = descriptor(0, 0xfffff, 0xc0fb);
    gdt[5] = descriptor(0, 0xfffff, 0xc0f3);
    gdt[6] = descriptor(0, 0xfffff, 0xa0fb);
    gdt[8] = descriptor(0, 0x206f, 0x008b);
    gdt[10] = descriptor(0, NATIVE_LDT_LEN - 1, 0x0082);
    ldt[0] = descriptor(guest->harness->code, 0xffff, 0x10fb);
    ldt[1] = descriptor(guest->harness->data_low - NATIVE_DATA_16_OFFSET, 0xffff, 0x10f3);
}

struct oracle_guest *oracle_guest_create(const struct native_harness *harness)
{
    struct oracle_guest *guest = aligned_alloc(64, align_up(sizeof(*guest), 64));
    memset(guest, 0, sizeof(*guest));
    guest->harness = harness;
    guest->xcr0 = harness->components;
    guest->ops = (struct step_ops){.load_vector = guest_load_vector, .cpuid = guest_cpuid};
    if (guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &guest->memory, NULL) ||
        bus_create(BUS_MEMORY, &guest->bus, NULL) || bus_create(BUS_PORTS, &guest->ports, NULL) ||
        simd_code_create(&guest->machine.simd, NULL) || step_run_create(&guest->machine.run, NULL)) {
        oracle_guest_destroy(guest);
        return NULL;
    }
    guest->machine.memory = guest->memory;
    guest->machine.bus = guest->bus;
    guest->machine.ports = guest->ports;
    guest->machine.ops = &guest->ops;
    guest->machine.owner = guest;
    guest->machine.vendor_amd = oracle_is_amd();
    map_all(guest);
    fill_tables(guest);
    return guest;
}

void oracle_guest_destroy(struct oracle_guest *guest)
{
    if (!guest)
        return;
    simd_code_destroy(guest->machine.simd);
    step_run_destroy(guest->machine.run);
    bus_destroy(guest->ports);
    bus_destroy(guest->bus);
    guest_memory_destroy(guest->memory);
    free(guest);
}

uint64_t oracle_guest_quick(const struct oracle_guest *guest)
{
    return guest->quick_count;
}

uint8_t *oracle_guest_data(struct oracle_guest *guest)
{
    return guest_mem_ptr(guest->memory, DATA_GPA, NATIVE_DATA_BYTES);
}

uint8_t *oracle_guest_code(struct oracle_guest *guest)
{
    return guest_mem_ptr(guest->memory, CODE_GPA, PAGE_BYTES);
}

#define DATA_SEGMENT (SEGMENT_WRITABLE | SEGMENT_ACCESSED | SEGMENT_S | SEGMENT_DPL | SEGMENT_PRESENT)
#define CODE_SEGMENT (DATA_SEGMENT | SEGMENT_CODE)

static void set_segments(struct cpu_state *cpu, const struct native_harness *harness, unsigned mode)
{
    struct cpu_segment data = {
        .limit = UINT32_MAX, .selector = 0x2b, .attributes = DATA_SEGMENT | SEGMENT_DB | SEGMENT_G};
    struct cpu_segment code = {
        .limit = UINT32_MAX, .selector = 0x33, .attributes = CODE_SEGMENT | SEGMENT_L | SEGMENT_G};
    struct cpu_segment none = {0};
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        cpu->segments[i] = data;
    cpu->segments[CPU_FS] = cpu->segments[CPU_GS] = none;
    cpu->segments[CPU_FS].base = harness->fs_base;
    cpu->segments[CPU_GS].base = harness->gs_base;
    if (mode == 32) {
        code.selector = 0x23;
        code.attributes = CODE_SEGMENT | SEGMENT_DB | SEGMENT_G;
    } else if (mode == 16) {
        code = (struct cpu_segment){harness->code, 0xffff, 0x07, CODE_SEGMENT};
        data = (struct cpu_segment){harness->data_low - NATIVE_DATA_16_OFFSET, 0xffff, 0x0f, DATA_SEGMENT};
        cpu->segments[CPU_DS] = cpu->segments[CPU_ES] = data;
    }
    cpu->segments[CPU_CS] = code;
}

static void set_system(struct cpu_state *cpu)
{
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr3 = TABLE_GPA;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->cpl = 3;
    cpu->dr6 = DR6_FIXED;
    cpu->gdt = (struct cpu_table){.base = GDT, .limit = 16 * 8 - 1};
    cpu->ldt = (struct cpu_segment){.base = GDT + 0x800,
                                    .limit = NATIVE_LDT_LEN - 1,
                                    .selector = 0x50,
                                    .attributes = SEGMENT_PRESENT | 2};
}

/* The short way through a run, where it is one for this instruction; TF, which it knows nothing of, traps
 * then. Where it is not, nothing may have changed. */
static bool step_quickly(struct oracle_guest *guest, struct cpu_state *cpu, struct step_outcome *outcome)
{
    static const uint8_t never;
    const uint64_t traps = cpu->rflags & FLAG_TF;
    cpu->rflags &= ~(uint64_t)FLAG_TF;
    const struct cpu_state before = *cpu;
    step_run_begin(guest->machine.run, &guest->machine, cpu, outcome);
    struct step_budget budget = {.left = 1, .window_left = 1, .window = 1, .stop = &never};
    unsigned count = step_run_quick(guest->machine.run, &budget);
    if (!count && memcmp(&before, cpu, sizeof(before)) != 0)
        abort();
    cpu->rflags |= traps;
    *outcome = (struct step_outcome){.event = {.kind = EVENT_EXCEPTION, .vector = VECTOR_DB}};
    guest->quick_count += count;
    return count && traps;
}

/* Until the instruction is behind us: a REP comes back after every element, since TF is set. */
static enum step_result step(struct oracle_guest *guest, struct cpu_state *cpu,
                             const struct oracle_case *made, struct step_outcome *outcome)
{
    enum step_result result;
    uint64_t rip = cpu->rip;
    if (guest->try_quick && step_quickly(guest, cpu, outcome))
        return STEP_EXCEPTION;
    unsigned limit = made->in.step_limit ? made->in.step_limit : 1;
    do {
        *outcome = (struct step_outcome){0};
        result = step_insn(&guest->machine, cpu, NULL, 0, outcome);
        bool is_trap = result == STEP_EXCEPTION && outcome->event.vector == VECTOR_DB;
        if (result != STEP_AGAIN && !(is_trap && cpu->rip == rip))
            break;
    } while (--limit);
    return result;
}

bool oracle_guest_run(struct oracle_guest *guest, const struct oracle_case *made, struct native_result *out,
                      const char **reason)
{
    struct cpu_state cpu = {.rip = made->in.rip, .rflags = made->in.rflags};
    struct step_outcome outcome;
    memcpy(cpu.gpr, made->in.gpr, sizeof(cpu.gpr));
    set_system(&cpu);
    set_segments(&cpu, guest->harness, made->in.mode);
    if (made->in.mode == 16)
        cpu.rip -= guest->harness->code;
    if (made->in.xsave)
        memcpy(guest->xsave, made->in.xsave, guest->harness->xsave_bytes);
    guest->try_quick = !guest->try_quick;
    enum step_result result = step(guest, &cpu, made, &outcome);
    *reason = outcome.reason;
    if (result == STEP_UNSUPPORTED)
        return false;
    memcpy(out->gpr, cpu.gpr, sizeof(out->gpr));
    out->cs = cpu.segments[CPU_CS].selector;
    out->ss = cpu.segments[CPU_SS].selector;
    out->ds = cpu.segments[CPU_DS].selector < 4 ? 0 : cpu.segments[CPU_DS].selector;
    out->es = cpu.segments[CPU_ES].selector < 4 ? 0 : cpu.segments[CPU_ES].selector;
    out->rip = cpu.rip + (out->cs == NATIVE_CS_16 ? guest->harness->code : 0);
    out->rflags = cpu.rflags;
    out->trap = result == STEP_EXCEPTION ? outcome.event.vector : 0xff;
    out->error = result == STEP_EXCEPTION && outcome.event.has_error ? outcome.event.error_code : 0;
    out->cr2 = outcome.event.cr2;
    if (out->xsave && made->in.xsave)
        memcpy(out->xsave, guest->xsave, guest->harness->xsave_bytes);
    return true;
}
