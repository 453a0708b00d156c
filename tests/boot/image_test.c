/* SPDX-License-Identifier: MIT
 *
 * Image files: small and large ones, and every kind of path that is none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "tests/harness.h"

static char directory[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%.40s/boot-image-XXXXXX", parent ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void make_file(const char *name, size_t len, mode_t mode)
{
    int fd = open(path_of(name), O_CREAT | O_WRONLY | O_EXCL, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, len), 0);
    ck_assert(len < 4 || pwrite(fd, "last", 4, len - 4) == 4);
    close(fd);
}

static void must_open(const char *name, size_t len)
{
    struct boot_image image;
    struct vmm_error error;
    int result = boot_image_open(path_of(name), &image, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    ck_assert_uint_eq(image.len, len);
    ck_assert_mem_eq(image.bytes + len - 4, "last", 4);
    boot_image_close(&image);
    ck_assert_ptr_null(image.bytes);
}

static void must_refuse(const char *path, const char *text)
{
    struct boot_image image;
    struct vmm_error error = {0};
    char want[256];
    ck_assert_int_lt(boot_image_open(path, &image, &error), 0);
    snprintf(want, sizeof(want), "%s: %s", path, text);
    ck_assert_msg(!strncmp(error.message, want, strlen(want)), "\"%s\" does not begin with \"%s\"",
                  error.message, want);
}

START_TEST(files_are_read_whole)
{
    make_directory();
    make_file("small", 5000, 0600);
    make_file("edge", 64 * KIB, 0600);
    make_file("beyond", 64 * KIB + 1, 0600);
    make_file("large", 3 * MIB + 17, 0600);
    must_open("small", 5000);
    must_open("edge", 64 * KIB);
    must_open("beyond", 64 * KIB + 1);
    must_open("large", 3 * MIB + 17);
    unlink(path_of("small"));
    unlink(path_of("edge"));
    unlink(path_of("beyond"));
    unlink(path_of("large"));
    rmdir(directory);
}
END_TEST

/* What is too large to be read at once goes from the file to the guest. */
START_TEST(a_large_file_comes_into_the_guest)
{
    const struct boot_config config = {.protocol = BOOT_FLAT_PROT32};
    struct guest_memory *memory;
    struct boot_image image;
    struct boot_state state;
    struct vmm_error error;
    char found[8] = "";
    make_directory();
    make_file("large", 3 * MIB + 17, 0600);
    ck_assert_int_eq(guest_memory_create(8 * MIB, MEMORY_ANONYMOUS, &memory, NULL), 0);
    ck_assert_int_eq(boot_image_open(path_of("large"), &image, &error), 0);
    ck_assert_msg(boot_load(&image, &config, memory, &state, &error) == 0, "%s", error.message);
    ck_assert_int_eq(guest_mem_read(memory, BOOT_FLAT_GPA + 3 * MIB + 13, found, 5), 0);
    ck_assert_mem_eq(found, "last", 5);
    ck_assert_int_eq(truncate(path_of("large"), MIB), 0); /* by another process, say */
    ck_assert_int_eq(boot_load(&image, &config, memory, &state, &error), -EIO);
    ck_assert_ptr_nonnull(strstr(error.message, "large: cannot read: "));
    boot_image_close(&image);
    guest_memory_destroy(memory);
    unlink(path_of("large"));
    rmdir(directory);
}
END_TEST

START_TEST(what_is_no_image_file_is_refused)
{
    make_directory();
    must_refuse(directory, "is a directory");
    must_refuse(path_of("missing"), "cannot open: No such file or directory");
    must_refuse("", "cannot open: No such file or directory");
    must_refuse("/dev/null", "is a device; give an image file");
    make_file("empty", 0, 0600);
    must_refuse(path_of("empty"), "is empty");
    must_refuse(path_of("empty/below"), "cannot open: Not a directory");
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    must_refuse(path_of("pipe"),
                "is a pipe or socket; write what comes out of it to a file first"); /* and does not wait for a
                                                                                       writer */
    make_file("huge", 0, 0600);
    int sparse = truncate(path_of("huge"), (off_t)(64 * GIB + 1));
    if (!sparse)
        must_refuse(path_of("huge"), "has 68719476737 bytes; an image has at most 64 GiB");
    unlink(path_of("huge"));
    unlink(path_of("empty"));
    unlink(path_of("pipe"));
    rmdir(directory);
}
END_TEST

START_TEST(no_permission_is_said)
{
    make_directory();
    make_file("secret", 10, 0);
    ck_assert_int_eq(chmod(directory, 0755), 0);
    /* Root may read everything, so become nobody, for a while. */
    if (getuid() == 0 && setresuid(65534, 65534, 0)) {
        unlink(path_of("secret"));
        rmdir(directory);
        test_skip("cannot give up root's rights here, and root may read every file");
    }
    must_refuse(path_of("secret"), "cannot open: Permission denied");
    if (geteuid() == 65534)
        ck_assert_int_eq(setresuid(0, 0, 0), 0);
    unlink(path_of("secret"));
    rmdir(directory);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, files_are_read_whole);
    test_add(suite, a_large_file_comes_into_the_guest);
    test_add(suite, what_is_no_image_file_is_refused);
    test_add(suite, no_permission_is_said);
}
