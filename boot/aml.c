/* SPDX-License-Identifier: MIT
 *
 * Every block's length takes three bytes, whatever its value: so it can be filled in when the block ends.
 */
#include "boot/aml.h"

#include <string.h>

#include "base/bytes.h"

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_EXTENDED_REGION = 0x80,
    OP_EXTENDED_FIELD = 0x81,
    OP_EXTENDED_DEVICE = 0x82,
    OP_LOCAL0 = 0x60,
    OP_STORE = 0x70,
    OP_AND = 0x7b,
    OP_NOTIFY = 0x86,
    OP_IF = 0xa0,
};

#define LENGTH_BYTES 3

void aml_bytes(struct aml *aml, const void *bytes, size_t len)
{
    if (aml->capacity - aml->len < len) {
        aml->overflow = true;
        return;
    }
    memcpy(aml->bytes + aml->len, bytes, len);
    aml->len += len;
}

static void put(struct aml *aml, uint64_t value, unsigned size)
{
    aml_bytes(aml, &value, size);
}

static void put_segment(struct aml *aml, const char *name)
{
    char segment[4] = {'_', '_', '_', '_'};
    memcpy(segment, name, strnlen(name, sizeof(segment)));
    aml_bytes(aml, segment, sizeof(segment));
}

/* Where the length goes, which counts its own bytes. */
static size_t block_begin(struct aml *aml)
{
    size_t block = aml->len;
    put(aml, 0, LENGTH_BYTES);
    return block;
}

void aml_end(struct aml *aml, size_t block)
{
    size_t len = aml->len - block;
    if (aml->overflow)
        return;
    aml->bytes[block] = (uint8_t)(0x80 | (len & 0xf));
    store_le16(aml->bytes + block + 1, (uint16_t)(len >> 4));
    aml->overflow = len >> 20;
}

size_t aml_scope_begin(struct aml *aml, const char *name)
{
    put(aml, OP_SCOPE, 1);
    size_t block = block_begin(aml);
    if (name[0] == '\\')
        put(aml, '\\', 1);
    put_segment(aml, name + (name[0] == '\\'));
    return block;
}

size_t aml_device_begin(struct aml *aml, const char *segment)
{
    put(aml, OP_EXTENDED, 1);
    put(aml, OP_EXTENDED_DEVICE, 1);
    size_t block = block_begin(aml);
    put_segment(aml, segment);
    return block;
}

static void put_name(struct aml *aml, const char *segment)
{
    put(aml, OP_NAME, 1);
    put_segment(aml, segment);
}

static void put_number(struct aml *aml, uint32_t value)
{
    unsigned size = value > 0xffff ? 4 : value > 0xff ? 2 : 1;
    if (value > 1) /* 0 and 1 are opcodes of their own */
        put(aml, size == 4 ? OP_DWORD : size == 2 ? OP_WORD : OP_BYTE, 1);
    put(aml, value, size);
}

void aml_name_number(struct aml *aml, const char *segment, uint32_t value)
{
    put_name(aml, segment);
    put_number(aml, value);
}

void aml_name_string(struct aml *aml, const char *segment, const char *text)
{
    put_name(aml, segment);
    put(aml, OP_STRING, 1);
    aml_bytes(aml, text, strlen(text) + 1);
}

static unsigned hex_digit(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A') + 10;
}

/* Three letters of 5 bits and four digits of 4, big-endian (ACPI 6.5 19.6.36). */
void aml_name_eisa(struct aml *aml, const char *segment, const char *id)
{
    uint32_t value = 0;
    for (int i = 0; i < 3; i++)
        value = value << 5 | (id[i] & 0x1f);
    for (int i = 3; i < 7; i++)
        value = value << 4 | hex_digit(id[i]);
    put_name(aml, segment);
    put(aml, OP_DWORD, 1);
    put(aml, __builtin_bswap32(value), 4);
}

size_t aml_package_begin(struct aml *aml, const char *segment, unsigned count)
{
    if (segment)
        put_name(aml, segment);
    put(aml, OP_PACKAGE, 1);
    size_t block = block_begin(aml);
    put(aml, count, 1);
    return block;
}

void aml_number(struct aml *aml, uint32_t value)
{
    put_number(aml, value);
}

void aml_name_package(struct aml *aml, const char *segment, const uint8_t *numbers, unsigned count)
{
    size_t block = aml_package_begin(aml, segment, count);
    for (unsigned i = 0; i < count; i++)
        put_number(aml, numbers[i]);
    aml_end(aml, block);
}

struct aml_resources aml_resources_begin(struct aml *aml)
{
    struct aml_resources resources;
    put_name(aml, "_CRS");
    put(aml, OP_BUFFER, 1);
    resources.block = block_begin(aml);
    put(aml, OP_WORD, 1);
    put(aml, 0, 2);
    resources.first = aml->len;
    return resources;
}

void aml_resources_end(struct aml *aml, struct aml_resources resources)
{
    put(aml, 0x0079, 2); /* the end tag, without a checksum */
    if (!aml->overflow)
        store_le16(aml->bytes + resources.first - 2, (uint16_t)(aml->len - resources.first));
    aml_end(aml, resources.block);
}

void aml_ports(struct aml *aml, uint16_t base, uint8_t count)
{
    put(aml, 0x0147, 2); /* I/O ports, all 16 address lines decoded */
    put(aml, base, 2);   /* the lowest base */
    put(aml, base, 2);   /* and the highest */
    put(aml, 1, 1);
    put(aml, count, 1);
}

void aml_isa_irq(struct aml *aml, unsigned irq)
{
    put(aml, 0x22, 1);
    put(aml, 1u << irq, 2);
}

void aml_memory(struct aml *aml, uint32_t base, uint32_t len)
{
    put(aml, 0x86, 1); /* 32-bit fixed memory */
    put(aml, 9, 2);
    put(aml, 1, 1); /* writable */
    put(aml, base, 4);
    put(aml, len, 4);
}

void aml_gsi(struct aml *aml, uint32_t gsi)
{
    put(aml, 0x89, 1); /* an extended interrupt */
    put(aml, 6, 2);
    put(aml, 0x01, 1); /* a consumer's, level-triggered */
    put(aml, 1, 1);
    put(aml, gsi, 4);
}

enum { SPACE_MEMORY = 0, SPACE_BUS = 2 };

/* An address space descriptor (ACPI 6.5 6.4.3.5) whose numbers have `size` bytes: produced, fixed at both
 * ends, untranslated; memory is writable and not cacheable. */
static void put_window(struct aml *aml, unsigned kind, unsigned size, uint64_t base, uint64_t len)
{
    put(aml, size == 2 ? 0x88 : size == 4 ? 0x87 : 0x8a, 1);
    put(aml, 3 + 5 * size, 2);
    put(aml, kind, 1);
    put(aml, 0x0c, 1);
    put(aml, kind == SPACE_MEMORY, 1);
    put(aml, 0, size); /* granularity */
    put(aml, base, size);
    put(aml, base + len - 1, size);
    put(aml, 0, size);
    put(aml, len, size);
}

void aml_bus_window(struct aml *aml, uint8_t first, uint8_t last)
{
    put_window(aml, SPACE_BUS, 2, first, last - first + 1u);
}

void aml_memory_window(struct aml *aml, uint32_t base, uint32_t len)
{
    put_window(aml, SPACE_MEMORY, 4, base, len);
}

void aml_memory_window64(struct aml *aml, uint64_t base, uint64_t len)
{
    put_window(aml, SPACE_MEMORY, 8, base, len);
}

void aml_port_byte(struct aml *aml, const char *region, const char *field, uint16_t port)
{
    put(aml, OP_EXTENDED, 1);
    put(aml, OP_EXTENDED_REGION, 1);
    put_segment(aml, region);
    put(aml, 1, 1); /* I/O space */
    put_number(aml, port);
    put_number(aml, 1);
    put(aml, OP_EXTENDED, 1);
    put(aml, OP_EXTENDED_FIELD, 1);
    size_t block = block_begin(aml);
    put_segment(aml, region);
    put(aml, 1, 1); /* by bytes, without the global lock, the rest of a byte preserved */
    put_segment(aml, field);
    put(aml, 8, 1); /* bits, as a package length of one byte */
    aml_end(aml, block);
}

size_t aml_method_begin(struct aml *aml, const char *segment, unsigned arguments)
{
    put(aml, OP_METHOD, 1);
    size_t block = block_begin(aml);
    put_segment(aml, segment);
    put(aml, arguments | 1u << 3, 1);
    return block;
}

void aml_load_local(struct aml *aml, const char *name)
{
    put(aml, OP_STORE, 1);
    put_segment(aml, name);
    put(aml, OP_LOCAL0, 1);
}

void aml_store_local(struct aml *aml, const char *name)
{
    put(aml, OP_STORE, 1);
    put(aml, OP_LOCAL0, 1);
    put_segment(aml, name);
}

size_t aml_if_local_begin(struct aml *aml, uint32_t mask)
{
    put(aml, OP_IF, 1);
    size_t block = block_begin(aml);
    put(aml, OP_AND, 1);
    put(aml, OP_LOCAL0, 1);
    put_number(aml, mask);
    put(aml, 0, 1); /* the result goes nowhere else */
    return block;
}

void aml_notify(struct aml *aml, const char *device, uint32_t value)
{
    put(aml, OP_NOTIFY, 1);
    put_segment(aml, device);
    put_number(aml, value);
}
