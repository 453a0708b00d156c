/* SPDX-License-Identifier: MIT
 *
 * Every exit that KVM documents for x86 and a well-behaved guest seldom sees, each put into the place of one
 * that the real KVM has made: the guest goes on, or ends for a reason that fits, with a report for its
 * author.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/api/guests.h"

#define PORT 0x80

/* out 0x80, al, whose exit is replaced; then the guest ends by itself, with 7. */
#define GUEST "\xe6\x80" DEBUG_EXIT("\x07")

static void set_unknown(struct kvm_run *run)
{
    run->hw.hardware_exit_reason = 0x42;
}

static void set_fail_entry(struct kvm_run *run)
{
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
    run->fail_entry.cpu = 3;
}

static void set_internal(struct kvm_run *run)
{
    run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    run->internal.ndata = 0;
}

static void set_new_internal(struct kvm_run *run)
{
    run->internal.suberror = 99;
    run->internal.ndata = 0;
}

static void set_bad_notify(struct kvm_run *run)
{
    run->notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
}

static void set_notify(struct kvm_run *run)
{
    run->notify.flags = 0;
}

static void set_event_shutdown(struct kvm_run *run)
{
    run->system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
}

static void set_event_reset(struct kvm_run *run)
{
    run->system_event.type = KVM_SYSTEM_EVENT_RESET;
}

static void set_event_crash(struct kvm_run *run)
{
    run->system_event.type = KVM_SYSTEM_EVENT_CRASH;
}

static void set_event_wakeup(struct kvm_run *run)
{
    run->system_event.type = KVM_SYSTEM_EVENT_WAKEUP;
}

static void set_hypercall(struct kvm_run *run)
{
    run->hypercall.ret = 1;
}

static void set_hyperv(struct kvm_run *run)
{
    run->hyperv.type = KVM_EXIT_HYPERV_HCALL;
    run->hyperv.u.hcall.result = 0;
}

static const struct row {
    uint32_t reason;
    void (*set)(struct kvm_run *run);
    enum vmm_end_reason end;
    const char *text; /* of the log; NULL: it stays empty */
} rows[] = {
    {KVM_EXIT_UNKNOWN, set_unknown, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM does not know the hardware's exit reason 0x42\n"},
    {KVM_EXIT_EXCEPTION, NULL, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM left the guest with EXCEPTION (1), which was not asked for\n"},
    {KVM_EXIT_DIRTY_RING_FULL, NULL, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM left the guest with DIRTY_RING_FULL (31), which was not asked for\n"},
    {999, NULL, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM left the guest with (not an x86 reason) (999), which was not asked for\n"},
    {KVM_EXIT_FAIL_ENTRY, set_fail_entry, VMM_END_NOT_EXECUTED,
     "vCPU 0: the processor refused to enter the guest: hardware_entry_failure_reason 0x80000021 on CPU 3\n"},
    {KVM_EXIT_INTERNAL_ERROR, set_internal, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM internal error, suberror 3: an exit while an event was delivered\n"},
    {KVM_EXIT_INTERNAL_ERROR, set_new_internal, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM internal error, suberror 99: a suberror that we do not know\n"},
    {KVM_EXIT_NOTIFY, set_bad_notify, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM left the guest with NOTIFY (37), which was not asked for\n"},
    {KVM_EXIT_HLT, NULL, VMM_END_HALTED, "vCPU 0: halted (HLT), and the machine has no interrupt controller"},
    {KVM_EXIT_SHUTDOWN, NULL, VMM_END_TRIPLE_FAULT, "vCPU 0: triple fault: "},
    {KVM_EXIT_SYSTEM_EVENT, set_event_crash, VMM_END_NOT_EXECUTED,
     "vCPU 0: KVM reports that the guest crashed (system event 3)\n"},
    {KVM_EXIT_SYSTEM_EVENT, set_event_shutdown, VMM_END_POWER_OFF, NULL},
    {KVM_EXIT_SYSTEM_EVENT, set_event_reset, VMM_END_RESET, NULL},
    {KVM_EXIT_SYSTEM_EVENT, set_event_wakeup, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_NOTIFY, set_notify, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_HYPERCALL, set_hypercall, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_HYPERV, set_hyperv, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_XEN, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_DEBUG, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_IRQ_WINDOW_OPEN, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_INTR, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_SET_TPR, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_TPR_ACCESS, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_NMI, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_AP_RESET_HOLD, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_X86_BUS_LOCK, NULL, VMM_END_DEBUG_EXIT, NULL},
    {KVM_EXIT_IOAPIC_EOI, NULL, VMM_END_DEBUG_EXIT, NULL},
};

static const struct row *row; /* what the guest's exit becomes */
static struct kvm_run answer; /* the page as it was at the entry after it */
static int failure;           /* what KVM_RUN fails with instead; 0: it does not */

static bool is_for_us(const struct kvm_run *run)
{
    return run->exit_reason == KVM_EXIT_IO && run->io.port == PORT;
}

static int enter(int fd)
{
    static bool is_replaced;
    struct kvm_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(run, MAP_FAILED);
    if (is_replaced)
        answer = *run;
    is_replaced = false;
    int result = (int)syscall(SYS_ioctl, fd, KVM_RUN, 0);
    if (result == 0 && is_for_us(run) && failure) {
        errno = failure;
        result = -1;
    } else if (result == 0 && is_for_us(run)) {
        run->exit_reason = row->reason;
        if (row->set)
            row->set(run);
        is_replaced = true;
    }
    munmap(run, sizeof(*run));
    return result;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return request == KVM_RUN ? enter(fd) : (int)syscall(SYS_ioctl, fd, request, argument);
}

static void need_exits(void)
{
    test_need_kvm();
    if (test_runs_ring0())
        test_skip("in software there is no exit for the guest's OUT");
}

static void check(struct guest_log *log)
{
    const struct vmm_config config = {.log = guest_log_line, .log_context = log};
    *log = (struct guest_log){.text = ""};
    struct vmm *machine = guest_create(&config, GUEST, sizeof(GUEST) - 1);
    struct vmm_end end = guest_run(machine);
    vmm_destroy(machine);
    ck_assert_msg(end.reason == row->end, "exit %u: %s\n%s", row->reason, vmm_end_name(end.reason),
                  log->text);
    if (row->text)
        ck_assert_msg(strncmp(log->text, row->text, strlen(row->text)) == 0, "exit %u: said\n%s", row->reason,
                      log->text);
    else
        ck_assert_msg(!*log->text, "exit %u: said\n%s", row->reason, log->text);
}

START_TEST(every_exit_has_a_sensible_end)
{
    static struct guest_log log;
    need_exits();
    for (row = rows; row < rows + ARRAY_COUNT(rows); row++)
        check(&log);
}
END_TEST

START_TEST(a_refused_entry_has_its_report)
{
    static struct guest_log log;
    static const char *const parts[] = {"\n  rax ",
                                        "\n  rip 0000000000007c0" /* 0 or 2, by the KVM */,
                                        "\n  cs  0000  base ",
                                        "\n  cr0 ",
                                        "\n  at rip  ",
                                        "e6 f4",
                                        "the last 1 of 1 exits of vCPU 0",
                                        "#0 FAIL_ENTRY 0x80000021\n"};
    need_exits();
    for (row = rows; row->reason != KVM_EXIT_FAIL_ENTRY;)
        row++;
    check(&log);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        ck_assert_msg(strstr(log.text, parts[i]), "no '%s' in\n%s", parts[i], log.text);
}
END_TEST

START_TEST(hypercalls_that_were_not_announced_are_unknown)
{
    static struct guest_log log;
    need_exits();
    for (row = rows; row->reason != KVM_EXIT_HYPERCALL;)
        row++;
    check(&log);
    ck_assert_int_eq((int64_t)answer.hypercall.ret, -1000); /* KVM_ENOSYS */
    for (row = rows; row->reason != KVM_EXIT_HYPERV;)
        row++;
    check(&log);
    ck_assert_uint_eq(answer.hyperv.u.hcall.result, 2); /* HV_STATUS_INVALID_HYPERCALL_CODE */
}
END_TEST

START_TEST(a_kvm_run_that_fails_is_the_hosts_error)
{
    struct vmm_end end;
    struct vmm_error error;
    need_exits();
    failure = ENOMEM;
    struct vmm *machine = guest_create(NULL, GUEST, sizeof(GUEST) - 1);
    ck_assert_int_eq(vmm_run(machine, &end, &error), -ENOMEM);
    ck_assert_msg(strstr(error.message, "Cannot allocate memory"), "%s", error.message);
    vmm_destroy(machine);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, every_exit_has_a_sensible_end);
    test_add(suite, a_refused_entry_has_its_report);
    test_add(suite, hypercalls_that_were_not_announced_are_unknown);
    test_add(suite, a_kvm_run_that_fails_is_the_hosts_error);
}
