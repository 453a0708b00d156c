/* SPDX-License-Identifier: MIT
 *
 * The decoder. Nothing is decoded yet: every answer is INSN_INVALID.
 */
#include "decoder/insn.h"

#include <string.h>

enum insn_status insn_decode(const uint8_t *bytes, size_t len, struct insn_mode mode, struct insn *insn)
{
    (void)bytes;
    (void)mode;
    memset(insn, 0, sizeof(*insn));
    return len ? INSN_INVALID : INSN_NEED_BYTES;
}
