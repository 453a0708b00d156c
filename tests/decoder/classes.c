/* SPDX-License-Identifier: MIT
 *
 * What is known about where Zydis 4.0.0 and Capstone 4.0.2 differ from us, with who is right and why.
 */
#include "tests/decoder/crosscheck.h"

static bool never(const struct sample *sample)
{
    (void)sample;
    return false;
}

const struct known_class known_classes[] = {
    {"placeholder", RIVAL_ZYDIS, 0, RIGHT_OURS, never, ""},
};
const unsigned known_class_count = sizeof(known_classes) / sizeof(known_classes[0]);
