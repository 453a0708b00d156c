/* SPDX-License-Identifier: MIT
 *
 * Regions of the program's own: what a user of the library adds by vmm_add_region and vmm_add_rom.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/machine.h"

struct foreign_region {
    struct bus_region region;
    struct lock lock;
    struct bus_ops bus_ops; /* the user's, called by the bus itself */
    /* Of a ROM: NULL where nobody watches it. */
    const struct vmm_region_ops *ops;
    void *context;
    char name[];
};

static uint64_t read_nothing(void *context, uint64_t offset, unsigned size)
{
    (void)context, (void)offset, (void)size;
    return UINT64_MAX;
}

static void write_nothing(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)context, (void)offset, (void)size, (void)value;
}

static void rom_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct foreign_region *foreign = device;
    if (foreign->ops && foreign->ops->write)
        foreign->ops->write(foreign->context, offset, size, value);
}

/* KVM maps a ROM for reading, but a software access that starts in front of it may read here too. */
static uint64_t rom_read(void *device, uint64_t offset, unsigned size)
{
    const struct foreign_region *foreign = device;
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)foreign->region.direct + offset, size);
    return value;
}

static const struct bus_ops rom_ops = {.read = rom_read, .write = rom_write};

static void foreign_destroy(void *part)
{
    struct foreign_region *foreign = part;
    if (foreign->region.direct)
        munmap(foreign->region.direct, foreign->region.len);
    free(foreign);
}

/* A region that is on no bus yet, nor the machine's. */
static int foreign_create(const char *name, uint64_t base, uint64_t len, struct foreign_region **out,
                          struct vmm_error *error)
{
    struct foreign_region *foreign = calloc(1, sizeof(*foreign) + strlen(name) + 1);
    if (!foreign)
        return error_set(error, -ENOMEM, "%s: out of memory", name);
    strcpy(foreign->name, name);
    foreign->region = (struct bus_region){
        .name = foreign->name, .base = base, .len = len, .device = foreign, .lock = &foreign->lock};
    *out = foreign;
    return 0;
}

int vmm_add_region(struct vmm *machine, enum vmm_space space, const char *name, uint64_t base, uint64_t len,
                   const struct vmm_region_ops *ops, void *context, struct vmm_error *error)
{
    struct foreign_region *foreign = NULL;
    if (!name || !ops)
        return error_set(error, -EINVAL, "%s: a region needs a name and operations", name ? name : "region");
    if (space != VMM_SPACE_PORTS && space != VMM_SPACE_MEMORY)
        return error_set(error, -EINVAL, "%s: there is no address space %d", name, (int)space);
    int result = space == VMM_SPACE_MEMORY ? machine_check_not_ram(machine, name, base, len, error) : 0;
    if (!result)
        result = foreign_create(name, base, len, &foreign, error);
    if (!result)
        result = machine_own(machine, foreign, foreign_destroy, error);
    if (result)
        return result;
    foreign->bus_ops = (struct bus_ops){.read = ops->read ? ops->read : read_nothing,
                                        .write = ops->write ? ops->write : write_nothing};
    foreign->region.ops = &foreign->bus_ops;
    foreign->region.device = context;
    return bus_add(space == VMM_SPACE_PORTS ? machine->ports : machine->memory_bus, &foreign->region, error);
}

static int fill_rom(struct foreign_region *foreign, const void *bytes, struct vmm_error *error)
{
    uint64_t len = foreign->region.len;
    void *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return error_set_errno(error, -errno, "%s: cannot map %llu bytes", foreign->name,
                               (unsigned long long)len);
    memcpy(copy, bytes, len);
    foreign->region.direct = copy;
    foreign->region.is_rom = true;
    foreign->region.ops = &rom_ops;
    return 0;
}

int vmm_add_rom(struct vmm *machine, const char *name, uint64_t base, const void *bytes, uint64_t len,
                const struct vmm_region_ops *ops, void *context, struct vmm_error *error)
{
    struct foreign_region *foreign = NULL;
    if (!name || !bytes)
        return error_set(error, -EINVAL, "%s: a ROM needs a name and bytes", name ? name : "ROM");
    if (!len || base % PAGE_BYTES || len % PAGE_BYTES)
        return error_set(error, -EINVAL, "%s: a ROM is whole pages, not %#llx bytes at %#llx", name,
                         (unsigned long long)len, (unsigned long long)base);
    int result = machine_check_not_ram(machine, name, base, len, error);
    if (!result)
        result = foreign_create(name, base, len, &foreign, error);
    if (!result)
        result = machine_own_memory(machine, foreign, foreign_destroy, error);
    if (!result)
        result = fill_rom(foreign, bytes, error);
    if (result)
        return result;
    foreign->ops = ops;
    foreign->context = context;
    return bus_add(machine->memory_bus, &foreign->region, error);
}
