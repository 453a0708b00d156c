/* SPDX-License-Identifier: MIT
 *
 * Page-table walks over tables of the fuzzer's choice, a page of them repeated over all of RAM. A second walk
 * meets the bits that the first has set and takes the short way: both must find the same. The error code may
 * not claim what the access was not.
 */
#include <stdlib.h>
#include <string.h>

#include "ept/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define RAM_BYTES (64 * KIB)

static struct guest_memory *memory;

static uint32_t pkru_read(void *owner)
{
    (void)owner;
    return 0x5a5a5a54;
}

static void table_written(void *owner, gpa_t gpa, uint64_t len)
{
    (void)owner;
    if (!guest_mem_is_ram(memory, gpa, len))
        abort();
}

static uint64_t take(const uint8_t **data, size_t *len, unsigned size)
{
    uint64_t value = 0;
    unsigned have = *len < size ? (unsigned)*len : size;
    memcpy(&value, *data, have);
    *data += have;
    *len -= have;
    return value;
}

static void check_error(const struct walk_result *result, unsigned access)
{
    uint32_t code = result->error_code;
    bool is_odd = (code & PF_WRITE) != ((access & WALK_WRITE) ? PF_WRITE : 0) ||
                  (code & PF_USER) != ((access & WALK_USER) ? PF_USER : 0) ||
                  ((code & PF_FETCH) && !(access & WALK_FETCH)) ||
                  ((code & PF_RESERVED) && !(code & PF_PRESENT)) || (code & ~0x3fu);
    if (is_odd)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!memory && guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL))
        abort();
    unsigned mode = (unsigned)take(&data, &len, 1), access = (unsigned)take(&data, &len, 1) & 15;
    struct walk_context context = {
        .memory = memory,
        .cr0 = 1u << 31 | (mode & 1 ? 1u << 16 : 0),
        .cr3 = take(&data, &len, 2),
        .cr4 = take(&data, &len, 3),
        .efer = (mode & 2 ? 1u << 10 : 0) | (mode & 4 ? 1u << 11 : 0),
        .flags_ac = mode & 8,
        .physical_address_bits = (uint8_t)(36 + (mode >> 4)),
        .pkru_read = pkru_read,
        .table_written = table_written,
    };
    gva_t gva = take(&data, &len, 6);
    if (access & WALK_FETCH)
        access &= ~(unsigned)WALK_WRITE;
    if (access & WALK_USER)
        access &= ~(unsigned)WALK_IMPLICIT;
    if (context.efer)
        context.cr4 |= 1u << 5;
    uint8_t *ram = guest_mem_ptr(memory, 0, RAM_BYTES);
    memset(ram, 0, RAM_BYTES);
    for (size_t at = 0; len && at < RAM_BYTES; at += PAGE_BYTES)
        memcpy(ram + at, data, len < PAGE_BYTES ? len : PAGE_BYTES);
    struct walk_result peek, first, second;
    bool peeks = walk_gva(&context, gva, access | WALK_PEEK, &peek);
    bool ok = walk_gva(&context, gva, access, &first);
    if (!ok)
        check_error(&first, access);
    if (!(mode & 2))
        return 0; /* an A bit may land in an entry that is read as a PDPTE too, where it is reserved */
    if (peeks != ok || (ok ? peek.gpa != first.gpa : peek.error_code != first.error_code))
        abort();
    if (ok && (!walk_gva(&context, gva, access, &second) || second.gpa != first.gpa ||
               second.page_bytes != first.page_bytes))
        abort();
    return 0;
}
