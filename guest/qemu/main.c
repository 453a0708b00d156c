/* SPDX-License-Identifier: MIT
 *
 * A test kernel in the style of those written for `qemu-system-x86_64 -kernel X -device pc-testdev -device
 * isa-debug-exit,iobase=0xf4,iosize=4`: multiboot, 32-bit protected mode, a line for each check on the serial
 * port, and 0 to the debug-exit port where all passed. Its command line says what to expect: "cpus=N mem=MIB
 * [module] [file]". It passes on QEMU's software CPU as it does on vmm.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL     0x3f8
#define DEBUG_EXIT 0xf4
#define FW_CFG     0x510
#define PIC        0x20
#define PM_TIMER   0x608
#define LOCAL_APIC 0xfee00000u
#define AP_PAGE    0x1000u
#define LOW_END    0x8000u

struct multiboot_info {
    uint32_t flags, lower_kib, upper_kib, boot_device, cmdline, module_count, modules, symbols[4];
    uint32_t map_len, map;
};

struct multiboot_module {
    uint32_t start, end, text, reserved;
};

struct multiboot_memory {
    uint32_t size;
    uint64_t base, len;
    uint32_t kind;
} __attribute__((packed));

extern char image_base[], trampoline[], trampoline_end[], image_end[];
void main(uint32_t magic, const struct multiboot_info *info);

volatile uint32_t cpus_started;
static unsigned failures;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint16_t in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *text)
{
    for (; *text; text++) {
        while (!(in8(SERIAL + 5) & 0x20))
            continue;
        out8(SERIAL, (uint8_t)*text);
    }
}

static void check(bool passed, const char *what)
{
    print(passed ? "ok " : "not ok ");
    print(what);
    print("\n");
    failures += !passed;
}

static bool starts_with(const char *text, const char *word)
{
    while (*word)
        if (*text++ != *word++)
            return false;
    return true;
}

/* The text behind `word` in the command line, NULL where it is not there. */
static const char *find(const char *text, const char *word)
{
    for (; *text; text++)
        if (starts_with(text, word)) {
            while (*word++)
                text++;
            return text;
        }
    return NULL;
}

static uint32_t number(const char *cmdline, const char *key)
{
    uint32_t value = 0;
    const char *text = find(cmdline, key);
    for (; text && *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint32_t)(*text - '0');
    return value;
}

/* Off page 0, off the low pages in which other processors start, and off what was loaded. */
static bool is_out_of_the_way(uint32_t at, uint32_t len)
{
    return at >= LOW_END && (at >= (uintptr_t)image_end || at + len <= (uintptr_t)image_base);
}

static void check_module(const struct multiboot_info *info, const char *cmdline)
{
    bool wanted = find(cmdline, " module");
    const struct multiboot_module *module = (const void *)info->modules;
    check(info->module_count == wanted, "one module if it was given");
    if (!wanted || !info->module_count)
        return;
    check(module->end - module->start == 8 && starts_with((const char *)module->start, "INITRD!\n"),
          "the module has its content");
    check(is_out_of_the_way(module->start, module->end - module->start), "the module is out of the way");
}

static void check_map(const struct multiboot_info *info, uint32_t mem_mib)
{
    uint64_t sum = 0;
    bool has_low = false, has_high = false;
    for (uint32_t at = info->map; at < info->map + info->map_len;) {
        const struct multiboot_memory *entry = (const void *)at;
        if (entry->kind == 1) {
            sum += entry->len;
            has_low |= entry->base == 0;
            has_high |= entry->base == 0x100000;
        }
        at += entry->size + 4;
    }
    check(has_low && has_high, "RAM from 0 and from 1 MiB on");
    check(sum <= (uint64_t)mem_mib << 20 && sum + (1 << 20) >= (uint64_t)mem_mib << 20,
          "the map has all of the memory");
    check(info->lower_kib >= 600 && info->upper_kib > 1024, "memory sizes");
}

static void check_multiboot(uint32_t magic, const struct multiboot_info *info, const char *cmdline)
{
    check(magic == 0x2badb002, "multiboot's magic number");
    check((info->flags & 0x4d) == 0x4d, "memory, command line, modules and map are told");
    check(*cmdline && *cmdline != ' ' && find(cmdline, " cpus="), "the program's name, then the arguments");
    check(is_out_of_the_way((uintptr_t)info, sizeof(*info)) && is_out_of_the_way(info->cmdline, 200) &&
              is_out_of_the_way(info->map, info->map_len) &&
              (!info->module_count || is_out_of_the_way(info->modules, 16)),
          "the tables are out of the way");
}

static void fw_cfg_select(uint16_t item)
{
    out16(FW_CFG, item);
}

static uint64_t fw_cfg_number(uint16_t item, unsigned size)
{
    uint64_t value = 0;
    fw_cfg_select(item);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)in8(FW_CFG + 1) << (8 * i);
    return value;
}

static uint32_t fw_cfg_big_endian(unsigned size)
{
    uint32_t value = 0;
    while (size--)
        value = value << 8 | in8(FW_CFG + 1);
    return value;
}

/* The item of the file opt/test/file, 0 where there is none. */
static uint16_t find_file(void)
{
    fw_cfg_select(0x19);
    for (uint32_t count = fw_cfg_big_endian(4); count; count--) {
        char name[57] = "";
        fw_cfg_big_endian(4);
        uint16_t item = (uint16_t)fw_cfg_big_endian(2);
        fw_cfg_big_endian(2);
        for (unsigned i = 0; i < 56; i++)
            name[i] = (char)in8(FW_CFG + 1);
        if (starts_with(name, "opt/test/file"))
            return item;
    }
    return 0;
}

static void check_fw_cfg(const char *cmdline, uint32_t cpus, uint32_t mem_mib)
{
    check(fw_cfg_number(0x00, 4) == 0x554d4551, "fw_cfg: signature");
    check(fw_cfg_number(0x01, 4) & 1, "fw_cfg: id");
    check(fw_cfg_number(0x03, 8) == (uint64_t)mem_mib << 20, "fw_cfg: memory");
    check(fw_cfg_number(0x05, 2) == cpus, "fw_cfg: CPUs");
    check(fw_cfg_number(0x0f, 2) >= cpus, "fw_cfg: most CPUs");
    if (find(cmdline, " file"))
        check(find_file() && fw_cfg_number(find_file(), 4) == 0x74786574, "fw_cfg: a file");
}

static void check_testdev(void)
{
    volatile uint32_t *memory = (uint32_t *)0xff000000;
    static volatile uint32_t page[1024] __attribute__((aligned(4096)));
    out32(0xe0, 0x12345678);
    check(in32(0xe0) == 0x12345678 && in16(0xe2) == 0x1234 && in8(0xe1) == 0x56, "testdev: latch");
    out8(0xe8, 0x9a);
    check(in8(0xe8) == 0x9a && in8(0xe0) == 0x9a, "testdev: byte latch");
    page[1] = 0x600df00d;
    out32(0xe4, (uintptr_t)page);
    check(page[1] == 0x600df00d, "testdev: a flushed page");
    memory[0] = 0x11223344;
    memory[0x3fff] = 0x55667788;
    check(memory[0] == 0x11223344 && memory[0x3fff] == 0x55667788, "testdev: memory");
    __asm__ volatile("lock xaddl %0, (%1)" : : "r"(1), "r"(memory) : "memory");
    check(memory[0] == 0x11223345, "testdev: memory and a locked instruction");
}

/* By the PIC's request register, so that no interrupt has to be taken. */
static void check_irq(void)
{
    static const uint8_t init[][2] = {{PIC, 0x11},  {PIC + 1, 8},    {PIC + 1, 4},
                                      {PIC + 1, 1}, {PIC + 1, 0xff}, {PIC, 0x0a}};
    for (unsigned i = 0; i < sizeof(init) / sizeof(init[0]); i++)
        out8(init[i][0], init[i][1]);
    out8(0x2005, 0);
    bool was_low = !(in8(PIC) & 0x20);
    out8(0x2005, 1);
    bool is_high = in8(PIC) & 0x20;
    out8(0x2005, 0);
    check(was_low && is_high, "testdev: an interrupt line");
}

static void wait_ticks(uint32_t ticks)
{
    uint32_t start = in32(PM_TIMER);
    while (((in32(PM_TIMER) - start) & 0xffffff) < ticks)
        continue;
}

/* INIT and two start-up interrupts to all but this CPU (SDM 3A 9.4.4). */
static void check_cpus(uint32_t cpus)
{
    volatile uint32_t *command = (uint32_t *)(LOCAL_APIC + 0x300),
                      *spurious = (uint32_t *)(LOCAL_APIC + 0xf0);
    char *page = (char *)AP_PAGE;
    for (char *from = trampoline; from < trampoline_end; from++)
        *page++ = *from;
    *spurious |= 0x100;
    *command = 0x000c4500;
    wait_ticks(36000); /* 10 ms */
    for (int i = 0; i < 2; i++) {
        *command = 0x000c4600 | AP_PAGE >> 12;
        wait_ticks(4000);
    }
    for (int i = 0; i < 10000 && cpus_started < cpus - 1; i++)
        wait_ticks(3600);
    check(cpus_started == cpus - 1, "every other CPU starts");
}

void main(uint32_t magic, const struct multiboot_info *info)
{
    const char *cmdline = (const char *)info->cmdline;
    uint32_t cpus = number(cmdline, " cpus="), mem_mib = number(cmdline, " mem=");
    check_multiboot(magic, info, cmdline);
    check_map(info, mem_mib);
    check_module(info, cmdline);
    check_fw_cfg(cmdline, cpus, mem_mib);
    check_testdev();
    check_irq();
    check_cpus(cpus);
    for (uint32_t *low = (uint32_t *)AP_PAGE; low < (uint32_t *)LOW_END; low++)
        *low = 0xcccccccc;
    check(find(cmdline, " cpus=") && (info->flags & 0x4d) == 0x4d, "low memory is the kernel's own");
    print(failures ? "FAILED\n" : "all passed\n");
    out32(DEBUG_EXIT, failures);
}
