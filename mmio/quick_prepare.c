/* SPDX-License-Identifier: MIT
 *
 * Taking instructions apart. See quick.h.
 */
#include "mmio/emulate.h"
#include "mmio/quick.h"

enum kind { REG, IMM, MEM, OTHER };

/* What an instruction is prepared from. */
struct preparation {
    struct quick *quick;
    const struct insn *insn;
    struct cpu_state *cpu;
    uint64_t next_rip;
};

static const uint64_t zero;

static bool is_flat(const struct cpu_segment *segment)
{
    const unsigned looked_at = SEGMENT_PRESENT | SEGMENT_CODE | SEGMENT_EXPAND_DOWN | SEGMENT_WRITABLE;
    return !segment->base && segment->limit == UINT32_MAX &&
           (segment->attributes & looked_at) == (SEGMENT_PRESENT | SEGMENT_WRITABLE);
}

static bool is_flat_32bit(const struct cpu_state *cpu)
{
    const struct cpu_segment *segments = cpu->segments, *cs = &segments[CPU_CS];
    return cpu_is_protected(cpu) && (cs->attributes & SEGMENT_DB) && !cs->base && cs->limit == UINT32_MAX &&
           is_flat(&segments[CPU_DS]) && is_flat(&segments[CPU_ES]) && is_flat(&segments[CPU_SS]);
}

bool quick_may(const struct step_env *env)
{
    return (env->is_64bit || is_flat_32bit(env->cpu)) && !access_checks_alignment(env) &&
           !(env->cpu->dr7 & DR7_ACTIVE);
}

static const uint64_t *address_register(const struct preparation *made, unsigned reg)
{
    return reg < CPU_GPR_COUNT ? &made->cpu->gpr[reg] : &zero;
}

static const uint64_t *segment_base(const struct preparation *made, unsigned segment)
{
    return segment >= CPU_FS ? &made->cpu->segments[segment].base : &zero;
}

static bool prepare_memory(const struct preparation *made, const struct insn_operand *operand)
{
    const struct insn *insn = made->insn;
    struct quick *quick = made->quick;
    struct insn_memory memory;
    if (operand->kind != INSN_MEM || insn->address_size < 4 || !insn_memory(insn, operand, &memory))
        return false;
    if (insn->bits != 64 && (memory.segment >= CPU_FS || memory.segment == CPU_CS))
        return false; /* it may have a base, or not be writable */
    quick->address_mask = size_mask(insn->address_size);
    quick->disp = (uint64_t)memory.disp + (memory.base == INSN_REG_RIP ? made->next_rip : 0);
    quick->base = address_register(made, memory.base);
    quick->index = memory.scale ? address_register(made, memory.index) : &zero;
    quick->shift = memory.scale ? (uint8_t)__builtin_ctz(memory.scale) : 0;
    quick->segment = memory.segment;
    quick->segment_base = segment_base(made, memory.segment);
    return true;
}

/* Operand `i` as what it is here. */
static enum kind prepare_operand(const struct preparation *made, unsigned i)
{
    const struct insn_operand *operand = &made->insn->operands[i];
    struct quick *quick = made->quick;
    if (i >= made->insn->operand_count)
        return OTHER;
    switch (operand->kind) {
    case INSN_GPR:
        *(i ? (uint64_t **)&quick->from : &quick->to) = &made->cpu->gpr[operand->reg & 15];
        return REG;
    case INSN_IMM:
        quick->value = made->insn->imm;
        quick->from = &quick->value;
        return IMM;
    default:
        return prepare_memory(made, operand) ? MEM : OTHER;
    }
}

static quick_fn *choose_mov(enum kind to, enum kind from)
{
    if (to == REG)
        return from == MEM ? quick_mov_from_memory : quick_mov;
    return quick_mov_to_memory;
}

static quick_fn *choose_alu(const struct preparation *made, enum kind to, enum kind from)
{
    struct quick *quick = made->quick;
    unsigned op = made->insn->op;
    quick->operation = quick_alu_operation(op, quick->size);
    quick->flags = FLAGS_STATUS;
    quick->kept_flags = ~quick->flags;
    if (to == REG)
        return from == MEM ? quick_alu_from_memory : quick_alu(op, quick->size);
    if (op == INSN_OP_CMP || op == INSN_OP_TEST)
        return quick_compare_memory;
    return quick_alu_in_memory;
}

static quick_fn *choose_binary(const struct preparation *made)
{
    enum kind to = prepare_operand(made, 0), from = prepare_operand(made, 1);
    unsigned op = made->insn->op;
    if (to == OTHER || to == IMM || from == OTHER || (to == MEM && from == MEM))
        return NULL;
    if (op == INSN_OP_MOV)
        return choose_mov(to, from);
    if (op != INSN_OP_MOVZX && op != INSN_OP_MOVSX)
        return choose_alu(made, to, from);
    if (to != REG || from == IMM)
        return NULL;
    if (op == INSN_OP_MOVZX)
        return from == MEM ? quick_movzx_from_memory : quick_movzx;
    return from == MEM ? quick_movsx_from_memory : quick_movsx;
}

/* INC and DEC leave CF alone. */
static quick_fn *choose_count(const struct preparation *made)
{
    struct quick *quick = made->quick;
    enum kind to = prepare_operand(made, 0);
    quick->value = 1;
    quick->from = &quick->value;
    quick_fn *execute = to == REG || to == MEM ? choose_alu(made, to, IMM) : NULL;
    quick->flags = FLAGS_STATUS & ~FLAG_CF;
    quick->kept_flags = ~quick->flags;
    return execute;
}

static quick_fn *choose_lea(const struct preparation *made)
{
    bool is_one = prepare_operand(made, 0) == REG && prepare_memory(made, &made->insn->operands[1]);
    return is_one ? quick_lea : NULL;
}

static quick_fn *choose_jump_if(const struct preparation *made)
{
    static const uint16_t flags[] = {FLAG_OF, FLAG_CF, FLAG_ZF,         FLAG_CF | FLAG_ZF,
                                     FLAG_SF, FLAG_PF, QUICK_FLAG_LESS, QUICK_FLAG_LESS | FLAG_ZF};
    made->quick->flags = flags[made->insn->opcode >> 1 & 7];
    made->quick->is_negated = made->insn->opcode & 1;
    return quick_jump_if;
}

static quick_fn *choose_loop(const struct preparation *made)
{
    unsigned size = made->insn->address_size;
    if (size < 4)
        return NULL;
    made->quick->to = &made->cpu->gpr[CPU_RCX];
    made->quick->mask = size_mask(size);
    made->quick->keep = 0;
    return quick_loop;
}

/* The 8 bytes at rSP + disp, in 64-bit code. */
static bool prepare_slot(const struct preparation *made, int64_t disp)
{
    struct quick *quick = made->quick;
    if (made->insn->bits != 64 || made->insn->operand_size != sizeof(uint64_t))
        return false;
    quick->disp = (uint64_t)disp;
    quick->base = &made->cpu->gpr[CPU_RSP];
    quick->index = quick->segment_base = &zero;
    quick->segment = CPU_SS;
    quick->size = sizeof(uint64_t);
    quick->mask = quick->address_mask = ~0ull;
    quick->keep = 0;
    return true;
}

static quick_fn *choose_push_or_pop(const struct preparation *made)
{
    bool is_push = made->insn->op == INSN_OP_PUSH;
    const struct insn_operand *operand = &made->insn->operands[0];
    uint64_t *gpr = &made->cpu->gpr[operand->reg & 15];
    if (operand->kind != INSN_GPR || !prepare_slot(made, is_push ? -(int64_t)sizeof(*gpr) : 0))
        return NULL;
    made->quick->to = gpr;
    made->quick->from = gpr;
    return is_push ? quick_push : quick_pop;
}

static quick_fn *choose_return(const struct preparation *made)
{
    made->quick->ends_block = true;
    return !made->insn->operand_count && prepare_slot(made, 0) ? quick_return : NULL;
}

/* A target in the same half, or smaller part, of the address space is as canonical as the instruction. */
static bool is_near(const struct preparation *made)
{
    return made->insn->bits != 64 || !((made->quick->value ^ made->quick->rip) >> 47);
}

static quick_fn *choose_call(const struct preparation *made)
{
    const struct insn *insn = made->insn;
    struct quick *quick = made->quick;
    quick->ends_block = true;
    quick->value = made->next_rip + insn->imm;
    if (!prepare_slot(made, -(int64_t)sizeof(uint64_t)))
        return NULL;
    if (insn->operands[0].kind == INSN_RELATIVE)
        return is_near(made) ? quick_call : NULL;
    if (insn->operands[0].kind != INSN_GPR)
        return NULL;
    quick->from = &made->cpu->gpr[insn->operands[0].reg & 15];
    return quick_call_to;
}

static quick_fn *choose_branch(const struct preparation *made)
{
    const struct insn *insn = made->insn;
    struct quick *quick = made->quick;
    quick->ends_block = true;
    if (insn->operand_size != (insn->bits == 64 ? 8 : 4))
        return NULL;
    quick->address_mask = size_mask(insn->operand_size);
    if (insn->op == INSN_OP_JMP && insn->operands[0].kind == INSN_GPR) {
        quick->from = &made->cpu->gpr[insn->operands[0].reg & 15];
        return quick_jump_to;
    }
    quick->value = (made->next_rip + insn->imm) & quick->address_mask;
    if (insn->operands[0].kind != INSN_RELATIVE || !is_near(made))
        return NULL;
    if (insn->op == INSN_OP_JMP)
        return quick_jump;
    return insn->op == INSN_OP_JCC ? choose_jump_if(made) : choose_loop(made);
}

/* By a constant: a count of 0 changes no flags, and is none of these. */
static quick_fn *choose_shift(const struct preparation *made)
{
    const struct insn *insn = made->insn;
    struct quick *quick = made->quick;
    bool is_one = insn->operands[1].kind == INSN_IMM_ONE;
    uint64_t count = is_one ? 1 : insn->imm & (8 * quick->size - 1u);
    if ((!is_one && insn->operands[1].kind != INSN_IMM) || quick->size < 4 || !count ||
        prepare_operand(made, 0) != REG)
        return NULL;
    quick->value = count;
    quick->from_shift = (uint8_t)(64 - 8 * quick->size);
    quick->flags = FLAGS_STATUS & ~FLAG_AF;
    quick->kept_flags = ~quick->flags;
    return insn->op == INSN_OP_SHL ? quick_shl : insn->op == INSN_OP_SHR ? quick_shr : quick_sar;
}

static quick_fn *choose(const struct preparation *made)
{
    switch (made->insn->op) {
    case INSN_OP_JMP:
    case INSN_OP_JCC:
    case INSN_OP_LOOP:
        return choose_branch(made);
    case INSN_OP_INC:
    case INSN_OP_DEC:
        return choose_count(made);
    case INSN_OP_LEA:
        return choose_lea(made);
    case INSN_OP_SHL:
    case INSN_OP_SHR:
    case INSN_OP_SAR:
        return choose_shift(made);
    case INSN_OP_PUSH:
    case INSN_OP_POP:
        return choose_push_or_pop(made);
    case INSN_OP_CALL:
        return choose_call(made);
    case INSN_OP_RET:
        return choose_return(made);
    case INSN_OP_MOV:
    case INSN_OP_MOVZX:
    case INSN_OP_MOVSX:
    case INSN_OP_ADD:
    case INSN_OP_OR:
    case INSN_OP_AND:
    case INSN_OP_SUB:
    case INSN_OP_XOR:
    case INSN_OP_CMP:
    case INSN_OP_TEST:
        return choose_binary(made);
    }
    return NULL;
}

bool quick_prepare(struct quick *quick, const struct insn *insn, struct cpu_state *cpu, uint64_t rip)
{
    const unsigned odd = INSN_PREFIX_LOCK | INSN_PREFIX_REP | INSN_PREFIX_REPNE;
    const struct preparation made = {quick, insn, cpu, rip + insn->length};
    unsigned size = insn->operands[0].size, from_size = insn->operands[1].size;
    uint64_t mask = size && size <= 8 ? size_mask(size) : 0;
    *quick = (struct quick){.rip = rip,
                            .length = insn->length,
                            .size = (uint8_t)size,
                            .from_size = (uint8_t)from_size,
                            .from_shift = (uint8_t)(64 - 8 * from_size),
                            .mask = mask,
                            .keep = size >= 4 ? 0 : ~mask};
    if (insn->isa != INSN_ISA_BASE || insn->encoding != INSN_LEGACY || (insn->prefixes & odd))
        return false;
    quick->execute = choose(&made);
    return quick->execute;
}
