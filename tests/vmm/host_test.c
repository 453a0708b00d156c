/* SPDX-License-Identifier: MIT
 *
 * What vmm_host_probe makes of a host: KVM is this file's, which can do everything and makes VMs of nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "include/libvmm.h"
#include "tests/harness.h"

static int interrupted;   /* calls that a signal comes before */
static int vm_create_err; /* what the next then fails with, or 0 */
static unsigned vms;
static mode_t denied_mode; /* the device cannot be opened, and has this mode; 0: it can */
static gid_t denied_group;

int open(const char *path, int flags, ...)
{
    if (strcmp(path, "/dev/kvm") == 0 && denied_mode) {
        errno = EACCES;
        return -1;
    }
    if (strcmp(path, "/dev/kvm") == 0)
        return memfd_create("kvm", MFD_CLOEXEC);
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int stat(const char *path, struct stat *status)
{
    if (strcmp(path, "/dev/kvm") != 0)
        return fstatat(AT_FDCWD, path, status, 0);
    *status = (struct stat){.st_mode = S_IFCHR | denied_mode, .st_gid = denied_group};
    return 0;
}

static int create_vm(void)
{
    errno = interrupted ? EINTR : vm_create_err;
    interrupted -= interrupted > 0;
    if (errno)
        return -1;
    vms++;
    return memfd_create("vm", MFD_CLOEXEC);
}

int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    switch (request) {
    case KVM_GET_API_VERSION:
        return KVM_API_VERSION;
    case KVM_GET_VCPU_MMAP_SIZE:
        return 3 * 4096;
    case KVM_CHECK_EXTENSION:
        return 1;
    case KVM_CREATE_VM:
        return create_vm();
    default:
        errno = ENOTTY;
        return -1;
    }
}

START_TEST(a_signal_makes_no_host_unusable)
{
    struct vmm_host host;
    interrupted = 3;
    vms = 0;
    vmm_host_probe(&host);
    ck_assert_msg(host.usable, "%s", host.error.message);
    ck_assert_uint_eq(vms, 1);
    ck_assert_int_eq(interrupted, 0);
}
END_TEST

START_TEST(a_kvm_that_makes_no_vm_is_not_usable)
{
    struct vmm_host host;
    interrupted = 0;
    vm_create_err = ENOMEM;
    vmm_host_probe(&host);
    ck_assert(!host.usable);
    ck_assert_str_eq(host.error.message, "/dev/kvm: cannot create a VM: Cannot allocate memory");
    vm_create_err = 0;
}
END_TEST

START_TEST(who_may_not_open_kvm_is_told_what_helps)
{
    static const struct {
        mode_t mode;
        gid_t group;
        const char *text;
    } devices[] = {{0660, 103, "Permission denied: become a member of its group"},
                   {0600, 103, "Permission denied: it is for root alone: let a group in"},
                   {0640, 103, "Permission denied: it is for root alone: let a group in"},
                   {0660, 0, "Permission denied: it is for root alone: let a group in"}};
    for (size_t i = 0; i < ARRAY_COUNT(devices); i++) {
        struct vmm_host host;
        denied_mode = devices[i].mode;
        denied_group = devices[i].group;
        vmm_host_probe(&host);
        ck_assert_msg(!host.usable && strstr(host.error.message, devices[i].text), "mode %o: %s",
                      devices[i].mode, host.error.message);
    }
    denied_mode = 0;
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_signal_makes_no_host_unusable);
    test_add(suite, a_kvm_that_makes_no_vm_is_not_usable);
    test_add(suite, who_may_not_open_kvm_is_told_what_helps);
}
