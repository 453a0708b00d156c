/* SPDX-License-Identifier: MIT
 *
 * Names for addresses, from small files of each kind that are made here: ELF of 64 and 32 bits, with a .bss
 * that is longer than the file, and System.map.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness.h"
#include "vmm/cli/trace.h"

enum { SECTION_NONE, SECTION_BSS, SECTION_SYMBOLS, SECTION_NAMES, SECTION_COUNT };

static const char names[] = "\0first\0second";

/* As a linker lays it out: .bss, which has no bytes here, before the table of symbols. */
#define DEFINE_IMAGE(BITS)                                                                          \
    struct image##BITS {                                                                            \
        Elf##BITS##_Ehdr head;                                                                      \
        Elf##BITS##_Shdr sections[SECTION_COUNT];                                                   \
        Elf##BITS##_Sym symbols[3];                                                                 \
        char names[sizeof(names)];                                                                  \
    };                                                                                              \
    static struct image##BITS make_image##BITS(void) {                                              \
        struct image##BITS image = {                                                                \
            .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS##BITS, ELFDATA2LSB},  \
                     .e_shoff = offsetof(struct image##BITS, sections),                             \
                     .e_shentsize = sizeof(Elf##BITS##_Shdr),                                       \
                     .e_shnum = SECTION_COUNT},                                                     \
            .sections[SECTION_BSS] = {.sh_type = SHT_NOBITS,                                        \
                                      .sh_addr = 0x3000,                                            \
                                      .sh_offset = sizeof(image),                                   \
                                      .sh_size = 1 << 20},                                          \
            .sections[SECTION_SYMBOLS] = {.sh_type = SHT_SYMTAB,                                    \
                                          .sh_offset = offsetof(struct image##BITS, symbols),       \
                                          .sh_size = sizeof(image.symbols),                         \
                                          .sh_link = SECTION_NAMES},                                \
            .sections[SECTION_NAMES] = {.sh_type = SHT_STRTAB,                                      \
                                        .sh_offset = offsetof(struct image##BITS, names),           \
                                        .sh_size = sizeof(names)},                                  \
            .symbols[1] = {.st_name = 1, .st_info = STT_FUNC, .st_shndx = 1, .st_value = 0x1000},   \
            .symbols[2] = {.st_name = 7, .st_info = STT_NOTYPE, .st_shndx = 1, .st_value = 0x2000}, \
        };                                                                                          \
        memcpy(image.names, names, sizeof(names));                                                  \
        return image;                                                                               \
    }

DEFINE_IMAGE(32)
DEFINE_IMAGE(64)

static int open_bytes(const void *bytes, size_t len, struct symbols **symbols, struct vmm_error *error)
{
    char path[] = "/tmp/vmm-symbols-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    int result = symbols_open(path, symbols, error);
    unlink(path);
    return result;
}

static void check_names(const void *bytes, size_t len)
{
    char text[100];
    struct symbols *symbols;
    struct vmm_error error;
    int result = open_bytes(bytes, len, &symbols, &error);
    ck_assert_msg(!result, "%s", error.message);
    ck_assert_str_eq(symbols_name(symbols, 0x1000, text, sizeof(text)), "first");
    ck_assert_str_eq(symbols_name(symbols, 0x2012, text, sizeof(text)), "second+0x12");
    ck_assert_str_eq(symbols_name(symbols, 0xfff, text, sizeof(text)), "");
    symbols_close(symbols);
}

START_TEST(a_bss_hides_no_symbols)
{
    struct image64 wide = make_image64();
    struct image32 narrow = make_image32();
    check_names(&wide, sizeof(wide));
    check_names(&narrow, sizeof(narrow));
}
END_TEST

START_TEST(tables_that_lead_out_of_the_file_are_left_out)
{
    for (unsigned section = SECTION_SYMBOLS; section <= SECTION_NAMES; section++)
        for (unsigned far = 0; far < 2; far++) {
            struct image64 image = make_image64();
            struct symbols *symbols;
            struct vmm_error error;
            if (far)
                image.sections[section].sh_offset = UINT64_MAX - 8;
            else
                image.sections[section].sh_size = sizeof(image);
            ck_assert_int_eq(open_bytes(&image, sizeof(image), &symbols, &error), -EINVAL);
            ck_assert_ptr_nonnull(strstr(error.message, "has no symbols"));
        }
}
END_TEST

START_TEST(a_map_has_names_of_functions)
{
    static const char map[] = "0000000000001000 T first\n0000000000002000 t second\n"
                              "0000000000002001 D data\nnonsense\n0000000000003000 t third\t[module]\n";
    char text[100];
    struct symbols *symbols;
    check_names(map, strlen(map));
    ck_assert_int_eq(open_bytes(map, strlen(map), &symbols, NULL), 0);
    ck_assert_str_eq(symbols_name(symbols, 0x3000, text, sizeof(text)), "third [module]");
    symbols_close(symbols);
}
END_TEST

/* A file that is made anew, by a build say, while names are still asked for. */
START_TEST(a_file_that_is_emptied_meanwhile_takes_no_names_along)
{
    char path[] = "/tmp/vmm-symbols-XXXXXX", text[100];
    struct image64 image = make_image64();
    struct symbols *symbols;
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, &image, sizeof(image)), sizeof(image));
    ck_assert_int_eq(symbols_open(path, &symbols, NULL), 0);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_str_eq(symbols_name(symbols, 0x1000, text, sizeof(text)), "first");
    symbols_close(symbols);
    close(fd);
    unlink(path);
}
END_TEST

/* As of /proc/kallsyms. */
START_TEST(a_map_whose_size_nobody_knows_is_read)
{
    static const char map[] = "0000000000001000 T first\n";
    char path[32], text[100];
    struct symbols *symbols;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], map, sizeof(map) - 1), sizeof(map) - 1);
    close(fds[1]);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    ck_assert_int_eq(symbols_open(path, &symbols, NULL), 0);
    ck_assert_str_eq(symbols_name(symbols, 0x1000, text, sizeof(text)), "first");
    symbols_close(symbols);
    close(fds[0]);
}
END_TEST

START_TEST(what_cannot_be_read_is_named)
{
    struct symbols *symbols;
    struct vmm_error error;
    ck_assert_int_eq(symbols_open("no/such/file", &symbols, &error), -ENOENT);
    ck_assert_str_eq(error.message, "no/such/file: cannot open: No such file or directory");
    ck_assert_int_eq(symbols_open("/", &symbols, &error), -EISDIR);
    ck_assert_str_eq(error.message, "/: cannot read: Is a directory");
    ck_assert_int_eq(symbols_open("/dev/null", &symbols, &error), -EINVAL);
    ck_assert_str_eq(error.message, "/dev/null: is empty");
    ck_assert_ptr_null(symbols);
}
END_TEST

/* Of a terminal they would change the colour, and more. */
START_TEST(names_have_no_control_characters)
{
    static const char map[] = "0000000000001000 T a\x1b[31m\x9b\x7f"
                              "b\n";
    struct image64 image = make_image64();
    memcpy(image.names, "\0\x1b[1m\r\0", 7);
    char text[100];
    struct symbols *symbols;
    ck_assert_int_eq(open_bytes(map, strlen(map), &symbols, NULL), 0);
    ck_assert_str_eq(symbols_name(symbols, 0x1001, text, sizeof(text)), "a.[31m..b+0x1");
    symbols_close(symbols);
    ck_assert_int_eq(open_bytes(&image, sizeof(image), &symbols, NULL), 0);
    ck_assert_str_eq(symbols_name(symbols, 0x1000, text, sizeof(text)), ".[1m.");
    symbols_close(symbols);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_bss_hides_no_symbols);
    test_add(suite, a_map_has_names_of_functions);
    test_add(suite, a_file_that_is_emptied_meanwhile_takes_no_names_along);
    test_add(suite, a_map_whose_size_nobody_knows_is_read);
    test_add(suite, what_cannot_be_read_is_named);
    test_add(suite, names_have_no_control_characters);
    test_add(suite, tables_that_lead_out_of_the_file_are_left_out);
}
