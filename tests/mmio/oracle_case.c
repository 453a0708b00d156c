/* SPDX-License-Identifier: MIT
 *
 * Cases: an encoding (oracle_bytes.c) and random registers, whose address parts are then solved so that every
 * memory operand lies where the harness has memory: on a page, across two, across the edge of what may be
 * read or written. Nothing is left to hit the test's own memory.
 */
#include <cpuid.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/mmio/oracle.h"

/* CPUID 7, ECX: protection keys are in use by this host's kernel; its processor has five levels of paging. */
#define HOST_OSPKE (1u << 4)
#define HOST_LA57  (1u << 16)

static bool host_has(unsigned bit)
{
    static int64_t known = -1;
    if (known < 0) {
        unsigned a, b, c = 0, d;
        known = __get_cpuid_count(7, 0, &a, &b, &c, &d) ? c : 0;
    }
    return known & bit;
}

/* What must not run here: it would enter the kernel, leave the process's segments or protection keys changed,
 * or has an answer that only the processor knows. */
static bool is_forbidden(const struct insn *insn)
{
    switch (insn->op) {
    case INSN_OP_INT:
    case INSN_OP_INT1:
    case INSN_OP_INT3:
    case INSN_OP_INTO:
    case INSN_OP_IRET:
    case INSN_OP_SYSCALL:
    case INSN_OP_SYSRET:
    case INSN_OP_SYSENTER:
    case INSN_OP_SYSEXIT:
    case INSN_OP_SGDT:
    case INSN_OP_SIDT:
    case INSN_OP_SLDT:
    case INSN_OP_STR:
    case INSN_OP_SMSW:
    case INSN_OP_CPUID:
    case INSN_OP_RDTSC:
    case INSN_OP_RDTSCP:
    case INSN_OP_RDPMC:
    case INSN_OP_RDRAND:
    case INSN_OP_RDSEED:
    case INSN_OP_RDPID:
    case INSN_OP_RDPRU:
    case INSN_OP_WRFSBASE:
    case INSN_OP_WRGSBASE:
    case INSN_OP_MONITOR:
    case INSN_OP_MWAIT:
    case INSN_OP_VMCALL:
    case INSN_OP_VMMCALL:
    case INSN_OP_XBEGIN:
    case INSN_OP_XEND:
    case INSN_OP_XABORT:
    case INSN_OP_XTEST:
        return true;
    case INSN_OP_RDPKRU: /* without the keys: #UD */
    case INSN_OP_WRPKRU:
        return host_has(HOST_OSPKE);
    }
    /* FS holds the thread's own storage, GS the test's; SS takes the single step away. */
    if (insn->op == INSN_OP_LOAD_FAR)
        return insn_load_far_segment(insn) != INSN_DS && insn_load_far_segment(insn) != INSN_ES;
    const struct insn_operand *to = &insn->operands[0];
    bool is_load = insn->op == INSN_OP_MOV_SEG || insn->op == INSN_OP_POP;
    return is_load && to->kind == INSN_SEG && to->reg != INSN_DS && to->reg != INSN_ES;
}

static uint64_t interesting(void)
{
    static const uint64_t values[] = {0,          1,          2,         0x7f,       0x80,
                                      0xff,       0x7fff,     0x8000,    0xffff,     0x7fffffff,
                                      0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t value = oracle_chance(35) ? values[oracle_below(ARRAY_COUNT(values))] : oracle_random();
    return oracle_chance(20) ? value >> oracle_below(64) : value;
}

/* An offset from the first data page: mostly inside, often across an edge. */
static int64_t data_offset(unsigned size)
{
    unsigned edge = PAGE_BYTES * (1 + oracle_below(3));
    int64_t offset;
    if (oracle_chance(70))
        offset = (int64_t)oracle_below(2 * PAGE_BYTES - 128);
    else if (oracle_chance(75))
        offset = (int64_t)edge - 1 - (int64_t)oracle_below(size ? size + 4 : 8);
    else
        offset = (int64_t)oracle_below(5 * PAGE_BYTES) - (int64_t)PAGE_BYTES;
    return oracle_chance(60) ? offset & ~63ll : oracle_chance(50) ? offset & ~7ll : offset;
}

struct place {
    const struct native_harness *harness;
    struct oracle_case *made;
    uint64_t segment_base[CPU_SEGMENT_COUNT];
    uint64_t next_rip;
    unsigned displacement;
};

static void merge(uint64_t *reg, uint64_t value, unsigned size)
{
    uint64_t mask = size_mask(size);
    *reg = (*reg & ~mask) | (value & mask);
}

static void solve(struct place *place, const struct insn_memory *memory, uint64_t target)
{
    struct oracle_case *made = place->made;
    uint64_t *gpr = made->in.gpr;
    unsigned size = made->insn.address_size;
    uint64_t offset = target - (uint64_t)memory->disp;
    bool has_index = memory->index < 16 && memory->index_size <= 8;
    if (made->in.mode != 64 || memory->segment >= INSN_FS)
        offset -= place->segment_base[memory->segment];
    if (memory->base < 16 && has_index && memory->base == memory->index) {
        merge(&gpr[memory->base], offset / (1u + memory->scale), size);
    } else if (memory->base < 16) {
        if (has_index && memory->index_size > 1)
            merge(&gpr[memory->index], oracle_below(256), size);
        uint64_t index = has_index ? gpr[memory->index] & size_mask(memory->index_size) : 0;
        merge(&gpr[memory->base], offset - index * memory->scale, size);
    } else if (has_index) {
        merge(&gpr[memory->index], offset / memory->scale, size);
    } else if (place->displacement) {
        uint64_t value = offset + (uint64_t)memory->disp -
                         (memory->base == INSN_REG_RIP ? place->next_rip : 0);
        store_le(made->bytes + place->displacement, value, size == 2 ? 2 : 4);
    } else if (memory->kind == INSN_MEMORY_MOFFS) {
        store_le(made->bytes + made->insn.length - size, offset + (uint64_t)memory->disp, size);
    }
}

static uint64_t data_base(const struct place *place)
{
    bool can_be_high = place->made->in.mode == 64 && place->made->insn.address_size == 8;
    return can_be_high && oracle_chance(50) ? place->harness->data_high : place->harness->data_low;
}

static void place_stack(struct place *place)
{
    uint64_t *gpr = place->made->in.gpr;
    uint64_t base = place->made->in.mode == 64 && oracle_chance(50) ? place->harness->data_high
                                                                    : place->harness->data_low;
    gpr[CPU_RSP] = base + (uint64_t)data_offset(8);
    gpr[CPU_RBP] = oracle_chance(90) ? base + (uint64_t)data_offset(8) : gpr[CPU_RBP];
}

static void place_operands(struct place *place)
{
    struct oracle_case *made = place->made;
    if (made->insn.attributes & (INSN_STACK_READ | INSN_STACK_WRITE))
        place_stack(place);
    for (unsigned i = 0; i < made->insn.operand_count; i++) {
        struct insn_memory memory;
        if (!insn_memory(&made->insn, &made->insn.operands[i], &memory))
            continue;
        solve(place, &memory, data_base(place) + (uint64_t)data_offset(memory.size));
    }
    if ((made->insn.attributes & INSN_BIT_OFFSET) && made->insn.operands[1].kind == INSN_GPR &&
        made->insn.operands[1].reg != made->insn.base && made->insn.operands[1].reg != made->insn.index)
        made->in.gpr[made->insn.operands[1].reg] = (uint64_t)(int64_t)oracle_displacement();
    if (made->insn.op == INSN_OP_CLZERO)
        made->in.gpr[CPU_RAX] = data_base(place) + (uint64_t)data_offset(64);
    if (made->insn.attributes & INSN_REPEATS) {
        made->in.gpr[CPU_RCX] = oracle_below(6);
        made->in.step_limit = 12;
    }
}

/* Selectors that do not exist or are the kernel's, those of every process, and those that a kernel without
 * 32-bit code does not have. */
unsigned oracle_selector(const struct oracle_case *made)
{
    static const uint16_t selectors[] = {
        0,    3,    0x2a,   0x28,      0x10,         0x1b, 0x43,         0x53,         0x3b,        0x63,
        0x17, 0x83, 0xfff8, NATIVE_DS, NATIVE_CS_64, 0x20, NATIVE_CS_32, NATIVE_CS_16, NATIVE_DS_16};
    const unsigned narrow = 4;
    return selectors[oracle_below(ARRAY_COUNT(selectors) - (made->has_32bit ? 0 : narrow))];
}

static void place_selectors(struct oracle_case *made)
{
    const struct insn *insn = &made->insn;
    unsigned operand = insn->op == INSN_OP_VERR || insn->op == INSN_OP_VERW ? 0 : 1;
    bool takes_one = insn->op == INSN_OP_LAR || insn->op == INSN_OP_LSL || insn->op == INSN_OP_MOV_SEG ||
                     !operand;
    if (takes_one && insn->operands[operand].kind == INSN_GPR)
        merge(&made->in.gpr[insn->operands[operand].reg], oracle_selector(made), 2);
    if (insn->operands[0].kind == INSN_FAR)
        store_le16(made->bytes + insn->length - 2, (uint16_t)oracle_selector(made));
}

static bool is_harmless(const struct native_harness *harness, uint64_t address)
{
    const uint64_t slack = PAGE_BYTES, before = 512, after = 128; /* what an access may add on either side */
    const uint64_t len = NATIVE_DATA_BYTES + 2 * slack - before - after;
    unsigned edge = host_has(HOST_LA57) ? 56 : 47;
    if (address < 0xf000 || (address >> edge && ~address >> edge)) /* below mmap_min_addr; not canonical */
        return true;
    return address - (harness->data_low - slack + before) < len ||
           address - (harness->data_high - slack + before) < len ||
           address - (harness->code + PAGE_BYTES) < slack - after;
}

/* Where the bit of a BT, BTS, BTR or BTC with a register lies: its byte's address, as the processor cuts it.
 */
static uint64_t bit_address(const struct oracle_case *made, const struct insn_memory *memory,
                            const struct insn_registers *registers)
{
    uint64_t offset = insn_offset(&made->insn, memory, registers, 0);
    uint64_t base = insn_address(&made->insn, memory, registers, 0) - offset;
    unsigned unused = 64 - 8 * memory->size;
    int64_t bit = (int64_t)(made->in.gpr[made->insn.operands[1].reg] << unused) >> unused;
    uint64_t address = base + ((offset + (uint64_t)(bit >> 3)) & size_mask(made->insn.address_size));
    return made->in.mode == 64 ? address : address & 0xffffffff;
}

/* With the final bytes and registers: no access goes to the test's own memory. */
static bool is_safe(struct place *place)
{
    struct oracle_case *made = place->made;
    struct insn_registers registers = {made->in.gpr, place->segment_base, place->next_rip};
    if (made->in.mode == 16)
        registers.next_rip -= place->harness->code;
    for (unsigned i = 0; i < made->insn.operand_count; i++) {
        struct insn_memory memory;
        if (!insn_memory(&made->insn, &made->insn.operands[i], &memory) ||
            (memory.access == INSN_ACCESS_NONE && made->insn.op != INSN_OP_CLFLUSH) ||
            memory.access == INSN_ADDRESS)
            continue;
        if (!is_harmless(place->harness, insn_address(&made->insn, &memory, &registers, 0)))
            return false;
        if ((made->insn.attributes & INSN_BIT_OFFSET) && made->insn.operands[1].kind == INSN_GPR &&
            !is_harmless(place->harness, bit_address(made, &memory, &registers)))
            return false;
    }
    if (made->insn.op == INSN_OP_CLZERO &&
        !is_harmless(place->harness, made->in.gpr[CPU_RAX] & size_mask(made->insn.address_size)))
        return false;
    if (!(made->insn.attributes & (INSN_STACK_READ | INSN_STACK_WRITE)))
        return true;
    uint64_t mask = made->in.mode == 64 ? UINT64_MAX : 0xffffffff;
    bool uses_rbp = made->insn.op == INSN_OP_ENTER || made->insn.op == INSN_OP_LEAVE;
    if (made->insn.op == INSN_OP_ENTER) {
        uint64_t below = (made->in.gpr[CPU_RSP] - (made->insn.imm & 0xffff) - 0x200) & mask;
        if (below > UINT32_MAX && !is_harmless(place->harness, below))
            return false;
    }
    return is_harmless(place->harness, made->in.gpr[CPU_RSP] & mask) &&
           (!uses_rbp || is_harmless(place->harness, made->in.gpr[CPU_RBP] & mask));
}

static void make_registers(const struct native_harness *harness, struct oracle_case *made)
{
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++) {
        made->in.gpr[i] = interesting();
        if (made->in.mode != 64)
            made->in.gpr[i] = i < 8 ? (uint32_t)made->in.gpr[i] : 0;
        if (host_has(HOST_LA57)) /* no target of a branch that is canonical there only */
            made->in.gpr[i] = (uint64_t)((int64_t)(made->in.gpr[i] << 16) >> 16);
    }
    if (!harness->has_any_rsp)
        made->in.gpr[CPU_RSP] = (uint64_t)((int64_t)(made->in.gpr[CPU_RSP] << 16) >> 16);
    made->in.rflags = FLAG_FIXED | FLAG_IF | FLAG_TF | (oracle_random() & FLAGS_STATUS);
    if (oracle_chance(25))
        made->in.rflags |= FLAG_DF;
    /* With a mask, processors differ in what they check the alignment of. */
    bool is_masked = made->insn.mask || made->insn.op == INSN_OP_COMPRESS ||
                     made->insn.op == INSN_OP_EXPAND || made->insn.op == INSN_OP_MASKMOV;
    if (oracle_chance(6) && !is_masked)
        made->in.rflags |= FLAG_AC;
}

enum oracle_made oracle_case_make(const struct native_harness *harness, struct oracle_row *row,
                                  uint8_t *xsave, struct oracle_case *made)
{
    static const uint8_t modes[] = {64, 64, 64, 64, 64, 32, 32, 16};
    struct place place = {.harness = harness, .made = made};
    *made = (struct oracle_case){.row = row, .has_32bit = harness->has_32bit};
    if (!harness->has_32bit && (row->long_set == 1 || row->address_set == 1))
        return CASE_FORBIDDEN;
    made->in.mode = modes[oracle_below(row->long_set == 2 || !harness->has_32bit ? 5 : ARRAY_COUNT(modes))];
    if (row->long_set == 1)
        made->in.mode = modes[5 + oracle_below(3)];
    if (!oracle_bytes_make(made, row, &place.displacement))
        return CASE_NONE;
    if (made->insn.op == INSN_OP_NONE)
        return CASE_UNKNOWN;
    if (is_forbidden(&made->insn))
        return CASE_FORBIDDEN;
    unsigned at = oracle_chance(12) ? PAGE_BYTES - made->insn.length : 16 * oracle_below(PAGE_BYTES / 16 - 1);
    made->in.rip = harness->code + at;
    place.next_rip = made->in.rip + made->insn.length;
    place.segment_base[CPU_FS] = harness->fs_base;
    place.segment_base[CPU_GS] = harness->gs_base;
    if (made->in.mode == 16) {
        place.segment_base[CPU_CS] = harness->code;
        place.segment_base[CPU_DS] = place.segment_base[CPU_ES] = harness->data_low - NATIVE_DATA_16_OFFSET;
    }
    make_registers(harness, made);
    place_operands(&place);
    if (made->insn.op >= INSN_OP_XSAVE && made->insn.op <= INSN_OP_XRSTORS && host_has(HOST_OSPKE))
        made->in.gpr[CPU_RAX] &= ~(uint64_t)XCR0_PKRU; /* the keys' state, which the harness leaves alone */
    place_selectors(made);
    struct insn again;
    struct insn_mode as = insn_mode(made->in.mode);
    as.vendor = oracle_is_amd() ? INSN_AMD : INSN_INTEL;
    if (insn_decode(made->bytes, INSN_BYTES_MAX, as, &again) != INSN_OK || again.length != made->insn.length)
        return CASE_NONE;
    made->insn = again;
    if (made->in.mode != 64)
        for (unsigned i = 0; i < 8; i++)
            made->in.gpr[i] = (uint32_t)made->in.gpr[i];
    made->is_vector = made->insn.op >= INSN_OP_NATIVE;
    if (made->is_vector) {
        oracle_vector_make(xsave, made);
        made->in.xsave = xsave;
    }
    return is_safe(&place) ? CASE_MADE : CASE_NONE;
}
