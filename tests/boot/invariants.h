/* SPDX-License-Identifier: MIT
 *
 * What holds after every load that succeeds, whatever the image was: for the fuzz targets and for the test
 * that varies every byte.
 */
#ifndef TESTS_BOOT_INVARIANTS_H
#define TESTS_BOOT_INVARIANTS_H

#include "boot/boot.h"

/* NULL, or the sentence that does not hold. */
const char *boot_invariant_broken(const struct boot_image *image, const struct boot_config *config,
                                  const struct guest_memory *memory, const struct boot_state *state);

#endif
