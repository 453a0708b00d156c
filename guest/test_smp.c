/* SPDX-License-Identifier: MIT
 *
 * The other CPUs. With one CPU most of it has nothing to do, and says so.
 */
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/page.h"
#include "guest/smp.h"
#include "guest/test.h"

#define LONG_US      5000000u
#define ADDITIONS    500u
#define TSC_LIMIT_US 1000u
#define TSC_ROUNDS   20u

#define NEED_OTHERS() SKIP_IF(smp.count < 2, "one CPU")

#define EACH_OTHER(cpu) \
    for (struct cpu *cpu = smp_cpu(1); cpu; cpu = cpu->index + 1 < smp.count ? smp_cpu(cpu->index + 1) : NULL)

static volatile uint32_t total, turn, nmi_count;
static volatile uint64_t stamp;

void test_smp_alive(void)
{
    if (smp.expected)
        CHECK_EQUAL(smp.count, smp.expected);
    for (uint32_t i = 1; i < smp.count; i++)
        CHECK_EQUAL(smp_cpu(i)->index, i);
}

static void state_work(struct cpu *cpu)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdt;
    uint16_t tr;
    __asm__ volatile("sgdt %0; str %1" : "=m"(gdt), "=r"(tr));
    bool is_own = cpu_this() == cpu && gdt.base == (uint64_t)cpu->gdt && tr == SEL_TSS;
    cpu->work_result = is_own && cr0_read() & CR0_WP ? cr3_read() : 0;
}

void test_smp_state(void)
{
    NEED_OTHERS();
    EACH_OTHER(cpu)
    {
        smp_run(cpu, state_work);
        CHECK(smp_wait(cpu));
        CHECK_EQUAL(cpu->work_result, cr3_read());
        for (uint32_t i = 0; i < cpu->index; i++)
            CHECK(smp_cpu(i)->apic_id != cpu->apic_id);
    }
}

static void ipi_handler(void)
{
    struct cpu *cpu = cpu_this();
    cpu->ipi_count++;
    lapic_eoi();
}

void test_smp_ipi(void)
{
    NEED_OTHERS();
    irq_handler_set(VECTOR_TEST, ipi_handler);
    EACH_OTHER(cpu)
    {
        cpu->ipi_count = 0;
    }
    EACH_OTHER(cpu)
    {
        ipi_send(cpu->apic_id, ICR_FIXED | VECTOR_TEST);
        CHECK(wait_for_count(&cpu->ipi_count, 1, LONG_US));
    }
    ipi_send(0, ICR_ALL_OTHERS | ICR_FIXED | VECTOR_TEST);
    EACH_OTHER(cpu)
    {
        CHECK(wait_for_count(&cpu->ipi_count, 2, LONG_US));
        CHECK_EQUAL(cpu->ipi_count, 2);
    }
    CHECK_EQUAL(boot_cpu.cpu.ipi_count, 0);
}

static void nmi_handler(void)
{
    __atomic_fetch_add(&nmi_count, 1, __ATOMIC_SEQ_CST);
}

/* Interrupts are off, as in every piece of work. */
static void nmi_work(struct cpu *cpu)
{
    uint64_t deadline = deadline_after_us(LONG_US);
    turn = 1;
    while (!nmi_count && !deadline_passed(deadline))
        cpu_relax();
    cpu->work_result = nmi_count;
}

void test_smp_nmi(void)
{
    NEED_OTHERS();
    nmi_handler_set(nmi_handler);
    EACH_OTHER(cpu)
    {
        nmi_count = turn = 0;
        smp_run(cpu, nmi_work);
        CHECK(wait_for_count(&turn, 1, LONG_US));
        ipi_send(cpu->apic_id, ICR_NMI);
        CHECK(smp_wait(cpu));
        CHECK_EQUAL(cpu->work_result, 1);
    }
    nmi_handler_set(NULL);
}

static void add_work(struct cpu *cpu)
{
    for (unsigned i = 0; i < ADDITIONS; i++)
        __atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
    cpu->work_result = ADDITIONS;
}

void test_smp_atomic(void)
{
    NEED_OTHERS();
    total = 0;
    EACH_OTHER(cpu)
    {
        smp_run(cpu, add_work);
    }
    add_work(&boot_cpu.cpu);
    EACH_OTHER(cpu)
    {
        CHECK(smp_wait(cpu));
    }
    CHECK_EQUAL(total, ADDITIONS * smp.count);
}

/* Reads the page twice, with the mapping changed in between. */
static void shootdown_work(struct cpu *cpu)
{
    uint64_t deadline = deadline_after_us(LONG_US);
    uint8_t before = MEM(uint8_t, TEST_VA);
    turn = 1;
    while (turn != 2 && !deadline_passed(deadline))
        cpu_relax();
    invlpg(TEST_VA);
    cpu->work_result = (uint64_t)before << 8 | MEM(uint8_t, TEST_VA);
}

void test_smp_shootdown(void)
{
    NEED_OTHERS();
    uint8_t *first = page_alloc(), *second = page_alloc();
    CHECK(first && second);
    first[0] = 0x11;
    second[0] = 0x22;
    EACH_OTHER(cpu)
    {
        page_map(TEST_VA, (uint64_t)first, PTE_PRESENT | PTE_WRITE);
        turn = 0;
        smp_run(cpu, shootdown_work);
        CHECK(wait_for_count(&turn, 1, LONG_US));
        page_map(TEST_VA, (uint64_t)second, PTE_PRESENT | PTE_WRITE);
        turn = 2;
        CHECK(smp_wait(cpu));
        CHECK_EQUAL(cpu->work_result, 0x1122);
    }
    page_map(TEST_VA, 0, 0);
    page_free(first);
    page_free(second);
}

static void tsc_work(struct cpu *cpu)
{
    uint64_t deadline = deadline_after_us(LONG_US);
    for (unsigned round = 1; round <= TSC_ROUNDS; round++) {
        while (turn != 2 * round - 1 && !deadline_passed(deadline))
            cpu_relax();
        stamp = tsc_read();
        turn = 2 * round;
    }
    cpu->work_result = 1;
}

/* Asks for a stamp between two of our own; returns by how much it lies outside of them. */
static uint64_t tsc_error(unsigned round)
{
    uint64_t deadline = deadline_after_us(LONG_US);
    uint64_t before = tsc_read();
    turn = 2 * round - 1;
    while (turn != 2 * round)
        if (deadline_passed(deadline))
            return UINT64_MAX;
    uint64_t after = tsc_read();
    return stamp < before ? before - stamp : stamp > after ? stamp - after : 0;
}

void test_smp_tsc(void)
{
    NEED_OTHERS();
    uint64_t worst = 0;
    EACH_OTHER(cpu)
    {
        turn = 0;
        smp_run(cpu, tsc_work);
        for (unsigned round = 1; round <= TSC_ROUNDS; round++) {
            uint64_t error = tsc_error(round);
            worst = error > worst ? error : worst;
        }
        CHECK(smp_wait(cpu));
    }
    print("# smp-tsc: at most %lu ticks apart\n", worst);
    CHECK(tsc_to_us(worst) < TSC_LIMIT_US);
}
