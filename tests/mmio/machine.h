/* SPDX-License-Identifier: MIT
 *
 * A machine for the emulator's tests: RAM, page tables, two devices that write down what they are asked, and
 * a CPU in one of the modes. States are given and compared as short texts, so that a test is a table of
 * lines.
 *
 *     virtual page   is
 *     0x010000       code (the tests' instruction is at CODE)
 *     0x020000       data, RAM
 *     0x02f000       the stack's page: rsp is STACK, 0x02ff00
 *     0x03f000       RAM, followed by
 *     0x040000       nothing
 *     0x04f000       RAM, followed by
 *     0x050000       the device "a"
 *     0x051000       the device "b"
 *     0x052000       RAM
 *     0x060000       RAM, read-only
 *     0x070000       a page for users, as are 0x010000 to 0x03f000
 *
 * In the 16 and 32-bit modes there is no paging, linear addresses are the physical ones, and the devices are
 * at A_GPA and B_GPA.
 */
#ifndef TESTS_MMIO_MACHINE_H
#define TESTS_MMIO_MACHINE_H

#include "mmio/step.h"

#define CODE  0x10ff0u
#define DATA  0x20000u
#define STACK 0x2ff00u
#define A_GPA 0xd0000000u
#define B_GPA 0xd0001000u

#define GDT_GPA 0x7000u
#define IDT_GPA 0x8000u
#define TSS_GPA 0x9000u

extern struct guest_memory *test_memory;
extern struct step_machine test_machine;
extern struct cpu_state test_cpu;
extern struct step_outcome test_outcome;

/* What the devices were asked since the last test_set_up: "a:r4@10 b:w1@0=ff ". A device reads as 0x10 + the
 * low byte of its address, byte by byte. */
extern char test_seen[4000];

enum test_mode {
    TEST_64, /* long mode, CPL 0, 4 levels */
    TEST_64_USER,
    TEST_32,     /* protected, flat, CPL 0, no paging */
    TEST_16,     /* real, all bases 0x20000 but CS: 0x10000 */
    TEST_COMPAT, /* 32-bit code in long mode */
};

void test_set_up(enum test_mode mode);
void test_tear_down(void);

/* Puts the instruction at CODE and steps once. */
enum step_result test_step(const void *code, unsigned len);

void *test_ram(gpa_t gpa);

/* Applies "rax=1 al=2 [20000]4=11223344 rflags=2 cs.base=0 CF=1": registers by any name, memory by linear
 * address (identity) and size, hexadecimal numbers. */
void test_apply(const char *text);

/* Fails, naming `what`, where the state differs from `text`, in the same words. */
void test_expect(const char *what, const char *text);

#endif
