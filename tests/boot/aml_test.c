/* SPDX-License-Identifier: MIT
 *
 * The encoder against bytes worked out by hand from the specification, and at every size of buffer.
 */
#include "boot/aml.h"

#include <string.h>

#include "tests/harness.h"

static uint8_t bytes[256];

static struct aml aml_new(size_t capacity)
{
    memset(bytes, 0xcc, sizeof(bytes));
    return (struct aml){.bytes = bytes, .capacity = capacity};
}

static void check(const struct aml *aml, const void *want, size_t len)
{
    ck_assert(!aml->overflow);
    ck_assert_uint_eq(aml->len, len);
    ck_assert_mem_eq(bytes, want, len);
}

START_TEST(numbers_take_the_shortest_form)
{
    struct aml aml = aml_new(sizeof(bytes));
    static const uint8_t want[] = "\x08_UID\x00\x08_UID\x01\x08_UID\x0a\x02\x08_UID\x0a\xff"
                                  "\x08_UID\x0b\x00\x01\x08_UID\x0c\x00\x00\x01\x00";
    static const uint32_t values[] = {0, 1, 2, 0xff, 0x100, 0x10000};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        aml_name_number(&aml, "_UID", values[i]);
    check(&aml, want, sizeof(want) - 1);
}
END_TEST

START_TEST(identifiers_are_compressed)
{
    struct aml aml = aml_new(sizeof(bytes));
    aml_name_eisa(&aml, "_HID", "PNP0501");
    aml_name_eisa(&aml, "_HID", "PNP0C02");
    check(&aml, "\x08_HID\x0c\x41\xd0\x05\x01\x08_HID\x0c\x41\xd0\x0c\x02", 20);
}
END_TEST

START_TEST(blocks_nest_and_count_themselves)
{
    struct aml aml = aml_new(sizeof(bytes));
    size_t scope = aml_scope_begin(&aml, "\\_SB");
    size_t device = aml_device_begin(&aml, "RTC");
    aml_name_string(&aml, "_HID", "AB");
    aml_end(&aml, device);
    aml_end(&aml, scope);
    static const uint8_t want[] = "\x10\x8a\x01\x00\\_SB_\x5b\x82\x80\x01\x00RTC_\x08_HID\x0d"
                                  "AB";
    check(&aml, want, sizeof(want)); /* the string's 0 too */
}
END_TEST

START_TEST(resources_end_with_a_tag)
{
    struct aml aml = aml_new(sizeof(bytes));
    struct aml_resources resources = aml_resources_begin(&aml);
    aml_ports(&aml, 0x3f8, 8);
    aml_isa_irq(&aml, 4);
    aml_memory(&aml, 0xd0000000, 0x200);
    aml_gsi(&aml, 5);
    aml_resources_end(&aml, resources);
    static const uint8_t want[] = "\x08_CRS\x11\x88\x02\x00\x0b\x22\x00"
                                  "\x47\x01\xf8\x03\xf8\x03\x01\x08\x22\x10\x00"
                                  "\x86\x09\x00\x01\x00\x00\x00\xd0\x00\x02\x00\x00"
                                  "\x89\x06\x00\x01\x01\x05\x00\x00\x00\x79";
    check(&aml, want, sizeof(want)); /* the end tag's checksum of 0 too */
}
END_TEST

START_TEST(windows_and_packages)
{
    struct aml aml = aml_new(sizeof(bytes));
    aml_bus_window(&aml, 0, 3);
    aml_memory_window(&aml, 0xe0000000, 0x10000000);
    aml_memory_window64(&aml, 0x8000000000, 0x4000000000);
    size_t package = aml_package_begin(&aml, "_PRT", 1), entry = aml_package_begin(&aml, NULL, 2);
    aml_number(&aml, 0x1ffff);
    aml_number(&aml, 1);
    aml_end(&aml, entry);
    aml_end(&aml, package);
    static const uint8_t want[] = "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x03\x00\x00\x00\x04\x00"
                                  "\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\xe0"
                                  "\xff\xff\xff\xef\x00\x00\x00\x00\x00\x00\x00\x10"
                                  "\x8a\x2b\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\x00"
                                  "\x00\x00\x00\x00\x80\x00\x00\x00\xff\xff\xff\xff\xbf\x00\x00\x00"
                                  "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00"
                                  "\x08_PRT\x12\x8f\x00\x00\x01\x12\x8a\x00\x00\x02\x0c\xff\xff\x01\x00\x01";
    check(&aml, want, sizeof(want) - 1);
}
END_TEST

START_TEST(a_method_reads_a_register_and_notifies)
{
    struct aml aml = aml_new(sizeof(bytes));
    aml_port_byte(&aml, "REG", "EVTS", 0x60c);
    size_t method = aml_method_begin(&aml, "_EVT", 1);
    aml_load_local(&aml, "EVTS");
    aml_store_local(&aml, "EVTS");
    size_t condition = aml_if_local_begin(&aml, 4);
    aml_notify(&aml, "PWRB", 0x80);
    aml_end(&aml, condition);
    aml_end(&aml, method);
    static const uint8_t want[] = "\x5b\x80REG_\x01\x0b\x0c\x06\x01\x5b\x81\x8d\x00\x00REG_\x01"
                                  "EVTS\x08\x14\x84\x02\x00_EVT\x09\x70"
                                  "EVTS\x60\x70\x60"
                                  "EVTS\xa0\x8f\x00\x00\x7b\x60\x0a\x04\x00\x86PWRB\x0a\x80";
    check(&aml, want, sizeof(want) - 1);
}
END_TEST

START_TEST(a_full_buffer_is_noticed)
{
    for (size_t capacity = 0; capacity < 60; capacity++) {
        struct aml aml = aml_new(capacity);
        size_t device = aml_device_begin(&aml, "DEV");
        struct aml_resources resources = aml_resources_begin(&aml);
        aml_ports(&aml, 0x3f8, 8);
        aml_resources_end(&aml, resources);
        aml_name_package(&aml, "_S5_", (const uint8_t[]){5, 0}, 2);
        aml_end(&aml, device);
        ck_assert_msg(aml.overflow == (capacity < 44), "%zu", capacity);
        for (size_t i = capacity; i < sizeof(bytes); i++)
            ck_assert_uint_eq(bytes[i], 0xcc);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, numbers_take_the_shortest_form);
    test_add(suite, identifiers_are_compressed);
    test_add(suite, blocks_nest_and_count_themselves);
    test_add(suite, resources_end_with_a_tag);
    test_add(suite, windows_and_packages);
    test_add(suite, a_method_reads_a_register_and_notifies);
    test_add(suite, a_full_buffer_is_noticed);
}
