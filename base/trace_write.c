/* SPDX-License-Identifier: MIT
 *
 * Writing a trace file. A failure is remembered and ends the writing, never the guest.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/trace_file.h"
#include "base/trace_ring.h"

#define BLOCK_HEAD     16u
#define RECORD_BYTES   96u /* no record takes more */
#define BLOCK_BYTES    (BLOCK_HEAD + 64u + TRACE_CHUNK * RECORD_BYTES)
#define NAME_BYTES_MAX 255u

uint32_t trace_crc(uint32_t crc, const uint8_t *bytes, size_t len)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc = nibbles[(crc ^ bytes[i]) & 15] ^ crc >> 4;
        crc = nibbles[(crc ^ bytes[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

void trace_writer_init(struct trace_writer *writer)
{
    *writer = (struct trace_writer){.fd = -1};
}

void trace_writer_fini(struct trace_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->path);
    free(writer->block);
    free(writer->strings);
    trace_writer_init(writer);
}

static void write_bytes(struct trace_writer *writer, const uint8_t *bytes, size_t len)
{
    while (!writer->failure && len) {
        ssize_t done = write(writer->fd, bytes, len);
        if (done < 0 && errno != EINTR)
            writer->failure = -errno;
        if (done > 0) {
            bytes += done;
            len -= (size_t)done;
        }
    }
}

/* ---- Blocks: begun, filled, ended. The buffer has room for the largest. ---- */

static void begin(struct trace_writer *writer, enum trace_block type)
{
    memset(writer->block, 0, BLOCK_HEAD);
    store_le32(writer->block, TRACE_BLOCK_MAGIC);
    writer->block[4] = (uint8_t)type;
    writer->len = BLOCK_HEAD;
}

static void end(struct trace_writer *writer)
{
    store_le32(writer->block + 8, (uint32_t)(writer->len - BLOCK_HEAD));
    uint32_t crc = trace_crc(0, writer->block + 4, 8);
    store_le32(writer->block + 12, trace_crc(crc, writer->block + BLOCK_HEAD, writer->len - BLOCK_HEAD));
    write_bytes(writer, writer->block, writer->len);
}

static void put_byte(struct trace_writer *writer, uint8_t value)
{
    writer->block[writer->len++] = value;
}

/* LEB128: seven bits a byte, low ones first. */
static void put_number(struct trace_writer *writer, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        put_byte(writer, (uint8_t)(value | 0x80));
    put_byte(writer, (uint8_t)value);
}

/* A difference of either sign: small ones stay small. */
static void put_difference(struct trace_writer *writer, uint64_t from, uint64_t to)
{
    uint64_t difference = to - from;
    put_number(writer, difference << 1 ^ (uint64_t)((int64_t)difference >> 63));
}

static void put_bytes(struct trace_writer *writer, const void *bytes, size_t len)
{
    put_byte(writer, (uint8_t)len);
    memcpy(writer->block + writer->len, bytes, len);
    writer->len += len;
}

static void put_text(struct trace_writer *writer, const char *text)
{
    put_bytes(writer, text, strnlen(text, NAME_BYTES_MAX));
}

/* ---- What a file begins with ---- */

static void write_events(struct trace_writer *writer)
{
    begin(writer, TRACE_BLOCK_EVENTS);
    for (unsigned event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT; event++) {
        put_number(writer, event);
        put_number(writer, trace_event_fields(event));
        put_text(writer, trace_event_name(event));
    }
    end(writer);
}

static void write_reasons(struct trace_writer *writer, const struct trace_names *names)
{
    begin(writer, TRACE_BLOCK_REASONS);
    for (unsigned i = 0; i < names->reason_count; i++) {
        if (!names->reasons[i])
            continue;
        put_number(writer, i);
        put_text(writer, names->reasons[i]);
    }
    end(writer);
}

int trace_writer_open(struct trace_writer *writer, const char *path, const struct trace_names *names,
                      struct vmm_error *error)
{
    uint8_t head[16] = TRACE_FILE_MAGIC;
    store_le32(head + 8, TRACE_FILE_VERSION);
    writer->path = strdup(path);
    writer->block = malloc(BLOCK_BYTES);
    if (!writer->path || !writer->block)
        return error_set(error, -ENOMEM, "trace: out of memory");
    writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open it for the trace", path);
    write_bytes(writer, head, sizeof(head));
    write_events(writer);
    write_reasons(writer, names);
    trace_write_clock(writer);
    if (writer->failure)
        return error_set_errno(error, writer->failure, "%s: cannot write the trace", path);
    return 0;
}

int trace_writer_close(struct trace_writer *writer, const char *why, struct vmm_error *error)
{
    trace_write_clock(writer);
    begin(writer, TRACE_BLOCK_END);
    put_text(writer, why);
    end(writer);
    if (writer->fd >= 0 && close(writer->fd) && !writer->failure)
        writer->failure = -errno;
    writer->fd = -1;
    if (writer->failure)
        return error_set_errno(error, writer->failure, "%s: cannot write the trace: it is cut off",
                               writer->path);
    return 0;
}

void trace_write_buffer(struct trace_writer *writer, unsigned buffer, const char *name, unsigned mode)
{
    begin(writer, TRACE_BLOCK_BUFFER);
    put_number(writer, buffer);
    put_number(writer, mode);
    put_text(writer, name);
    end(writer);
}

void trace_write_track(struct trace_writer *writer, unsigned track, int vcpu, const char *name)
{
    begin(writer, TRACE_BLOCK_TRACK);
    put_number(writer, track);
    put_number(writer, (uint64_t)(vcpu + 1));
    put_text(writer, name);
    end(writer);
}

void trace_write_region(struct trace_writer *writer, const struct trace_region *region)
{
    begin(writer, TRACE_BLOCK_REGION);
    put_byte(writer, (uint8_t)region->space);
    put_number(writer, region->base);
    put_number(writer, region->len);
    put_text(writer, region->name);
    put_text(writer, region->engine);
    end(writer);
}

void trace_write_clock(struct trace_writer *writer)
{
    begin(writer, TRACE_BLOCK_CLOCK);
    put_number(writer, trace_now());
    put_number(writer, clock_now_ns());
    end(writer);
}

void trace_write_snapshot(struct trace_writer *writer, uint64_t number)
{
    begin(writer, TRACE_BLOCK_SNAPSHOT);
    put_number(writer, number);
    end(writer);
}

void trace_write_totals(struct trace_writer *writer, unsigned buffer, const struct trace_totals *totals)
{
    begin(writer, TRACE_BLOCK_TOTALS);
    put_number(writer, buffer);
    put_number(writer, totals->recorded);
    put_number(writer, totals->written);
    put_number(writer, totals->lost);
    put_number(writer, totals->triggers);
    end(writer);
}

/* ---- Records ---- */

static bool find_string(const struct trace_writer *writer, const char *string, unsigned *id)
{
    for (unsigned i = writer->string_count; i; i--) {
        if (writer->strings[i - 1] != string)
            continue;
        *id = i;
        return true;
    }
    return false;
}

/* Writes the string, where it was not yet. Without memory it stays nameless. */
static void need_string(struct trace_writer *writer, const char *string)
{
    unsigned id;
    if (!string || find_string(writer, string, &id))
        return;
    if (writer->string_count == writer->string_capacity) {
        unsigned capacity = writer->string_capacity ? 2 * writer->string_capacity : 16;
        const char **strings = realloc(writer->strings, capacity * sizeof(*strings));
        if (!strings)
            return;
        writer->strings = strings;
        writer->string_capacity = capacity;
    }
    writer->strings[writer->string_count++] = string;
    begin(writer, TRACE_BLOCK_STRING);
    put_number(writer, writer->string_count);
    put_text(writer, string);
    end(writer);
}

static void put_fields(struct trace_writer *writer, const struct trace_record *record,
                       const struct trace_record *last)
{
    unsigned fields = trace_event_fields(record->event), id = 0;
    if (fields & TRACE_HAS_DURATION)
        put_number(writer, record->duration);
    if (fields & TRACE_HAS_SIZE)
        put_byte(writer, record->size);
    if (fields & TRACE_HAS_DEVICE) {
        find_string(writer, record->device, &id);
        put_number(writer, id);
    }
    if (fields & TRACE_HAS_RIP)
        put_difference(writer, last->rip, record->rip);
    if (fields & TRACE_HAS_ADDRESS)
        put_difference(writer, last->address, record->address);
    if (fields & TRACE_HAS_VALUE)
        put_number(writer, record->value);
    if (fields & TRACE_HAS_INDEX)
        put_number(writer, record->index);
    if (fields & TRACE_HAS_COUNT)
        put_number(writer, record->count);
    if (fields & TRACE_HAS_ID)
        put_number(writer, record->id);
    if (fields & TRACE_HAS_BYTES)
        put_bytes(writer, record->bytes,
                  record->len < sizeof(record->bytes) ? record->len : sizeof(record->bytes));
    if (fields & TRACE_HAS_TEXT)
        put_bytes(writer, record->text, record->len < TRACE_TEXT_MAX ? record->len : TRACE_TEXT_MAX);
}

static void put_record(struct trace_writer *writer, const struct trace_record *record,
                       struct trace_record *last)
{
    unsigned fields = trace_event_fields(record->event);
    put_byte(writer, record->event);
    put_byte(writer, record->flags);
    put_difference(writer, last->time, record->time);
    put_fields(writer, record, last);
    last->time = record->time;
    if (fields & TRACE_HAS_RIP)
        last->rip = record->rip;
    if (fields & TRACE_HAS_ADDRESS)
        last->address = record->address;
}

void trace_write_records(struct trace_writer *writer, unsigned track, unsigned buffer, uint64_t lost,
                         const struct trace_record *records, unsigned count)
{
    struct trace_record last = {.time = 0};
    for (unsigned i = 0; i < count; i++)
        if (trace_event_fields(records[i].event) & TRACE_HAS_DEVICE)
            need_string(writer, records[i].device);
    begin(writer, TRACE_BLOCK_RECORDS);
    put_number(writer, track);
    put_number(writer, buffer);
    put_number(writer, lost);
    put_number(writer, count);
    for (unsigned i = 0; i < count; i++)
        put_record(writer, &records[i], &last);
    end(writer);
}

void trace_write_code(struct trace_writer *writer, unsigned track, const struct trace_record *code)
{
    struct trace_record last = {.time = 0};
    begin(writer, TRACE_BLOCK_CODE);
    put_number(writer, track);
    put_record(writer, code, &last);
    end(writer);
}
