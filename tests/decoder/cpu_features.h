/* SPDX-License-Identifier: MIT
 *
 * What this processor's CPUID says about the extensions of decoder/isa.def.
 */
#ifndef TESTS_DECODER_CPU_FEATURES_H
#define TESTS_DECODER_CPU_FEATURES_H

#include "decoder/insn.h"

#include <stdbool.h>

enum cpu_answer {
    CPU_HAS,
    CPU_LACKS,  /* #UD is to be expected (a hypervisor may hide what the processor still does) */
    CPU_UNSURE, /* depends on a mode that a user process does not see: VMX, SVM, CET, ... */
};
enum cpu_answer cpu_has(enum insn_isa isa);

/* INSN_INTEL or INSN_AMD (Hygon too): whose rules this processor follows. */
enum insn_vendor cpu_vendor(void);

/* The brand, for reports. */
const char *cpu_name(void);

#endif
