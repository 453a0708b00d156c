/* SPDX-License-Identifier: MIT
 *
 * A disk gets another size: before, while and after its machine runs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/api/guests.h"

#define SECTOR 512

/* Where the capacity of the first virtio-mmio device is, 0xdff00100 (virtio 1.2, 4.2.2, 5.2.4). */
#define CAPACITY "\x00\x01\xf0\xdf"

struct disk {
    char path[32];
    struct vmm *machine;
    struct vmm_error error;
};

static void disk_create(struct disk *disk, const char *code, size_t len)
{
    const struct vmm_config config = test_mmio_config((struct vmm_config){.ram_bytes = 4 << 20});
    const struct vmm_disk_config file = {.path = disk->path, .transport = VMM_TRANSPORT_MMIO};
    const struct vmm_image image = {.bytes = code, .len = len, .flat = VMM_FLAT_PROT32};
    strcpy(disk->path, "/tmp/vmm-disk-XXXXXX");
    int fd = mkstemp(disk->path);
    ck_assert_int_eq(ftruncate(fd, 64 * SECTOR), 0);
    close(fd);
    ck_assert_int_eq(vmm_create(&config, &disk->machine, NULL), 0);
    ck_assert_int_eq(vmm_add_debug_exit(disk->machine, 0xf4, NULL), 0);
    ck_assert_msg(vmm_add_disk(disk->machine, &file, &disk->error) == 0, "%s", disk->error.message);
    ck_assert_msg(vmm_load(disk->machine, &image, &disk->error) == 0, "%s", disk->error.message);
}

static void disk_destroy(struct disk *disk)
{
    vmm_destroy(disk->machine);
    unlink(disk->path);
}

static long long file_bytes(const struct disk *disk)
{
    struct stat status;
    ck_assert_int_eq(stat(disk->path, &status), 0);
    return status.st_size;
}

static void *run_guest(void *context)
{
    struct disk *disk = context;
    struct vmm_end end = guest_run(disk->machine);
    ck_assert_int_eq(end.reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.value, 3);
    return NULL;
}

START_TEST(a_guest_sees_that_its_disk_has_grown)
{
    test_need_kvm();
    /* again: mov eax,[CAPACITY]; mov [0x504],eax; cmp eax,96; jne again; debug exit 3 */
    static const char code[] = "\xa1" CAPACITY "\xa3\x04\x05\x00\x00\x83\xf8\x60\x75\xf1" DEBUG_EXIT("\x03");
    struct disk disk;
    pthread_t thread;
    uint32_t seen = 0;
    disk_create(&disk, code, sizeof(code) - 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_guest, &disk), 0);
    while (seen != 64) {
        usleep(1000);
        ck_assert_int_eq(vmm_mem_read(disk.machine, 0x504, &seen, sizeof(seen)), 0);
    }
    ck_assert_msg(vmm_resize_disk(disk.machine, 0, 96 * SECTOR, &disk.error) == 0, "%s", disk.error.message);
    pthread_join(thread, NULL);
    ck_assert_int_eq(file_bytes(&disk), 96 * SECTOR);
    disk_destroy(&disk);
}
END_TEST

static void check_bytes(const struct disk *disk, uint64_t bytes)
{
    struct vmm_disk_stat stat;
    ck_assert_uint_eq(vmm_stats_disks(disk->machine, &stat, 1), 1);
    ck_assert_uint_eq(stat.bytes, bytes);
    ck_assert_int_eq(file_bytes(disk), (long long)bytes);
}

START_TEST(a_disk_is_resized_while_nothing_runs)
{
    test_need_kvm();
    struct disk disk;
    disk_create(&disk, DEBUG_EXIT("\x03"), 4);
    check_bytes(&disk, 64 * SECTOR);
    ck_assert_int_eq(vmm_resize_disk(disk.machine, 0, 96 * SECTOR, NULL), 0);
    check_bytes(&disk, 96 * SECTOR);
    run_guest(&disk);
    ck_assert_int_eq(vmm_resize_disk(disk.machine, 0, 32 * SECTOR, NULL), 0);
    check_bytes(&disk, 32 * SECTOR);
    ck_assert_int_eq(truncate(disk.path, 128 * SECTOR), 0);
    ck_assert_int_eq(vmm_resize_disk(disk.machine, 0, 0, NULL), 0);
    check_bytes(&disk, 128 * SECTOR);
    disk_destroy(&disk);
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
    test_need_kvm();
    struct disk disk;
    disk_create(&disk, DEBUG_EXIT("\x03"), 4);
    ck_assert_int_eq(vmm_resize_disk(disk.machine, 1, 96 * SECTOR, &disk.error), -ENOENT);
    ck_assert_str_eq(disk.error.message, "disk 1: there is none");
    ck_assert_int_eq(vmm_resize_disk(disk.machine, 0, 96 * SECTOR + 1, &disk.error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "no multiple of 512"));
    check_bytes(&disk, 64 * SECTOR);
    disk_destroy(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_guest_sees_that_its_disk_has_grown);
    test_add(suite, a_disk_is_resized_while_nothing_runs);
    test_add(suite, sizes_that_cannot_be_are_refused);
}
