/* SPDX-License-Identifier: MIT
 *
 * How many CPUs there are is asked, in this order: the command line (cpus=N), fw_cfg, ACPI's MADT. If nobody
 * knows, all that answer a broadcast within a time are taken. INIT and SIPI go to all others at once.
 */
#include "guest/smp.h"

#include "guest/acpi.h"
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/page.h"
#include "guest/run.h"

#define FWCFG_SELECTOR  0x510
#define FWCFG_DATA      0x511
#define FWCFG_SIGNATURE 0
#define FWCFG_CPUS      5

#define CPU_LIMIT     255u /* what an xAPIC can name */
#define START_US      5000000u
#define QUIET_US      100000u
#define WORK_US       5000000u
#define SIPI_DELAY_US 200

extern const uint8_t trampoline_start[], trampoline_end[];
void ap_main(uint32_t index);

struct smp smp;

/* Read by start.S. CPU i's block is at cpu_blocks + i * CPU_BYTES; the first CPU's is boot_cpu. */
uint32_t cpus_started = 1, cpu_limit;
uint8_t *cpu_blocks;

static volatile uint32_t cpus_ready = 1;

static uint32_t fwcfg_cpus(void)
{
    out16(FWCFG_SELECTOR, FWCFG_SIGNATURE);
    for (unsigned i = 0; i < 4; i++)
        if (in8(FWCFG_DATA) != "QEMU"[i])
            return 0;
    out16(FWCFG_SELECTOR, FWCFG_CPUS);
    uint32_t low = in8(FWCFG_DATA);
    return low | (uint32_t)in8(FWCFG_DATA) << 8;
}

static void count_expected(uint32_t told)
{
    if ((smp.expected = told))
        smp.source = "command line";
    else if ((smp.expected = fwcfg_cpus()))
        smp.source = "fw_cfg";
    else if ((smp.expected = acpi_cpus()))
        smp.source = "ACPI";
    else
        smp.source = "who answered";
}

struct cpu *smp_cpu(uint32_t index)
{
    return index ? (struct cpu *)(cpu_blocks + index * CPU_BYTES) : &boot_cpu.cpu;
}

static void wake_handler(void)
{
    lapic_eoi();
}

/* Where start.S brings an application processor. */
void ap_main(uint32_t index)
{
    struct cpu *cpu = smp_cpu(index);
    memset(cpu, 0, sizeof(*cpu));
    cpu->index = index;
    trap_init(cpu);
    cpu->apic_id = lapic_enable();
    __atomic_fetch_add(&cpus_ready, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        while (!cpu->work)
            irq_wait();
        cpu->work(cpu);
        cpu->work = NULL;
    }
}

/* With a number to expect the wait ends when all are there; without, when no one has come for a while. */
static void wait_for_all(void)
{
    uint64_t deadline = deadline_after_us(START_US), quiet = deadline_after_us(QUIET_US);
    uint32_t seen = cpus_ready;
    while (!deadline_passed(deadline) && cpus_ready != smp.expected) {
        if (smp.expected == 0 && deadline_passed(quiet))
            return;
        if (seen != cpus_ready) {
            seen = cpus_ready;
            quiet = deadline_after_us(QUIET_US);
        }
        cpu_relax();
    }
}

static void blocks_make(void)
{
    cpu_limit = smp.expected ? smp.expected : CPU_LIMIT;
    if (cpu_limit > CPU_LIMIT)
        cpu_limit = CPU_LIMIT;
    size_t block_pages = CPU_BYTES / PAGE_BYTES;
    /* Only those who do not know how many there are may run short: a quarter of what is free is enough. */
    if (!smp.expected && cpu_limit > page_free_count() / 4 / block_pages + 1)
        cpu_limit = (uint32_t)(page_free_count() / 4 / block_pages + 1);
    uint8_t *blocks = cpu_limit > 1 ? page_alloc_range((cpu_limit - 1) * block_pages, CPU_BYTES) : NULL;
    if (cpu_limit > 1 && !blocks)
        panic("no memory for the CPUs' stacks");
    cpu_blocks = blocks - CPU_BYTES;
}

void smp_start(uint32_t told)
{
    smp.count = 1;
    if (!apics.has_lapic) {
        smp.expected = 1;
        smp.source = "no local APIC";
        return;
    }
    boot_cpu.cpu.apic_id = lapic_enable();
    irq_handler_set(VECTOR_WAKE, wake_handler);
    count_expected(told);
    if (smp.expected == 1)
        return;
    blocks_make();
    memcpy((void *)TRAMPOLINE_ADDRESS, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    ipi_send(0, ICR_ALL_OTHERS | ICR_INIT);
    delay_us(SIPI_DELAY_US);
    ipi_send(0, ICR_ALL_OTHERS | ICR_STARTUP | TRAMPOLINE_ADDRESS >> 12);
    wait_for_all();
    smp.count = cpus_ready;
}

void smp_run(struct cpu *cpu, work_fn *work)
{
    cpu->work = work;
    ipi_send(cpu->apic_id, ICR_FIXED | VECTOR_WAKE);
}

bool smp_wait(struct cpu *cpu)
{
    for (uint64_t deadline = deadline_after_us(WORK_US); cpu->work;) {
        if (deadline_passed(deadline))
            return false;
        cpu_relax();
    }
    return true;
}
