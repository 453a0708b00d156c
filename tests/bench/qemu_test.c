/* SPDX-License-Identifier: MIT
 *
 * QEMU as a process of the benchmarks, played by a script that is found before it: the bell, its end, and
 * what it says then.
 */
#include "bench/qemu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/types.h"
#include "tests/harness.h"

#define SECONDS 20

static const uint8_t image[] = {1, 2, 3};
static char folder[] = "/tmp/vmm-qemu-XXXXXX", script[60];
static char *path_before;

/* Rings, speaks and ends. */
static const char player[] = "#!/bin/sh\n"
                             "for word; do\n"
                             "    case $word in file,id=bell,path=*) bell=${word#*path=} ;; esac\n"
                             "    last=$word\n"
                             "done\n"
                             "printf x >$bell\n"
                             "echo one >&2\n"
                             "echo \"the last word is $last\" >&2\n"
                             "exit 1\n";

static void set_up(void)
{
    char path[400];
    path_before = getenv("PATH");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(script, sizeof(script), "%s/qemu-system-x86_64", folder);
    FILE *file = fopen(script, "w");
    ck_assert_ptr_nonnull(file);
    fputs(player, file);
    fclose(file);
    ck_assert_int_eq(chmod(script, 0755), 0);
    snprintf(path, sizeof(path), "%s:%.300s", folder, path_before);
    setenv("PATH", path, 1);
}

static void tear_down(void)
{
    unlink(script);
    rmdir(folder);
}

START_TEST(a_bell_and_then_its_last_words)
{
    struct qemu qemu = qemu_nothing;
    const char *const words[] = {"-device", "of-the-test", NULL};
    const char *reason = NULL;
    set_up();
    ck_assert_int_eq(qemu_make_files(&qemu, 1 * MIB, image, sizeof(image)), 0);
    ck_assert_uint_eq(qemu.ram[MIB - 1], 0);
    ck_assert_int_eq(qemu_start(&qemu, 0xf0, words), 0);
    ck_assert(qemu_wait(&qemu, SECONDS, &reason));
    qemu_go_on(&qemu);
    ck_assert(!qemu_wait(&qemu, SECONDS, &reason));
    ck_assert_str_eq(reason, "QEMU ends: the last word is of-the-test");
    ck_assert(qemu.has_failed);
    ck_assert_int_eq(qemu.pid, 0);
    qemu_clear(&qemu);
    ck_assert_int_eq(qemu.ram_fd, -1);
    ck_assert(!qemu.has_failed);
    tear_down();
}
END_TEST

START_TEST(where_there_is_none_it_says_so)
{
    struct qemu qemu = qemu_nothing;
    const char *const words[] = {NULL};
    setenv("PATH", "/nonexistent", 1);
    ck_assert_int_eq(qemu_make_files(&qemu, 1 * MIB, image, sizeof(image)), 0);
    ck_assert_int_eq(qemu_start(&qemu, 0xf0, words), -ENOENT);
    qemu_clear(&qemu);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_bell_and_then_its_last_words);
    test_add(suite, where_there_is_none_it_says_so);
}
