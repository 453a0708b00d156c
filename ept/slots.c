/* SPDX-License-Identifier: MIT
 *
 * KVM's memory slots and coalesced zones.
 */
#include "ept/slots.h"

#include <cpuid.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* The host side of trapped pages: address space without access, shared by nothing. */
struct trapped_span {
    struct trapped_span *next;
    void *hva;
    uint64_t len;
};

struct slots {
    int vm_fd;
    uint32_t count; /* also the next slot's number */
    struct trapped_span *spans;
};

int slots_create(int vm_fd, struct slots **out, struct vmm_error *error)
{
    struct slots *slots = calloc(1, sizeof(*slots));
    if (!slots)
        return error_set(error, -ENOMEM, "memory slots: out of memory");
    slots->vm_fd = vm_fd;
    *out = slots;
    return 0;
}

void slots_destroy(struct slots *slots)
{
    if (!slots)
        return;
    while (slots->spans) {
        struct trapped_span *span = slots->spans;
        slots->spans = span->next;
        munmap(span->hva, span->len);
        free(span);
    }
    free(slots);
}

/* Guests cannot have more than the processor has (CPUID 0x80000008, SDM 2A CPUID, "physical address size").
 */
static int explain_refusal(gpa_t gpa, uint64_t len, int code, struct vmm_error *error)
{
    unsigned eax, ebx, ecx, edx;
    unsigned bits = __get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) ? eax & 0xff : 0;
    if (code == -EINVAL && bits && bits < 64 && (gpa + len - 1) >> bits)
        return error_set(
            error, code,
            "memory: %#llx bytes at %#llx reach beyond the %u-bit physical addresses of this host",
            (unsigned long long)len, (unsigned long long)gpa, bits);
    return error_set_errno(error, code, "memory: KVM refuses the slot of %#llx bytes at %#llx",
                           (unsigned long long)len, (unsigned long long)gpa);
}

/* The slot's number, or a negative errno. */
static int add_slot(struct slots *slots, gpa_t gpa, void *hva, uint64_t len, uint32_t flags,
                    struct vmm_error *error)
{
    struct kvm_userspace_memory_region slot = {.slot = slots->count,
                                               .flags = flags,
                                               .guest_phys_addr = gpa,
                                               .memory_size = len,
                                               .userspace_addr = (uintptr_t)hva};
    if (ioctl(slots->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
        return explain_refusal(gpa, len, -errno, error);
    return (int)slots->count++;
}

int slots_add_memory(struct slots *slots, const struct guest_memory *memory, struct vmm_error *error)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(memory, &count);
    for (size_t i = 0; i < count; i++) {
        int result = add_slot(slots, ranges[i].gpa, ranges[i].hva, ranges[i].len,
                              ranges[i].read_only ? KVM_MEM_READONLY : 0, error);
        if (result < 0)
            return result;
    }
    return 0;
}

int slots_add_trapped(struct slots *slots, gpa_t gpa, uint64_t len, struct vmm_error *error)
{
    struct trapped_span *span = malloc(sizeof(*span));
    if (!span)
        return error_set(error, -ENOMEM, "memory slots: out of memory");
    *span = (struct trapped_span){.next = slots->spans, .len = len};
    span->hva = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (span->hva == MAP_FAILED) {
        free(span);
        return error_set_errno(error, -errno, "memory: no address space for %#llx trapped bytes at %#llx",
                               (unsigned long long)len, (unsigned long long)gpa);
    }
    slots->spans = span;
    int result = add_slot(slots, gpa, span->hva, len, 0, error);
    return result < 0 ? result : 0;
}

int slots_add_direct(struct slots *slots, gpa_t gpa, void *hva, uint64_t len, bool read_only,
                     struct vmm_error *error)
{
    return add_slot(slots, gpa, hva, len, read_only ? KVM_MEM_READONLY : KVM_MEM_LOG_DIRTY_PAGES, error);
}

int slots_take_dirty(struct slots *slots, int slot, uint64_t *bitmap, struct vmm_error *error)
{
    struct kvm_dirty_log log = {.slot = (uint32_t)slot, .dirty_bitmap = bitmap};
    if (ioctl(slots->vm_fd, KVM_GET_DIRTY_LOG, &log))
        return error_set_errno(error, -errno, "memory: KVM does not say which pages of slot %d are dirty",
                               slot);
    return 0;
}

int slots_add_coalesced(struct slots *slots, bool is_port, uint64_t base, uint32_t len,
                        struct vmm_error *error)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = base, .size = len, .pio = is_port};
    int capability = is_port ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO;
    if (ioctl(slots->vm_fd, KVM_CHECK_EXTENSION, capability) <= 0)
        return error_set(error, -ENOTSUP, "this host's KVM cannot collect writes to %s",
                         is_port ? "ports" : "memory");
    if (ioctl(slots->vm_fd, KVM_REGISTER_COALESCED_MMIO, &zone))
        return error_set_errno(error, -errno, "KVM cannot collect the writes to %u bytes at %#llx", len,
                               (unsigned long long)base);
    return 0;
}
