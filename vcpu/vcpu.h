/* SPDX-License-Identifier: MIT
 *
 * One virtual CPU: KVM's file descriptor, its shared page, and what is done about each exit. It knows the
 * buses and guest memory; it knows no device, no file format and no machine.
 *
 * Threads: everything is the vCPU's own thread's, but vcpu_kick, which is anybody's, and the statistics,
 * which are read while the vCPU is out.
 */
#ifndef VCPU_VCPU_H
#define VCPU_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>

#include "base/log.h"
#include "base/trace_names.h"
#include "base/types.h"
#include "ept/memory.h"
#include "mmio/bus_exit.h"

/* Room for every exit reason that KVM numbers; a higher one is counted as the last. */
#define VCPU_REASON_LIMIT 64

/* KVM_EXIT_MEMORY_FAULT, which is newer than the headers that we build with. Where KVM does not have it, the
 * same comes as EFAULT alone, and is counted as this. */
#define VCPU_MEMORY_FAULT 39

struct coalesced_ring;
struct cpuid_table;

/* So many different MSRs that KVM does not know are warned about. */
#define VCPU_MSR_LIMIT 32

/* What became of an access to an MSR. */
enum vcpu_msr {
    VCPU_MSR_UNKNOWN, /* nobody's: #GP, and KVM's where it has one after all */
    VCPU_MSR_DONE,
    VCPU_MSR_REFUSED, /* #GP */
};

/* What the machine gives to each of its vCPUs; borrowed until vcpu_destroy. */
struct vcpu_machine {
    int vm_fd;
    size_t run_bytes;     /* of KVM_GET_VCPU_MMAP_SIZE */
    uint64_t sync_fields; /* of KVM_CAP_SYNC_REGS; 0 where there is none */
    struct bus *ports, *memory_bus;
    struct guest_memory *memory;
    struct coalesced_ring *coalesced; /* NULL: nothing is coalesced */
    struct log *log;
    bool measure_time;
    bool has_trapped;          /* some region on the bus is trapped */
    bool run_ahead;            /* go on in software behind an access to a trapped region */
    bool queues_ud;            /* KVM has raised #UD, too, when it gives up on an instruction */
    bool interprets;           /* ring 0 is executed in software (interpret.h) */
    bool interprets_all;       /* ring 3, too: of KVM's there are single instructions */
    bool *ring3_seen;          /* where that ends it; NULL: it does not */
    int kick_signal;           /* of vcpu_kick */
    pthread_mutex_t *bus_lock; /* struct step_machine; NULL with one vCPU */
    /* What only KVM can reach: its own interrupt controllers and timer. NULL: it has none. */
    bool (*is_kernel_device)(void *owner, gpa_t gpa, uint64_t len);
    bool (*is_kernel_port)(void *owner, unsigned port, unsigned size);
    /* Host memory was written for the guest, without KVM. NULL: nobody wants to know. */
    void (*ram_written)(void *owner, gpa_t gpa, uint64_t len);
    /* The end of interrupt of `vector`, which a local APIC passes on to an IOAPIC in userspace. */
    void (*ioapic_eoi)(void *owner, uint8_t vector);
    /* Whether KVM has no hardware virtualization. NULL: it has. */
    bool (*host_interprets)(void);
    struct trace_thread *const *trace; /* of each vCPU; NULL: nothing is traced */
    /* An MSR that is not KVM's: read into, or written from, *value. NULL: there are none. */
    enum vcpu_msr (*msr)(void *owner, uint32_t index, bool is_write, uint64_t *value);
    uint32_t *unknown_msrs; /* VCPU_MSR_LIMIT of them, each plus 1, that were warned about; 0 is free */
    void *owner;
};

/* Why vcpu_run came back. */
enum vcpu_end {
    VCPU_KICKED,       /* vcpu_kick: the registers are consistent, and vcpu_run may be called again */
    VCPU_HALTED,       /* HLT, and there is no interrupt controller that could end it */
    VCPU_SHUTDOWN,     /* triple fault */
    VCPU_POWER_OFF,    /* KVM itself reports that the guest switched itself off */
    VCPU_RESET,        /* ... or asked for a reset */
    VCPU_CRASHED,      /* ... or reported its own death */
    VCPU_NOT_EXECUTED, /* KVM could not enter the guest, or could not execute its instruction */
    VCPU_HOST_FAILED,  /* KVM_RUN failed with the errno in vcpu.error */
};

/* What an exit was. The last ones are always kept, for the report of a guest's end: 2.5 KiB. Every port
 * access pays for it, so it holds the words as KVM has them; exit_trace_note makes a record of it. */
#define VCPU_HISTORY 64 /* a power of two */

struct exit_note {
    uint32_t reason;
    struct exit_access { /* of a port as struct kvm_run begins its `io`, of memory without a port */
        uint8_t is_write, size;
        uint16_t port;
        uint32_t count;
    } access;
    uint64_t address; /* of memory, or an MSR; of a port only while traced */
    uint64_t value;   /* above `size` bytes of anything */
    uint64_t rip;     /* while the vCPU is traced */
};

/* What is to be done beside KVM_RUN and the dispatch: a bit in `on_entry` or in `on_exit`, or both. */
enum vcpu_extra {
    VCPU_SYNC = 1 << 0,        /* entry: other registers are to come with the exit than with the last */
    VCPU_TIMED = 1 << 1,       /* entry: measure_time */
    VCPU_TRACED = 1 << 2,      /* entry: the thread is traced; exit: also, and nothing is trapped */
    VCPU_COALESCED = 1 << 3,   /* exit: KVM may have collected writes */
    VCPU_TRAPPED = 1 << 4,     /* exit: KVM's access may be one to a trapped region */
    VCPU_INTERPRETED = 1 << 5, /* exit: what is behind it is for the interpreter */
};

struct emulation;
struct interpreter;

struct vcpu {
    const struct vcpu_machine *machine;
    struct cpuid_table *cpuid;   /* what the guest sees, once cpuid_set was called */
    struct emulation *emulation; /* NULL until an instruction is executed in software */
    uint64_t emulated_count;     /* such instructions */
    const char *unsupported;     /* why the last of them could not be, or NULL */
    unsigned sync_exits;         /* exits to come that bring the registers along */
    uint64_t synced_fields;      /* which the last exit brought */
    bool ahead_wanted; /* the exit was KVM's own access to a trapped region; or there is an interpreter */
    struct kvm_run *run;
    int fd;
    unsigned index;
    bool kicked; /* vcpu_kick has been called since vcpu_clear_kick: any thread */
    int error;   /* of VCPU_HOST_FAILED: a positive errno */
    uint64_t exit_count;
    uint64_t reason_counts[VCPU_REASON_LIMIT];
    uint64_t guest_ns, host_ns;             /* with measure_time */
    uint64_t left_at_ns;                    /* when KVM_RUN last returned; 0 before */
    unsigned on_entry, on_exit;             /* enum vcpu_extra */
    uint64_t traced_fields;                 /* what every exit brings for the trace */
    uint64_t left_at_ticks, left_rip;       /* of the last return of KVM_RUN, while traced */
    uint64_t traced_exits;                  /* exits that the trace has */
    struct bus_seen seen;                   /* the access that the exit was; ended 0: it was not just that */
    struct trace_ring *plain_ring;          /* trace_plain_ring() */
    bool hides_paging;                      /* from KVM: vcpu_store_state */
    struct interpreter *interpreter;        /* of a machine that interprets, while it runs; else NULL */
    uint64_t place_key, place_rip;          /* what exit_trace.c has found out last */
    struct exit_note history[VCPU_HISTORY]; /* the last exit is at exit_count - 1 */
};

/* The vCPU `index` (its APIC ID too) of the machine's VM. */
int vcpu_create(const struct vcpu_machine *machine, unsigned index, struct vcpu **vcpu,
                struct vmm_error *error);
void vcpu_destroy(struct vcpu *vcpu);

/* Makes KVM look at the local APICs again, by writing this one's state back. KVM finds the target of an
 * interrupt in a table that it makes when a local APIC changes, and a vCPU is not counted yet when it is
 * made: to be called for the last one, which no INIT that is sent to its ID would reach otherwise. */
int vcpu_announce_apic(struct vcpu *vcpu, struct vmm_error *error);

/* Runs the guest, exit after exit, until something needs the machine. */
enum vcpu_end vcpu_run(struct vcpu *vcpu);

/* Makes the current or the next vcpu_run come back with VCPU_KICKED. The caller also sends the kick signal to
 * the vCPU's thread, afterwards: a thread on its way into KVM_RUN sees the flag, one inside it the signal. */
void vcpu_kick(struct vcpu *vcpu);

/* Takes the kick back. To be called before looking at what the kick was for, so that a later one is not lost.
 */
void vcpu_clear_kick(struct vcpu *vcpu);

/* One entry that executes nothing of the guest: completes a pending I/O exit, so that the registers are
 * consistent (KVM API, 5: "the kvm_run structure", immediate_exit). -EINTR where that is done; 0 where the
 * instruction has led to another exit, which waits in vcpu->run. */
int vcpu_complete_io(struct vcpu *vcpu);

/* KVM_RUN, once: 0 or a negative errno. */
int vcpu_enter_once(struct vcpu *vcpu);

/* Asks KVM to hand over the registers with each of the next exits, where it can. */
void vcpu_sync_registers(struct vcpu *vcpu, unsigned exits);

/* The name that the KVM API gives to an exit reason, without its prefix: "IO", "MMIO", ... */
const char *vcpu_reason_name(uint32_t reason);
extern const struct trace_names vcpu_trace_names;

#endif
