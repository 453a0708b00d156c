/* SPDX-License-Identifier: MIT
 *
 * Where the rip of a traced exit comes from: the shared page, or, where KVM shares no registers, a system
 * call for each exit. KVM is this file's.
 */
#include "vcpu/exit_trace.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/base/trace_fixture.h"

#define RIP 0x123456u

static struct kvm_run page;
static struct vcpu_machine machine;
static struct vcpu vcpu;
static unsigned calls;

int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    ck_assert_uint_eq(request, KVM_GET_REGS);
    va_list arguments;
    va_start(arguments, request);
    struct kvm_regs *regs = va_arg(arguments, struct kvm_regs *);
    va_end(arguments);
    *regs = (struct kvm_regs){.rip = RIP};
    calls++;
    return 0;
}

static void leave_guest(uint64_t sync_fields, uint64_t events)
{
    const struct trace_buffer_config buffer = {.name = "main", .events = events};
    struct traced traced;
    calls = 0;
    memset(&page, 0, sizeof(page));
    machine = (struct vcpu_machine){.sync_fields = sync_fields};
    vcpu = (struct vcpu){.machine = &machine, .run = &page, .fd = -1};
    traced_begin(&traced, (struct trace_config){.buffers = &buffer, .buffer_count = 1});
    exit_trace_begin(&vcpu);
    vcpu.synced_fields = vcpu.traced_fields; /* as vcpu_run has asked KVM for them */
    if (vcpu.traced_fields)
        page.s.regs.regs.rip = RIP;
    exit_trace_left(&vcpu);
    trace_file_destroy(traced_end(&traced));
}

START_TEST(rip_comes_with_the_page)
{
    leave_guest(KVM_SYNC_X86_REGS, ~0ull);
    ck_assert_uint_eq(vcpu.left_rip, RIP);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(rip_is_asked_for_where_no_page_has_it)
{
    leave_guest(0, ~0ull);
    ck_assert_uint_eq(vcpu.left_rip, RIP);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(nobody_asks_where_exits_are_not_traced)
{
    leave_guest(0, 1u << TRACE_PIO);
    leave_guest(KVM_SYNC_X86_REGS, 1u << TRACE_PIO);
    ck_assert_uint_eq(vcpu.left_rip, 0);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, rip_comes_with_the_page);
    test_add(suite, rip_is_asked_for_where_no_page_has_it);
    test_add(suite, nobody_asks_where_exits_are_not_traced);
}
