/* SPDX-License-Identifier: MIT
 *
 * Reading a trace file. Nothing of it is trusted: each block is checked by its sum, and every number in it by
 * what is there. The first block that is not as it should be ends the reading, and is named.
 */
#include "base/trace_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define FILE_HEAD  16u
#define BLOCK_HEAD 16u

__attribute__((format(printf, 2, 3))) static void damaged(struct trace_file *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(file->damage, sizeof(file->damage), format, arguments);
    va_end(arguments);
}

/* Returns the block's length with its head; 0 where the file is not as it should be. */
static size_t take_block(struct trace_file *file, const uint8_t *bytes, size_t len, size_t offset)
{
    unsigned long long at = offset;
    if (len < BLOCK_HEAD) {
        damaged(file, "cut off at byte %llu, in the head of a block", at + len);
        return 0;
    }
    uint32_t payload = load_le32(bytes + 8);
    if (load_le32(bytes) != TRACE_BLOCK_MAGIC || payload > TRACE_BLOCK_LIMIT) {
        damaged(file, "damaged at byte %llu: no block begins there", at);
        return 0;
    }
    if (payload > len - BLOCK_HEAD) {
        damaged(file, "cut off at byte %llu, in the block that begins at %llu", at + len, at);
        return 0;
    }
    if (load_le32(bytes + 12) != trace_crc(trace_crc(0, bytes + 4, 8), bytes + BLOCK_HEAD, payload)) {
        damaged(file, "damaged: the checksum of the block at byte %llu is wrong", at);
        return 0;
    }
    if (!trace_read_block(file, bytes[4], bytes + BLOCK_HEAD, payload)) {
        damaged(file, "damaged: the block of type %u at byte %llu makes no sense", bytes[4], at);
        return 0;
    }
    return BLOCK_HEAD + payload;
}

/* By time; of those that begin together as the events are listed: an exit, then the access that it was. */
static int compare_items(const void *a, const void *b)
{
    const struct trace_item *left = a, *right = b;
    if (left->record.time != right->record.time)
        return left->record.time < right->record.time ? -1 : 1;
    if (left->track != right->track)
        return left->track < right->track ? -1 : 1;
    if (left->record.event != right->record.event)
        return left->record.event < right->record.event ? -1 : 1;
    return memcmp(&left->record, &right->record, sizeof(left->record));
}

/* By time, and each record once, in however many buffers it is. */
static void sort_items(struct trace_file *file)
{
    size_t kept = 0;
    if (!file->item_count)
        return;
    qsort(file->items, file->item_count, sizeof(*file->items), compare_items);
    for (size_t i = 1; i < file->item_count; i++)
        if (compare_items(&file->items[kept], &file->items[i]))
            file->items[++kept] = file->items[i];
    file->item_count = kept + 1;
}

static int compare_codes(const void *a, const void *b)
{
    const struct trace_record *left = a, *right = b;
    if (left->rip != right->rip)
        return left->rip < right->rip ? -1 : 1;
    return left->time < right->time ? -1 : left->time > right->time;
}

static void conclude(struct trace_file *file)
{
    const struct trace_strings *strings = file->strings;
    uint64_t ticks = strings->last_ticks - file->first_ticks, ns = strings->last_ns - file->first_ns;
    double ratio = ticks && strings->last_ticks > file->first_ticks ? (double)ns / (double)ticks : 0;
    /* of a TSC between 1 kHz and 1 THz; else a tick is shown as a nanosecond */
    file->ns_per_tick = ratio > 1e-3 && ratio < 1e6 ? ratio : 1;
    file->names = (struct trace_names){strings->reasons, TRACE_REASON_LIMIT,
                                       (uint64_t)(1e9 / file->ns_per_tick)};
    sort_items(file);
    if (file->code_count)
        qsort(file->codes, file->code_count, sizeof(*file->codes), compare_codes);
    if (!file->is_ended && !*file->damage)
        damaged(file, "cut off: it was not ended (is the guest still running, or was vmm killed?)");
}

int trace_file_parse(const void *bytes, size_t len, struct trace_file **out, struct vmm_error *error)
{
    *out = NULL;
    if (len >= 8 && len < FILE_HEAD && !memcmp(bytes, TRACE_FILE_MAGIC, 8))
        return error_set(error, -EINVAL, "this trace is cut off after %zu bytes, before its first record",
                         len);
    if (len < FILE_HEAD || memcmp(bytes, TRACE_FILE_MAGIC, 8))
        return error_set(error, -EINVAL, "this is no trace: it does not begin with " TRACE_FILE_MAGIC);
    uint32_t version = load_le32((const uint8_t *)bytes + 8);
    if (version != TRACE_FILE_VERSION)
        return error_set(error, -EINVAL, "a trace of version %u; this program reads version %d", version,
                         TRACE_FILE_VERSION);
    struct trace_file *file = calloc(1, sizeof(*file));
    if (file)
        file->strings = calloc(1, sizeof(*file->strings));
    if (!file || !file->strings) {
        trace_file_destroy(file);
        return error_set(error, -ENOMEM, "trace: out of memory");
    }
    size_t at = FILE_HEAD, used = 1;
    for (; at < len && used && !file->is_ended; at += used)
        used = take_block(file, (const uint8_t *)bytes + at, len - at, at);
    conclude(file);
    *out = file;
    return 0;
}

void trace_file_destroy(struct trace_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; file->strings && i < file->strings->count; i++)
        free(file->strings->list[i]);
    if (file->strings) {
        free(file->strings->list);
        free(file->strings->by_id);
    }
    free(file->strings);
    free(file->items);
    free(file->tracks);
    free(file->regions);
    free(file->codes);
    free(file);
}
