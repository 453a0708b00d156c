/* SPDX-License-Identifier: MIT
 *
 * Everything that `struct insn` says, as one line: what golden vectors are written in.
 */
#ifndef TESTS_DECODER_TEXT_H
#define TESTS_DECODER_TEXT_H

#include "decoder/insn.h"

#include <stddef.h>

/* Returns buffer. */
char *insn_text(const struct insn *insn, char *buffer, size_t size);

/* "64", "32 real", "64 amd apx": a mode as golden vectors spell it. False when it is none. */
bool mode_parse(const char *text, struct insn_mode *mode);
char *mode_text(struct insn_mode mode, char *buffer, size_t size);

/* Hex digits to bytes; returns how many, 0 when they are none. */
size_t hex_parse(const char *hex, uint8_t *bytes, size_t size);

#endif
