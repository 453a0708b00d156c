/* SPDX-License-Identifier: MIT
 *
 * Page faults, with their error codes and addresses, and what the page tables promise.
 */
#include "guest/page.h"
#include "guest/probe.h"
#include "guest/test.h"
#include "guest/trap.h"

#define READ_WRITE (PTE_PRESENT | PTE_WRITE)

/* One page for the test to map at TEST_VA; the one above stays unmapped. */
static uint8_t *page;

static bool page_ready(void)
{
    if (!page)
        page = page_alloc_zeroed();
    page_map(TEST_VA + PAGE_BYTES, 0, 0);
    return page != NULL;
}

#define CHECK_FAULT(trap, code, address)             \
    do {                                             \
        CHECK((trap).caught);                        \
        CHECK_EQUAL((trap).frame.vector, VECTOR_PF); \
        CHECK_EQUAL((trap).frame.error, code);       \
        CHECK_EQUAL((trap).cr2, address);            \
    } while (0)

void test_pf_not_present(void)
{
    CHECK(page_ready());
    page_map(TEST_VA, 0, 0);
    struct trap trap = trap_catch(probe_read64, TEST_VA + 0x128, 0);
    CHECK_FAULT(trap, 0, TEST_VA + 0x128);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_read64);
    CHECK_EQUAL(trap.frame.cs, 8);
    trap = trap_catch(probe_write8, TEST_VA + 0xfff, 1);
    CHECK_FAULT(trap, PF_WRITE, TEST_VA + 0xfff);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_write8);
    trap = trap_catch(probe_jump, TEST_VA + 0x20, 0);
    CHECK_FAULT(trap, msr_read(MSR_EFER) & EFER_NXE ? PF_FETCH : 0, TEST_VA + 0x20);
    CHECK_EQUAL(trap.frame.rip, TEST_VA + 0x20);
    /* a table is missing, not only the page */
    trap = trap_catch(probe_read8, TEST_VA + (1ull << 40), 0);
    CHECK_FAULT(trap, 0, TEST_VA + (1ull << 40));
}

void test_pf_read_only(void)
{
    CHECK(page_ready());
    page_map(TEST_VA, (uint64_t)page, PTE_PRESENT);
    page[8] = 0x5d;
    CHECK_EQUAL(trap_catch(probe_read8, TEST_VA + 8, 0).value, 0x5d);
    struct trap trap = trap_catch(probe_write8, TEST_VA + 8, 0x11);
    CHECK_FAULT(trap, PF_PRESENT | PF_WRITE, TEST_VA + 8);
    CHECK_EQUAL(page[8], 0x5d);
    cr0_write(cr0_read() & ~CR0_WP);
    trap = trap_catch(probe_write8, TEST_VA + 8, 0x22);
    cr0_write(cr0_read() | CR0_WP);
    CHECK(!trap.caught);
    CHECK_EQUAL(page[8], 0x22);
    trap = trap_catch(probe_write8, TEST_VA + 8, 0x33);
    CHECK_FAULT(trap, PF_PRESENT | PF_WRITE, TEST_VA + 8);
}

void test_pf_fetch(void)
{
    CHECK(page_ready());
    page[16] = *probe_return;
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    CHECK(!trap_catch(probe_jump, TEST_VA + 16, 0).caught);
    if (!(msr_read(MSR_EFER) & EFER_NXE)) {
        print("# pf-fetch: the CPU has no NX\n");
        return;
    }
    page_map(TEST_VA, (uint64_t)page, READ_WRITE | PTE_NX);
    struct trap trap = trap_catch(probe_jump, TEST_VA + 16, 0);
    CHECK_FAULT(trap, PF_PRESENT | PF_FETCH, TEST_VA + 16);
    CHECK_EQUAL(trap.frame.rip, TEST_VA + 16);
    CHECK_EQUAL(trap_catch(probe_read8, TEST_VA + 16, 0).value, *probe_return);
}

/* Bits 13 to 20 of an entry for a 2 MiB page are reserved on every CPU, however wide its addresses are. */
void test_pf_reserved(void)
{
    uint64_t va = TEST_VA + 8 * LARGE_PAGE_BYTES;
    uint64_t *entry = page_entry(va, true);
    pte_set(entry, READ_WRITE | PTE_LARGE | 1ull << 13);
    struct trap trap = trap_catch(probe_read8, va + 5, 0);
    uint64_t present = trap.frame.error & PF_PRESENT;
    if (!present)
        print("# pf-reserved: no present bit in the error code (QEMU's software CPU does that)\n");
    CHECK_FAULT(trap, present | PF_RESERVED, va + 5);
    trap = trap_catch(probe_write8, va + 6, 0);
    CHECK_FAULT(trap, present | PF_RESERVED | PF_WRITE, va + 6);
    pte_set(entry, 0);
    invlpg(va);
}

void test_pf_crossing(void)
{
    CHECK(page_ready());
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    uint64_t border = TEST_VA + PAGE_BYTES;
    struct trap trap = trap_catch(probe_read64, border - 3, 0);
    CHECK_FAULT(trap, 0, border);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_read64);
    /* and when it is the first page that is bad: the access's own address */
    page_map(border, (uint64_t)page, READ_WRITE);
    page_map(TEST_VA, 0, 0);
    trap = trap_catch(probe_read64, border - 3, 0);
    page_map(border, 0, 0);
    CHECK_FAULT(trap, 0, border - 3);
}

void test_pf_atomic(void)
{
    CHECK(page_ready());
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    MEM(uint64_t, page + PAGE_BYTES - 8) = 0x1122334455667788;
    struct trap trap = trap_catch(probe_write64, TEST_VA + PAGE_BYTES - 4, UINT64_MAX);
    CHECK_FAULT(trap, PF_WRITE, TEST_VA + PAGE_BYTES);
    CHECK_EQUAL(MEM(uint64_t, page + PAGE_BYTES - 8), 0x1122334455667788);
}

void test_pf_smap_smep(void)
{
    CHECK(page_ready());
    struct cpuid_regs r = {0};
    if (cpuid(0, 0).eax >= 7)
        r = cpuid(7, 0);
    page[32] = *probe_return;
    page_map(TEST_VA, (uint64_t)page, READ_WRITE | PTE_USER);
    CHECK(!trap_catch(probe_jump, TEST_VA + 32, 0).caught);
    print("# pf-smap-smep: CPUID has %s and %s\n", r.ebx & 1u << 7 ? "SMEP" : "no SMEP",
          r.ebx & 1u << 20 ? "SMAP" : "no SMAP");
    if (r.ebx & 1u << 7) {
        cr4_write(cr4_read() | CR4_SMEP);
        struct trap trap = trap_catch(probe_jump, TEST_VA + 32, 0);
        cr4_write(cr4_read() & ~CR4_SMEP);
        CHECK_FAULT(trap, PF_PRESENT | PF_FETCH, TEST_VA + 32);
    }
    if (r.ebx & 1u << 20) {
        cr4_write(cr4_read() | CR4_SMAP);
        struct trap trap = trap_catch(probe_read8, TEST_VA + 33, 0);
        cr4_write(cr4_read() & ~CR4_SMAP);
        CHECK_FAULT(trap, PF_PRESENT, TEST_VA + 33);
    }
}

void test_page_bits(void)
{
    CHECK(page_ready());
    uint64_t *entry = page_entry(TEST_VA, false);
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    CHECK_EQUAL(*entry & (PTE_ACCESSED | PTE_DIRTY), 0);
    trap_catch(probe_read8, TEST_VA, 0);
    CHECK_EQUAL(MEM(uint64_t, entry) & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED);
    trap_catch(probe_write8, TEST_VA, 0);
    CHECK_EQUAL(MEM(uint64_t, entry) & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED | PTE_DIRTY);
}

void test_page_remap(void)
{
    CHECK(page_ready());
    uint8_t *other = page_alloc_zeroed();
    CHECK(other != NULL);
    page[64] = 1;
    other[64] = 2;
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    CHECK_EQUAL(MEM(uint8_t, TEST_VA + 64), 1);
    page_map(TEST_VA, (uint64_t)other, READ_WRITE);
    CHECK_EQUAL(MEM(uint8_t, TEST_VA + 64), 2);
    pte_set(page_entry(TEST_VA, false), (uint64_t)page | READ_WRITE);
    cr3_write(cr3_read());
    CHECK_EQUAL(MEM(uint8_t, TEST_VA + 64), 1);
    page_map(TEST_VA, 0, 0);
    page_free(other);
}

void test_page_large(void)
{
    CHECK(page_ready());
    uint64_t frame = (uint64_t)page & ~(LARGE_PAGE_BYTES - 1), offset = (uint64_t)page - frame;
    uint64_t va = TEST_VA + 16 * LARGE_PAGE_BYTES;
    pte_set(page_entry(va, true), frame | READ_WRITE | PTE_LARGE);
    invlpg(va);
    page_map(TEST_VA, (uint64_t)page, READ_WRITE);
    MEM(uint64_t, va + offset + 128) = 0x123456789abcdef0;
    CHECK_EQUAL(MEM(uint64_t, TEST_VA + 128), 0x123456789abcdef0);
    MEM(uint64_t, TEST_VA + 136) = 0x0fedcba987654321;
    CHECK_EQUAL(MEM(uint64_t, va + offset + 136), 0x0fedcba987654321);
    pte_set(page_entry(va, true), 0);
    invlpg(va);
}
