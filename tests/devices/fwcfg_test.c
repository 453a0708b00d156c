/* SPDX-License-Identifier: MIT
 *
 * fw_cfg: every item by the data port and by DMA, the directory, and what a guest may do wrong.
 */
#include <endian.h>
#include <stdio.h>

#include "base/bytes.h"
#include "devices/fwcfg/fwcfg.h"
#include "tests/devices/fake.h"

#define RAM         (1u << 20)
#define REQUEST_GPA 0x1000u
#define BUFFER_GPA  0x2000u
#define DMA_ADDRESS (FWCFG_PORT + 4)

static struct fwcfg *fwcfg;
static struct bus *bus;
static struct guest_memory *memory;

static void set_up(unsigned cpu_count, unsigned cpu_count_max)
{
    ck_assert_int_eq(guest_memory_create(RAM, MEMORY_ANONYMOUS, &memory, NULL), 0);
    struct fwcfg_config config = {.ram_bytes = 0x123456789000,
                                  .cpu_count = cpu_count,
                                  .cpu_count_max = cpu_count_max,
                                  .memory = memory};
    ck_assert_int_eq(fwcfg_create(&config, &fwcfg, NULL), 0);
    bus = fake_bus(BUS_PORTS, fwcfg_region(fwcfg));
}

static void tear_down(void)
{
    bus_destroy(bus);
    fwcfg_destroy(fwcfg);
    fwcfg_destroy(NULL);
    guest_memory_destroy(memory);
}

static void read_item(uint16_t item, void *to, size_t len)
{
    uint8_t *bytes = to;
    bus_write(bus, FWCFG_PORT, 2, item);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)bus_read(bus, FWCFG_PORT + 1, 1);
}

static uint64_t number(uint16_t item)
{
    uint8_t bytes[8];
    read_item(item, bytes, sizeof(bytes));
    return load_le64(bytes);
}

START_TEST(items_are_read_byte_by_byte)
{
    set_up(3, 7);
    ck_assert_uint_eq(number(0x00), 0x554d4551); /* QEMU */
    ck_assert_uint_eq(number(0x01), 3);
    ck_assert_uint_eq(number(0x02), 0);
    ck_assert_uint_eq(number(0x03), 0x123456789000);
    ck_assert_uint_eq(number(0x04), 1);
    ck_assert_uint_eq(number(0x05), 3);
    ck_assert_uint_eq(number(0x0f), 7);
    ck_assert_uint_eq(number(0x19), 0);
    tear_down();
    set_up(0, 0);
    ck_assert_uint_eq(number(0x05), 1);
    ck_assert_uint_eq(number(0x0f), 1);
    tear_down();
}
END_TEST

START_TEST(misuse_reads_zeros_or_ones)
{
    set_up(1, 1);
    for (unsigned item = 0x19; item < 0x10000; item += 0x0f)
        if ((item & ~0x4000u) >= 0x19)
            ck_assert_uint_eq(number((uint16_t)item), 0);
    bus_write(bus, FWCFG_PORT, 2, 0x4000); /* to write the signature */
    for (unsigned i = 0; i < 40; i++)
        ck_assert_uint_eq(bus_read(bus, FWCFG_PORT + 1, 1), i < 4 ? (uint64_t) "QEMU"[i] : 0);
    ck_assert_uint_eq(bus_read(bus, FWCFG_PORT, 2), 0xffff);
    ck_assert_uint_eq(bus_read(bus, FWCFG_PORT, 1), 0xff);
    ck_assert_uint_eq(bus_read(bus, FWCFG_PORT + 2, 2), 0xffff);
    bus_write(bus, FWCFG_PORT, 2, 0x00);
    bus_write(bus, FWCFG_PORT, 1, 0x03);
    bus_write(bus, FWCFG_PORT + 1, 1, 0x03);
    ck_assert_uint_eq(bus_read(bus, FWCFG_PORT + 1, 1), 'Q');
    tear_down();
}
END_TEST

START_TEST(the_image_is_read_where_it_lies)
{
    char text[8];
    set_up(1, 1);
    const struct fwcfg_image image = {
        .kernel = {0x10000, 5}, .initrd = {0x20000, 4}, .cmdline = {0x30000, 3}, .entry = 0x10004};
    ck_assert_int_eq(guest_mem_load(memory, 0x10000, "kernel", 6), 0);
    ck_assert_int_eq(guest_mem_load(memory, 0x20000, "init", 4), 0);
    ck_assert_int_eq(guest_mem_load(memory, 0x30000, "a b", 3), 0);
    fwcfg_set_image(fwcfg, &image);
    static const struct {
        uint16_t item;
        uint32_t value;
    } numbers[] = {{0x07, 0x10000}, {0x08, 5},       {0x10, 0x10004}, {0x0a, 0x20000},
                   {0x0b, 4},       {0x13, 0x30000}, {0x14, 4}};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        ck_assert_uint_eq(number(numbers[i].item), numbers[i].value);
    read_item(0x11, text, 8);
    ck_assert_mem_eq(text, "kerne\0\0\0", 8);
    read_item(0x12, text, 8);
    ck_assert_mem_eq(text, "init\0\0\0\0", 8);
    read_item(0x15, text, 8);
    ck_assert_mem_eq(text, "a b\0\0\0\0\0", 8);
    tear_down();
}
END_TEST

START_TEST(files_are_in_the_directory)
{
    uint8_t directory[4 + 2 * 64];
    char text[8], name[100];
    struct vmm_error error;
    set_up(1, 1);
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "etc/one", "1", 1, NULL), 0);
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "opt/two", "zwei", 4, NULL), 0);
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "opt/two", "", 0, &error), -EEXIST);
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "", "", 0, &error), -EINVAL);
    memset(name, 'n', sizeof(name));
    name[56] = 0;
    ck_assert_int_eq(fwcfg_add_file(fwcfg, name, "", 0, &error), -EINVAL);
    read_item(0x19, directory, sizeof(directory));
    ck_assert_mem_eq(directory, "\0\0\0\2\0\0\0\1\0\x20\0\0etc/one\0", 20);
    ck_assert_mem_eq(directory + 68, "\0\0\0\4\0\x21\0\0opt/two\0", 16);
    read_item(0x21, text, 8);
    ck_assert_mem_eq(text, "zwei\0\0\0\0", 8);
    for (unsigned i = 2; i < FWCFG_FILE_LIMIT; i++) {
        snprintf(name, sizeof(name), "opt/%u", i);
        ck_assert_int_eq(i % 2 ? fwcfg_add_file(fwcfg, name, NULL, 0, NULL)
                               : fwcfg_add_file(fwcfg, name, name, 3, NULL),
                         0);
    }
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "opt/last", "", 0, &error), -ENOSPC);
    tear_down();
}
END_TEST

/* Runs a request and returns its control field afterwards. */
static uint32_t dma(uint32_t control, uint32_t len, uint64_t address, uint64_t request_gpa)
{
    uint8_t request[16];
    uint32_t value;
    value = htobe32(control);
    memcpy(request, &value, 4);
    value = htobe32(len);
    memcpy(request + 4, &value, 4);
    address = htobe64(address);
    memcpy(request + 8, &address, 8);
    guest_mem_load(memory, request_gpa, request, sizeof(request));
    bus_write(bus, DMA_ADDRESS, 4, htobe32((uint32_t)(request_gpa >> 32)));
    bus_write(bus, DMA_ADDRESS + 4, 4, htobe32((uint32_t)request_gpa));
    ck_assert_int_eq(guest_mem_read(memory, REQUEST_GPA, &value, 4), 0);
    return be32toh(value);
}

START_TEST(dma_selects_skips_and_reads)
{
    char text[8];
    set_up(1, 1);
    ck_assert_uint_eq(bus_read(bus, DMA_ADDRESS, 4), load_le32("QEMU"));
    ck_assert_uint_eq(bus_read(bus, DMA_ADDRESS + 4, 4), load_le32(" CFG"));
    ck_assert_int_eq(fwcfg_add_file(fwcfg, "opt/text", "0123456789", 10, NULL), 0);
    ck_assert_int_eq(guest_mem_fill(memory, BUFFER_GPA, 0xee, 4096), 0);
    ck_assert_uint_eq(dma(0x20 << 16 | 8 | 2, 4, BUFFER_GPA, REQUEST_GPA), 0);
    ck_assert_uint_eq(dma(4, 3, 0, REQUEST_GPA), 0);
    ck_assert_uint_eq(dma(2, 5, BUFFER_GPA + 4, REQUEST_GPA), 0); /* two of them behind the end */
    ck_assert_int_eq(guest_mem_read(memory, BUFFER_GPA, text, 4), 0);
    ck_assert_mem_eq(text, "0123", 4);
    ck_assert_int_eq(guest_mem_read(memory, BUFFER_GPA + 4, text, 6), 0);
    ck_assert_mem_eq(text, "789\0\0\xee", 6);
    ck_assert_uint_eq(dma(4, UINT32_MAX, 0, REQUEST_GPA), 0);
    ck_assert_uint_eq(dma(0x20 << 16 | 8 | 16, 4, BUFFER_GPA, REQUEST_GPA), 1); /* none can be written */
    tear_down();
}
END_TEST

START_TEST(dma_outside_of_memory_is_an_error_or_nothing)
{
    set_up(1, 1);
    ck_assert_uint_eq(dma(8 | 2, 4, RAM - 2, REQUEST_GPA), 1);
    ck_assert_uint_eq(dma(8 | 2, UINT32_MAX, BUFFER_GPA, REQUEST_GPA), 1);
    ck_assert_uint_eq(dma(8 | 2, 4, UINT64_MAX - 1, REQUEST_GPA), 1);
    ck_assert_uint_eq(dma(8 | 2, 0, UINT64_MAX, REQUEST_GPA), 0);
    dma(8 | 2, 4, BUFFER_GPA, UINT64_MAX - 3);
    dma(8 | 2, 4, BUFFER_GPA, RAM - 8);
    /* The request lies in its own buffer: it has been read before. */
    ck_assert_uint_eq(dma(0x03 << 16 | 8 | 2, 64, REQUEST_GPA, REQUEST_GPA), 0);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, items_are_read_byte_by_byte);
    test_add(suite, misuse_reads_zeros_or_ones);
    test_add(suite, the_image_is_read_where_it_lies);
    test_add(suite, files_are_in_the_directory);
    test_add(suite, dma_selects_skips_and_reads);
    test_add(suite, dma_outside_of_memory_is_an_error_or_nothing);
}
