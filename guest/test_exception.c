/* SPDX-License-Identifier: MIT
 *
 * Exceptions in ring 0: vector, error code, and the address that the frame shows.
 */
#include "guest/cpu.h"
#include "guest/page.h"
#include "guest/probe.h"
#include "guest/test.h"

#define NOT_CANONICAL 0x8000000000000000ull

#define CHECK_TRAP(trap, number, code)            \
    do {                                          \
        CHECK((trap).caught);                     \
        CHECK_EQUAL((trap).frame.vector, number); \
        CHECK_EQUAL((trap).frame.error, code);    \
    } while (0)

void test_exc_divide(void)
{
    struct trap trap = trap_catch(probe_divide, 0, 0);
    CHECK_TRAP(trap, VECTOR_DE, 0);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_divide_at);
    trap = trap_catch(probe_divide, 5, 5);
    CHECK_TRAP(trap, VECTOR_DE, 0);
    trap = trap_catch(probe_divide, 1, 2);
    CHECK(!trap.caught);
    CHECK_EQUAL(trap.value, 1ull << 63);
}

void test_exc_opcode(void)
{
    struct trap trap = trap_catch(probe_ud, 0, 0);
    CHECK_TRAP(trap, VECTOR_UD, 0);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_ud);
}

void test_exc_canonical(void)
{
    struct trap trap = trap_catch(probe_read64, NOT_CANONICAL, 0);
    CHECK_TRAP(trap, VECTOR_GP, 0);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_read64);
    trap = trap_catch(probe_write8, NOT_CANONICAL - 1, 0);
    CHECK_TRAP(trap, VECTOR_GP, 0);
    trap = trap_catch(probe_read_stack, NOT_CANONICAL, 0);
    if (trap.caught && trap.frame.vector == VECTOR_GP)
        print("# exc-canonical: #GP where a processor has #SS (QEMU's software CPU does that)\n");
    else
        CHECK_TRAP(trap, VECTOR_SS, 0);
}

void test_exc_selector(void)
{
    struct trap trap = trap_catch(probe_load_es, 0x1230, 0);
    CHECK_TRAP(trap, VECTOR_GP, 0x1230);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_load_es);
    uint64_t *descriptor = cpu_this()->gdt + SEL_TEST / 8;
    MEM(uint64_t, descriptor) = 0x00cf13000000ffff; /* data, not present */
    trap = trap_catch(probe_load_es, SEL_TEST, 0);
    CHECK_TRAP(trap, VECTOR_NP, SEL_TEST);
    MEM(uint64_t, descriptor) = 0x00cf93000000ffff;
    CHECK(!trap_catch(probe_load_es, SEL_TEST, 0).caught);
    CHECK(!trap_catch(probe_load_es, SEL_DATA, 0).caught);
}

static uint64_t clear_cr0(uint64_t bits, uint64_t unused)
{
    return probe_cr0(cr0_read() & ~bits, unused);
}

/* Paging without protection, long mode without PAE, paging without long mode. */
void test_exc_control(void)
{
    uint64_t cr0 = cr0_read(), cr4 = cr4_read(), efer = msr_read(MSR_EFER);
    struct trap trap = trap_catch(clear_cr0, CR0_PE, 0);
    CHECK_TRAP(trap, VECTOR_GP, 0);
    trap = trap_catch(probe_cr4, cr4 & ~CR4_PAE, 0);
    CHECK_TRAP(trap, VECTOR_GP, 0);
    trap = trap_catch(probe_efer, efer & ~EFER_LME, MSR_EFER);
    CHECK_TRAP(trap, VECTOR_GP, 0);
    CHECK_EQUAL(cr0_read(), cr0);
    CHECK_EQUAL(cr4_read(), cr4);
    CHECK_EQUAL(msr_read(MSR_EFER), efer);
}

void test_exc_step(void)
{
    struct trap trap = trap_catch(probe_step, 0, 0);
    CHECK_TRAP(trap, VECTOR_DB, 0);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_step_at);
    CHECK(trap.frame.rflags & RFLAGS_TF);
}

void test_exc_double(void)
{
    /* A nested page fault on first use of this stack makes QEMU's software AMD-V forget the double fault. */
    ((volatile uint8_t *)cpu_this())[CPU_FAULT_STACK - 1] = 0;
    page_map(TEST_VA, 0, 0);
    trap_gate_present_set(VECTOR_PF, false);
    struct trap trap = trap_catch(probe_read8, TEST_VA, 0);
    trap_gate_present_set(VECTOR_PF, true);
    CHECK_TRAP(trap, VECTOR_DF, 0);
    trap = trap_catch(probe_read8, TEST_VA, 0);
    CHECK_TRAP(trap, VECTOR_PF, 0);
}

void test_unexpected(void)
{
    print("# what follows is meant to happen\n");
    MEM(uint8_t, TEST_VA + 0x123) = 1;
}

void test_failing(void)
{
    CHECK_EQUAL(1 + 1, 3);
}
