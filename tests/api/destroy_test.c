/* SPDX-License-Identifier: MIT
 *
 * A machine is destroyed while its devices hold what the guest has given them.
 */
#include <unistd.h>

#include "tests/api/guests.h"

#define CONSOLE_GPA 0xdff00000u /* of the first virtio-mmio device */
#define DIRECT_GPA  0xd0000000u
#define TABLE_GPA   DIRECT_GPA
#define AVAIL_GPA   (DIRECT_GPA + 0x1000)
#define USED_GPA    (DIRECT_GPA + 0x2000)
#define BUFFER_GPA  (DIRECT_GPA + 0x3000)

struct code {
    uint8_t bytes[1024];
    size_t len;
};

static void put(struct code *code, const void *bytes, size_t len)
{
    ck_assert_uint_le(code->len + len, sizeof(code->bytes));
    memcpy(code->bytes + code->len, bytes, len);
    code->len += len;
}

/* mov dword [gpa], value */
static void put_store(struct code *code, uint32_t gpa, uint32_t value)
{
    put(code, "\xc7\x05", 2);
    put(code, &gpa, 4);
    put(code, &value, 4);
}

/* again: cmp word [gpa], value; jne again */
static void put_wait(struct code *code, uint32_t gpa, uint16_t value)
{
    put(code, "\x66\x81\x3d", 3);
    put(code, &gpa, 4);
    put(code, &value, 2);
    put(code, "\x75\xf5", 2);
}

/* Two buffers for the console's input (virtio 1.2, 2.7 and 4.2): one without room, which comes back at once,
 * and one that the device, which is just about to take it then, keeps until there is some. */
static void put_rings(struct code *code)
{
    static const uint32_t table[] = {BUFFER_GPA, 0, 64, 0, BUFFER_GPA, 0, 64, 2 /* WRITE */};
    for (unsigned i = 0; i < ARRAY_COUNT(table); i++)
        put_store(code, TABLE_GPA + 4 * i, table[i]);
    put_store(code, AVAIL_GPA, 2 << 16);
    put_store(code, AVAIL_GPA + 4, 1 << 16);
}

static void put_driver(struct code *code)
{
    static const uint32_t steps[][2] = {{0x70, 0},         {0x70, 1},        {0x70, 3}, {0x24, 1},
                                        {0x20, 1},         {0x70, 11},       {0x30, 0}, {0x38, 4},
                                        {0x84, 0},         {0x94, 0},        {0xa4, 0}, {0x80, TABLE_GPA},
                                        {0x90, AVAIL_GPA}, {0xa0, USED_GPA}, {0x44, 1}, {0x70, 15}};
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++)
        put_store(code, CONSOLE_GPA + steps[i][0], steps[i][1]);
}

/* Its driver's rings and buffers are in a region that was added after the device, and has its pages mapped.
 */
static struct vmm *run_with_rings_in_a_region(void)
{
    const struct vmm_config config = test_mmio_config((struct vmm_config){.ram_bytes = 4 << 20});
    const struct vmm_scratch_config direct = {.base = DIRECT_GPA, .len = 0x10000, .direct = true};
    struct code code = {.len = 0};
    struct vmm_error error = {0};
    struct vmm *machine;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    const struct vmm_console_port port = {
        .where = {.kind = VMM_SERIAL_DESCRIPTORS, .in_fd = fds[0], .out_fd = fds[1]}, .is_console = true};
    const struct vmm_console_config console = {
        .ports = &port, .port_count = 1, .transport = VMM_TRANSPORT_MMIO};
    put_rings(&code);
    put_driver(&code);
    put_wait(&code, USED_GPA + 2, 1);
    put(&code, DEBUG_EXIT("\x09"), 4);
    const struct vmm_image image = {.bytes = code.bytes, .len = code.len, .flat = VMM_FLAT_PROT32};
    ck_assert_int_eq(vmm_create(&config, &machine, &error), 0);
    ck_assert_int_eq(vmm_add_debug_exit(machine, 0xf4, &error), 0);
    ck_assert_msg(vmm_add_console(machine, &console, &error) == 0, "%s", error.message);
    ck_assert_msg(vmm_add_scratch(machine, &direct, &error) == 0, "%s", error.message);
    ck_assert_msg(vmm_load(machine, &image, &error) == 0, "%s", error.message);
    struct vmm_end end = guest_run(machine);
    ck_assert_int_eq(end.reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.value, 9);
    uint16_t used;
    ck_assert_int_eq(vmm_mem_read(machine, USED_GPA + 2, &used, 2), 0);
    ck_assert_uint_eq(used, 1);
    return machine;
}

START_TEST(devices_give_back_before_memory_goes)
{
    test_need_kvm();
    vmm_destroy(run_with_rings_in_a_region());
}
END_TEST

START_TEST(devices_give_back_at_the_exit_too)
{
    test_need_kvm();
    vmm_destroy_at_exit(run_with_rings_in_a_region());
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, devices_give_back_before_memory_goes);
    test_add(suite, devices_give_back_at_the_exit_too);
}
