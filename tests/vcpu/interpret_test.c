/* SPDX-License-Identifier: MIT
 *
 * Stretches of instructions in software. KVM is this file's: it has all registers in the shared page,
 * executes nothing, and takes the interrupt of a test in hand when it is looked at with IF set.
 */
#include "vcpu/interpret.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bytes.h"
#include "ept/memory.h"
#include "tests/harness.h"
#include "vcpu/cpuid.h"
#include "vcpu/emulate.h"
#include "vcpu/state.h"

#define SYNC_ALL  (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define CODE_GPA  0x2000u
#define ENTRY_GPA 0x1000u
#define VECTOR    0x40u
#define FLAGS_IF  0x202u

static struct kvm_run page;
static struct cpuid_table cpuid;
static struct vcpu_machine machine;
static struct vcpu vcpu;
static unsigned mp_state, looks;
static uint64_t look_rip;   /* of the last look */
static uint64_t window_rip; /* of the last at which KVM would have taken an interrupt in hand */
static bool has_interrupt;  /* that waits */
static bool ring3_seen;
static bool was_reset;           /* by a start-up interrupt, since the exit */
static struct kvm_sregs flushed; /* by which KVM forgot translations */
static unsigned debug_control;   /* of KVM_SET_GUEST_DEBUG */
static unsigned steps;           /* instructions that KVM has executed, one at a time */
static unsigned looks_left;      /* until the kick; 0: there is none */
static unsigned xsave_reads, xsave_writes;
static unsigned sleeps; /* looks until what halts is awake, with an interrupt; 0: never */

/* The two bytes at rip, which nobody else can execute. */
static int step(void)
{
    ck_assert_uint_eq(debug_control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
    ck_assert_uint_eq(page.kvm_dirty_regs, 0); /* KVM stops behind the rip that it had before */
    steps++;
    page.s.regs.regs.rip += 2;
    page.exit_reason = KVM_EXIT_DEBUG;
    return 0;
}

static void sleep_on(void)
{
    if (mp_state != KVM_MP_STATE_HALTED || !sleeps || --sleeps)
        return;
    mp_state = KVM_MP_STATE_RUNNABLE;
    has_interrupt = true;
}

static int run(void)
{
    sigset_t pending;
    ck_assert_int_eq(sigpending(&pending), 0);
    if (machine.interprets_all && !sigismember(&pending, machine.kick_signal))
        return step();
    ck_assert(sigismember(&pending, machine.kick_signal)); /* else it would execute */
    page.kvm_dirty_regs = 0;
    looks++;
    const uint64_t cr0_pg = 1u << 31, efer_lma = 1u << 10;
    const struct kvm_sregs *sregs = &page.s.regs.sregs; /* other paging would be a triple fault */
    ck_assert(!machine.interprets_all || !(sregs->cr0 & cr0_pg) || (sregs->efer & efer_lma));
    page.immediate_exit |= looks_left && !--looks_left;
    look_rip = page.s.regs.regs.rip;
    struct kvm_vcpu_events *events = &page.s.regs.events;
    if ((page.s.regs.regs.rflags & 0x200) && !events->interrupt.shadow)
        window_rip = look_rip;
    if (mp_state == KVM_MP_STATE_RUNNABLE && has_interrupt && (page.s.regs.regs.rflags & 0x200) &&
        !events->interrupt.shadow) {
        events->interrupt.injected = 1;
        events->interrupt.nr = VECTOR;
        has_interrupt = false;
    }
    sleep_on();
    errno = EINTR;
    return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    (void)fd;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    switch (request) {
    case KVM_RUN:
        return run();
    case KVM_GET_DEBUGREGS:
        memset(argument, 0, sizeof(struct kvm_debugregs));
        return 0;
    case KVM_GET_MP_STATE:
        ((struct kvm_mp_state *)argument)->mp_state = mp_state;
        return 0;
    case KVM_SET_MP_STATE:
        mp_state = ((struct kvm_mp_state *)argument)->mp_state;
        return 0;
    case KVM_GET_XSAVE:
    case KVM_GET_XSAVE2:
        memset(argument, 0, 4096);
        xsave_reads++;
        return 0;
    case KVM_SET_XSAVE:
        xsave_writes++;
        return 0;
    case KVM_GET_XCRS:
        *(struct kvm_xcrs *)argument = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs = {{.value = 7}}};
        return 0;
    case KVM_CHECK_EXTENSION:
        return 0;
    case KVM_SET_DEBUGREGS:
    case KVM_SET_SIGNAL_MASK:
        return 0;
    case KVM_SET_GUEST_DEBUG:
        debug_control = ((struct kvm_guest_debug *)argument)->control;
        return 0;
    case KVM_GET_REGS:
        *(struct kvm_regs *)argument = page.s.regs.regs;
        if (was_reset)
            ((struct kvm_regs *)argument)->rip = 0;
        return 0;
    case KVM_SET_SREGS:
        flushed = *(struct kvm_sregs *)argument;
        return 0;
    }
    ck_abort_msg("an unexpected system call: %#lx", request);
}

static void ignore(int number)
{
    (void)number;
}

static bool is_kernel_port(void *owner, unsigned port, unsigned size)
{
    (void)owner;
    (void)size;
    return port == 0x20;
}

static void set_up(const void *code, size_t len, uint64_t flags)
{
    const struct kvm_segment flat = {.limit = 0xffff, .type = 3, .present = 1, .s = 1};
    static const uint8_t entry[4] = {ENTRY_GPA & 0xff, ENTRY_GPA >> 8, 0, 0}, hlt = 0xf4;
    machine = (struct vcpu_machine){.sync_fields = SYNC_ALL,
                                    .interprets = true,
                                    .kick_signal = SIGRTMIN + 7,
                                    .is_kernel_port = is_kernel_port};
    signal(machine.kick_signal, ignore);
    ck_assert_int_eq(guest_memory_create(64 * KIB, MEMORY_ANONYMOUS, &machine.memory, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_PORTS, &machine.ports, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_MEMORY, &machine.memory_bus, NULL), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, VECTOR * 4, entry, sizeof(entry)), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, ENTRY_GPA, &hlt, 1), 0);
    ck_assert_int_eq(guest_mem_write(machine.memory, CODE_GPA, code, len), 0);
    memset(&page, 0, sizeof(page));
    struct kvm_sync_regs *regs = &page.s.regs;
    regs->regs.rip = CODE_GPA;
    regs->regs.rsp = 0x8000;
    regs->regs.rflags = flags;
    regs->sregs.cs = regs->sregs.ss = regs->sregs.ds = regs->sregs.es = flat;
    regs->sregs.cs.type = 0xb;
    regs->sregs.fs = regs->sregs.gs = flat;
    regs->sregs.idt.limit = 0x3ff;
    regs->sregs.cr0 = 0x10;
    vcpu = (struct vcpu){
        .machine = &machine, .run = &page, .fd = -1, .cpuid = &cpuid, .synced_fields = SYNC_ALL};
    mp_state = KVM_MP_STATE_RUNNABLE;
    looks = steps = looks_left = sleeps = 0;
    has_interrupt = was_reset = false;
    ck_assert_int_eq(interpreter_begin(&vcpu), 0);
}

static void interpret(bool is_between)
{
    enum vcpu_end end;
    ck_assert(vcpu_interpret(&vcpu, is_between, &end));
}

static void tear_down(void)
{
    if (vcpu.interpreter)
        interpreter_end(&vcpu);
    emulation_destroy(vcpu.emulation);
    bus_destroy(machine.ports);
    bus_destroy(machine.memory_bus);
    guest_memory_destroy(machine.memory);
}

/* mov cx, 5000; dec cx; jnz; hlt */
static const uint8_t long_loop[] = {0xb9, 0x88, 0x13, 0x49, 0x75, 0xfd, 0xf4};
#define LONG_LOOP_INSNS 10002u

START_TEST(ring_0_goes_on_until_it_waits)
{
    set_up(long_loop, sizeof(long_loop), FLAGS_IF);
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + sizeof(long_loop));
    ck_assert_uint_eq(page.s.regs.regs.rcx, 0);
    ck_assert_uint_eq(vcpu.emulated_count, LONG_LOOP_INSNS);
    ck_assert_uint_eq(mp_state, KVM_MP_STATE_HALTED);
    ck_assert_uint_eq(looks, 2);
    tear_down();
}
END_TEST

/* No interrupt could come. */
START_TEST(without_if_nobody_looks)
{
    set_up(long_loop, sizeof(long_loop), 2);
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, LONG_LOOP_INSNS);
    ck_assert_uint_eq(looks, 0);
    tear_down();
}
END_TEST

START_TEST(an_interrupt_is_delivered_in_software)
{
    uint8_t frame[6];
    set_up(long_loop, sizeof(long_loop), FLAGS_IF);
    has_interrupt = true;
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA + 1);
    ck_assert_uint_eq(page.s.regs.regs.rflags & 0x200, 0);
    ck_assert_uint_eq(page.s.regs.events.interrupt.injected, 0);
    ck_assert_uint_eq(page.kvm_dirty_regs & KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_EVENTS);
    ck_assert_int_eq(guest_mem_read(machine.memory, 0x8000 - sizeof(frame), frame, sizeof(frame)), 0);
    ck_assert_uint_eq(frame[0] | frame[1] << 8, look_rip);
    ck_assert_uint_eq(frame[5] & 2, 2);
    tear_down();
}
END_TEST

/* Behind an access to a device: as soon as the processor would take an interrupt. */
START_TEST(an_interrupt_comes_behind_the_shadow_of_sti)
{
    static const uint8_t code[] = {0xe6, 0x80, 0xfb, 0x90, 0xfa, 0xf4}; /* out; sti; nop; cli; hlt */
    set_up(code, sizeof(code), 2);
    interpret(true);
    ck_assert_uint_eq(looks, 1);
    ck_assert_uint_eq(look_rip, CODE_GPA + 4);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + sizeof(code));
    tear_down();
}
END_TEST

START_TEST(an_exit_is_completed_first)
{
    set_up("\xf4", 1, 2);
    interpret(false);
    ck_assert_uint_eq(looks, 1);
    ck_assert_uint_eq(look_rip, CODE_GPA);
    ck_assert_uint_eq(vcpu.emulated_count, 1);
    tear_down();
}
END_TEST

START_TEST(what_only_kvm_can_do_is_left_to_it)
{
    static const uint8_t code[] = {0x90, 0xe4, 0x20}; /* nop; in al, 0x20 */
    set_up(code, sizeof(code), FLAGS_IF);
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + 1);
    ck_assert_uint_eq(vcpu.emulated_count, 1);
    ck_assert_uint_eq(page.kvm_dirty_regs & KVM_SYNC_X86_REGS, KVM_SYNC_X86_REGS);
    tear_down();
}
END_TEST

/* For KVM the owner of a VM who writes the time-stamp counter asks for something else than a guest. */
START_TEST(an_msr_that_only_kvm_writes_for_a_guest_is_left_to_it)
{
    static const uint8_t code[] = {0x90, 0x0f, 0x30}; /* nop; wrmsr */
    set_up(code, sizeof(code), FLAGS_IF);
    page.s.regs.regs.rcx = 0x10;
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + 1);
    tear_down();
}
END_TEST

/* KVM_GET_MP_STATE takes what has come; the registers of the exit are then those before the reset. */
START_TEST(a_start_up_interrupt_is_not_undone)
{
    set_up("\x90\xf4", 2, FLAGS_IF);
    was_reset = true;
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, 0);
    ck_assert_uint_eq(page.kvm_dirty_regs & KVM_SYNC_X86_REGS, 0);
    tear_down();
}
END_TEST

static void put_u64(gpa_t gpa, uint64_t value)
{
    ck_assert_int_eq(guest_mem_write(machine.memory, gpa, &value, sizeof(value)), 0);
}

/* What KVM is given to forget translations by has to be a state that a processor can be in. */
START_TEST(long_mode_can_be_left)
{
    static const uint8_t code[] = {0x0f, 0x22, 0xc0,             /* mov cr0, eax */
                                   0xb9, 0x80, 0,    0,    0xc0, /* mov ecx, IA32_EFER */
                                   0x31, 0xc0, 0x31, 0xd2,       /* xor eax, eax; xor edx, edx */
                                   0x0f, 0x30,                   /* wrmsr */
                                   0x0f, 0x22, 0xe0,             /* mov cr4, eax */
                                   0xe4, 0x20};
    set_up(code, sizeof(code), 2);
    struct kvm_sregs *sregs = &page.s.regs.sregs;
    put_u64(0x9000, 0xa003);
    put_u64(0xa000, 0xb003);
    put_u64(0xb000, 0x83);
    sregs->efer = 0x500;
    sregs->cr0 = 0x80000011;
    sregs->cr3 = 0x9000;
    sregs->cr4 = 0x20;
    sregs->cs.db = sregs->cs.g = 1;
    sregs->cs.limit = 0xffffffff;
    page.s.regs.regs.rax = 0x11;
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + sizeof(code) - 2);
    ck_assert_uint_eq(flushed.cr0, 0x11);
    ck_assert_uint_eq(flushed.efer, 0);
    ck_assert_uint_eq(flushed.cr4, 0x80);
    ck_assert_uint_eq(sregs->cr4, 0);
    tear_down();
}
END_TEST

static void enter_ring_3(void)
{
    struct kvm_sregs *sregs = &page.s.regs.sregs;
    sregs->efer = 0x500;
    sregs->cr0 = 0x80000011;
    sregs->cr4 = 0x20;
    sregs->cs.l = 1;
    sregs->cs.dpl = sregs->ss.dpl = 3;
}

START_TEST(what_does_not_run_in_ring_0_is_left_to_kvm)
{
    set_up("\xf4", 1, FLAGS_IF);
    enter_ring_3();
    interpret(true);
    ck_assert_ptr_nonnull(vcpu.interpreter);
    tear_down();
    set_up("\xf4", 1, FLAGS_IF);
    mp_state = KVM_MP_STATE_UNINITIALIZED;
    interpret(true);
    tear_down();
    set_up("\xf4", 1, FLAGS_IF | 0x100); /* TF */
    interpret(true);
    tear_down();
    set_up("\xf4", 1, FLAGS_IF);
    page.s.regs.events.nmi.pending = 1;
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, 0);
    ck_assert_uint_eq(page.kvm_dirty_regs, 0);
    tear_down();
}
END_TEST

START_TEST(a_kick_ends_it)
{
    set_up(long_loop, sizeof(long_loop), FLAGS_IF);
    page.immediate_exit = 1;
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, 0);
    ck_assert_uint_eq(looks, 0);
    tear_down();
}
END_TEST

/* KVM then has shadows of page tables, and does not see what is written to those in software. */
START_TEST(with_shadow_paging_it_ends_at_the_first_application)
{
    ring3_seen = false;
    set_up("\xf4", 1, FLAGS_IF);
    machine.ring3_seen = &ring3_seen;
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, 1);
    ck_assert(!ring3_seen);
    tear_down();
    set_up("\xf4", 1, FLAGS_IF);
    machine.ring3_seen = &ring3_seen;
    enter_ring_3();
    interpret(true);
    ck_assert(ring3_seen);
    ck_assert_ptr_null(vcpu.interpreter);
    tear_down();
    set_up("\xf4", 1, FLAGS_IF); /* another CPU's */
    machine.ring3_seen = &ring3_seen;
    interpret(true);
    ck_assert_ptr_null(vcpu.interpreter);
    ck_assert_uint_eq(vcpu.emulated_count, 0);
    tear_down();
}
END_TEST

/* Without hardware virtualization; kicked at the look of this number. */
static void set_up_for_all(const void *code, size_t len, uint64_t flags, unsigned until)
{
    set_up(code, len, flags);
    machine.interprets_all = true;
    looks_left = until;
}

START_TEST(without_hardware_virtualization_ring_3_is_ours)
{
    static const uint8_t code[] = {0x0f, 0x01, 0xd9, 0xff, 0xc3, 0xeb, 0xfc}; /* vmmcall; inc ebx; jmp back */
    set_up_for_all(code, sizeof(code), FLAGS_IF, 3);
    enter_ring_3();
    put_u64(0x9000, 0xa007);
    put_u64(0xa000, 0xb007);
    put_u64(0xb000, 0x87);
    page.s.regs.sregs.cr3 = 0x9000;
    interpret(true);
    ck_assert_uint_ge(vcpu.emulated_count, 2 * 4096);
    ck_assert_uint_eq(page.s.regs.regs.rax, ~(uint64_t)0); /* -KVM_EPERM */
    ck_assert_uint_gt(page.s.regs.regs.rbx, 4000);
    ck_assert_uint_eq(looks, 3);
    ck_assert_uint_eq(page.immediate_exit, 1);
    tear_down();
}
END_TEST

START_TEST(and_a_kernel_has_no_hypercalls_there)
{
    set_up_for_all("\x0f\x01\xc1\xf4", 4, 2, 1); /* vmcall; hlt */
    page.s.regs.regs.rax = 5;
    interpret(true);
    ck_assert_uint_eq(page.s.regs.regs.rax, (uint32_t)-1000); /* KVM_ENOSYS */
    tear_down();
}
END_TEST

START_TEST(and_kvm_executes_single_instructions)
{
    set_up_for_all("\x90\xe4\x20\x90\xf4", 5, FLAGS_IF, 5); /* nop; in al, 0x20; nop; hlt */
    interpret(true);
    ck_assert_uint_eq(steps, 1);
    ck_assert_uint_eq(debug_control, 0);
    ck_assert_uint_eq(page.s.regs.regs.rip, CODE_GPA + 5);
    ck_assert_uint_eq(mp_state, KVM_MP_STATE_HALTED);
    tear_down();
}
END_TEST

/* It may have been for an interrupt controller: as behind an access to a device. */
START_TEST(and_an_interrupt_comes_behind_such_an_instruction)
{
    static const uint8_t code[] = {0xe4, 0x20, 0xfb, 0x90,
                                   0xfa, 0x90, 0xf4}; /* in; sti; nop; cli; nop; hlt */
    set_up_for_all(code, sizeof(code), 2, 5);
    interpret(true);
    ck_assert_uint_eq(steps, 1);
    ck_assert_uint_eq(window_rip, CODE_GPA + 4);
    tear_down();
}
END_TEST

START_TEST(and_an_interrupt_comes_before_such_an_instruction)
{
    uint8_t frame[2];
    set_up_for_all("\x90\xe4\x20", 3, 2, 4);
    has_interrupt = true;
    page.s.regs.regs.rflags = FLAGS_IF;
    page.s.regs.events.interrupt.shadow = 1; /* of STI: the look before the NOP does not take it */
    interpret(true);
    ck_assert_uint_eq(steps, 0);
    ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA + 1);
    ck_assert_int_eq(guest_mem_read(machine.memory, 0x8000 - 6, frame, sizeof(frame)), 0);
    ck_assert_uint_eq(frame[0] | frame[1] << 8, CODE_GPA + 1);
    tear_down();
}
END_TEST

START_TEST(and_who_waits_is_looked_at_until_awake)
{
    set_up_for_all("\xf4", 1, FLAGS_IF, 9);
    sleeps = 4;
    interpret(true);
    ck_assert_uint_eq(sleeps, 0);
    ck_assert_uint_eq(steps, 0);
    ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA + 1); /* where it halts for good */
    ck_assert_uint_eq(mp_state, KVM_MP_STATE_HALTED);
    ck_assert_uint_eq(looks, 9);
    tear_down();
    set_up_for_all("\xf4", 1, FLAGS_IF, 3);
    mp_state = KVM_MP_STATE_UNINITIALIZED; /* until its start-up interrupt */
    interpret(true);
    ck_assert_uint_eq(vcpu.emulated_count, 0);
    ck_assert_uint_eq(looks, 3);
    tear_down();
}
END_TEST

/* With an instruction for KVM behind the change to 32-bit paging, in which page 6 is at 0x3000 and page 7
 * where `seventh` says: at 0x6000 + offset. */
static void set_up_paged(unsigned offset, unsigned seventh)
{
    static const uint8_t far_code[] = {0xe4, 0x20, 0xeb, 0xfe}; /* in al, 0x20; jmp to itself */
    uint8_t code[] = {0x0f, 0x22, 0xdb,                         /* mov cr3, ebx */
                      0x0f, 0x22, 0xc0,                         /* mov cr0, eax */
                      0xe9, 0,    0};                           /* jmp there */
    store_le16(code + 7, (uint16_t)(0x6000 + offset - CODE_GPA - sizeof(code)));
    set_up_for_all(code, sizeof(code), FLAGS_IF, 6);
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t entry = (i == 6 ? 3 : i == 7 ? seventh : i) << 12 | 3;
        ck_assert_int_eq(guest_mem_write(machine.memory, 0x9000 + 4 * i, &entry, sizeof(entry)), 0);
    }
    for (unsigned i = 0; i < sizeof(far_code); i++) {
        gpa_t gpa = offset + i < 0x1000 ? 0x3000 + offset + i : (seventh << 12) + offset + i - 0x1000;
        ck_assert_int_eq(guest_mem_write(machine.memory, gpa, far_code + i, 1), 0);
    }
    put_u64(0xa000, 0x9003);
    page.s.regs.sregs.cr0 = 0x11;
    page.s.regs.regs.rax = 0x80000011;
    page.s.regs.regs.rbx = 0xa000;
}

static void check_paged_step(unsigned offset)
{
    struct cpu_state cpu;
    set_up_paged(offset, 4);
    interpret(true);
    ck_assert_uint_eq(steps, 1);
    ck_assert_uint_eq(flushed.cs.base, (uint32_t)(0x3000 - 0x6000)); /* for that step */
    ck_assert_uint_eq(page.s.regs.sregs.cs.base, 0);
    ck_assert_uint_eq(page.s.regs.regs.rip, 0x6002 + offset);
    ck_assert_uint_eq(page.s.regs.sregs.cr0, 0x11);
    ck_assert_int_eq(vcpu_load_state(&vcpu, &cpu, VCPU_SREGS), 0);
    ck_assert_uint_eq(cpu.cr0, 0x80000011);
    tear_down();
}

START_TEST(and_paging_of_32_bits_is_hidden_from_kvm)
{
    check_paged_step(0);
    check_paged_step(0xfff); /* across two pages that are neighbours physically, too */
}
END_TEST

START_TEST(and_an_instruction_for_kvm_that_is_scattered_ends_the_run)
{
    enum vcpu_end end;
    set_up_paged(0xfff, 5);
    ck_assert(!vcpu_interpret(&vcpu, true, &end));
    ck_assert_int_eq(end, VCPU_NOT_EXECUTED);
    ck_assert_ptr_nonnull(vcpu.unsupported);
    ck_assert_uint_eq(steps, 0);
    tear_down();
}
END_TEST

START_TEST(and_vector_state_stays_ours_until_the_end)
{
    static const uint8_t code[] = {0x0f, 0x58, 0xc1, 0xeb, 0xfb}; /* addps xmm0, xmm1; jmp back */
    set_up_for_all(code, sizeof(code), FLAGS_IF, 4);
    page.s.regs.sregs.cr4 = 0x600; /* OSFXSR, OSXMMEXCPT */
    interpret(true);
    ck_assert_uint_ge(vcpu.emulated_count, 2 * 4096);
    ck_assert_uint_eq(xsave_reads, 1);
    ck_assert_uint_eq(xsave_writes, 0);
    ck_assert_int_eq(interpreter_end(&vcpu), 0);
    ck_assert_uint_eq(xsave_writes, 1);
    tear_down();
}
END_TEST

START_TEST(and_a_guest_that_is_single_stepped_is_ours)
{
    static const uint8_t entry[4] = {ENTRY_GPA & 0xff, ENTRY_GPA >> 8, 0, 0};
    set_up_for_all("\x90\x90", 2, 0x102, 2); /* TF */
    ck_assert_int_eq(guest_mem_write(machine.memory, 1 * 4, entry, sizeof(entry)), 0);
    interpret(true);
    ck_assert_uint_eq(steps, 0);
    ck_assert_uint_eq(vcpu.emulated_count, 2);
    ck_assert_uint_eq(page.s.regs.regs.rip, ENTRY_GPA + 1);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, without_hardware_virtualization_ring_3_is_ours);
    test_add(suite, and_a_kernel_has_no_hypercalls_there);
    test_add(suite, and_kvm_executes_single_instructions);
    test_add(suite, and_an_interrupt_comes_behind_such_an_instruction);
    test_add(suite, and_an_interrupt_comes_before_such_an_instruction);
    test_add(suite, and_who_waits_is_looked_at_until_awake);
    test_add(suite, and_paging_of_32_bits_is_hidden_from_kvm);
    test_add(suite, and_an_instruction_for_kvm_that_is_scattered_ends_the_run);
    test_add(suite, and_vector_state_stays_ours_until_the_end);
    test_add(suite, and_a_guest_that_is_single_stepped_is_ours);
    test_add(suite, ring_0_goes_on_until_it_waits);
    test_add(suite, without_if_nobody_looks);
    test_add(suite, an_interrupt_is_delivered_in_software);
    test_add(suite, an_interrupt_comes_behind_the_shadow_of_sti);
    test_add(suite, an_exit_is_completed_first);
    test_add(suite, what_only_kvm_can_do_is_left_to_it);
    test_add(suite, an_msr_that_only_kvm_writes_for_a_guest_is_left_to_it);
    test_add(suite, a_start_up_interrupt_is_not_undone);
    test_add(suite, long_mode_can_be_left);
    test_add(suite, what_does_not_run_in_ring_0_is_left_to_kvm);
    test_add(suite, a_kick_ends_it);
    test_add(suite, with_shadow_paging_it_ends_at_the_first_application);
}
