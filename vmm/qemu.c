/* SPDX-License-Identifier: MIT
 *
 * What guests know from QEMU and no PC has: fw_cfg, and the test device.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "devices/fwcfg/fwcfg.h"
#include "devices/testdev/testdev.h"
#include "vmm/machine.h"

MACHINE_DESTROYER(fwcfg)
MACHINE_DESTROYER(testdev)

int machine_add_fwcfg(struct vmm *machine, struct vmm_error *error)
{
    struct fwcfg *fwcfg;
    const struct fwcfg_config config = {.ram_bytes = machine->config.ram_bytes,
                                        .cpu_count = machine->config.cpu_count,
                                        .memory = machine->memory};
    int result = fwcfg_create(&config, &fwcfg, error);
    if (!result)
        result = machine_add_ports(machine, fwcfg, destroy_fwcfg, fwcfg_region(fwcfg), error);
    if (!result)
        machine->fwcfg = fwcfg;
    return result;
}

int vmm_add_fwcfg_file(struct vmm *machine, const char *name, const void *bytes, size_t len,
                       struct vmm_error *error)
{
    if (!machine->fwcfg)
        return error_set(error, -ENODEV, "fw_cfg: the machine has none for '%s': call vmm_add_legacy first",
                         name);
    int result = machine_check_open(machine, error);
    return result ? result : fwcfg_add_file(machine->fwcfg, name, bytes, len, error);
}

#define E820_ENTRY_BYTES 20

/* The memory map as the file etc/e820: address, length and kind of each range. */
static int add_e820(struct vmm *machine, const struct memory_map_entry *reserved, size_t reserved_count,
                    struct vmm_error *error)
{
    struct memory_map map;
    uint8_t bytes[MEMORY_MAP_LIMIT * E820_ENTRY_BYTES], *at = bytes;
    int result = memory_map_build(machine->memory, reserved, reserved_count, &map, error);
    for (size_t i = 0; !result && i < map.count; i++, at += E820_ENTRY_BYTES) {
        store_le64(at, map.entries[i].gpa);
        store_le64(at + 8, map.entries[i].len);
        store_le32(at + 16, map.entries[i].kind);
    }
    if (result)
        return result;
    return fwcfg_add_file(machine->fwcfg, "etc/e820", bytes, (size_t)(at - bytes), error);
}

int machine_fill_fwcfg(struct vmm *machine, const struct memory_map_entry *reserved, size_t reserved_count,
                       struct vmm_error *error)
{
    const struct boot_state *start = &machine->start;
    if (!machine->fwcfg)
        return 0;
    const struct fwcfg_image image = {.kernel = {start->image_gpa, start->kernel_len},
                                      .initrd = {start->initrd_gpa, start->initrd_len},
                                      .cmdline = {start->cmdline_gpa, start->cmdline_len},
                                      .entry = start->rip};
    fwcfg_set_image(machine->fwcfg, &image);
    return add_e820(machine, reserved, reserved_count, error);
}

int vmm_add_testdev(struct vmm *machine, enum vmm_mmio_engine engine, struct vmm_error *error)
{
    struct testdev *testdev;
    struct testdev_config config = {.memory = machine->memory,
                                    .engine = engine == VMM_MMIO_KVM ? BUS_ENGINE_KVM : BUS_ENGINE_TRAP};
    for (unsigned i = 0; i < TESTDEV_IRQ_COUNT; i++)
        config.irqs[i] = machine_irq_line(machine, i);
    int result = testdev_create(&config, &testdev, error);
    machine->has_testdev = true;
    if (!result)
        result = machine_own(machine, testdev, destroy_testdev, error);
    for (unsigned i = 0; !result && i < TESTDEV_REGION_COUNT; i++)
        result = bus_add(i + 1 < TESTDEV_REGION_COUNT ? machine->ports : machine->memory_bus,
                         testdev_region(testdev, i), error);
    return result;
}
