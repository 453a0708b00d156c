/* SPDX-License-Identifier: MIT
 *
 * The cross-check: the same bytes to our decoder, to Zydis and to Capstone, and every disagreement put into a
 * class that says who is right and why (classes.c). A disagreement without a class is a failure.
 */
#ifndef TESTS_DECODER_CROSSCHECK_H
#define TESTS_DECODER_CROSSCHECK_H

#include "tests/decoder/anatomy.h"
#include "tests/decoder/view.h"

#include <stdio.h>

struct sample {
    const uint8_t *bytes;
    size_t len;
    int mode;
    enum view_vendor vendor;
    struct anatomy anatomy;
    struct view ours;
    struct view rivals[RIVAL_COUNT];
};

#define ON_ZYDIS    (1u << RIVAL_ZYDIS)
#define ON_CAPSTONE (1u << RIVAL_CAPSTONE)
#define ON_BOTH     (ON_ZYDIS | ON_CAPSTONE)

enum right { RIGHT_OURS, RIGHT_RIVAL, RIGHT_EITHER };

/* A known disagreement: of `fields`, with `rivals`, where `applies` (given the sample) is true. With
 * `needs_other` only where the other library gives our answer in those fields: two of three, and the manual
 * is with them. */
struct known_class {
    const char *name;
    unsigned rivals; /* a bit for each enum rival */
    unsigned fields;
    enum right right;
    bool needs_other;
    bool (*applies)(const struct sample *sample);
    const char *why;
};
extern const struct known_class known_classes[];
extern const unsigned known_class_count;

#define CROSSCHECK_CLASSES_MAX 160
#define CROSSCHECK_BUCKETS     8192

struct crosscheck {
    uint64_t compared;
    uint64_t agreed[RIVAL_COUNT];
    uint64_t unexplained;
    uint64_t valid; /* of those compared, by us */
    uint64_t by_class[CROSSCHECK_CLASSES_MAX][RIVAL_COUNT];
    /* Unexplained ones that look alike, with one example each. */
    struct bucket {
        uint64_t key;
        uint64_t count;
        uint8_t bytes[16];
        uint8_t len;
        uint8_t mode;
        uint8_t vendor;
        uint8_t rival;
        uint32_t fields;
    } buckets[CROSSCHECK_BUCKETS];
};

/* Compares the first instruction of bytes[0..len), at most 15 of them. Returns our length, or 0 when invalid.
 */
unsigned crosscheck_bytes(struct crosscheck *check, const uint8_t *bytes, size_t len, int mode,
                          enum view_vendor vendor);

/* Prints the counts by class, and examples of what no class explains. Returns the number of the latter. */
uint64_t crosscheck_report(struct crosscheck *check, FILE *out);

#endif
