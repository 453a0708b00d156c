/* SPDX-License-Identifier: MIT
 *
 * `vmm run` with real guests: every exit status, the messages of failures, the serial kinds, the statistics.
 */
#include <fcntl.h>
#include <jansson.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/libvmm.h"
#include "tests/mmio_way.h"
#include "tests/vmm/program.h"

#define FLAT(name) "flat/" name ".bin"

static struct program_run run;

struct expectation {
    const char *line;
    int status;
    const char *out, *err; /* a part of it; NULL: nothing may be there */
};

static void check(const struct expectation *expected)
{
    program_run(expected->line, &run);
    bool right = run.status == expected->status &&
                 (expected->out ? strstr(run.out, expected->out) != NULL : !*run.out) &&
                 (expected->err ? strstr(run.err, expected->err) != NULL : !*run.err);
    ck_assert_msg(right, "vmm %s: status %d, said\n%s%s", expected->line, run.status, run.out, run.err);
}

#define CHECK_ALL(table)                            \
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) \
    check(&(table)[i])

START_TEST(each_end_has_its_status)
{
    test_need_kvm();
    static const struct expectation ends[] = {
        {"run --flat real16 " FLAT("real16-exit"), 85, NULL, NULL},
        {"run --flat real16@0x7c00 " FLAT("real16-exit"), 85, NULL, NULL},
        {"run -v --flat real16@16K " FLAT("real16-exit"), 85, NULL, "entered at 0x4000"},
        {"run --flat real16 " FLAT("real16-exit-wide"), (0x1234 << 1 | 1) & 0xff, NULL, NULL},
        {"run --flat real16 " FLAT("real16-hello"), 1, "hello from real mode\n", NULL},
        {"run --flat real16 " FLAT("real16-i8042-reset"), 0, NULL, NULL},
        {"run --flat real16 " FLAT("real16-port92-reset"), 0, NULL, NULL},
        {"run --flat prot32 " FLAT("prot32-triple"), 6, NULL, "vmm: vCPU 0: triple fault: "},
        {"run --on-triple-fault reboot --flat prot32 " FLAT("prot32-triple"), 0, NULL, NULL},
        {"run -v --on-triple-fault reboot --flat prot32 " FLAT("prot32-triple"), 0, NULL,
         "vmm: vCPU 0: triple fault: "},
        {"run -v --stats --on-triple-fault reboot --flat prot32 " FLAT("prot32-triple"), 0, NULL,
         "end: reset on vCPU 0"},
        {"run --ring0-engine software --flat prot32 " FLAT("prot32-triple"), 6, NULL,
         "it began as #DE, on whose way came #GP (error code 0x3), and on the way of the double fault #GP "
         "(error "
         "code 0x43)"},
        {"run --flat real16 " FLAT("real16-halt"), 8, NULL, "halted (HLT), and the machine has no interrupt"},
        {"run --timeout 100ms --flat real16 " FLAT("real16-loop"), 124, NULL, "after its time of 100ms\n"},
        {"run --timeout 100ms --irqchip kernel --flat real16 " FLAT("real16-halt"), 124, NULL, "100ms"},
        {"run --mem 1G --cpus 4 --cmdline tests=smp-ipi,smp-tsc guest.img", 1, "# 2 passed, 0 failed", NULL},
        {"run --serial none --flat real16 " FLAT("real16-hello"), 1, NULL, NULL},
        {"run --device debug-exit --device debug-exit,iobase=0x501,iosize=2 --flat real16 " FLAT(
             "real16-exit"),
         85, NULL, NULL},
        {"run --device debug-exit,iobase=0x501,iosize=2 --device debug-exit --flat real16 " FLAT(
             "real16-exit"),
         85, NULL, NULL},
        {"run --serial none --device virtio-console,hvc=pty,transport=mmio --flat real16 " FLAT(
             "real16-exit"),
         85, NULL, "vmm: virtio-console: port 0 is at /dev/pts/"},
        {"run -v --flat real16 " FLAT("real16-exit"), 85, NULL,
         FLAT("real16-exit") ": flat real16, entered at"},
    };
    CHECK_ALL(ends);
}
END_TEST

/* More than a process may usually have open files; half a second is too short for the guest, but not for
 * them. */
START_TEST(as_many_cpus_as_kvm_allows)
{
    test_need_kvm();
    program_run("run --cpus 60000 guest.img", &run);
    const char *limit = strstr(run.err, "which is ");
    ck_assert_msg(limit != NULL, "said\n%s", run.err);
    unsigned long count = strtoul(limit + 9, NULL, 10);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < count + 64)
        test_skip("at most %lu files may be open here", (unsigned long)files.rlim_max);
    char line[100];
    snprintf(line, sizeof(line), "run --cpus %lu --timeout 500ms guest.img", count);
    program_run(line, &run);
    ck_assert_msg(run.status == 124 || run.status == 1, "%s: status %d\n%s", line, run.status, run.err);
}
END_TEST

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("text", file);
    fclose(file);
}

START_TEST(failures_of_the_host_are_named)
{
    test_need_kvm();
    static const struct expectation failures[] = {
        {"run no/such/file", 4, NULL, "vmm: no/such/file: cannot open: No such file or directory\n"},
        {"run flat", 4, NULL, "vmm: flat: is a directory; give the image file in it\n"},
        {"run /dev/null", 4, NULL, "/dev/null: is a device; give an image file\n"},
        {"run " FLAT("real16-exit"), 4, NULL, "real16-exit.bin: "},
        {"run --initrd no/such^args guest.img", 4, NULL, "no/such: cannot open"},
        {"run --mem 1024P guest.img", 2, NULL, "is not a size"},
        {"run --mem 100000G guest.img", 4, NULL, "107374182400000 bytes of RAM"},
        {"run --mem 64K guest.img", 4, NULL, "guest.img: "},
        {"run --cpus 60000 guest.img", 4, NULL, "60000 CPUs are more than this host's KVM allows"},
        {"run --serial file:no/such/file guest.img", 4, NULL, "no/such/file: cannot create: No such"},
        {"run --serial unix:no/such/socket guest.img", 4, NULL, "no/such/socket: cannot bind: No such"},
        {"run --device scratch,addr=0x1000,size=4K guest.img", 4, NULL,
         "scratch: 0x1000 bytes at 0x1000 overlap RAM"},
        {"run --stats-file no/such/file --flat real16 " FLAT("real16-exit"), 4, NULL,
         "no/such/file: cannot open"},
    };
    CHECK_ALL(failures);
}
END_TEST

START_TEST(an_initrds_name_may_have_blanks)
{
    test_need_kvm();
    char folder[] = "/tmp/vmm-run-XXXXXX", path[64], line[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/an initrd", folder);
    make_file(path);
    snprintf(line, sizeof(line), "run --initrd %s/an^initrd --flat real16 " FLAT("real16-exit"), folder);
    program_run(line, &run);
    ck_assert_msg(run.status == 4 &&
                      strstr(run.err, "a real16 image has no way to receive a command line or modules"),
                  "vmm %s: status %d, said\n%s", line, run.status, run.err); /* but the file was found */
    unlink(path);
    rmdir(folder);
}
END_TEST

/* The ends of RAM, with the hole below 4 GiB: a guest that uses almost nothing of it. */
START_TEST(ram_of_any_size)
{
    test_need_kvm();
    static const char *const sizes[] = {"64K", "68K",      "0x100000", "1.5G", "3145724K",
                                        "3G",  "3145732K", "4G",       "5G"};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char line[200];
        snprintf(line, sizeof(line), "run --mem %s --flat real16 " FLAT("real16-exit"), sizes[i]);
        check(&(struct expectation){line, 85, NULL, NULL});
    }
    check(&(struct expectation){"run --mem 64M --mem-backing shared --flat real16 " FLAT("real16-exit"), 85,
                                NULL, NULL});
}
END_TEST

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    ck_assert_msg(root != NULL, "%s in %s", error.text, text);
    return root;
}

static json_int_t mark_ns(json_t *marks, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(marks, name), "ns"));
}

START_TEST(statistics_are_json_with_the_documented_fields)
{
    test_need_kvm();
    static const char *const fields[] = {"end",      "value",     "cpu",           "exit_count", "exits",
                                         "emulated", "coalesced", "devices",       "unclaimed",  "guest_ns",
                                         "host_ns",  "phase_ns",  "private_bytes", "peak_bytes", "marks",
                                         "starts",   "disks",     "virtio"};
    check(&(struct expectation){"run --stats-json --flat real16 " FLAT("real16-hello"), 1, "hello", "{"});
    json_t *root = parse(run.err);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        ck_assert_msg(json_object_get(root, fields[i]) != NULL, "no %s in %s", fields[i], run.err);
    ck_assert_uint_eq(json_object_size(root), ARRAY_COUNT(fields));
    ck_assert_str_eq(json_string_value(json_object_get(root, "end")), "debug exit");
    ck_assert_int_gt(json_integer_value(json_object_get(json_object_get(root, "exits"), "IO")), 20);
    ck_assert_int_gt(json_integer_value(json_object_get(root, "guest_ns")), 0);
    json_t *marks = json_object_get(root, "marks");
    ck_assert_int_gt(mark_ns(marks, "entry"), 0);
    ck_assert_int_gt(mark_ns(marks, "serial"), mark_ns(marks, "entry"));
    ck_assert_int_gt(mark_ns(marks, "end"), mark_ns(marks, "serial"));
    ck_assert_int_eq(mark_ns(marks, "user_space"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "starts")), 1);
    ck_assert_int_gt(json_integer_value(json_object_get(root, "peak_bytes")),
                     json_integer_value(json_object_get(root, "private_bytes")));
    json_decref(root);
    check(&(struct expectation){"run --stats-json --device virtio-rng --device virtio-rng --device "
                                "virtio-console,hvc=none --flat real16 " FLAT("real16-exit"),
                                85, NULL, "{\"name\":\"rng1\",\"requests\":0,\"out_bytes\":0,"});
    ck_assert_ptr_nonnull(strstr(run.err, "{\"name\":\"console0\",\"requests\":0,"));
    check(&(struct expectation){"run --stats --device virtio-rng --flat real16 " FLAT("real16-exit"), 85,
                                NULL, "rng0\n  requests 0, bytes from the guest 0, to the guest 0\n"});
    check(&(struct expectation){"run --stats --flat real16 " FLAT("real16-exit"), 85, NULL,
                                "end: debug exit on vCPU 0\n"});
    ck_assert_ptr_nonnull(strstr(run.err, "peak memory"));
    check(&(struct expectation){"run --stats-file /proc/self/fd/1 --flat real16 " FLAT("real16-exit"), 85,
                                "exits 1\n", NULL});
}
END_TEST

/* For what runs a kernel: KVM, but where that has no hardware virtualization our emulator for a test kernel.
 */
START_TEST(a_test_kernel_is_ours_without_hardware_virtualization)
{
    const char ours[] = "instructions executed in software";
    struct vmm_host host;
    test_need_kvm();
    if (*test_mmio_way())
        test_skip("the engines are chosen by VMM_TEST_MMIO");
    vmm_host_probe(&host);
    bool is_software = host.flavour == VMM_KVM_SOFTWARE;
    program_run("run --stats --device testdev --cmdline tests=port-byte guest.img", &run);
    ck_assert_msg(run.status == 1 && !strstr(run.err, ours) == !is_software, "%s", run.err);
    program_run("run --stats --cmdline tests=port-byte guest.img", &run);
    ck_assert_msg(run.status == 1 && !strstr(run.err, ours), "%s", run.err);
    program_run("run --stats --device testdev --ring0-engine kvm --cmdline tests=port-byte guest.img", &run);
    ck_assert_msg(run.status == 1 && !strstr(run.err, ours), "%s", run.err);
}
END_TEST

/* Which is only to be said where it is so. */
START_TEST(paging_that_kvm_does_not_know_is_explained)
{
    const char note[] = "makes a triple fault of paging in other modes than long mode";
    struct vmm_host host;
    test_need_kvm();
    vmm_host_probe(&host);
    bool is_kvms = host.flavour == VMM_KVM_SOFTWARE && !test_runs_ring0();
    program_run("run --flat prot32 flat/prot32-triple.bin", &run);
    ck_assert_msg(run.status == 6 && !strstr(run.err, note) == !is_kvms, "%s", run.err);
    program_run("run --flat long64 flat/long64-triple.bin", &run);
    ck_assert_msg(run.status == 6 && !strstr(run.err, note), "%s", run.err);
    if (host.flavour != VMM_KVM_SOFTWARE)
        return;
    program_run("run --ring0-engine software --flat prot32 flat/prot32-triple.bin", &run);
    ck_assert_msg(run.status == 6 && !strstr(run.err, note), "%s", run.err);
}
END_TEST

START_TEST(doctor_speaks_json)
{
    program_run("doctor --json", &run);
    json_t *root = parse(run.out);
    bool usable = json_is_true(json_object_get(root, "usable"));
    ck_assert_int_eq(run.status, usable ? 0 : 4);
    ck_assert(usable == json_is_null(json_object_get(root, "error")));
    json_decref(root);
    program_run("doctor", &run);
    ck_assert_int_eq(run.status, usable ? 0 : 4);
    ck_assert_ptr_nonnull(
        strstr(run.out, usable ? "Machines can be run here" : "No machine can be run here"));
}
END_TEST

START_TEST(serial_output_into_a_file)
{
    test_need_kvm();
    char path[] = "/tmp/vmm-serial-XXXXXX", line[200], text[100];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    snprintf(line, sizeof(line), "run --serial file:%s --flat real16 " FLAT("real16-hello"), path);
    check(&(struct expectation){line, 1, NULL, NULL});
    program_read_file(fd, text, sizeof(text));
    unlink(path);
    close(fd);
    ck_assert_str_eq(text, "hello from real mode\n");
}
END_TEST

/* The guest sends back what it gets, up to a q. (What a pseudo-terminal holds when its owner goes is lost:
 * the answer to the q is not waited for.) */
static void talk(int fd)
{
    char text[8] = "";
    size_t len = 0;
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    while (len < 3) {
        ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);
        ck_assert_int_gt(got, 0);
        len += (size_t)got;
    }
    ck_assert_str_eq(text, "abc");
    ck_assert_int_eq(write(fd, "q", 1), 1);
}

static int connect_when_there(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    for (int fd;; close(fd), usleep(5000)) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        ck_assert_int_ge(fd, 0);
        if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
            return fd;
    }
}

/* A run whose console is a socket, in a folder of its own, and a client of it. */
struct served {
    char folder[32];
    pid_t pid;
    int fd;
};

static void serve(struct served *served, const char *options, const char *guest)
{
    char path[60], line[200];
    strcpy(served->folder, "/tmp/vmm-socket-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(served->folder));
    snprintf(path, sizeof(path), "%s/console", served->folder);
    snprintf(line, sizeof(line), "run %s--serial unix:%s --flat real16 %s", options, path, guest);
    served->pid = program_start(line, STDERR_FILENO);
    served->fd = connect_when_there(path);
}

static void end_served(struct served *served)
{
    talk(served->fd);
    ck_assert_int_eq(program_wait(served->pid), 1);
    close(served->fd);
    ck_assert_int_eq(rmdir(served->folder), 0); /* it has removed its socket */
}

START_TEST(serial_on_a_socket)
{
    test_need_kvm();
    struct served served;
    serve(&served, "", FLAT("real16-echo"));
    end_served(&served);
}
END_TEST

static void read_byte(int fd, char wanted)
{
    char byte = 0;
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    ck_assert_int_eq(byte, wanted);
}

START_TEST(a_client_stays_when_the_guest_starts_again)
{
    test_need_kvm();
    struct served served;
    serve(&served, "--on-reboot restart ", FLAT("real16-again"));
    for (int i = 0; i < 3; i++) {
        read_byte(served.fd, '>');
        ck_assert_int_eq(write(served.fd, "r", 1), 1);
        read_byte(served.fd, 'r');
    }
    read_byte(served.fd, '>');
    end_served(&served);
}
END_TEST

START_TEST(serial_on_a_pty_whose_name_is_said)
{
    test_need_kvm();
    char text[4096] = "", name[64] = "";
    int messages = memfd_create("messages", MFD_CLOEXEC);
    pid_t pid = program_start("run --serial pty --flat real16 " FLAT("real16-echo"), messages);
    while (sscanf(text, "vmm: serial port 1 is at %63s\n", name) != 1) {
        usleep(5000);
        program_read_file(messages, text, sizeof(text));
    }
    int fd = open(name, O_RDWR | O_NOCTTY);
    ck_assert_int_ge(fd, 0);
    talk(fd);
    ck_assert_int_eq(program_wait(pid), 1);
    close(fd);
    close(messages);
}
END_TEST

/* Nobody reads what the guest writes without end: it is still stopped in time. */
START_TEST(a_flood_nobody_reads_does_not_hold_the_program)
{
    test_need_kvm();
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = program_start("run --timeout 300ms --flat real16 " FLAT("real16-flood"), fds[1]);
    close(fds[1]);
    ck_assert_int_eq(program_wait(pid), 124);
    close(fds[0]);
}
END_TEST

/* A flat image of its own; `path` ends in XXXXXX. */
static void write_image(char *path, const char *code, size_t len)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, code, len), (ssize_t)len);
    close(fd);
}

/* What a run of the line says, output and messages in one file. */
static int run_into_one(const char *line, char *text, size_t len)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    int status = program_wait(program_start(line, fd));
    program_read_file(fd, text, len);
    close(fd);
    return status;
}

/* mov dx, 0x3f8; mov al, 'A'; out dx, al; the guest goes no further in that line. */
#define SEND_A "\xba\xf8\x03\xb0\x41\xee"

START_TEST(a_message_does_not_go_on_in_the_guests_line)
{
    test_need_kvm();
    char halts[] = "/tmp/vmm-image-XXXXXX", loops[] = "/tmp/vmm-image-XXXXXX", line[200], text[8192];
    write_image(halts, SEND_A "\xfa\xf4", 8); /* cli; hlt */
    snprintf(line, sizeof(line), "run --flat real16 %s", halts);
    int status = run_into_one(line, text, sizeof(text));
    ck_assert_msg(status == 8 && strstr(text, "A\nvmm: vCPU 0: halted") == text, "status %d\n%s", status,
                  text);
    check(&(struct expectation){line, 8, "A", "vmm: vCPU 0: halted"});
    ck_assert_msg(strncmp(run.err, "vmm: ", 5) == 0, "%s", run.err); /* which has no line of the guest's */
    write_image(loops, SEND_A "\xeb\xfe", 8);                        /* jmp $ */
    snprintf(line, sizeof(line), "run --timeout 300ms --flat real16 %s", loops);
    status = run_into_one(line, text, sizeof(text));
    ck_assert_msg(status == 124 && strstr(text, "A\nvmm: vCPU 0: where it was") == text, "status %d\n%s",
                  status, text);
    status = run_into_one("run --stats --flat real16 " FLAT("real16-hello"), text, sizeof(text));
    ck_assert_msg(status == 1 && strstr(text, "real mode\nend: debug exit"), "status %d\n%s", status, text);
    unlink(halts);
    unlink(loops);
}
END_TEST

/* `options` behind "run", with a guest that says A and goes on for ever; SIGTERM then. `text` gets what was
 * said. */
static void run_until_sigterm(const char *options, char *text, size_t size)
{
    char path[] = "/tmp/vmm-image-XXXXXX", line[200];
    int messages = memfd_create("messages", MFD_CLOEXEC);
    write_image(path, SEND_A "\xeb\xfe", 8);
    snprintf(line, sizeof(line), "run %s --flat real16 %s", options, path);
    pid_t pid = program_start(line, messages);
    *text = 0;
    while (*text != 'A') {
        usleep(5000);
        program_read_file(messages, text, size);
    }
    kill(pid, SIGTERM);
    ck_assert_int_eq(program_wait(pid), 128 + SIGTERM);
    program_read_file(messages, text, size);
    close(messages);
    unlink(path);
}

START_TEST(a_signal_that_ends_a_traced_run_is_named)
{
    test_need_kvm();
    char text[8192];
    run_until_sigterm("--trace /dev/null", text, sizeof(text));
    ck_assert_msg(strstr(text, "A\nvmm: ") && strstr(text, "vmm: the guest was ended by SIGTERM\n"), "%s",
                  text);
}
END_TEST

START_TEST(a_run_that_a_signal_ends_has_its_statistics)
{
    test_need_kvm();
    char text[8192], path[] = "/tmp/vmm-stats-XXXXXX", options[100];
    run_until_sigterm("--stats", text, sizeof(text));
    ck_assert_msg(strstr(text, "A\nvmm: the guest was ended by SIGTERM\nend: stopped") == text, "%s", text);
    close(mkstemp(path));
    snprintf(options, sizeof(options), "--stats-json --stats-file %s", path);
    run_until_sigterm(options, text, sizeof(text));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    program_read_file(file, text, sizeof(text));
    ck_assert_msg(strstr(text, "\"end\":\"stopped\""), "%s", text);
    close(file);
    unlink(path);
}
END_TEST

/* mov al, 1; mov dx, 0x507; out dx, al: user space, before the first byte on the serial line. */
/* How often `word` is in what `trace convert` says of the run. */
static unsigned count_traced(const char *options, const char *word)
{
    char path[] = "/tmp/vmm-trace-XXXXXX", line[200];
    unsigned count = 0;
    close(mkstemp(path));
    snprintf(line, sizeof(line), "run --trace=%s %s " FLAT("real16-hello"), path, options);
    program_run(line, &run);
    ck_assert_msg(run.status == 1 && !*run.err, "status %d: %s", run.status, run.err);
    snprintf(line, sizeof(line), "trace convert --to text %s", path);
    program_run(line, &run);
    ck_assert_msg(run.status == 0, "status %d: %s", run.status, run.err);
    for (const char *at = run.out; (at = strstr(at, word)); at += strlen(word))
        count++;
    unlink(path);
    return count;
}

/* Then software does not take its way for those that are recorded, instruction by instruction. */
START_TEST(accesses_are_traced_without_the_instructions_that_make_them)
{
    test_need_kvm();
#define SOFTWARE "--ring0-engine software --flat real16"
    ck_assert_uint_ge(count_traced(SOFTWARE, ": emulate_insn "), 21);
    ck_assert_uint_eq(count_traced(SOFTWARE, ": pio serial write "), 21); /* "hello from real mode\n" */
    ck_assert_uint_eq(count_traced("--trace-events=-emulate_insn " SOFTWARE, ": emulate_insn "), 0);
    ck_assert_uint_eq(count_traced("--trace-events=-emulate_insn " SOFTWARE, ": pio serial write "), 21);
    ck_assert_uint_eq(count_traced("--trace-events=pio " SOFTWARE, ": pio debug-exit write "), 1);
}
END_TEST

START_TEST(marks_are_said_in_the_order_in_which_they_were_reached)
{
    test_need_kvm();
    static const char *const lines[] = {"\n  first instruction ", "\n  user space ", "\n  first serial byte ",
                                        "\n  end "};
    char path[] = "/tmp/vmm-image-XXXXXX", line[200];
    write_image(path, "\xb0\x01\xba\x07\x05\xee" SEND_A "\xb0\x00\xe6\xf4", 16);
    snprintf(line, sizeof(line), "run --stats --flat real16 %s", path);
    check(&(struct expectation){line, 1, "A", "progress "});
    unlink(path);
    const char *text = strstr(run.err, "progress ");
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        text = strstr(text, lines[i]);
        ck_assert_msg(text, "no '%s' behind the others: %s", lines[i], run.err);
        double at, since;
        ck_assert_int_eq(sscanf(text + strlen(lines[i]), "%lf ms %lf ms", &at, &since), 2);
        ck_assert_msg(since <= at, "%s", text);
    }
}
END_TEST

START_TEST(acpi_tables_go_to_a_new_directory)
{
    test_need_kvm();
    char parent[] = "/tmp/vmm-acpi-XXXXXX", tables[40], path[60], line[200];
    static const char *const names[] = {"RSDP", "XSDT", "FACP", "FACS", "APIC", "DSDT"};
    ck_assert_ptr_nonnull(mkdtemp(parent));
    snprintf(tables, sizeof(tables), "%s/tables", parent);
    snprintf(line, sizeof(line), "run --serial none --cmdline list --dump-acpi %s guest.img", tables);
    for (int round = 0; round < 2; round++) /* the second finds it there */
        check(&(struct expectation){line, 1, NULL, NULL});
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s.aml", tables, names[i]);
        ck_assert_msg(unlink(path) == 0, "no %s", path);
    }
    ck_assert_int_eq(rmdir(tables), 0);
    snprintf(line, sizeof(line), "run --cmdline list --dump-acpi %s/a/b guest.img", parent);
    check(&(struct expectation){line, 4, NULL, "a/b: cannot be made"});
    rmdir(parent);
}
END_TEST

/* mov esi, 0xfee00020; popcnt eax, [rsi]: KVM's emulator does not know it, and only KVM could read its APIC.
 */
START_TEST(what_nobody_can_execute_has_its_status)
{
    test_need_kvm();
    static const char *const parts[] = {"vmm: vCPU 0: KVM internal error, suberror 1: ",
                                        "nor could it be executed in software: a device inside the kernel",
                                        "rsi 00000000fee00020",
                                        "rip 0000000000100005",
                                        "64-bit code",
                                        "f3 0f b8 06",
                                        "popcnt eax, dword ptr [rsi]",
                                        "#0 INTERNAL_ERROR 0x1"};
    char path[] = "/tmp/vmm-image-XXXXXX", line[200];
    write_image(path, "\xbe\x20\x00\xe0\xfe\xf3\x0f\xb8\x06", 9);
    snprintf(line, sizeof(line), "run --irqchip kernel --flat long64 %s", path);
    program_run(line, &run);
    unlink(path);
    ck_assert_msg(run.status == 10, "status %d\n%s", run.status, run.err);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        ck_assert_msg(strstr(run.err, parts[i]) != NULL, "no '%s' in\n%s", parts[i], run.err);
}
END_TEST

/* mov ax, [0]; out 0xf4, ax: the status tells whether anything was written to address 0, where a program
 * without standard error had the file of guest RAM instead. */
START_TEST(a_program_without_standard_files_keeps_out_of_the_guest)
{
    test_need_kvm();
    char path[] = "/tmp/vmm-image-XXXXXX", line[200];
    write_image(path, "\xa1\x00\x00\xe7\xf4", 5);
    snprintf(line, sizeof(line), "run -v --mem-backing shared --flat real16 %s", path);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            close(fd);
        program_exec(line);
    }
    int status = program_wait(pid);
    unlink(path);
    ck_assert_int_eq(status, 1);
}
END_TEST

START_TEST(an_image_that_may_not_be_read)
{
    test_need_kvm();
    /* So that root may not read everything, either; others do not need it and may not ask for it. */
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
    prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
    char path[] = "/tmp/vmm-image-XXXXXX", line[100];
    int fd = mkstemp(path);
    ck_assert_int_eq(fchmod(fd, 0), 0);
    snprintf(line, sizeof(line), "run %s", path);
    check(&(struct expectation){line, 4, NULL, "cannot open: Permission denied\n"});
    unlink(path);
    close(fd);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, each_end_has_its_status, 60);
    test_add_slow(suite, failures_of_the_host_are_named, 60);
    test_add(suite, an_initrds_name_may_have_blanks);
    test_add_slow(suite, ram_of_any_size, 60);
    test_add_slow(suite, as_many_cpus_as_kvm_allows, 60);
    test_add(suite, statistics_are_json_with_the_documented_fields);
    test_add(suite, doctor_speaks_json);
    test_add(suite, serial_output_into_a_file);
    test_add(suite, serial_on_a_socket);
    test_add(suite, a_client_stays_when_the_guest_starts_again);
    test_add(suite, serial_on_a_pty_whose_name_is_said);
    test_add(suite, a_flood_nobody_reads_does_not_hold_the_program);
    test_add(suite, a_message_does_not_go_on_in_the_guests_line);
    test_add(suite, a_signal_that_ends_a_traced_run_is_named);
    test_add(suite, a_run_that_a_signal_ends_has_its_statistics);
    test_add(suite, accesses_are_traced_without_the_instructions_that_make_them);
    test_add(suite, marks_are_said_in_the_order_in_which_they_were_reached);
    test_add(suite, acpi_tables_go_to_a_new_directory);
    test_add(suite, paging_that_kvm_does_not_know_is_explained);
    test_add(suite, a_test_kernel_is_ours_without_hardware_virtualization);
    test_add(suite, what_nobody_can_execute_has_its_status);
    test_add(suite, a_program_without_standard_files_keeps_out_of_the_guest);
    test_add(suite, an_image_that_may_not_be_read);
}
