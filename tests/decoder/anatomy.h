/* SPDX-License-Identifier: MIT
 *
 * The parts of an encoding that need no opcode tables: prefixes, escape, map, opcode, and the byte that would
 * be ModRM. Written apart from the decoder, so that disagreements can be put into classes whoever is wrong;
 * and the generator of random encodings.
 */
#ifndef TESTS_DECODER_ANATOMY_H
#define TESTS_DECODER_ANATOMY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum anatomy_encoding { ANATOMY_LEGACY, ANATOMY_VEX, ANATOMY_EVEX, ANATOMY_XOP };

struct anatomy {
    uint8_t encoding;
    uint8_t map;    /* legacy: 0 one byte, 1 0F, 2 0F38, 3 0F3A, 15 3DNow!; else the map field */
    uint8_t opcode; /* of 3DNow! the 0F: its opcode comes last */
    uint8_t modrm;  /* the byte after the opcode, whether or not it is one */
    uint8_t pp; /* mandatory prefix: 0 none, 1 66, 2 F3, 3 F2; legacy: F3 and F2 before 66, the last wins */
    uint8_t prefix_count;
    uint8_t segment;                         /* the last override, or 0 */
    uint8_t rex;                             /* a REX in force, or 0 */
    bool lock, rep, repne, operand, address; /* seen, in force or not */
    bool lost_rex;                           /* a REX that a later prefix cancelled */
    bool w;
    uint8_t l;          /* L or L'L */
    uint8_t vvvv;       /* not inverted, EVEX: 0 to 31 */
    uint8_t payload[3]; /* the VEX, XOP or EVEX bytes after the first */
    bool is_cut;        /* the bytes end before the ModRM byte */
};

void anatomy_read(struct anatomy *anatomy, const uint8_t *bytes, size_t len, int mode);

/* xorshift64*: the tests' own generator, the same everywhere. */
uint64_t random_next(uint64_t *state);

/* Fills all of bytes[0..16) with an encoding for `mode`, legal or not, built by the grammar; what follows the
 * instruction is random. */
void random_encoding(uint64_t *state, int mode, uint8_t bytes[16]);

#endif
