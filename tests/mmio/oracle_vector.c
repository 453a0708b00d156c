/* SPDX-License-Identifier: MIT
 *
 * Random x87 and vector state: numbers of all kinds (denormals, infinities, both NaNs), any rounding and
 * masking, and where an instruction takes addresses or masks from a vector, ones that it can use.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/mmio/oracle.h"

static const struct xsave_layout *host_layout(void)
{
    static struct xsave_layout layout;
    if (!layout.components)
        xsave_layout_host(&layout);
    return &layout;
}

static uint64_t random_double(void)
{
    static const uint64_t special[] = {
        0,
        1ull << 63,
        0x7ff0000000000000, /* infinity */
        0xfff0000000000000,
        0x7ff8000000000001, /* quiet */
        0x7ff0000000000001, /* signalling */
        0x0000000000000001, /* denormal */
        0x800fffffffffffff,
        0x0010000000000000, /* smallest normal */
        0x7fefffffffffffff, /* largest */
        0x3ff0000000000000, /* 1 */
        0xbff8000000000000, /* -1.5 */
        0x41dfffffffc00000, /* INT32_MAX */
        0x43e0000000000000, /* 2^63 */
        0x380fffffffffffff, /* tiny as a float */
    };
    unsigned kind = oracle_below(4);
    if (kind == 0)
        return special[oracle_below(ARRAY_COUNT(special))];
    if (kind == 1) /* around 1 */
        return (0x3f0ull + oracle_below(32)) << 52 | oracle_random() >> 12;
    return oracle_random();
}

static uint32_t random_float(void)
{
    static const uint32_t special[] = {
        0,          0x80000000, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 1,
        0x807fffff, 0x00800000, 0x7f7fffff, 0x3f800000, 0xbfc00000, 0x4effffff, 0x5f000000,
    };
    unsigned kind = oracle_below(4);
    if (kind == 0)
        return special[oracle_below(ARRAY_COUNT(special))];
    if (kind == 1)
        return (0x70u + oracle_below(32)) << 23 | ((uint32_t)oracle_random() & 0x7fffff);
    return (uint32_t)oracle_random();
}

void oracle_random_numbers(uint8_t *to, size_t len)
{
    unsigned kind = oracle_below(3);
    for (size_t at = 0; at + 8 <= len; at += 8) {
        if (kind == 0)
            store_le64(to + at, random_double());
        else if (kind == 1)
            store_le64(to + at, (uint64_t)random_float() << 32 | random_float());
        else
            store_le64(to + at, oracle_random());
    }
}

static void random_extended(uint8_t *st)
{
    static const uint16_t exponents[] = {0,      0x8000, 0x7fff, 0xffff, 1,     0x7ffe,
                                         0x3fff, 0xbffe, 0x403e, 0x3c00, 0x43ff};
    uint64_t significand = oracle_random();
    uint16_t exponent = exponents[oracle_below(ARRAY_COUNT(exponents))];
    unsigned kind = oracle_below(8);
    if (kind >= 4)
        exponent = (uint16_t)(0x3fe0 + oracle_below(64) + (oracle_below(2) << 15));
    if (kind != 0 && (exponent & 0x7fff)) /* else perhaps an unnormal */
        significand |= 1ull << 63;
    if (kind == 1)
        significand = (exponent & 0x7fff) ? 1ull << 63 : 0;
    if (kind == 2)
        significand &= ~0ull << oracle_below(64);
    store_le64(st, significand);
    store_le16(st + 8, exponent);
}

static void random_x87(uint8_t *xsave)
{
    unsigned fcw = oracle_below(2) ? 0x37f : 0x40 | (oracle_random() & 0xf3f);
    unsigned fsw = (oracle_below(8) << 11) | (oracle_random() & 0x4740);
    if (oracle_below(4) == 0)
        fsw |= oracle_random() & 0x3f;
    store_le16(xsave + XSAVE_FCW, (uint16_t)fcw);
    store_le16(xsave + XSAVE_FSW, (uint16_t)fsw);
    xsave[XSAVE_FTW] = oracle_below(2) ? 0xff : (uint8_t)oracle_random();
    for (unsigned i = 0; i < 8; i++)
        random_extended(xsave + XSAVE_ST + 16 * i);
    xsave_x87_summarize(xsave);
    /* AMD's processors save the pointers only while an exception is pending, unless their hypervisor says
     * otherwise: nothing can be said of others. */
    if (!(load_le16(xsave + XSAVE_FSW) & XSAVE_FSW_PENDING))
        return;
    store_le16(xsave + XSAVE_FOP, oracle_random() & 0x7ff);
    store_le64(xsave + XSAVE_FIP, (uint32_t)oracle_random());
    store_le64(xsave + XSAVE_FDP, (uint32_t)oracle_random());
}

static uint32_t random_mxcsr(void)
{
    if (oracle_below(2))
        return MXCSR_DEFAULT;
    uint32_t mxcsr = (uint32_t)oracle_random() & 0xffff;
    return oracle_below(2) ? mxcsr | 0x1f80 : mxcsr;
}

static void random_masks(uint8_t *xsave)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mask = oracle_random();
        unsigned kind = oracle_below(5);
        mask = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : kind == 2 ? mask & oracle_random() & 0xff : mask;
        xsave_mask_write(xsave, host_layout(), i, mask);
    }
}

/* Indexes that stay on the data pages, mostly. */
static void place_indexes(uint8_t *xsave, const struct oracle_case *made)
{
    uint8_t bytes[64];
    unsigned wide = made->insn.opcode & 1 ? 8 : 4;
    bool is_low = made->insn.base < 16 && made->in.gpr[made->insn.base] <= UINT32_MAX;
    unsigned scale = made->insn.scale ? made->insn.scale : 1;
    for (unsigned at = 0; at < sizeof(bytes); at += wide) {
        int64_t index = ((int)oracle_below(256) - 128) / (int)scale;
        if (is_low && oracle_below(64) == 0)
            index = (int)oracle_below(4096) - 2048;
        store_le(bytes + at, (uint64_t)index, wide);
    }
    unsigned len = host_layout()->components & XCR0_ZMM_HIGH ? 64 : 32;
    xsave_vector_write(xsave, host_layout(), made->insn.index, bytes, len);
}

/* Header of an area to restore from: mostly one that is accepted, in both forms. */
static void make_header(uint8_t *area)
{
    uint64_t components = host_layout()->components & XSAVE_VECTOR_COMPONENTS;
    uint64_t present = components & oracle_random(), packed = 0;
    memset(area + XSAVE_HEADER, 0, 64);
    if (oracle_below(2))
        packed = XSAVE_COMPACTED | present | (components & oracle_random());
    if (oracle_below(16) == 0)
        area[XSAVE_HEADER + oracle_below(64)] = 1;
    store_le64(area + XSAVE_HEADER, present);
    store_le64(area + XSAVE_XCOMP_BV, packed);
}

unsigned oracle_area_make(uint8_t *area)
{
    unsigned len = host_layout()->len_standard;
    for (unsigned at = 0; at < len; at += 32)
        oracle_random_numbers(area + at, 32);
    random_x87(area);
    area[XSAVE_FTW + 1] = 0;
    store_le32(area + XSAVE_MXCSR, random_mxcsr());
    store_le32(area + XSAVE_MXCSR_MASK, host_layout()->mxcsr_mask);
    store_le64(area + XSAVE_FIP, 0);
    store_le64(area + XSAVE_FDP, 0);
    make_header(area);
    return len;
}

void oracle_vector_make(uint8_t *xsave, struct oracle_case *made)
{
    const struct xsave_layout *layout = host_layout();
    memset(xsave, 0, layout->len_standard);
    store_le64(xsave + XSAVE_HEADER, layout->components & XSAVE_VECTOR_COMPONENTS);
    random_x87(xsave);
    store_le32(xsave + XSAVE_MXCSR, random_mxcsr());
    store_le32(xsave + XSAVE_MXCSR_MASK, layout->mxcsr_mask);
    for (unsigned i = 0; i < 16; i++)
        oracle_random_numbers(xsave + XSAVE_XMM + 16 * i, 16);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if ((layout->components & XSAVE_VECTOR_COMPONENTS) >> i & 1)
            for (unsigned at = 0; at < layout->len[i]; at += 32)
                oracle_random_numbers(xsave + layout->offset[i] + at, 32);
    if (layout->components & XCR0_OPMASK)
        random_masks(xsave);
    if (made->insn.attributes & INSN_VSIB)
        place_indexes(xsave, made);
}
