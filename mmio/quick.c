/* SPDX-License-Identifier: MIT
 *
 * Moves, arithmetic and jumps, each as a function for its kinds of operands. See quick.h.
 */
#include "mmio/quick.h"

#include <string.h>

#include "mmio/access.h"
#include "mmio/emulate.h"
#include "mmio/tlb.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum kind { REG, IMM, MEM, KIND_COUNT };

/* ---- Memory ---- */

ALWAYS_INLINE gva_t address(const struct step_env *env, const struct quick *quick)
{
    const struct cpu_state *cpu = env->cpu;
    gva_t gva = quick->disp;
    if (quick->base != INSN_REG_NONE)
        gva += cpu->gpr[quick->base];
    if (quick->index != INSN_REG_NONE)
        gva += cpu->gpr[quick->index] << quick->shift;
    if (quick->segment >= CPU_FS)
        gva += cpu->segments[quick->segment].base;
    return gva;
}

/* Into env->operand, with all checks; what they find is found again by who comes after us. */
__attribute__((noinline)) static bool place_carefully(struct step_env *env, const struct quick *quick,
                                                      gva_t gva, unsigned size, unsigned flags)
{
    uint64_t base = quick->segment >= CPU_FS ? env->cpu->segments[quick->segment].base : 0;
    env->operand = (struct access){
        .offset = gva - base, .len = (uint16_t)size, .segment = quick->segment, .flags = (uint8_t)flags};
    return access_prepare(env, &env->operand) == STEP_DONE && env->operand.piece_count == 1;
}

/* Where the operand is; only on one page. A translation that is known is one of a canonical address. */
ALWAYS_INLINE bool place(struct step_env *env, const struct quick *quick, unsigned size, unsigned flags,
                         struct access_piece *piece)
{
    gva_t gva = address(env, quick);
    if ((gva & (PAGE_BYTES - 1)) + size > PAGE_BYTES)
        return false;
    if (__builtin_expect(tlb_find(env->tlb, gva, flags, piece), 1))
        return true;
    bool is_placed = place_carefully(env, quick, gva, size, flags);
    *piece = env->operand.pieces[0];
    return is_placed;
}

/* What the instruction ends as, by the pieces of its operand. */
ALWAYS_INLINE enum quick_result done(const void *ram)
{
    return ram ? QUICK_DONE : QUICK_DEVICE;
}

ALWAYS_INLINE uint64_t fetch(struct step_env *env, const struct access_piece *piece, unsigned size)
{
    return piece->from ? access_ram_read(piece->from, size) : access_device_read(env, piece->gpa, size);
}

ALWAYS_INLINE void put(struct step_env *env, const struct access_piece *piece, unsigned size, uint64_t value)
{
    if (piece->to)
        access_ram_write(env, piece->to, piece->gpa, size, value);
    else
        access_device_write(env, piece->gpa, size, value);
}

/* ---- Operands ---- */

ALWAYS_INLINE void set_register(struct step_env *env, const struct quick *quick, uint64_t value)
{
    uint64_t *gpr = &env->cpu->gpr[quick->to];
    *gpr = (*gpr & quick->keep) | (value & quick->mask);
}

/* The second operand: QUICK_LEFT where it cannot be had here. */
ALWAYS_INLINE enum quick_result get_source(struct step_env *env, const struct quick *quick, enum kind kind,
                                           unsigned size, uint64_t *value)
{
    struct access_piece piece;
    switch (kind) {
    case REG:
        *value = env->cpu->gpr[quick->from];
        return QUICK_DONE;
    case MEM:
        if (!place(env, quick, size, ACCESS_READ, &piece))
            return QUICK_LEFT;
        *value = fetch(env, &piece, size);
        return done(piece.from);
    default:
        *value = quick->value;
        return QUICK_DONE;
    }
}

/* The first, when it is read too. */
struct first {
    struct access_piece piece;
    uint64_t value;
};

ALWAYS_INLINE enum quick_result get_first(struct step_env *env, const struct quick *quick, enum kind kind,
                                          bool is_written, struct first *first)
{
    if (kind == REG) {
        first->value = env->cpu->gpr[quick->to];
        return QUICK_DONE;
    }
    if (!place(env, quick, quick->size, is_written ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ, &first->piece))
        return QUICK_LEFT;
    first->value = fetch(env, &first->piece, quick->size);
    return done(is_written ? first->piece.to : first->piece.from);
}

ALWAYS_INLINE void set_first(struct step_env *env, const struct quick *quick, enum kind kind,
                             const struct first *first, uint64_t value)
{
    if (kind == REG)
        set_register(env, quick, value);
    else
        put(env, &first->piece, quick->size, value & quick->mask);
}

/* ---- Operations ---- */

ALWAYS_INLINE enum quick_result mov(struct step_env *env, const struct quick *quick, enum kind to,
                                    enum kind from)
{
    struct access_piece piece;
    uint64_t value;
    if (to == MEM && !place(env, quick, quick->size, ACCESS_WRITE, &piece))
        return QUICK_LEFT;
    enum quick_result result = get_source(env, quick, from, quick->size, &value);
    if (result == QUICK_LEFT)
        return result;
    if (to == REG) {
        set_register(env, quick, value);
        return result;
    }
    put(env, &piece, quick->size, value & quick->mask);
    return done(piece.to);
}

ALWAYS_INLINE enum quick_result movx(struct step_env *env, const struct quick *quick, enum kind from)
{
    uint64_t value;
    enum quick_result result = get_source(env, quick, from, quick->from_size, &value);
    if (result == QUICK_LEFT)
        return result;
    bool is_signed = quick->op == INSN_OP_MOVSX;
    set_register(env, quick,
                 is_signed ? (uint64_t)sign_extend(value, quick->from_size)
                           : value & size_mask(quick->from_size));
    return result;
}

/* ADD, OR, AND, SUB, XOR, and CMP and TEST, which write no result. */
ALWAYS_INLINE enum quick_result alu(struct step_env *env, const struct quick *quick, enum kind to,
                                    enum kind from)
{
    bool is_written = quick->op != INSN_OP_CMP && quick->op != INSN_OP_TEST;
    uint64_t b, result, flags;
    struct first first;
    enum quick_result at_first = get_first(env, quick, to, is_written, &first);
    if (at_first == QUICK_LEFT)
        return QUICK_LEFT;
    enum quick_result at_source = get_source(env, quick, from, quick->size, &b);
    if (at_source == QUICK_LEFT) /* it is memory: then the first was a register */
        return QUICK_LEFT;
    uint64_t a = first.value & quick->mask;
    b &= quick->mask;
    switch (quick->op) {
    case INSN_OP_ADD:
        result = alu_add_masked(a, b, 0, quick->mask, &flags);
        break;
    case INSN_OP_SUB:
    case INSN_OP_CMP:
        result = alu_sub_masked(a, b, 0, quick->mask, &flags);
        break;
    default:
        result = quick->op == INSN_OP_OR ? a | b : quick->op == INSN_OP_XOR ? a ^ b : a & b;
        flags = flags_of_masked(result, quick->mask);
        break;
    }
    if (is_written)
        set_first(env, quick, to, &first, result);
    flags_set(env, FLAGS_STATUS, flags);
    return to == MEM ? at_first : at_source;
}

/* INC and DEC, which leave CF alone. */
ALWAYS_INLINE enum quick_result count(struct step_env *env, const struct quick *quick, enum kind to)
{
    struct first first;
    uint64_t flags;
    enum quick_result result = get_first(env, quick, to, true, &first);
    if (result == QUICK_LEFT)
        return result;
    uint64_t value = quick->op == INSN_OP_INC ? alu_add_masked(first.value, 1, 0, quick->mask, &flags)
                                              : alu_sub_masked(first.value, 1, 0, quick->mask, &flags);
    set_first(env, quick, to, &first, value);
    flags_set(env, FLAGS_STATUS & ~FLAG_CF, flags);
    return result;
}

#define FOR(name, operation, ...)                                                  \
    static enum quick_result name(struct step_env *env, const struct quick *quick) \
    {                                                                              \
        return operation(env, quick, __VA_ARGS__);                                 \
    }
FOR(mov_reg_reg, mov, REG, REG)
FOR(mov_reg_imm, mov, REG, IMM)
FOR(mov_reg_mem, mov, REG, MEM)
FOR(mov_mem_reg, mov, MEM, REG)
FOR(mov_mem_imm, mov, MEM, IMM)
FOR(movx_reg, movx, REG)
FOR(movx_mem, movx, MEM)
FOR(alu_reg_reg, alu, REG, REG)
FOR(alu_reg_imm, alu, REG, IMM)
FOR(alu_reg_mem, alu, REG, MEM)
FOR(alu_mem_reg, alu, MEM, REG)
FOR(alu_mem_imm, alu, MEM, IMM)
FOR(count_reg, count, REG)
FOR(count_mem, count, MEM)
#undef FOR

static enum quick_result lea(struct step_env *env, const struct quick *quick)
{
    set_register(env, quick, address(env, quick));
    return QUICK_DONE;
}

static enum quick_result jump(struct step_env *env, const struct quick *quick)
{
    env->next_rip = quick->value;
    return QUICK_DONE;
}

static enum quick_result jump_if(struct step_env *env, const struct quick *quick)
{
    if (condition_holds(env, quick->op))
        env->next_rip = quick->value;
    return QUICK_DONE;
}

static enum quick_result loop(struct step_env *env, const struct quick *quick)
{
    if (--env->cpu->gpr[CPU_RCX])
        env->next_rip = quick->value;
    return QUICK_DONE;
}

/* ---- Taking apart ---- */

static bool prepare_memory(struct quick *quick, const struct insn *insn, const struct insn_operand *operand,
                           uint64_t next_rip)
{
    struct insn_memory memory;
    if (operand->kind != INSN_MEM || insn->address_size != 8 || !insn_memory(insn, operand, &memory))
        return false;
    quick->disp = (uint64_t)memory.disp;
    quick->base = memory.base;
    quick->index = memory.scale ? memory.index : INSN_REG_NONE;
    quick->segment = memory.segment;
    if (memory.scale)
        quick->shift = (uint8_t)__builtin_ctz(memory.scale);
    if (memory.base == INSN_REG_RIP) {
        quick->base = INSN_REG_NONE;
        quick->disp += next_rip;
    }
    return true;
}

/* Operand `i` as what it is here, KIND_COUNT for any other. */
static enum kind prepare_operand(struct quick *quick, const struct insn *insn, unsigned i, uint64_t next_rip)
{
    const struct insn_operand *operand = &insn->operands[i];
    if (i >= insn->operand_count)
        return KIND_COUNT;
    switch (operand->kind) {
    case INSN_GPR:
        *(i ? &quick->from : &quick->to) = operand->reg & 15;
        return REG;
    case INSN_IMM:
        quick->value = insn->imm;
        return IMM;
    default:
        return prepare_memory(quick, insn, operand, next_rip) ? MEM : KIND_COUNT;
    }
}

static quick_fn *binary(unsigned op, enum kind to, enum kind from)
{
    static quick_fn *const movs[KIND_COUNT][KIND_COUNT] = {
        [REG] = {mov_reg_reg, mov_reg_imm, mov_reg_mem},
        [MEM] = {mov_mem_reg, mov_mem_imm, NULL},
    };
    static quick_fn *const alus[KIND_COUNT][KIND_COUNT] = {
        [REG] = {alu_reg_reg, alu_reg_imm, alu_reg_mem},
        [MEM] = {alu_mem_reg, alu_mem_imm, NULL},
    };
    if (to == KIND_COUNT || from == KIND_COUNT)
        return NULL;
    switch (op) {
    case INSN_OP_MOV:
        return movs[to][from];
    case INSN_OP_ADD:
    case INSN_OP_OR:
    case INSN_OP_AND:
    case INSN_OP_SUB:
    case INSN_OP_XOR:
    case INSN_OP_CMP:
    case INSN_OP_TEST:
        return alus[to][from];
    case INSN_OP_MOVZX:
    case INSN_OP_MOVSX:
        return to != REG ? NULL : from == REG ? movx_reg : from == MEM ? movx_mem : NULL;
    }
    return NULL;
}

/* A target on the same page is as canonical as the instruction. */
static quick_fn *branch(struct quick *quick, const struct insn *insn, uint64_t next_rip)
{
    uint64_t rip = next_rip - insn->length;
    quick->value = next_rip + insn->imm;
    quick->op = insn->opcode & 15;
    if (insn->operands[0].kind != INSN_RELATIVE || insn->operand_size != 8 || insn->address_size != 8 ||
        (quick->value ^ rip) / PAGE_BYTES)
        return NULL;
    return insn->op == INSN_OP_JMP ? jump : insn->op == INSN_OP_JCC ? jump_if : loop;
}

static quick_fn *choose(struct quick *quick, const struct insn *insn, uint64_t next_rip)
{
    enum kind to;
    switch (insn->op) {
    case INSN_OP_JMP:
    case INSN_OP_JCC:
    case INSN_OP_LOOP:
        return branch(quick, insn, next_rip);
    case INSN_OP_INC:
    case INSN_OP_DEC:
        to = prepare_operand(quick, insn, 0, next_rip);
        return to == REG ? count_reg : to == MEM ? count_mem : NULL;
    case INSN_OP_LEA:
        to = prepare_operand(quick, insn, 0, next_rip);
        /* segments do not count for an address */
        if (to != REG || !prepare_memory(quick, insn, &insn->operands[1], next_rip))
            return NULL;
        quick->segment = CPU_DS;
        return lea;
    }
    to = prepare_operand(quick, insn, 0, next_rip);
    return binary(insn->op, to, prepare_operand(quick, insn, 1, next_rip));
}

void quick_prepare(struct quick *quick, const struct insn *insn, uint64_t next_rip)
{
    const unsigned odd = INSN_PREFIX_LOCK | INSN_PREFIX_REP | INSN_PREFIX_REPNE;
    unsigned size = insn->operands[0].size;
    uint64_t mask = size && size <= 8 ? size_mask(size) : 0;
    *quick = (struct quick){.op = insn->op,
                            .size = (uint8_t)size,
                            .from_size = (uint8_t)insn->operands[1].size,
                            .mask = mask,
                            .keep = size >= 4 ? 0 : ~mask,
                            .base = INSN_REG_NONE,
                            .index = INSN_REG_NONE,
                            .segment = CPU_DS};
    if (insn->bits == 64 && insn->encoding == INSN_LEGACY && !(insn->prefixes & odd))
        quick->execute = choose(quick, insn, next_rip);
}
