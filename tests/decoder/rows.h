/* SPDX-License-Identifier: MIT
 *
 * Which opcode rows an instruction may come from: the decoder's build writes all rows, with the values of
 * each property that they accept, into rows.inc.
 */
#ifndef TESTS_DECODER_ROWS_H
#define TESTS_DECODER_ROWS_H

#include "decoder/insn.h"

#include <stdbool.h>

struct row {
    const char *text, *mnemonic;
    unsigned space, opcode; /* enum space_id of decoder/layout.h */
    /* Sets of values, a bit for each: what the row accepts. */
    unsigned prefix, reg, mod, rm, w, length, long_mode, size, address, rex_b, amd, nd;
    unsigned features_on, features_off; /* bits of enum insn_feature that may be set, that may be clear */
};
extern const struct row rows[];
extern const unsigned row_count;

/* True where `insn`, decoded from bytes[0..15) in `mode`, can be one of the row's. */
bool row_matches(const struct row *row, const struct insn *insn, const uint8_t *bytes, struct insn_mode mode);

#endif
