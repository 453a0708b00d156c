/* SPDX-License-Identifier: MIT
 *
 * The floor under `vmm run`: a whole process that makes only the KVM calls that a VM with one vCPU, RAM and a
 * CPUID cannot avoid, runs a flat 16-bit image up to its first exit, and ends. No threads, no devices, no
 * options, no error texts. `vmm bench boot` measures vmm against it.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES   (128ul << 20)
#define LOAD_GPA    0x7c00
#define CPUID_COUNT 256

static struct {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[CPUID_COUNT];
} cpuid = {.head.nent = CPUID_COUNT};

static int need(int result)
{
    if (result < 0)
        _exit(2);
    return result;
}

static void load_image(const char *path, char *ram)
{
    int fd = need(open(path, O_RDONLY | O_CLOEXEC));
    need((int)read(fd, ram + LOAD_GPA, 4096));
    close(fd);
}

static void set_registers(int vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = LOAD_GPA, .rflags = 2};
    need(ioctl(vcpu, KVM_GET_SREGS, &sregs));
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    need(ioctl(vcpu, KVM_SET_SREGS, &sregs));
    need(ioctl(vcpu, KVM_SET_REGS, &regs));
}

/* Usage: startup_floor IMAGE. Exit status 0 where the first exit was a port write. */
int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC));
    int vm = need(ioctl(kvm, KVM_CREATE_VM, 0));
    char *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                     0);
    if (ram == MAP_FAILED)
        return 2;
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES,
                                               .userspace_addr = (unsigned long)ram};
    need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
    load_image(argv[1], ram);
    need(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid));
    int vcpu = need(ioctl(vm, KVM_CREATE_VCPU, 0));
    need(ioctl(vcpu, KVM_SET_CPUID2, &cpuid));
    struct kvm_run *run = mmap(NULL, (size_t)need(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)),
                               PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        return 2;
    set_registers(vcpu);
    need(ioctl(vcpu, KVM_RUN, 0));
    return run->exit_reason == KVM_EXIT_IO ? 0 : 1;
}
