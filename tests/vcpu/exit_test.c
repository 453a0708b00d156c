/* SPDX-License-Identifier: MIT
 *
 * Exits that are accesses, made up in a page as KVM shares it, by each of the ways to their device: the
 * loop's short one, and those behind a coalesced ring, in a machine with trapped regions, and in a traced
 * one.
 */
#include "vcpu/exit.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/harness.h"
#include "vcpu/coalesced.h"
#include "vcpu/exit_access.h"

#define PORT 0x300u
#define GPA  0xd0000000u

static union {
    struct kvm_run run;
    uint8_t bytes[2 * PAGE_BYTES];
} pages;
static union {
    struct kvm_coalesced_mmio_ring ring;
    uint8_t bytes[PAGE_BYTES];
} ring_page;

static char seen[400];
static struct lock lock;
static struct bus_region port, memory;
static struct coalesced_ring coalesced;
static struct vcpu_machine machine;
static struct vcpu vcpu;

static uint64_t probe_read(void *device, uint64_t offset, unsigned size)
{
    size_t len = strlen(seen);
    snprintf(seen + len, sizeof(seen) - len, "%s:r%u@%llu ", (const char *)device, size,
             (unsigned long long)offset);
    return 0x8877665544332211ull;
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    size_t len = strlen(seen);
    snprintf(seen + len, sizeof(seen) - len, "%s:w%u@%llu=%llx ", (const char *)device, size,
             (unsigned long long)offset, (unsigned long long)value);
}

static const struct bus_ops probe_ops = {.read = probe_read, .write = probe_write};

static struct bus_region region(char *name, uint64_t base)
{
    return (struct bus_region){
        .name = name, .base = base, .len = 16, .ops = &probe_ops, .device = name, .lock = &lock};
}

static const unsigned ways[] = {0, VCPU_COALESCED, VCPU_TRAPPED, VCPU_TRACED, VCPU_TRACED | VCPU_COALESCED};

static void set_up(unsigned on_exit)
{
    seen[0] = 0;
    memset(&pages, 0, sizeof(pages));
    memset(&ring_page, 0, sizeof(ring_page));
    port = region("port", PORT);
    memory = region("memory", GPA);
    machine = (struct vcpu_machine){.run_ahead = true, .coalesced = &coalesced};
    ck_assert_int_eq(bus_create(BUS_PORTS, &machine.ports, NULL), 0);
    ck_assert_int_eq(bus_create(BUS_MEMORY, &machine.memory_bus, NULL), 0);
    ck_assert_int_eq(bus_add(machine.ports, &port, NULL), 0);
    ck_assert_int_eq(bus_add(machine.memory_bus, &memory, NULL), 0);
    coalesced = (struct coalesced_ring){.ring = &ring_page.ring,
                                        .ports = machine.ports,
                                        .memory_bus = machine.memory_bus,
                                        .lock = PTHREAD_MUTEX_INITIALIZER};
    vcpu = (struct vcpu){.machine = &machine, .run = &pages.run, .fd = -1, .on_exit = on_exit};
}

static void tear_down(void)
{
    ck_assert_uint_eq(lock.state, LOCK_FREE);
    bus_destroy(machine.ports);
    bus_destroy(machine.memory_bus);
}

/* As the vCPU's loop does. */
static void handle(void)
{
    enum vcpu_end end;
    if (!exit_is_access(&vcpu, 0))
        ck_assert(vcpu_handle_exit(&vcpu, 0, &end));
}

static uint8_t *port_exit(bool is_write, unsigned size, unsigned count)
{
    pages.run.exit_reason = KVM_EXIT_IO;
    pages.run.io.direction = is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    pages.run.io.size = (uint8_t)size;
    pages.run.io.port = PORT + 4;
    pages.run.io.count = count;
    pages.run.io.data_offset = PAGE_BYTES;
    return pages.bytes + PAGE_BYTES;
}

static uint8_t *memory_exit(bool is_write, unsigned size)
{
    pages.run.exit_reason = KVM_EXIT_MMIO;
    pages.run.mmio.phys_addr = GPA + 8;
    pages.run.mmio.len = size;
    pages.run.mmio.is_write = is_write;
    return pages.run.mmio.data;
}

/* What is known of the last exit, beside its value. */
static void check_note(uint32_t reason, bool is_write, unsigned size, uint64_t value)
{
    const struct exit_note *note = &vcpu.history[vcpu.exit_count - 1];
    ck_assert_uint_eq(note->reason, reason);
    ck_assert_uint_eq(note->access.is_write, is_write);
    ck_assert_uint_eq(note->access.size, size);
    ck_assert_uint_eq(note->access.count, 1);
    ck_assert_uint_eq(note->value & size_mask(size), value);
    if (reason == KVM_EXIT_IO)
        ck_assert_uint_eq(note->access.port, PORT + 4);
    else
        ck_assert_uint_eq(note->address, GPA + 8);
    ck_assert_uint_eq(vcpu.seen.ended != 0, (vcpu.on_exit & VCPU_TRACED) != 0);
}

START_TEST(ports_by_every_way)
{
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        set_up(ways[way]);
        store_le32(port_exit(true, 2, 1), 0x55443322);
        handle();
        check_note(KVM_EXIT_IO, true, 2, 0x3322);
        uint8_t *data = port_exit(false, 1, 1);
        handle();
        check_note(KVM_EXIT_IO, false, 1, 0x11);
        ck_assert_uint_eq(*data, 0x11);
        ck_assert_str_eq(seen, "port:w2@4=3322 port:r1@4 ");
        ck_assert_uint_eq(vcpu.exit_count, 2);
        ck_assert_uint_eq(vcpu.reason_counts[KVM_EXIT_IO], 2);
        ck_assert_uint_eq(port.write_counts[2], 1);
        ck_assert_uint_eq(port.read_counts[1], 1);
        tear_down();
    }
}
END_TEST

START_TEST(strings_by_every_way)
{
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        set_up(ways[way]);
        memcpy(port_exit(true, 1, 3), "\1\2\3", 3);
        handle();
        uint8_t *data = port_exit(false, 2, 2);
        handle();
        ck_assert_str_eq(seen, "port:w1@4=1 port:w1@4=2 port:w1@4=3 port:r2@4 port:r2@4 ");
        ck_assert_uint_eq(load_le64(data), 0x22112211);
        ck_assert_uint_eq(vcpu.history[1].access.count, 2);
        ck_assert_uint_eq(vcpu.history[1].value, 0x2211);
        tear_down();
    }
}
END_TEST

START_TEST(memory_by_every_way)
{
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        set_up(ways[way]);
        for (unsigned round = 1; round <= 2; round++) { /* the second without a search */
            seen[0] = 0;
            store_le64(memory_exit(true, 4), 0x8877665544332211);
            handle();
            check_note(KVM_EXIT_MMIO, true, 4, 0x44332211);
            uint8_t *data = memory_exit(false, 8);
            handle();
            check_note(KVM_EXIT_MMIO, false, 8, 0x8877665544332211);
            ck_assert_uint_eq(load_le64(data), 0x8877665544332211);
            ck_assert_str_eq(seen, "memory:w4@8=44332211 memory:r8@8 ");
            ck_assert_uint_eq(memory.write_counts[4], round);
            ck_assert_uint_eq(memory.read_counts[8], round);
        }
        ck_assert_uint_eq(vcpu.reason_counts[KVM_EXIT_MMIO], 4);
        ck_assert(!vcpu.ahead_wanted);
        tear_down();
    }
}
END_TEST

START_TEST(collected_writes_come_first)
{
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        set_up(ways[way]);
        ring_page.ring.coalesced_mmio[0] = (struct kvm_coalesced_mmio){
            .phys_addr = GPA, .len = 1, .data = {9}};
        ring_page.ring.last = 1;
        memory_exit(false, 1);
        handle();
        bool is_drained = ways[way] & VCPU_COALESCED;
        ck_assert_str_eq(seen, is_drained ? "memory:w1@0=9 memory:r1@8 " : "memory:r1@8 ");
        tear_down();
    }
}
END_TEST

START_TEST(behind_a_trapped_region_software_goes_on)
{
    set_up(VCPU_TRAPPED);
    memory.is_trapped = true;
    store_le64(memory_exit(true, 1), 5);
    handle();
    ck_assert_str_eq(seen, "memory:w1@8=5 ");
    ck_assert(vcpu.ahead_wanted);
    tear_down();
}
END_TEST

START_TEST(other_exits_are_not_taken_for_accesses)
{
    enum vcpu_end end = VCPU_KICKED;
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        set_up(ways[way]);
        memory_exit(true, 1);
        ck_assert(!exit_is_access(&vcpu, -EINTR));
        pages.run.exit_reason = KVM_EXIT_HLT;
        ck_assert(!exit_is_access(&vcpu, 0));
        ck_assert_uint_eq(vcpu.exit_count, 0);
        ck_assert(!vcpu_handle_exit(&vcpu, 0, &end));
        ck_assert_int_eq(end, VCPU_HALTED);
        ck_assert_uint_eq(vcpu.reason_counts[KVM_EXIT_HLT], 1);
        ck_assert_str_eq(seen, "");
        tear_down();
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, ports_by_every_way);
    test_add(suite, strings_by_every_way);
    test_add(suite, memory_by_every_way);
    test_add(suite, collected_writes_come_first);
    test_add(suite, behind_a_trapped_region_software_goes_on);
    test_add(suite, other_exits_are_not_taken_for_accesses);
}
