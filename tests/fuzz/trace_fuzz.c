/* SPDX-License-Identifier: MIT
 *
 * The reader of trace files. The input is blocks without their sums, each as a type, a length of 16 bits and
 * content, so that the fuzzer gets past the checksum; and once as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace_file.h"
#include "base/trace_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FILE_BYTES 65536

static void use(const struct trace_file *file)
{
    static struct trace_filter *filter;
    char text[300];
    if (!filter && trace_filter_create("device ~ a* || addr > 7 && !write", &file->names, &filter, NULL))
        abort();
    for (size_t i = 0; i < file->item_count; i++) {
        const struct trace_item *item = &file->items[i];
        if (item->track >= file->track_count || item->record.event >= TRACE_EVENT_COUNT)
            abort();
        if (i && item->record.time < item[-1].record.time)
            abort();
        trace_describe(&item->record, &file->names, text, sizeof(text));
        if (strlen(text) >= sizeof(text))
            abort();
        trace_filter_match(filter, file->tracks[item->track].vcpu, &item->record);
    }
}

static void parse(const uint8_t *bytes, size_t len)
{
    struct trace_file *file;
    if (trace_file_parse(bytes, len, &file, NULL))
        return;
    use(file);
    trace_file_destroy(file);
}

/* Events as our writer has them, so that records can be made from the first byte on. */
static size_t put_block(uint8_t *to, uint8_t type, const uint8_t *payload, size_t len)
{
    memset(to, 0, 16);
    store_le32(to, TRACE_BLOCK_MAGIC);
    to[4] = type;
    store_le32(to + 8, (uint32_t)len);
    memcpy(to + 16, payload, len);
    store_le32(to + 12, trace_crc(trace_crc(0, to + 4, 8), to + 16, len));
    return 16 + len;
}

static size_t put_events(uint8_t *to)
{
    uint8_t payload[512];
    size_t len = 0;
    for (unsigned event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT; event++) {
        const char *name = trace_event_name(event);
        unsigned fields = trace_event_fields(event);
        payload[len++] = (uint8_t)event;
        payload[len++] = (uint8_t)(fields | 0x80);
        payload[len++] = (uint8_t)(fields >> 7);
        payload[len++] = (uint8_t)strlen(name);
        memcpy(payload + len, name, strlen(name));
        len += strlen(name);
    }
    size_t used = put_block(to, TRACE_BLOCK_EVENTS, payload, len);
    used += put_block(to + used, TRACE_BLOCK_TRACK, (const uint8_t *)"\0\1\1v", 4);
    return used + put_block(to + used, TRACE_BLOCK_BUFFER, (const uint8_t *)"\0\0\1b", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t file[FILE_BYTES] = "VMMTRACE\1";
    size_t used = 16;
    parse(data, len);
    used += put_events(file + used);
    while (len >= 3) {
        size_t payload = load_le16(data + 1) & 0xfff;
        if (payload > len - 3)
            payload = len - 3;
        if (used + 16 + payload > FILE_BYTES)
            break;
        used += put_block(file + used, data[0], data + 3, payload);
        data += 3 + payload;
        len -= 3 + payload;
    }
    parse(file, used);
    return 0;
}
