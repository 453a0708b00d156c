/* SPDX-License-Identifier: MIT
 *
 * The tables that decoder/make writes when the project is built.
 */
#include "decoder/decode.h"

#include "decoder/tables.inc"
