/* SPDX-License-Identifier: MIT
 *
 * The host's KVM, for a machine (host_open) and for a person (vmm_host_probe, which `vmm doctor` prints).
 */
#include "vmm/host.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "devices/block/block.h"

/* Newer than the headers that we build with. */
#define CAP_MEMORY_FAULT_INFO 232

static enum vmm_kvm_flavour find_hardware(void)
{
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 5)))
        return VMM_KVM_INTEL;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 2)))
        return VMM_KVM_AMD;
    return VMM_KVM_SOFTWARE;
}

/* Whether the running kernel has KVM, though we may not see its device. */
static bool kernel_has_kvm(void)
{
    char line[80], name[40];
    bool found = false;
    FILE *file = fopen("/proc/misc", "re");
    while (file && !found && fgets(line, sizeof(line), file))
        found = sscanf(line, "%*u %39s", name) == 1 && strcmp(name, "kvm") == 0;
    if (file)
        fclose(file);
    return found;
}

/* There is no device, or (ENODEV, ENXIO) a name for one that has no driver. */
static int explain_absence(int code, struct vmm_error *error)
{
    const char *what = code == -ENOENT ? "there is none" : "has no driver";
    enum vmm_kvm_flavour hardware = find_hardware();
    if (kernel_has_kvm())
        return error_set(error, code,
                         "/dev/kvm: %s, but the kernel has KVM: give it to this container (docker run "
                         "--device /dev/kvm), or make it: mknod /dev/kvm c 10 232",
                         what);
    if (hardware != VMM_KVM_SOFTWARE)
        return error_set(error, code, "/dev/kvm: %s: load its module: modprobe %s", what,
                         hardware == VMM_KVM_INTEL ? "kvm_intel" : "kvm_amd");
    return error_set(error, code,
                     "/dev/kvm: %s, and the processor offers neither VT-x nor AMD-V: switch "
                     "virtualization on in the firmware, or nested virtualization in the hypervisor",
                     what);
}

/* The device is there, and not for us. */
static int explain_denial(int code, struct vmm_error *error)
{
    const mode_t group_access = S_IRGRP | S_IWGRP;
    struct stat device;
    bool is_for_group = stat("/dev/kvm", &device) ||
                        (device.st_gid && (device.st_mode & group_access) == group_access);
    return error_set(
        error, code, "/dev/kvm: cannot open: %s: %s", strerror(-code),
        is_for_group ? "become a member of its group (usermod -aG kvm USER, then log in again)"
                     : "it is for root alone: let a group in (chgrp kvm /dev/kvm; chmod 660 /dev/kvm) and "
                       "become a member of it (usermod -aG kvm USER, then log in again)");
}

static int open_kvm(struct vmm_error *error)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    int code = -errno;
    if (code == -ENOENT || code == -ENODEV || code == -ENXIO)
        return explain_absence(code, error);
    if (code == -EACCES || code == -EPERM)
        return explain_denial(code, error);
    return error_set_errno(error, code, "/dev/kvm: cannot open");
}

static int ask(int kvm_fd, unsigned long capability)
{
    int answer = ioctl(kvm_fd, KVM_CHECK_EXTENSION, capability);
    return answer > 0 ? answer : 0;
}

int host_open(struct host *host, struct vmm_error *error)
{
    *host = (struct host){.kvm_fd = open_kvm(error)};
    if (host->kvm_fd < 0)
        return host->kvm_fd;
    int version = ioctl(host->kvm_fd, KVM_GET_API_VERSION, 0);
    int run_bytes = ioctl(host->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    int result = 0;
    if (version < 0)
        result = error_set(error, -ENODEV,
                           "/dev/kvm: is not KVM's device; it should be the character device 10:232");
    else if (version != KVM_API_VERSION)
        result = error_set(error, -ENOTSUP, "/dev/kvm: API version %d, but %d is needed", version,
                           KVM_API_VERSION);
    else if (run_bytes < (int)sizeof(struct kvm_run))
        result = error_set(error, -ENOTSUP, "/dev/kvm: a shared page of %d bytes is too small", run_bytes);
    else if (!ask(host->kvm_fd, KVM_CAP_IMMEDIATE_EXIT))
        result = error_set(error, -ENOTSUP,
                           "/dev/kvm: without KVM_CAP_IMMEDIATE_EXIT, which Linux has since 4.12");
    if (result) {
        host_close(host);
        return result;
    }
    host->run_bytes = (size_t)run_bytes;
    host->sync_fields = (uint64_t)ask(host->kvm_fd, KVM_CAP_SYNC_REGS);
    int max_cpus = ask(host->kvm_fd, KVM_CAP_MAX_VCPUS);
    host->max_cpus = max_cpus ? (unsigned)max_cpus : 4; /* KVM API 4.7 */
    host->irqchip = ask(host->kvm_fd, KVM_CAP_IRQCHIP);
    host->split_irqchip = ask(host->kvm_fd, KVM_CAP_SPLIT_IRQCHIP);
    host->pit2 = ask(host->kvm_fd, KVM_CAP_PIT2);
    host->signal_msi = ask(host->kvm_fd, KVM_CAP_SIGNAL_MSI);
    host->ioeventfd = ask(host->kvm_fd, KVM_CAP_IOEVENTFD);
    host->ioeventfd_any_size = ask(host->kvm_fd, KVM_CAP_IOEVENTFD_ANY_LENGTH);
    return 0;
}

/* Whatever signal has come, nothing has happened yet. */
int host_create_vm(const struct host *host, int *vm_fd, struct vmm_error *error)
{
    do
        *vm_fd = ioctl(host->kvm_fd, KVM_CREATE_VM, 0);
    while (*vm_fd < 0 && errno == EINTR);
    return *vm_fd < 0 ? error_set_errno(error, -errno, "/dev/kvm: cannot create a VM") : 0;
}

void host_close(struct host *host)
{
    if (host->kvm_fd >= 0)
        close(host->kvm_fd);
    host->kvm_fd = -1;
}

static bool module_is_loaded(const char *name)
{
    char path[80];
    struct stat status;
    snprintf(path, sizeof(path), "/sys/module/%s", name);
    return stat(path, &status) == 0;
}

bool host_is_intel(void)
{
    unsigned eax, ebx, ecx, edx;
    __cpuid(0, eax, ebx, ecx, edx);
    return ebx == signature_INTEL_ebx;
}

static bool module_switch(const char *path)
{
    char value = 'N';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, &value, 1) : 0;
    if (fd >= 0)
        close(fd);
    return len == 1 && (value == 'Y' || value == '1');
}

bool host_has_nested_paging(void)
{
    return module_switch("/sys/module/kvm_intel/parameters/ept") ||
           module_switch("/sys/module/kvm_amd/parameters/npt");
}

/* CPUID tells more than a module's name, which a kernel that has them built in may not show. */
static enum vmm_kvm_flavour find_flavour(void)
{
    return module_is_loaded("kvm_pvm") ? VMM_KVM_SOFTWARE : find_hardware();
}

bool host_interprets_ring0(void)
{
    return find_flavour() == VMM_KVM_SOFTWARE;
}

bool host_can_step(const struct host *host)
{
    const int needed = KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
    return (ask(host->kvm_fd, KVM_CAP_SET_GUEST_DEBUG2) & needed) == needed;
}

/* Each capability that something of ours depends on, and what follows from having it or not. */
static const struct question {
    const char *name;
    unsigned long capability;
    const char *if_there, *if_not;
} questions[] = {
    {"KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, "a running guest can be stopped and paused",
     "machines cannot be run: Linux 4.12 or newer is needed"},
    {"KVM_CAP_SYNC_REGS", KVM_CAP_SYNC_REGS, "registers are read and written without a system call",
     "registers cost a system call each way"},
    {"KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP,
     "interrupt controllers in KVM, interrupts and more than one CPU work",
     "guests have no interrupts and one CPU"},
    {"KVM_CAP_SPLIT_IRQCHIP", KVM_CAP_SPLIT_IRQCHIP, "a split irqchip works", "a split irqchip is refused"},
    {"KVM_CAP_PIT2", KVM_CAP_PIT2, "guests have a PIT, except with a split irqchip", "guests have no PIT"},
    {"KVM_CAP_SIGNAL_MSI", KVM_CAP_SIGNAL_MSI, "message-signalled interrupts work",
     "no message-signalled interrupts: a split irqchip is refused, PCI devices are slower"},
    {"KVM_CAP_READONLY_MEM", KVM_CAP_READONLY_MEM, "ROM is enforced by KVM", "guests can overwrite ROM"},
    {"KVM_CAP_COALESCED_MMIO", KVM_CAP_COALESCED_MMIO, "writes to devices can be collected in a ring",
     "every device write is an exit"},
    {"KVM_CAP_COALESCED_PIO", KVM_CAP_COALESCED_PIO, "port writes can be collected in a ring",
     "every port write is an exit"},
    {"KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD, "queue kicks need no exit to user space",
     "every queue kick is an exit"},
    {"KVM_CAP_IOEVENTFD_ANY_LENGTH", KVM_CAP_IOEVENTFD_ANY_LENGTH, "nor do those by memory",
     "every queue kick by memory is an exit"},
    {"KVM_CAP_EXIT_ON_EMULATION_FAILURE", KVM_CAP_EXIT_ON_EMULATION_FAILURE,
     "instructions that KVM does not know are executed in every ring",
     "instructions that KVM does not know are executed in ring 0 only, elsewhere they are #UD"},
    {"KVM_CAP_MEMORY_FAULT_INFO", CAP_MEMORY_FAULT_INFO, "memory faults come with their address",
     "memory faults come as EFAULT, without their address"},
    {"KVM_CAP_X86_USER_SPACE_MSR", KVM_CAP_X86_USER_SPACE_MSR, "unknown MSRs can be answered here",
     "unknown MSRs are #GP in the guest"},
    {"KVM_CAP_X86_MSR_FILTER", KVM_CAP_X86_MSR_FILTER, "a program can have MSRs of its own",
     "vmm_add_msrs is refused"},
    {"KVM_CAP_XSAVE2", KVM_CAP_XSAVE2, "vector state of any size can be saved",
     "vector state beyond 4 KiB cannot be saved"},
    {"KVM_CAP_TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER, "the local APIC's timer has its TSC mode",
     "the local APIC's timer has no TSC mode"},
    {"KVM_CAP_SET_GUEST_DEBUG", KVM_CAP_SET_GUEST_DEBUG, "guests can be single-stepped",
     "guests cannot be single-stepped"},
};

_Static_assert(ARRAY_COUNT(questions) + 1 <= VMM_HOST_FACT_LIMIT, "the list of facts is too short");

static struct vmm_host_fact io_uring_fact(void)
{
    const char *reason;
    bool has_uring = block_has_uring(&reason);
    return (struct vmm_host_fact){.name = "io_uring",
                                  .value = has_uring,
                                  .meaning = has_uring ? "disks are read and written by io_uring"
                                                       : "disks are read and written by threads",
                                  .is_problem = !has_uring};
}

static void ask_all(struct vmm_host *host, int kvm_fd)
{
    for (size_t i = 0; i < ARRAY_COUNT(questions); i++) {
        int answer = ask(kvm_fd, questions[i].capability);
        host->facts[host->fact_count++] = (struct vmm_host_fact){.name = questions[i].name,
                                                                 .value = answer,
                                                                 .meaning = answer ? questions[i].if_there
                                                                                   : questions[i].if_not,
                                                                 .is_problem = !answer};
    }
    host->facts[host->fact_count++] = io_uring_fact();
    host->recommended_cpus = (unsigned)ask(kvm_fd, KVM_CAP_NR_VCPUS);
    host->max_cpus = (unsigned)ask(kvm_fd, KVM_CAP_MAX_VCPUS);
}

static void read_brand(struct vmm_host *host)
{
    unsigned words[12];
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            return;
    const char *text = (const char *)words;
    size_t len = strnlen(text, sizeof(words));
    for (; len && *text == ' '; len--)
        text++;
    while (len && text[len - 1] == ' ')
        len--;
    memcpy(host->cpu, text, len);
    host->cpu[len] = 0;
}

void vmm_host_probe(struct vmm_host *host)
{
    unsigned eax, ebx, ecx, edx;
    struct utsname name;
    *host = (struct vmm_host){.cpu_count = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
    read_brand(host);
    if (uname(&name) == 0)
        snprintf(host->kernel, sizeof(host->kernel), "%.79s", name.release);
    host->is_nested = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 31));
    struct host kvm;
    if (host_open(&kvm, &host->error))
        return;
    host->flavour = find_flavour();
    ask_all(host, kvm.kvm_fd);
    int vm_fd;
    host->usable = host_create_vm(&kvm, &vm_fd, &host->error) == 0;
    if (host->usable)
        close(vm_fd);
    host_close(&kvm);
}
