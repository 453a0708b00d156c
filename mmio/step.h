/* SPDX-License-Identifier: MIT
 *
 * Executing one guest instruction in software: fetch, decode, execute. Registers are data (struct cpu_state),
 * memory and the machine are callbacks. Nothing is written back until the instruction has succeeded, and
 * every address of the instruction is translated and checked before the first device is touched.
 *
 * Threads: the vCPU's own; several vCPUs of a machine may step at the same time.
 */
#ifndef MMIO_STEP_H
#define MMIO_STEP_H

#include <pthread.h>

#include "ept/memory.h"
#include "mmio/bus.h"
#include "mmio/cpu_state.h"

struct simd_code;

enum step_result {
    STEP_DONE,        /* executed; rip is at the next one */
    STEP_AGAIN,       /* a part of a long REP is done: the registers say how far, rip is kept. Call again */
    STEP_EXCEPTION,   /* outcome.event is to be injected into the CPU as it stands now (see struct step_event)
                       */
    STEP_UNSUPPORTED, /* nothing has happened; outcome.reason says what is missing, outcome.bytes which
                         instruction */
};

enum event_kind {
    EVENT_EXCEPTION,                     /* of the processor; `has_error` says whether with an error code */
    EVENT_SOFTWARE_EXCEPTION,            /* INT3 and INTO: checked against the gate's DPL */
    EVENT_SOFTWARE_INTERRUPT,            /* INT n: likewise */
    EVENT_PRIVILEGED_SOFTWARE_EXCEPTION, /* INT1: not checked */
    EVENT_INTERRUPT,                     /* external */
    EVENT_NMI,
};

enum exception_vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_XM = 19,
    VECTOR_CP = 21,
};

/* An exception or interrupt on its way into the guest. The CPU is already what the handler has to find
 * interrupted: a fault has left the registers as they were, a trap (#DB after a single step) has rip behind
 * the instruction, a fault in the state of a new task has come after the switch to it. CR2 and DR6 are not in
 * the CPU yet: the delivery writes them. */
struct step_event {
    enum event_kind kind;
    uint8_t vector;
    bool has_error;
    bool is_trap; /* EVENT_EXCEPTION: a trap, whose pushed flags have no RF */
    uint32_t error_code;
    uint64_t cr2; /* of #PF */
    uint64_t dr6; /* of #DB: the bits to set */
};

/* What the vCPU does for the emulator; `owner` is the step_machine's. A NULL member makes the instructions
 * that need it STEP_UNSUPPORTED, except where it says otherwise. */
struct step_ops {
    /* Fills cpu->vector (and cpu->pkru); called at most once for a loaded CPU. 0 or a negative errno. */
    int (*load_vector)(void *owner, struct cpu_state *cpu);
    void (*cpuid)(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
    /* false: #GP. Not for what is in struct cpu_state: the emulator keeps EFER and the FS and GS bases
     * itself. */
    bool (*msr_read)(void *owner, uint32_t index, uint64_t *value);
    bool (*msr_write)(void *owner, uint32_t index, uint64_t value);
    uint64_t (*tsc_read)(void *owner);
    /* XCR0, asked for when an instruction depends on it; NULL: load_vector has filled it in. */
    uint64_t (*xcr0_read)(void *owner);
    bool (*xcr0_write)(void *owner, uint64_t value);
    /* Makes the debug registers of the CPU current, before an instruction reads or changes one; what is there
     * otherwise serves to find breakpoints, and may be old. NULL: they are always current. */
    void (*load_debug)(void *owner, struct cpu_state *cpu);
    /* The guest has executed INVLPG and the like, or changed the meaning of its page tables. */
    void (*tlb_flush)(void *owner);
    /* RAM was written behind KVM's back: for the dirty pages. NULL: nobody wants to know. */
    void (*ram_written)(void *owner, gpa_t gpa, uint64_t len);
    /* Whether the address belongs to a device inside the kernel (local APIC, IOAPIC), which only KVM can
     * reach: the instruction is then STEP_UNSUPPORTED. NULL: there are none. */
    bool (*is_kernel_device)(void *owner, gpa_t gpa, uint64_t len);
    /* The same for ports (interrupt controllers, timer). */
    bool (*is_kernel_port)(void *owner, unsigned port, unsigned size);
    /* The same for MSRs: those with which KVM does for a guest what it does not do for its owner. */
    bool (*is_kernel_msr)(void *owner, uint32_t index);
    /* Answers a hypercall, which gets *result into RAX. NULL, or false: it is STEP_UNSUPPORTED. */
    bool (*hypercall)(void *owner, const struct cpu_state *cpu, uint64_t *result);
};

/* Reads of devices that were already made for this instruction by whoever gave up on it (KVM's emulator may,
 * in the middle): the values are used again, since a read cannot be undone. In order; each is taken once. */
#define STEP_REPLAY_MAX 8
struct step_replay {
    unsigned count;
    struct step_replayed_read {
        gpa_t gpa;
        uint64_t value;
        uint8_t size; /* 0: taken */
    } reads[STEP_REPLAY_MAX];
};

/* What the instruction runs against; filled once for each vCPU. Everything is borrowed. */
struct step_machine {
    struct guest_memory *memory;
    struct bus *bus;
    struct bus *ports;
    /* Held during a LOCKed instruction that no single atomic operation of the host can do: across pages, and
     * on devices. One for all vCPUs of a machine. NULL: there is one vCPU. */
    pthread_mutex_t *bus_lock;
    struct simd_code *simd; /* the vCPU's own; NULL: x87 and vector instructions are STEP_UNSUPPORTED */
    const struct step_ops *ops;
    void *owner;
    struct step_run *run;       /* the vCPU's own, for what was decoded before; NULL: nothing is remembered */
    struct step_replay *replay; /* NULL: nothing was read yet */
    uint8_t physical_address_bits; /* MAXPHYADDR of the guest's CPUID; 0 means 48 */
    bool vendor_amd;               /* whose rules, where the two differ */
    unsigned rep_limit;            /* elements of a REP for one call; 0 means 16384 */
};

#define STEP_INSN_BYTES_MAX 15

struct step_outcome {
    struct step_event event;
    uint8_t bytes[STEP_INSN_BYTES_MAX]; /* of the instruction, as far as it was fetched */
    uint8_t byte_count;
    bool changed_system; /* segments, control registers or descriptor tables are not what they were */
    bool task_switched;  /* the CPU is in another task; of EXCEPTION: one that its state has raised */
    const char *reason;  /* of UNSUPPORTED: a phrase, static */
    /* Of UNSUPPORTED, where the instruction touches a device inside the kernel: the linear and the physical
     * address, and the segment of its memory operand. kernel_len stays what the caller has put there where
     * it does not. */
    gva_t kernel_gva;
    gpa_t kernel_gpa;
    uint8_t kernel_len, kernel_segment;
    unsigned device_reads, device_writes; /* accesses that reached the bus, ports included */
    unsigned elements;                    /* of a REP instruction, done in this call */
    gpa_t device_gpa;                     /* the last device address touched */
    /* Of a triple fault: the event that was to be delivered, the exception on the way that made a double
     * fault of it (of kind EVENT_EXCEPTION and vector 0 where the event was a double fault itself), and the
     * one on the way to the double fault's handler. */
    struct step_event undelivered[3];
};

/* Executes the instruction at cpu->rip, or a bounded part of it. `hint` may be NULL, or `hint_len` bytes that
 * are known to stand at rip (as KVM_INTERNAL_ERROR_EMULATION gives them), which saves the fetch. */
enum step_result step_insn(const struct step_machine *machine, struct cpu_state *cpu, const uint8_t *hint,
                           unsigned hint_len, struct step_outcome *outcome);

#endif
