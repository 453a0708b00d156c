/* SPDX-License-Identifier: MIT
 *
 * The guest of task switches (tests/guest/prot32-task.txt has what it prints) as a guest of KVM: in the lane,
 * where QEMU's processor makes the switches itself, and with its far pointers in a trapped region, so that
 * JMP and CALL are ours and the registers go through KVM; and where KVM interprets ring 0, by our engine.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/guest/machine.h"
#include "tests/harness.h"

extern const char task_expected[];

#define LINE_BYTES 1024

static struct guest_run run;

static void need_lane(void)
{
    const char *lane = getenv("VMM_TEST_LANE");
    if (!lane || strcmp(lane, "nested"))
        test_skip(
            "KVM without hardware virtualization takes task gates for interrupt gates, others are unknown");
}

static void run_task(const struct vmm_scratch_config *scratch, enum vmm_ring0_engine engine)
{
    memset(&run, 0, sizeof(run));
    run.image = (struct vmm_image){.path = "flat/prot32-task.bin", .flat = VMM_FLAT_PROT32};
    run.config.ram_bytes = 4 << 20;
    run.config.ring0_engine = engine;
    run.scratch = scratch;
    guest_run(&run);
    ck_assert_msg(run.end.reason == VMM_END_DEBUG_EXIT && !run.end.value, "%s: %s",
                  vmm_end_name(run.end.reason), run.log);
}

static bool begins(const char *line, const char *name)
{
    return !strncmp(line, name, strlen(name));
}

/* A line without what the known differences of QEMU (tests/guest/task.sh) touch. It dies of a change of
 * privilege through a 32-bit TSS that VMRUN has loaded, so the lane has no users: a second scratch device
 * says so. */
static size_t kept(const char *line, char *to, bool all)
{
    static const char late[] = " late_eip=";
    size_t len = strcspn(line, "\n"), count = 0;
    if (begins(line, "user task") || (!all && (begins(line, "trap bit:") || begins(line, "ss absent:"))))
        return 0;
    for (size_t at = 0; at < len;) {
        if (!all && begins(line + at, late)) {
            at += sizeof(late) - 1;
            at += strspn(line + at, "0123456789abcdef");
        } else if (line[at] != '\r') {
            to[count++] = line[at++];
        } else {
            at++;
        }
    }
    return count;
}

/* The next line of which something is left; false at the end. */
static bool next_line(const char **text, char *to, bool all, size_t *len)
{
    for (*len = 0; !*len && **text;) {
        size_t all_of_it = strcspn(*text, "\n");
        ck_assert_uint_lt(all_of_it, LINE_BYTES);
        *len = kept(*text, to, all);
        *text += all_of_it + ((*text)[all_of_it] == '\n');
    }
    return *len;
}

static void compare(bool all)
{
    static char is[LINE_BYTES], wanted[LINE_BYTES];
    const char *output = run.output, *expected = task_expected;
    size_t is_len, wanted_len;
    for (;;) {
        bool more = next_line(&output, is, all, &is_len);
        if (!next_line(&expected, wanted, all, &wanted_len) && !more)
            break;
        ck_assert_msg(is_len == wanted_len && !memcmp(is, wanted, is_len), "is     %.*s\nwanted %.*s",
                      (int)is_len, is, (int)wanted_len, wanted);
    }
}

START_TEST(the_processor_of_the_lane_switches_tasks_as_the_emulator)
{
    need_lane();
    run_task(&(struct vmm_scratch_config){.base = 0xd0001000, .len = 4096}, VMM_RING0_KVM);
    compare(false);
}
END_TEST

START_TEST(so_does_the_emulator_for_kvm)
{
    need_lane();
    run_task(&(struct vmm_scratch_config){.base = 0xd0000000, .len = 8192, .engine = VMM_MMIO_TRAP},
             VMM_RING0_KVM);
    compare(true);
}
END_TEST

/* The task that is entered has its TSS in the region: what enters it in any way, or leaves it, ends in a
 * violation, in the middle of the delivery of INT n and of exceptions too. */
START_TEST(a_tss_may_lie_in_a_trapped_region)
{
    need_lane();
    run_task(&(struct vmm_scratch_config){.base = 0xd0001000, .len = 8192, .engine = VMM_MMIO_TRAP},
             VMM_RING0_KVM);
    compare(true);
}
END_TEST

/* With the users that the lane has not. */
START_TEST(in_software_all_is_as_the_emulator_alone_has_it)
{
    struct vmm_host host;
    const char *wanted = task_expected;
    vmm_host_probe(&host);
    if (host.flavour != VMM_KVM_SOFTWARE)
        test_skip("only where KVM interprets ring 0");
    run_task(NULL, VMM_RING0_SOFTWARE);
    for (const char *is = run.output; *is; is++)
        if (*is != '\r')
            ck_assert_msg(*is == *wanted++, "ends with '%s'", is);
    ck_assert_int_eq(*wanted, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, the_processor_of_the_lane_switches_tasks_as_the_emulator, 60);
    test_add_slow(suite, so_does_the_emulator_for_kvm, 60);
    test_add_slow(suite, a_tss_may_lie_in_a_trapped_region, 60);
    test_add_slow(suite, in_software_all_is_as_the_emulator_alone_has_it, 60);
}
