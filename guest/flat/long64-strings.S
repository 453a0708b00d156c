/* SPDX-License-Identifier: MIT
 *
 * guest/flat/strings.inc with 64-bit addresses.
 */
#include "guest/flat/flat.inc"

#define SI %rsi
#define DI %rdi
#define CX %rcx

START64
#include "guest/flat/strings.inc"
