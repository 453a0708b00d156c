/* SPDX-License-Identifier: MIT
 *
 * What `vmm decode` shows of one instruction, as text or as a JSON object. Written straight to a stream: a
 * million lines build no trees.
 */
#ifndef VMM_CLI_DECODE_VIEW_H
#define VMM_CLI_DECODE_VIEW_H

#include <stdio.h>

#include "decoder/insn.h"

/* The members that follow "status":"ok", each behind a comma. */
void decode_view_json(FILE *out, const struct insn *insn);

/* Our view of the operands, a line each, indented. */
void decode_view_text(FILE *out, const struct insn *insn);

/* The instruction in Intel's syntax, for what Capstone does not know. */
void decode_view_syntax(FILE *out, const struct insn *insn);

#endif
