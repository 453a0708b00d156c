/* SPDX-License-Identifier: MIT
 *
 * Flat images in the three modes.
 */
#include "tests/boot/fixture.h"

#include <sys/mman.h>

#define USUAL_GPA UINT64_MAX - 1 /* where the mode has its images */

static void init_flat(struct fixture *fixture, uint64_t ram_bytes, enum boot_protocol protocol, gpa_t gpa)
{
    fixture_init(fixture, ram_bytes);
    fixture->config.protocol = protocol;
    fixture->config.has_flat_gpa = gpa != USUAL_GPA;
    fixture->config.flat_gpa = gpa;
    memset(fixture->bytes, 0xf4, 100);
    fixture->image.len = 100;
}

START_TEST(real_mode_starts_as_a_boot_sector)
{
    struct fixture fixture;
    init_flat(&fixture, 64 * KIB, BOOT_FLAT_REAL16, USUAL_GPA);
    fixture_must_load(&fixture);
    const struct boot_state *state = &fixture.state;
    ck_assert_int_eq(state->mode, BOOT_CPU_REAL16);
    ck_assert_uint_eq(state->cs.base + state->rip, 0x7c00);
    ck_assert_uint_eq(state->cs.selector, 0);
    ck_assert_uint_eq(state->cs.limit, 0xffff);
    ck_assert(!state->cs.size32 && state->cs.present && state->cs.code_or_data);
    ck_assert_uint_eq(state->cr0 & 1, 0);
    ck_assert_uint_eq(state->ss.base + state->rsp, 0x7c00);
    ck_assert_uint_eq(state->idt.limit, 0x3ff);
    ck_assert_uint_eq(fixture_read(&fixture, 0x7c63, 2), 0x00f4);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(real_mode_beyond_64_kib_uses_a_segment)
{
    struct fixture fixture;
    init_flat(&fixture, MIB, BOOT_FLAT_REAL16, 0x12340);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0);
    ck_assert_uint_eq(fixture.state.cs.selector, 0x1234);
    ck_assert_uint_eq(fixture.state.cs.base, 0x12340);
    ck_assert_uint_eq(fixture.state.ds.base, 0x12340);
    ck_assert_uint_eq(fixture.state.rsp, 0xfff0);
    fixture.config.flat_gpa = 0x12341;
    fixture_must_refuse(&fixture, -EINVAL, "real mode cannot begin at 0x12341");
    fixture.config.flat_gpa = 0x100000;
    fixture_must_refuse(&fixture, -EINVAL, "real mode cannot begin at 0x100000");
    fixture.config.flat_gpa = 0xffff0;
    fixture_must_refuse(&fixture, -ENOSPC, "(0xffff0-0x100053) lies outside of the guest's RAM");
    fixture.config.flat_gpa = 0;
    fixture_must_load(&fixture);
    fixture.config.cmdline = "x";
    fixture_must_refuse(&fixture, -EINVAL, "no way to receive a command line");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_real_mode_image_touches_only_its_own_pages)
{
    struct fixture fixture;
    unsigned char resident[16];
    init_flat(&fixture, 64 * KIB, BOOT_FLAT_REAL16, USUAL_GPA);
    void *ram = guest_mem_ptr(fixture.memory, 0, 64 * KIB);
    ck_assert_int_eq(madvise(ram, 64 * KIB, MADV_NOHUGEPAGE), 0);
    fixture_must_load(&fixture);
    ck_assert_int_eq(mincore(ram, 64 * KIB, resident), 0);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(resident[i] & 1, i == 7);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(protected_mode_has_a_gdt_a_stack_and_start_info)
{
    struct fixture fixture;
    init_flat(&fixture, 64 * KIB, BOOT_FLAT_PROT32, 0x1000);
    fixture.config.cmdline = "hello";
    fixture_must_load(&fixture);
    const struct boot_state *state = &fixture.state;
    ck_assert_int_eq(state->mode, BOOT_CPU_PROT32);
    ck_assert_uint_eq(state->rip, 0x1000);
    ck_assert_uint_eq(state->cr0 & 0x80000001, 1);
    ck_assert_uint_eq(state->rsp % 16, 12); /* as behind a call */
    ck_assert_uint_ge(state->rsp, 0x2000);
    ck_assert(guest_mem_is_ram(fixture.memory, state->rsp, 4));
    ck_assert_uint_eq(fixture_read(&fixture, state->rbx, 4), 0x336ec578);
    fixture_check_string(&fixture, fixture_read(&fixture, state->rbx + 24, 8), "hello");
    fixture.config.has_flat_gpa = false;
    fixture_must_refuse(&fixture, -ENOSPC,
                        "(0x100000-0x100063) lies outside of the guest's RAM; give the guest more memory");
    fixture.config.has_flat_gpa = true;
    fixture.config.flat_gpa = 3 * GIB;
    fixture_must_refuse(&fixture, -ENOSPC, "lies outside of the guest's RAM; RAM is below 3 GiB and from 4");
    fixture_fini(&fixture);
}
END_TEST

/* Walks the page tables as SDM 3A 4.5 says; the physical address, or all ones. */
static gpa_t walk(const struct fixture *fixture, uint64_t gva)
{
    uint64_t entry = fixture->state.cr3 | 3;
    for (int level = 3; level >= 0; level--) {
        entry = fixture_read(fixture, (entry & 0xffffffffff000) + 8 * (gva >> (12 + 9 * level) & 511), 8);
        if ((entry & 3) != 3)
            return UINT64_MAX;
        uint64_t mask = (1ull << (12 + 9 * level)) - 1;
        if (level > 0 && (entry & 0x80))
            return (entry & 0xffffffffff000 & ~mask) | (gva & mask);
    }
    return (entry & 0xffffffffff000) | (gva & 0xfff);
}

START_TEST(long_mode_maps_memory_to_itself)
{
    static const uint64_t low[] = {0, 0xfff, 0x100000, 0x3fffffff, 0x40000000, 0xfee00020, 0xffffffff};
    for (int gib_pages = 0; gib_pages < 2; gib_pages++) {
        struct fixture fixture;
        init_flat(&fixture, 2 * MIB, BOOT_FLAT_LONG64, USUAL_GPA);
        fixture.config.gib_pages = gib_pages;
        fixture_must_load(&fixture);
        const struct boot_state *state = &fixture.state;
        ck_assert_int_eq(state->mode, BOOT_CPU_LONG64);
        ck_assert_uint_eq(state->cr0 & 0x80000001, 0x80000001);
        ck_assert_uint_eq(state->cr4 & 0x620, 0x620);
        ck_assert_uint_eq(state->efer, 0x500);
        ck_assert(state->cs.long_mode && !state->cs.size32 && state->cs.selector == 0x18);
        ck_assert_uint_eq(state->rsp % 16, 8);
        ck_assert_uint_eq(state->rdi, state->rbx);
        for (size_t i = 0; i < ARRAY_COUNT(low); i++)
            ck_assert_uint_eq(walk(&fixture, low[i]), low[i]);
        ck_assert_uint_eq(walk(&fixture, 4 * GIB), gib_pages ? 4 * GIB : UINT64_MAX);
        ck_assert_uint_eq(walk(&fixture, 512 * GIB), UINT64_MAX);
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(long_mode_fits_into_64_kib)
{
    struct fixture fixture;
    init_flat(&fixture, 64 * KIB, BOOT_FLAT_LONG64, 0x1000);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(walk(&fixture, 0x1000), 0x1000);
    ck_assert_uint_lt(fixture.state.rbx, 64 * KIB);
    fixture_fini(&fixture);
    init_flat(&fixture, 5 * GIB, BOOT_FLAT_LONG64, 0x140000000);
    fixture_must_refuse(&fixture, -ENOEXEC,
                        "entry point 0x140000000 lies outside of what it loads below 4 GiB");
    fixture.config.gib_pages = true;
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(an_address_that_wraps_is_refused)
{
    struct fixture fixture;
    init_flat(&fixture, MIB, BOOT_FLAT_LONG64, 0xffffffffffffffff);
    fixture_must_refuse(&fixture, -EINVAL, "wrap around the end of the address space");
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, real_mode_starts_as_a_boot_sector);
    test_add(suite, real_mode_beyond_64_kib_uses_a_segment);
    test_add(suite, a_real_mode_image_touches_only_its_own_pages);
    test_add(suite, protected_mode_has_a_gdt_a_stack_and_start_info);
    test_add(suite, long_mode_maps_memory_to_itself);
    test_add(suite, long_mode_fits_into_64_kib);
    test_add(suite, an_address_that_wraps_is_refused);
}
