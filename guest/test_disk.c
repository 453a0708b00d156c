/* SPDX-License-Identifier: MIT
 *
 * A virtio disk, by a driver of our own: both rings, chains of every shape, polled and with interrupts, all
 * CPUs at once, and what a driver may never do. The first disk's content is overwritten.
 */
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/page.h"
#include "guest/pci.h"
#include "guest/smp.h"
#include "guest/test.h"
#include "guest/trap.h"
#include "guest/virtio.h"

#define F_FLUSH        (1ull << 9)
#define F_WRITE_ZEROES (1ull << 14)
#define F_MQ           (1ull << 12)
#define F_USUAL        (F_FLUSH | F_WRITE_ZEROES | F_MQ)

#define CONFIG_CAPACITY 0
#define CONFIG_QUEUES   34

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_ZEROES = 13, TYPE_BAD = 77 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_NONE = 0xee };

#define SECTOR      512u
#define DATA_PAGES  4u
#define DATA_BYTES  (DATA_PAGES * (uint32_t)PAGE_BYTES)
#define DEPTH       16u
#define WAIT_US     10000000u
#define VECTOR_DISK 0x34
#define FLOOD_COUNT 200u

/* Headers of 16 bytes with their status behind, DEPTH of them for each queue. */
struct header {
    uint32_t type, reserved;
    uint64_t sector;
    uint8_t status, padding[15];
};

static struct virtio disk, other;
static struct header *headers; /* a page */
static uint8_t *data;          /* DATA_PAGES of them for each queue */
static volatile uint32_t interrupts;

static bool find_disk(void)
{
    if (!headers)
        headers = page_alloc();
    if (!data)
        data = page_alloc_range(DATA_PAGES * VQ_COUNT_MAX, PAGE_BYTES);
    return headers && data && virtio_find(VIRTIO_ID_BLOCK, 0, &disk);
}

#define NEED_DISK() SKIP_IF(!find_disk(), "no virtio disk on PCI")

static uint64_t capacity(void)
{
    return MEM(uint32_t, disk.config + CONFIG_CAPACITY) |
           (uint64_t)MEM(uint32_t, disk.config + CONFIG_CAPACITY + 4) << 32;
}

static void fill(uint8_t *at, uint32_t len, uint64_t seed)
{
    for (uint32_t i = 0; i < len; i += 8)
        MEM(uint64_t, at + i) = seed + i;
}

static bool is_filled(const uint8_t *at, uint32_t len, uint64_t seed)
{
    for (uint32_t i = 0; i < len; i += 8)
        if (MEM(const uint64_t, at + i) != seed + i)
            return false;
    return true;
}

/* How a request is spread over buffers: `head` bytes of its header apart from the rest, and data in `pieces`
 * of odd lengths. */
struct shape {
    unsigned head, pieces;
};

static unsigned shape_buffers(struct vq_buffer *buffers, struct header *header, uint8_t *at, uint32_t len,
                              struct shape shape)
{
    unsigned count = 0;
    bool is_read = header->type == TYPE_IN || header->type == TYPE_GET_ID;
    if (shape.head)
        buffers[count++] = (struct vq_buffer){header, shape.head, false};
    buffers[count++] = (struct vq_buffer){(uint8_t *)header + shape.head, 16 - shape.head, false};
    for (unsigned i = 0; i < shape.pieces && len; i++) {
        uint32_t part = i + 1 == shape.pieces ? len : len / 3 + 1;
        buffers[count++] = (struct vq_buffer){at, part, is_read};
        at += part;
        len -= part;
    }
    buffers[count++] = (struct vq_buffer){&header->status, 1, true};
    return count;
}

static bool send(struct vq *vq, struct header *header, uint32_t type, uint64_t sector, uint8_t *at,
                 uint32_t len, struct shape shape, uint16_t *id)
{
    struct vq_buffer buffers[VQ_CHAIN_MAX];
    *header = (struct header){.type = type, .sector = sector, .status = STATUS_NONE};
    return vq_add(vq, buffers, shape_buffers(buffers, header, at, len, shape), id);
}

static bool wait_for(struct vq *vq, uint16_t *id)
{
    uint32_t written;
    for (uint64_t deadline = deadline_after_us(WAIT_US); !deadline_passed(deadline);)
        if (vq_take(vq, id, &written))
            return true;
    return false;
}

/* One request from its begin to its end; STATUS_NONE where it did not come back. */
static uint8_t request(struct vq *vq, uint32_t type, uint64_t sector, uint8_t *at, uint32_t len,
                       struct shape shape)
{
    uint16_t id, back;
    if (!send(vq, headers, type, sector, at, len, shape, &id))
        return STATUS_NONE;
    vq_kick(vq);
    if (!wait_for(vq, &back) || back != id)
        return STATUS_NONE;
    return MEM(uint8_t, &headers->status);
}

static const struct shape plain = {0, 1};

static bool round_trip(struct vq *vq, uint64_t sector, uint32_t len, struct shape shape, uint64_t seed)
{
    fill(data, len, seed);
    if (request(vq, TYPE_OUT, sector, data, len, shape) != STATUS_OK)
        return false;
    memset(data, 0, len);
    return request(vq, TYPE_IN, sector, data, len, shape) == STATUS_OK && is_filled(data, len, seed);
}

static uint64_t ring_features(bool packed, bool indirect, bool event)
{
    return F_USUAL | (packed ? VIRTIO_F_RING_PACKED : 0) | (indirect ? VIRTIO_F_INDIRECT_DESC : 0) |
           (event ? VIRTIO_F_EVENT_IDX : 0);
}

/* Every shape on rings of every size, so many that each ring goes round. */
static void check_ring(bool packed)
{
    static const uint16_t sizes[] = {8, 16, 64, VQ_SIZE_MAX};
    static const struct shape shapes[] = {{0, 1}, {5, 1}, {15, 3}, {1, 4}, {0, 5}};
    for (unsigned options = 0; options < 4; options++)
        for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
            CHECK(virtio_start(&disk, ring_features(packed, options & 1, options & 2), 1, sizes[i], NULL));
            CHECK_EQUAL(!(disk.features & VIRTIO_F_RING_PACKED), !packed);
            for (unsigned n = 0; n < 12; n++)
                CHECK(round_trip(disk.queues, 8 + n, SECTOR * (1 + n % 7), shapes[n % ARRAY_COUNT(shapes)],
                                 (uint64_t)(options * 100 + i * 20 + n) << 32));
        }
}

void test_disk_split(void)
{
    NEED_DISK();
    check_ring(false);
}

void test_disk_packed(void)
{
    NEED_DISK();
    SKIP_IF(!(virtio_offered(&disk) & VIRTIO_F_RING_PACKED), "the device offers no packed ring");
    check_ring(true);
}

void test_disk_size(void)
{
    NEED_DISK();
    CHECK(virtio_offered(&disk) & VIRTIO_F_VERSION_1);
    CHECK(virtio_start(&disk, F_USUAL, 1, 16, NULL));
    CHECK(capacity() >= 64);
    uint64_t last = capacity() - 1;
    CHECK(round_trip(disk.queues, last, SECTOR, plain, 1ull << 40));
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last + 1, data, SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last, data, 2 * SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_OUT, ~0ull, data, SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last, data, SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, SECTOR, 1ull << 40));
}

void test_disk_requests(void)
{
    NEED_DISK();
    CHECK(virtio_start(&disk, F_USUAL, 1, 16, NULL));
    CHECK_EQUAL(request(disk.queues, TYPE_GET_ID, 0, data, 20, plain), STATUS_OK);
    CHECK_EQUAL(request(disk.queues, TYPE_BAD, 0, data, SECTOR, plain), STATUS_UNSUPP);
    CHECK_EQUAL(request(disk.queues, TYPE_FLUSH, 0, data, 0, plain), STATUS_OK);
    CHECK(round_trip(disk.queues, 3, 3 * SECTOR, plain, 5ull << 40));
}

void test_disk_zeroes(void)
{
    NEED_DISK();
    SKIP_IF(!(virtio_offered(&disk) & F_WRITE_ZEROES), "the device writes no zeroes by itself");
    CHECK(virtio_start(&disk, F_USUAL, 1, 16, NULL));
    CHECK(round_trip(disk.queues, 16, 8 * SECTOR, plain, 6ull << 40));
    MEM(uint64_t, data) = 18;
    MEM(uint64_t, data + 8) = 3; /* sectors, and no flags */
    CHECK_EQUAL(request(disk.queues, TYPE_ZEROES, 0, data, 16, plain), STATUS_OK);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, 16, data, 8 * SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, 2 * SECTOR, 6ull << 40));
    for (uint32_t i = 2 * SECTOR; i < 5 * SECTOR; i += 8)
        CHECK_EQUAL(MEM(uint64_t, data + i), 0);
    CHECK(is_filled(data + 5 * SECTOR, 3 * SECTOR, (6ull << 40) + 5 * SECTOR));
}

static void disk_handler(void)
{
    interrupts++;
    lapic_eoi();
}

/* A request at a time, asleep in between. */
static void check_interrupts(bool packed, bool event)
{
    static const uint16_t vectors[] = {0};
    CHECK(virtio_start(&disk, ring_features(packed, false, event), 1, 16, vectors));
    struct vq *vq = disk.queues;
    for (uint32_t n = 0; n < 20; n++) {
        uint16_t id, back;
        uint32_t written;
        interrupts = 0;
        vq_interrupts_set(vq, true);
        CHECK(send(vq, headers, TYPE_IN, n, data, SECTOR, plain, &id));
        vq_kick(vq);
        CHECK(wait_for_count(&interrupts, 1, WAIT_US));
        CHECK(vq_take(vq, &back, &written));
        CHECK_EQUAL(back, id);
        CHECK_EQUAL(written, SECTOR + 1);
    }
    interrupts = 0;
    vq_interrupts_set(vq, false);
    CHECK_EQUAL(request(vq, TYPE_IN, 0, data, SECTOR, plain), STATUS_OK);
    CHECK(!wait_for_count(&interrupts, 1, 2000));
}

void test_disk_msix(void)
{
    NEED_DISK();
    SKIP_IF(!apics.has_lapic, "no local APIC");
    irq_handler_set(VECTOR_DISK, disk_handler);
    SKIP_IF(!pci_msix_set(disk.slot, 0, 0, VECTOR_DISK), "the device has no MSI-X");
    bool has_packed = virtio_offered(&disk) & VIRTIO_F_RING_PACKED;
    for (unsigned options = 0; options < (has_packed ? 4u : 2u); options++)
        check_interrupts(options & 2, options & 1);
    virtio_reset(&disk);
    pci_msix_off(disk.slot);
}

/* DEPTH requests in flight, which come back in any order: each reads what was written to its place. */
static bool flood(struct vq *vq, unsigned queue, unsigned count)
{
    struct header *own = headers + DEPTH * queue;
    uint8_t *bytes = data + DATA_BYTES * queue;
    unsigned slot_of[VQ_SIZE_MAX], sent = 0, done = 0;
    uint16_t id;
    for (; sent < DEPTH; sent++) {
        if (!send(vq, own + sent, TYPE_IN, queue * 32 + sent, bytes + sent * SECTOR, SECTOR, plain, &id))
            return false;
        slot_of[id] = sent;
    }
    for (vq_kick(vq); done < count; done++) {
        if (!wait_for(vq, &id) || id >= vq->size)
            return false;
        unsigned slot = slot_of[id];
        uint8_t *at = bytes + slot * SECTOR;
        uint64_t seed = (uint64_t)(queue * 32 + slot) * SECTOR;
        if (MEM(uint8_t, &own[slot].status) != STATUS_OK || !is_filled(at, SECTOR, seed))
            return false;
        if (sent < count) {
            MEM(uint64_t, at) = 0;
            if (!send(vq, own + slot, TYPE_IN, queue * 32 + slot, at, SECTOR, plain, &id))
                return false;
            slot_of[id] = slot;
            sent++;
            vq_kick(vq);
        }
    }
    return true;
}

/* The first sectors hold their own offsets. */
static bool write_offsets(unsigned sectors)
{
    for (unsigned sector = 0; sector < sectors; sector += DATA_BYTES / SECTOR) {
        fill(data, DATA_BYTES, (uint64_t)sector * SECTOR);
        if (request(disk.queues, TYPE_OUT, sector, data, DATA_BYTES, plain) != STATUS_OK)
            return false;
    }
    return true;
}

void test_disk_flood(void)
{
    NEED_DISK();
    bool has_packed = virtio_offered(&disk) & VIRTIO_F_RING_PACKED;
    SKIP_IF(capacity() < 256, "the disk is too small");
    for (unsigned options = 0; options < (has_packed ? 8u : 4u); options++) {
        CHECK(virtio_start(&disk, ring_features(options & 4, options & 2, options & 1), 1, 64, NULL));
        CHECK(write_offsets(32));
        CHECK(flood(disk.queues, 0, FLOOD_COUNT));
    }
}

static bool flood_results[VQ_COUNT_MAX];

static void flood_work(struct cpu *cpu)
{
    unsigned queue = cpu->index;
    flood_results[queue] = flood(&disk.queues[queue], queue, FLOOD_COUNT);
}

/* A queue for each CPU. */
void test_disk_smp(void)
{
    NEED_DISK();
    unsigned count = smp.count < VQ_COUNT_MAX ? smp.count : VQ_COUNT_MAX;
    SKIP_IF(smp.count < 2, "one CPU");
    SKIP_IF(disk.queue_count < count, "the disk has not a queue for each CPU");
    CHECK(virtio_start(&disk, ring_features(false, false, true), count, 64, NULL));
    CHECK(write_offsets(count * 32));
    for (unsigned i = 1; i < count; i++)
        smp_run(smp_cpu(i), flood_work);
    flood_work(smp_cpu(0));
    for (unsigned i = 1; i < count; i++)
        for (unsigned tries = 0; tries < 30 && !smp_wait(smp_cpu(i)); tries++)
            ;
    for (unsigned i = 0; i < count; i++)
        CHECK(flood_results[i]);
}

void test_disk_several(void)
{
    NEED_DISK();
    SKIP_IF(!virtio_find(VIRTIO_ID_BLOCK, 1, &other), "one disk");
    CHECK(virtio_start(&disk, F_USUAL, 1, 16, NULL));
    CHECK(virtio_start(&other, F_USUAL, 1, 16, NULL));
    CHECK(round_trip(disk.queues, 9, SECTOR, plain, 10ull << 40));
    CHECK(round_trip(other.queues, 9, SECTOR, plain, 11ull << 40));
    CHECK_EQUAL(request(disk.queues, TYPE_IN, 9, data, SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, SECTOR, 10ull << 40));
    virtio_reset(&other);
}

/* The device, then a queue of it, is reset with requests in flight; afterwards nothing of them is written. */
void test_disk_reset(void)
{
    NEED_DISK();
    uint16_t id;
    for (unsigned round = 0; round < 20; round++) {
        CHECK(virtio_start(&disk, F_USUAL | VIRTIO_F_RING_RESET, 1, 64, NULL));
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
            CHECK(virtio_start(&disk, F_USUAL, 1, 64, NULL));
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

/* A register of the common configuration, and a value that may mean something there: a queue, a size, 0 and 1
 * as often as not. Areas of a queue only ever lie in the data pages, which the device may then write to. */
static void write_at_random(uint32_t *state)
{
    uint32_t offset = draw(state, 0x40), width = 1u << draw(state, 3), choice = draw(state, 4);
    uint32_t value = choice == 0 ? draw(state, 2) : choice == 1 ? draw(state, 8) : draw(state, 0x10000);
    offset &= ~(width - 1);
    if (offset >= 0x20 && offset < 0x38) {
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

/* Every register of the common configuration is written at any moment while requests run, in every width.
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
            MEM(uint16_t, disk.notify + draw(&random, 64) * 2) = (uint16_t)draw(&random, 4);
        }
        virtio_reset(&disk);
        CHECK_EQUAL(virtio_status(&disk), 0);
    }
    CHECK(virtio_start(&disk, F_USUAL, 1, 64, NULL));
    CHECK(round_trip(disk.queues, 9, SECTOR, plain, 13ull << 40));
}
