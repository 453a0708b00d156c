/* SPDX-License-Identifier: MIT
 *
 * Random programs of the instructions that have a short way (mmio/quick.h), of some that have none, and of
 * what their bytes make when a jump goes into the middle of one.
 */
#ifndef TESTS_MMIO_QUICK_PROGRAM_H
#define TESTS_MMIO_QUICK_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

struct program {
    uint8_t bytes[640];
    unsigned len;
    bool is_64bit, has_logic; /* AF is undefined behind AND, OR, XOR and TEST */
};

void make_program(struct program *program, bool is_64bit);

/* 0 to limit - 1. */
unsigned random_below(unsigned limit);

#endif
