/* SPDX-License-Identifier: MIT
 *
 * `vmm trace convert --to perfetto`: the JSON of Chrome's trace viewer, which Perfetto reads too ("Trace
 * Event Format"). Process 1 has the machine's threads: a vCPU's slices are time in the guest and exits, with
 * what was done about each inside of it. Process 2 has the devices: accesses, and requests from pop to push.
 * Arrows go from the kick of a request to its interrupt.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/disassembly.h"
#include "base/types.h"
#include "vmm/cli/trace.h"

#define THREADS_PID  1
#define DEVICES_PID  2
#define DEPTH_LIMIT  16
#define DEVICE_LIMIT 256
#define POINT_NS     100 /* how long an event without a length is shown */

/* A track while its slices are written: slices of one track lie beside or inside of each other. */
struct lane {
    int64_t ends[DEPTH_LIMIT]; /* of the open slices, the outermost first */
    unsigned depth;
    int64_t resumed; /* when the guest went on; negative: it has not */
    size_t next;     /* the next item of the track, behind the one at hand */
};

struct device_lane {
    const char *name;
    int64_t end;
};

struct json {
    const struct trace_view *view;
    struct lane *lanes;
    struct device_lane devices[DEVICE_LIMIT];
    unsigned device_count;
    bool has_event;
};

static int64_t ns_of(const struct json *json, uint64_t time)
{
    double ns = trace_file_ns(json->view->file, time);
    return ns > 1e18    ? 1000000000000000000
           : ns < -1e18 ? -1000000000000000000
                        : (long long)(ns < 0 ? ns - 0.5 : ns + 0.5);
}

static void print_string(FILE *out, const char *text, size_t len)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            fputc('\\', out);
        fputc(trace_printable(text[i]), out);
    }
    fputc('"', out);
}

/* Up to the members that the event's kind has, and its closing brace. Times are in us. */
static FILE *begin(struct json *json, char phase, unsigned pid, unsigned tid, const char *name)
{
    FILE *out = json->view->out;
    fputs(json->has_event ? ",\n" : "\n", out);
    json->has_event = true;
    fprintf(out, "{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u,\"name\":", phase, pid, tid);
    print_string(out, name, strlen(name));
    return out;
}

static void print_us(FILE *out, const char *member, int64_t ns)
{
    uint64_t value = (uint64_t)(ns < 0 ? -ns : ns);
    fprintf(out, ",\"%s\":%s%" PRIu64 ".%03" PRIu64, member, ns < 0 ? "-" : "", value / 1000, value % 1000);
}

static void print_name(struct json *json, const char *what, unsigned pid, unsigned tid, const char *name)
{
    FILE *out = begin(json, 'M', pid, tid, what);
    fputs(",\"args\":{\"name\":", out);
    print_string(out, name, strlen(name));
    fputs("}}", out);
}

/* The device's track, named at the first need; NULL where there are too many. */
static struct device_lane *device_lane(struct json *json, const char *name, unsigned *tid)
{
    for (*tid = 1; *tid <= json->device_count; ++*tid)
        if (strcmp(json->devices[*tid - 1].name, name) == 0)
            return &json->devices[*tid - 1];
    if (json->device_count == DEVICE_LIMIT)
        return NULL;
    json->devices[json->device_count++] = (struct device_lane){.name = name, .end = INT64_MIN};
    print_name(json, "thread_name", DEVICES_PID, *tid, name);
    return &json->devices[*tid - 1];
}

static unsigned tid_of(const struct trace_item *item)
{
    return item->track + 1u;
}

/* Opens a slice of the item's track; it ends a nanosecond before the next one and before the one around it,
 * at the latest: viewers add a start and a length in floating point, and neighbours that touch would overlap.
 * The caller adds members and closes the brace. */
static FILE *begin_slice(struct json *json, unsigned track, int64_t start, int64_t end, const char *name)
{
    struct lane *lane = &json->lanes[track];
    while (lane->depth && lane->ends[lane->depth - 1] <= start)
        lane->depth--;
    end--;
    if (lane->depth && end > lane->ends[lane->depth - 1] - 1)
        end = lane->ends[lane->depth - 1] - 1;
    if (end < start)
        end = start;
    if (lane->depth < DEPTH_LIMIT)
        lane->ends[lane->depth++] = end;
    FILE *out = begin(json, 'X', THREADS_PID, track + 1, name);
    print_us(out, "ts", start);
    print_us(out, "dur", end - start);
    return out;
}

static void print_place(struct json *json, FILE *out, uint64_t rip)
{
    char text[160];
    if (!rip)
        return;
    fprintf(out, ",\"rip\":\"%#" PRIx64 "\"", rip);
    if (*symbols_name(json->view->symbols, rip, text, sizeof(text))) {
        fputs(",\"symbol\":", out);
        print_string(out, text, strlen(text));
    }
    if (*trace_disassemble(json->view, rip, text, sizeof(text))) {
        fputs(",\"insn\":", out);
        print_string(out, text, strlen(text));
    }
}

static void print_access_args(FILE *out, const struct trace_record *record)
{
    fprintf(out,
            ",\"args\":{\"address\":\"%#" PRIx64 "\",\"size\":%u,\"value\":\"%#" PRIx64
            "\",\"count\":%" PRIu32,
            record->address, record->size, record->value, record->count);
}

static void print_exit(struct json *json, const struct trace_item *item)
{
    const struct trace_file *file = json->view->file;
    const struct trace_record *record = &item->record;
    const struct trace_region *region = trace_region_of(file, record);
    struct lane *lane = &json->lanes[item->track];
    int64_t start = ns_of(json, record->time), end = ns_of(json, record->time + record->duration);
    char number[16], name[120];
    const char *reason = trace_reason_name(&file->names, record->index, number);
    lane->depth = 0; /* what software did meanwhile is inside of the guest's slice, though it came before */
    if (lane->resumed >= 0 && lane->resumed <= start)
        fputs(",\"cat\":\"guest\"}", begin_slice(json, item->track, lane->resumed, start, "guest"));
    if (record->size)
        snprintf(name, sizeof(name), "%s %s %.40s", reason, record->flags & TRACE_WRITE ? "write" : "read",
                 region ? region->name : "(no device)");
    else
        snprintf(name, sizeof(name), "%s", reason);
    FILE *out = begin_slice(json, item->track, start, end, name);
    fputs(",\"cat\":\"exit\"", out);
    print_access_args(out, record);
    print_place(json, out, record->rip);
    fputs("}}", out);
    lane->resumed = end;
}

static void print_access(struct json *json, const struct trace_item *item)
{
    const struct trace_record *record = &item->record;
    const char *device = record->device ? record->device : "(no device)";
    int64_t start = ns_of(json, record->time), end = ns_of(json, record->time + record->duration);
    char name[80];
    unsigned tid;
    snprintf(name, sizeof(name), "%.40s %s", device, record->flags & TRACE_WRITE ? "write" : "read");
    FILE *out = begin_slice(json, item->track, start, end, name);
    fprintf(out, ",\"cat\":\"%s\"", trace_event_name(record->event));
    print_access_args(out, record);
    fputs("}}", out);
    struct device_lane *lane = device_lane(json, device, &tid);
    if (!lane)
        return;
    /* Two CPUs may wait for a device at the same time: what it does for one begins when the other is done. */
    if (start < lane->end)
        start = lane->end;
    lane->end = end > start ? end : start;
    out = begin(json, 'X', DEVICES_PID, tid, record->flags & TRACE_WRITE ? "write" : "read");
    print_us(out, "ts", start);
    print_us(out, "dur", lane->end > start ? lane->end - 1 - start : 0);
    fprintf(out, ",\"cat\":\"%s\"", trace_event_name(record->event));
    print_access_args(out, record);
    fputs("}}", out);
}

static void print_insn(struct json *json, const struct trace_item *item)
{
    const struct trace_record *record = &item->record;
    char text[160] = "emulate";
    int64_t start = ns_of(json, record->time), end = ns_of(json, record->time + record->duration);
    unsigned len = record->len < TRACE_BYTES_MAX ? record->len : TRACE_BYTES_MAX;
    if (len && (record->size == 16 || record->size == 32 || record->size == 64))
        disassemble(record->size, record->bytes, len, record->rip, text, sizeof(text));
    FILE *out = begin_slice(json, item->track, start, end, text);
    fprintf(out, ",\"cat\":\"emulate_insn\",\"args\":{\"rip\":\"%#" PRIx64 "\",\"accesses\":%" PRIu64 "}}",
            record->rip, record->value);
}

/* What has no length is shown as a short slice, since arrows go from slice to slice. */
static void print_point(struct json *json, const struct trace_item *item)
{
    const struct trace_file *file = json->view->file;
    const struct lane *lane = &json->lanes[item->track];
    char text[200];
    int64_t start = ns_of(json, item->record.time), end = start + POINT_NS;
    if (lane->next < file->item_count && ns_of(json, file->items[lane->next].record.time) < end)
        end = ns_of(json, file->items[lane->next].record.time);
    trace_describe(&item->record, &file->names, text, sizeof(text));
    FILE *out = begin_slice(json, item->track, start, end, text);
    fprintf(out, ",\"cat\":\"%s\"}", trace_event_name(item->record.event));
}

static void print_marker(struct json *json, const struct trace_item *item)
{
    char text[TRACE_TEXT_MAX + 1];
    size_t len;
    const char *from = trace_text_of(&item->record, &len);
    memcpy(text, from, len);
    text[len] = 0;
    FILE *out = begin(json, 'i', THREADS_PID, tid_of(item), text);
    print_us(out, "ts", ns_of(json, item->record.time));
    fprintf(out, ",\"s\":\"t\",\"cat\":\"%s\"}", trace_event_name(item->record.event));
}

static void print_item(struct json *json, const struct trace_item *item)
{
    switch ((enum trace_event)item->record.event) {
    case TRACE_ENTRY:
        json->lanes[item->track].resumed = ns_of(json, item->record.time);
        break;
    case TRACE_EXIT:
        print_exit(json, item);
        break;
    case TRACE_PIO:
    case TRACE_MMIO:
        print_access(json, item);
        break;
    case TRACE_INSN:
        print_insn(json, item);
        break;
    case TRACE_SNAPSHOT:
    case TRACE_ODD:
    case TRACE_MARKER:
        print_marker(json, item);
        break;
    case TRACE_SET_IRQ:
    case TRACE_MSI:
    case TRACE_QUEUE_KICK:
    case TRACE_QUEUE_POP:
    case TRACE_QUEUE_PUSH:
    case TRACE_QUEUE_INTERRUPT:
    case TRACE_REQUEST_ISSUE:
    case TRACE_REQUEST_DONE:
    case TRACE_TRIGGER:
        print_point(json, item);
        break;
    case TRACE_NONE:
    case TRACE_CODE:
    case TRACE_EVENT_COUNT:
        break;
    }
}

static void print_arrow(struct json *json, char phase, size_t id, const struct trace_item *item)
{
    FILE *out = begin(json, phase, THREADS_PID, tid_of(item), "request");
    print_us(out, "ts", ns_of(json, item->record.time));
    fprintf(out, ",\"cat\":\"request\",\"id\":%zu%s}", id, phase == 'f' ? ",\"bp\":\"e\"" : "");
}

/* From step to step, as far as they were recorded. */
static void print_arrows(struct json *json, size_t id, const struct request *request)
{
    const struct trace_item *items = json->view->file->items;
    const struct trace_item *steps[STEP_COUNT];
    unsigned count = 0;
    for (unsigned step = 0; step < STEP_COUNT; step++)
        if (request->steps[step] != STEP_MISSING)
            steps[count++] = &items[request->steps[step]];
    for (unsigned i = 0; count > 1 && i < count; i++)
        print_arrow(json, i == 0 ? 's' : i == count - 1 ? 'f' : 't', id, steps[i]);
}

static void print_request(struct json *json, size_t id, const struct request *request)
{
    const struct trace_item *items = json->view->file->items;
    const char *device = request->device ? request->device : "(no device)";
    char name[80];
    unsigned tid;
    print_arrows(json, id, request);
    if (request->steps[STEP_PUSH] == STEP_MISSING || !device_lane(json, device, &tid))
        return;
    snprintf(name, sizeof(name), "queue %" PRIu32 " chain %" PRIu64, request->queue, request->chain);
    for (unsigned i = 0; i < 2; i++) {
        const struct trace_record *record = &items[request->steps[i ? STEP_PUSH : STEP_POP]].record;
        FILE *out = begin(json, i ? 'e' : 'b', DEVICES_PID, tid, name);
        print_us(out, "ts", ns_of(json, record->time));
        fprintf(out, ",\"cat\":\"request\",\"id\":%zu}", id);
    }
}

static void find_next(struct json *json, size_t at)
{
    const struct trace_file *file = json->view->file;
    struct lane *lane = &json->lanes[file->items[at].track];
    if (lane->next <= at)
        lane->next = at + 1;
    while (lane->next < file->item_count && file->items[lane->next].track != file->items[at].track)
        lane->next++;
}

int trace_print_perfetto(const struct trace_view *view)
{
    const struct trace_file *file = view->file;
    struct json json = {.view = view, .lanes = calloc(file->track_count + 1, sizeof(struct lane))};
    struct requests requests;
    if (!json.lanes || !requests_find(file, &requests)) {
        free(json.lanes);
        return -ENOMEM;
    }
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", view->out);
    print_name(&json, "process_name", THREADS_PID, 0, "machine");
    print_name(&json, "process_name", DEVICES_PID, 0, "devices");
    for (unsigned i = 0; i < file->track_count; i++) {
        json.lanes[i].resumed = -1;
        print_name(&json, "thread_name", THREADS_PID, i + 1, file->tracks[i].name);
    }
    for (size_t i = 0; i < file->item_count; i++) {
        find_next(&json, i);
        print_item(&json, &file->items[i]);
    }
    for (size_t i = 0; i < requests.count; i++)
        print_request(&json, i + 1, &requests.list[i]);
    fputs("\n]}\n", view->out);
    requests_fini(&requests);
    free(json.lanes);
    return ferror(view->out) ? -EIO : 0;
}
