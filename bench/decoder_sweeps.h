/* SPDX-License-Identifier: MIT
 *
 * The decoders that `bench_decoder` compares, each behind the same two functions. A sweep decodes linearly
 * with all operands, goes on a byte further where there is no instruction, and adds what it found to a
 * checksum, so that no work can be left out.
 */
#ifndef BENCH_DECODER_SWEEPS_H
#define BENCH_DECODER_SWEEPS_H

#include <stddef.h>
#include <stdint.h>

struct sweep_result {
    uint64_t instructions;
    uint64_t checksum;
};

struct sweep_decoder {
    const char *name;
    const char *symbols; /* the library's functions that `sweep` calls: what callgrind counts */
    struct sweep_result (*sweep)(const uint8_t *bytes, size_t len);
    unsigned (*once)(const uint8_t *bytes, size_t len); /* one instruction: a number that depends on it */
};
extern const struct sweep_decoder sweep_decoders[];
extern const unsigned sweep_decoder_count;

/* Prepares the libraries' handles. */
void sweep_init(void);

#endif
