/* SPDX-License-Identifier: MIT
 *
 * `vmm bench boot`: whole processes of `vmm run`, from their start to a guest's first words and to their own
 * end; the phases and memory that they report of themselves; and, where startup_floor stands beside the
 * program, what the KVM calls that nobody can avoid take as a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/benches.h"
#include "bench/payload.h"

extern char **environ;

#define FLAT_STATUS (42 << 1 | 1) /* of real16-exit.S */

/* BOOT_CPU is BOOT_FLAT in processor time: on a wall's clock a VM's creation and end wait for the kernel's
 * grace periods, which come by the tick and not by what anyone executes. */
enum boot_operation { BOOT_FLAT, BOOT_CPU, BOOT_BANNER, BOOT_EXIT, BOOT_MEMORY, BOOT_PHASES };

/* From a process's start to its first output, 0 where it has none, and to its end; and what it executed. */
struct process_times {
    uint64_t first_ns, end_ns, cpu_ns;
};

struct boot {
    int flat_fd, kernel_fd, stats_fd; /* files in memory, which the processes inherit */
    char flat[40], kernel[40], stats[40], floor[4096];
    const char *vmm;
    char reason[120];
};

static int make_file(const uint8_t *bytes, const uint8_t *end, char path[40], int *fd)
{
    *fd = memfd_create("bench", 0);
    if (*fd < 0)
        return -errno;
    snprintf(path, 40, "/proc/self/fd/%d", *fd);
    size_t len = (size_t)(end - bytes);
    return !len || write(*fd, bytes, len) == (ssize_t)len ? 0 : -EIO;
}

/* bench/startup_floor beside this program; empty where it is not. */
static void find_floor(struct boot *boot)
{
    ssize_t len = readlink("/proc/self/exe", boot->floor, sizeof(boot->floor) - 30);
    char *slash = len > 0 ? memrchr(boot->floor, '/', (size_t)len) : NULL;
    if (slash)
        strcpy(slash, "/bench/startup_floor");
    if (!slash || access(boot->floor, X_OK))
        *boot->floor = 0;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

static int run_process(char *const argv[], struct process_times *times)
{
    int pipes[2], status = 0;
    pid_t child;
    struct rusage usage;
    char buffer[4096];
    posix_spawn_file_actions_t actions;
    if (pipe2(pipes, O_CLOEXEC))
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    uint64_t start_ns = bench_now_ns();
    int result = -posix_spawn(&child, argv[0], &actions, NULL, argv, environ);
    close(pipes[1]);
    if (!result) {
        bool has_text = read(pipes[0], buffer, sizeof(buffer)) > 0;
        times->first_ns = has_text ? bench_now_ns() - start_ns : 0;
        while (has_text && read(pipes[0], buffer, sizeof(buffer)) > 0)
            ;
        if (wait4(child, &status, 0, &usage) != child)
            result = -errno;
        else
            times->cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
        times->end_ns = bench_now_ns() - start_ns;
    }
    close(pipes[0]);
    posix_spawn_file_actions_destroy(&actions);
    return result ? result : WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* A figure of the statistics that the last process left. */
static bool read_stats(struct boot *boot, unsigned operation, double *value)
{
    json_error_t error;
    json_t *root = json_load_file(boot->stats, 0, &error);
    const json_t *phases = json_object_get(root, "phase_ns");
    const json_t *number = operation == BOOT_MEMORY
                               ? json_object_get(root, "private_bytes")
                               : json_object_get(phases, vmm_phase_name(operation - BOOT_PHASES));
    *value = json_number_value(number);
    bool is_number = json_is_number(number);
    json_decref(root);
    return is_number;
}

static bool fail(struct boot *boot, const char **reason, int status)
{
    snprintf(boot->reason, sizeof(boot->reason), "the process ended with %d", status);
    *reason = boot->reason;
    return false;
}

static bool run_vmm(struct boot *boot, unsigned operation, struct batch *batch, const char **reason)
{
    char *flat[] = {(char *)boot->vmm, "run", "--flat", "real16", "--serial", "none", boot->flat, NULL};
    char *kernel[] = {(char *)boot->vmm, "run", "--cmdline", "list", boot->kernel, NULL};
    char *stats[] = {(char *)boot->vmm, "run",          "--flat",    "real16",   "--serial", "none",
                     "--stats-json",    "--stats-file", boot->stats, boot->flat, NULL};
    struct process_times times = {0};
    bool is_kernel = operation == BOOT_BANNER || operation == BOOT_EXIT;
    bool is_flat = operation == BOOT_FLAT || operation == BOOT_CPU;
    int status = run_process(is_kernel ? kernel : is_flat ? flat : stats, &times);
    if (status != (is_kernel ? 1 : FLAT_STATUS))
        return fail(boot, reason, status);
    batch->ns += (double)(operation == BOOT_BANNER ? times.first_ns
                          : operation == BOOT_CPU  ? times.cpu_ns
                                                   : times.end_ns);
    double value = 0;
    if (operation >= BOOT_MEMORY) {
        if (!read_stats(boot, operation, &value))
            return fail(boot, reason, status);
        batch->ns = value;
    }
    return true;
}

static bool ours(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    double sum = 0;
    for (unsigned i = 0; i < count; i++) {
        batch->ns = 0;
        if (!run_vmm(context, operation, batch, reason))
            return false;
        sum += batch->ns;
    }
    batch->ns = sum;
    return true;
}

static bool bare(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    struct boot *boot = context;
    char *argv[] = {boot->floor, boot->flat, NULL};
    struct process_times times = {0};
    for (unsigned i = 0; i < count; i++) {
        int status = *boot->floor ? run_process(argv, &times) : -ENOENT;
        if (status == -ENOENT) {
            *reason = "there is no bench/startup_floor beside the program";
            return false;
        }
        if (status)
            return fail(boot, reason, status);
        batch->ns += (double)(operation == BOOT_CPU ? times.cpu_ns : times.end_ns);
    }
    return true;
}

static void measure(struct bench_report *report, const struct bench_options *options, const char *name,
                    unsigned operation, struct boot *boot)
{
    struct bench_way ways[] = {{"floor", bare, boot}, {"vmm run", ours, boot}};
    unsigned skip = operation != BOOT_FLAT && operation != BOOT_CPU, first = report->count;
    struct bench_limits limits = options->limits;
    limits.batch_ns = 1; /* a process for each batch */
    if (!bench_wants(options, name, -1))
        return;
    bench_measure(report, &limits, name, -1, operation, ways + skip, 2 - skip);
    if (operation == BOOT_MEMORY && report->count > first)
        report->results[first].size_unit = "bytes";
}

static void measure_all(struct bench_report *report, const struct bench_options *options, struct boot *boot)
{
    static const char *const phase_names[VMM_PHASE_COUNT] = {
        [VMM_PHASE_HOST] = "phase: asking the host",   [VMM_PHASE_VM] = "phase: the VM",
        [VMM_PHASE_MEMORY] = "phase: memory",          [VMM_PHASE_DEVICES] = "phase: devices",
        [VMM_PHASE_LOAD] = "phase: loading the image", [VMM_PHASE_IRQCHIP] = "phase: interrupt controllers",
        [VMM_PHASE_VCPU] = "phase: the vCPU"};
    measure(report, options, "start, two instructions, exit", BOOT_FLAT, boot);
    measure(report, options, "the same in processor time", BOOT_CPU, boot);
    for (unsigned phase = 0; phase < VMM_PHASE_COUNT; phase++)
        measure(report, options, phase_names[phase], BOOT_PHASES + phase, boot);
    measure(report, options, "memory beside the guest's RAM", BOOT_MEMORY, boot);
    measure(report, options, "start to the tiny kernel's banner", BOOT_BANNER, boot);
    measure(report, options, "start to the tiny kernel's exit", BOOT_EXIT, boot);
}

int bench_boot(struct bench_report *report, const struct bench_options *options, struct vmm_error *error)
{
    struct boot boot = {.flat_fd = -1, .kernel_fd = -1, .stats_fd = -1, .vmm = options->vmm};
    report->bench = "boot";
    int result = bench_need_kvm(error);
    if (result)
        return result;
    find_floor(&boot);
    result = make_file(payload_exit, payload_exit_end, boot.flat, &boot.flat_fd);
    if (!result)
        result = make_file(payload_kernel, payload_kernel_end, boot.kernel, &boot.kernel_fd);
    if (!result)
        result = make_file(NULL, NULL, boot.stats, &boot.stats_fd);
    if (!result)
        measure_all(report, options, &boot);
    int fds[] = {boot.flat_fd, boot.kernel_fd, boot.stats_fd};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return result ? error_set_errno(error, result, "bench boot: cannot begin") : 0;
}
