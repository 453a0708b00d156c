/* SPDX-License-Identifier: MIT
 *
 * libvmm as its users write it: create, add, load, run, destroy.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/api/guests.h"

START_TEST(a_guest_ends_with_its_value)
{
    test_need_kvm();
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x2a"), 4);
    struct vmm_end end = guest_run(machine);
    ck_assert_int_eq(end.reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.value, 0x2a);
    ck_assert_uint_eq(end.cpu, 0);
    vmm_destroy(machine);
}
END_TEST

START_TEST(null_config_is_the_default_machine)
{
    test_need_kvm();
    struct vmm *machine;
    ck_assert_int_eq(vmm_create(NULL, &machine, NULL), 0);
    uint8_t byte;
    ck_assert_int_eq(vmm_mem_read(machine, (128 << 20) - 1, &byte, 1), 0);
    ck_assert_int_eq(vmm_mem_read(machine, 128 << 20, &byte, 1), -EFAULT);
    ck_assert_int_eq(vmm_mem_fd(machine), -1);
    vmm_destroy(machine);
    vmm_destroy(NULL);
}
END_TEST

/* mov si, 0x7c00+text; lodsb; test al,al; jz done; mov dx,0x3f8; out dx,al; jmp lodsb; done: debug exit 1 */
#define PRINT(text) "\xbe\x12\x7c\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5" DEBUG_EXIT("\x01") text

static struct vmm *printing_guest(const char *code, size_t len, int out_fd)
{
    const struct vmm_serial_config serial = {.kind = VMM_SERIAL_DESCRIPTORS, .in_fd = -1, .out_fd = out_fd};
    struct vmm *machine = guest_create(NULL, code, len);
    ck_assert_int_eq(vmm_add_serial(machine, &serial, NULL), 0);
    return machine;
}

START_TEST(serial_output_reaches_the_descriptor)
{
    test_need_kvm();
    static const char code[] = PRINT("hello\n");
    int pipe_fds[2];
    char text[32] = "";
    ck_assert_int_eq(pipe(pipe_fds), 0);
    struct vmm *machine = printing_guest(code, sizeof(code), pipe_fds[1]);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    vmm_destroy(machine);
    ck_assert_int_eq(read(pipe_fds[0], text, sizeof(text) - 1), 6);
    ck_assert_str_eq(text, "hello\n");
}
END_TEST

START_TEST(a_line_that_the_guest_left_open_is_broken_once)
{
    test_need_kvm();
    static const char open[] = PRINT("one\ntwo"), whole[] = PRINT("one\ntwo\n");
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    struct vmm *machine = printing_guest(open, sizeof(open), pipe_fds[1]);
    ck_assert(!vmm_break_line(machine));
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert(vmm_break_line(machine));
    ck_assert(!vmm_break_line(machine));
    vmm_destroy(machine);
    machine = printing_guest(whole, sizeof(whole), pipe_fds[1]);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert(!vmm_break_line(machine));
    vmm_destroy(machine);
}
END_TEST

/* A device of the program's own: reads give 0x5a00 + offset, writes are remembered. */
static uint64_t seen_offset, seen_value;
static unsigned seen_size;

static uint64_t own_read(void *context, uint64_t offset, unsigned size)
{
    (void)size;
    return *(uint64_t *)context + offset;
}

static void own_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)context;
    seen_offset = offset;
    seen_size = size;
    seen_value = value;
}

static const struct vmm_region_ops own_ops = {.read = own_read, .write = own_write};

START_TEST(ports_of_the_programs_own)
{
    test_need_kvm();
    /* mov dx,0x502; in ax,dx; mov dx,0x504; out dx,ax; debug exit 0 */
    static const char code[] = "\xba\x02\x05\xed\xba\x04\x05\xef" DEBUG_EXIT("\x00");
    uint64_t base_value = 0x5a00;
    struct vmm *machine = guest_create(NULL, code, sizeof(code));
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_PORTS, "own", 0x500, 16, &own_ops, &base_value, NULL),
                     0);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(seen_offset, 4);
    ck_assert_uint_eq(seen_size, 2);
    ck_assert_uint_eq(seen_value, 0x5a02);
    vmm_destroy(machine);
}
END_TEST

START_TEST(memory_of_the_programs_own)
{
    test_need_kvm();
    /* RAM ends at 64K; mov ax,0xffff; mov ds,ax; mov eax,[0x14]: address 0x100004; mov [0x18],ax */
    static const char code[] = "\xb8\xff\xff\x8e\xd8\x66\xa1\x14\x00\xa3\x18\x00" DEBUG_EXIT("\x00");
    uint64_t base_value = 0x5a00;
    struct vmm_config config = {.ram_bytes = 64 << 10};
    struct vmm *machine = guest_create(&config, code, sizeof(code));
    ck_assert_int_eq(
        vmm_add_region(machine, VMM_SPACE_MEMORY, "own", 0x100000, 4096, &own_ops, &base_value, NULL), 0);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(seen_offset, 8);
    ck_assert_uint_eq(seen_size, 2);
    ck_assert_uint_eq(seen_value, 0x5a04);
    struct vmm_stats stats;
    vmm_stats_get(machine, &stats);
    ck_assert_uint_ge(stats.exit_count, *test_mmio_way() ? 1 : 3); /* run-ahead needs but one */
    ck_assert_uint_gt(stats.private_bytes, 0);
    ck_assert_uint_gt(stats.peak_bytes, stats.private_bytes);
    struct vmm_region_stat regions[8];
    ck_assert_uint_eq(vmm_stats_regions(machine, regions, 8), 2);
    ck_assert_uint_eq(regions[1].read_counts[2], 1);
    ck_assert_uint_eq(regions[1].write_counts[1], 1);
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_rom_is_read_and_its_writes_are_seen)
{
    test_need_kvm();
    /* ds = 0xffff; mov ax,[0x12]: address 0x100002; mov [0x14],ax; mov bx,[0x14]; out 0x80,bx's low byte */
    static const char code[] =
        "\xb8\xff\xff\x8e\xd8\xa1\x12\x00\xa3\x14\x00\x8b\x1e\x14\x00\xa2\x16\x00" DEBUG_EXIT("\x00");
    static uint8_t rom[4096] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct vmm_config config = {.ram_bytes = 64 << 10};
    struct vmm_error error;
    struct vmm *machine = guest_create(&config, code, sizeof(code));
    ck_assert_int_eq(vmm_add_rom(machine, "rom", 0x100000, rom, 4095, NULL, NULL, &error), -EINVAL);
    ck_assert_int_eq(vmm_add_rom(machine, "rom", 0x100000, rom, sizeof(rom), &own_ops, NULL, &error), 0);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(seen_offset, 6);
    ck_assert_uint_eq(seen_value, 3);
    uint8_t back[8];
    ck_assert_int_eq(vmm_mem_read(machine, 0x100000, back, 8), 0);
    ck_assert_mem_eq(back, rom, 8);
    struct vmm_region_stat regions[8];
    ck_assert_uint_eq(vmm_stats_regions(machine, regions, 8), 2);
    ck_assert_str_eq(regions[1].engine, "rom");
    ck_assert_uint_eq(regions[1].read_counts[1], 0);
    ck_assert_uint_eq(regions[1].write_counts[1], 1);
    vmm_destroy(machine);
}
END_TEST

START_TEST(end_and_error_may_be_null)
{
    test_need_kvm();
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x00"), 4);
    ck_assert_int_eq(vmm_run(machine, NULL, NULL), 0);
    ck_assert_int_eq(vmm_run(machine, NULL, NULL), -EALREADY);
    vmm_destroy(machine);
}
END_TEST

/* Past what fits into nanoseconds, a time limit is none. */
START_TEST(an_enormous_time_limit_does_not_wrap)
{
    test_need_kvm();
    struct vmm_config config = {.timeout_ms = UINT64_MAX / 1000000 + 2};
    /* mov cx,0; loop to itself: long enough for a limit that wrapped to pass */
    struct vmm *machine = guest_create(&config, "\xb9\x00\x00\xe2\xfe" DEBUG_EXIT("\x00"), 9);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    vmm_destroy(machine);
}
END_TEST

START_TEST(guest_memory_is_reached_within_its_bounds)
{
    test_need_kvm();
    struct vmm_config config = {.ram_bytes = 1 << 20, .mem_backing = VMM_MEM_SHARED};
    struct vmm *machine = guest_create(&config, DEBUG_EXIT("\x00"), 4);
    char bytes[4];
    ck_assert_int_eq(vmm_mem_read(machine, 0x7c00, bytes, 4), 0);
    ck_assert_mem_eq(bytes, DEBUG_EXIT("\x00"), 4);
    ck_assert_int_eq(vmm_mem_write(machine, (1 << 20) - 3, bytes, 4), -EFAULT);
    ck_assert_int_eq(vmm_mem_read(machine, UINT64_MAX, bytes, 4), -EFAULT);
    char *shared = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, vmm_mem_fd(machine), 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    ck_assert_mem_eq(shared + 0x7c00, DEBUG_EXIT("\x00"), 4);
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_dead_guest_is_reported)
{
    test_need_kvm();
    static struct guest_log log;
    struct vmm_config config = {
        .log = guest_log_line, .log_context = &log, .log_level = VMM_LOG_ERROR, .irqchip = VMM_IRQCHIP_NONE};
    /* mov ax,0x1234; cli; hlt */
    struct vmm *machine = guest_create(&config, "\xb8\x34\x12\xfa\xf4", 5);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_HALTED);
    static const char *const parts[] = {"halted (HLT)",
                                        "rax 0000000000001234",
                                        "rip 0000000000007c05",
                                        "16-bit code",
                                        "cr0 ",
                                        "the last 1 of 1 exits",
                                        "#0 HLT",
                                        "before rip"};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        ck_assert_msg(strstr(log.text, parts[i]) != NULL, "no '%s' in\n%s", parts[i], log.text);
    vmm_destroy(machine);
}
END_TEST

/* in al,0x80; lidt [0x600], which is all zeros; mov eax,cr0; or al,1; mov cr0,eax; ud2. In protected mode,
 * since a KVM that interprets real mode does not look at the limit of its interrupt table. */
#define TRIPLE_FAULT "\xe4\x80\x0f\x01\x1e\x00\x06\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\x0f\x0b"

START_TEST(a_triple_fault_is_reported)
{
    test_need_kvm();
    static struct guest_log log;
    const struct vmm_config config = {.log = guest_log_line, .log_context = &log, .log_level = VMM_LOG_ERROR};
    struct vmm *machine = guest_create(&config, TRIPLE_FAULT, sizeof(TRIPLE_FAULT) - 1);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_TRIPLE_FAULT);
    ck_assert_ptr_nonnull(strstr(log.text, "vCPU 0: triple fault"));
    ck_assert_ptr_nonnull(strstr(log.text, "SHUTDOWN"));
    /* Where it was, or why nobody knows; but not where a CPU is reset to. */
    bool is_lost = strstr(log.text, "its registers are lost");
    ck_assert_msg(is_lost != (strstr(log.text, "rip 0000000000007c0f") != NULL), "%s", log.text);
    ck_assert_ptr_null(strstr(log.text, "rip 000000000000fff0"));
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_triple_fault_is_a_reset_where_that_is_asked_for)
{
    test_need_kvm();
    static struct guest_log log;
    const struct vmm_config config = {
        .log = guest_log_line, .log_context = &log, .log_level = VMM_LOG_ERROR, .triple_fault_resets = true};
    struct vmm *machine = guest_create(&config, TRIPLE_FAULT, sizeof(TRIPLE_FAULT) - 1);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_RESET);
    ck_assert_str_eq(log.text, "");
    vmm_destroy(machine);
}
END_TEST

START_TEST(the_host_can_be_asked)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    ck_assert(host.usable || host.error.message[0]);
    ck_assert(!host.usable || host.fact_count > 5);
    ck_assert_str_eq(vmm_end_name(VMM_END_TRIPLE_FAULT), "triple fault");
    ck_assert_ptr_nonnull(vmm_version());
}
END_TEST

/* Vector 13 goes to the handler behind the entry code; it counts in di, and reads the unknown MSR anew, which
 * is another #GP, until it has been there three times. */
START_TEST(an_unknown_msr_is_a_fault_and_one_warning)
{
    test_need_kvm();
    static const char code[] = "\xc7\x06\x34\x00\x14\x7c" /* 7c00 */
                               "\xc7\x06\x36\x00\x00\x00" /* 7c06 */
                               "\x66\xb9\x34\x12\xde\xc0" /* 7c0c */
                               "\x31\xff"                 /* 7c12 */
                               "\x47"                     /* 7c14 handler: inc di */
                               "\x83\xff\x03"             /* 7c15 cmp di,3 */
                               "\x74\x02"                 /* 7c18 je end */
                               "\x0f\x32"                 /* 7c1a rdmsr */
        DEBUG_EXIT("\x07");
    static struct guest_log log;
    const struct vmm_config config = {
        .log = guest_log_line, .log_context = &log, .log_level = VMM_LOG_WARNING};
    struct vmm *machine = guest_create(&config, code, sizeof(code));
    struct vmm_end end = guest_run(machine);
    vmm_destroy(machine);
    ck_assert_int_eq(end.reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.value, 7);
    if (!log.text[0])
        test_skip("this host's KVM does not hand unknown MSRs over");
    ck_assert_str_eq(log.text, "vCPU 0: KVM refuses to read MSR 0xc0de1234: the guest gets #GP\n");
}
END_TEST

/* mov dx,PORT; mov ax,VALUE; out dx,ax (or al); hlt */
START_TEST(acpis_devices_end_the_run)
{
    test_need_kvm();
    static const struct {
        char code[9];
        enum vmm_end_reason reason;
    } rows[] = {{"\xba\x04\x06\xb8\x00\x34\xef\xf4", VMM_END_POWER_OFF},
                {"\xba\xf9\x0c\xb8\x06\x00\xee\xf4", VMM_END_RESET},
                {"\xba\x05\x05\xb8\x01\x00\xee\xf4", VMM_END_PANIC}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct vmm_image image = {
            .bytes = rows[i].code, .len = sizeof(rows[i].code), .flat = VMM_FLAT_REAL16};
        struct vmm *machine;
        ck_assert_int_eq(vmm_create(NULL, &machine, NULL), 0);
        ck_assert_int_eq(vmm_dump_acpi(machine, "/tmp", NULL), -ENOENT);
        ck_assert_int_eq(vmm_add_acpi(machine, NULL), 0);
        ck_assert_int_eq(vmm_load(machine, &image, NULL), 0);
        ck_assert_int_eq(vmm_dump_acpi(machine, "/tmp", NULL), -ENOENT); /* a flat image */
        vmm_press_power_button(machine);
        struct vmm_end end = guest_run(machine);
        ck_assert_msg(end.reason == rows[i].reason, "%zu: %s", i, vmm_end_name(end.reason));
        vmm_destroy(machine);
    }
}
END_TEST

/* ECX of leaf 1 as the guest reads it: what KVM reports, and what the machine adds to that. */
static uint32_t leaf1_ecx(const char *features)
{
    static const char code[] = "\x66\xb8\x01\x00\x00\x00\x0f\xa2\x66\x89\xc8\x66\xe7\xf4";
    const struct vmm_config config = {.cpu_features = features, .irqchip = VMM_IRQCHIP_KERNEL};
    struct vmm *machine = guest_create(&config, code, sizeof(code) - 1);
    struct vmm_end end = guest_run(machine);
    vmm_destroy(machine);
    ck_assert_msg(end.reason == VMM_END_DEBUG_EXIT, "%s", vmm_end_name(end.reason));
    return end.value;
}

START_TEST(a_feature_that_was_taken_out_is_gone)
{
    static const struct {
        const char *name;
        unsigned bit;
    } rows[] = {{"-x2apic", 21}, {"-tsc_deadline_timer", 24}, {"-hypervisor", 31}, {"-cx16", 13}};
    test_need_kvm();
    uint32_t before = leaf1_ecx(NULL);
    if (!(before >> 31 & 1))
        test_skip("KVM shows the guest this host's CPUID");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        ck_assert_msg(leaf1_ecx(rows[i].name) == (before & ~(1u << rows[i].bit)), "%s: %#x instead of %#x",
                      rows[i].name, leaf1_ecx(rows[i].name), before & ~(1u << rows[i].bit));
}
END_TEST

/* What a flat guest finds in the register at 0x4d1, as its exit's value: mov dx, 0x4d1; in al, dx; out 0xf4,
 * al */
static uint32_t level_triggered_lines(bool has_pci)
{
    static const char code[] = "\xba\xd1\x04\xec\xe6\xf4";
    const struct vmm_config config = test_mmio_config((struct vmm_config){.irqchip = VMM_IRQCHIP_KERNEL});
    const struct vmm_image image = {.bytes = code, .len = 6, .flat = VMM_FLAT_REAL16};
    struct vmm *machine;
    ck_assert_int_eq(vmm_create(&config, &machine, NULL), 0);
    ck_assert_int_eq(vmm_add_debug_exit(machine, 0xf4, NULL), 0);
    if (has_pci)
        ck_assert_int_eq(vmm_add_pci(machine, NULL), 0);
    ck_assert_int_eq(vmm_load(machine, &image, NULL), 0);
    struct vmm_end end;
    int result = vmm_run(machine, &end, NULL);
    vmm_destroy(machine);
    if (result == -ENOTSUP)
        test_skip("this KVM has no interrupt controllers");
    ck_assert_int_eq(result, 0);
    return end.value;
}

/* IRQs 10 and 11: a guest that knows the PIC only would lose interrupts of a line that two functions drive.
 */
START_TEST(pcis_lines_are_level_triggered)
{
    test_need_kvm();
    ck_assert_uint_eq(level_triggered_lines(false), 0);
    ck_assert_uint_eq(level_triggered_lines(true), 0x0c);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, pcis_lines_are_level_triggered);
    test_add(suite, a_feature_that_was_taken_out_is_gone);
    test_add(suite, an_unknown_msr_is_a_fault_and_one_warning);
    test_add(suite, acpis_devices_end_the_run);
    test_add(suite, a_guest_ends_with_its_value);
    test_add(suite, null_config_is_the_default_machine);
    test_add(suite, serial_output_reaches_the_descriptor);
    test_add(suite, a_line_that_the_guest_left_open_is_broken_once);
    test_add(suite, ports_of_the_programs_own);
    test_add(suite, memory_of_the_programs_own);
    test_add(suite, a_rom_is_read_and_its_writes_are_seen);
    test_add(suite, end_and_error_may_be_null);
    test_add(suite, an_enormous_time_limit_does_not_wrap);
    test_add(suite, guest_memory_is_reached_within_its_bounds);
    test_add(suite, a_dead_guest_is_reported);
    test_add(suite, a_triple_fault_is_reported);
    test_add(suite, a_triple_fault_is_a_reset_where_that_is_asked_for);
    test_add(suite, the_host_can_be_asked);
}
