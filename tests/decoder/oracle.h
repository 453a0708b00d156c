/* SPDX-License-Identifier: MIT
 *
 * The processor as oracle: an instruction is laid against the end of an executable page whose neighbour
 * cannot be fetched, and single-stepped in a traced child that has nothing else mapped. A fault at the
 * neighbour says that more bytes are needed; SIGILL says #UD; anything else, a general protection or data
 * fault included, says that the instruction was decoded. Before each step all registers are set: to addresses
 * that are not mapped, and rax to no system call, so that nothing the instruction does has an effect.
 */
#ifndef TESTS_DECODER_ORACLE_H
#define TESTS_DECODER_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum oracle_answer {
    ORACLE_FETCH,     /* bytes are missing */
    ORACLE_UNDEFINED, /* #UD */
    ORACLE_DECODED,   /* it ran, or raised another fault */
    ORACLE_BROKEN,    /* the child is gone */
};

struct oracle {
    pid_t child;
    uint8_t *page; /* the child's code page, writable here */
    int mode;
};

/* Starts a child for 16, 32 or 64-bit code. Returns 0 or a negative errno: -ENOSYS, -EPERM, ... where the
 * kernel grants no such code segment. */
int oracle_open(struct oracle *oracle, int mode);
void oracle_close(struct oracle *oracle);

/* Steps bytes[0..count), which are all that can be fetched. */
enum oracle_answer oracle_probe(struct oracle *oracle, const uint8_t *bytes, size_t count);

#endif
