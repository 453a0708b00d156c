/* SPDX-License-Identifier: MIT
 *
 * The machine of the emulator's tests.
 */
#include "tests/mmio/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/harness.h"

struct guest_memory *test_memory;
struct step_machine test_machine;
struct cpu_state test_cpu;
struct step_outcome test_outcome;
char test_seen[4000];

static struct bus *bus, *ports;
static struct bus_region a, b, p;

static uint64_t probe_read(void *device, uint64_t offset, unsigned size)
{
    size_t len = strlen(test_seen);
    if (len < sizeof(test_seen) - 40)
        snprintf(test_seen + len, sizeof(test_seen) - len, "%s:r%u@%llx ", (const char *)device, size,
                 (unsigned long long)offset);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(uint8_t)(0x10 + offset + i) << (8 * i);
    return value;
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    size_t len = strlen(test_seen);
    if (len < sizeof(test_seen) - 60)
        snprintf(test_seen + len, sizeof(test_seen) - len, "%s:w%u@%llx=%llx ", (const char *)device, size,
                 (unsigned long long)offset, (unsigned long long)value);
}

static const struct bus_ops probe_ops = {.read = probe_read, .write = probe_write};

static void cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    static const uint32_t components[3][4] = {{7}, {2}, {0x100, 0x240}}; /* x87, SSE, AVX; XSAVEC */
    (void)owner;
    if (leaf == 0xd && subleaf < 3)
        memcpy(regs, components[subleaf], sizeof(components[0]));
    if (leaf == 7)
        regs[1] = 1u << 3; /* BMI1 */
    if (leaf == 0x80000001)
        regs[2] = 1u << 5; /* LZCNT */
}

static uint64_t msrs[4]; /* STAR, LSTAR, CSTAR, FMASK */
static uint64_t kernel_gs_base;

static uint64_t *msr_find(uint32_t index)
{
    if (index >= 0xc0000081 && index <= 0xc0000084)
        return &msrs[index - 0xc0000081];
    return index == 0xc0000102 ? &kernel_gs_base : NULL;
}

static bool msr_read(void *owner, uint32_t index, uint64_t *value)
{
    (void)owner;
    uint64_t *msr = msr_find(index);
    if (msr)
        *value = *msr;
    return msr;
}

static bool msr_write(void *owner, uint32_t index, uint64_t value)
{
    (void)owner;
    uint64_t *msr = msr_find(index);
    if (msr)
        *msr = value;
    return msr;
}

static uint64_t tsc_read(void *owner)
{
    (void)owner;
    return 0x1122334455667788;
}

static void tlb_flush(void *owner)
{
    (void)owner;
    strcat(test_seen, "flush ");
}

static const struct step_ops ops = {.cpuid = cpuid,
                                    .msr_read = msr_read,
                                    .msr_write = msr_write,
                                    .tsc_read = tsc_read,
                                    .tlb_flush = tlb_flush};

void *test_ram(gpa_t gpa)
{
    void *hva = guest_mem_ptr(test_memory, gpa, 1);
    ck_assert_ptr_nonnull(hva);
    return hva;
}

static void map(uint64_t gva, uint64_t entry)
{
    store_le64((uint8_t *)test_ram(0x4000) + 8 * (gva >> 12), entry);
}

#define P 1u
#define W 2u
#define U 4u

static void build_page_tables(void)
{
    store_le64(test_ram(0x1000), 0x2000 | P | W | U);
    store_le64(test_ram(0x2000), 0x3000 | P | W | U);
    store_le64(test_ram(0x3000), 0x4000 | P | W | U);
    for (uint64_t gva = 0; gva < 0x80000; gva += 0x1000)
        map(gva, gva | P | W | (gva >= 0x10000 && gva < 0x40000 ? U : 0));
    map(0x40000, 0);
    map(0x50000, A_GPA | P | W);
    map(0x51000, B_GPA | P | W);
    map(0x60000, 0x60000 | P);
    map(0x70000, 0x70000 | P | W | U);
}

static struct cpu_segment segment(unsigned selector, uint64_t base, uint32_t limit, unsigned attributes)
{
    return (struct cpu_segment){
        .base = base, .limit = limit, .selector = (uint16_t)selector, .attributes = (uint16_t)attributes};
}

static void set_segments(unsigned cs, unsigned cs_attributes, unsigned data, unsigned data_attributes)
{
    test_cpu.segments[CPU_CS] = segment(cs, 0, 0xffffffff, cs_attributes);
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        if (i != CPU_CS)
            test_cpu.segments[i] = segment(data, 0, 0xffffffff, data_attributes);
}

static void set_real(void)
{
    test_cpu.cr0 = CR0_ET;
    set_segments(0x1000, 0x9b, 0x2000, 0x93);
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++) {
        test_cpu.segments[i].limit = 0xffff;
        test_cpu.segments[i].base = i == CPU_CS ? 0x10000 : 0x20000;
    }
    test_cpu.gpr[CPU_RSP] = STACK & 0xffff;
    test_cpu.rip = CODE & 0xffff;
    test_cpu.idt = (struct cpu_table){.base = 0, .limit = 0x3ff};
}

static void set_mode(enum test_mode mode)
{
    struct cpu_state *cpu = &test_cpu;
    bool is_long = mode == TEST_64 || mode == TEST_64_USER || mode == TEST_COMPAT;
    memset(cpu, 0, sizeof(*cpu));
    cpu->rflags = FLAG_FIXED;
    cpu->rip = CODE;
    cpu->gpr[CPU_RSP] = STACK;
    cpu->gdt = (struct cpu_table){.base = GDT_GPA, .limit = 0x7f};
    cpu->idt = (struct cpu_table){.base = IDT_GPA, .limit = 0xfff};
    cpu->tr = segment(0x40, TSS_GPA, 0x67, 0x8b);
    cpu->dr6 = DR6_FIXED;
    cpu->dr7 = 0x400;
    if (mode == TEST_16) {
        set_real();
        return;
    }
    cpu->cr0 = CR0_PE | CR0_ET | CR0_WP | (is_long ? CR0_PG : 0);
    cpu->cr3 = 0x1000;
    cpu->cr4 = is_long ? CR4_PAE : 0;
    cpu->efer = is_long ? EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE : 0;
    if (mode == TEST_64)
        set_segments(0x08, 0xa09b, 0x10, 0xc093);
    else if (mode == TEST_64_USER)
        set_segments(0x2b, 0xa0fb, 0x23, 0xc0f3);
    else
        set_segments(0x18, 0xc09b, 0x10, 0xc093);
    cpu->cpl = mode == TEST_64_USER ? 3 : 0;
}

/* Selectors: 08 code 64, 10 data, 18 code 32, 20 user data, 28 user code 64, 30 user code 32, 38 code 16,
 * 40 TSS (two entries), 50 not present, 58 conforming code 32, 60 read-only data, 68 execute-only code */
static void build_tables(enum test_mode mode)
{
    static const uint64_t gdt[] = {0,
                                   0x00af9b000000ffff,
                                   0x00cf93000000ffff,
                                   0x00cf9b000000ffff,
                                   0x00cff3000000ffff,
                                   0x00affb000000ffff,
                                   0x00cffb000000ffff,
                                   0x00009b000000ffff,
                                   0x00008b0000000067 | (uint64_t)TSS_GPA << 16,
                                   0,
                                   0x00cf13000000ffff,
                                   0x00cf9f000000ffff,
                                   0x00cf91000000ffff,
                                   0x00cf99000000ffff};
    memcpy(test_ram(GDT_GPA), gdt, sizeof(gdt));
    (void)mode;
}

void test_set_up(enum test_mode mode)
{
    test_tear_down();
    ck_assert_int_eq(guest_memory_create(2 * MIB, MEMORY_ANONYMOUS, &test_memory, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_MEMORY, &bus, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_PORTS, &ports, NULL), 0);
    a = (struct bus_region){.name = "a", .base = A_GPA, .len = 0x1000, .ops = &probe_ops, .device = "a"};
    b = (struct bus_region){.name = "b", .base = B_GPA, .len = 0x1000, .ops = &probe_ops, .device = "b"};
    p = (struct bus_region){.name = "p", .base = 0x100, .len = 0x100, .ops = &probe_ops, .device = "p"};
    ck_assert_int_eq(bus_add(bus, &a, NULL), 0);
    ck_assert_int_eq(bus_add(bus, &b, NULL), 0);
    ck_assert_int_eq(bus_add(ports, &p, NULL), 0);
    test_machine = (struct step_machine){.memory = test_memory, .bus = bus, .ports = ports, .ops = &ops};
    test_seen[0] = 0;
    build_page_tables();
    build_tables(mode);
    set_mode(mode);
}

void test_tear_down(void)
{
    if (!test_memory)
        return;
    guest_memory_destroy(test_memory);
    bus_destroy(bus);
    bus_destroy(ports);
    test_memory = NULL;
}

enum step_result test_step(const void *code, unsigned len)
{
    ck_assert_int_eq(guest_mem_load(test_memory, CODE, code, len), 0);
    return step_insn(&test_machine, &test_cpu, NULL, 0, &test_outcome);
}

/* ---- states as text ---- */

/* Where a thing is; size 0: there is none of that name. */
struct place {
    void *at;
    unsigned size;
};

static const char *const gpr_names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const segment_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};
static const struct {
    const char *name;
    uint32_t bit;
} flag_names[] = {{"CF", FLAG_CF}, {"PF", FLAG_PF}, {"AF", FLAG_AF}, {"ZF", FLAG_ZF},   {"SF", FLAG_SF},
                  {"OF", FLAG_OF}, {"DF", FLAG_DF}, {"IF", FLAG_IF}, {"TF", FLAG_TF},   {"AC", FLAG_AC},
                  {"NT", FLAG_NT}, {"RF", FLAG_RF}, {"VM", FLAG_VM}, {"VIF", FLAG_VIF}, {"VIP", FLAG_VIP}};

static struct place gpr_place(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(gpr_names); i++)
        if (!strcmp(gpr_names[i], name))
            return (struct place){&test_cpu.gpr[i], 8};
    return (struct place){NULL, 0};
}

static struct cpu_segment *segment_named(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_COUNT(segment_names); i++)
        if (len == 2 && !strncmp(segment_names[i], name, 2))
            return &test_cpu.segments[i];
    if (len == 2 && !strncmp(name, "tr", 2))
        return &test_cpu.tr;
    return len == 3 && !strncmp(name, "ldt", 3) ? &test_cpu.ldt : NULL;
}

/* A selector, or .base or .limit of what it has loaded. */
static struct place segment_place(const char *name)
{
    size_t len = strcspn(name, ".");
    struct cpu_segment *segment = segment_named(name, len);
    if (segment && !name[len])
        return (struct place){&segment->selector, sizeof(segment->selector)};
    if (segment && !strcmp(name + len, ".base"))
        return (struct place){&segment->base, sizeof(segment->base)};
    if (segment && !strcmp(name + len, ".limit"))
        return (struct place){&segment->limit, sizeof(segment->limit)};
    if (segment && !strcmp(name + len, ".attributes"))
        return (struct place){&segment->attributes, sizeof(segment->attributes)};
    return (struct place){NULL, 0};
}

static struct place control_place(const char *name)
{
    const struct {
        const char *name;
        struct place place;
    } places[] = {
        {"rip", {&test_cpu.rip, 8}}, {"rflags", {&test_cpu.rflags, 8}}, {"cr0", {&test_cpu.cr0, 8}},
        {"cr2", {&test_cpu.cr2, 8}}, {"cr3", {&test_cpu.cr3, 8}},       {"cr4", {&test_cpu.cr4, 8}},
        {"cr8", {&test_cpu.cr8, 8}}, {"efer", {&test_cpu.efer, 8}},     {"dr0", {&test_cpu.dr[0], 8}},
        {"dr6", {&test_cpu.dr6, 8}}, {"dr7", {&test_cpu.dr7, 8}},       {"cpl", {&test_cpu.cpl, 1}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(places); i++)
        if (!strcmp(places[i].name, name))
            return places[i].place;
    return (struct place){NULL, 0};
}

/* [ADDRESS]SIZE */
static struct place memory_place(const char *name)
{
    unsigned address, size;
    int count = sscanf(name, "[%x]%u", &address, &size);
    return count == 2 && size <= 8 ? (struct place){test_ram(address), size} : (struct place){NULL, 0};
}

static bool flag_access(const char *name, bool writes, uint64_t *value)
{
    for (size_t i = 0; i < ARRAY_COUNT(flag_names); i++) {
        uint64_t bit = flag_names[i].bit;
        if (strcmp(flag_names[i].name, name))
            continue;
        if (writes)
            test_cpu.rflags = *value ? test_cpu.rflags | bit : test_cpu.rflags & ~bit;
        *value = (test_cpu.rflags & bit) != 0;
        return true;
    }
    return false;
}

/* Reads or writes the thing called `name`. */
static bool word_access(const char *name, bool writes, uint64_t *value)
{
    static struct place (*const finders[])(const char *) = {gpr_place, segment_place, control_place,
                                                            memory_place};
    struct place place = {NULL, 0};
    for (size_t i = 0; i < ARRAY_COUNT(finders) && !place.size; i++)
        place = finders[i](name);
    if (!place.size)
        return flag_access(name, writes, value);
    if (writes)
        store_le(place.at, *value, place.size);
    *value = load_le(place.at, place.size);
    return true;
}

static void each_word(const char *what, const char *text, bool writes)
{
    char copy[600], *save = NULL;
    ck_assert_uint_lt(strlen(text), sizeof(copy));
    strcpy(copy, text);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *number = strchr(word, '=');
        ck_assert_msg(number, "%s: \"%s\" has no number", what, word);
        *number++ = 0;
        uint64_t wanted = strtoull(number, NULL, 16), value = wanted;
        ck_assert_msg(word_access(word, writes, &value), "%s: what is \"%s\"?", what, word);
        ck_assert_msg(writes || value == wanted, "%s: %s is %llx, not %llx", what, word,
                      (unsigned long long)value, (unsigned long long)wanted);
    }
}

void test_apply(const char *text)
{
    each_word("set", text, true);
}

void test_expect(const char *what, const char *text)
{
    each_word(what, text, false);
}
