/* SPDX-License-Identifier: MIT
 *
 * The integer repertoire: a function for each family of operations, called by step.c through the table below
 * with the instruction decoded and its explicit memory operand prepared (so operand_read and operand_write
 * cannot fail).
 */
#ifndef MMIO_EMULATE_H
#define MMIO_EMULATE_H

#include "mmio/access.h"

typedef enum step_result emulate_fn(struct step_env *env);

/* operations.c: by enum insn_op; NULL: none. */
extern emulate_fn *const emulate_operations[INSN_OP_COUNT];

/* emulate_move.c */
emulate_fn emulate_mov, emulate_mov_seg, emulate_movbe, emulate_movx, emulate_xchg, emulate_bswap,
    emulate_lea, emulate_cmovcc, emulate_setcc, emulate_xlat, emulate_movdir64b, emulate_load_far,
    emulate_cbw, emulate_cwd, emulate_lahf, emulate_sahf, emulate_salc, emulate_flag, emulate_nop;
/* emulate_alu.c */
emulate_fn emulate_alu, emulate_unary, emulate_mul, emulate_imul, emulate_div, emulate_adcx;
/* emulate_shift.c */
emulate_fn emulate_shift, emulate_double_shift;
/* emulate_bits.c */
emulate_fn emulate_bit_test, emulate_bit_scan, emulate_crc32, emulate_bmi, emulate_mulx, emulate_shiftx;
/* emulate_bcd.c */
emulate_fn emulate_bcd;
/* emulate_atomic.c */
emulate_fn emulate_xadd, emulate_cmpxchg, emulate_cmpxchg_pair, emulate_cmpccxadd, emulate_rao;
/* emulate_string.c */
emulate_fn emulate_string, emulate_in, emulate_out;
/* emulate_stack.c */
emulate_fn emulate_push, emulate_pop, emulate_pusha, emulate_popa, emulate_pushf, emulate_popf, emulate_enter,
    emulate_leave;
/* emulate_branch.c */
emulate_fn emulate_jcc, emulate_loop, emulate_jmp, emulate_call, emulate_ret, emulate_bound;
/* emulate_far.c */
emulate_fn emulate_jmp_far, emulate_call_far, emulate_ret_far, emulate_iret, emulate_int;
/* emulate_system.c */
emulate_fn emulate_store_table, emulate_load_table, emulate_store_system, emulate_load_system, emulate_smsw,
    emulate_lmsw, emulate_clts, emulate_mov_cr, emulate_mov_dr, emulate_invalidate, emulate_hlt,
    emulate_cli_sti, emulate_ac, emulate_cpuid, emulate_rdtsc, emulate_rdpmc, emulate_msr, emulate_pkru,
    emulate_xcr, emulate_hypercall, emulate_rdpid, emulate_probe, emulate_arpl, emulate_fsgsbase,
    emulate_swapgs, emulate_lkgs, emulate_clzero, emulate_random;
/* emulate_rare.c */
emulate_fn emulate_transaction, emulate_monitor, emulate_clflush, emulate_ptwrite,
    emulate_user_interrupt_flag;
/* Of an operation outside the repertoire: whether this guest's processor would execute it at all. */
bool emulate_is_switched_on(struct step_env *env);
/* emulate_syscall.c */
emulate_fn emulate_syscall, emulate_sysret, emulate_sysenter, emulate_sysexit;

/* Prepares operand `i`, memory by ModRM, moffs or XLAT, as env->operand. step.c has done so for all but the
 * operations that say otherwise. */
enum step_result operand_prepare(struct step_env *env, unsigned i);

/* Operand `i` as a value of its size, 1 to 8 bytes. An immediate is cut to the size of operand 0. */
uint64_t operand_read(struct step_env *env, unsigned i);
void operand_write(struct step_env *env, unsigned i, uint64_t value);

/* The end of a read-modify-write: false where another CPU came between; then start again from the read. */
bool operand_replace(struct step_env *env, unsigned i, uint64_t old, uint64_t value);
bool operand_is_memory(const struct step_env *env, unsigned i);

/* Registers by number, in a width of 1 (low byte), 2, 4 (clears the upper half) or 8 bytes. */
uint64_t gpr_read(const struct step_env *env, unsigned reg, unsigned size);
void gpr_write(struct step_env *env, unsigned reg, unsigned size, uint64_t value);

/* Condition `cc`, the low four bits of Jcc, SETcc and CMOVcc. */
bool condition_holds(const struct step_env *env, unsigned cc);

/* Sets those flags of `mask` to the ones in `flags`. */
static inline void flags_set(struct step_env *env, uint64_t mask, uint64_t flags)
{
    env->cpu->rflags = (env->cpu->rflags & ~mask) | (flags & mask);
}

static inline uint64_t sign_bit(unsigned size)
{
    return 1ull << (8 * size - 1);
}

static inline int64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (int64_t)(value << shift) >> shift;
}

/* ZF, SF and PF of a result. */
static inline uint64_t flags_of_masked(uint64_t value, uint64_t mask)
{
    return ((value & mask) ? 0 : FLAG_ZF) | ((value & (mask ^ mask >> 1)) ? FLAG_SF : 0) |
           (__builtin_parity(value & 0xff) ? 0 : FLAG_PF);
}

static inline uint64_t flags_of(uint64_t value, unsigned size)
{
    return flags_of_masked(value, size_mask(size));
}

/* a + b + carry and a - b - carry in the width of the mask: the result, and all six flags in *flags. */
static inline uint64_t alu_add_masked(uint64_t a, uint64_t b, unsigned carry, uint64_t mask, uint64_t *flags)
{
    uint64_t result = (a + b + carry) & mask;
    bool carries = carry ? result <= (a & mask) : result < (a & mask);
    bool overflows = (a ^ result) & (b ^ result) & (mask ^ mask >> 1);
    *flags = flags_of_masked(result, mask) | (carries ? FLAG_CF : 0) | (overflows ? FLAG_OF : 0) |
             ((a ^ b ^ result) & FLAG_AF);
    return result;
}

static inline uint64_t alu_sub_masked(uint64_t a, uint64_t b, unsigned carry, uint64_t mask, uint64_t *flags)
{
    uint64_t result = (a - b - carry) & mask;
    bool borrows = carry ? (a & mask) <= (b & mask) : (a & mask) < (b & mask);
    bool overflows = (a ^ b) & (a ^ result) & (mask ^ mask >> 1);
    *flags = flags_of_masked(result, mask) | (borrows ? FLAG_CF : 0) | (overflows ? FLAG_OF : 0) |
             ((a ^ b ^ result) & FLAG_AF);
    return result;
}

/* The same by size in bytes. */
uint64_t alu_add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags);
uint64_t alu_sub(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags);

#endif
