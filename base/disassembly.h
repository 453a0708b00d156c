/* SPDX-License-Identifier: MIT
 *
 * The text of an instruction: Capstone's job. A dynamically linked program loads Capstone when the first text
 * is wanted, since its relocations would cost every start a millisecond; a static one has it linked in.
 *
 * Threads: any.
 */
#ifndef BASE_DISASSEMBLY_H
#define BASE_DISASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One instruction of `mode` 16, 32 or 64 at the start of the bytes, Intel syntax. Returns its length, or 0
 * with "(bad)" as text where Capstone knows none, or with a text that says so where there is no Capstone. */
size_t disassemble(unsigned mode, const uint8_t *bytes, size_t len, uint64_t address, char *text,
                   size_t text_bytes);

/* Whether there is a Capstone to ask. */
bool disassembly_available(void);

#endif
