/* SPDX-License-Identifier: MIT
 *
 * The trace file: written block by block while the machine runs, read as a whole afterwards. docs/trace.md
 * describes the format. A file that is cut off or damaged is read up to there.
 *
 * Threads: a writer is one thread's at a time; a trace_file its reader's.
 */
#ifndef BASE_TRACE_FILE_H
#define BASE_TRACE_FILE_H

#include "base/trace_names.h"

#define TRACE_FILE_MAGIC   "VMMTRACE"
#define TRACE_FILE_VERSION 1
#define TRACE_BLOCK_MAGIC  0x4b4c4254u /* "TBLK" */
#define TRACE_BLOCK_LIMIT  (1u << 20)  /* of a payload */

enum trace_block {
    TRACE_BLOCK_EVENTS = 1, /* number, fields and name of every event */
    TRACE_BLOCK_REASONS,    /* number and name of exit reasons */
    TRACE_BLOCK_STRING,     /* a device's name */
    TRACE_BLOCK_TRACK,      /* a thread */
    TRACE_BLOCK_BUFFER,
    TRACE_BLOCK_REGION, /* a device's ports or memory */
    TRACE_BLOCK_CLOCK,  /* the TSC and CLOCK_MONOTONIC at one moment */
    TRACE_BLOCK_RECORDS,
    TRACE_BLOCK_CODE,
    TRACE_BLOCK_SNAPSHOT, /* the records of a snapshot follow */
    TRACE_BLOCK_TOTALS,   /* of a buffer, at the end */
    TRACE_BLOCK_END,
};

struct trace_region {
    const char *name, *engine; /* engine: of memory; or "" */
    uint64_t base, len;
    char space; /* 'p' ports, 'm' memory */
};

/* ---- Writing ---- */

#define TRACE_CHUNK 256 /* records in a block, at most */

struct trace_totals;

struct trace_writer {
    int fd;
    int failure; /* negative errno of the first write that failed: nothing is written any more */
    char *path;
    uint8_t *block; /* the block in the making; `len` bytes */
    size_t len;
    const char **strings; /* id - 1 is the place */
    unsigned string_count, string_capacity;
};

void trace_writer_init(struct trace_writer *writer);
void trace_writer_fini(struct trace_writer *writer);

/* Makes or empties the file and writes what is known before the first record. */
int trace_writer_open(struct trace_writer *writer, const char *path, const struct trace_names *names,
                      struct vmm_error *error);
/* With the end of the file, where all went well. The first failure is the result. */
int trace_writer_close(struct trace_writer *writer, const char *why, struct vmm_error *error);

void trace_write_buffer(struct trace_writer *writer, unsigned buffer, const char *name, unsigned mode);
void trace_write_track(struct trace_writer *writer, unsigned track, int vcpu, const char *name);
void trace_write_region(struct trace_writer *writer, const struct trace_region *region);
void trace_write_clock(struct trace_writer *writer);
void trace_write_snapshot(struct trace_writer *writer, uint64_t number);
void trace_write_totals(struct trace_writer *writer, unsigned buffer, const struct trace_totals *totals);
/* At most TRACE_CHUNK records of a track and a buffer; `lost` of them are missing before the first. */
void trace_write_records(struct trace_writer *writer, unsigned track, unsigned buffer, uint64_t lost,
                         const struct trace_record *records, unsigned count);
void trace_write_code(struct trace_writer *writer, unsigned track, const struct trace_record *code);

/* ---- Reading ---- */

struct trace_item {
    struct trace_record record;
    uint64_t lost_before; /* records that are missing between the one before on this track and this one */
    uint16_t track;
    uint8_t buffer;
};

struct trace_track {
    char name[32];
    int vcpu; /* -1: no vCPU's */
};

struct trace_file_buffer {
    char name[32];
    unsigned mode;
    uint64_t recorded, written, lost; /* of an ended file */
};

#define TRACE_TRACK_LIMIT 4096

struct trace_file {
    struct trace_item *items; /* by time */
    size_t item_count;
    struct trace_track *tracks;
    unsigned track_count;
    struct trace_file_buffer buffers[256];
    unsigned buffer_count;
    struct trace_region *regions;
    unsigned region_count;
    struct trace_record *codes; /* TRACE_CODE, by rip */
    unsigned code_count;
    struct trace_names names;
    uint64_t first_ticks, first_ns; /* of the earliest clock */
    double ns_per_tick;
    uint64_t snapshot_count, trigger_count, lost;
    bool is_ended;    /* the writer ended it */
    char why[64];     /* why the run ended */
    char damage[160]; /* a sentence, where the file is cut off or damaged; else empty */
    struct trace_strings *strings;
};

/* -EINVAL for what is no trace at all or of another version; a damaged one, or one that changes meanwhile, is
 * read as far as it goes. The caller owns *file. */
int trace_file_open(const char *path, struct trace_file **file, struct vmm_error *error);
/* The same of bytes in memory. */
int trace_file_parse(const void *bytes, size_t len, struct trace_file **file, struct vmm_error *error);
void trace_file_destroy(struct trace_file *file);

/* Nanoseconds since the earliest clock of the file; of a number of ticks. */
double trace_file_ns(const struct trace_file *file, uint64_t time);
double trace_file_span_ns(const struct trace_file *file, uint64_t ticks);

/* The code at the rip of exits, or NULL. */
const struct trace_record *trace_file_code(const struct trace_file *file, uint64_t rip);

/* The region that holds the address, or NULL. */
const struct trace_region *trace_file_region(const struct trace_file *file, char space, uint64_t address);

/* CRC-32 of ISO 3309, going on from `crc` (0 at the start). */
uint32_t trace_crc(uint32_t crc, const uint8_t *bytes, size_t len);

#endif
