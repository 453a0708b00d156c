/* SPDX-License-Identifier: MIT
 *
 * Cases: an encoding of a row with random prefixes, registers and addressing form, and random registers whose
 * address parts are then solved so that every memory operand lies where the harness has memory: on a page,
 * across two, across the edge of what may be read or written. Nothing is left to hit the test's own memory.
 */
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "tests/mmio/oracle.h"

/* What must not run here: it would enter the kernel, leave the process's segments changed, or has an answer
 * that only the processor knows. */
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
    }
    /* FS holds the thread's own storage, GS the test's; SS takes the single step away. */
    if (insn->op == INSN_OP_LOAD_FAR)
        return insn_load_far_segment(insn) != INSN_DS && insn_load_far_segment(insn) != INSN_ES;
    const struct insn_operand *to = &insn->operands[0];
    bool is_load = insn->op == INSN_OP_MOV_SEG || insn->op == INSN_OP_POP;
    return is_load && to->kind == INSN_SEG && to->reg != INSN_DS && to->reg != INSN_ES;
}

static unsigned pick(unsigned set)
{
    unsigned at = oracle_below((unsigned)__builtin_popcount(set));
    while (at--)
        set &= set - 1;
    return (unsigned)__builtin_ctz(set);
}

static bool chance(unsigned percent)
{
    return oracle_below(100) < percent;
}

/* ---- bytes ---- */

struct writer {
    uint8_t *bytes;
    unsigned len;
    unsigned displacement; /* where a displacement of 4 (or 2) bytes stands; 0: nowhere */
};

static void put(struct writer *to, unsigned byte)
{
    to->bytes[to->len++] = (uint8_t)byte;
}

static void put_legacy_prefixes(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    bool is_string = (row->opcode >= 0xa4 && row->opcode <= 0xaf) && !row->map;
    if (chance(4))
        put(to, 0xf0);
    if (chance(10))
        put(to, segments[oracle_below(mode == 64 ? 6 : 4)]);
    if (chance(10))
        put(to, 0x67);
    unsigned prefix = pick(row->prefix_set);
    if (row->has_prefix || row->prefix_set == 1) {
        if (prefix)
            put(to, mandatory[prefix]);
        if (row->has_prefix && prefix != 1 && chance(10))
            put(to, 0x66);
        return;
    }
    if (chance(25))
        put(to, 0x66);
    if (chance(is_string ? 50 : 2))
        put(to, 0xf2 + oracle_below(2));
}

static void put_legacy(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    put_legacy_prefixes(to, row, mode);
    if (mode == 64 && (row->w_set == 2 || chance(60)))
        put(to, 0x40 | oracle_below(8) | (row->w_set == 2 ? 8 : row->w_set == 1 ? 0 : oracle_below(2) * 8));
    if (row->map)
        put(to, 0x0f);
    if (row->map >= 2)
        put(to, row->map == 2 ? 0x38 : 0x3a);
    if (row->encoding == INSN_3DNOW)
        put(to, 0x0f);
    else
        put(to, row->opcode + (row->spread > 1 ? oracle_below(row->spread) : 0u));
}

static unsigned vector_vvvv(void)
{
    return chance(50) ? 15 : oracle_below(16);
}

static void put_vex(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    unsigned w = pick(row->w_set), length = pick(row->length_set & 3), pp = pick(row->prefix_set);
    unsigned rxb = mode == 64 ? oracle_below(8) : 7;
    unsigned last = vector_vvvv() << 3 | length << 2 | pp;
    if (mode != 64)
        last |= 0x40;
    if (row->encoding == INSN_VEX && row->map == 1 && !w && (rxb & 3) == 3 && chance(50)) {
        put(to, 0xc5);
        put(to, (rxb & 4) << 5 | last);
    } else {
        put(to, row->encoding == INSN_VEX ? 0xc4 : 0x8f);
        put(to, rxb << 5 | row->map);
        put(to, w << 7 | last);
    }
    put(to, row->opcode);
}

static void put_evex(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    unsigned w = pick(row->w_set), length = pick(row->length_set), pp = pick(row->prefix_set);
    unsigned rxb = mode == 64 ? oracle_below(16) : 15;
    unsigned aaa = chance(40) ? 0 : oracle_below(8);
    unsigned z = aaa && chance(40), b = chance(25), v = mode == 64 && !chance(60) ? 0 : 1;
    put(to, 0x62);
    put(to, rxb << 4 | row->map);
    put(to, w << 7 | vector_vvvv() << 3 | 4 | pp);
    put(to, z << 7 | length << 5 | b << 4 | v << 3 | aaa);
    put(to, row->opcode);
}

static int small_displacement(void)
{
    return (int)oracle_below(4096) - 2048;
}

/* ModRM, SIB and displacement; the immediate is whatever random bytes follow. */
static void put_operands(struct writer *to, const struct oracle_row *row, unsigned address_size)
{
    bool is_memory = row->mod_set == 1 || (row->mod_set == 3 && chance(80));
    unsigned mod = is_memory ? oracle_below(3) : 3, rm = pick(row->rm_set);
    put(to, mod << 6 | pick(row->reg_set) << 3 | rm);
    bool has_wide = mod == 2;
    if (mod < 3 && address_size > 2 && rm == 4) {
        unsigned sib = (unsigned)oracle_random() & 0xff;
        put(to, sib);
        has_wide |= mod == 0 && (sib & 7) == 5;
    } else if (mod == 0 && rm == (address_size == 2 ? 6 : 5)) {
        has_wide = true;
    }
    if (mod == 1)
        put(to, (unsigned)oracle_random());
    if (has_wide) {
        to->displacement = to->len;
        store_le32(to->bytes + to->len, (uint32_t)small_displacement());
        to->len += address_size == 2 ? 2 : 4;
    }
}

static bool make_bytes(struct oracle_case *made, const struct oracle_row *row, unsigned *displacement)
{
    uint8_t buffer[48];
    unsigned mode = made->in.mode;
    struct writer to = {.bytes = buffer};
    if (row->encoding == INSN_LEGACY || row->encoding == INSN_3DNOW)
        put_legacy(&to, row, mode);
    else if (row->encoding == INSN_EVEX)
        put_evex(&to, row, mode);
    else
        put_vex(&to, row, mode);
    bool is_narrowed = memchr(buffer, 0x67, to.len > 4 ? to.len - 1 : to.len) && row->encoding == INSN_LEGACY;
    unsigned address_size = mode == 64 ? (is_narrowed ? 4 : 8) : (mode == 32) != is_narrowed ? 4 : 2;
    put_operands(&to, row, address_size);
    if (row->encoding == INSN_3DNOW)
        put(&to, row->opcode);
    for (unsigned i = 0; i < 16; i++)
        buffer[to.len + i] = (uint8_t)oracle_random();
    memcpy(made->bytes, buffer, INSN_BYTES_MAX);
    *displacement = to.displacement;
    struct insn_mode as = insn_mode(mode);
    as.vendor = oracle_is_amd() ? INSN_AMD : INSN_INTEL;
    if (insn_decode(made->bytes, INSN_BYTES_MAX, as, &made->insn) != INSN_OK)
        return false;
    /* The row is meant, not a neighbour that a prefix or a field led to. */
    return (made->insn.map == row->map || row->encoding == INSN_3DNOW) &&
           made->insn.encoding == row->encoding &&
           (unsigned)(made->insn.opcode - row->opcode) < row->spread &&
           (row->spread == 16 || !strcasecmp(insn_mnemonic(&made->insn), row->mnemonic));
}

/* ---- registers and addresses ---- */

static uint64_t interesting(void)
{
    static const uint64_t values[] = {0,          1,          2,         0x7f,       0x80,
                                      0xff,       0x7fff,     0x8000,    0xffff,     0x7fffffff,
                                      0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t value = chance(35) ? values[oracle_below(ARRAY_COUNT(values))] : oracle_random();
    return chance(20) ? value >> oracle_below(64) : value;
}

/* An offset from the first data page: mostly inside, often across an edge. */
static int64_t data_offset(unsigned size)
{
    unsigned edge = PAGE_BYTES * (1 + oracle_below(3));
    int64_t offset;
    if (chance(70))
        offset = (int64_t)oracle_below(2 * PAGE_BYTES - 128);
    else if (chance(75))
        offset = (int64_t)edge - 1 - (int64_t)oracle_below(size ? size + 4 : 8);
    else
        offset = (int64_t)oracle_below(5 * PAGE_BYTES) - (int64_t)PAGE_BYTES;
    return chance(60) ? offset & ~63ll : chance(50) ? offset & ~7ll : offset;
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
    return can_be_high && chance(50) ? place->harness->data_high : place->harness->data_low;
}

static void place_stack(struct place *place)
{
    uint64_t *gpr = place->made->in.gpr;
    uint64_t base = place->made->in.mode == 64 && chance(50) ? place->harness->data_high
                                                             : place->harness->data_low;
    gpr[CPU_RSP] = base + (uint64_t)data_offset(8);
    gpr[CPU_RBP] = chance(90) ? base + (uint64_t)data_offset(8) : gpr[CPU_RBP];
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
        made->in.gpr[made->insn.operands[1].reg] = (uint64_t)(int64_t)small_displacement();
    if (made->insn.op == INSN_OP_CLZERO)
        made->in.gpr[CPU_RAX] = data_base(place) + (uint64_t)data_offset(64);
    if (made->insn.attributes & INSN_REPEATS) {
        made->in.gpr[CPU_RCX] = oracle_below(6);
        made->in.step_limit = 12;
    }
}

/* Selectors that exist, that are the kernel's, and that do not exist. */
unsigned oracle_selector(void)
{
    static const uint16_t selectors[] = {
        NATIVE_DS, NATIVE_CS_32, NATIVE_CS_64, NATIVE_CS_16, NATIVE_DS_16, 0,    3,    0x2a, 0x20,  0x28,
        0x10,      0x1b,         0x43,         0x53,         0x3b,         0x63, 0x17, 0x83, 0xfff8};
    return selectors[oracle_below(ARRAY_COUNT(selectors))];
}

static void place_selectors(struct oracle_case *made)
{
    const struct insn *insn = &made->insn;
    unsigned operand = insn->op == INSN_OP_VERR || insn->op == INSN_OP_VERW ? 0 : 1;
    bool takes_one = insn->op == INSN_OP_LAR || insn->op == INSN_OP_LSL || insn->op == INSN_OP_MOV_SEG ||
                     !operand;
    if (takes_one && insn->operands[operand].kind == INSN_GPR)
        merge(&made->in.gpr[insn->operands[operand].reg], oracle_selector(), 2);
    if (insn->operands[0].kind == INSN_FAR)
        store_le16(made->bytes + insn->length - 2, (uint16_t)oracle_selector());
}

static bool is_harmless(const struct native_harness *harness, uint64_t address)
{
    const uint64_t slack = PAGE_BYTES, before = 512, after = 128; /* what an access may add on either side */
    const uint64_t len = NATIVE_DATA_BYTES + 2 * slack - before - after;
    if (address < 0xf000 || (address >> 47 && ~address >> 47)) /* below mmap_min_addr; not canonical */
        return true;
    return address - (harness->data_low - slack + before) < len ||
           address - (harness->data_high - slack + before) < len ||
           address - (harness->code + PAGE_BYTES) < slack - after;
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
        uint64_t address = insn_address(&made->insn, &memory, &registers, 0);
        if (!is_harmless(place->harness, address))
            return false;
        if ((made->insn.attributes & INSN_BIT_OFFSET) && made->insn.operands[1].kind == INSN_GPR) {
            unsigned size = memory.size;
            uint64_t bits = made->in.gpr[made->insn.operands[1].reg] << (64 - 8 * size);
            address += (uint64_t)((int64_t)bits >> (64 - 8 * size) >> 3);
            if (made->in.mode != 64)
                address &= 0xffffffff;
            if (!is_harmless(place->harness, address))
                return false;
        }
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

static void make_registers(struct oracle_case *made)
{
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++) {
        made->in.gpr[i] = interesting();
        if (made->in.mode != 64)
            made->in.gpr[i] = i < 8 ? (uint32_t)made->in.gpr[i] : 0;
    }
    made->in.rflags = FLAG_FIXED | FLAG_IF | FLAG_TF | (oracle_random() & FLAGS_STATUS);
    if (chance(25))
        made->in.rflags |= FLAG_DF;
    /* With a mask, processors differ in what they check the alignment of. */
    bool is_masked = made->insn.mask || made->insn.op == INSN_OP_COMPRESS ||
                     made->insn.op == INSN_OP_EXPAND || made->insn.op == INSN_OP_MASKMOV;
    if (chance(6) && !is_masked)
        made->in.rflags |= FLAG_AC;
}

enum oracle_made oracle_case_make(const struct native_harness *harness, struct oracle_row *row,
                                  uint8_t *xsave, struct oracle_case *made)
{
    static const uint8_t modes[] = {64, 64, 64, 64, 64, 32, 32, 16};
    struct place place = {.harness = harness, .made = made};
    *made = (struct oracle_case){.row = row};
    made->in.mode = modes[oracle_below(row->long_set == 2 || !harness->has_32bit ? 5 : ARRAY_COUNT(modes))];
    if (row->long_set == 1)
        made->in.mode = modes[5 + oracle_below(3)];
    if (!make_bytes(made, row, &place.displacement))
        return CASE_NONE;
    if (made->insn.op == INSN_OP_NONE)
        return CASE_UNKNOWN;
    if (is_forbidden(&made->insn))
        return CASE_FORBIDDEN;
    unsigned at = chance(12) ? PAGE_BYTES - made->insn.length : 16 * oracle_below(PAGE_BYTES / 16 - 1);
    made->in.rip = harness->code + at;
    place.next_rip = made->in.rip + made->insn.length;
    place.segment_base[CPU_FS] = harness->fs_base;
    place.segment_base[CPU_GS] = harness->gs_base;
    if (made->in.mode == 16) {
        place.segment_base[CPU_CS] = harness->code;
        place.segment_base[CPU_DS] = place.segment_base[CPU_ES] = harness->data_low - NATIVE_DATA_16_OFFSET;
    }
    make_registers(made);
    place_operands(&place);
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
