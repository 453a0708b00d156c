/* SPDX-License-Identifier: MIT
 *
 * Ports as an instruction sees them: the permission check, then the bus.
 */
#ifndef MMIO_PORT_H
#define MMIO_PORT_H

#include "mmio/access.h"

/* CPL against IOPL, and else the bitmap of the TSS: #GP(0). STEP_UNSUPPORTED for a port of the kernel's. */
enum step_result port_check(struct step_env *env, unsigned port, unsigned size);

uint64_t port_read(struct step_env *env, unsigned port, unsigned size);
void port_write(struct step_env *env, unsigned port, unsigned size, uint64_t value);

#endif
