/* SPDX-License-Identifier: MIT
 *
 * What is given back to KVM behind an instruction that was executed in software. KVM is this file's: it has
 * all registers in the shared page, and of system calls only those for debug registers and MSRs.
 */
#include "vcpu/emulate.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bytes.h"
#include "ept/memory.h"
#include "mmio/step.h"
#include "tests/harness.h"
#include "vcpu/cpuid.h"

#define SYNC_ALL  (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define CODE_GPA  0x2000u
#define ENTRY_GPA 0x1000u
#define INT_N     0x40u

static struct kvm_run page;
static struct cpuid_table cpuid;
static struct vcpu_machine machine;
static struct vcpu vcpu;

int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    if (request == KVM_SET_MSRS)
        return 1;
    ck_assert_uint_eq(request, KVM_GET_DEBUGREGS);
    va_list arguments;
    va_start(arguments, request);
    memset(va_arg(arguments, void *), 0, sizeof(struct kvm_debugregs));
    va_end(arguments);
    return 0;
}

static void set_up(const uint8_t *code, size_t len)
{
    const struct kvm_segment flat = {.limit = 0xffff, .type = 3, .present = 1, .s = 1};
    static const uint8_t entry[4] = {ENTRY_GPA & 0xff, ENTRY_GPA >> 8, 0, 0};
    machine = (struct vcpu_machine){.sync_fields = SYNC_ALL};
    ck_assert_int_eq(guest_memory_create(64 * KIB, MEMORY_ANONYMOUS, &machine.memory, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_PORTS, &machine.ports, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_MEMORY, &machine.memory_bus, NULL), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, VECTOR_BP * 4, entry, sizeof(entry)), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, INT_N * 4, entry, sizeof(entry)), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, CODE_GPA, code, len), 0);
    memset(&page, 0, sizeof(page));
    struct kvm_sync_regs *regs = &page.s.regs;
    regs->regs.rip = CODE_GPA;
    regs->regs.rsp = 0x8000;
    regs->regs.rflags = 2;
    regs->sregs.cs = regs->sregs.ss = regs->sregs.ds = regs->sregs.es = flat;
    regs->sregs.cs.type = 0xb;
    regs->sregs.fs = regs->sregs.gs = flat;
    regs->sregs.idt.limit = 0x3ff;
    regs->sregs.cr0 = 0x10;
    regs->events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                         KVM_VCPUEVENT_VALID_SMM;
    vcpu = (struct vcpu){
        .machine = &machine, .run = &page, .fd = -1, .cpuid = &cpuid, .synced_fields = SYNC_ALL};
}

static void emulate(void)
{
    enum vcpu_end end;
    ck_assert(vcpu_emulate(&vcpu, NULL, 0, &end));
}

static void tear_down(void)
{
    emulation_destroy(vcpu.emulation);
    bus_destroy(machine.ports);
    bus_destroy(machine.memory_bus);
    guest_memory_destroy(machine.memory);
}

/* KVM does not say that it has the event of a software interrupt in hand, and would deliver it once more. */
START_TEST(a_software_interrupt_is_taken_from_kvm)
{
    static const uint8_t codes[][2] = {{0xcc}, {0xcd, INT_N}};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        set_up(codes[i], sizeof(codes[i]));
        emulate();
        ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA);
        ck_assert_uint_eq(page.kvm_dirty_regs, SYNC_ALL);
        ck_assert(!page.s.regs.events.exception.injected && !page.s.regs.events.interrupt.injected);
        tear_down();
    }
}
END_TEST

/* As for KVM_INTERNAL_ERROR_EMULATION, with or without the bytes. */
static void finish(void)
{
    enum vcpu_end end;
    ck_assert(vcpu_emulate(&vcpu, page.emulation_failure.insn_bytes, 0, &end));
}

/* Without KVM_CAP_EXIT_ON_EMULATION_FAILURE, and in the shared page as one that is being delivered. */
START_TEST(a_ud_that_kvm_raised_when_it_gave_up_is_taken_back)
{
    static const uint8_t code[] = {0xa3, 0x00, 0x70};
    set_up(code, sizeof(code));
    machine.queues_ud = true;
    page.s.regs.events.exception.injected = 1;
    page.s.regs.events.exception.nr = VECTOR_UD;
    finish();
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + sizeof(code));
    ck_assert(!page.s.regs.events.exception.injected);
    ck_assert_uint_eq(page.kvm_dirty_regs & KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_EVENTS);
    tear_down();
}
END_TEST

/* Else an instruction could mask it, and KVM would deliver it all the same. */
START_TEST(an_event_in_hand_comes_before_the_instruction)
{
    static const uint8_t code[] = {0xfa};
    set_up(code, sizeof(code));
    page.s.regs.regs.rflags = 0x202;
    page.s.regs.events.interrupt.injected = 1;
    page.s.regs.events.interrupt.nr = INT_N;
    finish();
    uint8_t frame[6];
    ck_assert_int_eq(guest_mem_read(machine.memory, 0x8000 - sizeof(frame), frame, sizeof(frame)), 0);
    ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA);
    ck_assert_uint_eq(load_le16(frame), CODE_GPA);
    ck_assert_uint_eq(load_le16(frame + 4), 0x202);
    ck_assert(!page.s.regs.events.interrupt.injected);
    tear_down();
}
END_TEST

/* It may have come since the exit, from another vCPU. */
START_TEST(a_pending_nmi_is_left_alone)
{
    static const uint8_t code[] = {0xcc};
    set_up(code, sizeof(code));
    emulate();
    ck_assert_uint_eq(page.s.regs.events.flags, KVM_VCPUEVENT_VALID_SHADOW);
    tear_down();
}
END_TEST

START_TEST(a_plain_instruction_gives_back_what_it_may_change)
{
    static const uint8_t code[] = {0xa3, 0x00, 0x70}; /* mov [0x7000], ax */
    set_up(code, sizeof(code));
    emulate();
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + sizeof(code));
    ck_assert_uint_eq(page.kvm_dirty_regs, KVM_SYNC_X86_REGS);
    tear_down();
}
END_TEST

/* MSRs are written at once; what KVM has of them in its special registers must not be put back. */
START_TEST(an_msr_that_was_written_stays)
{
    static const uint8_t code[] = {0x0f, 0x30};
    static const struct {
        uint32_t msr, value;
        uint64_t apic_base, cr8;
    } rows[] = {
        {0x1b, 0xfee00d00, 0xfee00d00, 0}, {0x808, 0x50, 0xfee00900, 5}, {0x174, 0x10, 0xfee00900, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        set_up(code, sizeof(code));
        page.s.regs.sregs.apic_base = 0xfee00900;
        page.s.regs.regs.rcx = rows[i].msr;
        page.s.regs.regs.rax = rows[i].value;
        emulate();
        ck_assert_uint_eq(page.s.regs.sregs.apic_base, rows[i].apic_base);
        ck_assert_uint_eq(page.s.regs.sregs.cr8, rows[i].cr8);
        ck_assert_uint_eq(page.kvm_dirty_regs, KVM_SYNC_X86_REGS);
        tear_down();
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_software_interrupt_is_taken_from_kvm);
    test_add(suite, an_msr_that_was_written_stays);
    test_add(suite, a_ud_that_kvm_raised_when_it_gave_up_is_taken_back);
    test_add(suite, an_event_in_hand_comes_before_the_instruction);
    test_add(suite, a_pending_nmi_is_left_alone);
    test_add(suite, a_plain_instruction_gives_back_what_it_may_change);
}
