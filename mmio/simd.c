/* SPDX-License-Identifier: MIT
 *
 * Dispatch, and what all SIMD instructions have in common: whether they are there and switched on, and their
 * accesses to memory.
 */
#include "mmio/simd.h"

#include "base/bytes.h"

static bool cpuid_has(struct step_env *env, struct isa_cpuid where)
{
    uint32_t regs[4] = {0};
    env->machine->ops->cpuid(env->machine->owner, where.leaf, where.subleaf, regs);
    return regs[where.reg] >> where.bit & 1;
}

/* Hiding an extension from CPUID does not take it away: what the guest's instruction would find on this CPU,
 * it finds here too. (And on a KVM without hardware virtualization the guest reads the host's CPUID itself.)
 */
static bool guest_has(struct step_env *env, unsigned isa)
{
    struct simd_code *code = env->machine->simd;
    int known = simd_guest_has(code, isa);
    if (known < 0) {
        struct isa_cpuid where = isa_cpuid(isa);
        known = simd_host_has(code, isa) ||
                (where.is_known && env->machine->ops->cpuid && cpuid_has(env, where));
        simd_guest_set(code, isa, known);
    }
    return known;
}

bool emulate_has_isa(struct step_env *env)
{
    enum insn_isa isa = env->insn.isa;
    if (isa == INSN_ISA_BASE || !env->machine->simd || !isa_cpuid(isa).is_known)
        return true;
    return guest_has(env, isa);
}

bool simd_needs_vl(const struct insn *insn)
{
    return insn->encoding == INSN_EVEX && insn->vector_length && insn->vector_length < 64 &&
           !(insn->attributes & (INSN_SCALAR | INSN_ROUNDING | INSN_SAE));
}

static bool has_operand(const struct insn *insn, enum insn_operand_kind kind)
{
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (insn->operands[i].kind == kind)
            return true;
    return false;
}

/* SDM 2A 2.4 to 2.8: what has to be on for each kind of registers. */
static bool is_switched_on(struct step_env *env, enum insn_class class)
{
    const struct cpu_state *cpu = env->cpu;
    uint64_t wanted = XCR0_SSE | XCR0_AVX;
    switch (class) {
    case INSN_CLASS_GENERAL:
    case INSN_CLASS_X87:
        return true;
    case INSN_CLASS_MMX:
        return !(cpu->cr0 & CR0_EM);
    case INSN_CLASS_SSE:
        return !(cpu->cr0 & CR0_EM) && (cpu->cr4 & CR4_OSFXSR);
    case INSN_CLASS_AVX:
        break;
    case INSN_CLASS_AVX512:
        wanted |= XCR0_AVX512;
        break;
    case INSN_CLASS_AMX:
        return false;
    }
    return (cpu->cr4 & CR4_OSXSAVE) && (env_xcr0(env) & wanted) == wanted;
}

static bool is_x87_waiting(const struct insn *insn, enum insn_class class)
{
    switch (insn->op) {
    case INSN_OP_FNSTENV:
    case INSN_OP_FNSAVE:
    case INSN_OP_FNSTCW:
    case INSN_OP_FNSTSW:
    case INSN_OP_FNINIT:
    case INSN_OP_FNCLEX:
    case INSN_OP_FXSAVE:
    case INSN_OP_FXRSTOR:
        return false;
    }
    return class == INSN_CLASS_X87 || class == INSN_CLASS_MMX || has_operand(insn, INSN_MMX);
}

static bool needs_task_check(const struct step_env *env, enum insn_class class)
{
    if (env->insn.op == INSN_OP_FWAIT)
        return (env->cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS);
    bool is_fxsave = env->insn.op == INSN_OP_FXSAVE || env->insn.op == INSN_OP_FXRSTOR;
    if (class == INSN_CLASS_X87 || is_fxsave)
        return env->cpu->cr0 & (CR0_EM | CR0_TS);
    return env->cpu->cr0 & CR0_TS;
}

/* An opmask instruction names no extension of its own that would need VL. */
static bool is_available(struct step_env *env, enum insn_isa isa, enum insn_class class)
{
    if (class == INSN_CLASS_AVX512 && !guest_has(env, INSN_ISA_AVX512F))
        return false;
    if (simd_needs_vl(&env->insn) && !guest_has(env, SIMD_ISA_VL))
        return false;
    return isa == INSN_ISA_BASE || guest_has(env, isa);
}

enum step_result simd_check(struct step_env *env)
{
    const struct insn *insn = &env->insn;
    if (!env->machine->simd || !simd_layout(env)->components)
        return env_unsupported(env, "SIMD instructions: no code cache, or a host without XSAVE");
    TRY(env_load_vector(env));
    enum insn_class class = insn->op == INSN_OP_FWAIT ? INSN_CLASS_X87 : insn_class(insn);
    if (!is_switched_on(env, class) || !is_available(env, insn->isa, class))
        return env_raise(env, VECTOR_UD);
    if (needs_task_check(env, class))
        return env_raise(env, VECTOR_NM);
    xsave_expand(simd_area(env), simd_layout(env), XSAVE_VECTOR_COMPONENTS);
    if ((load_le16(simd_area(env) + XSAVE_FSW) & FSW_ES) && is_x87_waiting(insn, class))
        return env_raise(env, VECTOR_MF);
    return STEP_DONE;
}

/* What #AC asks for: the size of the operand up to 16, of an extended real 8. */
static uint8_t alignment(unsigned len)
{
    if (len == 10)
        return 8;
    return len & (len - 1) ? 1 : len > 16 ? 16 : (uint8_t)len;
}

bool simd_operand(const struct step_env *env, struct simd_operand *operand)
{
    const struct insn *insn = &env->insn;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (!insn_memory(insn, &insn->operands[i], &operand->memory))
            continue;
        uint64_t bases[CPU_SEGMENT_COUNT] = {0};
        struct insn_registers registers = {
            .gpr = env->cpu->gpr, .segment_base = bases, .next_rip = env->next_rip};
        if (insn->attributes & INSN_VSIB)
            operand->offset = 0;
        else
            operand->offset = insn_offset(insn, &operand->memory, &registers, 0);
        bool by_element = insn->mask || insn->op == INSN_OP_COMPRESS;
        operand->align = by_element ? 1 : alignment(operand->memory.size);
        return true;
    }
    return false;
}

enum step_result simd_prepare(struct step_env *env, const struct simd_operand *operand, uint64_t bytes,
                              unsigned flags, struct simd_accesses *accesses)
{
    accesses->count = 0;
    while (bytes) {
        unsigned at = (unsigned)__builtin_ctzll(bytes);
        uint64_t rest = ~(bytes >> at);
        unsigned len = rest ? (unsigned)__builtin_ctzll(rest) : 64 - at;
        if (at + len > 64)
            len = 64 - at;
        struct access *access = &accesses->runs[accesses->count];
        accesses->at[accesses->count++] = (uint8_t)at;
        *access = (struct access){.offset = operand->offset + at,
                                  .len = (uint16_t)len,
                                  .segment = operand->memory.segment,
                                  .align = operand->align,
                                  .flags = (uint8_t)flags};
        TRY(access_prepare(env, access));
        bytes &= ~(simd_low_bits(len) << at);
    }
    return STEP_DONE;
}

void simd_read(struct step_env *env, const struct simd_accesses *accesses, uint8_t *to)
{
    for (unsigned i = 0; i < accesses->count; i++)
        access_read(env, &accesses->runs[i], to + accesses->at[i]);
}

void simd_write(struct step_env *env, const struct simd_accesses *accesses, const uint8_t *from)
{
    for (unsigned i = 0; i < accesses->count; i++)
        access_write(env, &accesses->runs[i], from + accesses->at[i]);
}

enum step_result emulate_simd(struct step_env *env)
{
    TRY(simd_check(env));
    if (env->insn.op == INSN_OP_NATIVE && simd_is_move(&env->insn))
        return simd_move(env);
    env->cpu->vector.changed = true;
    switch (env->insn.op) {
    case INSN_OP_MASKMOV:
        return simd_maskmov(env);
    case INSN_OP_VMASKMOV:
        return simd_vmaskmov(env);
    case INSN_OP_GATHER:
        return simd_gather(env);
    case INSN_OP_SCATTER:
        return simd_scatter(env);
    case INSN_OP_NATIVE:
    case INSN_OP_EMMS:
    case INSN_OP_COMPRESS:
    case INSN_OP_EXPAND:
        return simd_native(env);
    case INSN_OP_FXSAVE:
    case INSN_OP_FXRSTOR:
    case INSN_OP_XSAVE:
    case INSN_OP_XSAVEC:
    case INSN_OP_XSAVEOPT:
    case INSN_OP_XSAVES:
    case INSN_OP_XRSTOR:
    case INSN_OP_XRSTORS:
    case INSN_OP_LDMXCSR:
    case INSN_OP_STMXCSR:
        return simd_state(env);
    default:
        return simd_x87(env);
    }
}
