/* SPDX-License-Identifier: MIT
 *
 * Reading a trace file. Nothing of it is trusted: each block is checked by its sum, and every number in it by
 * what is there. The first block that is not as it should be ends the reading, and is named.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace_file.h"
#include "base/types.h"

#define FILE_HEAD    16u
#define BLOCK_HEAD   16u
#define EVENT_LIMIT  256u
#define REASON_LIMIT 256u

/* Strings of the file: all are freed with it. */
struct trace_strings {
    char **list; /* in the order they were met */
    size_t count;
    const char **by_id; /* devices: id - 1 is the place */
    size_t id_count;
    unsigned fields[EVENT_LIMIT]; /* of the file's events */
    uint16_t event[EVENT_LIMIT];  /* ours for the file's number, or TRACE_NONE */
    const char *reasons[REASON_LIMIT];
    uint64_t last_ticks, last_ns; /* of the latest clock */
    bool has_clock;
};

struct cursor {
    const uint8_t *at, *end;
    bool is_bad;
};

static uint8_t get_byte(struct cursor *cursor)
{
    if (cursor->at == cursor->end) {
        cursor->is_bad = true;
        return 0;
    }
    return *cursor->at++;
}

static uint64_t get_number(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = get_byte(cursor);
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (!(byte & 0x80))
            return value;
    }
    cursor->is_bad = true;
    return 0;
}

static uint64_t get_difference(struct cursor *cursor, uint64_t from)
{
    uint64_t value = get_number(cursor);
    return from + (value >> 1 ^ -(value & 1));
}

/* At most `limit` bytes; returns how many. */
static unsigned get_bytes(struct cursor *cursor, void *to, unsigned limit)
{
    unsigned len = get_byte(cursor);
    if (len > limit || len > (size_t)(cursor->end - cursor->at)) {
        cursor->is_bad = true;
        return 0;
    }
    memcpy(to, cursor->at, len);
    cursor->at += len;
    return len;
}

/* Room for one more in the list that `list` points to, doubling; false where memory is out. */
static bool grow(void *list, size_t count, size_t size)
{
    void *old, *new;
    if (count & (count - 1))
        return true;
    memcpy(&old, list, sizeof(old));
    new = realloc(old, (count ? 2 * count : 1) * size);
    if (new)
        memcpy(list, &new, sizeof(new));
    return new;
}

/* A string of the file; never NULL. Control characters are the guest's or an attacker's: they become '?'. */
static const char *get_text(struct cursor *cursor, struct trace_strings *strings)
{
    char text[256];
    unsigned len = get_bytes(cursor, text, 255);
    for (unsigned i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    text[len] = 0;
    bool has_room = grow(&strings->list, strings->count, sizeof(*strings->list));
    char *copy = has_room ? strdup(text) : NULL;
    if (!copy) {
        cursor->is_bad = true;
        return "";
    }
    strings->list[strings->count++] = copy;
    return copy;
}

static void read_events(struct trace_file *file, struct cursor *cursor)
{
    struct trace_strings *strings = file->strings;
    while (cursor->at != cursor->end && !cursor->is_bad) {
        uint64_t number = get_number(cursor), fields = get_number(cursor);
        const char *name = get_text(cursor, strings);
        if (number >= EVENT_LIMIT || fields >= TRACE_HAS_TEXT << 1) {
            cursor->is_bad = true;
            return;
        }
        strings->fields[number] = (unsigned)fields;
        for (unsigned event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT; event++)
            if (strcmp(name, trace_event_name(event)) == 0)
                strings->event[number] = (uint16_t)event;
    }
}

static void read_reasons(struct trace_file *file, struct cursor *cursor)
{
    while (cursor->at != cursor->end && !cursor->is_bad) {
        uint64_t number = get_number(cursor);
        const char *name = get_text(cursor, file->strings);
        if (number < REASON_LIMIT)
            file->strings->reasons[number] = name;
    }
}

static void read_string(struct trace_file *file, struct cursor *cursor)
{
    struct trace_strings *strings = file->strings;
    uint64_t id = get_number(cursor);
    const char *text = get_text(cursor, strings);
    if (!grow(&strings->by_id, strings->id_count, sizeof(*strings->by_id)) || id != strings->id_count + 1) {
        cursor->is_bad = true;
        return;
    }
    strings->by_id[strings->id_count++] = text;
}

static void read_track(struct trace_file *file, struct cursor *cursor)
{
    uint64_t track = get_number(cursor), vcpu = get_number(cursor);
    const char *name = get_text(cursor, file->strings);
    if (!grow(&file->tracks, file->track_count, sizeof(*file->tracks)) || track != file->track_count ||
        track >= TRACE_TRACK_LIMIT || vcpu > 1u << 20) {
        cursor->is_bad = true;
        return;
    }
    struct trace_track *added = &file->tracks[file->track_count++];
    added->vcpu = (int)vcpu - 1;
    snprintf(added->name, sizeof(added->name), "%s", name);
}

static void read_buffer(struct trace_file *file, struct cursor *cursor)
{
    uint64_t number = get_number(cursor), mode = get_number(cursor);
    const char *name = get_text(cursor, file->strings);
    if (number != file->buffer_count || number >= ARRAY_COUNT(file->buffers)) {
        cursor->is_bad = true;
        return;
    }
    struct trace_file_buffer *buffer = &file->buffers[file->buffer_count++];
    buffer->mode = (unsigned)mode;
    snprintf(buffer->name, sizeof(buffer->name), "%s", name);
}

static void read_region(struct trace_file *file, struct cursor *cursor)
{
    struct trace_region region = {.space = (char)get_byte(cursor)};
    region.base = get_number(cursor);
    region.len = get_number(cursor);
    region.name = get_text(cursor, file->strings);
    region.engine = get_text(cursor, file->strings);
    if (cursor->is_bad || !grow(&file->regions, file->region_count, sizeof(*file->regions))) {
        cursor->is_bad = true;
        return;
    }
    file->regions[file->region_count++] = region;
}

static void read_clock(struct trace_file *file, struct cursor *cursor)
{
    uint64_t ticks = get_number(cursor), ns = get_number(cursor);
    struct trace_strings *strings = file->strings;
    if (cursor->is_bad)
        return;
    if (!strings->has_clock) {
        file->first_ticks = ticks;
        file->first_ns = ns;
    }
    strings->has_clock = true;
    strings->last_ticks = ticks;
    strings->last_ns = ns;
}

static void read_totals(struct trace_file *file, struct cursor *cursor)
{
    uint64_t number = get_number(cursor);
    if (number >= file->buffer_count) {
        cursor->is_bad = true;
        return;
    }
    struct trace_file_buffer *buffer = &file->buffers[number];
    buffer->recorded = get_number(cursor);
    buffer->written = get_number(cursor);
    buffer->lost = get_number(cursor);
    file->trigger_count = get_number(cursor);
}

/* Where two fields share bytes, the file's mask of fields must not have both. */
static bool is_possible(unsigned fields)
{
    unsigned plain = TRACE_HAS_INDEX | TRACE_HAS_COUNT | TRACE_HAS_ID;
    unsigned all = plain | TRACE_HAS_RIP | TRACE_HAS_ADDRESS | TRACE_HAS_VALUE | TRACE_HAS_BYTES;
    return !(fields & TRACE_HAS_BYTES && fields & plain) && !(fields & TRACE_HAS_TEXT && fields & all);
}

static const char *device_name(struct cursor *cursor, const struct trace_strings *strings)
{
    uint64_t id = get_number(cursor);
    if (id <= strings->id_count)
        return id ? strings->by_id[id - 1] : NULL;
    cursor->is_bad = true;
    return NULL;
}

static void get_fields(struct cursor *cursor, const struct trace_strings *strings, unsigned fields,
                       struct trace_record *record, struct trace_record *last)
{
    if (fields & TRACE_HAS_DURATION)
        record->duration = (uint32_t)get_number(cursor);
    if (fields & TRACE_HAS_SIZE)
        record->size = get_byte(cursor);
    if (fields & TRACE_HAS_DEVICE)
        record->device = device_name(cursor, strings);
    if (fields & TRACE_HAS_RIP)
        last->rip = record->rip = get_difference(cursor, last->rip);
    if (fields & TRACE_HAS_ADDRESS)
        last->address = record->address = get_difference(cursor, last->address);
    if (fields & TRACE_HAS_VALUE)
        record->value = get_number(cursor);
    if (fields & TRACE_HAS_INDEX)
        record->index = (uint32_t)get_number(cursor);
    if (fields & TRACE_HAS_COUNT)
        record->count = (uint32_t)get_number(cursor);
    if (fields & TRACE_HAS_ID)
        record->id = get_number(cursor);
    if (fields & TRACE_HAS_BYTES)
        record->len = (uint8_t)get_bytes(cursor, record->bytes, sizeof(record->bytes));
    if (fields & TRACE_HAS_TEXT)
        record->len = (uint8_t)get_bytes(cursor, record->text, TRACE_TEXT_MAX);
}

/* Events of a newer version, which we have no name for, are read and come out as TRACE_NONE. */
static struct trace_record get_record(struct cursor *cursor, const struct trace_strings *strings,
                                      struct trace_record *last)
{
    struct trace_record record = {.time = 0};
    uint8_t number = get_byte(cursor);
    record.flags = get_byte(cursor);
    last->time = record.time = get_difference(cursor, last->time);
    record.event = (uint8_t)strings->event[number];
    if (!is_possible(strings->fields[number]))
        cursor->is_bad = true;
    else
        get_fields(cursor, strings, strings->fields[number], &record, last);
    return record;
}

static void add_item(struct trace_file *file, struct cursor *cursor, const struct trace_item *item)
{
    if (!grow(&file->items, file->item_count, sizeof(*file->items))) {
        cursor->is_bad = true;
        return;
    }
    file->items[file->item_count++] = *item;
}

static void read_records(struct trace_file *file, struct cursor *cursor)
{
    uint64_t track = get_number(cursor), buffer = get_number(cursor), lost = get_number(cursor);
    uint64_t count = get_number(cursor);
    struct trace_record last = {.time = 0};
    if (track >= file->track_count || buffer >= file->buffer_count)
        cursor->is_bad = true;
    if (!checked_add(file->lost, lost, &file->lost))
        file->lost = UINT64_MAX;
    for (uint64_t i = 0; i < count && !cursor->is_bad; i++) {
        struct trace_item item = {.lost_before = i ? 0 : lost};
        item.track = (uint16_t)track;
        item.buffer = (uint8_t)buffer;
        item.record = get_record(cursor, file->strings, &last);
        if (!cursor->is_bad && item.record.event)
            add_item(file, cursor, &item);
    }
}

static void read_code(struct trace_file *file, struct cursor *cursor)
{
    struct trace_record last = {.time = 0};
    get_number(cursor);
    struct trace_record record = get_record(cursor, file->strings, &last);
    if (cursor->is_bad || record.event != TRACE_CODE ||
        !grow(&file->codes, file->code_count, sizeof(*file->codes))) {
        cursor->is_bad = true;
        return;
    }
    file->codes[file->code_count++] = record;
}

static void read_block(struct trace_file *file, unsigned type, struct cursor *cursor)
{
    switch (type) {
    case TRACE_BLOCK_EVENTS:
        read_events(file, cursor);
        break;
    case TRACE_BLOCK_REASONS:
        read_reasons(file, cursor);
        break;
    case TRACE_BLOCK_STRING:
        read_string(file, cursor);
        break;
    case TRACE_BLOCK_TRACK:
        read_track(file, cursor);
        break;
    case TRACE_BLOCK_BUFFER:
        read_buffer(file, cursor);
        break;
    case TRACE_BLOCK_REGION:
        read_region(file, cursor);
        break;
    case TRACE_BLOCK_CLOCK:
        read_clock(file, cursor);
        break;
    case TRACE_BLOCK_RECORDS:
        read_records(file, cursor);
        break;
    case TRACE_BLOCK_CODE:
        read_code(file, cursor);
        break;
    case TRACE_BLOCK_SNAPSHOT:
        file->snapshot_count++;
        get_number(cursor);
        break;
    case TRACE_BLOCK_TOTALS:
        read_totals(file, cursor);
        break;
    case TRACE_BLOCK_END:
        snprintf(file->why, sizeof(file->why), "%s", get_text(cursor, file->strings));
        file->is_ended = !cursor->is_bad;
    }
}

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
    struct cursor cursor = {bytes + BLOCK_HEAD, bytes + BLOCK_HEAD + payload, false};
    read_block(file, bytes[4], &cursor);
    if (cursor.is_bad) {
        damaged(file, "damaged: the block of type %u at byte %llu makes no sense", bytes[4], at);
        return 0;
    }
    return BLOCK_HEAD + payload;
}

static int compare_items(const void *a, const void *b)
{
    const struct trace_item *left = a, *right = b;
    if (left->record.time != right->record.time)
        return left->record.time < right->record.time ? -1 : 1;
    if (left->track != right->track)
        return left->track < right->track ? -1 : 1;
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
    file->names = (struct trace_names){strings->reasons, REASON_LIMIT, (uint64_t)(1e9 / file->ns_per_tick)};
    sort_items(file);
    if (file->code_count)
        qsort(file->codes, file->code_count, sizeof(*file->codes), compare_codes);
    if (!file->is_ended && !*file->damage)
        damaged(file, "cut off: it was not ended (is the guest still running, or was vmm killed?)");
}

int trace_file_parse(const void *bytes, size_t len, struct trace_file **out, struct vmm_error *error)
{
    *out = NULL;
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
