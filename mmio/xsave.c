/* SPDX-License-Identifier: MIT
 *
 * The XSAVE area as a data structure: layout from CPUID leaf 0xd, register access.
 */
#include "mmio/xsave.h"

#include <cpuid.h>

#include "base/bytes.h"

static uint64_t xcr0_read(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static uint32_t mxcsr_mask_read(void)
{
    _Alignas(16) uint8_t area[512] = {0};
    __asm__ volatile("fxsave %0" : "=m"(area));
    uint32_t mask = load_le32(area + XSAVE_MXCSR_MASK);
    return mask ? mask : 0xffbf;
}

void xsave_layout_host(struct xsave_layout *layout)
{
    unsigned a, b, c, d;
    *layout = (struct xsave_layout){0};
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return;
    layout->components = xcr0_read();
    layout->mxcsr_mask = mxcsr_mask_read();
    layout->len[0] = 160;
    layout->offset[1] = XSAVE_XMM;
    layout->len[1] = 256;
    __cpuid_count(0xd, 0, a, b, c, d);
    layout->len_standard = b;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        __cpuid_count(0xd, i, a, b, c, d);
        layout->len[i] = a;
        layout->offset[i] = c & 1 ? 0 : b; /* a supervisor component has no place in the standard form */
        layout->is_aligned |= (c >> 1 & 1) << i;
    }
}

void xsave_expand(uint8_t *area, const struct xsave_layout *layout, uint64_t components)
{
    uint64_t initial = components & layout->components & XSAVE_VECTOR_COMPONENTS &
                       ~load_le64(area + XSAVE_HEADER);
    if (!initial)
        return;
    /* XRSTOR loads MXCSR from memory whatever XSTATE_BV says, but only together with SSE or AVX. */
    if (initial & XCR0_X87) {
        memset(area, 0, XSAVE_MXCSR);
        memset(area + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
        store_le16(area + XSAVE_FCW, FCW_DEFAULT);
    }
    if (initial & XCR0_SSE)
        memset(area + XSAVE_XMM, 0, 256);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if (initial >> i & 1)
            memset(area + layout->offset[i], 0, layout->len[i]);
    store_le64(area + XSAVE_HEADER, load_le64(area + XSAVE_HEADER) | initial);
}

uint32_t xsave_compact_offset(const struct xsave_layout *layout, uint64_t xcomp_bv, unsigned index)
{
    uint32_t offset = XSAVE_EXTENDED;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        if (i == index || xcomp_bv >> i & 1) {
            if (layout->is_aligned >> i & 1)
                offset = (uint32_t)align_up(offset, 64);
            if (i == index)
                return offset;
            offset += layout->len[i];
        }
    }
    return offset;
}

/* The 16 bytes at `offset` of register `index`. */
static size_t vector_part(const struct xsave_layout *layout, unsigned index, unsigned offset)
{
    if (index >= 16)
        return layout->offset[7] + 64 * (index - 16) + offset;
    if (offset < 16)
        return XSAVE_XMM + 16 * index;
    if (offset < 32)
        return layout->offset[2] + 16 * index;
    return layout->offset[6] + 32 * index + offset - 32;
}

void xsave_vector_read(const uint8_t *area, const struct xsave_layout *layout, unsigned index, void *to,
                       unsigned len)
{
    for (unsigned done = 0; done < len; done += 16)
        memcpy((uint8_t *)to + done, area + vector_part(layout, index, done),
               len - done < 16 ? len - done : 16);
}

void xsave_vector_write(uint8_t *area, const struct xsave_layout *layout, unsigned index, const void *from,
                        unsigned len)
{
    for (unsigned done = 0; done < len; done += 16)
        memcpy(area + vector_part(layout, index, done), (const uint8_t *)from + done,
               len - done < 16 ? len - done : 16);
}

uint64_t xsave_mask_read(const uint8_t *area, const struct xsave_layout *layout, unsigned index)
{
    return load_le64(area + layout->offset[5] + 8 * index);
}

void xsave_mask_write(uint8_t *area, const struct xsave_layout *layout, unsigned index, uint64_t value)
{
    store_le64(area + layout->offset[5] + 8 * index, value);
}

unsigned xsave_x87_top(const uint8_t *area)
{
    return load_le16(area + XSAVE_FSW) >> 11 & 7;
}

void xsave_x87_rotate(uint8_t *area, unsigned top)
{
    uint8_t old[128];
    unsigned by = top - xsave_x87_top(area);
    memcpy(old, area + XSAVE_ST, sizeof(old));
    for (unsigned i = 0; i < 8; i++)
        memcpy(area + XSAVE_ST + 16 * i, old + 16 * ((i + by) & 7), 16);
    store_le16(area + XSAVE_FSW, (uint16_t)((load_le16(area + XSAVE_FSW) & ~0x3800u) | top << 11));
}

void xsave_x87_summarize(uint8_t *image)
{
    uint16_t fsw = load_le16(image + XSAVE_FSW);
    bool is_pending = fsw & ~load_le16(image + XSAVE_FCW) & 0x3f;
    fsw &= (uint16_t) ~(XSAVE_FSW_PENDING);
    store_le16(image + XSAVE_FSW, is_pending ? fsw | XSAVE_FSW_PENDING : fsw);
    store_le16(image + XSAVE_FOP, load_le16(image + XSAVE_FOP) & 0x7ff);
    store_le16(image + XSAVE_FCW, (load_le16(image + XSAVE_FCW) & 0x1f7f) | 0x40);
    image[XSAVE_FTW + 1] = 0;
    for (unsigned i = 0; i < 8; i++)
        memset(image + XSAVE_ST + 16 * i + 10, 0, 6);
}
