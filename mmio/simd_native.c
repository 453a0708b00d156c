/* SPDX-License-Identifier: MIT
 *
 * Running an instruction on this CPU over the guest's vector state: the memory operand goes through a bounce
 * buffer, of which only what the instruction touches is read from or written to the guest; exceptions are
 * judged from the control words afterwards.
 */
#include "mmio/simd.h"

#include <string.h>

#include "base/bytes.h"

/* Points at the bounce buffer; none is an implicit operand of anything that is run natively. */
static const uint8_t pointer_choice[] = {CPU_RBX, CPU_RSI, CPU_RDI};
#define SPARE CPU_RBP

struct native {
    struct simd_frame frame;
    uint32_t guest_mxcsr;
    uint32_t flags; /* of MXCSR, raised by the instruction */
    unsigned pointer;
    bool uses_spare;
    bool is_quiet; /* raises no exception, whatever MXCSR says */
    uint64_t spare_before;
    _Alignas(64) uint8_t bounce[2 * SIMD_BYTES_MAX];
};

static bool uses_gpr(const struct insn *insn, unsigned reg)
{
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (insn->operands[i].kind == INSN_GPR && insn->operands[i].reg == reg)
            return true;
    return false;
}

/* The state components that the instruction may read or write. Those of a VEX instruction include the upper
 * halves that it clears. */
static uint64_t components_of(const struct step_env *env)
{
    const struct insn *insn = &env->insn;
    uint64_t components = 0;
    if (insn_class(insn) == INSN_CLASS_X87 || insn_class(insn) == INSN_CLASS_MMX)
        components = XCR0_X87;
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (insn->operands[i].kind == INSN_MMX)
            components = XCR0_X87;
    if (insn_class(insn) != INSN_CLASS_X87)
        components |= XCR0_SSE;
    if (insn->encoding == INSN_VEX || insn->encoding == INSN_EVEX || insn->encoding == INSN_XOP)
        components |= XSAVE_VECTOR_COMPONENTS & ~XCR0_X87;
    return components & simd_layout(env)->components;
}

static bool is_rsp_used(const struct insn *insn)
{
    return uses_gpr(insn, CPU_RSP);
}

static bool set_up(struct step_env *env, struct native *native)
{
    const struct insn *insn = &env->insn;
    struct simd_frame *frame = &native->frame;
    uint8_t bytes[INSN_BYTES_MAX];
    native->pointer = pointer_choice[0];
    for (unsigned i = 0; uses_gpr(insn, native->pointer); i++)
        native->pointer = pointer_choice[i];
    size_t len = simd_encode(insn, native->pointer, SPARE, &native->uses_spare, bytes);
    if (!len)
        return false;
    frame->code = simd_code_get(env->machine->simd, bytes, len);
    frame->xsave = simd_area(env);
    frame->components = components_of(env);
    bool is_estimate = insn->encoding == INSN_EVEX && insn->map == 2 &&
                       (insn->opcode & 0xfc) == 0x4c; /* VRCP14 */
    native->is_quiet = is_estimate || (insn->attributes & (INSN_ROUNDING | INSN_SAE));
    frame->flags = (env->cpu->rflags & FLAGS_STATUS) | FLAG_FIXED | FLAG_IF;
    memcpy(frame->gpr, env->cpu->gpr, sizeof(frame->gpr));
    if (is_rsp_used(insn))
        frame->gpr[SPARE] = env->cpu->gpr[CPU_RSP];
    frame->gpr[native->pointer] = (uint64_t)native->bounce;
    frame->has_avx = frame->components & XCR0_AVX ? 1 : 0;
    frame->has_x87 = frame->components & XCR0_X87 ? 1 : 0;
    return true;
}

/* Runs it with all SSE exceptions masked. `keep`: registers are stored, unless an exception that the guest
 * has not masked came out. */
static uint32_t run_once(struct native *native, uint32_t mxcsr, bool keep)
{
    struct simd_frame frame = native->frame;
    frame.mxcsr = (mxcsr | MXCSR_MASKS) & ~MXCSR_FLAGS;
    if (!keep)
        frame.unmasked |= MXCSR_MASKS; /* which are set */
    store_le32(frame.xsave + XSAVE_MXCSR, frame.mxcsr);
    simd_enter(&frame);
    if (keep)
        native->frame = frame;
    return frame.mxcsr & MXCSR_FLAGS;
}

/* With underflow masked, a tiny result counts only where it is inexact; otherwise every one does. Flushing to
 * zero reports those too, in a run whose result is not wanted. */
static void run(struct native *native)
{
    struct simd_frame *frame = &native->frame;
    uint32_t mxcsr = load_le32(frame->xsave + XSAVE_MXCSR);
    bool has_sse = frame->components & XCR0_SSE;
    bool is_tiny = false;
    native->guest_mxcsr = mxcsr;
    frame->unmasked = has_sse ? ~(mxcsr >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS : 0;
    if (has_sse && !(mxcsr & MXCSR_UM) && !native->is_quiet)
        is_tiny = run_once(native, mxcsr | MXCSR_FTZ, false) & MXCSR_UE;
    if (!(mxcsr & MXCSR_UM) && !native->is_quiet)
        mxcsr &= ~MXCSR_FTZ; /* it has no effect then */
    native->flags = run_once(native, mxcsr, !is_tiny);
    if (is_tiny)
        native->flags |= MXCSR_UE;
    store_le32(frame->xsave + XSAVE_MXCSR, native->guest_mxcsr);
}

/* SDM 1 11.5.4: an exception found before the computation suppresses the flags of those found after it. */
static enum step_result judge(struct step_env *env, struct native *native)
{
    if (!(native->frame.components & XCR0_SSE))
        return STEP_DONE;
    uint32_t flags = native->flags;
    uint32_t unmasked = flags & native->frame.unmasked;
    if (unmasked & MXCSR_PRECOMPUTE)
        flags &= MXCSR_PRECOMPUTE;
    store_le32(simd_area(env) + XSAVE_MXCSR, native->guest_mxcsr | flags);
    if (!unmasked)
        return STEP_DONE;
    if (native->frame.components & XCR0_X87)
        simd_enter_mmx(env);
    return env_raise(env, env->cpu->cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD);
}

/* The pointers to the last x87 instruction name our code and our buffer: put the guest's in. */
static void fix_x87_pointers(const struct step_env *env, const struct native *native,
                             const struct simd_operand *operand, const uint8_t *before)
{
    uint8_t *area = simd_area(env);
    if (!(native->frame.components & XCR0_X87))
        return;
    const struct insn *insn = &env->insn;
    if (load_le64(area + XSAVE_FIP) != (uint64_t)native->frame.code) {
        memcpy(area + XSAVE_FOP, before, XSAVE_MXCSR - XSAVE_FOP);
        return;
    }
    store_le16(area + XSAVE_FOP, (uint16_t)((insn->opcode & 7) << 8 | insn->modrm));
    store_le64(area + XSAVE_FIP, env->cpu->rip);
    if (load_le64(area + XSAVE_FDP) == (uint64_t)native->bounce)
        store_le64(area + XSAVE_FDP, operand->offset);
}

static void take_registers(struct step_env *env, const struct native *native)
{
    struct cpu_state *cpu = env->cpu;
    const struct simd_frame *frame = &native->frame;
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
        if (i != CPU_RSP && i != native->pointer && !(i == SPARE && native->uses_spare))
            cpu->gpr[i] = frame->gpr[i];
    if (native->uses_spare)
        cpu->gpr[CPU_RSP] = frame->gpr[SPARE];
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | (frame->flags & FLAGS_STATUS);
}

/* The mask bits of all copies of an element in one. */
static uint64_t fold(uint64_t mask, unsigned count_all, unsigned count)
{
    uint64_t folded = 0;
    mask &= simd_low_bits(count_all);
    for (unsigned at = 0; at < count_all; at += count)
        folded |= mask >> at;
    return folded;
}

/* A bit for each byte that a masked load touches. */
static uint64_t bytes_loaded(const struct step_env *env, const struct simd_operand *operand)
{
    const struct insn *insn = &env->insn;
    uint64_t all = simd_low_bits(operand->memory.size);
    unsigned element = insn->mask && insn->encoding == INSN_EVEX ? simd_element_bytes(insn) : 0;
    if (!element)
        return all;
    uint64_t mask = xsave_mask_read(simd_area(env), simd_layout(env), insn->mask);
    unsigned count = operand->memory.size / element;
    if (simd_is_repeating(insn))
        mask = fold(mask, insn->vector_length / simd_result_bytes(insn, element), count);
    mask &= simd_low_bits(count);
    if (insn->op == INSN_OP_EXPAND)
        return simd_low_bits((unsigned)__builtin_popcountll(mask) * element);
    uint64_t bytes = 0;
    for (; mask; mask &= mask - 1)
        bytes |= simd_low_bits(element) << (unsigned)__builtin_ctzll(mask) * element;
    return bytes;
}

/* A store that x87 has not done because of an exception that is not masked: all but inexact. */
static bool is_store_suppressed(const struct native *native, uint16_t fsw_before)
{
    if (!(native->frame.components & XCR0_X87))
        return false;
    unsigned fcw = load_le16(native->frame.xsave + XSAVE_FCW);
    unsigned fsw = load_le16(native->frame.xsave + XSAVE_FSW);
    return !(fsw_before & FSW_ES) && (fsw & ~fcw & 0x1f);
}

/* VEXTRACTF32X4 and its like fault wherever the whole operand would (SDM 2A 2.8.5, type E6NF). */
static bool is_extract(const struct insn *insn)
{
    return insn->map == 3 && ((insn->opcode & 0xdd) == 0x19);
}

/* AMD's processors take the SHA instructions' operands wherever they are. */
static bool is_exact(const struct step_env *env)
{
    const struct insn *insn = &env->insn;
    return (insn->attributes & INSN_ALIGNED) && !(insn->isa == INSN_ISA_SHA && env->machine->vendor_amd);
}

/* Stores with an EVEX mask, and compressing ones: what they write is found by running them over two different
 * backgrounds, then those bytes are prepared and written. */
static enum step_result store_masked(struct step_env *env, struct native *native,
                                     const struct simd_operand *operand)
{
    uint8_t first[SIMD_BYTES_MAX];
    memset(native->bounce, 0, SIMD_BYTES_MAX);
    run(native);
    memcpy(first, native->bounce, SIMD_BYTES_MAX);
    memset(native->bounce, 0xff, SIMD_BYTES_MAX);
    run(native);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < SIMD_BYTES_MAX; i++)
        bytes |= (uint64_t)(native->bounce[i] == first[i]) << i;
    struct simd_accesses accesses;
    if (is_extract(&env->insn))
        TRY(simd_prepare(env, operand, simd_low_bits(operand->memory.size), ACCESS_WRITE, &accesses));
    if (bytes && is_exact(env) && (operand->offset & (operand->memory.size - 1u)))
        return env_gp(env);
    TRY(simd_prepare(env, operand, bytes, ACCESS_WRITE, &accesses));
    TRY(judge(env, native));
    simd_write(env, &accesses, first);
    return STEP_DONE;
}

static unsigned access_flags(const struct step_env *env, const struct simd_operand *operand)
{
    unsigned flags = operand->memory.access & INSN_READ ? ACCESS_READ : 0;
    if (operand->memory.access & INSN_WRITE)
        flags |= ACCESS_WRITE;
    return flags | (is_exact(env) && !env->insn.mask ? ACCESS_EXACT : 0);
}

static enum step_result with_memory(struct step_env *env, struct native *native,
                                    const struct simd_operand *operand)
{
    const struct insn *insn = &env->insn;
    unsigned flags = access_flags(env, operand);
    if ((flags & ACCESS_WRITE) && insn->encoding == INSN_EVEX && insn->mask)
        return store_masked(env, native, operand);
    struct simd_accesses accesses;
    uint64_t bytes = bytes_loaded(env, operand);
    if (insn->mask && bytes && is_exact(env) && (operand->offset & (operand->memory.size - 1u)))
        return env_gp(env);
    TRY(simd_prepare(env, operand, bytes, flags, &accesses));
    if (flags & ACCESS_READ)
        simd_read(env, &accesses, native->bounce);
    uint16_t fsw = load_le16(simd_area(env) + XSAVE_FSW);
    uint8_t pointers[XSAVE_MXCSR - XSAVE_FOP];
    memcpy(pointers, simd_area(env) + XSAVE_FOP, sizeof(pointers));
    run(native);
    TRY(judge(env, native));
    if ((flags & ACCESS_WRITE) && !is_store_suppressed(native, fsw))
        simd_write(env, &accesses, native->bounce);
    fix_x87_pointers(env, native, operand, pointers);
    return STEP_DONE;
}

/* VZEROUPPER and VZEROALL reach sixteen registers here, but only eight in the guest's 32-bit code. */
static enum step_result zero_registers(struct step_env *env)
{
    unsigned width = simd_layout(env)->components & XCR0_ZMM_HIGH ? 64 : 32;
    for (unsigned i = 0; i < (env->is_64bit ? 16 : 8); i++) {
        uint8_t whole[SIMD_BYTES_MAX] = {0};
        if (env->insn.vector_length == 16)
            xsave_vector_read(simd_area(env), simd_layout(env), i, whole, 16);
        xsave_vector_write(simd_area(env), simd_layout(env), i, whole, width);
    }
    return STEP_DONE;
}

enum step_result simd_native(struct step_env *env)
{
    if (env->insn.encoding == INSN_VEX && env->insn.map == 1 && env->insn.opcode == 0x77)
        return zero_registers(env);
    struct native native;
    struct simd_operand operand = {0};
    const struct simd_code *code = env->machine->simd;
    if (!simd_host_has(code, env->insn.isa) ||
        (simd_needs_vl(&env->insn) && !simd_host_has(code, SIMD_ISA_VL)))
        return env_raise(env, VECTOR_UD);
    if (!set_up(env, &native))
        return env_unsupported(env, "a SIMD instruction that cannot be encoded with another memory operand");
    if (simd_operand(env, &operand) && operand.memory.size) {
        TRY(with_memory(env, &native, &operand));
    } else {
        uint8_t pointers[XSAVE_MXCSR - XSAVE_FOP];
        memcpy(pointers, simd_area(env) + XSAVE_FOP, sizeof(pointers));
        run(&native);
        TRY(judge(env, &native));
        fix_x87_pointers(env, &native, &operand, pointers);
    }
    take_registers(env, &native);
    return STEP_DONE;
}
