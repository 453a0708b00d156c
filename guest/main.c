/* SPDX-License-Identifier: MIT
 *
 * The order in which the kernel comes up, the banner, and the end.
 */
#include "guest/apic.h"
#include "guest/bench.h"
#include "guest/boot_info.h"
#include "guest/clock.h"
#include "guest/cpu.h"
#include "guest/page.h"
#include "guest/run.h"
#include "guest/smp.h"
#include "guest/test.h"

/* Written by start.S at the first instruction. */
uint64_t boot_tsc;

void kernel_main(uint32_t magic, uint32_t info);

_Noreturn void run_end(unsigned value)
{
    console_drain();
    out8(DEBUG_EXIT_PORT, (uint8_t)value);
    print("# no debug-exit device: the CPU halts\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

_Noreturn void panic(const char *reason)
{
    console_take();
    print("Bail out! %s\n", reason);
    run_end(RUN_PANIC);
}

/* The 12 characters of a CPUID leaf's vendor; `order` says in which registers they come. */
static void banner_vendor(const char *what, uint32_t a, uint32_t b, uint32_t c)
{
    char text[13] = {0};
    memcpy(text, &a, 4);
    memcpy(text + 4, &b, 4);
    memcpy(text + 8, &c, 4);
    print("# %s: %s", what, text);
}

static void banner_cpu(void)
{
    struct cpuid_regs r = cpuid(0, 0);
    banner_vendor("CPU", r.ebx, r.edx, r.ecx);
    if (cpuid(0x80000000, 0).eax >= 0x80000004) {
        struct cpuid_regs brand[3] = {cpuid(0x80000002, 0), cpuid(0x80000003, 0), cpuid(0x80000004, 0)};
        ((char *)brand)[47] = 0;
        if (*(char *)brand)
            print(", %s", (char *)brand);
    }
    print("\n");
    if (!(cpuid(1, 0).ecx & 1u << 31)) {
        print("# hypervisor: CPUID names none\n");
        return;
    }
    r = cpuid(0x40000000, 0);
    banner_vendor("hypervisor", r.ebx, r.ecx, r.edx);
    print("\n");
}

static void banner_memory(void)
{
    static const char *const kinds[] = {"?", "RAM", "reserved", "ACPI", "NVS", "bad"};
    for (size_t i = 0; i < boot_info.range_count; i++) {
        const struct memory_range *range = boot_info.ranges + i;
        print("# memory: %010lx-%010lx %s\n", range->base, range->base + range->len,
              kinds[range->kind < ARRAY_COUNT(kinds) ? range->kind : 0]);
    }
    for (size_t i = 0; i < boot_info.module_count; i++)
        print("# module: %lu bytes at %#lx\n", boot_info.modules[i].len, boot_info.modules[i].base);
    print("# free: %lu pages below 4 GiB\n", (uint64_t)page_free_count());
}

static void banner_machine(void)
{
    print("# CPUs: %u of %u (asked: %s)\n", smp.count, smp.expected ? smp.expected : smp.count, smp.source);
    print("# interrupts: %s", !apics.has_lapic ? "no local APIC" : apics.is_x2apic ? "x2APIC" : "xAPIC");
    if (apics.has_ioapic)
        print(", I/O APIC with %u pins\n", apics.ioapic_pins);
    else
        print(", no I/O APIC\n");
    print("# clock: TSC at %lu kHz by %s, %s PIT\n", timebase.tsc_khz, timebase.source,
          timebase.has_pit ? "with" : "no");
    print("# ready %lu us after the first instruction\n", tsc_to_us(tsc_read() - boot_tsc));
}

void kernel_main(uint32_t magic, uint32_t info)
{
    struct options options;
    console_init();
    print("\n# vmm tiny kernel\n");
    trap_init(&boot_cpu.cpu);
    boot_info_read(magic, info);
    print("# boot: %s, command line \"%s\"\n", boot_info.protocol, boot_info.cmdline);
    banner_cpu();
    if (!tests_select(boot_info.cmdline, &options))
        run_end(RUN_BAD_WORD);
    if (options.list) {
        tests_list();
        run_end(0);
    }
    page_init();
    banner_memory();
    clock_init();
    apic_init(options.x2apic);
    smp_start(options.cpus);
    banner_machine();
    if (options.bench_blk)
        bench_blk(options.bench_packed);
    unsigned failed = tests_run();
    print("# %lu ms from the first instruction to here\n", tsc_to_us(tsc_read() - boot_tsc) / 1000);
    run_end(failed < RUN_FAILED_MAX ? failed : RUN_FAILED_MAX);
}
