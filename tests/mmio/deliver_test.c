/* SPDX-License-Identifier: MIT
 *
 * Delivery of events: frames, stacks and flags in every mode, what is refused, and double and triple faults.
 */
#include "mmio/deliver.h"

#include <string.h>

#include "base/bytes.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

#define HANDLER 0x12340u
#define INT32   0x8eu
#define TRAP32  0x8fu
#define DPL3    0x60u

static void set_gate(unsigned vector, unsigned selector, unsigned type, unsigned ist)
{
    bool is_long = test_cpu.efer & EFER_LMA;
    uint8_t *gate = (uint8_t *)test_ram(IDT_GPA) + vector * (is_long ? 16 : 8);
    store_le64(gate, (uint64_t)(HANDLER >> 16) << 48 | (uint64_t)type << 40 | (uint64_t)ist << 32 |
                         (uint64_t)selector << 16 | (HANDLER & 0xffff));
    if (is_long)
        store_le64(gate + 8, 0);
}

static struct step_event exception(unsigned vector, int error)
{
    return (struct step_event){.kind = EVENT_EXCEPTION,
                               .vector = (uint8_t)vector,
                               .has_error = error >= 0,
                               .error_code = error < 0 ? 0 : (uint32_t)error};
}

static enum step_result deliver(const struct step_event *event)
{
    return deliver_event(&test_machine, &test_cpu, event, &test_outcome);
}

START_TEST(in_long_mode_a_frame_of_five)
{
    test_set_up(TEST_64);
    set_gate(14, 0x08, INT32, 0);
    test_apply("IF=1 TF=1 rsp=2ff07");
    struct step_event event = exception(14, 2);
    event.cr2 = 0x1234;
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#PF",
                "rip=12340 cs=8 ss=10 rsp=2fed0 cr2=1234 IF=0 TF=0 [2fed0]8=2 [2fed8]8=10ff0 [2fee0]8=8 "
                "[2fee8]8=10302 [2fef0]8=2ff07 [2fef8]8=10");
    /* a trap gate leaves IF; a trap has no RF in its frame */
    test_set_up(TEST_64);
    set_gate(1, 0x08, TRAP32, 0);
    test_apply("IF=1 dr7=2400");
    event = exception(1, -1);
    event.is_trap = true;
    event.dr6 = DR6_BS;
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#DB", "rip=12340 IF=1 [2fee8]8=202 dr6=ffff4ff0 dr7=400");
}
END_TEST

START_TEST(a_change_of_privilege_takes_the_stack_of_the_tss)
{
    test_set_up(TEST_64_USER);
    set_gate(0x80, 0x08, INT32 | DPL3, 0);
    store_le64((uint8_t *)test_ram(TSS_GPA) + 4, 0x25008);
    test_apply("IF=1");
    ck_assert_int_eq(test_step("\xcd\x80", 2), STEP_DONE);
    test_expect("int 80", "rip=12340 cs=8 cpl=0 ss=0 IF=0 rsp=24fd8 [24fd8]8=10ff2 [24fe0]8=2b [24fe8]8=202 "
                          "[24ff0]8=2ff00 [24ff8]8=23");
    /* an IST entry wins */
    test_set_up(TEST_64_USER);
    set_gate(8, 0x08, INT32, 3);
    store_le64((uint8_t *)test_ram(TSS_GPA) + 36 + 16, 0x26000);
    struct step_event event = exception(8, 0);
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#DF on IST 3", "rsp=25fd0 cs=8 cpl=0");
    /* 32 bits: SS and ESP */
    test_set_up(TEST_32);
    test_apply("cpl=3 cs=33 ss=23 rsp=27000");
    test_cpu.segments[CPU_SS].attributes = 0xc0f3;
    test_cpu.segments[CPU_CS].attributes = 0xc0fb;
    set_gate(13, 0x18, INT32, 0);
    store_le32((uint8_t *)test_ram(TSS_GPA) + 4, 0x25000);
    store_le16((uint8_t *)test_ram(TSS_GPA) + 8, 0x10);
    event = exception(13, 0x18);
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#GP", "rip=12340 cs=18 ss=10 cpl=0 rsp=24fe8 [24fe8]4=18 [24fec]4=10ff0 [24ff0]4=33 "
                       "[24ff4]4=10002 [24ff8]4=27000 [24ffc]4=23");
}
END_TEST

START_TEST(protected_and_real_mode_frames_of_three)
{
    test_set_up(TEST_32);
    set_gate(3, 0x18, TRAP32, 0);
    ck_assert_int_eq(test_step("\xcc", 1), STEP_DONE);
    test_expect("int3", "rip=12340 cs=18 rsp=2fef4 [2fef4]4=10ff1 [2fef8]4=18 [2fefc]4=2");
    /* a 16-bit gate pushes words */
    test_set_up(TEST_32);
    set_gate(3, 0x38, 0x86, 0);
    ck_assert_int_eq(test_step("\xcc", 1), STEP_DONE);
    test_expect("int3 by a 16-bit gate", "rip=2340 cs=38 rsp=2fefa [2fefa]2=ff1 [2fefc]2=18");
    test_set_up(TEST_16);
    store_le32(test_ram(0x21 * 4), 0x30001234);
    test_apply("IF=1");
    ck_assert_int_eq(test_step("\xcd\x21", 2), STEP_DONE);
    test_expect("int 21",
                "rip=1234 cs=3000 cs.base=30000 IF=0 rsp=fefa [2fefa]2=ff2 [2fefc]2=1000 [2fefe]2=202");
    ck_assert_int_eq(test_cpu.segments[CPU_CS].limit, 0xffff);
    /* INTO only with OF */
    test_set_up(TEST_16);
    test_apply("OF=0");
    ck_assert_int_eq(test_step("\xce", 1), STEP_DONE);
    test_expect("into", "rip=ff1");
}
END_TEST

START_TEST(virtual_8086_mode_is_left_with_its_segments)
{
    test_set_up(TEST_32);
    set_gate(13, 0x18, INT32, 0);
    store_le32((uint8_t *)test_ram(TSS_GPA) + 4, 0x25000);
    store_le16((uint8_t *)test_ram(TSS_GPA) + 8, 0x10);
    test_apply("VM=1 cpl=3 cs=1000 ss=2000 ds=4000 es=5000 fs=6000 gs=7000 rsp=1000 rip=1234");
    struct step_event event = exception(13, 0);
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#GP from VM", "VM=0 cs=18 ss=10 ds=0 es=0 fs=0 gs=0 rsp=24fd8 [24fd8]4=0 [24fdc]4=1234 "
                               "[24fe0]4=1000 [24fe4]4=30002 [24fe8]4=1000 [24fec]4=2000 [24ff0]4=5000 "
                               "[24ff4]4=4000 [24ff8]4=6000 [24ffc]4=7000");
    /* and back */
    test_cpu.gpr[CPU_RSP] += 4;
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\xcf", 1), STEP_DONE);
    test_expect("iret to VM",
                "VM=1 cpl=3 cs=1000 cs.base=10000 ss=2000 ds=4000 es=5000 gs=7000 rsp=1000 rip=1234");
}
END_TEST

static const struct {
    const char *name;
    enum test_mode mode;
    unsigned selector, type;
    const char *before;
    unsigned vector, error;
} refusals[] = {
    {"a gate of another type", TEST_64, 0x08, 0x85, "", VECTOR_GP, 0x80 * 8 + 2},
    {"16-bit gate in long mode", TEST_64, 0x08, 0x86, "", VECTOR_GP, 0x80 * 8 + 2},
    {"absent gate", TEST_64, 0x08, 0x0e, "", VECTOR_NP, 0x80 * 8 + 2},
    {"gate above the user", TEST_64_USER, 0x08, INT32, "", VECTOR_GP, 0x80 * 8 + 2},
    {"null selector", TEST_64, 0x00, INT32, "", VECTOR_GP, 0},
    {"handler in data", TEST_64, 0x10, INT32, "", VECTOR_GP, 0x10},
    {"handler in 32-bit code", TEST_64, 0x18, INT32, "", VECTOR_GP, 0x18},
    {"handler less privileged", TEST_64, 0x28, INT32, "", VECTOR_GP, 0x28},
    {"handler beyond the table", TEST_64, 0x88, INT32, "", VECTOR_GP, 0x88},
    {"stack absent", TEST_64, 0x08, INT32, "rsp=41000", VECTOR_PF, 2},
    {"absent segment", TEST_32, 0x50, INT32, "", VECTOR_GP, 0x50},
};

START_TEST(what_is_refused_is_the_instructions_fault)
{
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        test_set_up(refusals[i].mode);
        set_gate(0x80, refusals[i].selector, refusals[i].type, 0);
        test_apply(refusals[i].before);
        struct cpu_state before = test_cpu;
        ck_assert_msg(test_step("\xcd\x80", 2) == STEP_EXCEPTION, "%s", refusals[i].name);
        ck_assert_msg(test_outcome.event.vector == refusals[i].vector &&
                          test_outcome.event.error_code == refusals[i].error,
                      "%s: vector %u, error %x", refusals[i].name, test_outcome.event.vector,
                      test_outcome.event.error_code);
        ck_assert_msg(!memcmp(&before, &test_cpu, sizeof(before)), "%s: the CPU has changed",
                      refusals[i].name);
    }
}
END_TEST

START_TEST(faults_on_the_way_are_promoted)
{
    /* #DE is benign to nothing: #GP on its way makes #DF */
    test_set_up(TEST_64);
    set_gate(VECTOR_DF, 0x08, INT32, 0);
    struct step_event event = exception(VECTOR_DE, -1);
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#DE without a gate", "rip=12340 rsp=2fed0 [2fed0]8=0 [2fed8]8=10ff0");
    /* #UD is benign: the second fault is delivered in its place, marked external */
    test_set_up(TEST_64);
    set_gate(VECTOR_NP, 0x08, INT32, 0);
    set_gate(VECTOR_UD, 0x08, 0x0e, 0);
    event = exception(VECTOR_UD, -1);
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#UD through an absent gate", "rip=12340 [2fed0]8=33");
    /* #PF in the delivery of #PF: #DF, with the second address in CR2; the IST gives a stack */
    test_set_up(TEST_64);
    set_gate(VECTOR_PF, 0x08, INT32, 0);
    set_gate(VECTOR_DF, 0x08, INT32, 1);
    store_le64((uint8_t *)test_ram(TSS_GPA) + 36, 0x26000);
    test_apply("rsp=41000");
    event = exception(VECTOR_PF, 0);
    event.cr2 = 0x5000;
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    test_expect("#PF in #PF", "rip=12340 cr2=40ff8 rsp=25fd0 [25ff0]8=41000");
    /* nothing works: a triple fault */
    test_set_up(TEST_64);
    test_cpu.idt.limit = 0;
    event = exception(VECTOR_GP, 0);
    ck_assert_int_eq(deliver(&event), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.vector, VECTOR_DF);
    static const struct {
        uint8_t vector;
        uint32_t error_code;
    } chain[] = {{VECTOR_GP, 0}, {VECTOR_GP, 13 << 3 | 3}, {VECTOR_GP, 8 << 3 | 3}};
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(test_outcome.undelivered[i].vector, chain[i].vector);
        ck_assert_uint_eq(test_outcome.undelivered[i].error_code, chain[i].error_code);
    }
    test_expect("as it was", "rip=10ff0 rsp=2ff00");
}
END_TEST

START_TEST(an_nmi_masks_the_next_until_iret)
{
    test_set_up(TEST_64);
    set_gate(2, 0x08, INT32, 0);
    test_cpu.halted = true;
    struct step_event event = {.kind = EVENT_NMI, .vector = 2};
    ck_assert_int_eq(deliver(&event), STEP_DONE);
    ck_assert(test_cpu.nmi_masked && !test_cpu.halted);
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\x48\xcf", 2), STEP_DONE);
    ck_assert(!test_cpu.nmi_masked);
    test_expect("back", "rip=10ff0 rsp=2ff00 cs=8 ss=10");
}
END_TEST

START_TEST(int_n_swallows_the_single_step)
{
    test_set_up(TEST_64);
    set_gate(0x80, 0x08, INT32, 0);
    test_apply("TF=1");
    ck_assert_int_eq(test_step("\xcd\x80", 2), STEP_DONE);
    test_expect("in the handler", "rip=12340 TF=0 [2fee8]8=102");
}
END_TEST

static void set_call_gate(unsigned selector, unsigned to, unsigned type, unsigned parameters)
{
    uint8_t *gate = (uint8_t *)test_ram(GDT_GPA) + selector;
    store_le64(gate, (uint64_t)(HANDLER >> 16) << 48 | (uint64_t)type << 40 | (uint64_t)parameters << 32 |
                         (uint64_t)to << 16 | (HANDLER & 0xffff));
    store_le64(gate + 8, 0);
}

START_TEST(call_gates)
{
    /* the same privilege, then an inner one with two parameters: CALL FAR [EBX] */
    test_set_up(TEST_32);
    set_call_gate(0x70, 0x18, 0x8c, 0);
    test_apply("rbx=20010 [20014]2=70");
    ck_assert_int_eq(test_step("\xff\x1b", 2), STEP_DONE);
    test_expect("same", "rip=12340 cs=18 rsp=2fef8 [2fef8]4=10ff2 [2fefc]4=18");
    test_set_up(TEST_32);
    set_call_gate(0x70, 0x18, 0xec, 2);
    store_le32((uint8_t *)test_ram(TSS_GPA) + 4, 0x25000);
    store_le16((uint8_t *)test_ram(TSS_GPA) + 8, 0x10);
    test_apply("rbx=20010 [20014]2=73 cpl=3 cs=33 ss=23 [2ff00]4=aaa [2ff04]4=bbb");
    test_cpu.segments[CPU_SS].attributes = 0xc0f3;
    ck_assert_int_eq(test_step("\xff\x1b", 2), STEP_DONE);
    test_expect("inner", "rip=12340 cs=18 ss=10 cpl=0 rsp=24fe8 [24ffc]4=23 [24ff8]4=2ff00 [24ff4]4=bbb "
                         "[24ff0]4=aaa [24fec]4=33 [24fe8]4=10ff2");
    /* long mode: no parameters, a null SS, eight-byte slots */
    test_set_up(TEST_64_USER);
    set_call_gate(0x70, 0x08, 0xec, 0);
    store_le64((uint8_t *)test_ram(TSS_GPA) + 4, 0x25000);
    test_apply("rbx=20010 [20014]2=73");
    ck_assert_int_eq(test_step("\xff\x1b", 2), STEP_DONE);
    test_expect("long",
                "rip=12340 cs=8 ss=0 cpl=0 rsp=24fe0 [24ff8]8=23 [24ff0]8=2ff00 [24fe8]8=2b [24fe0]8=10ff2");
    /* a gate for the supervisor alone */
    test_set_up(TEST_64_USER);
    set_call_gate(0x70, 0x08, 0x8c, 0);
    test_apply("rbx=20010 [20014]2=73");
    ck_assert_int_eq(test_step("\xff\x1b", 2), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.error_code, 0x70);
}
END_TEST

static void write_msr(uint32_t index, uint64_t value)
{
    ck_assert(test_machine.ops->msr_write(NULL, index, value));
}

START_TEST(syscall_and_sysret)
{
    test_set_up(TEST_64_USER);
    write_msr(0xc0000081, 0x001b000800000000); /* SYSRET base 0x1b, SYSCALL base 8 */
    write_msr(0xc0000082, 0xffff800000001000);
    write_msr(0xc0000084, FLAG_IF);
    test_apply("IF=1 CF=1");
    ck_assert_int_eq(test_step("\x0f\x05", 2), STEP_DONE);
    test_expect("syscall", "rip=ffff800000001000 rcx=10ff2 r11=203 cs=8 ss=10 cpl=0 IF=0 CF=1 rsp=2ff00");
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\x48\x0f\x07", 3), STEP_DONE);
    test_expect("sysret", "rip=10ff2 cs=2b ss=23 cpl=3 IF=1");
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, in_long_mode_a_frame_of_five);
    test_add(suite, a_change_of_privilege_takes_the_stack_of_the_tss);
    test_add(suite, protected_and_real_mode_frames_of_three);
    test_add(suite, virtual_8086_mode_is_left_with_its_segments);
    test_add(suite, what_is_refused_is_the_instructions_fault);
    test_add(suite, faults_on_the_way_are_promoted);
    test_add(suite, an_nmi_masks_the_next_until_iret);
    test_add(suite, int_n_swallows_the_single_step);
    test_add(suite, call_gates);
    test_add(suite, syscall_and_sysret);
}
