/* SPDX-License-Identifier: MIT
 *
 * See trace_table.h.
 */
#include "vmm/cli/trace_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/disassembly.h"

/* What run-ahead would have reached: the next access is that near, and comes that soon. */
#define NEAR_BYTES 96u
#define NEAR_NS    20000.0

static size_t slot_of(const struct table *table, uint64_t key)
{
    return (key * 0x9e3779b97f4a7c15u >> 32) & (table->slot_count - 1);
}

static bool table_grow(struct table *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    struct row *rows = realloc(table->rows, capacity * sizeof(*rows));
    if (!rows)
        return false;
    table->rows = rows;
    table->capacity = capacity;
    free(table->slots);
    table->slot_count = 2 * capacity;
    table->slots = calloc(table->slot_count, sizeof(*table->slots));
    if (!table->slots)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        size_t slot = slot_of(table, rows[i].key);
        while (table->slots[slot])
            slot = (slot + 1) & (table->slot_count - 1);
        table->slots[slot] = (uint32_t)i + 1;
    }
    return true;
}

/* The row of the key, which is made where there is none; NULL where memory is out. */
static struct row *table_row(struct table *table, uint64_t key)
{
    if (table->count == table->capacity && !table_grow(table))
        return NULL;
    size_t slot = slot_of(table, key);
    for (; table->slots[slot]; slot = (slot + 1) & (table->slot_count - 1))
        if (table->rows[table->slots[slot] - 1].key == key)
            return &table->rows[table->slots[slot] - 1];
    table->slots[slot] = (uint32_t)++table->count;
    table->rows[table->count - 1] = (struct row){.key = key};
    return &table->rows[table->count - 1];
}

static void table_fini(struct table *table)
{
    free(table->rows);
    free(table->slots);
}

static void cost_add(struct cost *cost, double ns)
{
    cost->count++;
    cost->ns += ns;
    if (ns > cost->max_ns)
        cost->max_ns = ns;
}

/* A vCPU while its records go by. */
struct progress {
    uint64_t resumed; /* when its guest went on; 0: not yet */
    uint64_t last_rip;
    uint64_t exit_end; /* of the last exit */
};

static void tally_exit(const struct trace_file *file, struct tally *tally, struct progress *progress,
                       const struct trace_record *record, struct row *row)
{
    if (progress->last_rip && record->rip - progress->last_rip + NEAR_BYTES / 2 < NEAR_BYTES &&
        progress->resumed && trace_file_span_ns(file, record->time - progress->resumed) < NEAR_NS)
        row->near++;
    if (progress->resumed && record->time > progress->resumed)
        tally->guest_ns += trace_file_span_ns(file, record->time - progress->resumed);
    progress->resumed = progress->exit_end = record->time + record->duration;
    progress->last_rip = record->rip;
    row->address_varies |= row->accesses && row->address != record->address;
    row->reason = record->index;
    row->address = record->address;
    row->accesses += record->size != 0;
    row->writes += (record->flags & TRACE_WRITE) != 0;
    const struct trace_region *region = trace_region_of(file, record);
    if (region)
        row->region = region;
}

static bool add_exit(const struct trace_file *file, struct tally *tally, struct progress *progress,
                     const struct trace_record *record)
{
    double ns = trace_file_span_ns(file, record->duration);
    struct row *reason = table_row(&tally->reasons, record->index);
    if (!reason)
        return false;
    cost_add(&tally->exits, ns);
    cost_add(&reason->cost, ns);
    struct row nowhere = {.key = 0}; /* of an exit whose rip is not known */
    struct row *insn = record->rip ? table_row(&tally->insns, record->rip) : &nowhere;
    if (!insn)
        return false;
    cost_add(&insn->cost, ns);
    tally_exit(file, tally, progress, record, insn);
    return true;
}

static uint64_t device_key(const char *device)
{
    uint64_t key = 14695981039346656037u; /* FNV-1a */
    for (; device && *device; device++)
        key = (key ^ (uint8_t)*device) * 1099511628211u;
    return key;
}

static bool add_access(const struct trace_file *file, struct tally *tally, const struct trace_record *record)
{
    double ns = trace_file_span_ns(file, record->duration);
    struct row *row = table_row(&tally->devices, device_key(record->device));
    if (!row)
        return false;
    row->device = record->device;
    row->writes += (record->flags & TRACE_WRITE) != 0;
    cost_add(&row->cost, ns);
    cost_add(&tally->accesses, ns);
    return true;
}

static bool add_insn(const struct trace_file *file, struct tally *tally, const struct trace_record *record)
{
    double ns = trace_file_span_ns(file, record->duration);
    struct row *row = table_row(&tally->emulated, record->rip);
    if (!row)
        return false;
    row->insn = record;
    cost_add(&row->cost, ns);
    cost_add(&tally->emulated_all, ns);
    return true;
}

/* A kick on a vCPU's thread belongs to the exit at hand, whose record came before it. */
static void add_kick(struct tally *tally, const struct progress *progress, const struct trace_record *record)
{
    struct row *row = progress->last_rip ? table_row(&tally->insns, progress->last_rip) : NULL;
    if (row && record->time <= progress->exit_end)
        row->kicks++;
}

static bool add_item(const struct trace_file *file, struct tally *tally, struct progress *progress,
                     const struct trace_record *record)
{
    switch ((enum trace_event)record->event) {
    case TRACE_ENTRY:
        progress->resumed = record->time;
        return true;
    case TRACE_EXIT:
        return add_exit(file, tally, progress, record);
    case TRACE_PIO:
    case TRACE_MMIO:
        return add_access(file, tally, record);
    case TRACE_INSN:
        return add_insn(file, tally, record);
    case TRACE_QUEUE_KICK:
        add_kick(tally, progress, record);
        return true;
    default:
        return true;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    if (left->cost.ns != right->cost.ns)
        return left->cost.ns > right->cost.ns ? -1 : 1;
    return left->key < right->key ? -1 : left->key > right->key;
}

static void table_sort(struct table *table)
{
    if (table->count)
        qsort(table->rows, table->count, sizeof(*table->rows), by_time);
}

bool tally_make(const struct trace_file *file, struct tally *tally)
{
    struct progress *progress = calloc(file->track_count + 1, sizeof(*progress));
    bool is_good = progress;
    *tally = (struct tally){.guest_ns = 0};
    for (size_t i = 0; is_good && i < file->item_count; i++)
        is_good = add_item(file, tally, &progress[file->items[i].track], &file->items[i].record);
    free(progress);
    if (!is_good) {
        tally_fini(tally);
        return false;
    }
    table_sort(&tally->reasons);
    table_sort(&tally->devices);
    table_sort(&tally->insns);
    table_sort(&tally->emulated);
    return true;
}

void tally_fini(struct tally *tally)
{
    table_fini(&tally->reasons);
    table_fini(&tally->devices);
    table_fini(&tally->insns);
    table_fini(&tally->emulated);
}

bool tally_only_writes(const struct tally *tally, const char *device)
{
    for (size_t i = 0; i < tally->devices.count; i++) {
        const struct row *row = &tally->devices.rows[i];
        if (row->device && strcmp(row->device, device) == 0)
            return row->writes == row->cost.count;
    }
    return false;
}

const char *tally_disassemble(const struct row *row, char *text, size_t text_bytes)
{
    const struct trace_record *insn = row->insn;
    unsigned len = insn->len < TRACE_BYTES_MAX ? insn->len : TRACE_BYTES_MAX;
    *text = 0;
    if (len && (insn->size == 16 || insn->size == 32 || insn->size == 64))
        disassemble(insn->size, insn->bytes, len, insn->rip, text, text_bytes);
    return text;
}
