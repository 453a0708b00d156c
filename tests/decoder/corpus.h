/* SPDX-License-Identifier: MIT
 *
 * The executable sections of ELF files, as bytes: what whole-binary tests and benchmarks decode.
 */
#ifndef TESTS_DECODER_CORPUS_H
#define TESTS_DECODER_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#define CORPUS_SECTIONS_MAX 32

struct corpus_file {
    uint8_t *map;
    size_t map_bytes;
    unsigned count;
    struct {
        const uint8_t *bytes;
        size_t len;
        char name[24];
    } sections[CORPUS_SECTIONS_MAX];
};

/* 0, or a negative errno (-ENOEXEC: no 64-bit x86 ELF file). */
int corpus_open(struct corpus_file *file, const char *path);
void corpus_close(struct corpus_file *file);

/* The files that the tests look for: Debian's packages in their usual places, NULL at the end. Where a name
 * is missing, the test goes on without it and says so. */
extern const char *const corpus_paths[];

#endif
