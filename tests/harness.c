/* SPDX-License-Identifier: MIT
 *
 * The main of every test program.
 */
#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The arguments: only tests whose name contains one of them are added. */
static char **filters;

/* Shared with the test's process: the reason of the last skip, and which test it was. */
static struct skips {
    unsigned count;
    struct {
        pid_t pid;
        char reason[200];
    } entries[512];
} * skips;

void test_skip(const char *format, ...)
{
    unsigned index = __atomic_fetch_add(&skips->count, 1, __ATOMIC_RELAXED);
    if (index < ARRAY_COUNT(skips->entries)) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(skips->entries[index].reason, sizeof(skips->entries[index].reason), format, arguments);
        va_end(arguments);
        skips->entries[index].pid = getpid();
    }
    /* Check knows no skip: the test fails with this mark, and the runner below takes the mark for a skip. */
    ck_abort_msg("SKIP %u", index);
}

static int is_wanted(const char *name)
{
    if (!*filters)
        return 1;
    for (char **filter = filters; *filter; filter++)
        if (strstr(name, *filter))
            return 1;
    return 0;
}

void test_add_named(Suite *suite, const TTest *function, const char *name, double seconds)
{
    if (!is_wanted(name))
        return;
    TCase *test = tcase_create(name);
    tcase_set_timeout(test, seconds ? seconds : 30);
    tcase_add_test(test, function);
    suite_add_tcase(suite, test);
}

unsigned long long test_seed(void)
{
    const char *text = getenv("VMM_TEST_SEED");
    unsigned long long seed = text ? strtoull(text, NULL, 0) : (unsigned long long)time(NULL);
    printf("# seed: VMM_TEST_SEED=%llu\n", seed);
    fflush(stdout);
    return seed;
}

unsigned long test_cases(unsigned long usual)
{
    const char *text = getenv("VMM_TEST_CASES");
    if (text)
        return strtoul(text, NULL, 0);
    return getenv("VMM_TEST_QUICK") ? (usual + 9) / 10 : usual;
}

unsigned test_count_entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Check's messages go from process to process through files that have no name. */
void test_leave_check(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct stat status;
    for (int fd = STDERR_FILENO + 1; null >= 0 && fd < 256; fd++)
        if (fd != null && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && !status.st_nlink)
            dup2(null, fd);
}

void test_need_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        test_skip("/dev/kvm cannot be opened: %s", strerror(errno));
    int vm = ioctl(fd, KVM_CREATE_VM, 0);
    if (vm < 0)
        test_skip("/dev/kvm cannot create a VM: %s", strerror(errno));
    close(vm);
    close(fd);
}

static const char *program_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A person sees the lines of a reason, the log has one for each result. */
static void report(FILE *log, const char *outcome, const char *program, const char *test, const char *reason)
{
    FILE *files[] = {stdout, log};
    for (size_t i = 0; i < 2 && files[i]; i++) {
        fprintf(files[i], "%s %s %s%s", outcome, program, test, *reason ? " - " : "");
        for (const char *at = reason; *at; at++)
            fputc(*at == '\n' && files[i] == log ? '|' : *at, files[i]);
        fputc('\n', files[i]);
    }
}

/* Reports every result; returns how many failed. */
static unsigned report_all(SRunner *runner, const char *program)
{
    const char *path = getenv("VMM_TEST_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    TestResult **results = srunner_results(runner);
    unsigned failed = 0;
    for (int i = 0; i < srunner_ntests_run(runner); i++) {
        const char *message = tr_msg(results[i]);
        unsigned skip;
        if (tr_rtype(results[i]) == CK_PASS) {
            report(log, "ok", program, tr_tcname(results[i]), "");
        } else if (message && sscanf(message, "SKIP %u", &skip) == 1 && skip < skips->count) {
            report(log, "skip", program, tr_tcname(results[i]), skips->entries[skip].reason);
        } else {
            char where[1200];
            snprintf(where, sizeof(where), "%s:%d: %.1000s",
                     tr_lfile(results[i]) ? tr_lfile(results[i]) : "?", tr_lno(results[i]),
                     message ? message : "");
            report(log, "fail", program, tr_tcname(results[i]), where);
            failed++;
        }
    }
    free(results);
    if (log)
        fclose(log);
    return failed;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    skips = mmap(NULL, sizeof(*skips), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (skips == MAP_FAILED)
        return 2;
    filters = argv + (argc > 0);
    Suite *suite = suite_create(program_name(argv[0]));
    test_suite(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_SILENT);
    unsigned failed = report_all(runner, program_name(argv[0]));
    srunner_free(runner);
    return failed ? 1 : 0;
}
