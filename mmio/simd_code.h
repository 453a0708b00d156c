/* SPDX-License-Identifier: MIT
 *
 * Where the instructions that are run on this CPU for the guest live: a cache of our own encodings of them,
 * and what of the instruction set host and guest both have. No page is ever writable and executable: the code
 * is written through one mapping and executed through another.
 *
 * One for each vCPU, created before the vCPU's thread gives up making executable mappings. Threads: the
 * vCPU's own.
 */
#ifndef MMIO_SIMD_CODE_H
#define MMIO_SIMD_CODE_H

#include "base/error.h"
#include "decoder/insn.h"
#include "mmio/xsave.h"

/* One run. The assembly in simd_enter.S knows the offsets. */
struct simd_frame {
    const void *code;
    uint8_t *xsave;      /* 64-byte aligned, standard form */
    uint64_t components; /* loaded before and stored after */
    uint64_t flags;      /* EFLAGS in and out */
    uint64_t gpr[16];    /* in and out; rsp is not loaded */
    uint32_t host_mxcsr;
    uint16_t host_fcw;
    uint32_t mxcsr;            /* out: as the instruction left it */
    uint32_t unmasked;         /* when MXCSR ends with one of these flags, nothing is stored into `xsave` */
    uint32_t has_avx, has_x87; /* which of the host's registers have to be cleaned up */
};

/* An extension is an enum insn_isa, or this one: AVX-512 in vectors shorter than 512 bits, which has no
 * instructions of its own. */
#define SIMD_ISA_VL    INSN_ISA_COUNT
#define SIMD_ISA_COUNT (INSN_ISA_COUNT + 1)

/* Runs frame->code and comes back. GPRs and flags are stored in any case. */
void simd_enter(struct simd_frame *frame);

struct simd_code;

int simd_code_create(struct simd_code **code, struct vmm_error *error);
void simd_code_destroy(struct simd_code *code);

const struct xsave_layout *simd_code_layout(const struct simd_code *code);

/* Whether this CPU and its kernel can run instructions of `isa`. Cheap. */
bool simd_host_has(const struct simd_code *code, unsigned isa);

/* Where CPUID says that a processor has `isa`. */
struct isa_cpuid {
    uint32_t leaf;
    uint8_t subleaf, reg, bit; /* reg: 0 eax, 1 ebx, 2 ecx, 3 edx */
    bool is_known;             /* false: not on the list, never run natively */
};
struct isa_cpuid isa_cpuid(unsigned isa);
enum insn_class isa_class(unsigned isa);

/* What the guest's CPUID says of `isa`, remembered after the first question: 1 yes, 0 no, -1 not asked. */
int simd_guest_has(const struct simd_code *code, unsigned isa);
void simd_guest_set(struct simd_code *code, unsigned isa, bool has);

/* Executable code: `bytes` (len 1 to 15) and a RET. Valid until the next call. */
const void *simd_code_get(struct simd_code *code, const uint8_t *bytes, size_t len);

#endif
