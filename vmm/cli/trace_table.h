/* SPDX-License-Identifier: MIT
 *
 * Counts and times of a trace by this and that, for its report.
 */
#ifndef VMM_CLI_TRACE_TABLE_H
#define VMM_CLI_TRACE_TABLE_H

#include "vmm/cli/trace.h"

struct cost {
    uint64_t count;
    double ns, max_ns;
};

/* A line of a table. What is filled in beside key and cost depends on the table. */
struct row {
    uint64_t key; /* reason, rip, or the device's number */
    const char *device;
    struct cost cost;
    uint64_t writes;
    uint64_t accesses; /* exits that are accesses to a port or to memory */
    uint64_t kicks;    /* exits in which a queue was kicked */
    uint64_t near;     /* exits that the next exit followed soon, from an instruction nearby */
    uint32_t reason;   /* of the last exit */
    uint64_t address;
    bool address_varies; /* it is not that of all exits */
    const struct trace_region *region;
    const struct trace_record *insn; /* executed in software */
};

struct table {
    struct row *rows; /* most time first, once it is made */
    size_t count, capacity;
    uint32_t *slots; /* a hash of keys: 1 + index of the row, or 0 */
    size_t slot_count;
};

struct tally {
    double guest_ns;
    struct cost exits, accesses, emulated_all;
    struct table reasons, devices, insns, emulated;
};

/* False where memory is out. */
bool tally_make(const struct trace_file *file, struct tally *tally);
void tally_fini(struct tally *tally);

/* Whether the device was written to, and never read. */
bool tally_only_writes(const struct tally *tally, const char *device);

/* The text of an instruction that was executed in software. */
const char *tally_disassemble(const struct row *row, char *text, size_t text_bytes);

#endif
