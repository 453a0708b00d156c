/* SPDX-License-Identifier: MIT
 *
 * The check that every near transfer of control makes on its target.
 */
#ifndef MMIO_BRANCH_H
#define MMIO_BRANCH_H

#include "mmio/access.h"

/* Cuts `target` to `size` bytes, checks it (canonical, CS limit: #GP(0)) and makes it the next rip. */
enum step_result branch_to(struct step_env *env, uint64_t target, unsigned size);

#endif
