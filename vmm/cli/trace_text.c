/* SPDX-License-Identifier: MIT
 *
 * `vmm trace convert --to text` and `--to csv`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/disassembly.h"
#include "base/types.h"
#include "vmm/cli/trace.h"

const char *trace_disassemble(const struct trace_view *view, uint64_t rip, char *text, size_t text_bytes)
{
    const struct trace_record *code = trace_file_code(view->file, rip);
    uint8_t bytes[TRACE_BYTES_MAX];
    size_t len = code ? code->len : 0;
    unsigned mode = code && code->size ? code->size : 64;
    if (len > sizeof(bytes))
        len = sizeof(bytes);
    if (len)
        memcpy(bytes, code->bytes, len);
    else
        len = symbols_code(view->symbols, code && code->address ? code->address : rip, bytes, sizeof(bytes));
    *text = 0;
    if (len && !(mode & (mode - 1)) && mode >= 16 && mode <= 64)
        disassemble(mode, bytes, len, rip, text, text_bytes);
    return text;
}

const struct trace_region *trace_region_of(const struct trace_file *file, const struct trace_record *record)
{
    char number[16];
    if (record->event == TRACE_PIO)
        return trace_file_region(file, 'p', record->address);
    if (record->event == TRACE_EXIT &&
        strcmp(trace_reason_name(&file->names, record->index, number), "IO") == 0)
        return trace_file_region(file, 'p', record->address);
    return record->address ? trace_file_region(file, 'm', record->address) : NULL;
}

const char *trace_text_of(const struct trace_record *record, size_t *len)
{
    size_t skip = record->event == TRACE_MARKER ? 0 : sizeof(uint64_t);
    size_t all = record->len < TRACE_TEXT_MAX ? record->len : TRACE_TEXT_MAX;
    *len = all > skip ? all - skip : 0;
    return record->text + skip;
}

static void print_line(const struct trace_view *view, const struct trace_item *item)
{
    char text[300], name[120];
    const struct trace_file *file = view->file;
    const struct trace_record *record = &item->record;
    unsigned fields = trace_event_fields(record->event);
    if (item->lost_before)
        fprintf(view->out, "%-10s               %" PRIu64 " records were lost here\n",
                file->tracks[item->track].name, item->lost_before);
    fprintf(view->out, "%-10s %14.3f us: %s", file->tracks[item->track].name,
            trace_file_ns(file, record->time) / 1e3,
            trace_describe(record, &file->names, text, sizeof(text)));
    if (fields & TRACE_HAS_RIP && record->rip &&
        *symbols_name(view->symbols, record->rip, name, sizeof(name)))
        fprintf(view->out, " (%s)", name);
    if (record->event == TRACE_INSN && record->len && record->len <= sizeof(record->bytes) &&
        (record->size == 16 || record->size == 32 || record->size == 64)) {
        disassemble(record->size, record->bytes, record->len, record->rip, name, sizeof(name));
        fprintf(view->out, " (%s)", name);
    }
    if (fields & TRACE_HAS_DURATION)
        fprintf(view->out, ", %.3f us", trace_file_span_ns(file, record->duration) / 1e3);
    fputc('\n', view->out);
}

int trace_print_text(const struct trace_view *view)
{
    for (size_t i = 0; i < view->file->item_count; i++)
        print_line(view, &view->file->items[i]);
    return ferror(view->out) ? -EIO : 0;
}

/* RFC 4180: in quotes, with quotes doubled. */
static void print_quoted(FILE *out, const char *text, size_t len)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            fputc('"', out);
        fputc(trace_printable(text[i]), out);
    }
    fputc('"', out);
}

static void print_numbers(FILE *out, unsigned fields, const struct trace_record *record)
{
    static const struct {
        unsigned field;
        const char *format;
    } columns[] = {{TRACE_HAS_RIP, "%#" PRIx64},  {TRACE_HAS_ADDRESS, "%#" PRIx64},
                   {TRACE_HAS_SIZE, "%" PRIu64},  {TRACE_HAS_VALUE, "%#" PRIx64},
                   {TRACE_HAS_INDEX, "%" PRIu64}, {TRACE_HAS_COUNT, "%" PRIu64},
                   {TRACE_HAS_ID, "%" PRIu64}};
    const uint64_t values[] = {record->rip,   record->address, record->size, record->value,
                               record->index, record->count,   record->id};
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        fputc(',', out);
        if (fields & columns[i].field)
            fprintf(out, columns[i].format, values[i]);
    }
}

static void print_row(const struct trace_view *view, const struct trace_item *item)
{
    const struct trace_file *file = view->file;
    const struct trace_record *record = &item->record;
    unsigned fields = trace_event_fields(record->event);
    char number[16];
    fprintf(view->out, "%.0f,", trace_file_ns(file, record->time));
    print_quoted(view->out, file->tracks[item->track].name, strlen(file->tracks[item->track].name));
    fprintf(view->out, ",%s,", trace_event_name(record->event));
    if (record->event == TRACE_EXIT) {
        const char *reason = trace_reason_name(&file->names, record->index, number);
        print_quoted(view->out, reason, strlen(reason));
    }
    fputs(record->flags & TRACE_WRITE                ? ",write,"
          : record->size && fields & TRACE_HAS_COUNT ? ",read,"
                                                     : ",,",
          view->out);
    if (fields & TRACE_HAS_DEVICE && record->device)
        print_quoted(view->out, record->device, strlen(record->device));
    fputc(',', view->out);
    if (fields & TRACE_HAS_DURATION)
        fprintf(view->out, "%.0f", trace_file_span_ns(file, record->duration));
    print_numbers(view->out, fields, record);
    fputc(',', view->out);
    if (fields & TRACE_HAS_BYTES)
        for (unsigned i = 0; i < record->len && i < sizeof(record->bytes); i++)
            fprintf(view->out, "%02x", record->bytes[i]);
    fputc(',', view->out);
    size_t len;
    const char *text = trace_text_of(record, &len);
    if (fields & TRACE_HAS_TEXT)
        print_quoted(view->out, text, len);
    fputs("\r\n", view->out);
}

int trace_print_csv(const struct trace_view *view)
{
    fputs(
        "time_ns,track,event,reason,direction,device,duration_ns,rip,address,size,value,index,count,id,bytes,"
        "text\r\n",
        view->out);
    for (size_t i = 0; i < view->file->item_count; i++)
        print_row(view, &view->file->items[i]);
    return ferror(view->out) ? -EIO : 0;
}
