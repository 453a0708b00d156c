/* SPDX-License-Identifier: MIT
 *
 * The stack as instructions use it: slots that are prepared one by one against a pointer of their own, and
 * only then written; rSP changes last.
 */
#ifndef MMIO_STACK_H
#define MMIO_STACK_H

#include "mmio/access.h"

/* The width of the stack pointer by SS (8 in 64-bit mode), and its value cut to it. */
unsigned stack_pointer_size(const struct step_env *env);
uint64_t stack_pointer(const struct step_env *env);

/* Writes rSP in its width: a 16-bit one keeps the upper bits. */
void stack_pointer_set(struct step_env *env, uint64_t value);

/* Prepares `size` bytes at offset `pointer` of SS, cut to the pointer's width. */
enum step_result stack_prepare(struct step_env *env, uint64_t pointer, unsigned size, unsigned flags,
                               struct access *access);

/* All of it: below rSP, and from it. */
enum step_result stack_push(struct step_env *env, unsigned size, uint64_t value);
enum step_result stack_pop(struct step_env *env, unsigned size, uint64_t *value);

#endif
