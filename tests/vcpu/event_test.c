/* SPDX-License-Identifier: MIT
 *
 * What is taken out of KVM's hands when the delivery of an event has ended in a violation.
 */
#include "vcpu/event.h"

#include "tests/harness.h"

static struct kvm_vcpu_events events;
static struct step_event event;

START_TEST(an_exception_comes_with_what_its_handler_sees)
{
    struct cpu_state cpu = {.cr2 = 0x1234, .dr6 = DR6_FIXED | DR6_BS};
    events = (struct kvm_vcpu_events){
        .exception = {.injected = 1, .nr = VECTOR_PF, .has_error_code = 1, .error_code = 2}};
    ck_assert(event_take(&events, &cpu, &event));
    ck_assert(event.kind == EVENT_EXCEPTION && event.vector == VECTOR_PF && event.has_error &&
              !event.is_trap);
    ck_assert(event.error_code == 2 && event.cr2 == 0x1234 && !events.exception.injected);
    events.exception.injected = 1;
    events.exception.nr = VECTOR_DB;
    events.exception.has_error_code = 0;
    ck_assert(event_take(&events, &cpu, &event));
    ck_assert(event.is_trap && !event.has_error && (event.dr6 & DR6_BS));
}
END_TEST

START_TEST(interrupts)
{
    struct cpu_state cpu = {.cr2 = 0};
    events = (struct kvm_vcpu_events){.interrupt = {.injected = 1, .nr = 0x20}};
    ck_assert(event_take(&events, &cpu, &event));
    ck_assert(event.kind == EVENT_INTERRUPT && event.vector == 0x20 && !events.interrupt.injected);
    events = (struct kvm_vcpu_events){.nmi = {.injected = 1}};
    ck_assert(event_take(&events, &cpu, &event));
    ck_assert(event.kind == EVENT_NMI && event.vector == VECTOR_NMI && !events.nmi.injected);
    ck_assert(!event_take(&events, &cpu, &event));
}
END_TEST

/* INT n stands at rip still, and is executed. */
START_TEST(a_software_interrupt_is_its_instructions)
{
    struct cpu_state cpu = {.cr2 = 0};
    events = (struct kvm_vcpu_events){.interrupt = {.injected = 1, .nr = 0x80, .soft = 1}};
    ck_assert(!event_take(&events, &cpu, &event));
    ck_assert(!events.interrupt.injected);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, an_exception_comes_with_what_its_handler_sees);
    test_add(suite, interrupts);
    test_add(suite, a_software_interrupt_is_its_instructions);
}
