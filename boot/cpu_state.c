/* SPDX-License-Identifier: MIT
 *
 * A segment is described once, as the processor holds it, and its GDT entry is made from that. So a guest
 * that loads a selector again gets what it had.
 */
#include "boot/cpu_state.h"

#include "base/x86.h"

#define TYPE_DATA     3  /* read, write, accessed */
#define TYPE_CODE     11 /* read, execute, accessed */
#define TYPE_LDT      2
#define TYPE_TSS_BUSY 11

#define PTE_PRESENT_WRITE 3
#define PTE_LARGE         (1u << 7)

struct gdt_layout {
    uint16_t code32, data, code64;
};

static const struct gdt_layout layouts[] = {
    [SELECTORS_OWN] = {.code32 = 0x08, .data = 0x10, .code64 = 0x18},
    [SELECTORS_LINUX] = {.code32 = 0x10, .data = 0x18, .code64 = 0x10},
};

static struct boot_segment flat_segment(uint16_t selector, uint8_t type, bool is_code64)
{
    return (struct boot_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = true,
        .code_or_data = true,
        .size32 = !is_code64,
        .long_mode = is_code64,
        .granular = true,
    };
}

static struct boot_segment real_segment(uint16_t selector, uint8_t type)
{
    return (struct boot_segment){
        .base = (uint64_t)selector << 4,
        .limit = 0xffff,
        .selector = selector,
        .type = type,
        .present = true,
        .code_or_data = true,
    };
}

static struct boot_segment system_segment(uint16_t selector, uint8_t type, uint32_t limit)
{
    return (struct boot_segment){.limit = limit, .selector = selector, .type = type, .present = true};
}

/* SDM 3A 3.4.5. Bases are 0 in every GDT here, but the format is the format. */
static uint64_t descriptor(const struct boot_segment *segment)
{
    uint64_t limit = segment->granular ? segment->limit >> 12 : segment->limit;
    uint64_t access = segment->type | segment->code_or_data << 4 | segment->dpl << 5 | segment->present << 7;
    uint64_t flags = segment->long_mode << 1 | segment->size32 << 2 | segment->granular << 3;
    return (limit & 0xffff) | (segment->base & 0xffffff) << 16 | access << 40 | (limit >> 16) << 48 |
           flags << 52 | (segment->base >> 24 & 0xff) << 56;
}

/* The code segment in use is the last to be written: it wins where both kinds have one selector. */
static void put_gdt(struct boot_state *state, struct boot_tables *tables, const struct gdt_layout *layout)
{
    struct boot_segment code32 = flat_segment(layout->code32, TYPE_CODE, false);
    struct boot_segment code64 = flat_segment(layout->code64, TYPE_CODE, true);
    uint64_t *gdt = tables_take(tables, GDT_BYTES, &state->gdt.base);
    gdt[layout->code32 / 8] = descriptor(&code32);
    gdt[layout->code64 / 8] = descriptor(&code64);
    gdt[state->cs.selector / 8] = descriptor(&state->cs);
    gdt[layout->data / 8] = descriptor(&state->ds);
    gdt[SELECTOR_TSS / 8] = descriptor(&state->tr);
    state->gdt.limit = GDT_BYTES - 1;
}

/* The segments, TSS and GDT of both protected modes. The stack is as if a C function had just been
 * called, so that an image may begin with one. */
static void set_protected(struct boot_state *state, struct boot_tables *tables, unsigned word_bytes,
                          enum selectors selectors)
{
    const struct gdt_layout *layout = &layouts[selectors];
    bool is_code64 = word_bytes == 8;
    state->cs = flat_segment(is_code64 ? layout->code64 : layout->code32, TYPE_CODE, is_code64);
    state->ds = state->es = state->fs = state->gs = state->ss = flat_segment(layout->data, TYPE_DATA, false);
    state->tr = system_segment(SELECTOR_TSS, TYPE_TSS_BUSY, 0x67);
    state->ldt = (struct boot_segment){.type = TYPE_LDT};
    state->rflags = FLAG_FIXED;
    state->rsp = tables->stack_gpa - word_bytes;
    put_gdt(state, tables, layout);
}

void state_real16(struct boot_state *state, gpa_t entry)
{
    /* Code that is linked to its address runs with bases of 0; what lies beyond 64 KiB needs a segment. */
    uint16_t selector = entry > 0xffff ? entry >> 4 : 0;
    state->mode = BOOT_CPU_REAL16;
    state->rip = entry - ((gpa_t)selector << 4);
    state->rflags = FLAG_FIXED;
    state->cr0 = CR0_ET;
    state->cs = real_segment(selector, TYPE_CODE);
    state->ds = state->es = real_segment(selector, TYPE_DATA);
    state->fs = state->gs = state->ss = real_segment(0, TYPE_DATA);
    state->tr = system_segment(0, TYPE_TSS_BUSY, 0xffff);
    state->ldt = system_segment(0, TYPE_LDT, 0xffff);
    state->idt.limit = 0x3ff;
}

void state_prot32(struct boot_state *state, struct boot_tables *tables, enum selectors selectors)
{
    state->mode = BOOT_CPU_PROT32;
    state->cr0 = CR0_PE | CR0_ET;
    set_protected(state, tables, 4, selectors);
}

uint64_t page_tables_size(bool gib_pages)
{
    return (gib_pages ? 2 : 6) * PAGE_BYTES;
}

gpa_t page_tables_end(bool gib_pages)
{
    return (gib_pages ? 512 : 4) * GIB;
}

/* One page each of PML4 and PDPT, and without 1 GiB pages four of page directories. */
static gpa_t put_page_tables(struct boot_tables *tables, bool gib_pages)
{
    gpa_t root, pointers, directories;
    uint64_t *pml4 = tables_take(tables, PAGE_BYTES, &root);
    uint64_t *pdpt = tables_take(tables, PAGE_BYTES, &pointers);
    pml4[0] = pointers | PTE_PRESENT_WRITE;
    for (uint64_t i = 0; gib_pages && i < 512; i++)
        pdpt[i] = i * GIB | PTE_PRESENT_WRITE | PTE_LARGE;
    if (gib_pages)
        return root;
    uint64_t *directory = tables_take(tables, 4 * PAGE_BYTES, &directories);
    for (uint64_t i = 0; i < 4; i++)
        pdpt[i] = (directories + i * PAGE_BYTES) | PTE_PRESENT_WRITE;
    for (uint64_t i = 0; i < 4 * 512; i++)
        directory[i] = i * 2 * MIB | PTE_PRESENT_WRITE | PTE_LARGE;
    return root;
}

void state_long64(struct boot_state *state, struct boot_tables *tables, bool gib_pages,
                  enum selectors selectors)
{
    state->mode = BOOT_CPU_LONG64;
    state->cr3 = put_page_tables(tables, gib_pages);
    /* SSE works from the start, since compilers use it unasked. */
    state->cr0 = CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_LME | EFER_LMA;
    set_protected(state, tables, 8, selectors);
}
