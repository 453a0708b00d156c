/* SPDX-License-Identifier: MIT
 *
 * The last exits, put together: what repeats, what does not, and where the history has come round.
 */
#include "vcpu/exit_history.h"

#include "tests/harness.h"

static struct vcpu vcpu;
static struct exit_group groups[VCPU_HISTORY];

static void note(uint32_t reason, uint16_t port, bool is_write, uint64_t address)
{
    vcpu.history[vcpu.exit_count % VCPU_HISTORY] = (struct exit_note){
        .reason = reason,
        .access = {.is_write = is_write, .size = 1, .port = port, .count = 1},
        .address = address,
        .value = vcpu.exit_count};
    vcpu.exit_count++;
}

static void check(unsigned i, uint64_t first, unsigned period, unsigned times)
{
    ck_assert_msg(groups[i].first == first && groups[i].period == period && groups[i].times == times,
                  "group %u: %u exits from %llu, %u times", i, groups[i].period,
                  (unsigned long long)groups[i].first, groups[i].times);
}

START_TEST(nothing_has_no_groups)
{
    vcpu = (struct vcpu){.exit_count = 0};
    ck_assert_uint_eq(exit_history_group(&vcpu, groups), 0);
}
END_TEST

START_TEST(a_polling_driver_is_one_group)
{
    vcpu = (struct vcpu){.exit_count = 0};
    note(KVM_EXIT_HLT, 0, false, 0);
    for (unsigned i = 0; i < 10; i++) {
        note(KVM_EXIT_IO, 0x3fd, false, 0);
        note(KVM_EXIT_IO, 0x3f8, true, i); /* of a port the address means nothing */
    }
    note(KVM_EXIT_SHUTDOWN, 0, false, 0);
    ck_assert_uint_eq(exit_history_group(&vcpu, groups), 3);
    check(0, 0, 1, 1);
    check(1, 1, 2, 10);
    check(2, 21, 1, 1);
}
END_TEST

START_TEST(what_comes_twice_or_elsewhere_is_not_put_together)
{
    vcpu = (struct vcpu){.exit_count = 0};
    note(KVM_EXIT_IO, 0x20, true, 0);
    note(KVM_EXIT_IO, 0x20, true, 0);
    note(KVM_EXIT_IO, 0x20, false, 0);
    for (unsigned i = 0; i < 5; i++)
        note(KVM_EXIT_MMIO, 0, true, 0xd0000000 + 4 * i);
    ck_assert_uint_eq(exit_history_group(&vcpu, groups), 8);
}
END_TEST

START_TEST(only_what_is_kept_counts)
{
    vcpu = (struct vcpu){.exit_count = 0};
    for (unsigned i = 0; i < 1000; i++)
        note(KVM_EXIT_IO, 0x80, true, 0);
    ck_assert_uint_eq(exit_history_group(&vcpu, groups), 1);
    check(0, 1000 - VCPU_HISTORY, 1, VCPU_HISTORY);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, nothing_has_no_groups);
    test_add(suite, a_polling_driver_is_one_group);
    test_add(suite, what_comes_twice_or_elsewhere_is_not_put_together);
    test_add(suite, only_what_is_kept_counts);
}
