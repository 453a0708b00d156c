/* SPDX-License-Identifier: MIT
 *
 * `bench=blk`: requests for the first virtio disk, as many and as `vmm bench blk` orders them by the mailbox
 * of bench_blk.h. One queue with the event index and indirect descriptors; the CPU sleeps until an interrupt
 * where nothing has come back.
 */
#include "guest/bench_blk.h"

#include "guest/apic.h"
#include "guest/bench.h"
#include "guest/page.h"
#include "guest/pci.h"
#include "guest/trap.h"
#include "guest/virtio.h"

#define VECTOR_DISK  0x34
#define VECTOR_TIMER 0x35
#define F_FLUSH      (1ull << 9)
#define STATUS_NONE  0xeeu

/* The local APIC's timer while there is nothing to do: about a millisecond of KVM's. */
#define LOOK_TICKS   62500u
#define DIVIDE_BY_16 3u

struct slot {
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header;
    uint32_t status;
    uint64_t start_tsc;
};

static struct bench_blk_mailbox *const box = (void *)BENCH_BLK_GPA;
static struct virtio disk;
static struct slot *slots; /* a page */
static uint8_t *data;      /* BENCH_BLK_BYTES_MAX for each slot */
static unsigned free_slots[BENCH_BLK_DEPTH_MAX], free_count;
static unsigned slot_of[VQ_SIZE_MAX]; /* by the chain's id */
static volatile uint32_t interrupts;

static void disk_handler(void)
{
    interrupts++;
    lapic_eoi();
}

static void timer_handler(void)
{
    lapic_eoi();
}

/* Asleep until the orders are there, but for a look now and then. */
static void wait_for_orders(void)
{
    MEM(uint32_t, &box->batches)++;
    out8(BENCH_BLK_PORT, 0);
    while (MEM(uint32_t, &box->orders) != box->batches) {
        lapic_write(APIC_LVT_TIMER, VECTOR_TIMER);
        lapic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
        lapic_write(APIC_TIMER_INITIAL, LOOK_TICKS);
        irq_wait();
    }
    lapic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    lapic_write(APIC_TIMER_INITIAL, 0);
}

static _Noreturn void give_up(const char *reason)
{
    size_t len = strlen(reason);
    memcpy(box->failure, reason, len < sizeof(box->failure) ? len + 1 : sizeof(box->failure) - 1);
    for (;;)
        wait_for_orders();
}

static void set_up(bool is_packed)
{
    static const uint16_t vectors[] = {0};
    uint64_t features = F_FLUSH | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC |
                        (is_packed ? VIRTIO_F_RING_PACKED : 0);
    memset(box, 0, sizeof(*box));
    if (!apics.has_lapic)
        give_up("there is no local APIC");
    irq_handler_set(VECTOR_DISK, disk_handler);
    irq_handler_set(VECTOR_TIMER, timer_handler);
    slots = page_alloc_zeroed();
    data = page_alloc_range(BENCH_BLK_DEPTH_MAX * BENCH_BLK_BYTES_MAX / PAGE_BYTES, PAGE_BYTES);
    if (!slots || !data)
        give_up("there is no memory for the data");
    if (!virtio_find(VIRTIO_ID_BLOCK, 0, &disk))
        give_up("there is no virtio disk on PCI");
    if (!pci_msix_set(disk.slot, 0, 0, VECTOR_DISK))
        give_up("the disk has no MSI-X");
    if (!virtio_start(&disk, features, 1, VQ_SIZE_MAX, vectors))
        give_up("the disk does not start");
    if (is_packed && !disk.queues[0].is_packed)
        give_up("the disk has no packed ring");
}

static void submit(struct vq *vq, unsigned index)
{
    struct slot *slot = slots + index;
    uint64_t block = bench_blk_next(&box->position, box->is_sequential, box->block_count);
    const struct vq_buffer buffers[] = {
        {&slot->header, sizeof(slot->header), false},
        {data + (uint64_t)index * BENCH_BLK_BYTES_MAX, box->block_bytes, !box->is_write},
        {&slot->status, 1, true}};
    uint16_t id;
    slot->header.type = box->is_write;
    slot->header.sector = block * (box->block_bytes / 512);
    slot->status = STATUS_NONE;
    slot->start_tsc = tsc_read();
    if (!vq_add(vq, buffers, ARRAY_COUNT(buffers), &id))
        give_up("the ring is full");
    slot_of[id] = index;
}

/* What has come back; their number. */
static unsigned collect(struct vq *vq)
{
    unsigned count = 0;
    uint16_t id;
    uint32_t written;
    for (; vq_take(vq, &id, &written); count++) {
        if (id >= vq->size)
            give_up("the disk answered what it was not asked");
        struct slot *slot = slots + slot_of[id];
        if (MEM(uint8_t, &slot->status))
            give_up("the disk failed a request");
        box->latency[latency_bucket(tsc_read() - slot->start_tsc)]++;
        free_slots[free_count++] = slot_of[id];
    }
    return count;
}

/* Until something has come back. */
static unsigned collect_some(struct vq *vq)
{
    unsigned count = collect(vq);
    while (!count) {
        if (box->is_polled) {
            cpu_relax();
        } else {
            vq_interrupts_set(vq, true);
            count = collect(vq);
            if (count)
                break;
            irq_wait();
        }
        count = collect(vq);
    }
    return count;
}

static void run_batch(struct vq *vq)
{
    uint32_t sent = 0, done = 0, notifications = 0;
    memset(box->latency, 0, sizeof(box->latency));
    for (free_count = 0; free_count < box->depth; free_count++)
        free_slots[free_count] = free_count;
    vq_interrupts_set(vq, false);
    interrupts = 0;
    box->begin_tsc = tsc_read();
    while (done < box->count) {
        for (; free_count && sent < box->count; sent++)
            submit(vq, free_slots[--free_count]);
        notifications += vq_kick(vq);
        done += collect_some(vq);
    }
    box->end_tsc = tsc_read();
    box->interrupts = interrupts;
    box->notifications = notifications;
}

_Noreturn void bench_blk(bool is_packed)
{
    set_up(is_packed);
    for (;;) {
        wait_for_orders();
        if (!box->count || !box->block_count || !box->depth || box->depth > BENCH_BLK_DEPTH_MAX ||
            !box->block_bytes || box->block_bytes > BENCH_BLK_BYTES_MAX)
            give_up("the orders make no sense");
        run_batch(disk.queues);
    }
}
