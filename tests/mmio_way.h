/* SPDX-License-Identifier: MIT
 *
 * The way in which the tests' machines do memory-mapped I/O: VMM_TEST_MMIO=trap lets the emulator have every
 * access to a device, with run-ahead behind it; trap-step the same, an instruction at a time. Unset: as a
 * test says. What a guest sees is the same, so the nested lane runs every machine test in all three. Those of
 * whole guests run in a fourth: ring0, all but ring 3 in software.
 */
#ifndef TESTS_MMIO_WAY_H
#define TESTS_MMIO_WAY_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "include/libvmm.h"

static inline const char *test_mmio_way(void)
{
    const char *way = getenv("VMM_TEST_MMIO");
    return way ? way : "";
}

static inline bool test_steps_alone(void)
{
    return strcmp(test_mmio_way(), "trap-step") == 0;
}

static inline bool test_runs_ring0(void)
{
    return strcmp(test_mmio_way(), "ring0") == 0;
}

/* What a test has chosen itself stays. */
static inline struct vmm_config test_mmio_config(struct vmm_config config)
{
    if (test_runs_ring0())
        config.ring0_engine = VMM_RING0_SOFTWARE;
    else if (*test_mmio_way() && config.mmio_engine == VMM_MMIO_AUTO)
        config.mmio_engine = VMM_MMIO_TRAP;
    config.no_run_ahead |= test_steps_alone();
    return config;
}

#endif
