/* SPDX-License-Identifier: MIT
 *
 * `vmm bench exits` on hosts whose KVM lacks something: the real one, but for one capability or one call. The
 * rows that need it say so, and others are measured by other ways.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/benches.h"
#include "tests/harness.h"

#define NONE ~0ul /* 0 is KVM_CAP_IRQCHIP */

static unsigned long lacking = NONE, refused = NONE; /* a capability, a request */
static struct bench_report report;

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (request == KVM_CHECK_EXTENSION && argument == lacking)
        return 0;
    if (request != refused)
        return (int)syscall(SYS_ioctl, fd, request, argument);
    errno = ENOTTY;
    return -1;
}

/* Measures the operations that contain `only`, and returns our way's row of the first. */
static const struct bench_result *measure(const char *only, int ring)
{
    struct vmm_error error;
    const struct bench_options options = {
        .limits = {.batches = 2, .quick = true}, .only = only, .ring = ring};
    report = (struct bench_report){.bench = "test"};
    ck_assert_msg(!bench_exits(&report, &options, &error), "%s", error.message);
    for (unsigned i = 0; i < report.count; i++)
        if (strcmp(report.results[i].way, "vmm") == 0)
            return &report.results[i];
    ck_abort_msg("%s: nothing of ours", only);
}

START_TEST(a_row_says_what_it_lacks)
{
    static const struct {
        const char *only;
        unsigned long capability, request;
        const char *reason;
    } rows[] = {
        {"port write, coalesced", KVM_CAP_COALESCED_PIO, NONE,
         "this host's KVM has no KVM_CAP_COALESCED_PIO"},
        {"MMIO write, coalesced", KVM_CAP_COALESCED_MMIO, NONE,
         "this host's KVM has no KVM_CAP_COALESCED_MMIO"},
        {"ioeventfd on a port", KVM_CAP_IOEVENTFD, NONE, "this host's KVM has no KVM_CAP_IOEVENTFD"},
        {"ioeventfd on MMIO", NONE, KVM_IOEVENTFD, "KVM_IOEVENTFD: Inappropriate ioctl"},
        {"woken by an irqfd", KVM_CAP_IRQFD, NONE, "this host's KVM has no KVM_CAP_IRQFD"},
        {"woken by an irqfd", NONE, KVM_IRQFD, "KVM_IRQFD: Inappropriate ioctl"},
        {"RDMSR in user space", KVM_CAP_X86_MSR_FILTER, NONE,
         "this host's KVM has no KVM_CAP_X86_MSR_FILTER"},
        {"WRMSR in user space", NONE, KVM_X86_SET_MSR_FILTER, "KVM does not take the filter"},
        {"EOI", KVM_CAP_IRQCHIP, NONE, "irqchip"},
        {"woken by another vCPU", KVM_CAP_IRQCHIP, NONE, "has no interrupt controllers"},
        {"MMIO write, direct", NONE, KVM_SET_USER_MEMORY_REGION, "no machine: "},
        {"under dirty logging", NONE, KVM_GET_DIRTY_LOG, "this host's KVM has no dirty log"},
        {"all registers by shared page", KVM_CAP_SYNC_REGS, NONE, "this host's KVM shares no registers"},
        {"VM with interrupt controllers", NONE, KVM_CREATE_IRQCHIP, "KVM refuses it"},
    };
    test_need_kvm();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        lacking = rows[i].capability;
        refused = rows[i].request;
        const struct bench_result *row = measure(rows[i].only, 0);
        ck_assert_msg(strstr(row->reason, rows[i].reason), "%s: '%s'", row->operation, row->reason);
        bench_report_fini(&report);
    }
}
END_TEST

/* KVM before Linux 4.17 shares no registers: they come by calls. */
START_TEST(without_shared_registers_trapped_memory_is_measured)
{
    test_need_kvm();
    lacking = KVM_CAP_SYNC_REGS;
    refused = NONE;
    const struct bench_result *row = measure("MMIO add, engine trap", 3);
    ck_assert_msg(!*row->reason && row->exits >= 1 && row->ratio.used, "%s, %g exits", row->reason,
                  row->exits);
    bench_report_fini(&report);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, a_row_says_what_it_lacks, 300);
    test_add_slow(suite, without_shared_registers_trapped_memory_is_measured, 60);
}
