/* SPDX-License-Identifier: MIT
 *
 * The guest of task switches, every instruction of it in software: it prints what tests/guest/prot32-task.txt
 * says, which is what QEMU's processor makes of it too (tests/guest/task.sh). VMM_TEST_SAVE=FILE writes it
 * there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/deliver.h"
#include "tests/harness.h"

#define IMAGE_GPA  0x100000u
#define UART       0x3f8u
#define DEBUG_EXIT 0xf4u
#define STEPS_MAX  5000000u

extern const char task_expected[];

static struct {
    char text[64 * 1024];
    size_t len;
    bool ended;
} output;

static uint64_t uart_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)size;
    return offset == 5 ? 0x60 : 0;
}

static void uart_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)size;
    if (!offset && output.len < sizeof(output.text) - 1)
        output.text[output.len++] = (char)value;
}

static void exit_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    output.ended = !value;
}

static void tlb_flush(void *owner)
{
    (void)owner;
}

static const struct bus_ops uart_ops = {.read = uart_read, .write = uart_write};
static const struct bus_ops exit_ops = {.read = uart_read, .write = exit_write};
static const struct step_ops ops = {.tlb_flush = tlb_flush};

/* As `vmm run --flat prot32` enters it. */
static void enter(struct cpu_state *cpu)
{
    *cpu = (struct cpu_state){.rip = IMAGE_GPA,
                              .rflags = FLAG_FIXED,
                              .cr0 = CR0_PE | CR0_ET,
                              .dr6 = DR6_FIXED,
                              .dr7 = 0x400,
                              .tr = {.limit = 0x67, .selector = 0x20, .attributes = 0x8b}};
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        cpu->segments[i] = (struct cpu_segment){.limit = 0xffffffff,
                                                .selector = i == CPU_CS ? 8 : 16,
                                                .attributes = i == CPU_CS ? 0xc09b : 0xc093};
}

static void run(const struct step_machine *machine)
{
    struct cpu_state cpu;
    struct step_outcome outcome;
    enter(&cpu);
    for (unsigned i = 0; i < STEPS_MAX && !output.ended; i++) {
        enum step_result result = step_insn(machine, &cpu, NULL, 0, &outcome);
        struct step_event event = outcome.event;
        if (result == STEP_EXCEPTION)
            result = deliver_event(machine, &cpu, &event, &outcome);
        if (result != STEP_DONE &&
            result != STEP_AGAIN) /* an assertion that holds writes to a file, each time */
            ck_abort_msg("at %llx, TR %x: %s; so far:\n%s", (unsigned long long)cpu.rip, cpu.tr.selector,
                         outcome.reason ? outcome.reason : "a triple fault", output.text);
    }
    ck_assert_msg(output.ended, "no end; so far:\n%s", output.text);
}

static void read_file(const char *path, void *to, size_t size, size_t *len)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file, "%s cannot be read", path);
    *len = fread(to, 1, size, file);
    fclose(file);
    ck_assert_uint_lt(*len, size);
}

/* Names the first line that differs. */
static void compare(const char *expected)
{
    const char *save = getenv("VMM_TEST_SAVE");
    FILE *file = save ? fopen(save, "w") : NULL;
    if (file) {
        fputs(output.text, file);
        fclose(file);
    }
    for (const char *is = output.text, *wanted = expected; *is || *wanted;) {
        size_t is_len = strcspn(is, "\n"), wanted_len = strcspn(wanted, "\n");
        ck_assert_msg(is_len == wanted_len && !memcmp(is, wanted, is_len), "is     %.*s\nwanted %.*s",
                      (int)is_len, is, (int)wanted_len, wanted);
        is += is_len + (is[is_len] == '\n');
        wanted += wanted_len + (wanted[wanted_len] == '\n');
    }
}

START_TEST(the_guest_of_task_switches_runs_in_software)
{
    static uint8_t image[256 * 1024];
    static struct bus_region uart = {.name = "uart", .base = UART, .len = 8, .ops = &uart_ops};
    static struct bus_region debug_exit = {.name = "exit", .base = DEBUG_EXIT, .len = 1, .ops = &exit_ops};
    struct guest_memory *memory;
    struct bus *bus, *ports;
    size_t len;
    read_file(VMM_GUEST_DIR "/flat/prot32-task.bin", image, sizeof(image), &len);
    ck_assert_int_eq(guest_memory_create(4 * MIB, MEMORY_ANONYMOUS, &memory, NULL), 0);
    ck_assert_int_eq(guest_mem_load(memory, IMAGE_GPA, image, len), 0);
    ck_assert_int_eq(bus_create(BUS_MEMORY, &bus, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_PORTS, &ports, NULL), 0);
    ck_assert_int_eq(bus_add(ports, &uart, NULL), 0);
    ck_assert_int_eq(bus_add(ports, &debug_exit, NULL), 0);
    run(&(struct step_machine){.memory = memory, .bus = bus, .ports = ports, .ops = &ops});
    compare(task_expected);
    bus_destroy(bus);
    bus_destroy(ports);
    guest_memory_destroy(memory);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, the_guest_of_task_switches_runs_in_software, 240);
}
