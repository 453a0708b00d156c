/* SPDX-License-Identifier: MIT
 *
 * A stub in the place of KVM, to be loaded with LD_PRELOAD: every guest leaves by a write of 0 to port 0xf4
 * as its first exit. With it a start of `vmm run` and of startup_floor can be counted in instructions and
 * pages on machines without KVM, and under tools that do not know it: scripts/count-start. It says nothing
 * about what KVM itself costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT      __attribute__((visibility("default")))
#define RUN_BYTES   (3 * 4096)
#define DATA_OFFSET 4096
#define PORT_EXIT   0xf4
#define LEAVES      20 /* of either range of CPUID */

static struct kvm_run *run;
static int vcpu = -1;

static int make_fd(void)
{
    return (int)syscall(SYS_memfd_create, "kvm", 0);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    return strcmp(path, "/dev/kvm") == 0 ? make_fd() : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *mapping = (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    if (fd >= 0 && fd == vcpu)
        run = mapping;
    return mapping;
}

static int create_vcpu(void)
{
    vcpu = make_fd();
    return ftruncate(vcpu, RUN_BYTES) ? -1 : vcpu;
}

static int check_extension(unsigned long what)
{
    switch (what) {
    case KVM_CAP_SYNC_REGS:
        return KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    case KVM_CAP_NR_MEMSLOTS:
        return 32764;
    case KVM_CAP_NR_VCPUS:
    case KVM_CAP_MAX_VCPUS:
        return 64;
    case KVM_CAP_COALESCED_MMIO:
    case KVM_CAP_COALESCED_PIO:
        return 0;
    default:
        return 1;
    }
}

static int supported_cpuid(struct kvm_cpuid2 *cpuid)
{
    for (unsigned i = 0; i < 2 * LEAVES; i++) {
        unsigned range = i < LEAVES ? 0 : 0x80000000u, leaf = i % LEAVES;
        cpuid->entries[i] = (struct kvm_cpuid_entry2){.function = range + leaf,
                                                      .eax = leaf == 0 ? range + LEAVES - 1 : leaf};
    }
    cpuid->nent = 2 * LEAVES;
    return 0;
}

static int run_vcpu(void)
{
    if (run->immediate_exit) {
        errno = EINTR;
        return -1;
    }
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 1;
    run->io.port = PORT_EXIT;
    run->io.count = 1;
    run->io.data_offset = DATA_OFFSET;
    ((char *)run)[DATA_OFFSET] = 0;
    return 0;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    switch (request) {
    case KVM_GET_API_VERSION:
        return KVM_API_VERSION;
    case KVM_CREATE_VM:
        return make_fd();
    case KVM_CREATE_VCPU:
        return create_vcpu();
    case KVM_GET_VCPU_MMAP_SIZE:
        return RUN_BYTES;
    case KVM_CHECK_EXTENSION:
        return check_extension((unsigned long)argument);
    case KVM_GET_SUPPORTED_CPUID:
        return supported_cpuid(argument);
    case KVM_RUN:
        return run_vcpu();
    default:
        return _IOC_TYPE(request) == KVMIO ? 0 : (int)syscall(SYS_ioctl, fd, request, argument);
    }
}
