/* SPDX-License-Identifier: MIT
 *
 * See trace_names.h.
 */
#include "base/trace_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/types.h"

#define ACCESS_FIELDS                                                                               \
    (TRACE_HAS_DURATION | TRACE_HAS_SIZE | TRACE_HAS_DEVICE | TRACE_HAS_ADDRESS | TRACE_HAS_VALUE | \
     TRACE_HAS_COUNT)
#define QUEUE_FIELDS   (TRACE_HAS_DEVICE | TRACE_HAS_INDEX | TRACE_HAS_ID | TRACE_HAS_VALUE)
#define REQUEST_FIELDS (QUEUE_FIELDS | TRACE_HAS_ADDRESS)

static const struct {
    const char *name;
    unsigned fields;
} events[TRACE_EVENT_COUNT] = {
    [TRACE_NONE] = {"none", 0},
    [TRACE_ENTRY] = {"entry", TRACE_HAS_RIP},
    [TRACE_EXIT] = {"exit", TRACE_HAS_DURATION | TRACE_HAS_SIZE | TRACE_HAS_RIP | TRACE_HAS_ADDRESS |
                                TRACE_HAS_VALUE | TRACE_HAS_INDEX | TRACE_HAS_COUNT},
    [TRACE_PIO] = {"pio", ACCESS_FIELDS},
    [TRACE_MMIO] = {"mmio", ACCESS_FIELDS},
    [TRACE_INSN] = {"emulate_insn", TRACE_HAS_DURATION | TRACE_HAS_SIZE | TRACE_HAS_RIP | TRACE_HAS_ADDRESS |
                                        TRACE_HAS_VALUE | TRACE_HAS_BYTES},
    [TRACE_SET_IRQ] = {"set_irq", TRACE_HAS_INDEX | TRACE_HAS_VALUE},
    [TRACE_MSI] = {"msi_set_irq", TRACE_HAS_ADDRESS | TRACE_HAS_VALUE},
    [TRACE_QUEUE_KICK] = {"queue_kick", QUEUE_FIELDS},
    [TRACE_QUEUE_POP] = {"queue_pop", QUEUE_FIELDS},
    [TRACE_QUEUE_PUSH] = {"queue_push", QUEUE_FIELDS},
    [TRACE_QUEUE_INTERRUPT] = {"queue_interrupt", QUEUE_FIELDS},
    [TRACE_REQUEST_ISSUE] = {"rq_issue", REQUEST_FIELDS},
    [TRACE_REQUEST_DONE] = {"rq_complete", REQUEST_FIELDS},
    [TRACE_SNAPSHOT] = {"snapshot_step", TRACE_HAS_TEXT},
    [TRACE_ODD] = {"guest_odd", TRACE_HAS_DEVICE | TRACE_HAS_TEXT},
    [TRACE_MARKER] = {"marker", TRACE_HAS_TEXT},
    [TRACE_CODE] = {"code",
                    TRACE_HAS_SIZE | TRACE_HAS_RIP | TRACE_HAS_ADDRESS | TRACE_HAS_VALUE | TRACE_HAS_BYTES},
    [TRACE_TRIGGER] = {"trigger", TRACE_HAS_VALUE},
};

const char *trace_event_name(unsigned event)
{
    return event && event < TRACE_EVENT_COUNT ? events[event].name : NULL;
}

unsigned trace_event_fields(unsigned event)
{
    return event < TRACE_EVENT_COUNT ? events[event].fields : 0;
}

const char *trace_operation_name(unsigned operation)
{
    static const char *const names[] = {
        [TRACE_OPERATION_READ] = "read",
        [TRACE_OPERATION_WRITE] = "write",
        [TRACE_OPERATION_FLUSH] = "flush",
        [TRACE_OPERATION_DISCARD] = "discard",
        [TRACE_OPERATION_WRITE_ZEROES] = "write_zeroes",
        [TRACE_OPERATION_OTHER] = "other",
    };
    return operation < ARRAY_COUNT(names) ? names[operation] : "other";
}

const char *trace_reason_name(const struct trace_names *names, uint32_t reason, char text[16])
{
    if (names && reason < names->reason_count && names->reasons[reason])
        return names->reasons[reason];
    snprintf(text, 16, "reason %" PRIu32, reason % 100000000);
    return text;
}

static void list_events(char *text, size_t text_bytes)
{
    size_t len = 0;
    for (unsigned event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT && len < text_bytes; event++)
        len += (size_t)snprintf(text + len, text_bytes - len, "%s%s", len ? ", " : "", events[event].name);
}

/* The bits of an event, or of all; 0: there is none of that name. */
static uint64_t find_events(const char *word, size_t len)
{
    if (len == 3 && memcmp(word, "all", 3) == 0)
        return ~0ull;
    for (unsigned event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT; event++)
        if (strlen(events[event].name) == len && memcmp(events[event].name, word, len) == 0)
            return 1ull << event;
    return 0;
}

static int parse_event(const char *word, size_t len, uint64_t *out, struct vmm_error *error)
{
    char names[300];
    bool is_taken_out = len && *word == '-';
    word += is_taken_out;
    len -= is_taken_out;
    uint64_t found = find_events(word, len);
    *out = is_taken_out ? *out & ~found : *out | found;
    if (found)
        return 0;
    list_events(names, sizeof(names));
    return error_set(error, -EINVAL, "trace: there is no event '%.*s'; there are: all, %s",
                     (int)(len < 40 ? len : 40), word, names);
}

int trace_events_parse(const char *list, uint64_t *out, struct vmm_error *error)
{
    int result = 0;
    *out = *list == '-' ? ~0ull : 0;
    while (!result) {
        size_t len = strcspn(list, ",");
        result = parse_event(list, len, out, error);
        if (!list[len])
            break;
        list += len + 1;
    }
    return result;
}

static const char *direction(const struct trace_record *record)
{
    return record->flags & TRACE_WRITE ? "write" : "read";
}

static int describe_access(const struct trace_record *record, char *text, size_t text_bytes)
{
    int len = snprintf(text, text_bytes, "%s %#" PRIx64 ", %u byte%s %#" PRIx64, direction(record),
                       record->address, record->size, record->size == 1 ? "" : "s", record->value);
    if (record->count != 1 && len >= 0 && (size_t)len < text_bytes)
        len += snprintf(text + len, text_bytes - (size_t)len, ", the first of %" PRIu32, record->count);
    return len;
}

static void describe_exit(const struct trace_record *record, const struct trace_names *names, char *text,
                          size_t text_bytes)
{
    char number[16];
    int len = snprintf(text, text_bytes, "exit %s ", trace_reason_name(names, record->index, number));
    if (len < 0 || (size_t)len >= text_bytes)
        len = (int)text_bytes - 1;
    char *rest = text + len;
    size_t room = text_bytes - (size_t)len;
    if (record->size)
        len += describe_access(record, rest, room);
    else if (record->address)
        len += snprintf(rest, room, "%s %#" PRIx64 ", %#" PRIx64, direction(record), record->address,
                        record->value);
    else if (record->value)
        len += snprintf(rest, room, "%#" PRIx64, record->value);
    else
        text[--len] = 0; /* the reason says it all */
    if (record->rip && len >= 0 && (size_t)len < text_bytes)
        snprintf(text + len, text_bytes - (size_t)len, ", rip %#" PRIx64, record->rip);
}

static void describe_code(const struct trace_record *record, char *text, size_t text_bytes)
{
    int len = snprintf(text, text_bytes, "%s rip %#" PRIx64 ":", events[record->event].name, record->rip);
    for (unsigned i = 0; i < record->len && i < sizeof(record->bytes); i++)
        if (len >= 0 && (size_t)len < text_bytes)
            len += snprintf(text + len, text_bytes - (size_t)len, " %02x", record->bytes[i]);
    if (record->event == TRACE_INSN && record->value && len >= 0 && (size_t)len < text_bytes)
        snprintf(text + len, text_bytes - (size_t)len, ", device accesses %" PRIu64 ", the last at %#" PRIx64,
                 record->value, record->address);
}

static void describe_queue(const struct trace_record *record, char *text, size_t text_bytes)
{
    const char *name = events[record->event].name, *device = record->device ? record->device : "?";
    if (record->event == TRACE_QUEUE_POP || record->event == TRACE_QUEUE_PUSH)
        snprintf(text, text_bytes, "%s %s queue %" PRIu32 " chain %" PRIu64 ", %" PRIu64 " bytes%s", name,
                 device, record->index, record->id, record->value,
                 record->event == TRACE_QUEUE_PUSH ? " written" : "");
    else if (record->index == TRACE_QUEUE_CONFIG)
        snprintf(text, text_bytes, "%s %s configuration", name, device);
    else
        snprintf(text, text_bytes, "%s %s queue %" PRIu32, name, device, record->index);
}

static void describe_request(const struct trace_record *record, char *text, size_t text_bytes)
{
    const char *name = events[record->event].name, *device = record->device ? record->device : "?";
    const char *operation = trace_operation_name(record->index);
    if (record->event == TRACE_REQUEST_DONE)
        snprintf(text, text_bytes, "%s %s %s id %" PRIu64 ", result %" PRId64, name, device, operation,
                 record->id, (int64_t)record->value);
    else
        snprintf(text, text_bytes, "%s %s %s id %" PRIu64 ", %" PRIu64 " bytes at %#" PRIx64, name, device,
                 operation, record->id, record->value, record->address);
}

/* The guest's or our text; what is not printable becomes a point. */
static void describe_text(const struct trace_record *record, char *text, size_t text_bytes)
{
    unsigned from = record->event == TRACE_MARKER ? 0 : sizeof(uint64_t);
    int len = snprintf(text, text_bytes, "%s ", events[record->event].name);
    size_t at = (size_t)len;
    for (unsigned i = from; i < record->len && i < TRACE_TEXT_MAX && at + 1 < text_bytes; i++, at++)
        text[at] = trace_printable(record->text[i]);
    text[at] = 0;
    if (from && record->len >= from)
        snprintf(text + at, text_bytes - at, " %#" PRIx64 "%s%s", load_le64(record->text),
                 record->device ? ", " : "", record->device ? record->device : "");
}

const char *trace_describe(const struct trace_record *record, const struct trace_names *names, char *text,
                           size_t text_bytes)
{
    int len;
    switch ((enum trace_event)record->event) {
    case TRACE_ENTRY:
        snprintf(text, text_bytes, "entry");
        break;
    case TRACE_EXIT:
        describe_exit(record, names, text, text_bytes);
        break;
    case TRACE_PIO:
    case TRACE_MMIO:
        len = snprintf(text, text_bytes, "%s %s ", events[record->event].name,
                       record->device ? record->device : "(no device)");
        if (len >= 0 && (size_t)len < text_bytes)
            describe_access(record, text + len, text_bytes - (size_t)len);
        break;
    case TRACE_INSN:
    case TRACE_CODE:
        describe_code(record, text, text_bytes);
        break;
    case TRACE_SET_IRQ:
        snprintf(text, text_bytes, "set_irq gsi %" PRIu32 " level %" PRIu64, record->index, record->value);
        break;
    case TRACE_MSI:
        snprintf(text, text_bytes, "msi_set_irq address %#" PRIx64 " data %#" PRIx64, record->address,
                 record->value);
        break;
    case TRACE_QUEUE_KICK:
    case TRACE_QUEUE_POP:
    case TRACE_QUEUE_PUSH:
    case TRACE_QUEUE_INTERRUPT:
        describe_queue(record, text, text_bytes);
        break;
    case TRACE_REQUEST_ISSUE:
    case TRACE_REQUEST_DONE:
        describe_request(record, text, text_bytes);
        break;
    case TRACE_SNAPSHOT:
    case TRACE_ODD:
    case TRACE_MARKER:
        describe_text(record, text, text_bytes);
        break;
    case TRACE_TRIGGER:
        snprintf(text, text_bytes, "trigger %" PRIu64, record->value);
        break;
    case TRACE_NONE:
    case TRACE_EVENT_COUNT:
        snprintf(text, text_bytes, "no event");
    }
    return text;
}
