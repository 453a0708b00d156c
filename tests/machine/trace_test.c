/* SPDX-License-Identifier: MIT
 *
 * Guests that are traced: the tiny kernel's boot and who causes its exits, a few bytes of code whose every
 * instruction is known, a triple fault as a trigger, text of the guest's own, a flood.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/types.h"
#include "include/libvmm.h"
#include "tests/vmm/program.h"

static struct program_run run;
static char trace[] = "/tmp/vmm-trace-XXXXXX";

/* `vmm run` with a trace, whose file is left for show(). */
static void record(const char *options, const char *image, int status)
{
    char line[400];
    strcpy(trace, "/tmp/vmm-trace-XXXXXX");
    close(mkstemp(trace));
    snprintf(line, sizeof(line), "run --trace %s %s %s", trace, options, image);
    program_run(line, &run);
    ck_assert_msg(run.status == status, "%s: status %d: %s", line, run.status, run.err);
}

/* What `vmm trace` says about it. */
static void show(const char *command)
{
    char line[200];
    snprintf(line, sizeof(line), "trace %s %s", command, trace);
    program_run(line, &run);
    ck_assert_msg(run.status == 0, "%s: status %d: %s", line, run.status, run.err);
}

static void check_says(const char *part)
{
    ck_assert_msg(strstr(run.out, part), "'%s' is not in\n%s", part, run.out);
}

/* A flat guest of these bytes; the caller unlinks it. */
static void make_guest(char path[], const void *code, size_t len)
{
    strcpy(path, "/tmp/vmm-guest-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, code, len), (ssize_t)len);
    close(fd);
}

START_TEST(the_report_of_a_boot_names_the_serial_ports_instruction)
{
    test_need_kvm();
    record("--timeout 60s --cmdline tests=kernel-popcnt", "guest.img", 1);
    show("report --symbols guest.elf");
    check_says("the run ended by: debug exit");
    check_says("  IO  ");
    check_says("  serial  ");
    check_says("IO serial 0x3f8\n");
    check_says("in put+0x");
    check_says("% of the exit time");
    check_says("would help: fewer writes: a quiet console");
    unlink(trace);
}
END_TEST

/* 0x100000: mov eax, 0xd0000000; 0x100005: mov [rax], eax; 0x100007: mov ecx, [rax]; 0x100009: xor eax, eax;
 * 0x10000b: out 0xf4, al */
static const char memory_code[] = "\xb8\x00\x00\x00\xd0\x89\x00\x8b\x08\x31\xc0\xe6\xf4";

static void trace_memory(const char *engine)
{
    char guest[] = "/tmp/vmm-guest-XXXXXX", options[200];
    make_guest(guest, memory_code, sizeof(memory_code) - 1);
    snprintf(options, sizeof(options), "--device scratch,addr=0xd0000000,size=4096,engine=%s --flat long64",
             engine);
    record(options, guest, 1);
    unlink(guest);
}

START_TEST(an_exit_knows_its_instruction)
{
    test_need_kvm();
    trace_memory("kvm");
    show("convert --to text --filter exit");
    check_says("exit MMIO write 0xd0000000, 4 bytes 0xd0000000, rip 0x100005");
    check_says("exit MMIO read 0xd0000000, 4 bytes 0xd0000000, rip 0x100007");
    check_says("exit IO write 0xf4, 1 byte 0, rip 0x10000b");
    show("report");
    check_says("IO debug-exit");
    check_says("MMIO scratch");
    unlink(trace);
}
END_TEST

START_TEST(an_emulated_instruction_comes_with_its_bytes)
{
    test_need_kvm();
    trace_memory("trap");
    show("convert --to text --filter emulate_insn||mmio");
    struct vmm_host host;
    vmm_host_probe(&host);
    if (host.flavour != VMM_KVM_SOFTWARE) /* which interprets ring 0, and says what a store is */
        check_says("emulate_insn rip 0x100005: 89 00, device accesses 1, the last at 0xd0000000");
    check_says("emulate_insn rip 0x100007: 8b 08, device accesses 1");
    check_says("mmio scratch write 0xd0000000, 4 bytes 0xd0000000");
    unlink(trace);
}
END_TEST

START_TEST(a_triple_fault_is_a_trigger)
{
    test_need_kvm();
    record("--trace-trigger exit^&&^reason^==^SHUTDOWN --flat prot32", "flat/prot32-triple.bin", 6);
    ck_assert_ptr_nonnull(strstr(run.err, "the last records of its trace:"));
    ck_assert_ptr_null(strstr(run.err, "rip 000000000000fff0")); /* not those that KVM has made up */
    show("convert --to text");
    check_says("exit SHUTDOWN");
    ck_assert_ptr_null(strstr(run.out, "rip 0xfff0"));
    check_says("trigger 1");
    unlink(trace);
}
END_TEST

/* mov dx, 0x504; in al, dx; mov bl, al; then "hi\n" by mov al and out dx, al; mov al, bl; out 0xf4, al */
static const char marker_code[] = "\xba\x04\x05\xec\x88\xc3\xb0h\xee\xb0i\xee\xb0\n\xee\x88\xd8\xe6\xf4";

START_TEST(a_trigger_that_never_fires_is_said)
{
    test_need_kvm();
    record("--trace-trigger exit^&&^reason^==^SHUTDOWN --flat real16", "flat/real16-exit.bin", 85);
    ck_assert_ptr_nonnull(strstr(run.err, "the trigger never fired: "));
    ck_assert_ptr_nonnull(strstr(run.err, trace));
    show("report");
    check_says("the trigger never fired: there are no snapshots");
    unlink(trace);
}
END_TEST

START_TEST(the_guest_writes_into_its_trace)
{
    test_need_kvm();
    char guest[] = "/tmp/vmm-guest-XXXXXX";
    make_guest(guest, marker_code, sizeof(marker_code) - 1);
    record("--flat real16", guest, ('T' << 1 | 1) & 0xff);
    show("convert --to text --filter marker");
    check_says("marker hi\n");
    show("report");
    check_says("\nmarkers\n");
    /* without the port, and without a trace, it reads as all ones */
    record("--trace-marker off --flat real16", guest, 255);
    unlink(trace);
    char line[100];
    snprintf(line, sizeof(line), "run --flat real16 %s", guest);
    program_run(line, &run);
    ck_assert_int_eq(run.status, 255);
    unlink(guest);
}
END_TEST

/* Whatever is lost, the guest runs on and the file is sound. */
START_TEST(a_flood_disturbs_neither_guest_nor_file)
{
    test_need_kvm();
    static const char *const modes[] = {"stream", "stream --trace-full overwrite", "ring",
                                        "ring --trace-full stop"};
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        char options[200];
        snprintf(options, sizeof(options), "--timeout 300ms --trace-buffer 4K --trace-mode %s --flat real16",
                 modes[i]);
        record(options, "flat/real16-exits.bin", 124);
        show("report");
        check_says("the run ended by: timeout");
        check_says("  IO  ");
        unlink(trace);
    }
}
END_TEST

START_TEST(filters_leave_out_what_is_not_wanted)
{
    test_need_kvm();
    record("--trace-events pio --trace-filter port==0x3f8&&write --flat real16", "flat/real16-hello.bin", 1);
    show("convert --to text");
    check_says("pio serial write 0x3f8, 1 byte 0x68");
    ck_assert_ptr_null(strstr(run.out, "exit "));
    ck_assert_ptr_null(strstr(run.out, " read "));
    unlink(trace);
}
END_TEST

START_TEST(a_trace_that_cannot_be_written_is_no_reason_not_to_say_so)
{
    test_need_kvm();
    static const struct {
        const char *line;
        int status;
        const char *message;
    } cases[] = {
        {"run --trace /no/such/file --flat real16 flat/real16-exit.bin", 4, "/no/such/file: cannot open it"},
        {"run --trace /dev/full --flat real16 flat/real16-exit.bin", 4, "/dev/full: cannot write the trace"},
        {"run --trace /tmp/x --trace-events exti --flat real16 flat/real16-exit.bin", 2,
         "there is no event 'exti'"},
        {"run --trace /tmp/x --trace-filter addr^= --flat real16 flat/real16-exit.bin", 2, "column 6: "},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        program_run(cases[i].line, &run);
        ck_assert_msg(run.status == cases[i].status && strstr(run.err, cases[i].message), "%s: %d: %s",
                      cases[i].line, run.status, run.err);
    }
}
END_TEST

/* In the mode that writes nothing before the end. */
START_TEST(a_signal_leaves_a_whole_trace)
{
    test_need_kvm();
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        char line[200], said[100] = "";
        int fd = memfd_create("output", MFD_CLOEXEC);
        strcpy(trace, "/tmp/vmm-trace-XXXXXX");
        close(mkstemp(trace));
        snprintf(line, sizeof(line), "run --trace %s --trace-mode ring --flat real16 flat/real16-flood.bin",
                 trace);
        pid_t pid = program_start(line, fd);
        while (!*said) { /* the guest runs when it has said something */
            usleep(1000);
            program_read_file(fd, said, sizeof(said));
        }
        kill(pid, signals[i]);
        ck_assert_int_eq(program_wait(pid), 128 + signals[i]);
        close(fd);
        show("report");
        check_says("the run ended by: stopped");
        check_says("  IO  ");
        unlink(trace);
    }
}
END_TEST

START_TEST(a_machine_that_starts_again_has_a_trace_for_each)
{
    char second[40];
    test_need_kvm();
    record("--on-reboot restart --timeout 500ms --flat real16", "flat/real16-port92-reset.bin", 124);
    show("report");
    check_says("the run ended by: reset");
    unlink(trace);
    snprintf(second, sizeof(second), "%s.2", trace);
    ck_assert_int_eq(access(second, F_OK), 0);
    for (unsigned i = 2; !unlink(second); i++)
        snprintf(second, sizeof(second), "%s.%u", trace, i + 1);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, the_report_of_a_boot_names_the_serial_ports_instruction, 120);
    test_add_slow(suite, a_signal_leaves_a_whole_trace, 60);
    test_add_slow(suite, a_machine_that_starts_again_has_a_trace_for_each, 60);
    test_add(suite, an_exit_knows_its_instruction);
    test_add(suite, an_emulated_instruction_comes_with_its_bytes);
    test_add(suite, a_triple_fault_is_a_trigger);
    test_add(suite, a_trigger_that_never_fires_is_said);
    test_add(suite, the_guest_writes_into_its_trace);
    test_add_slow(suite, a_flood_disturbs_neither_guest_nor_file, 60);
    test_add(suite, filters_leave_out_what_is_not_wanted);
    test_add(suite, a_trace_that_cannot_be_written_is_no_reason_not_to_say_so);
}
