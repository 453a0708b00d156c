/* SPDX-License-Identifier: MIT
 *
 * How many bytes of code and tables a decoder takes in a program that links it.
 */
#ifndef BENCH_DECODER_SIZE_H
#define BENCH_DECODER_SIZE_H

#include <stdint.h>

/* Code and constant data (relocated constants too) of an ELF object or library, without unwind tables,
 * symbols and relocations; 0 where it cannot be read. */
uint64_t size_of_elf(const char *path);

/* The same of the members of an archive whose names contain one of `names` (NULL at the end). */
uint64_t size_of_archive(const char *path, const char *const *names);

#endif
