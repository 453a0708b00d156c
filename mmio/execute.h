/* SPDX-License-Identifier: MIT
 *
 * The parts of one instruction's execution, for step.c, which does them once, and run.c, which does them over
 * and over.
 */
#ifndef MMIO_EXECUTE_H
#define MMIO_EXECUTE_H

#include "mmio/env.h"

/* fetch.c. Fetches and decodes: env->insn, env->next_rip, the outcome's bytes. */
enum step_result execute_fetch(struct step_env *env, const uint8_t *hint, unsigned hint_len);

/* What execute_fetch decodes as. */
struct insn_mode execute_mode(const struct step_env *env);

/* Executes env->insn. */
enum step_result execute_insn(struct step_env *env);

/* The same of an instruction of which execute_is_quick, asked once, has said that none of the checks in front
 * of its execution applies; `memory` is the explicit memory operand, or -1. */
bool execute_is_quick(const struct step_env *env, int8_t *memory);
enum step_result execute_quick(struct step_env *env, int memory);

/* After success: rip, RF, the shadow, and the #DB traps of TF (as it was before) and of data breakpoints. */
enum step_result execute_retire(struct step_env *env, enum step_result result, bool single_step);

/* Whether the instruction has no effect but on general registers, status flags and memory, and on where the
 * guest goes on. */
bool execute_is_plain(const struct step_env *env);

#endif
