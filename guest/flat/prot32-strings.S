/* SPDX-License-Identifier: MIT
 *
 * guest/flat/strings.inc with 32-bit addresses.
 */
#include "guest/flat/flat.inc"

#define SI %esi
#define DI %edi
#define CX %ecx

START32
#include "guest/flat/strings.inc"
