/* SPDX-License-Identifier: MIT
 *
 * Task switches: what is saved and loaded, what is refused in the old task with nothing changed, and what is
 * found in the new one, with the CPU in it.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/deliver.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

/* Selectors besides those of build_tables in machine.c; 0x40 is the current TSS, at TSS_GPA. */
#define NEW   0x70u /* a TSS at 0xa000 */
#define NEW16 0x78u /* a 16-bit TSS at 0xb000 */
#define GATE  0x80u /* to NEW */
#define LDT   0x88u /* at 0xc000: code at 0x04, data at 0x0c */
#define BUSY  0x90u /* a TSS at 0xd000 that is in use */

#define FAR_JMP  "\xff\x2b" /* [EBX], which is 0x20010 */
#define FAR_CALL "\xff\x1b"

static void set_descriptor(unsigned selector, uint64_t base, uint64_t limit, uint64_t access)
{
    store_le64((uint8_t *)test_ram(GDT_GPA) + selector,
               (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | (base >> 24) << 56);
}

static void set_gate(gpa_t table, unsigned at, unsigned selector, uint64_t access)
{
    store_le64((uint8_t *)test_ram(table) + at, (uint64_t)selector << 16 | access << 40);
}

static void set_up(void)
{
    static const uint64_t ldt[] = {0x00cf9b000000ffff, 0x00cf93000000ffff};
    test_set_up(TEST_32);
    test_cpu.gdt.limit = 0xff;
    set_descriptor(NEW, 0xa000, 0x67, 0x89);
    set_descriptor(NEW16, 0xb000, 0x2b, 0x81);
    set_gate(GDT_GPA, GATE, NEW, 0x85);
    set_descriptor(LDT, 0xc000, 0xf, 0x82);
    set_descriptor(BUSY, 0xd000, 0x67, 0x8b);
    set_descriptor(0x98, 0xa000, 0x67, 0x09); /* absent */
    set_descriptor(0xa0, 0xa000, 0x66, 0x89); /* too short */
    set_descriptor(0xa8, 0xb000, 0x2a, 0x81);
    set_gate(GDT_GPA, 0xb0, BUSY, 0x85);
    set_gate(GDT_GPA, 0xb8, NEW, 0x05); /* an absent gate */
    set_gate(GDT_GPA, 0xc0, 0x98, 0x85);
    set_descriptor(0xc8, 0xa000, 0x67, 0xe9); /* for everyone */
    memcpy(test_ram(0xc000), ldt, sizeof(ldt));
    for (unsigned i = 0; i < 2; i++) {
        gpa_t tss = i ? 0xd000 : 0xa000;
        for (unsigned reg = 0; reg < 8; reg++)
            store_le32(test_ram(tss + 0x28 + 4 * reg), 0x11111111u * (reg + 1));
        for (unsigned reg = 0; reg < 8; reg++)
            store_le16(test_ram(0xb012 + 2 * reg), (uint16_t)(0x1111 * (reg + 1)));
        test_apply(
            i ? "[d020]4=12340 [d024]4=3047 [d038]4=2e000 [d048]4=10 [d04c]4=18 [d050]4=10 [d054]4=10"
              : "[a020]4=12340 [a024]4=3047 [a038]4=2e000 [a048]4=10 [a04c]4=18 [a050]4=10 [a054]4=10");
    }
    test_apply("[b00e]2=2340 [b010]2=47 [b01a]2=e000 [b022]2=10 [b024]2=38 [b026]2=10 [b028]2=10");
    test_apply("rbx=20010 rax=a1 rcx=c2 rdx=d3 rbp=b4 rsi=56 rdi=d7 dr7=7ff");
}

/* Through the far pointer in memory, whose offset counts for nothing. */
static enum step_result transfer(const char *code, unsigned selector)
{
    store_le64(test_ram(0x20010), (uint64_t)selector << 32 | 0xdeadbeef);
    return test_step(code, 2);
}

static void expect_new_task(const char *what)
{
    test_expect(what, "rip=12340 rax=11111111 rcx=22222222 rdx=33333333 rbx=44444444 rsp=2e000 rbp=66666666 "
                      "rsi=77777777 rdi=88888888 cs=18 ss=10 ds=10 es=10 fs=0 gs=0 cpl=0 ldt=0 dr7=6aa "
                      "cr0=10019");
    ck_assert_uint_eq(test_cpu.segments[CPU_CS].attributes, 0xc09b);
    ck_assert_uint_eq(test_cpu.segments[CPU_DS].attributes, 0xc093);
    ck_assert_uint_eq(test_cpu.segments[CPU_GS].attributes, 0);
    ck_assert_uint_eq(test_cpu.tr.attributes & ~SEGMENT_DPL, 0x8b);
    ck_assert(test_outcome.task_switched && test_outcome.changed_system);
}

START_TEST(jmp_leaves_the_old_task_available)
{
    static const unsigned targets[] = {NEW, GATE};
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        set_up();
        test_apply(
            "[9000]4=eeeeeeee [9048]4=eeeeeeee [905c]4=eeeeeeee [9060]4=eeeeeeee [a000]4=eeeeeeee IF=1 RF=1");
        ck_assert_int_eq(transfer(FAR_JMP, targets[i]), STEP_DONE);
        expect_new_task("jmp");
        test_expect("jmp",
                    "rflags=3047 tr=70 [7044]4=8900 [7074]4=8b00 [a000]4=eeeeeeee [9000]4=eeeeeeee "
                    "[901c]4=0 [9020]4=10ff2 [9024]4=202 [9028]4=a1 [902c]4=c2 [9030]4=d3 [9034]4=20010 "
                    "[9038]4=2ff00 [903c]4=b4 [9040]4=56 [9044]4=d7 [9048]4=eeee0010 [904c]4=18 [9050]4=10 "
                    "[9054]4=10 [9058]4=10 [905c]4=eeee0010 [9060]4=eeeeeeee");
    }
}
END_TEST

START_TEST(call_nests_and_iret_comes_back)
{
    set_up();
    test_apply("NT=1");
    ck_assert_int_eq(transfer(FAR_CALL, NEW), STEP_DONE);
    expect_new_task("call");
    test_expect("call",
                "rflags=7047 NT=1 tr=70 [a000]2=40 [7044]4=8b00 [7074]4=8b00 [9020]4=10ff2 [9024]4=4002");
    test_cpu.rip = CODE;
    test_cpu.nmi_masked = true;
    ck_assert_int_eq(test_step("\xcf", 1), STEP_DONE);
    test_expect("iret", "rip=10ff2 rflags=4002 rax=a1 rsp=2ff00 rdi=d7 cs=18 ss=10 gs=10 tr=40 [7044]4=8b00 "
                        "[7074]4=8900 [a020]4=10ff1 [a024]4=3047 [9000]2=0");
    ck_assert(!test_cpu.nmi_masked);
}
END_TEST

START_TEST(a_16_bit_tss)
{
    set_up();
    ck_assert_int_eq(transfer(FAR_CALL, NEW16), STEP_DONE);
    test_expect("call",
                "rip=2340 rflags=4047 rax=ffff1111 rbx=ffff4444 rsp=ffffe000 rdi=ffff8888 cs=38 ss=10 ds=10 "
                "es=10 fs=0 gs=0 tr=78 [b000]2=40 [7078]8=8300b000002b [9020]4=10ff2");
    ck_assert_uint_eq(test_cpu.tr.attributes, 0x83);
    /* and from one: six words of registers, four segments */
    test_apply("[b02a]4=eeeeeeee [20010]4=0 [20014]2=70 rbx=20010 rip=10ff0 rflags=6 cs.limit=ffffffff");
    test_cpu.segments[CPU_CS].attributes |= SEGMENT_DB;
    ck_assert_int_eq(test_step(FAR_JMP, 2), STEP_DONE);
    test_expect("jmp",
                "rip=12340 tr=70 [7078]8=8100b000002b [b00e]2=ff2 [b010]2=6 [b012]2=1111 [b018]2=10 "
                "[b01a]2=e000 [b020]2=8888 [b022]2=10 [b024]2=38 [b026]2=10 [b028]2=10 [b02a]4=eeeeeeee");
}
END_TEST

START_TEST(with_an_ldt)
{
    set_up();
    test_apply("[a060]2=88 [a04c]2=4 [a054]2=c [a058]2=c");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_DONE);
    test_expect("ldt", "ldt=88 cs=4 ds=c fs=c");
    ck_assert_uint_eq(test_cpu.ldt.base, 0xc000);
    ck_assert_uint_eq(test_cpu.segments[CPU_FS].limit, 0xffffffff);
}
END_TEST

START_TEST(the_trap_flag_of_a_tss)
{
    set_up();
    test_apply("[a064]2=1 TF=1");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_DB && test_outcome.event.is_trap);
    ck_assert_uint_eq(test_outcome.event.dr6, DR6_BT);
    expect_new_task("T");
    test_expect("T", "[9024]4=102");
}
END_TEST

/* ---- What is refused in the old task ---- */

static const struct {
    const char *name, *code;
    unsigned selector;
    const char *before;
    unsigned vector, error;
} refusals[] = {
    {"a TSS in use", FAR_JMP, BUSY, "", VECTOR_GP, BUSY},
    {"the current one", FAR_CALL, 0x40, "", VECTOR_GP, 0x40},
    {"an absent TSS", FAR_JMP, 0x98, "", VECTOR_NP, 0x98},
    {"a short TSS", FAR_JMP, 0xa0, "", VECTOR_TS, 0xa0},
    {"a short 16-bit TSS", FAR_CALL, 0xa8, "", VECTOR_TS, 0xa8},
    {"a gate to one in use", FAR_JMP, 0xb0, "", VECTOR_GP, BUSY},
    {"an absent gate", FAR_JMP, 0xb8, "", VECTOR_NP, 0xb8},
    {"a gate to an absent TSS", FAR_JMP, 0xc0, "", VECTOR_NP, 0x98},
    {"a gate to data", FAR_JMP, GATE, "[7082]2=10", VECTOR_GP, 0x10},
    {"a gate to the null selector", FAR_JMP, GATE, "[7082]2=3", VECTOR_GP, 0},
    {"a gate to the LDT", FAR_JMP, GATE, "[7082]2=74", VECTOR_GP, 0x74},
    {"a gate beyond the GDT", FAR_JMP, GATE, "[7082]2=108", VECTOR_GP, 0x108},
    {"RPL above the TSS", FAR_JMP, NEW | 1, "", VECTOR_GP, NEW},
    {"RPL above the gate", FAR_CALL, GATE | 3, "", VECTOR_GP, GATE},
    {"the old TSS too short", FAR_JMP, NEW, "tr.limit=5c", VECTOR_TS, 0x40},
    {"the old descriptor beyond the GDT", FAR_JMP, NEW, "tr=100", VECTOR_TS, 0x100},
    {"no link", "\xcf", 0, "NT=1 [9000]2=0", VECTOR_TS, 0},
    {"the link in the LDT", "\xcf", 0, "NT=1 [9000]2=94", VECTOR_TS, 0x94},
    {"the link beyond the GDT", "\xcf", 0, "NT=1 [9000]2=108", VECTOR_TS, 0x108},
    {"the link to an available TSS", "\xcf", 0, "NT=1 [9000]2=70", VECTOR_TS, NEW},
    {"the link to an absent TSS", "\xcf", 0, "NT=1 [9000]2=90 [7094]4=b00", VECTOR_NP, BUSY},
    {"no place for a link", "\xcf", 0, "NT=1 tr.limit=0", VECTOR_TS, 0x40},
};

static enum step_result run_row(const char *code, unsigned selector)
{
    return code[0] == '\xcf' ? test_step(code, 1) : transfer(code, selector);
}

START_TEST(what_the_old_task_must_not_do_changes_nothing)
{
    static uint8_t before[0x7000], after[0x7000];
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        set_up();
        test_apply(refusals[i].before);
        memcpy(before, test_ram(GDT_GPA), sizeof(before));
        struct cpu_state cpu = test_cpu;
        enum step_result result = run_row(refusals[i].code, refusals[i].selector);
        memcpy(after, test_ram(GDT_GPA), sizeof(after));
        ck_assert_msg(result == STEP_EXCEPTION && test_outcome.event.vector == refusals[i].vector &&
                          test_outcome.event.error_code == refusals[i].error,
                      "%s: result %d, vector %u, error %x", refusals[i].name, result,
                      test_outcome.event.vector, test_outcome.event.error_code);
        ck_assert_msg(!memcmp(&cpu, &test_cpu, sizeof(cpu)) && !memcmp(before, after, sizeof(before)) &&
                          !test_outcome.task_switched,
                      "%s: something has changed", refusals[i].name);
    }
}
END_TEST

START_TEST(privilege)
{
    set_up();
    test_apply("cpl=3 cs=33 ss=23");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.error_code, NEW);
    ck_assert_int_eq(transfer(FAR_JMP, 0xcb), STEP_DONE);
    expect_new_task("for everyone");
    test_expect("for everyone", "tr=cb [904c]2=33 [9050]2=23 [70cc]4=eb00");
}
END_TEST

/* ---- What is found in the new task ---- */

static const struct {
    const char *name, *before;
    unsigned vector, error;
    const char *after;
} late[] = {
    {"LDT in the LDT", "[a060]2=8c", VECTOR_TS, 0x8c, "ldt=8c"},
    {"LDT that is data", "[a060]2=10", VECTOR_TS, 0x10, "ldt=10"},
    {"LDT absent", "[a060]2=88 [708c]4=200", VECTOR_TS, LDT, "ldt=88"},
    {"LDT beyond", "[a060]2=108", VECTOR_TS, 0x108, ""},
    {"null CS", "[a04c]2=0", VECTOR_TS, 0, "cs=0 cpl=0"},
    {"CS beyond", "[a04c]2=108", VECTOR_TS, 0x108, "cs=108"},
    {"CS in no LDT", "[a04c]2=4", VECTOR_TS, 4, ""},
    {"CS that is data", "[a04c]2=10", VECTOR_TS, 0x10, ""},
    {"CS of another RPL", "[a04c]2=1b", VECTOR_TS, 0x18, "cs=1b cpl=3"},
    {"CS absent", "[a04c]2=18 [701c]4=cf1b00", VECTOR_NP, 0x18, "ds=10"},
    {"null SS", "[a050]2=0", VECTOR_TS, 0, "ss=0 cs=18"},
    {"SS read-only", "[a050]2=60", VECTOR_TS, 0x60, ""},
    {"SS of another level", "[a050]2=23", VECTOR_TS, 0x20, ""},
    {"SS with another RPL", "[a050]2=13", VECTOR_TS, 0x10, ""},
    {"SS absent", "[a050]2=50", VECTOR_SS, 0x50, "ss=50"},
    {"DS beyond", "[a054]2=108", VECTOR_TS, 0x108, ""},
    {"DS that only runs", "[a054]2=68", VECTOR_TS, 0x68, ""},
    {"DS a TSS", "[a054]2=70", VECTOR_TS, 0x70, ""},
    {"DS absent", "[a054]2=50", VECTOR_NP, 0x50, "ss=10"},
    {"ES absent", "[a048]2=50", VECTOR_NP, 0x50, "ds=10"},
    {"FS that is inner", "[a058]2=10 [a04c]2=33 [a050]2=23 [a054]2=23 [a048]2=23", VECTOR_TS, 0x10, "cpl=3"},
    {"GS with another RPL", "[a05c]2=13", VECTOR_TS, 0x10, ""},
    {"EIP beyond CS", "[a04c]2=38", VECTOR_GP, 0, "cs=38"},
};

START_TEST(what_is_wrong_with_the_new_task_is_its_fault)
{
    for (size_t i = 0; i < ARRAY_COUNT(late); i++) {
        set_up();
        test_apply(late[i].before);
        enum step_result result = transfer(FAR_CALL, NEW);
        ck_assert_msg(result == STEP_EXCEPTION && test_outcome.event.vector == late[i].vector &&
                          test_outcome.event.error_code == late[i].error,
                      "%s: result %d, vector %u, error %x", late[i].name, result, test_outcome.event.vector,
                      test_outcome.event.error_code);
        ck_assert(test_outcome.task_switched);
        test_expect(late[i].name,
                    "rip=12340 tr=70 NT=1 rax=11111111 rsp=2e000 [9020]4=10ff2 [7074]4=8b00 dr7=6aa");
        test_expect(late[i].name, late[i].after);
    }
}
END_TEST

/* ---- Gates of the IDT ---- */

static enum step_result deliver(enum event_kind kind, unsigned vector, int error)
{
    struct step_event event = {.kind = kind,
                               .vector = (uint8_t)vector,
                               .has_error = error >= 0,
                               .error_code = error < 0 ? 0 : (uint32_t)error};
    return deliver_event(&test_machine, &test_cpu, &event, &test_outcome);
}

START_TEST(events_through_task_gates)
{
    set_up();
    set_gate(IDT_GPA, 13 * 8, NEW, 0x85);
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_GP, 0x18), STEP_DONE);
    test_expect("#GP", "rip=12340 NT=1 tr=70 rsp=2dffc [2dffc]4=18 [a000]2=40 [9020]4=10ff0 [9024]4=10002");
    /* a 16-bit task gets a word; a fault of the new task is external */
    set_up();
    set_gate(IDT_GPA, 13 * 8, NEW16, 0x85);
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_GP, 0x18), STEP_DONE);
    test_expect("#GP to 16 bits", "rip=2340 tr=78 rsp=ffffdffe [dffe]2=0");
    /* an interrupt, out of HLT; IF is as the TSS says */
    set_up();
    set_gate(IDT_GPA, 0x20 * 8, NEW, 0x85);
    test_apply("IF=1 [a024]4=202");
    test_cpu.halted = true;
    ck_assert_int_eq(deliver(EVENT_INTERRUPT, 0x20, -1), STEP_DONE);
    test_expect("interrupt", "rip=12340 rflags=4202 rsp=2e000 [9024]4=202");
    ck_assert(!test_cpu.halted);
    /* INT n */
    set_up();
    set_gate(IDT_GPA, 0x80 * 8, NEW, 0x85);
    test_apply("TF=1");
    ck_assert_int_eq(test_step("\xcd\x80", 2), STEP_DONE);
    test_expect("int n", "rip=12340 NT=1 [9020]4=10ff2 [9024]4=102");
    test_apply("cpl=3 rip=10ff0");
    ck_assert_int_eq(test_step("\xcd\x80", 2), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.error_code, 0x402);
    /* the gate's TSS is in use */
    set_up();
    set_gate(IDT_GPA, 0x80 * 8, BUSY, 0x85);
    ck_assert_int_eq(test_step("\xcd\x80", 2), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_GP && test_outcome.event.error_code == BUSY);
}
END_TEST

START_TEST(faults_in_the_task_of_a_gate)
{
    /* the task of #DE has no DS: #NP, external, is a second contributory fault: #DF, in another task */
    set_up();
    set_descriptor(0xd0, 0xe000, 0x67, 0x89);
    memcpy(test_ram(0xe000), test_ram(0xa000), 0x68);
    set_gate(IDT_GPA, 0, NEW, 0x85);
    set_gate(IDT_GPA, 8 * 8, 0xd0, 0x85);
    test_apply("[a054]2=50 [e020]4=4567");
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_DE, -1), STEP_DONE);
    test_expect("#DF", "rip=4567 tr=d0 [e000]2=70 [a000]2=40 [2dffc]4=0 [a020]4=12340 [a054]2=50");
    /* of #UD: #NP itself, its error code external */
    set_up();
    set_descriptor(0xd0, 0xe000, 0x67, 0x89);
    memcpy(test_ram(0xe000), test_ram(0xa000), 0x68);
    set_gate(IDT_GPA, 6 * 8, NEW, 0x85);
    set_gate(IDT_GPA, 11 * 8, 0xd0, 0x85);
    test_apply("[a054]2=50 [e020]4=4567");
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_UD, -1), STEP_DONE);
    test_expect("#NP", "rip=4567 tr=d0 [2dffc]4=51");
    /* of #DF: the end */
    set_up();
    set_gate(IDT_GPA, 8 * 8, NEW, 0x85);
    test_apply("[a050]2=0");
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_DF, 0), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.vector, VECTOR_DF);
    /* T of the task of #DF is only a trap */
    set_up();
    set_gate(IDT_GPA, 8 * 8, NEW, 0x85);
    store_le64((uint8_t *)test_ram(IDT_GPA) + 8, 0x00018e0000180000 | 0x4568);
    test_apply("[a064]2=1");
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_DF, 0), STEP_DONE);
    test_expect("T", "rip=14568 tr=70 dr6=ffff8ff0 [2dffc]4=0 [2dff0]4=12340");
}
END_TEST

START_TEST(no_room_for_the_error_code)
{
    set_up();
    set_descriptor(0xd8, 0, 0xff, 0x93); /* a stack of 256 bytes */
    set_gate(IDT_GPA, 13 * 8, NEW, 0x85);
    store_le64((uint8_t *)test_ram(IDT_GPA) + 8 * 8, 0);
    test_apply("[a050]2=d8 [a038]4=200");
    ck_assert_int_eq(deliver(EVENT_EXCEPTION, VECTOR_GP, 0), STEP_EXCEPTION);
    test_expect("in the new task", "tr=70 rip=12340 ss=d8 rsp=200");
}
END_TEST

/* ---- Virtual-8086 mode, and paging ---- */

START_TEST(to_and_from_virtual_8086_mode)
{
    set_up();
    set_gate(IDT_GPA, 0x20 * 8, NEW, 0x85);
    test_apply("[a024]4=23002 [a020]4=1234 [a04c]2=1000 [a050]2=2000 [a054]2=3000 [a048]2=4000 [a058]2=5000 "
               "[a05c]2=6000");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_DONE);
    test_expect("to",
                "VM=1 cpl=3 rip=1234 cs=1000 cs.base=10000 ss=2000 ds=3000 ds.base=30000 es=4000 fs=5000 "
                "gs=6000 gs.base=60000 cs.limit=ffff tr=70");
    set_gate(IDT_GPA, 0x20 * 8, 0x40, 0x85);
    ck_assert_int_eq(deliver(EVENT_INTERRUPT, 0x20, -1), STEP_DONE);
    test_expect("from",
                "VM=0 cpl=0 rip=10ff2 cs=18 ss=10 ds=10 tr=40 NT=1 [9000]2=70 [a024]4=23002 [a04c]2=1000 "
                "[a05c]2=6000 [a020]4=1234");
    /* and back again */
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\xcf", 1), STEP_DONE);
    test_expect("again", "VM=1 cpl=3 rip=1234 cs=1000 gs.base=60000 tr=70");
    /* EIP is checked there too */
    set_up();
    test_apply("[a024]4=23002 [a020]4=10000 [a04c]2=1000");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.vector, VECTOR_GP);
    test_expect("in the new task", "VM=1 cs=1000 rip=10000");
}
END_TEST

/* Identity for 4 MiB, by 4 KiB pages. */
static void map_all(gpa_t directory)
{
    store_le32(test_ram(directory), (uint32_t)(directory + 0x1000) | 7);
    for (unsigned i = 0; i < 1024; i++)
        store_le32(test_ram(directory + 0x1000 + 4 * i), i << 12 | 7);
}

static void set_up_paging(void)
{
    set_up();
    map_all(0x110000);
    map_all(0x120000);
    test_cpu.cr3 = 0x110000;
    test_cpu.cr0 |= CR0_PG;
    test_apply("[a01c]4=120000");
}

static const struct {
    const char *name, *code, *before;
    unsigned selector, cr2, error;
} page_faults[] = {
    {"no new TSS", FAR_JMP, "[111028]4=0", NEW, 0xa000, 0},
    {"no old TSS", FAR_JMP, "[111024]4=0", NEW, 0x9020, 2},
    {"the old TSS read-only", FAR_JMP, "[111024]4=9005", NEW, 0x9020, 3},
    {"the new TSS read-only, for the link", FAR_CALL, "[111028]4=a005", NEW, 0xa000, 3},
    {"the GDT read-only", FAR_CALL, "[11101c]4=7005", NEW, 0x7070, 3},
    {"no link", "\xcf", "NT=1 [111024]4=0", 0, 0x9000, 0},
};

START_TEST(pages_of_the_tables)
{
    for (size_t i = 0; i < ARRAY_COUNT(page_faults); i++) {
        set_up_paging();
        test_apply(page_faults[i].before);
        enum step_result result = run_row(page_faults[i].code, page_faults[i].selector);
        const struct step_event *event = &test_outcome.event;
        ck_assert_msg(result == STEP_EXCEPTION && event->vector == VECTOR_PF &&
                          event->cr2 == page_faults[i].cr2 && event->error_code == page_faults[i].error,
                      "%s: result %d, vector %u, error %x, at %llx", page_faults[i].name, result,
                      event->vector, event->error_code, (unsigned long long)event->cr2);
        test_expect(page_faults[i].name, "tr=40 rip=10ff0 cr3=110000 [7044]4=8b00 [7074]4=8900 [9020]4=0");
    }
    /* the new TSS may be read-only for JMP; what follows is read through the new tables */
    set_up_paging();
    test_apply("[111028]4=a005 [12101c]4=0");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_PF && test_outcome.event.cr2 == 0x7018);
    test_expect("the new tables have no GDT", "tr=70 rip=12340 cr3=120000 [9020]4=10ff2");
    ck_assert_ptr_nonnull(strstr(test_seen, "flush"));
    set_up_paging();
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_DONE);
    test_expect("CR3", "tr=70 cr3=120000");
    /* without paging, and from a 16-bit TSS, it is not loaded */
    set_up_paging();
    ck_assert_int_eq(transfer(FAR_JMP, NEW16), STEP_DONE);
    test_expect("16 bits", "tr=78 cr3=110000");
}
END_TEST

START_TEST(a_tss_in_a_device)
{
    set_up();
    set_descriptor(NEW, A_GPA, 0x67, 0x89);
    ck_assert_int_eq(transfer(FAR_CALL, NEW), STEP_EXCEPTION); /* its CS is 0x5d5c */
    test_expect("read", "tr=70 rip=33323130 rax=3b3a3938 [9020]4=10ff2");
    ck_assert_ptr_nonnull(strstr(test_seen, "a:w2@0=40 a:r8@0 "));
}
END_TEST

START_TEST(long_mode_has_no_tasks)
{
    test_set_up(TEST_64);
    test_cpu.gdt.limit = 0xff;
    set_gate(GDT_GPA, GATE, 0x40, 0x85);
    set_descriptor(NEW, 0xa000, 0x67, 0x89);
    test_apply("rbx=20010");
    ck_assert_int_eq(transfer(FAR_JMP, NEW), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_GP && test_outcome.event.error_code == NEW);
    ck_assert_int_eq(transfer(FAR_CALL, GATE), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_GP && test_outcome.event.error_code == GATE);
    test_apply("NT=1");
    ck_assert_int_eq(test_step("\x48\xcf", 2), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_GP && test_outcome.event.error_code == 0);
}
END_TEST

/* Not a task, but of the same kind: nothing is written before the last check. */
START_TEST(a_far_jump_beyond_its_segment_leaves_it_unaccessed)
{
    set_up();
    test_apply("[703d]1=9a");
    ck_assert_int_eq(test_step("\xea\x00\x00\x01\x00\x38\x00", 7), STEP_EXCEPTION);
    ck_assert(test_outcome.event.vector == VECTOR_GP && test_outcome.event.error_code == 0);
    test_expect("beyond", "cs=18 [703d]1=9a");
    ck_assert_int_eq(test_step("\xea\x34\x12\x00\x00\x38\x00", 7), STEP_DONE);
    test_expect("inside", "cs=38 rip=1234 [703d]1=9b");
    ck_assert_uint_eq(test_cpu.segments[CPU_CS].attributes, 0x9b);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_far_jump_beyond_its_segment_leaves_it_unaccessed);
    test_add(suite, jmp_leaves_the_old_task_available);
    test_add(suite, call_nests_and_iret_comes_back);
    test_add(suite, a_16_bit_tss);
    test_add(suite, with_an_ldt);
    test_add(suite, the_trap_flag_of_a_tss);
    test_add(suite, what_the_old_task_must_not_do_changes_nothing);
    test_add(suite, privilege);
    test_add(suite, what_is_wrong_with_the_new_task_is_its_fault);
    test_add(suite, events_through_task_gates);
    test_add(suite, faults_in_the_task_of_a_gate);
    test_add(suite, no_room_for_the_error_code);
    test_add(suite, to_and_from_virtual_8086_mode);
    test_add(suite, pages_of_the_tables);
    test_add(suite, a_tss_in_a_device);
    test_add(suite, long_mode_has_no_tasks);
}
