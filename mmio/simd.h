/* SPDX-License-Identifier: MIT
 *
 * x87, MMX, SSE, AVX and AVX-512 instructions. Most are run on this CPU over the guest's vector state, as our
 * own encoding of the decoded instruction with a bounce buffer as its memory operand (simd_native.c); those
 * that touch memory by element are done here by element (simd_masked.c); what saves and loads state is
 * done in C over the XSAVE area (simd_state.c, simd_x87.c).
 *
 * Exceptions come out without a signal: SSE runs with all of them masked and is judged by MXCSR afterwards;
 * x87 runs with the guest's own control word, since the processor defers its exceptions to the next x87
 * instruction, which is not run when one is pending.
 */
#ifndef MMIO_SIMD_H
#define MMIO_SIMD_H

#include "mmio/access.h"
#include "mmio/simd_code.h"

/* Executes env->insn; its memory operand need not be prepared. machine->simd NULL: STEP_UNSUPPORTED. */
enum step_result emulate_simd(struct step_env *env);

/* Whether the guest's CPUID shows the extension that env->insn belongs to; true where that cannot be told. */
bool emulate_has_isa(struct step_env *env);

/* ---- shared by the simd_*.c files ---- */

#define MXCSR_FLAGS      0x3fu
#define MXCSR_MASKS      0x1f80u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_PRECOMPUTE 0x07u /* invalid, denormal, divide by zero */
#define MXCSR_UM         0x0800u
#define MXCSR_UE         0x0010u
#define MXCSR_FTZ        0x8000u
#define FSW_ES           0x0080u

#define SIMD_BYTES_MAX 64

/* The explicit memory operand: where it is, as much of it as `bytes` (a bit for each byte) says. */
struct simd_operand {
    struct insn_memory memory;
    uint64_t offset; /* into the segment */
    uint8_t align;   /* for #AC; 1: not checked */
};

/* Accesses to the runs of set bits of a byte mask, in order of address. */
struct simd_accesses {
    unsigned count;
    uint8_t at[SIMD_BYTES_MAX / 2]; /* where the run begins in the operand */
    struct access runs[SIMD_BYTES_MAX / 2];
};

static inline uint8_t *simd_area(const struct step_env *env)
{
    return env->cpu->vector.xsave;
}

static inline const struct xsave_layout *simd_layout(const struct step_env *env)
{
    return simd_code_layout(env->machine->simd);
}

static inline uint64_t simd_low_bits(unsigned count)
{
    return count >= 64 ? ~0ull : (1ull << count) - 1;
}

/* False where the instruction has no such operand. */
bool simd_operand(const struct step_env *env, struct simd_operand *operand);

/* Prepares the bytes of `bytes` for `flags` (enum access_flags). */
enum step_result simd_prepare(struct step_env *env, const struct simd_operand *operand, uint64_t bytes,
                              unsigned flags, struct simd_accesses *accesses);
void simd_read(struct step_env *env, const struct simd_accesses *accesses, uint8_t *to);
void simd_write(struct step_env *env, const struct simd_accesses *accesses, const uint8_t *from);

/* The registers that the instruction's class needs are on (#UD, #NM), no x87 exception is pending (#MF), and
 * the vector state is loaded and expanded. */
enum step_result simd_check(struct step_env *env);

/* An MMX instruction makes all x87 registers valid and sets TOP to 0, those with a masked store or a
 * floating-point exception even where they end in a fault. */
void simd_enter_mmx(const struct step_env *env);

/* Whether it needs AVX512VL beside its extension. */
bool simd_needs_vl(const struct insn *insn);

/* Plain moves of whole vectors, which need no run. */
bool simd_is_move(const struct insn *insn);
enum step_result simd_move(struct step_env *env);

enum step_result simd_native(struct step_env *env);
enum step_result simd_maskmov(struct step_env *env);
enum step_result simd_vmaskmov(struct step_env *env);
enum step_result simd_gather(struct step_env *env);
enum step_result simd_scatter(struct step_env *env);
enum step_result simd_state(struct step_env *env); /* FXSAVE to XRSTORS, LDMXCSR, STMXCSR */
enum step_result simd_x87(struct step_env *env);   /* the x87 control instructions */

/* How many bytes of memory stand for one bit of the EVEX mask; 0: the whole operand is always read. */
unsigned simd_element_bytes(const struct insn *insn);
bool simd_is_repeating(const struct insn *insn);
unsigned simd_result_bytes(const struct insn *insn, unsigned element);

/* Our own encoding for 64-bit code: the memory operand, where there is one, is [pointer]. `spare` stands for
 * rsp where that is an operand; *uses_spare says so. 0: not encodable. */
size_t simd_encode(const struct insn *insn, unsigned pointer, unsigned spare, bool *uses_spare,
                   uint8_t bytes[INSN_BYTES_MAX]);

#endif
