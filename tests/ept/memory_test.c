/* SPDX-License-Identifier: MIT
 *
 * Guest memory: holes, edges, wraps, read-only ranges.
 */
#include "ept/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness.h"

static struct guest_memory *create(uint64_t ram_bytes)
{
    struct guest_memory *memory;
    struct vmm_error error = {0};
    int result = guest_memory_create(ram_bytes, MEMORY_ANONYMOUS, &memory, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    return memory;
}

START_TEST(ram_goes_on_above_the_hole)
{
    struct guest_memory *memory = create(5 * GIB);
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(memory, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(ranges[0].len, PCI_HOLE_GPA);
    ck_assert_uint_eq(ranges[1].gpa, 4 * GIB);
    ck_assert_uint_eq(ranges[1].len, 2 * GIB);
    ck_assert(guest_mem_is_ram(memory, 6 * GIB - 1, 1));
    ck_assert(!guest_mem_is_ram(memory, 6 * GIB, 1));
    ck_assert(!guest_mem_is_ram(memory, PCI_HOLE_GPA, 1));
    ck_assert(!guest_mem_is_ram(memory, PCI_HOLE_GPA - 1, 2));
    guest_memory_destroy(memory);
}
END_TEST

/* Otherwise neither the host nor KVM could use huge pages. */
START_TEST(ram_lies_as_huge_pages_do)
{
    static const uint64_t sizes[] = {2 * MIB, 3 * MIB, 128 * MIB + PAGE_BYTES, 5 * GIB};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct guest_memory *memory = create(sizes[i]);
        size_t count;
        const struct memory_range *ranges = guest_memory_ranges(memory, &count);
        for (size_t r = 0; r < count; r++)
            ck_assert_uint_eq((uintptr_t)ranges[r].hva % (2 * MIB), ranges[r].gpa % (2 * MIB));
        guest_memory_destroy(memory);
    }
}
END_TEST

START_TEST(a_copy_that_leaves_ram_copies_nothing)
{
    struct guest_memory *memory = create(64 * KIB);
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8] = {0};
    ck_assert_int_eq(guest_mem_write(memory, 64 * KIB - 7, bytes, 8), -EFAULT);
    ck_assert_int_eq(guest_mem_read(memory, 64 * KIB - 7, back, 7), 0);
    ck_assert_uint_eq(back[0], 0);
    ck_assert_int_eq(guest_mem_write(memory, 64 * KIB - 8, bytes, 8), 0);
    ck_assert_int_eq(guest_mem_read(memory, 64 * KIB - 8, back, 8), 0);
    ck_assert_mem_eq(bytes, back, 8);
    ck_assert_int_eq(guest_mem_read(memory, UINT64_MAX - 3, back, 8), -EFAULT);
    ck_assert_int_eq(guest_mem_read(memory, 0, back, UINT64_MAX), -EFAULT);
    ck_assert_int_eq(guest_mem_fill(memory, 1, 0xaa, UINT64_MAX), -EFAULT);
    ck_assert_int_eq(guest_mem_read(memory, UINT64_MAX, back, 0), 0);
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(adjoining_ranges_are_copied_across)
{
    struct guest_memory *memory = create(64 * KIB);
    static uint8_t more[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    ck_assert_int_eq(guest_memory_add(memory, 64 * KIB, more, sizeof(more), false, NULL), 0);
    ck_assert_int_eq(guest_mem_fill(memory, 64 * KIB - 2, 0x55, 4), 0);
    uint8_t back[4];
    ck_assert_int_eq(guest_mem_read(memory, 64 * KIB - 2, back, 4), 0);
    ck_assert_mem_eq(back, "\x55\x55\x55\x55", 4);
    ck_assert_uint_eq(more[1], 0x55);
    ck_assert_ptr_null(guest_mem_ptr(memory, 64 * KIB - 2, 4));
    ck_assert_ptr_eq(guest_mem_ptr(memory, 64 * KIB + 2, 4), more + 2);
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(read_only_ranges_take_loads_but_no_writes)
{
    struct guest_memory *memory = create(64 * KIB);
    static uint8_t rom[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    ck_assert_int_eq(guest_memory_add(memory, GIB, rom, sizeof(rom), true, NULL), 0);
    ck_assert_int_eq(guest_mem_write(memory, GIB, "x", 1), -EFAULT);
    ck_assert_int_eq(guest_mem_load(memory, GIB, "x", 1), 0);
    ck_assert_uint_eq(rom[0], 'x');
    ck_assert_ptr_null(guest_mem_ptr(memory, GIB, 1));
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(bad_ranges_are_refused_with_a_reason)
{
    struct guest_memory *memory = create(64 * KIB);
    struct vmm_error error;
    static uint8_t page[2 * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    ck_assert_int_eq(guest_memory_add(memory, 60 * KIB, page, sizeof(page), false, &error), -EEXIST);
    ck_assert_ptr_nonnull(strstr(error.message, "overlap"));
    ck_assert_int_eq(guest_memory_add(memory, 64 * KIB, page, 100, false, &error), -EINVAL);
    ck_assert_int_eq(guest_memory_add(memory, -(gpa_t)PAGE_BYTES, page, sizeof(page), false, &error),
                     -EINVAL);
    struct guest_memory *none;
    ck_assert_int_eq(guest_memory_create(0, MEMORY_ANONYMOUS, &none, &error), -EINVAL);
    ck_assert_int_eq(guest_memory_create(100, MEMORY_ANONYMOUS, &none, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "100 bytes"));
    guest_memory_destroy(memory);
}
END_TEST

/* From its first byte to its last. */
START_TEST(shared_memory_has_a_descriptor)
{
    static const uint64_t sizes[] = {64 * KIB, 3 * MIB + PAGE_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct guest_memory *memory;
        struct stat status;
        char text[2][6] = {"", ""};
        ck_assert_int_eq(guest_memory_create(sizes[i], MEMORY_SHARED, &memory, NULL), 0);
        int fd = guest_memory_fd(memory);
        ck_assert_int_eq(fstat(fd, &status), 0);
        ck_assert_uint_eq((uint64_t)status.st_size, sizes[i]);
        ck_assert_int_eq(guest_mem_write(memory, 0, "first", 6), 0);
        ck_assert_int_eq(pwrite(fd, "last", 5, (off_t)sizes[i] - 5), 5);
        ck_assert_int_eq(pread(fd, text[0], 6, 0), 6);
        ck_assert_int_eq(guest_mem_read(memory, sizes[i] - 5, text[1], 5), 0);
        ck_assert_str_eq(text[0], "first");
        ck_assert_str_eq(text[1], "last");
        guest_memory_destroy(memory);
    }
}
END_TEST

/* Across two ranges, as from a buffer. */
START_TEST(a_file_is_loaded_without_a_buffer)
{
    static uint8_t bytes[3 * PAGE_BYTES], found[3 * PAGE_BYTES], more[PAGE_BYTES * 2];
    struct guest_memory *memory = create(8 * MIB);
    int fd = memfd_create("image", MFD_CLOEXEC);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    ck_assert_int_eq(
        guest_memory_add(memory, 8 * MIB,
                         (void *)(((uintptr_t)more + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1)),
                         PAGE_BYTES, true, NULL),
        0);
    ck_assert_int_eq(guest_mem_load_file(memory, 8 * MIB - PAGE_BYTES + 3, fd, 5, 2 * PAGE_BYTES - 3), 0);
    ck_assert_int_eq(guest_mem_read(memory, 8 * MIB - PAGE_BYTES, found, 2 * PAGE_BYTES), 0);
    ck_assert(!found[0] && !found[1] && !found[2]);
    ck_assert_mem_eq(found + 3, bytes + 5, 2 * PAGE_BYTES - 3);
    ck_assert_int_eq(guest_mem_load_file(memory, 8 * MIB, fd, 0, PAGE_BYTES + 1), -EFAULT);
    ck_assert_int_eq(guest_mem_load_file(memory, UINT64_MAX, fd, 0, 2), -EFAULT);
    ck_assert_int_eq(guest_mem_load_file(memory, 0, fd, 1, sizeof(bytes)), -EIO);
    ck_assert_int_eq(guest_mem_load_file(memory, 0, fd, sizeof(bytes), 0), 0);
    close(fd);
    ck_assert_int_eq(guest_mem_load_file(memory, 0, fd, 0, 1), -EBADF);
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(an_expectation_touches_nothing)
{
    struct guest_memory *memory = create(8 * MIB);
    static unsigned char resident[8 * MIB / PAGE_BYTES];
    guest_mem_expect(memory, 5, 8 * MIB - 5);
    guest_mem_expect(memory, 0, 8 * MIB + 1);
    guest_mem_expect(memory, UINT64_MAX, 2);
    guest_mem_expect(memory, 5 * MIB, 0);
    ck_assert_int_eq(mincore(guest_mem_ptr(memory, 0, 8 * MIB), 8 * MIB, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++)
        ck_assert_uint_eq(resident[i] & 1, 0);
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(a_pool_that_is_too_small_is_said_at_once)
{
    struct guest_memory *memory;
    struct vmm_error error;
    ck_assert_int_eq(guest_memory_create(MIB, MEMORY_HUGE, &memory, &error), -EINVAL);
    ck_assert_str_eq(error.message, "memory: 1048576 bytes are not a multiple of a huge page, which is 2M");
    /* No pool of a test machine has this much. */
    ck_assert_int_eq(guest_memory_create(1024 * GIB, MEMORY_HUGE, &memory, &error), -ENOMEM);
    ck_assert_ptr_nonnull(strstr(error.message, "has not 524288 huge pages"));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_pool_that_is_too_small_is_said_at_once);
    test_add(suite, ram_goes_on_above_the_hole);
    test_add(suite, ram_lies_as_huge_pages_do);
    test_add(suite, a_copy_that_leaves_ram_copies_nothing);
    test_add(suite, adjoining_ranges_are_copied_across);
    test_add(suite, read_only_ranges_take_loads_but_no_writes);
    test_add(suite, bad_ranges_are_refused_with_a_reason);
    test_add(suite, shared_memory_has_a_descriptor);
    test_add(suite, a_file_is_loaded_without_a_buffer);
    test_add(suite, an_expectation_touches_nothing);
}
