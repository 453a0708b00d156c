/* SPDX-License-Identifier: MIT
 *
 * One instruction on its way through the emulator: what the files of mmio/ share while they execute it. Every
 * function answers with an enum step_result, and TRY hands on whatever is not STEP_DONE. A function may
 * change env->cpu before it fails: step_insn then puts the registers back. Memory, devices and the vector
 * state have no such net, so they are written last.
 */
#ifndef MMIO_ENV_H
#define MMIO_ENV_H

#include "decoder/insn.h"
#include "ept/walk.h"
#include "mmio/step.h"

#define TRY(call)                           \
    do {                                    \
        enum step_result try_ = (call);     \
        if (__builtin_expect(try_ != 0, 0)) \
            return try_;                    \
    } while (0)

/* A part of an access that is contiguous in guest-physical memory and of one kind. */
struct access_piece {
    const uint8_t *from; /* RAM or ROM to read from; NULL: the bus */
    uint8_t *to;         /* RAM to write to; NULL: the bus */
    gpa_t gpa;
    unsigned len;
};

#define ACCESS_PIECES_MAX 4 /* the largest operand, an XSAVE area with AMX tiles, lies on four pages */

/* A memory access: what is wanted, and after access_prepare, where it goes. */
struct access {
    uint64_t offset; /* into the segment */
    gva_t gva;       /* the linear address: from access_prepare, or given to access_prepare_linear */
    uint16_t len;
    uint8_t segment;     /* enum cpu_segment_name */
    uint8_t flags;       /* enum access_flags */
    uint8_t align;       /* bytes, for #AC; 0 and 1 are not checked */
    uint8_t piece_count; /* 0: not prepared */
    struct access_piece pieces[ACCESS_PIECES_MAX];
};

struct step_env {
    const struct step_machine *machine;
    struct cpu_state *cpu;
    struct step_outcome *outcome;
    struct walk_context walk;
    struct tlb *tlb; /* NULL: every access walks */
    struct insn insn;
    uint64_t next_rip;     /* of the instruction behind this one; control transfers change it */
    uint32_t dr6;          /* data breakpoints met: DR6 bits of the #DB after the instruction */
    uint8_t shadow;        /* SHADOW_*, for the instruction behind this one */
    bool is_64bit;         /* executing 64-bit code */
    bool bus_locked;       /* machine->bus_lock is held till the end of the instruction */
    bool keep_rf;          /* IRET has loaded RF */
    bool trap_lost;        /* an event was delivered: TF traps no more */
    struct access operand; /* the explicit memory operand, prepared before the instruction is executed */
};

/* A fresh env and outcome for the CPU as it stands; env_end lets go of the bus lock. */
void env_begin(struct step_env *env, const struct step_machine *machine, struct cpu_state *cpu,
               struct step_outcome *outcome);
void env_end(struct step_env *env);

/* The same where machine and CPU are those of the last time, and only general registers, flags and rip have
 * changed. */
static inline void env_renew(struct step_env *env, struct step_outcome *outcome)
{
    env->outcome = outcome;
    env->next_rip = env->cpu->rip;
    env->dr6 = 0;
    env->shadow = 0;
    env->keep_rf = false;
    env->trap_lost = false;
    env->operand.piece_count = 0;
    outcome->event = (struct step_event){.kind = EVENT_EXCEPTION};
    outcome->byte_count = 0;
    outcome->changed_system = outcome->task_switched = false;
    outcome->reason = NULL;
    outcome->device_reads = outcome->device_writes = outcome->elements = 0;
    outcome->device_gpa = 0;
}

/* The registers go back to `before`; what was loaded of the vector state and the debug registers stays
 * loaded. */
void env_undo(struct cpu_state *cpu, const struct cpu_state *before);

/* Fills outcome->event. A fault: rip stays. */
enum step_result env_raise(struct step_env *env, enum exception_vector vector);
enum step_result env_raise_error(struct step_env *env, enum exception_vector vector, uint32_t error_code);

/* #DB behind the instruction, with bits for DR6. */
enum step_result env_raise_trap(struct step_env *env, uint64_t dr6);

/* `reason` is a phrase that lives forever. */
enum step_result env_unsupported(struct step_env *env, const char *reason);

static inline enum step_result env_gp(struct step_env *env)
{
    return env_raise_error(env, VECTOR_GP, 0);
}

/* Makes the debug registers current. An instruction that changes one does so when nothing can fail any more.
 */
void env_load_debug(const struct step_machine *machine, struct cpu_state *cpu);

/* Makes cpu->vector (and cpu->pkru) valid. */
enum step_result env_load_vector(struct step_env *env);

/* XCR0, once the vector state is loaded. */
uint64_t env_xcr0(struct step_env *env);

/* PKRU, in the CPU and in its loaded vector state. */
void env_store_pkru(struct step_env *env, uint32_t value);

/* One register of the guest's CPUID, all zero where the machine has no answer. */
enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
bool env_has_feature(struct step_env *env, uint32_t leaf, enum cpuid_register reg, unsigned bit);

#endif
