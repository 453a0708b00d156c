/* SPDX-License-Identifier: MIT
 *
 * KVM takes each entry state, and the guest finds in it what the protocol promises: its code loads the
 * segment registers again from the GDT, uses the stack and reads through rbx. Bare ioctls, without our vCPU.
 */
#include "tests/boot/fixture.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define START_INFO_MAGIC 0x336ec578

static const uint8_t code16[] = {0x68, 0x34, 0x12, /* push 0x1234 */
                                 0x58,             /* pop ax */
                                 0xe7, 0xf4};      /* out 0xf4, ax */

static const uint8_t code32[] = {0xb8, 0x10, 0x00, 0x00, 0x00,             /* mov eax, 0x10 */
                                 0x8e, 0xd8,                               /* mov ds, ax */
                                 0x8e, 0xd0,                               /* mov ss, ax */
                                 0xea, 0x10, 0x00, 0x10, 0x00, 0x08, 0x00, /* jmp 0x08:0x100010, the next */
                                 0x53,                                     /* push ebx */
                                 0x59,                                     /* pop ecx */
                                 0x8b, 0x01,                               /* mov eax, [ecx] */
                                 0xe7, 0xf4};                              /* out 0xf4, eax */

static const uint8_t code64[] = {0xb8, 0x10, 0x00, 0x00, 0x00, /* mov eax, 0x10 */
                                 0x8e, 0xd8,                   /* mov ds, eax */
                                 0x8e, 0xd0,                   /* mov ss, eax */
                                 0x6a, 0x18,                   /* push 0x18 */
                                 0x48, 0x8d, 0x05, 0x03, 0x00,
                                 0x00, 0x00,                   /* lea rax, [rip + 3]: behind retfq */
                                 0x50,                         /* push rax */
                                 0x48, 0xcb,                   /* retfq */
                                 0x53,                         /* push rbx */
                                 0x59,                         /* pop rcx */
                                 0x8b, 0x07,                   /* mov eax, [rdi] */
                                 0xe7, 0xf4,                   /* out 0xf4, eax */
                                 0xb9, 0x00, 0xff, 0xff, 0xff, /* mov ecx, 0xffffff00 */
                                 0x8b, 0x01};                  /* mov eax, [rcx]: no RAM there */

struct guest {
    int kvm, vm, vcpu;
    struct kvm_run *run;
    size_t run_bytes;
};

static struct kvm_segment kvm_segment(const struct boot_segment *segment)
{
    return (struct kvm_segment){
        .base = segment->base,
        .limit = segment->limit,
        .selector = segment->selector,
        .type = segment->type,
        .present = segment->present,
        .dpl = segment->dpl,
        .db = segment->size32,
        .s = segment->code_or_data,
        .l = segment->long_mode,
        .g = segment->granular,
        .unusable = !segment->present,
    };
}

static void set_registers(const struct guest *guest, const struct boot_state *state)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {
        .rip = state->rip,
        .rflags = state->rflags,
        .rsp = state->rsp,
        .rax = state->rax,
        .rbx = state->rbx,
        .rdi = state->rdi,
    };
    ck_assert_int_eq(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs), 0);
    sregs.cs = kvm_segment(&state->cs);
    sregs.ds = kvm_segment(&state->ds);
    sregs.es = kvm_segment(&state->es);
    sregs.fs = kvm_segment(&state->fs);
    sregs.gs = kvm_segment(&state->gs);
    sregs.ss = kvm_segment(&state->ss);
    sregs.tr = kvm_segment(&state->tr);
    sregs.ldt = kvm_segment(&state->ldt);
    sregs.gdt = (struct kvm_dtable){.base = state->gdt.base, .limit = state->gdt.limit};
    sregs.idt = (struct kvm_dtable){.base = state->idt.base, .limit = state->idt.limit};
    sregs.cr0 = state->cr0;
    sregs.cr3 = state->cr3;
    sregs.cr4 = state->cr4;
    sregs.efer = state->efer;
    ck_assert_int_eq(ioctl(guest->vcpu, KVM_SET_SREGS, &sregs), 0);
    ck_assert_int_eq(ioctl(guest->vcpu, KVM_SET_REGS, &regs), 0);
}

static void add_memory(const struct guest *guest, const struct guest_memory *memory)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(memory, &count);
    for (size_t i = 0; i < count; i++) {
        struct kvm_userspace_memory_region region = {.slot = i,
                                                     .guest_phys_addr = ranges[i].gpa,
                                                     .memory_size = ranges[i].len,
                                                     .userspace_addr = (uintptr_t)ranges[i].hva};
        ck_assert_int_eq(ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
    }
}

/* A VM that stands before the first instruction of what the fixture has loaded. */
static void guest_init(struct guest *guest, const struct fixture *fixture)
{
    guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    guest->vm = ioctl(guest->kvm, KVM_CREATE_VM, 0);
    ioctl(guest->vm, KVM_SET_TSS_ADDR, 0xfffbd000); /* Intel's processors want room for real mode */
    add_memory(guest, fixture->memory);
    guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
    ck_assert_int_ge(guest->vcpu, 0);
    guest->run_bytes = ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    guest->run = mmap(NULL, guest->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
    ck_assert_ptr_ne(guest->run, MAP_FAILED);
}

static void guest_fini(struct guest *guest)
{
    munmap(guest->run, guest->run_bytes);
    close(guest->vcpu);
    close(guest->vm);
    close(guest->kvm);
}

/* Gives the vCPU what KVM supports; whether that has 1 GiB pages. */
static bool set_cpuid(const struct guest *guest)
{
    enum { ENTRIES = 128 };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
    bool has_gib_pages = false;
    cpuid->nent = ENTRIES;
    ck_assert_int_eq(ioctl(guest->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
    for (unsigned i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == 0x80000001)
            has_gib_pages = cpuid->entries[i].edx & 1u << 26;
    ck_assert_int_eq(ioctl(guest->vcpu, KVM_SET_CPUID2, cpuid), 0);
    free(cpuid);
    return has_gib_pages;
}

static void enter(const struct guest *guest)
{
    while (ioctl(guest->vcpu, KVM_RUN, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
}

/* The guest's first exit is the write of `value` to port 0xf4. */
static void must_write(const struct guest *guest, unsigned size, uint32_t value)
{
    enter(guest);
    ck_assert_uint_eq(guest->run->exit_reason, KVM_EXIT_IO);
    ck_assert_uint_eq(guest->run->io.port, 0xf4);
    ck_assert_uint_eq(guest->run->io.size, size);
    ck_assert_uint_eq(load_le((uint8_t *)guest->run + guest->run->io.data_offset, size), value);
}

static void run_loaded(struct fixture *fixture, unsigned size, uint32_t value)
{
    struct guest guest;
    fixture_must_load(fixture);
    guest_init(&guest, fixture);
    set_registers(&guest, &fixture->state);
    must_write(&guest, size, value);
    guest_fini(&guest);
    fixture_fini(fixture);
}

static void init_flat(struct fixture *fixture, enum boot_protocol protocol, const uint8_t *code, size_t len)
{
    test_need_kvm();
    fixture_init(fixture, 2 * MIB);
    memcpy(fixture->bytes, code, len);
    fixture->image.len = len;
    fixture->config.protocol = protocol;
}

static void init_elf(struct fixture *fixture, bool is_64bit, bool has_multiboot)
{
    test_need_kvm();
    struct test_elf elf = images_default_elf(is_64bit, has_multiboot, !has_multiboot);
    elf.entry = 0x10100000;
    elf.pvh_entry = 0x100000;
    fixture_init(fixture, 2 * MIB);
    fixture->image.len = images_elf(&elf, fixture->bytes);
    memcpy(fixture->bytes + AT_CODE, code32, sizeof(code32));
}

START_TEST(real16_is_entered)
{
    struct fixture fixture;
    init_flat(&fixture, BOOT_FLAT_REAL16, code16, sizeof(code16));
    run_loaded(&fixture, 2, 0x1234);
}
END_TEST

START_TEST(real16_is_entered_beyond_64_kib)
{
    struct fixture fixture;
    init_flat(&fixture, BOOT_FLAT_REAL16, code16, sizeof(code16));
    fixture.config.has_flat_gpa = true;
    fixture.config.flat_gpa = 0x20000;
    run_loaded(&fixture, 2, 0x1234);
}
END_TEST

START_TEST(prot32_is_entered)
{
    struct fixture fixture;
    init_flat(&fixture, BOOT_FLAT_PROT32, code32, sizeof(code32));
    run_loaded(&fixture, 4, START_INFO_MAGIC);
}
END_TEST

START_TEST(pvh_is_entered)
{
    struct fixture fixture;
    init_elf(&fixture, true, false);
    run_loaded(&fixture, 4, START_INFO_MAGIC);
}
END_TEST

START_TEST(multiboot_is_entered)
{
    struct fixture fixture;
    init_elf(&fixture, false, true);
    run_loaded(&fixture, 4, 0x24f); /* the information's flags */
}
END_TEST

static void run_long64(bool gib_pages)
{
    struct fixture fixture;
    struct guest guest;
    init_flat(&fixture, BOOT_FLAT_LONG64, code64, sizeof(code64));
    fixture.config.gib_pages = gib_pages;
    fixture_must_load(&fixture);
    guest_init(&guest, &fixture);
    if (gib_pages && !set_cpuid(&guest))
        test_skip("this KVM gives its guests no 1 GiB pages");
    set_registers(&guest, &fixture.state);
    must_write(&guest, 4, START_INFO_MAGIC);
    enter(&guest);
    ck_assert_uint_eq(guest.run->exit_reason, KVM_EXIT_MMIO);
    ck_assert_uint_eq(guest.run->mmio.phys_addr, 0xffffff00);
    guest_fini(&guest);
    fixture_fini(&fixture);
}

START_TEST(long64_is_entered)
{
    run_long64(false);
}
END_TEST

START_TEST(long64_is_entered_with_gib_pages)
{
    run_long64(true);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, real16_is_entered);
    test_add(suite, real16_is_entered_beyond_64_kib);
    test_add(suite, prot32_is_entered);
    test_add(suite, pvh_is_entered);
    test_add(suite, multiboot_is_entered);
    test_add(suite, long64_is_entered);
    test_add(suite, long64_is_entered_with_gib_pages);
}
