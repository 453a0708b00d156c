/* SPDX-License-Identifier: MIT
 *
 * Every byte of every kind of image is varied: the load either succeeds with everything in its place, or is
 * refused with a sentence.
 */
#include "tests/boot/fixture.h"
#include "tests/boot/invariants.h"

static const uint8_t module_bytes[] = "a module";
static const struct boot_module module = {{module_bytes, sizeof(module_bytes), "module"}, "arguments"};

static const struct boot_module initrd = {{module_bytes, sizeof(module_bytes), "initrd"}, NULL};

static void try_load(struct fixture *fixture, size_t offset)
{
    fixture->error.message[0] = 0;
    int result = fixture_load(fixture);
    ck_assert_msg(!result || fixture->error.message[0], "byte %#zx: no message", offset);
    const char *broken = result ? NULL
                                : boot_invariant_broken(&fixture->image, &fixture->config, fixture->memory,
                                                        &fixture->state);
    ck_assert_msg(!broken, "byte %#zx is %#x, and it does not hold that %s", offset, fixture->bytes[offset],
                  broken);
}

static void vary_every_byte(struct fixture *fixture)
{
    static const uint8_t variants[] = {0, 1, 0x7f, 0x80, 0xff};
    fixture->config.cmdline = "a command line";
    if (!fixture->config.modules)
        fixture->config.modules = &module;
    fixture->config.module_count = 1;
    for (size_t offset = 0; offset < fixture->image.len; offset++) {
        uint8_t sound = fixture->bytes[offset];
        for (size_t i = 0; i < ARRAY_COUNT(variants); i++) {
            fixture->bytes[offset] = variants[i];
            try_load(fixture, offset);
        }
        for (int bit = 0; bit < 8; bit++) {
            fixture->bytes[offset] = sound ^ 1 << bit;
            try_load(fixture, offset);
        }
        fixture->bytes[offset] = sound;
    }
    fixture_must_load(fixture);
}

START_TEST(elf_files)
{
    for (int kind = 0; kind < 8; kind++) {
        struct fixture fixture;
        bool has_multiboot = kind & 2;
        struct test_elf elf = images_default_elf(kind & 1, has_multiboot, !has_multiboot || kind & 4);
        fixture_init(&fixture, 2 * MIB);
        fixture.image.len = images_elf(&elf, fixture.bytes);
        vary_every_byte(&fixture);
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(multiboot_images_with_addresses)
{
    static const uint32_t addresses[5] = {0x100020, 0x100000, 0x100100, 0x103000, 0x100004};
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    fixture.image.len = images_multiboot(addresses, fixture.bytes);
    vary_every_byte(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(linux_kernels)
{
    struct fixture fixture;
    fixture_init(&fixture, 4 * MIB);
    fixture.image.len = images_linux(fixture.bytes);
    fixture.config.modules = &initrd;
    vary_every_byte(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(images_of_every_length)
{
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    struct test_elf elf = images_default_elf(true, true, true);
    for (size_t len = images_elf(&elf, fixture.bytes); len; len--) {
        fixture.image.len = len;
        try_load(&fixture, 0);
        for (int mode = BOOT_FLAT_PROT32; mode <= BOOT_FLAT_LONG64; mode++) {
            fixture.bytes[0] = 0xf4;
            fixture.config.protocol = mode;
            try_load(&fixture, 0);
        }
        fixture.config.protocol = BOOT_AUTO;
        fixture.bytes[0] = 0x7f;
    }
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, elf_files);
    test_add(suite, multiboot_images_with_addresses);
    test_add(suite, linux_kernels);
    test_add(suite, images_of_every_length);
}
