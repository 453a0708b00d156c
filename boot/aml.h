/* SPDX-License-Identifier: MIT
 *
 * Writes ACPI's byte code (AML, ACPI 6.5 chapter 20), as much of it as a machine without firmware needs:
 * scopes, devices, names, resources, and of methods what asks a register. Blocks nest: each _begin is closed
 * by an aml_end with the value it returned. A full buffer is remembered in `overflow`, so only the end result
 * needs a check.
 */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include "base/types.h"

struct aml {
    uint8_t *bytes;
    size_t len, capacity;
    bool overflow;
};

void aml_bytes(struct aml *aml, const void *bytes, size_t len);

/* A name is one segment of 4 characters, padded with '_', after a '\' where it is the root's. */
size_t aml_scope_begin(struct aml *aml, const char *name);
size_t aml_device_begin(struct aml *aml, const char *segment);
void aml_end(struct aml *aml, size_t block);

/* Name (SEGMENT, VALUE) */
void aml_name_number(struct aml *aml, const char *segment, uint32_t value);
void aml_name_string(struct aml *aml, const char *segment, const char *text);
/* Name (SEGMENT, EisaId ("PNP0501")) */
void aml_name_eisa(struct aml *aml, const char *segment, const char *id);
/* Name (SEGMENT, Package () { ... }) of up to 255 numbers */
void aml_name_package(struct aml *aml, const char *segment, const uint8_t *numbers, unsigned count);

/* Name (SEGMENT, Package () { ... }), or without a segment (NULL) a package in another: then come `count`
 * elements, up to 255, and an aml_end. */
size_t aml_package_begin(struct aml *aml, const char *segment, unsigned count);
void aml_number(struct aml *aml, uint32_t value);

/* Name (_CRS, ResourceTemplate () { ... }): what is between begin and end (ACPI 6.5 6.4). */
struct aml_resources {
    size_t block, first;
};
struct aml_resources aml_resources_begin(struct aml *aml);
void aml_resources_end(struct aml *aml, struct aml_resources resources);
void aml_ports(struct aml *aml, uint16_t base, uint8_t count);
void aml_isa_irq(struct aml *aml, unsigned irq); /* edge-triggered, active high */
void aml_memory(struct aml *aml, uint32_t base, uint32_t len);
void aml_gsi(struct aml *aml, uint32_t gsi); /* level-triggered, active high, not shared */
/* Windows that a bridge passes on: a range of bus numbers, and of memory, below 4 GiB or anywhere. */
void aml_bus_window(struct aml *aml, uint8_t first, uint8_t last);
void aml_memory_window(struct aml *aml, uint32_t base, uint32_t len);
void aml_memory_window64(struct aml *aml, uint64_t base, uint64_t len);

/* OperationRegion (REGION, SystemIO, PORT, 1), and a Field of it that is the whole byte. */
void aml_port_byte(struct aml *aml, const char *region, const char *field, uint16_t port);
/* Method (SEGMENT, ARGUMENTS, Serialized) { ... } */
size_t aml_method_begin(struct aml *aml, const char *segment, unsigned arguments);
/* Local0 = NAME, and NAME = Local0 */
void aml_load_local(struct aml *aml, const char *name);
void aml_store_local(struct aml *aml, const char *name);
/* If (Local0 & MASK) { ... } */
size_t aml_if_local_begin(struct aml *aml, uint32_t mask);
/* Notify (DEVICE, VALUE) */
void aml_notify(struct aml *aml, const char *device, uint32_t value);

#endif
