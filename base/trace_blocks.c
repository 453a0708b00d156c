/* SPDX-License-Identifier: MIT
 *
 * What is in the blocks of a trace file. Every number is checked by what is there: a track that was not
 * announced, a device without a name, fields that exclude each other make the block bad.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/trace_cursor.h"
#include "base/trace_read.h"
#include "base/types.h"

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

/* A string of the file, fit for a terminal; never NULL. */
static const char *get_text(struct cursor *cursor, struct trace_strings *strings)
{
    char text[256];
    unsigned len = get_bytes(cursor, text, 255);
    for (unsigned i = 0; i < len; i++)
        text[i] = trace_printable(text[i]);
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
        if (number >= TRACE_EVENT_LIMIT || fields >= TRACE_HAS_TEXT << 1) {
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
        if (number < TRACE_REASON_LIMIT)
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

static void dispatch(struct trace_file *file, unsigned type, struct cursor *cursor)
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

bool trace_read_block(struct trace_file *file, unsigned type, const uint8_t *payload, size_t len)
{
    struct cursor cursor = {payload, payload + len, false};
    dispatch(file, type, &cursor);
    return !cursor.is_bad;
}
