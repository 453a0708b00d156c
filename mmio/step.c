/* SPDX-License-Identifier: MIT
 *
 * One instruction: fetch, decode, prepare the memory operand, execute, and what the processor does around
 * every instruction (RF, TF, the interrupt shadow, breakpoints).
 */
#include "mmio/step.h"

#include <string.h>

#include "base/bytes.h"
#include "mmio/emulate.h"
#include "mmio/execute.h"
#include "mmio/run.h"
#include "mmio/simd.h"
#include "mmio/v86.h"

/* A NOP as long as shadow stacks are off. */
static enum step_result emulate_rdssp(struct step_env *env)
{
    return env->cpu->cr4 & CR4_CET ? env_unsupported(env, "shadow stacks") : STEP_DONE;
}

static emulate_fn *const operations[INSN_OP_COUNT] = {
    [INSN_OP_MOV] = emulate_mov,
    [INSN_OP_MOV_SEG] = emulate_mov_seg,
    [INSN_OP_MOV_CR] = emulate_mov_cr,
    [INSN_OP_MOV_DR] = emulate_mov_dr,
    [INSN_OP_MOVBE] = emulate_movbe,
    [INSN_OP_MOVNTI] = emulate_mov,
    [INSN_OP_MOVDIRI] = emulate_mov,
    [INSN_OP_MOVDIR64B] = emulate_movdir64b,
    [INSN_OP_CMOVCC] = emulate_cmovcc,
    [INSN_OP_SETCC] = emulate_setcc,
    [INSN_OP_MOVZX] = emulate_movx,
    [INSN_OP_MOVSX] = emulate_movx,
    [INSN_OP_XCHG] = emulate_xchg,
    [INSN_OP_BSWAP] = emulate_bswap,
    [INSN_OP_XLAT] = emulate_xlat,
    [INSN_OP_LEA] = emulate_lea,
    [INSN_OP_LOAD_FAR] = emulate_load_far,
    [INSN_OP_CBW] = emulate_cbw,
    [INSN_OP_CWD] = emulate_cwd,
    [INSN_OP_LAHF] = emulate_lahf,
    [INSN_OP_SAHF] = emulate_sahf,
    [INSN_OP_SALC] = emulate_salc,
    [INSN_OP_ADD] = emulate_alu,
    [INSN_OP_OR] = emulate_alu,
    [INSN_OP_ADC] = emulate_alu,
    [INSN_OP_SBB] = emulate_alu,
    [INSN_OP_AND] = emulate_alu,
    [INSN_OP_SUB] = emulate_alu,
    [INSN_OP_XOR] = emulate_alu,
    [INSN_OP_CMP] = emulate_alu,
    [INSN_OP_TEST] = emulate_alu,
    [INSN_OP_INC] = emulate_unary,
    [INSN_OP_DEC] = emulate_unary,
    [INSN_OP_NOT] = emulate_unary,
    [INSN_OP_NEG] = emulate_unary,
    [INSN_OP_MUL] = emulate_mul,
    [INSN_OP_IMUL_WIDE] = emulate_mul,
    [INSN_OP_IMUL] = emulate_imul,
    [INSN_OP_DIV] = emulate_div,
    [INSN_OP_IDIV] = emulate_div,
    [INSN_OP_ROL] = emulate_shift,
    [INSN_OP_ROR] = emulate_shift,
    [INSN_OP_RCL] = emulate_shift,
    [INSN_OP_RCR] = emulate_shift,
    [INSN_OP_SHL] = emulate_shift,
    [INSN_OP_SHR] = emulate_shift,
    [INSN_OP_SAR] = emulate_shift,
    [INSN_OP_SHLD] = emulate_double_shift,
    [INSN_OP_SHRD] = emulate_double_shift,
    [INSN_OP_BT] = emulate_bit_test,
    [INSN_OP_BTS] = emulate_bit_test,
    [INSN_OP_BTR] = emulate_bit_test,
    [INSN_OP_BTC] = emulate_bit_test,
    [INSN_OP_BSF] = emulate_bit_scan,
    [INSN_OP_BSR] = emulate_bit_scan,
    [INSN_OP_TZCNT] = emulate_bit_scan,
    [INSN_OP_LZCNT] = emulate_bit_scan,
    [INSN_OP_POPCNT] = emulate_bit_scan,
    [INSN_OP_CRC32] = emulate_crc32,
    [INSN_OP_ADCX] = emulate_adcx,
    [INSN_OP_ADOX] = emulate_adcx,
    [INSN_OP_AAA] = emulate_bcd,
    [INSN_OP_AAS] = emulate_bcd,
    [INSN_OP_AAD] = emulate_bcd,
    [INSN_OP_AAM] = emulate_bcd,
    [INSN_OP_DAA] = emulate_bcd,
    [INSN_OP_DAS] = emulate_bcd,
    [INSN_OP_XADD] = emulate_xadd,
    [INSN_OP_CMPXCHG] = emulate_cmpxchg,
    [INSN_OP_CMPXCHG8B] = emulate_cmpxchg_pair,
    [INSN_OP_CMPXCHG16B] = emulate_cmpxchg_pair,
    [INSN_OP_CMPCCXADD] = emulate_cmpccxadd,
    [INSN_OP_AADD] = emulate_rao,
    [INSN_OP_AAND] = emulate_rao,
    [INSN_OP_AOR] = emulate_rao,
    [INSN_OP_AXOR] = emulate_rao,
    [INSN_OP_ANDN] = emulate_bmi,
    [INSN_OP_BEXTR] = emulate_bmi,
    [INSN_OP_BLSI] = emulate_bmi,
    [INSN_OP_BLSMSK] = emulate_bmi,
    [INSN_OP_BLSR] = emulate_bmi,
    [INSN_OP_BZHI] = emulate_bmi,
    [INSN_OP_MULX] = emulate_mulx,
    [INSN_OP_PDEP] = emulate_bmi,
    [INSN_OP_PEXT] = emulate_bmi,
    [INSN_OP_RORX] = emulate_shiftx,
    [INSN_OP_SARX] = emulate_shiftx,
    [INSN_OP_SHLX] = emulate_shiftx,
    [INSN_OP_SHRX] = emulate_shiftx,
    [INSN_OP_BLCFILL] = emulate_bmi,
    [INSN_OP_BLCI] = emulate_bmi,
    [INSN_OP_BLCIC] = emulate_bmi,
    [INSN_OP_BLCMSK] = emulate_bmi,
    [INSN_OP_BLCS] = emulate_bmi,
    [INSN_OP_BLSFILL] = emulate_bmi,
    [INSN_OP_BLSIC] = emulate_bmi,
    [INSN_OP_T1MSKC] = emulate_bmi,
    [INSN_OP_TZMSK] = emulate_bmi,
    [INSN_OP_PUSH] = emulate_push,
    [INSN_OP_POP] = emulate_pop,
    [INSN_OP_PUSHA] = emulate_pusha,
    [INSN_OP_POPA] = emulate_popa,
    [INSN_OP_PUSHF] = emulate_pushf,
    [INSN_OP_POPF] = emulate_popf,
    [INSN_OP_ENTER] = emulate_enter,
    [INSN_OP_LEAVE] = emulate_leave,
    [INSN_OP_CALL] = emulate_call,
    [INSN_OP_CALL_FAR] = emulate_call_far,
    [INSN_OP_RET] = emulate_ret,
    [INSN_OP_RET_FAR] = emulate_ret_far,
    [INSN_OP_IRET] = emulate_iret,
    [INSN_OP_JMP] = emulate_jmp,
    [INSN_OP_JMP_FAR] = emulate_jmp_far,
    [INSN_OP_JCC] = emulate_jcc,
    [INSN_OP_LOOP] = emulate_loop,
    [INSN_OP_LOOPE] = emulate_loop,
    [INSN_OP_LOOPNE] = emulate_loop,
    [INSN_OP_JRCXZ] = emulate_loop,
    [INSN_OP_INT] = emulate_int,
    [INSN_OP_INT1] = emulate_int,
    [INSN_OP_INT3] = emulate_int,
    [INSN_OP_INTO] = emulate_int,
    [INSN_OP_BOUND] = emulate_bound,
    [INSN_OP_MOVS] = emulate_string,
    [INSN_OP_CMPS] = emulate_string,
    [INSN_OP_STOS] = emulate_string,
    [INSN_OP_LODS] = emulate_string,
    [INSN_OP_SCAS] = emulate_string,
    [INSN_OP_INS] = emulate_string,
    [INSN_OP_OUTS] = emulate_string,
    [INSN_OP_IN] = emulate_in,
    [INSN_OP_OUT] = emulate_out,
    [INSN_OP_CLC] = emulate_flag,
    [INSN_OP_STC] = emulate_flag,
    [INSN_OP_CMC] = emulate_flag,
    [INSN_OP_CLD] = emulate_flag,
    [INSN_OP_STD] = emulate_flag,
    [INSN_OP_CLI] = emulate_cli_sti,
    [INSN_OP_STI] = emulate_cli_sti,
    [INSN_OP_CLAC] = emulate_ac,
    [INSN_OP_STAC] = emulate_ac,
    [INSN_OP_NOP] = emulate_nop,
    [INSN_OP_PAUSE] = emulate_nop,
    [INSN_OP_FENCE] = emulate_nop,
    [INSN_OP_SERIALIZE] = emulate_nop,
    [INSN_OP_CLFLUSH] = emulate_clflush,
    [INSN_OP_CLZERO] = emulate_clzero,
    [INSN_OP_HLT] = emulate_hlt,
    [INSN_OP_SGDT] = emulate_store_table,
    [INSN_OP_SIDT] = emulate_store_table,
    [INSN_OP_LGDT] = emulate_load_table,
    [INSN_OP_LIDT] = emulate_load_table,
    [INSN_OP_SLDT] = emulate_store_system,
    [INSN_OP_STR] = emulate_store_system,
    [INSN_OP_LLDT] = emulate_load_system,
    [INSN_OP_LTR] = emulate_load_system,
    [INSN_OP_SMSW] = emulate_smsw,
    [INSN_OP_LMSW] = emulate_lmsw,
    [INSN_OP_CLTS] = emulate_clts,
    [INSN_OP_LAR] = emulate_probe,
    [INSN_OP_LSL] = emulate_probe,
    [INSN_OP_VERR] = emulate_probe,
    [INSN_OP_VERW] = emulate_probe,
    [INSN_OP_ARPL] = emulate_arpl,
    [INSN_OP_INVLPG] = emulate_invalidate,
    [INSN_OP_INVPCID] = emulate_invalidate,
    [INSN_OP_INVD] = emulate_nop,
    [INSN_OP_WBINVD] = emulate_nop,
    [INSN_OP_CPUID] = emulate_cpuid,
    [INSN_OP_RDTSC] = emulate_rdtsc,
    [INSN_OP_RDTSCP] = emulate_rdtsc,
    [INSN_OP_RDPMC] = emulate_rdpmc,
    [INSN_OP_RDMSR] = emulate_msr,
    [INSN_OP_WRMSR] = emulate_msr,
    [INSN_OP_RDPKRU] = emulate_pkru,
    [INSN_OP_WRPKRU] = emulate_pkru,
    [INSN_OP_XGETBV] = emulate_xcr,
    [INSN_OP_XSETBV] = emulate_xcr,
    [INSN_OP_RDRAND] = emulate_random,
    [INSN_OP_RDSEED] = emulate_random,
    [INSN_OP_RDPID] = emulate_rdpid,
    [INSN_OP_SYSCALL] = emulate_syscall,
    [INSN_OP_SYSRET] = emulate_sysret,
    [INSN_OP_SYSENTER] = emulate_sysenter,
    [INSN_OP_SYSEXIT] = emulate_sysexit,
    [INSN_OP_SWAPGS] = emulate_swapgs,
    [INSN_OP_LKGS] = emulate_lkgs,
    [INSN_OP_PTWRITE] = emulate_ptwrite,
    [INSN_OP_MONITOR] = emulate_monitor,
    [INSN_OP_MWAIT] = emulate_monitor,
    [INSN_OP_XBEGIN] = emulate_transaction,
    [INSN_OP_XEND] = emulate_transaction,
    [INSN_OP_XABORT] = emulate_transaction,
    [INSN_OP_XTEST] = emulate_transaction,
    [INSN_OP_CLUI] = emulate_user_interrupt_flag,
    [INSN_OP_STUI] = emulate_user_interrupt_flag,
    [INSN_OP_TESTUI] = emulate_user_interrupt_flag,
    [INSN_OP_RDSSP] = emulate_rdssp,
    [INSN_OP_RDFSBASE] = emulate_fsgsbase,
    [INSN_OP_RDGSBASE] = emulate_fsgsbase,
    [INSN_OP_WRFSBASE] = emulate_fsgsbase,
    [INSN_OP_WRGSBASE] = emulate_fsgsbase,
};

static void read_code(struct step_env *env, const struct access_piece *piece, uint8_t *to)
{
    if (piece->from) {
        memcpy(to, piece->from, piece->len);
        return;
    }
    for (unsigned i = 0; i < piece->len; i++)
        to[i] = (uint8_t)bus_read(env->machine->bus, piece->gpa + i, 1);
}

/* More bytes of the instruction, as far as its page and the code segment go. The fault of the next byte
 * counts only when the decoder has asked for it. */
static enum step_result fetch_more(struct step_env *env, unsigned *len)
{
    const struct cpu_segment *cs = &env->cpu->segments[CPU_CS];
    struct access access = {
        .segment = CPU_CS, .offset = env->cpu->rip + *len, .len = 1, .flags = ACCESS_READ | ACCESS_FETCH};
    TRY(access_linearize(env, &access));
    unsigned wanted = STEP_INSN_BYTES_MAX - *len;
    unsigned on_page = PAGE_BYTES - (unsigned)(access.gva & (PAGE_BYTES - 1));
    if (wanted > on_page)
        wanted = on_page;
    if (!env->is_64bit && wanted - 1 > cs->limit - access.offset)
        wanted = (unsigned)(cs->limit - access.offset) + 1;
    access.len = (uint16_t)wanted;
    TRY(access_prepare_linear(env, &access));
    read_code(env, &access.pieces[0], env->outcome->bytes + *len);
    *len += wanted;
    return STEP_DONE;
}

struct insn_mode execute_mode(const struct step_env *env)
{
    const struct cpu_state *cpu = env->cpu;
    bool is_wide = cpu->segments[CPU_CS].attributes & SEGMENT_DB;
    return (struct insn_mode){.bits = env->is_64bit ? 64
                                      : is_wide     ? 32
                                                    : 16,
                              .real = !cpu_is_protected(cpu),
                              .vendor = env->machine->vendor_amd ? INSN_AMD : INSN_INTEL,
                              .features = INSN_FEATURES_DEFAULT};
}

enum step_result execute_fetch(struct step_env *env, const uint8_t *hint, unsigned hint_len)
{
    struct step_outcome *outcome = env->outcome;
    unsigned len = hint_len < STEP_INSN_BYTES_MAX ? hint_len : STEP_INSN_BYTES_MAX;
    struct insn_mode mode = execute_mode(env);
    if (hint && len)
        memcpy(outcome->bytes, hint, len);
    else
        TRY(fetch_more(env, &len));
    for (;;) {
        enum insn_status status = insn_decode(outcome->bytes, len, mode, &env->insn);
        outcome->byte_count = (uint8_t)len;
        switch (status) {
        case INSN_OK:
            outcome->byte_count = env->insn.length;
            env->next_rip = env->cpu->rip + env->insn.length;
            if (!env->is_64bit)
                env->next_rip = (uint32_t)env->next_rip;
            return STEP_DONE;
        case INSN_NEED_BYTES:
            if (len < STEP_INSN_BYTES_MAX) {
                TRY(fetch_more(env, &len));
                break;
            }
            return env_gp(env);
        case INSN_INVALID:
            return env_raise(env, VECTOR_UD);
        case INSN_TOO_LONG:
            return env_gp(env);
        }
    }
}

/* A bit test's register offset moves the operand by whole words, in both directions. */
static int64_t bit_offset(const struct step_env *env)
{
    const struct insn_operand *index = &env->insn.operands[1];
    unsigned size = env->insn.operands[0].size;
    int64_t bit = sign_extend(gpr_read(env, index->reg, index->size), index->size);
    return (bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (int64_t)size;
}

/* What #AC asks for (SDM 3A table 6-7): the offset's size of a far pointer, an element's of a pair of bounds.
 */
static uint8_t operand_align(const struct insn *insn, unsigned size)
{
    switch (insn->op) {
    case INSN_OP_BOUND:
        return (uint8_t)(size / 2);
    case INSN_OP_LOAD_FAR:
    case INSN_OP_JMP_FAR:
    case INSN_OP_CALL_FAR:
        return (uint8_t)(size - 2);
    case INSN_OP_MOVDIR64B: /* its source; as other vector loads */
        return 16;
    }
    return size <= 8 && !(size & (size - 1)) ? (uint8_t)size : 0;
}

enum step_result operand_prepare(struct step_env *env, unsigned i)
{
    const struct insn_operand *operand = &env->insn.operands[i];
    struct insn_memory memory;
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {env->cpu->gpr, bases, env->next_rip};
    if (!insn_memory(&env->insn, operand, &memory))
        return env_unsupported(env, "an operand that should be memory");
    struct access *access = &env->operand;
    access->offset = insn_offset(&env->insn, &memory, &registers, 0);
    if (env->insn.attributes & INSN_BIT_OFFSET)
        access->offset = (access->offset + (uint64_t)bit_offset(env)) & size_mask(env->insn.address_size);
    access->len = memory.size;
    access->segment = memory.segment;
    access->flags = memory.access & INSN_READ_WRITE;
    access->align = operand_align(&env->insn, memory.size);
    if (env->insn.op == INSN_OP_CMPXCHG16B)
        access->flags |= ACCESS_EXACT;
    TRY(access_prepare(env, access));
    if ((env->insn.prefixes & INSN_PREFIX_LOCK) || env->insn.op == INSN_OP_XCHG)
        access_lock(env, access);
    return STEP_DONE;
}

static bool is_accessed(const struct insn_operand *operand)
{
    bool is_explicit = operand->kind == INSN_MEM || operand->kind == INSN_MEM_MOFFS ||
                       operand->kind == INSN_MEM_XLAT;
    return is_explicit && (operand->access & INSN_READ_WRITE) && operand->size;
}

/* The explicit memory operand of an instruction that does not look after it itself. */
static enum step_result prepare_operands(struct step_env *env)
{
    for (unsigned i = 0; i < env->insn.operand_count; i++)
        if (is_accessed(&env->insn.operands[i]))
            TRY(operand_prepare(env, i));
    return STEP_DONE;
}

/* What is #UD before anything else is looked at: no such extension in the guest's CPUID, not switched on, or
 * the privileged instructions that answer so. */
static bool is_enabled(struct step_env *env)
{
    switch (env->insn.op) {
    case INSN_OP_CLAC:
    case INSN_OP_STAC:
        return !env->cpu->cpl && emulate_has_isa(env);
    case INSN_OP_INCSSP:
    case INSN_OP_SAVEPREVSSP:
    case INSN_OP_RSTORSSP:
    case INSN_OP_SETSSBSY:
    case INSN_OP_CLRSSBSY:
    case INSN_OP_WRSS:
    case INSN_OP_WRUSS:
        return env->cpu->cr4 & CR4_CET;
    case INSN_OP_MONITOR:
    case INSN_OP_MWAIT:
        return !(env->cpu->cpl && (env->insn.attributes & INSN_PRIVILEGED)) && emulate_has_isa(env);
    case INSN_OP_ENQCMD:
    case INSN_OP_ENQCMDS:
    case INSN_OP_RDPRU:
    case INSN_OP_NONE:
        return emulate_has_isa(env) && emulate_is_switched_on(env);
    }
    return emulate_has_isa(env);
}

enum step_result execute_insn(struct step_env *env)
{
    unsigned op = env->insn.op;
    if (op == INSN_OP_UD || !is_enabled(env))
        return env_raise(env, VECTOR_UD);
    if ((env->insn.attributes & INSN_PRIVILEGED) && env->cpu->cpl)
        return env_gp(env);
    if (op >= INSN_OP_NATIVE && op < INSN_OP_COUNT)
        return emulate_simd(env);
    emulate_fn *operation = op < INSN_OP_COUNT ? operations[op] : NULL;
    if (!operation)
        return env_unsupported(env, "an instruction outside the emulator's repertoire");
    if (op != INSN_OP_POP && op != INSN_OP_ARPL)
        TRY(prepare_operands(env));
    return operation(env);
}

bool execute_is_quick(const struct step_env *env, int8_t *memory)
{
    const struct insn *insn = &env->insn;
    unsigned count = 0;
    *memory = -1;
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (is_accessed(&insn->operands[i])) {
            *memory = (int8_t)i;
            count++;
        }
    return count <= 1 && insn->isa == INSN_ISA_BASE && insn->op < INSN_OP_NATIVE && operations[insn->op] &&
           insn->op != INSN_OP_UD && insn->op != INSN_OP_POP && insn->op != INSN_OP_ARPL &&
           !(insn->attributes & INSN_PRIVILEGED);
}

enum step_result execute_quick(struct step_env *env, int memory)
{
    if (memory >= 0)
        TRY(operand_prepare(env, (unsigned)memory));
    return operations[env->insn.op](env);
}

/* Instruction breakpoints are faults, which RF suppresses. */
static enum step_result check_breakpoints(struct step_env *env)
{
    const struct cpu_state *cpu = env->cpu;
    if (!(cpu->dr7 & DR7_ACTIVE) || (cpu->rflags & FLAG_RF))
        return STEP_DONE;
    uint64_t gva = cpu->rip + (env->is_64bit ? 0 : cpu->segments[CPU_CS].base), dr6 = 0;
    for (unsigned i = 0; i < 4; i++)
        if ((cpu->dr7 >> (2 * i) & 3) && !(cpu->dr7 >> (16 + 4 * i) & 3) && cpu->dr[i] == gva)
            dr6 |= 1u << i;
    if (!dr6)
        return STEP_DONE;
    env->outcome->event.dr6 = dr6;
    return env_raise(env, VECTOR_DB);
}

enum step_result execute_retire(struct step_env *env, enum step_result result, bool single_step)
{
    struct cpu_state *cpu = env->cpu;
    if (result == STEP_DONE) {
        cpu->rip = env->next_rip;
        if (!env->keep_rf)
            cpu->rflags &= ~(uint64_t)FLAG_RF;
        cpu->interrupt_shadow = env->shadow;
    }
    uint64_t dr6 = env->dr6 | (single_step && !env->trap_lost ? DR6_BS : 0);
    return dr6 && env->shadow != SHADOW_MOV_SS ? env_raise_trap(env, dr6) : result;
}

bool execute_is_plain(const struct step_env *env)
{
    unsigned op = env->insn.op;
    switch (op) {
    case INSN_OP_POP:
        return env->insn.operands[0].kind != INSN_SEG;
    case INSN_OP_MOV_SEG:
    case INSN_OP_MOV_CR:
    case INSN_OP_MOV_DR:
    case INSN_OP_LOAD_FAR:
    case INSN_OP_POPF:
    case INSN_OP_CALL_FAR:
    case INSN_OP_RET_FAR:
    case INSN_OP_IRET:
    case INSN_OP_JMP_FAR:
    case INSN_OP_INT:
    case INSN_OP_INT1:
    case INSN_OP_INT3:
    case INSN_OP_INTO:
    case INSN_OP_CLI:
    case INSN_OP_STI:
    case INSN_OP_PAUSE:
        return false;
    }
    if (op >= INSN_OP_NATIVE)
        return env->cpu->vector.loaded;
    return op != INSN_OP_NONE && op <= INSN_OP_CLZERO;
}

/* From the cache where the same bytes were decoded before. */
static enum step_result fetch(struct step_env *env, const uint8_t *hint, unsigned hint_len, bool *is_plain)
{
    struct step_run *run = env->machine->run;
    *is_plain = false;
    if (!run || hint_len)
        return execute_fetch(env, hint, hint_len);
    return run_fetch(run, env, is_plain);
}

/* Executes what was fetched; where that fails the registers are as before, except in a new task. */
static enum step_result execute_any(struct step_env *env)
{
    struct cpu_state before = *env->cpu;
    enum step_result result = execute_insn(env);
    bool is_late = result == STEP_EXCEPTION && env->outcome->task_switched;
    if (result != STEP_DONE && result != STEP_AGAIN && !is_late)
        env_undo(env->cpu, &before);
    return result;
}

/* The same of a plain instruction, which changes nothing else before it fails. */
static enum step_result execute_plain(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    uint64_t gpr[CPU_GPR_COUNT], rflags = cpu->rflags;
    memcpy(gpr, cpu->gpr, sizeof(gpr));
    enum step_result result = execute_insn(env);
    if (result != STEP_DONE && result != STEP_AGAIN) {
        memcpy(cpu->gpr, gpr, sizeof(gpr));
        cpu->rflags = rflags;
    }
    return result;
}

enum step_result step_insn(const struct step_machine *machine, struct cpu_state *cpu, const uint8_t *hint,
                           unsigned hint_len, struct step_outcome *outcome)
{
    struct step_env env;
    bool is_plain = false, single_step = cpu->rflags & FLAG_TF;
    env_begin(&env, machine, cpu, outcome);
    enum step_result result = check_breakpoints(&env);
    if (result == STEP_DONE && v86_is_pending(cpu))
        result = env_gp(&env);
    if (result == STEP_DONE)
        result = fetch(&env, hint, hint_len, &is_plain);
    if (result == STEP_DONE)
        result = is_plain ? execute_plain(&env) : execute_any(&env);
    env_end(&env);
    if (result == STEP_DONE || result == STEP_AGAIN) {
        outcome->kernel_device = false;
        return execute_retire(&env, result, single_step);
    }
    return result;
}
