/* SPDX-License-Identifier: MIT
 *
 * A virtio disk under load: interrupts, many requests at once, all CPUs, resets, and what a driver may never
 * do. The first disk's content is overwritten.
 */
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/disk.h"
#include "guest/pci.h"
#include "guest/smp.h"
#include "guest/trap.h"

#define VECTOR_DISK 0x34 /* and one for each further queue */
#define FLOOD_COUNT 200u

/* Of each queue; by pin, all of them are the first one's. */
static volatile uint32_t interrupts[VQ_COUNT_MAX];
static volatile uint32_t reasons; /* VIRTIO_ISR_*, of all interrupts by pin */

static void pin_handler(void)
{
    uint32_t why = virtio_interrupt_take(&disk);
    reasons |= why;
    if (why) /* others may share the pin */
        interrupts[0]++;
    lapic_eoi();
}

static void message_handler(void)
{
    interrupts[0]++;
    lapic_eoi();
}

/* Reads one at a time, each of which ends with an interrupt. */
static bool read_by_interrupts(unsigned queue, unsigned count)
{
    struct vq *vq = disk.queues + queue;
    struct disk_header *header = headers + DEPTH * queue;
    uint8_t *at = data + DATA_BYTES * queue;
    for (uint32_t n = 0; n < count; n++) {
        uint16_t id, back;
        uint32_t written;
        interrupts[queue] = 0;
        vq_interrupts_set(vq, true);
        if (!send(vq, header, TYPE_IN, n, at, SECTOR, plain, &id))
            return false;
        vq_kick(vq);
        if (!wait_for_count(interrupts + queue, 1, WAIT_US) || !vq_take(vq, &back, &written) || back != id ||
            written != SECTOR + 1 || MEM(uint8_t, &header->status) != STATUS_OK)
            return false;
    }
    return true;
}

/* On both rings, with and without the event index; and none where none is wanted. */
static void check_interrupts(const uint16_t *vectors)
{
    bool has_packed = disk_has_packed();
    for (unsigned options = 0; options < (has_packed ? 4u : 2u); options++) {
        CHECK(virtio_start(&disk, ring_features(options & 2, false, options & 1), 1, 16, vectors));
        CHECK(read_by_interrupts(0, 20));
        interrupts[0] = 0;
        vq_interrupts_set(disk.queues, false);
        CHECK_EQUAL(request(disk.queues, TYPE_IN, 0, data, SECTOR, plain), STATUS_OK);
        CHECK(!wait_for_count(interrupts, 1, 2000));
    }
    virtio_reset(&disk);
}

void test_disk_msix(void)
{
    static const uint16_t vectors[] = {0};
    NEED_DISK();
    SKIP_IF(!apics.has_lapic, "no local APIC");
    SKIP_IF(disk.slot == PCI_NONE, "no PCI device");
    irq_handler_set(VECTOR_DISK, message_handler);
    SKIP_IF(!pci_msix_set(disk.slot, 0, 0, VECTOR_DISK), "the device has no MSI-X");
    check_interrupts(vectors);
    pci_msix_off(disk.slot);
}

/* INTx of PCI, or the line of an MMIO device: level-triggered, and down when its reason has been read. */
void test_disk_pin(void)
{
    NEED_DISK();
    SKIP_IF(!apics.has_ioapic, "no I/O APIC");
    SKIP_IF(disk.pin >= apics.ioapic_pins, "the device has no pin of the I/O APIC");
    reasons = 0;
    irq_handler_set(VECTOR_DISK, pin_handler);
    ioapic_route(disk.pin, VECTOR_DISK | IOAPIC_LEVEL | (disk.slot == PCI_NONE ? 0 : IOAPIC_LOW));
    check_interrupts(NULL);
    ioapic_route(disk.pin, IOAPIC_MASKED);
    CHECK_EQUAL(reasons, VIRTIO_ISR_QUEUE);
}

void test_disk_flood(void)
{
    NEED_DISK();
    bool has_packed = disk_has_packed();
    SKIP_IF(disk_capacity() < 256, "the disk is too small");
    for (unsigned options = 0; options < (has_packed ? 8u : 4u); options++) {
        CHECK(virtio_start(&disk, ring_features(options & 4, options & 2, options & 1), 1, 64, NULL));
        CHECK(disk_write_offsets(32));
        CHECK(disk_flood(disk.queues, 0, FLOOD_COUNT));
    }
}

static bool results[VQ_COUNT_MAX];

static void flood_work(struct cpu *cpu)
{
    results[cpu->index] = disk_flood(&disk.queues[cpu->index], cpu->index, FLOOD_COUNT);
}

/* On this CPU and `count` - 1 others, each with the queue of its number. */
static void run_on_all(unsigned count, work_fn *work)
{
    for (unsigned i = 1; i < count; i++)
        smp_run(smp_cpu(i), work);
    work(smp_cpu(0));
    for (unsigned i = 1; i < count; i++)
        for (unsigned tries = 0; tries < 30 && !smp_wait(smp_cpu(i)); tries++)
            ;
    for (unsigned i = 0; i < count; i++)
        CHECK(results[i]);
}

static unsigned queues_for_cpus(void)
{
    unsigned count = smp.count < VQ_COUNT_MAX ? smp.count : VQ_COUNT_MAX;
    return virtio_queue_size(&disk, count - 1) ? count : 0;
}

void test_disk_smp(void)
{
    NEED_DISK();
    unsigned count = queues_for_cpus();
    SKIP_IF(smp.count < 2, "one CPU");
    SKIP_IF(!count, "the disk has not a queue for each CPU");
    CHECK(virtio_start(&disk, ring_features(false, false, true), count, 64, NULL));
    CHECK(disk_write_offsets(count * 32));
    run_on_all(count, flood_work);
}

static void queue_handler(void)
{
    interrupts[cpu_this()->index]++;
    lapic_eoi();
}

static void read_work(struct cpu *cpu)
{
    results[cpu->index] = read_by_interrupts(cpu->index, 20);
}

/* A message for each queue, each to the CPU that uses it. */
void test_disk_msix_smp(void)
{
    NEED_DISK();
    unsigned count = queues_for_cpus();
    uint16_t vectors[VQ_COUNT_MAX];
    SKIP_IF(smp.count < 2, "one CPU");
    SKIP_IF(!count, "the disk has not a queue for each CPU");
    SKIP_IF(disk.slot == PCI_NONE, "no PCI device");
    irq_handler_set(VECTOR_DISK, queue_handler);
    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (uint16_t)i;
        SKIP_IF(!pci_msix_set(disk.slot, i, smp_cpu(i)->apic_id, VECTOR_DISK), "the device has no MSI-X");
    }
    CHECK(virtio_start(&disk, ring_features(false, false, true), count, 16, vectors));
    run_on_all(count, read_work);
    virtio_reset(&disk);
    pci_msix_off(disk.slot);
}

/* The device, then a queue of it, is reset with requests in flight; afterwards nothing of them is written. */
void test_disk_reset(void)
{
    NEED_DISK();
    uint16_t id;
    for (unsigned round = 0; round < 20; round++) {
        CHECK(virtio_start(&disk, DISK_F_USUAL | VIRTIO_F_RING_RESET, 1, 64, NULL));
        bool by_queue = round & 1 && disk.features & VIRTIO_F_RING_RESET;
        for (unsigned i = 0; i < DEPTH; i++)
            CHECK(send(disk.queues, headers + i, TYPE_IN, i, data + i * SECTOR, SECTOR, plain, &id));
        vq_kick(disk.queues);
        if (by_queue)
            CHECK(virtio_queue_reset(&disk, 0));
        else
            virtio_reset(&disk);
        fill(data, DEPTH * SECTOR, 12ull << 40);
        if (by_queue)
            CHECK(virtio_queue_start(&disk, 0, 64, VQ_NO_VECTOR));
        else
            CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 64, NULL));
        delay_us(200);
        CHECK(is_filled(data, DEPTH * SECTOR, 12ull << 40));
        CHECK_EQUAL(request(disk.queues, TYPE_IN, 0, data, SECTOR, plain), STATUS_OK);
    }
}

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 12) % below;
}

/* A register of the transport, and a value that may mean something there: a queue, a size, 0 and 1 as often
 * as not. Areas of a queue only ever lie in the data pages, which the device may then write to. */
static void write_at_random(uint32_t *state)
{
    bool is_mmio = disk.slot == PCI_NONE;
    uint32_t areas = is_mmio ? 0x80 : 0x20, areas_end = is_mmio ? 0xb0 : 0x38;
    uint32_t offset = draw(state, is_mmio ? 0x100 : 0x40), width = 1u << draw(state, 3);
    uint32_t choice = draw(state, 4);
    uint32_t value = choice == 0 ? draw(state, 2) : choice == 1 ? draw(state, 8) : draw(state, 0x10000);
    offset &= ~(width - 1);
    if (offset >= areas && offset < areas_end) {
        offset &= ~7u;
        width = 4;
        value = (uint32_t)(uint64_t)data + PAGE_BYTES * draw(state, DATA_PAGES);
    }
    if (width == 1)
        MEM(uint8_t, disk.common + offset) = (uint8_t)value;
    else if (width == 2)
        MEM(uint16_t, disk.common + offset) = (uint16_t)value;
    else
        MEM(uint32_t, disk.common + offset) = value;
}

/* A notification of a queue that may not be one, at a place that may not be one. */
static void notify_at_random(uint32_t *state)
{
    if (disk.slot == PCI_NONE)
        MEM(uint32_t, disk.queues->notify) = draw(state, 4);
    else
        MEM(uint16_t, disk.notify + draw(state, 64) * 2) = (uint16_t)draw(state, 4);
}

/* Every register is written at any moment while requests run, in every width.
 * Whatever the device makes of that: a reset brings it back, and the machine goes on. */
void test_disk_hostile(void)
{
    NEED_DISK();
    uint32_t random = 12345;
    uint16_t id;
    for (unsigned round = 0; round < 48; round++) {
        uint64_t features = ring_features(round & 1, round & 2, round & 4) | VIRTIO_F_RING_RESET;
        CHECK(virtio_start(&disk, features, 1, 64, NULL));
        for (unsigned n = 0; n < 48; n++) {
            if (n % 4 == 0)
                for (unsigned i = 0; i < 4; i++)
                    send(disk.queues, headers + i, TYPE_IN, n + i, data + i * SECTOR, SECTOR, plain, &id);
            vq_kick(disk.queues);
            write_at_random(&random);
            notify_at_random(&random);
        }
        virtio_reset(&disk);
        CHECK_EQUAL(virtio_status(&disk), 0);
    }
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 64, NULL));
    CHECK(round_trip(disk.queues, 9, SECTOR, plain, 13ull << 40));
}
