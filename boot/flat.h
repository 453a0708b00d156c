/* SPDX-License-Identifier: MIT
 *
 * Flat images: plain code without any header, entered at its first byte in the mode that the user names.
 */
#ifndef BOOT_FLAT_H
#define BOOT_FLAT_H

#include "boot/loader.h"

/* config->protocol is one of the flat ones. */
int flat_load(struct loader *loader);

#endif
