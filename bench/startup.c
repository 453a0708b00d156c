/* SPDX-License-Identifier: MIT
 *
 * What `vmm run` costs beside the KVM calls that nobody can avoid: whole processes, from spawn to exit, vmm
 * and the floor (startup_floor.c) by turns, so that both see the same noise. Medians and their ratio, and the
 * phases and memory that vmm reports of itself.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define RUNS_MAX 10000

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds from spawn to the end of the process, which must exit with `expected`. */
static double run_once(char *const argv[], int expected)
{
    pid_t child;
    int status;
    double start = now_us();
    if (posix_spawn(&child, argv[0], NULL, NULL, argv, environ) || waitpid(child, &status, 0) != child) {
        fprintf(stderr, "startup: cannot run %s\n", argv[0]);
        exit(2);
    }
    double end = now_us();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        fprintf(stderr, "startup: %s ended with status %#x instead of %d\n", argv[0], status, expected);
        exit(1);
    }
    return end - start;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void print_row(const char *name, double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof(*samples), compare);
    printf("%-14s %9.0f %9.0f %9.0f %9.0f\n", name, samples[0], samples[count / 2], samples[count * 9 / 10],
           samples[count - 1]);
}

/* Usage: startup VMM FLOOR IMAGE [RUNS]. IMAGE is flat 16-bit code that writes 0 to port 0xf4. */
int main(int argc, char **argv)
{
    static double vmm_us[RUNS_MAX], floor_us[RUNS_MAX];
    int runs = argc > 4 ? atoi(argv[4]) : 200;
    if (argc < 4 || runs < 1 || runs > RUNS_MAX) {
        fprintf(stderr, "usage: startup VMM FLOOR IMAGE [RUNS]\n");
        return 2;
    }
    char *vmm[] = {argv[1], "run", "--flat", "real16", "--serial", "none", argv[3], NULL};
    char *floor[] = {argv[2], argv[3], NULL};
    char *stats[] = {argv[1], "run", "--flat", "real16", "--serial", "none", "--stats", argv[3], NULL};
    for (int i = 0; i < 5; i++) {
        run_once(vmm, 1);
        run_once(floor, 0);
    }
    for (int i = 0; i < runs; i++) {
        vmm_us[i] = run_once(vmm, 1);
        floor_us[i] = run_once(floor, 0);
    }
    printf("process start to exit, %d runs each, by turns (microseconds)\n", runs);
    printf("%-14s %9s %9s %9s %9s\n", "", "minimum", "median", "p90", "maximum");
    print_row("vmm run", vmm_us, runs);
    print_row("bare KVM calls", floor_us, runs);
    printf("ratio of medians %.3f, of minima %.3f (wanted: at most 1.15)\n\n",
           vmm_us[runs / 2] / floor_us[runs / 2], vmm_us[0] / floor_us[0]);
    printf("phases and memory, as vmm reports them of one run:\n");
    fflush(stdout);
    run_once(stats, 1);
    return 0;
}
