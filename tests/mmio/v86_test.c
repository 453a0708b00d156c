/* SPDX-License-Identifier: MIT
 *
 * Virtual-8086 mode, and what its extensions (CR4.VME) and protected mode's (CR4.PVI) make of the interrupt
 * flag.
 */
#include <stdio.h>

#include "base/bytes.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

#define DONE (-1)

/* Code is at CODE as 1000:0ff0, SS:SP is 2000:ff00, and the TSS has its redirection bitmap at 0x68. */
static void enter_v86(void)
{
    static const uint16_t selectors[CPU_SEGMENT_COUNT] = {0x5000, 0x1000, 0x2000, 0x4000, 0x6000, 0x7000};
    test_set_up(TEST_32);
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        test_cpu.segments[i] = (struct cpu_segment){
            .selector = selectors[i], .base = selectors[i] << 4, .limit = 0xffff, .attributes = 0xf3};
    test_cpu.tr.limit = 0x88;
    test_apply("VM=1 cpl=3 rip=ff0 rsp=ff00 [9066]2=88");
    /* a gate and a stack for what goes to the monitor */
    store_le64((uint8_t *)test_ram(IDT_GPA) + 0x21 * 8, 0x0001ee0000182340);
    test_apply("[9004]4=25000 [9008]2=10 [84]4=30001234");
}

static const struct row {
    const char *name, *code;
    const char *before;
    int vector; /* DONE, or an exception's */
    const char *after;
} v86_rows[] = {
    {"cli, IOPL 3", "fa", "cr4=1 rflags=23202", DONE, "rflags=23002"},
    {"sti, IOPL 3", "fb", "cr4=1 rflags=23002", DONE, "rflags=23202"},
    {"cli", "fa", "rflags=20202", VECTOR_GP, ""},
    {"cli, VME", "fa", "cr4=1 rflags=a0202", DONE, "rflags=20202"},
    {"sti, VME", "fb", "cr4=1 rflags=20002", DONE, "rflags=a0002"},
    {"sti, VME, with one pending", "fb", "cr4=1 rflags=120002", VECTOR_GP, ""},
    {"sti, PVI is another's", "fb", "cr4=2 rflags=20002", VECTOR_GP, ""},
    {"pushf, IOPL 3", "9c", "rflags=23246", DONE, "rsp=fefe [2fefe]2=3246"},
    {"pushfd, IOPL 3", "669c", "rflags=a3246", DONE, "rsp=fefc [2fefc]4=83246"},
    {"pushf", "9c", "rflags=20202", VECTOR_GP, ""},
    {"pushf, VME, virtually off", "9c", "cr4=1 rflags=20246", DONE, "rsp=fefe [2fefe]2=3046"},
    {"pushf, VME, virtually on", "9c", "cr4=1 rflags=a1046", DONE, "rsp=fefe [2fefe]2=3246"},
    {"pushfd, VME", "669c", "cr4=1 rflags=20202", VECTOR_GP, ""},
    {"popf, IOPL 3", "9d", "rflags=23202 [2ff00]2=80d5", DONE, "rflags=230d7 rsp=ff02"},
    {"popfd, IOPL 3", "669d", "rflags=123202 [2ff00]4=eb02d5", DONE, "rflags=3232d7 rsp=ff04"},
    {"popf", "9d", "rflags=20202", VECTOR_GP, ""},
    {"popf, VME, on", "9d", "cr4=1 rflags=20002 [2ff00]2=7ed5", DONE, "rflags=a4cd7 rsp=ff02"},
    {"popf, VME, off", "9d", "cr4=1 rflags=a0202 [2ff00]2=40", DONE, "rflags=20242"},
    {"popf, VME, on with one pending", "9d", "cr4=1 rflags=120002 [2ff00]2=200", VECTOR_GP, ""},
    {"popf, VME, off with one pending", "9d", "cr4=1 rflags=120002 [2ff00]2=1", DONE, "rflags=120003"},
    {"popf, VME, with TF", "9d", "cr4=1 rflags=20002 [2ff00]2=100", VECTOR_GP, ""},
    {"popfd, VME", "669d", "cr4=1 rflags=20002", VECTOR_GP, ""},
    {"popf, VME, no stack", "9d", "cr4=1 rflags=20002 rsp=ffff", VECTOR_SS, ""},
    {"iret, IOPL 3", "cf", "rflags=23202 [2ff00]4=30001234 [2ff04]2=41", DONE,
     "rip=1234 cs=3000 cs.base=30000 rflags=23043 rsp=ff06"},
    {"iret", "cf", "rflags=20202", VECTOR_GP, ""},
    {"iret, VME", "cf", "cr4=1 rflags=20002 [2ff00]4=30001234 [2ff04]2=3241", DONE,
     "rip=1234 cs=3000 cs.base=30000 rflags=a0043 rsp=ff06"},
    {"iret, VME, with one pending", "cf", "cr4=1 rflags=120002 [2ff00]4=30001234 [2ff04]2=200", VECTOR_GP,
     ""},
    {"iret, VME, with TF", "cf", "cr4=1 rflags=20002 [2ff00]4=30001234 [2ff04]2=100", VECTOR_GP, ""},
    {"iretd, VME", "66cf", "cr4=1 rflags=20002", VECTOR_GP, ""},
    {"int, IOPL 3", "cd21", "rflags=23202", DONE,
     "VM=0 rip=12340 cs=18 cpl=0 rsp=24fdc [24fdc]4=ff2 [24fe0]4=1000 [24fe4]4=23202"},
    {"int", "cd21", "rflags=20202", VECTOR_GP, ""},
    {"int, VME, its own, IOPL 3", "cd21", "cr4=1 rflags=23302", DONE,
     "rip=1234 cs=3000 cs.base=30000 rflags=23002 rsp=fefa [2fefa]2=ff2 [2fefc]2=1000 [2fefe]2=3302"},
    {"int, VME, its own, on", "cd21", "cr4=1 rflags=a0246", DONE,
     "rip=1234 cs=3000 rflags=20246 rsp=fefa [2fefa]2=ff2 [2fefc]2=1000 [2fefe]2=3246"},
    {"int, VME, its own, off", "cd21", "cr4=1 rflags=20246", DONE, "rflags=20246 [2fefe]2=3046"},
    {"int, VME, the monitor's, IOPL 3", "cd21", "cr4=1 rflags=23202 [906c]1=2", DONE, "VM=0 rip=12340 cs=18"},
    {"int, VME, the monitor's", "cd21", "cr4=1 rflags=20202 [906c]1=2", VECTOR_GP, ""},
    {"int, VME, no bitmap", "cd21", "cr4=1 rflags=23202 [9066]2=10", VECTOR_GP, ""},
    {"int, VME, beyond the TSS", "cd21", "cr4=1 rflags=23202 [9066]2=c0", VECTOR_GP, ""},
    {"int, VME, a short TSS", "cd21", "cr4=1 rflags=23202 tr.limit=66", VECTOR_GP, ""},
    {"int, VME, no stack", "cd21", "cr4=1 rflags=23202 rsp=1", VECTOR_SS, ""},
    {"a pending one that may come", "90", "cr4=1 rflags=1a0002", VECTOR_GP, ""},
    {"it may come, by IOPL 3", "90", "cr4=1 rflags=1a3002", DONE, ""},
    {"it may come, without VME", "90", "cr4=0 rflags=1a0002", DONE, ""},
};

static const struct row pvi_rows[] = {
    {"cli, PVI", "fa", "cr4=2 rflags=80202", DONE, "rflags=202"},
    {"sti, PVI", "fb", "cr4=2 rflags=2", DONE, "rflags=80002"},
    {"sti, PVI, with one pending", "fb", "cr4=2 rflags=100002", VECTOR_GP, ""},
    {"cli, by IOPL", "fa", "cr4=2 rflags=83202", DONE, "rflags=83002"},
    {"cli, without PVI", "fa", "cr4=1 rflags=80202", VECTOR_GP, ""},
    {"cli, CPL 1", "fa", "cr4=2 rflags=80202 cpl=1", VECTOR_GP, ""},
    {"pushf shows IF", "9c", "cr4=2 rflags=80002", DONE, "rsp=2fefc [2fefc]4=80002"},
    {"popf leaves VIF", "9d", "cr4=2 rflags=80002 [2ff00]4=203", DONE, "rflags=80003"},
    {"a pending one that may come", "90", "cr4=2 rflags=180002", VECTOR_GP, ""},
};

static unsigned read_hex(const char *text, uint8_t *bytes)
{
    unsigned len = 0, byte;
    for (; sscanf(text, "%2x", &byte) == 1; text += 2)
        bytes[len++] = (uint8_t)byte;
    return len;
}

static void check(const struct row *row)
{
    uint8_t code[15];
    unsigned len = read_hex(row->code, code);
    test_apply(row->before);
    struct cpu_state before = test_cpu;
    enum step_result result = test_step(code, len);
    int vector = result == STEP_EXCEPTION ? test_outcome.event.vector : result == STEP_DONE ? DONE : -2;
    if (vector == VECTOR_DB)
        vector = DONE;
    ck_assert_msg(vector == row->vector, "%s: result %d, vector %d", row->name, result, vector);
    if (vector != DONE) {
        ck_assert_msg(before.rflags == test_cpu.rflags && before.rip == test_cpu.rip &&
                          before.gpr[CPU_RSP] == test_cpu.gpr[CPU_RSP] && !test_outcome.event.error_code,
                      "%s: the CPU has changed", row->name);
    }
    test_expect(row->name, row->after);
}

START_TEST(the_interrupt_flag_of_virtual_8086_mode)
{
    for (size_t i = 0; i < ARRAY_COUNT(v86_rows); i++) {
        enter_v86();
        check(&v86_rows[i]);
    }
}
END_TEST

START_TEST(the_interrupt_flag_of_protected_mode_applications)
{
    for (size_t i = 0; i < ARRAY_COUNT(pvi_rows); i++) {
        test_set_up(TEST_32);
        test_apply("cpl=3 cs=33 ss=23 ds=23 es=23");
        check(&pvi_rows[i]);
    }
}
END_TEST

/* Segments are nothing but selectors, I/O is the bitmap's, and the rest of the system out of reach. */
START_TEST(other_instructions_of_virtual_8086_mode)
{
    static const struct row rows[] = {
        {"mov ds, ax", "8ed8", "rax=1234", DONE, "ds=1234 ds.base=12340 ds.limit=ffff"},
        {"jmp far", "ea34120030", "", DONE, "cs=3000 cs.base=30000 rip=1234 VM=1 cpl=3"},
        {"hlt", "f4", "", VECTOR_GP, ""},
        {"mov cr0, eax", "0f22c0", "", VECTOR_GP, ""},
        {"in, allowed", "ec", "rdx=100", DONE, ""},
        {"in, forbidden", "ec", "rdx=100 [90a8]1=1", VECTOR_GP, ""},
        {"lar", "0f02c0", "", VECTOR_UD, ""},
        {"int3 asks for no IOPL", "cc", "rflags=20002", DONE, "VM=0 rip=12340"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        enter_v86();
        test_cpu.tr.limit = 0xff;
        store_le64((uint8_t *)test_ram(IDT_GPA) + 3 * 8, 0x0001ee0000182340);
        check(&rows[i]);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_interrupt_flag_of_virtual_8086_mode);
    test_add(suite, the_interrupt_flag_of_protected_mode_applications);
    test_add(suite, other_instructions_of_virtual_8086_mode);
}
