/* SPDX-License-Identifier: MIT
 *
 * What every machine test stands on: does the KVM of this lane do what KVM documents? Bare ioctls on purpose,
 * without any of our code: when this fails, the host or the lane is broken, not the VMM.
 */
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_GPA    0x1000
#define RAM_BYTES   0x2000
#define SECOND_GPA  0x4000
#define SECOND_SIZE 0x1000

struct probe {
    int kvm, vm, vcpu;
    int run_bytes;
    struct kvm_run *run;
    uint8_t *ram;
};

static void add_slot(const struct probe *probe, unsigned slot, uint64_t gpa, uint64_t len, void *hva)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = gpa, .memory_size = len, .userspace_addr = (uintptr_t)hva};
    ck_assert_int_eq(ioctl(probe->vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
}

static void *map_pages(uint64_t len, int protection)
{
    void *pages = mmap(NULL, len, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    return pages;
}

/* A VM with two pages of RAM and a vCPU in real mode at the start of `code`. */
static void probe_init(struct probe *probe, const void *code, size_t len)
{
    test_need_kvm();
    probe->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    probe->vm = ioctl(probe->kvm, KVM_CREATE_VM, 0);
    probe->ram = map_pages(RAM_BYTES, PROT_READ | PROT_WRITE);
    memcpy(probe->ram + CODE_GPA, code, len);
    add_slot(probe, 0, 0, RAM_BYTES, probe->ram);
    probe->vcpu = ioctl(probe->vm, KVM_CREATE_VCPU, 0);
    ck_assert_int_ge(probe->vcpu, 0);
    probe->run_bytes = ioctl(probe->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    probe->run = mmap(NULL, (size_t)probe->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, probe->vcpu, 0);
    ck_assert_ptr_ne(probe->run, MAP_FAILED);

    struct kvm_sregs sregs;
    ck_assert_int_eq(ioctl(probe->vcpu, KVM_GET_SREGS, &sregs), 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ck_assert_int_eq(ioctl(probe->vcpu, KVM_SET_SREGS, &sregs), 0);
    struct kvm_regs regs = {.rip = CODE_GPA, .rflags = 2};
    ck_assert_int_eq(ioctl(probe->vcpu, KVM_SET_REGS, &regs), 0);
}

static void probe_fini(struct probe *probe)
{
    munmap(probe->run, (size_t)probe->run_bytes);
    munmap(probe->ram, RAM_BYTES);
    close(probe->vcpu);
    close(probe->vm);
    close(probe->kvm);
}

static int enter(const struct probe *probe)
{
    int result;
    do
        result = ioctl(probe->vcpu, KVM_RUN, 0);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static uint64_t rip(const struct probe *probe)
{
    struct kvm_regs regs;
    ck_assert_int_eq(ioctl(probe->vcpu, KVM_GET_REGS, &regs), 0);
    return regs.rip;
}

static const uint8_t *io_data(const struct probe *probe)
{
    return (const uint8_t *)probe->run + probe->run->io.data_offset;
}

START_TEST(kvm_runs_a_flat_guest_up_to_its_port_write)
{
    static const uint8_t code[] = {0xb0, 0x2a,  /* mov al, 42 */
                                   0xe6, 0xf4}; /* out 0xf4, al */
    struct probe probe;
    probe_init(&probe, code, sizeof(code));
    ck_assert_int_eq(enter(&probe), 0);
    ck_assert_uint_eq(probe.run->exit_reason, KVM_EXIT_IO);
    ck_assert_uint_eq(probe.run->io.direction, KVM_EXIT_IO_OUT);
    ck_assert_uint_eq(probe.run->io.port, 0xf4);
    ck_assert_uint_eq(*io_data(&probe), 42);
    probe_fini(&probe);
}
END_TEST

START_TEST(kvm_reports_a_write_outside_memory_as_mmio)
{
    static const uint8_t code[] = {0xb0, 0x37,        /* mov al, 0x37 */
                                   0xa2, 0x08, 0x50}; /* mov [0x5008], al */
    struct probe probe;
    probe_init(&probe, code, sizeof(code));
    ck_assert_int_eq(enter(&probe), 0);
    ck_assert_uint_eq(probe.run->exit_reason, KVM_EXIT_MMIO);
    ck_assert_uint_eq(probe.run->mmio.phys_addr, 0x5008);
    ck_assert_uint_eq(probe.run->mmio.len, 1);
    ck_assert_uint_eq(probe.run->mmio.is_write, 1);
    ck_assert_uint_eq(probe.run->mmio.data[0], 0x37);
    probe_fini(&probe);
}
END_TEST

START_TEST(an_access_to_a_prot_none_slot_is_efault_at_the_instruction)
{
    static const uint8_t code[] = {0x90,              /* nop */
                                   0xa0, 0x08, 0x40}; /* mov al, [0x4008] */
    struct probe probe;
    probe_init(&probe, code, sizeof(code));
    void *none = map_pages(SECOND_SIZE, PROT_NONE);
    add_slot(&probe, 1, SECOND_GPA, SECOND_SIZE, none);
    int result = enter(&probe);
    const char *lane = getenv("VMM_TEST_LANE");
    if (result == 0 && probe.run->exit_reason == KVM_EXIT_MMIO && !(lane && !strcmp(lane, "nested")))
        test_skip("this KVM interprets ring 0 in software, where the access is KVM_EXIT_MMIO");
    ck_assert_int_eq(result, -EFAULT);
    ck_assert_uint_eq(rip(&probe), CODE_GPA + 1);

    /* And once the page may be read, the same instruction goes through. */
    static const uint8_t out[] = {0xe6, 0xf4}; /* out 0xf4, al */
    memcpy(probe.ram + CODE_GPA + sizeof(code), out, sizeof(out));
    ck_assert_int_eq(mprotect(none, SECOND_SIZE, PROT_READ | PROT_WRITE), 0);
    ((uint8_t *)none)[8] = 0x5a;
    ck_assert_int_eq(enter(&probe), 0);
    ck_assert_uint_eq(probe.run->exit_reason, KVM_EXIT_IO);
    ck_assert_uint_eq(*io_data(&probe), 0x5a);
    munmap(none, SECOND_SIZE);
    probe_fini(&probe);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, kvm_runs_a_flat_guest_up_to_its_port_write);
    test_add(suite, kvm_reports_a_write_outside_memory_as_mmio);
    test_add(suite, an_access_to_a_prot_none_slot_is_efault_at_the_instruction);
}
