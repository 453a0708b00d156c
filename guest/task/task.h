/* SPDX-License-Identifier: MIT
 *
 * What the parts of the task guest share: descriptors, the two formats of a TSS, what its tasks and handlers
 * write down, and the ways into another task.
 */
#ifndef GUEST_TASK_H
#define GUEST_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* Selectors. */
enum {
    CODE = 0x08,
    DATA = 0x10,
    USER_CODE = 0x1b,
    USER_DATA = 0x23,
    MAIN = 0x28,        /* the TSS of main() */
    WORKER = 0x30,      /* of the task that is entered */
    WORKER16 = 0x38,    /* the same in the 16-bit format */
    GATE = 0x40,        /* to WORKER */
    LDT = 0x48,         /* CODE and DATA at 0x04 and 0x0c */
    SPARE = 0x50,       /* whatever a case puts there */
    FAULT_FIRST = 0x58, /* TSSs of the tasks that take exceptions 8, 10, 11, 12, 13, 14 */
    CODE16 = 0x88,      /* begins with the worker */
    STACK16 = 0x90,
    ABSENT_DATA = 0x98,
    READ_ONLY = 0xa0,
    ABSENT_CODE = 0xa8,
    CONFORMING = 0xb0,
    EXECUTE_ONLY = 0xb8,
    FAR = 0xc0, /* begins with the far pointer of JMP and CALL */
    BEYOND = 0xc8,
};
#define GDT_LIMIT 0xc7u

#define TSS_TYPE   0x89u
#define TSS16_TYPE 0x81u
#define TASK_GATE  0x85u
#define BUSY       2u

struct tss {
    uint32_t link, stacks[6], cr3, eip, eflags, gpr[8], segments[6], ldt;
    uint16_t trap, map;
};

struct tss16 {
    uint16_t link, stacks[6], ip, flags, gpr[8], segments[4], ldt;
};

/* By the worker, of the state that it finds (start.S knows the offsets). */
struct seen {
    uint32_t gpr[8], segments[6], eflags, cr0, cr3, tr, ldt, dr7;
    uint32_t entered;
    uint32_t old_eip, old_eflags; /* that main()'s TSS has then */
    uint32_t top;                 /* of the stack: an error code, if ESP is not that of the TSS */
};
extern volatile struct seen seen;
extern volatile uint32_t resume;       /* what the worker makes of main()'s EIP, unless it is 0 */
extern volatile uint32_t worker_jumps; /* back to main(), instead of IRET */

/* By the handlers behind interrupt gates, and by the tasks behind task gates. */
struct fault {
    uint32_t vector, error, eip, cs, dr6;
    uint32_t task; /* its TSS; 0 for a handler */
    uint32_t has_error;
};
extern volatile struct fault fault;
extern volatile uint32_t recover;       /* where a handler goes back to */
extern volatile uint32_t recover_fixed; /* it is not for the ways below to say */

/* Where the far pointer is: on a device, if there is one here that remembers what was written. */
#define FAR_DEVICE 0xd0000000u
extern uint32_t far_place;

/* One here says: no tasks of applications. */
#define NO_USERS_DEVICE 0xd0001000u
bool remembers(uint32_t address);

/* Into another task, with registers of 0xa0a0a0a0 and so on and status flags of 0x8d7 but for IF, and back:
 * through whatever comes. The selector's far pointer has a senseless offset. */
void go_jmp(uint32_t selector);
void go_call(uint32_t selector);
void go_iret(void);
void go_int(void);      /* INT 0x30 */
void go_bad_load(void); /* #GP with an error code of 0xfff8 */
void go_divide(void);   /* #DE */
extern char jmp_end[], call_end[], iret_end[], int_end[], bad_load[], bad_load_end[], divide[], divide_end[];

extern char worker[], user_worker[], fault_entry[], fault_back[], v86_code[], v86_code_end[];
extern char handler_db[], handler_df[], handler_ts[], handler_np[], handler_ss[], handler_gp[], handler_pf[],
    handler_user[];
extern char worker_stack_end[], fault_stack_end[], stack16[], inner_stack_end[];
extern uint64_t gdt[], idt[];

/* world.c: everything as it was, but for what a case then changes. */
extern struct tss main_tss, fault_tss[6];
extern struct tss *worker_tss; /* on a device, if there is one here that remembers what was written */
#define TSS_DEVICE 0xd0002000u
extern struct tss16 worker_tss16;
extern uint64_t ldt[];
void world_reset(void);
void descriptor_set(uint32_t selector, uint32_t base, uint32_t limit, uint32_t access);
uint32_t descriptor_type(uint32_t selector);
void gate_set(uint32_t vector, const void *handler, uint32_t access);
void task_gate_set(uint32_t vector, uint32_t selector, uint32_t access);

/* show.c: a case's line from its name, with the world as it was, to its end; and between them what was seen.
 * `mask` is for the upper halves that a 16-bit TSS does not define; `stack` and `next` are where ESP and EIP
 * are counted from. */
void begin(const char *name);
void show_seen(uint32_t mask, const char *stack);
void show_main(const char *next);
void show_worker(void);
void show_fault(void);
void end(void);

/* random.c */
void random_cases(void);

/* console.c */
void print(const char *text);
void print_field(const char *name, uint32_t value);
void finish(void) __attribute__((noreturn));

void main(void);

#endif
