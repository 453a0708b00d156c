/* SPDX-License-Identifier: MIT
 *
 * `vmm trace report`: who causes the exits, how long the guest waits for each, and what would help. The time
 * of an exit is from KVM_RUN's return to its next call; what the processor and KVM take before and after is
 * not in it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace_ring.h"
#include "base/types.h"
#include "vmm/cli/trace_table.h"

#define HEADLINE_ROWS 5
#define DEVICE_LIMIT  256 /* whose requests are listed */

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void print_ns(FILE *out, double ns)
{
    if (ns < 1e4)
        fprintf(out, "%8.0f ns", ns);
    else if (ns < 1e7)
        fprintf(out, "%8.1f us", ns / 1e3);
    else
        fprintf(out, "%8.1f ms", ns / 1e6);
}

static double share(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

/* ---- What is in the file ---- */

static bool has_snapshot_buffer(const struct trace_file *file)
{
    for (unsigned i = 0; i < file->buffer_count; i++)
        if (file->buffers[i].mode == TRACE_MODE_SNAPSHOT)
            return true;
    return false;
}

static void print_head(const struct trace_view *view, const struct tally *tally)
{
    const struct trace_file *file = view->file;
    FILE *out = view->out;
    double span = 0;
    if (file->item_count)
        span = trace_file_span_ns(file,
                                  file->items[file->item_count - 1].record.time - file->items[0].record.time);
    fprintf(out, "%zu record%s over %.3f ms, %u thread%s", file->item_count, plural(file->item_count),
            span / 1e6, file->track_count, plural(file->track_count));
    if (*file->why)
        fprintf(out, "; the run ended by: %s", file->why);
    fprintf(out, "\n");
    if (file->lost)
        fprintf(out, "%" PRIu64 " record%s missing, lost in full buffers (an exit with its access is one)\n",
                file->lost, file->lost == 1 ? " is" : "s are");
    if (file->trigger_count)
        fprintf(out, "the trigger fired %" PRIu64 " time%s\n", file->trigger_count,
                plural(file->trigger_count));
    else if (!file->snapshot_count && file->is_ended && has_snapshot_buffer(file))
        fprintf(out, "the trigger never fired: there are no snapshots\n");
    if (file->snapshot_count)
        fprintf(out, "%" PRIu64 " snapshot%s in the file\n", file->snapshot_count,
                file->snapshot_count == 1 ? " is" : "s are");
    if (*file->damage)
        fprintf(out, "the file is %s; this is what came before\n", file->damage);
    if (!tally->exits.count)
        return;
    fprintf(out, "in the guest %.3f ms, in %" PRIu64 " exit%s %.3f ms\n", tally->guest_ns / 1e6,
            tally->exits.count, plural(tally->exits.count), tally->exits.ns / 1e6);
}

static void print_cost(FILE *out, const struct cost *cost, double whole)
{
    fprintf(out, "%9" PRIu64 " ", cost->count);
    print_ns(out, cost->ns);
    fprintf(out, " %5.1f %% ", share(cost->ns, whole));
    print_ns(out, cost->count ? cost->ns / (double)cost->count : 0);
    print_ns(out, cost->max_ns);
}

static void print_reasons(const struct trace_view *view, const struct tally *tally)
{
    char number[16];
    if (!tally->reasons.count)
        return;
    fprintf(view->out, "\nexits by reason            count        time   share        mean        max\n");
    for (size_t i = 0; i < tally->reasons.count; i++) {
        const struct row *row = &tally->reasons.rows[i];
        fprintf(view->out, "  %-20s ", trace_reason_name(&view->file->names, (uint32_t)row->key, number));
        print_cost(view->out, &row->cost, tally->exits.ns);
        fputc('\n', view->out);
    }
}

static void print_devices(const struct trace_view *view, const struct tally *tally)
{
    if (!tally->devices.count)
        return;
    fprintf(view->out,
            "\naccesses by device         count        time   share        mean        max  reads/writes\n");
    for (size_t i = 0; i < tally->devices.count; i++) {
        const struct row *row = &tally->devices.rows[i];
        fprintf(view->out, "  %-20.20s ", row->device ? row->device : "(no device)");
        print_cost(view->out, &row->cost, tally->accesses.ns);
        fprintf(view->out, "  %" PRIu64 "/%" PRIu64 "\n", row->cost.count - row->writes, row->writes);
    }
}

/* ---- Instructions, and what would help ---- */

static const char *row_region_name(const struct row *row)
{
    return row->region ? row->region->name : NULL;
}

/* What happens less, or takes less of the exit time, is not worth a change. */
#define OFTEN         8
#define WORTH_PERCENT 1

/* The first advice that fits; NULL where there is none. */
static const char *advice(const struct tally *tally, const struct row *row)
{
    bool is_write_only = row->region && tally_only_writes(tally, row->region->name);
    if (row->cost.count < OFTEN || share(row->cost.ns, tally->exits.ns) < WORTH_PERCENT)
        return NULL;
    if (row->kicks * 2 > row->cost.count)
        return "ioeventfd: a kick need not come to the vCPU's thread at all";
    if (!row->region)
        return row->accesses ? "fewer accesses: no device answers there" : NULL;
    if (row->region->space == 'm' && strstr(row->region->engine, "kvm") && row->near * 2 > row->cost.count)
        return "--mmio-engine trap: with run-ahead the accesses that follow cost no exit of their own";
    if (row->writes && strcmp(row->region->name, "serial") == 0)
        return "fewer writes: a quiet console, or a virtio console";
    if (is_write_only && !strstr(row->region->engine, "coalesced"))
        return "coalesce: the device is only written to; its writes could wait in KVM's ring";
    if (row->writes)
        return "fewer writes";
    return "fewer reads: a driver that polls asks more often than it learns something";
}

static void print_insn(const struct trace_view *view, const struct tally *tally, const struct row *row)
{
    char symbol[120], text[120], number[16];
    FILE *out = view->out;
    fprintf(out, "  %#-20" PRIx64 " ", row->key);
    print_cost(out, &row->cost, tally->exits.ns);
    fprintf(out, "  %s", trace_reason_name(&view->file->names, row->reason, number));
    if (row->region)
        fprintf(out, " %s", row_region_name(row));
    if (row->address && !row->address_varies)
        fprintf(out, " %#" PRIx64, row->address);
    fputc('\n', out);
    symbols_name(view->symbols, row->key, symbol, sizeof(symbol));
    trace_disassemble(view, row->key, text, sizeof(text));
    if (*symbol || *text)
        fprintf(out, "      %s%s%s\n", text, *symbol && *text ? "    in " : *symbol ? "in " : "", symbol);
    const char *help = advice(tally, row);
    if (help)
        fprintf(out, "      would help: %s\n", help);
}

static void print_headline(const struct trace_view *view, const struct tally *tally)
{
    size_t rows = tally->insns.count < HEADLINE_ROWS ? tally->insns.count : HEADLINE_ROWS;
    double ns = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < rows; i++) {
        ns += tally->insns.rows[i].cost.ns;
        count += tally->insns.rows[i].cost.count;
    }
    fprintf(view->out, "\n%zu instruction%s cause%s %.0f %% of the exit time and %.0f %% of the exits\n",
            rows, plural(rows), rows == 1 ? "s" : "", share(ns, tally->exits.ns),
            share((double)count, (double)tally->exits.count));
}

static void print_insns(const struct trace_view *view, const struct tally *tally, unsigned limit)
{
    if (!tally->insns.count)
        return;
    print_headline(view, tally);
    fprintf(view->out, "exits by instruction       count        time   share        mean        max\n");
    for (size_t i = 0; i < tally->insns.count && i < limit; i++)
        print_insn(view, tally, &tally->insns.rows[i]);
    if (tally->insns.count > limit)
        fprintf(view->out, "  and %zu more (--rows)\n", tally->insns.count - limit);
}

/* ---- Instructions executed in software ---- */

static void print_emulated(const struct trace_view *view, const struct tally *tally, unsigned limit)
{
    char symbol[120], text[120];
    if (!tally->emulated.count)
        return;
    fprintf(view->out, "\nexecuted in software       count        time   share        mean        max\n");
    for (size_t i = 0; i < tally->emulated.count && i < limit; i++) {
        const struct row *row = &tally->emulated.rows[i];
        fprintf(view->out, "  %#-20" PRIx64 " ", row->key);
        print_cost(view->out, &row->cost, tally->emulated_all.ns);
        symbols_name(view->symbols, row->key, symbol, sizeof(symbol));
        tally_disassemble(row, text, sizeof(text));
        fprintf(view->out, "  %s%s%s\n", text, *symbol ? "    in " : "", symbol);
    }
}

/* ---- The path of requests ---- */

static double step_ns(const struct trace_file *file, const struct request *request, unsigned from,
                      unsigned to)
{
    uint64_t start = file->items[request->steps[from]].record.time;
    uint64_t end = file->items[request->steps[to]].record.time;
    return end > start ? trace_file_span_ns(file, end - start) : 0;
}

static int compare_ns(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Median and maximum of the time from one step to the next, over the requests that have both. */
static void print_step(const struct trace_view *view, const struct requests *requests, const char *device,
                       unsigned from, unsigned to)
{
    double *list = calloc(requests->count, sizeof(*list)), sum = 0;
    size_t count = 0;
    for (size_t i = 0; list && i < requests->count; i++) {
        const struct request *request = &requests->list[i];
        if (strcmp(request->device ? request->device : "", device) || request->steps[from] == STEP_MISSING ||
            request->steps[to] == STEP_MISSING)
            continue;
        list[count] = step_ns(view->file, request, from, to);
        sum += list[count++];
    }
    if (count) {
        qsort(list, count, sizeof(*list), compare_ns);
        fprintf(view->out, "  %-9s -> %-9s %8zu ", request_step_name(from), request_step_name(to), count);
        print_ns(view->out, list[count / 2]);
        print_ns(view->out, sum / (double)count);
        print_ns(view->out, list[count - 1]);
        fputc('\n', view->out);
    }
    free(list);
}

static bool is_operation(const struct trace_file *file, const struct request *request, uint32_t operation)
{
    size_t issue = request->steps[STEP_ISSUE];
    return issue == STEP_MISSING ? operation == TRACE_OPERATION_OTHER
                                 : file->items[issue].record.index == operation;
}

/* One request from beginning to end: the slowest of the operation that came to its end. */
static const struct request *find_slowest(const struct trace_file *file, const struct requests *requests,
                                          const char *device, uint32_t operation)
{
    const struct request *slowest = NULL;
    double worst = -1;
    for (size_t i = 0; i < requests->count; i++) {
        const struct request *request = &requests->list[i];
        if (strcmp(request->device ? request->device : "", device) ||
            request->steps[STEP_PUSH] == STEP_MISSING || !is_operation(file, request, operation))
            continue;
        double ns = step_ns(file, request, STEP_POP, STEP_PUSH);
        if (ns <= worst)
            continue;
        worst = ns;
        slowest = request;
    }
    return slowest;
}

static void print_path(const struct trace_view *view, const struct request *request, uint32_t operation)
{
    const struct trace_file *file = view->file;
    char text[200];
    uint64_t first = 0, last = 0;
    fprintf(view->out, "  the slowest %s, step by step:\n",
            operation == TRACE_OPERATION_OTHER ? "request" : trace_operation_name(operation));
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        if (request->steps[step] == STEP_MISSING)
            continue;
        const struct trace_item *item = &file->items[request->steps[step]];
        if (!first)
            first = last = item->record.time;
        fprintf(view->out, "    ");
        print_ns(view->out, trace_file_span_ns(file, item->record.time - first));
        fprintf(view->out, "  +");
        print_ns(view->out,
                 item->record.time > last ? trace_file_span_ns(file, item->record.time - last) : 0);
        fprintf(view->out, "  %-10s %s\n", file->tracks[item->track].name,
                trace_describe(&item->record, &file->names, text, sizeof(text)));
        last = item->record.time;
    }
}

static void print_requests_of(const struct trace_view *view, const struct requests *requests,
                              const char *device)
{
    fprintf(view->out, "\nrequests of %-16s count      median       mean        max\n", device);
    for (unsigned from = 0; from + 1 < STEP_COUNT; from++)
        print_step(view, requests, device, from, from + 1);
    print_step(view, requests, device, STEP_POP, STEP_PUSH);
    print_step(view, requests, device, STEP_KICK, STEP_INTERRUPT);
    for (uint32_t operation = TRACE_OPERATION_READ; operation <= TRACE_OPERATION_OTHER; operation++) {
        const struct request *slowest = find_slowest(view->file, requests, device, operation);
        if (slowest)
            print_path(view, slowest, operation);
    }
}

static void print_requests(const struct trace_view *view, const struct requests *requests)
{
    const char *devices[DEVICE_LIMIT];
    unsigned count = 0, known;
    for (size_t i = 0; i < requests->count && count < DEVICE_LIMIT; i++) {
        const char *device = requests->list[i].device ? requests->list[i].device : "";
        for (known = 0; known < count && strcmp(devices[known], device); known++)
            ;
        if (known < count)
            continue;
        devices[count++] = device;
        print_requests_of(view, requests, device);
    }
}

static void print_markers(const struct trace_view *view)
{
    const struct trace_file *file = view->file;
    bool has_title = false;
    for (size_t i = 0; i < file->item_count; i++) {
        const struct trace_record *record = &file->items[i].record;
        size_t len;
        if (record->event != TRACE_MARKER)
            continue;
        if (!has_title)
            fprintf(view->out, "\nmarkers\n");
        has_title = true;
        const char *text = trace_text_of(record, &len);
        if (record->flags & TRACE_FIRST)
            fprintf(view->out, "  %14.3f us  ", trace_file_ns(file, record->time) / 1e3);
        for (size_t at = 0; at < len; at++)
            fputc(trace_printable(text[at]), view->out);
        if (record->flags & TRACE_LAST)
            fputc('\n', view->out);
    }
}

int trace_print_report(const struct trace_view *view, unsigned rows)
{
    struct tally tally;
    struct requests requests;
    if (!requests_find(view->file, &requests))
        return -ENOMEM;
    if (!tally_make(view->file, &tally)) {
        requests_fini(&requests);
        return -ENOMEM;
    }
    print_head(view, &tally);
    print_reasons(view, &tally);
    print_devices(view, &tally);
    print_insns(view, &tally, rows);
    print_emulated(view, &tally, rows);
    print_requests(view, &requests);
    print_markers(view);
    tally_fini(&tally);
    requests_fini(&requests);
    return ferror(view->out) ? -EIO : 0;
}
