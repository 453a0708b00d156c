/* SPDX-License-Identifier: MIT
 *
 * The XSAVE area: where each state component lies, in the standard and in the compacted form (SDM 1, chapter
 * 13), and the XMM, YMM, ZMM, MMX, x87 and mask registers in one. The layout is the host's, which KVM gives
 * the guest as well. Nothing here knows of instructions or memory.
 *
 * Threads: any; the area is the caller's.
 */
#ifndef MMIO_XSAVE_H
#define MMIO_XSAVE_H

#include "base/types.h"

/*
 *      0  FCW FSW FTW - FOP  FIP  FDP  MXCSR MXCSR_MASK
 *     32  ST0 ... ST7, 16 bytes each of which 10 count; MMX is their low 8 bytes
 *    160  XMM0 ... XMM15
 *    416  (free, 464 to 511 for software)
 *    512  XSTATE_BV  XCOMP_BV  zeroes                     the header
 *    576  the components from 2 on: at offset[], or packed where XCOMP_BV has bit 63
 */
#define XSAVE_FCW        0
#define XSAVE_FSW        2
#define XSAVE_FTW        4
#define XSAVE_FOP        6
#define XSAVE_FIP        8
#define XSAVE_FDP        16
#define XSAVE_MXCSR      24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_ST         32
#define XSAVE_XMM        160
#define XSAVE_HEADER     512
#define XSAVE_XCOMP_BV   520
#define XSAVE_EXTENDED   576
#define XSAVE_COMPACTED  (1ull << 63)

#define XSAVE_COMPONENTS        20u
#define XSAVE_IMAGE_MAX         (12 * KIB) /* with the tiles of AMX 10 752 bytes */
#define XCR0_X87                0x01u
#define XCR0_SSE                0x02u
#define XCR0_AVX                0x04u
#define XCR0_OPMASK             0x20u
#define XCR0_ZMM_HIGH           0x40u
#define XCR0_ZMM16              0x80u
#define XCR0_PKRU               0x200u
#define XCR0_AVX512             (XCR0_OPMASK | XCR0_ZMM_HIGH | XCR0_ZMM16)
/* What instructions executed in software read and write. */
#define XSAVE_VECTOR_COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

#define XSAVE_FSW_PENDING 0x8080u /* ES and B */
#define MXCSR_DEFAULT     0x1f80u
#define FCW_DEFAULT       0x037fu

struct xsave_layout {
    uint64_t components; /* of XCR0 that this host knows and its kernel has enabled; 0 without XSAVE */
    uint32_t len_standard;
    uint32_t mxcsr_mask; /* the bits of MXCSR that may be set */
    uint32_t offset[XSAVE_COMPONENTS], len[XSAVE_COMPONENTS];
    uint32_t is_aligned; /* a bit for each component that begins at a multiple of 64 when compacted */
};

void xsave_layout_host(struct xsave_layout *layout);

/* Writes the initial state over every component of the vector ones that XSTATE_BV says is initial, and sets
 * their bits: from then on the area can be read and written as it stands. */
void xsave_expand(uint8_t *area, const struct xsave_layout *layout, uint64_t components);

/* Where component `index` begins in a compacted area with this XCOMP_BV; that of bit 63 is the whole length.
 */
uint32_t xsave_compact_offset(const struct xsave_layout *layout, uint64_t xcomp_bv, unsigned index);

/* Register `index` (0 to 31), its low `len` bytes: 16, 32 or 64, or fewer than 16. A write leaves the rest of
 * the register alone. Expanded areas only. */
void xsave_vector_read(const uint8_t *area, const struct xsave_layout *layout, unsigned index, void *to,
                       unsigned len);
void xsave_vector_write(uint8_t *area, const struct xsave_layout *layout, unsigned index, const void *from,
                        unsigned len);
uint64_t xsave_mask_read(const uint8_t *area, const struct xsave_layout *layout, unsigned index);
void xsave_mask_write(uint8_t *area, const struct xsave_layout *layout, unsigned index, uint64_t value);

/* The x87 unit of an expanded area. The area holds ST0 to ST7; what stays where it is when TOP moves are the
 * physical registers, so a new TOP rotates them. */
unsigned xsave_x87_top(const uint8_t *area);
void xsave_x87_rotate(uint8_t *area, unsigned top);

/* After control, status or tags were loaded: fixed bits, and ES and B by whether an exception is pending. */
void xsave_x87_summarize(uint8_t *area);

#endif
