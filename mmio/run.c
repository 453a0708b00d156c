/* SPDX-License-Identifier: MIT
 *
 * The cache of decoded instructions and the run that uses it. An entry is good when rip and mode are the same
 * and the bytes at rip, through the translation of the present moment, are still those that were decoded: a
 * write to code by anyone is seen at the next fetch, as a processor would see it.
 */
#include "mmio/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "mmio/block.h"
#include "mmio/execute.h"
#include "mmio/tlb.h"

/* What is remembered, powers of two: for a burst of accesses to a device, and for a kernel. */
#define DECODED_FEW    128u
#define DECODED_MANY   4096u
#define BLOCKS_FEW     64u
#define BLOCKS_MANY    2048u
#define COMPARED_BYTES 16u /* of code, which must not leave its page */

/* An instruction, and its bytes with a mask for their number. */
struct decoded {
    uint64_t rip;
    uint64_t bytes[2], mask[2];
    uint8_t bits, real; /* of the mode; bits 0: an empty entry */
    bool is_plain;      /* of vector instructions: not without more ado */
    bool is_quick;      /* execute_quick may have it, with operand `memory` (or none: -1) prepared */
    int8_t memory;
    struct insn insn;
};

struct step_run {
    struct step_env env;
    struct tlb tlb;
    struct insn_mode mode;
    uint64_t generation;    /* of the translations, that env is of */
    uint16_t cs_attributes; /* likewise */
    bool is_quick;          /* the CPU is one for blocks (quick_may) */
    bool may_repeat;        /* and in 64-bit mode, where that depends on no segment but CS */
    /* Of blocks: the page of code that is executed, as long as its translation holds. */
    gva_t code_page;
    const uint8_t *code;
    unsigned code_begins; /* so many places of it may a block begin in; 0: there is no page */
    struct decoded *decoded;
    uint64_t decoded_mask; /* of their number, less 1 */
    struct block_cache blocks;
};

static int create(struct step_run **out, unsigned decoded, unsigned blocks, struct vmm_error *error)
{
    struct step_run *run = calloc(1, sizeof(*run));
    if (run)
        run->decoded = calloc(decoded, sizeof(*run->decoded));
    if (!run || !run->decoded || block_cache_init(&run->blocks, blocks)) {
        step_run_destroy(run);
        return error_set(error, -ENOMEM, "emulator: out of memory");
    }
    run->decoded_mask = decoded - 1;
    run->tlb.session = run->tlb.generation = 1;
    *out = run;
    return 0;
}

int step_run_create(struct step_run **run, struct vmm_error *error)
{
    return create(run, DECODED_FEW, BLOCKS_FEW, error);
}

int step_run_create_large(struct step_run **run, struct vmm_error *error)
{
    return create(run, DECODED_MANY, BLOCKS_MANY, error);
}

void step_run_destroy(struct step_run *run)
{
    if (!run)
        return;
    block_cache_fini(&run->blocks);
    free(run->decoded);
    free(run);
}

static struct decoded *decoded_place(struct step_run *run, uint64_t rip)
{
    return &run->decoded[(rip ^ rip >> 7) & run->decoded_mask];
}

__attribute__((noinline)) static const uint8_t *code_walk(struct step_env *env)
{
    struct access access = {.segment = CPU_CS,
                            .offset = env->cpu->rip,
                            .len = COMPARED_BYTES,
                            .flags = ACCESS_READ | ACCESS_FETCH};
    /* the fetch in full finds the fault */
    return access_prepare(env, &access) == STEP_DONE ? access.pieces[0].from : NULL;
}

/* The host address of the code at rip, where a comparison may read COMPARED_BYTES. */
static const uint8_t *code_pointer(struct step_env *env)
{
    uint64_t rip = env->cpu->rip;
    gva_t gva = env->is_64bit ? rip : (uint32_t)(env->cpu->segments[CPU_CS].base + rip);
    struct access_piece piece;
    if ((gva & (PAGE_BYTES - 1)) > PAGE_BYTES - COMPARED_BYTES)
        return NULL;
    if (env->tlb && (env->is_64bit || rip + COMPARED_BYTES - 1 <= env->cpu->segments[CPU_CS].limit) &&
        tlb_find(env->tlb, gva, ACCESS_READ | ACCESS_FETCH, &piece))
        return piece.from;
    return code_walk(env);
}

static inline bool has_bytes(const struct decoded *decoded, const uint8_t *code)
{
    uint64_t low = (load_le64(code) ^ decoded->bytes[0]) & decoded->mask[0];
    uint64_t high = (load_le64(code + 8) ^ decoded->bytes[1]) & decoded->mask[1];
    return !(low | high);
}

static bool is_same(const struct decoded *decoded, const struct step_env *env, const struct insn_mode *mode,
                    const uint8_t *code)
{
    return decoded->rip == env->cpu->rip && decoded->bits == mode->bits && decoded->real == mode->real &&
           has_bytes(decoded, code);
}

static void remember(struct decoded *decoded, const struct step_env *env, const struct insn_mode *mode)
{
    uint8_t bytes[16] = {0};
    unsigned len = env->insn.length;
    memcpy(bytes, env->outcome->bytes, len);
    decoded->rip = env->cpu->rip;
    decoded->bytes[0] = load_le64(bytes);
    decoded->bytes[1] = load_le64(bytes + 8);
    decoded->mask[0] = size_mask(len < 8 ? len : 8);
    decoded->mask[1] = len > 8 ? size_mask(len - 8) : 0;
    decoded->bits = mode->bits;
    decoded->real = mode->real;
    decoded->insn = env->insn;
    decoded->is_plain = env->insn.op < INSN_OP_NATIVE && execute_is_plain(env);
    decoded->is_quick = decoded->is_plain && execute_is_quick(env, &decoded->memory);
}

/* The instruction at rip into env: decoded before, or now. */
static enum step_result find(struct step_run *run, struct step_env *env, const struct insn_mode *mode,
                             const struct decoded **found)
{
    struct decoded *decoded = decoded_place(run, env->cpu->rip);
    const uint8_t *code = code_pointer(env);
    *found = decoded;
    if (code && is_same(decoded, env, mode, code)) {
        env->insn = decoded->insn;
        env->next_rip = env->cpu->rip + decoded->insn.length;
        if (!env->is_64bit)
            env->next_rip = (uint32_t)env->next_rip;
        return STEP_DONE;
    }
    TRY(execute_fetch(env, code, code ? STEP_INSN_BYTES_MAX : 0));
    remember(decoded, env, mode);
    return STEP_DONE;
}

enum step_result run_fetch(struct step_run *run, struct step_env *env, bool *is_plain)
{
    const struct decoded *decoded;
    struct insn_mode mode = execute_mode(env);
    env->tlb = &run->tlb;
    tlb_begin(env->tlb, env->cpu);
    TRY(find(run, env, &mode, &decoded));
    *is_plain = decoded->is_plain;
    if (!*is_plain)
        env->tlb = NULL; /* it may change what translations depend on while it is executed */
    memcpy(env->outcome->bytes, decoded->bytes, STEP_INSN_BYTES_MAX);
    env->outcome->byte_count = env->insn.length;
    return STEP_DONE;
}

void step_run_forget(struct step_run *run)
{
    tlb_forget(&run->tlb);
}

static void allow_quick(struct step_run *run)
{
    run->code_begins = 0;
    run->is_quick = quick_may(&run->env);
    run->may_repeat = run->is_quick && run->env.is_64bit;
    run->generation = run->tlb.generation;
    run->cs_attributes = run->env.cpu->segments[CPU_CS].attributes;
}

/* Whether it begins as the last run did: the same CPU, which has quick instructions, in the same 64-bit mode.
 */
static bool begins_alike(const struct step_run *run, const struct step_machine *machine,
                         const struct cpu_state *cpu)
{
    return run->env.machine == machine && run->env.cpu == cpu && run->generation == run->tlb.generation &&
           run->cs_attributes == cpu->segments[CPU_CS].attributes && run->may_repeat &&
           !(cpu->dr7 & DR7_ACTIVE);
}

/* Whether the page of code is still there: then it is the first to have been renewed. */
static void check_code_page(struct step_run *run)
{
    const struct tlb *tlb = &run->tlb;
    const struct tlb_entry *entry = &tlb->entries[tlb->expected[TLB_CODE]];
    if (entry->session != tlb->session || entry->page != run->code_page / PAGE_BYTES ||
        entry->from != run->code || !(entry->allowed & ACCESS_FETCH))
        run->code_begins = 0;
}

void step_run_begin(struct step_run *run, const struct step_machine *machine, struct cpu_state *cpu,
                    struct step_outcome *outcome)
{
    tlb_begin(&run->tlb, cpu);
    if (begins_alike(run, machine, cpu)) {
        env_renew(&run->env, outcome);
        check_code_page(run);
        return;
    }
    env_begin(&run->env, machine, cpu, outcome);
    run->env.tlb = &run->tlb;
    run->mode = execute_mode(&run->env);
    block_cache_begin(&run->blocks, cpu, run->mode);
    allow_quick(run);
}

static void outcome_again(struct step_outcome *outcome)
{
    outcome->changed_system = false;
    outcome->device_reads = outcome->device_writes = outcome->elements = 0;
}

static void env_again(struct step_env *env)
{
    env->dr6 = 0;
    env->shadow = 0;
    env->keep_rf = env->trap_lost = false;
    env->operand.piece_count = 0;
    outcome_again(env->outcome);
}

/* SMAP looks at AC, so what was allowed may be so no more. */
static void check_ac(struct step_run *run)
{
    bool ac = run->env.cpu->rflags & FLAG_AC;
    if (ac == run->env.walk.flags_ac)
        return;
    run->env.walk.flags_ac = ac;
    tlb_begin(&run->tlb, run->env.cpu);
    allow_quick(run);
}

enum step_result step_run_insn(struct step_run *run)
{
    struct step_env *env = &run->env;
    struct cpu_state *cpu = env->cpu;
    const struct decoded *decoded;
    uint64_t gpr[CPU_GPR_COUNT], rflags = cpu->rflags;
    env_again(env);
    check_ac(run);
    memcpy(gpr, cpu->gpr, sizeof(gpr)); /* nothing else changes before a plain instruction fails */
    enum step_result result = find(run, env, &run->mode, &decoded);
    if (trace_is_on() && result == STEP_DONE) {
        memcpy(env->outcome->bytes, decoded->bytes, STEP_INSN_BYTES_MAX);
        env->outcome->byte_count = env->insn.length;
    }
    if (result == STEP_DONE && !decoded->is_plain && !execute_is_plain(env))
        result = env_unsupported(env, "an instruction that is not plain");
    if (result == STEP_DONE)
        result = decoded->is_quick ? execute_quick(env, decoded->memory) : execute_insn(env);
    env_end(env);
    if (result == STEP_DONE || result == STEP_AGAIN)
        return execute_retire(env, result, false);
    memcpy(cpu->gpr, gpr, sizeof(gpr));
    cpu->rflags = rflags;
    return result;
}

/* The page at rip becomes the one that is executed; false where its end is too near, or it is none. */
__attribute__((noinline)) static bool change_page(struct step_run *run, uint64_t rip)
{
    unsigned offset = (unsigned)(rip & (PAGE_BYTES - 1));
    run->env.cpu->rip = rip;
    const uint8_t *code = code_pointer(&run->env);
    if (!code)
        return false;
    run->code_page = rip - offset;
    run->code = code - offset;
    run->code_begins = PAGE_BYTES - BLOCK_BYTES + 1;
    return true;
}

/* An instruction of a block. Without a block there is none, and env->cpu->rip says where the guest goes on.
 */
struct cursor {
    const struct block *block;
    const struct quick *quick;
};

static inline struct block *find_block(struct step_run *run, uint64_t rip)
{
    struct block *block = block_place(&run->blocks, rip);
    block->code = run->code + (rip - run->code_page);
    return block;
}

__attribute__((noinline)) static struct cursor learn_block(struct step_run *run, uint64_t rip)
{
    if (rip - run->code_page >= run->code_begins && !change_page(run, rip))
        return (struct cursor){NULL, NULL};
    struct block *block = find_block(run, rip);
    if (block->rip != rip || !block_holds(block))
        block_learn(&run->blocks, block, rip);
    return (struct cursor){block, block->insns};
}

/* To the block at rip. */
__attribute__((noinline)) static struct cursor look_up(struct step_run *run, uint64_t rip)
{
    if (rip - run->code_page >= run->code_begins)
        return learn_block(run, rip);
    const struct block *block = find_block(run, rip);
    return block->rip == rip && block_holds(block) ? (struct cursor){block, block->insns}
                                                   : learn_block(run, rip);
}

/* To rip, which often is where the block began. */
static inline struct cursor jump(struct step_run *run, struct cursor at, uint64_t rip)
{
    at.quick = at.block->insns;
    return at.block->rip == rip && block_holds(at.block) ? at : look_up(run, rip);
}

/* Behind a write to memory or an access to a device, which may have changed the code. */
static inline struct cursor stay(struct step_run *run, struct cursor at)
{
    return block_holds(at.block) ? at : look_up(run, at.quick->rip);
}

/* At an instruction that was left: the end of its block, behind which another begins, or one that is not
 * quick. */
static struct cursor leave(struct step_run *run, struct cursor at)
{
    run->env.cpu->rip = at.quick->rip;
    bool is_behind = at.block->count && at.quick == at.block->insns + at.block->count;
    return is_behind ? look_up(run, at.quick->rip) : (struct cursor){NULL, NULL};
}

static inline unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned execute_all(struct step_run *run, struct step_budget *budget)
{
    struct step_env *env = &run->env;
    struct cursor at = look_up(run, env->cpu->rip);
    unsigned done = 0, window_end = budget->window_left, end = smaller(budget->left, window_end);
    while (at.block && done != end) {
        enum quick_result result;
        do {
            TRACE_PROBE1(emulate_insn, at.quick->rip);
            result = at.quick->execute(env, at.quick);
            at.quick++;
            done++;
        } while (result == QUICK_DONE && done != end);
        switch (result) {
        case QUICK_DONE:
            break;
        case QUICK_JUMPED:
            at = jump(run, at, env->next_rip);
            break;
        case QUICK_DEVICE:
            budget->accesses++;
            window_end = done + budget->window;
            end = __atomic_load_n(budget->stop, __ATOMIC_RELAXED) ? done : smaller(budget->left, window_end);
            at = stay(run, at);
            break;
        case QUICK_WRITTEN:
            at = stay(run, at);
            break;
        case QUICK_LEFT:
            at.quick--;
            done--;
            at = leave(run, at);
            break;
        }
    }
    if (at.block)
        env->cpu->rip = at.quick->rip;
    budget->left -= done;
    budget->window_left = window_end - done;
    return done;
}

unsigned step_run_quick(struct step_run *run, struct step_budget *budget)
{
    struct cpu_state *cpu = run->env.cpu;
    outcome_again(run->env.outcome);
    check_ac(run);
    unsigned count = run->is_quick ? execute_all(run, budget) : 0;
    if (count) {
        cpu->rflags &= ~(uint64_t)FLAG_RF;
        cpu->interrupt_shadow = 0;
    }
    return count;
}
