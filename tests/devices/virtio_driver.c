/* SPDX-License-Identifier: MIT
 *
 * The driver of virtio_driver.h. Rings are written as virtio 1.2 2.7 and 2.8 say, by code that shares nothing
 * with the device's.
 */
#include "tests/devices/virtio_driver.h"

#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

#define NEXT     1u
#define WRITE    2u
#define INDIRECT 4u
#define AVAIL    0x80u
#define USED     0x8000u
#define WAIT_MS  20000

static uint8_t *at(const struct driver_queue *queue, gpa_t gpa, uint64_t len)
{
    uint8_t *hva = guest_mem_ptr(queue->memory, gpa, len);
    ck_assert_msg(hva != NULL, "the driver's own address %#llx is not RAM", (unsigned long long)gpa);
    return hva;
}

static uint16_t load16(const struct driver_queue *queue, gpa_t gpa)
{
    return __atomic_load_n((uint16_t *)(void *)at(queue, gpa, 2), __ATOMIC_ACQUIRE);
}

static void store16(const struct driver_queue *queue, gpa_t gpa, unsigned value)
{
    __atomic_store_n((uint16_t *)(void *)at(queue, gpa, 2), (uint16_t)value, __ATOMIC_RELEASE);
}

gpa_t driver_queue_init(struct driver_queue *queue, const struct guest_memory *memory, gpa_t gpa,
                        uint16_t size, bool is_packed)
{
    bool has_event_idx = queue->has_event_idx;
    ck_assert_uint_le(size, DRIVER_QUEUE_SIZE_MAX);
    *queue = (struct driver_queue){.memory = memory,
                                   .size = size,
                                   .is_packed = is_packed,
                                   .has_event_idx = has_event_idx,
                                   .avail_wrap = true,
                                   .used_wrap = true,
                                   .free_count = size};
    queue->descriptor = gpa;
    queue->driver = align_up(gpa + 16u * size, 16);
    queue->device = align_up(queue->driver + 6 + 2u * size, 16);
    queue->indirect = align_up(queue->device + 6 + 8u * size, 16);
    gpa_t end = queue->indirect + (gpa_t)size * DRIVER_INDIRECT_MAX * 16;
    memset(at(queue, gpa, end - gpa), 0, end - gpa);
    for (unsigned i = 0; i < size; i++)
        queue->next[i] = (uint16_t)(i + 1);
    return end;
}

bool driver_queue_has_room(const struct driver_queue *queue, unsigned count, bool is_indirect)
{
    return queue->free_count >= (is_indirect ? 1 : count);
}

static void put_descriptor(const struct driver_queue *queue, gpa_t gpa, const struct driver_buffer *buffer,
                           unsigned tail0, unsigned tail1)
{
    uint8_t *bytes = at(queue, gpa, 16);
    store_le64(bytes, buffer->gpa);
    store_le32(bytes + 8, buffer->len);
    store_le16(bytes + 12, (uint16_t)tail0);
    store_le16(bytes + 14, (uint16_t)tail1);
}

static unsigned direction(const struct driver_buffer *buffer)
{
    return buffer->device_writes ? WRITE : 0;
}

/* The table of a chain, and the buffer that stands for it. */
static struct driver_buffer fill_indirect(const struct driver_queue *queue, uint16_t id,
                                          const struct driver_buffer *buffers, unsigned count)
{
    gpa_t table = queue->indirect + (gpa_t)id * DRIVER_INDIRECT_MAX * 16;
    ck_assert_uint_le(count, DRIVER_INDIRECT_MAX);
    for (unsigned i = 0; i < count; i++) {
        unsigned flags = direction(&buffers[i]);
        if (queue->is_packed)
            put_descriptor(queue, table + 16 * i, &buffers[i], 0, flags);
        else
            put_descriptor(queue, table + 16 * i, &buffers[i], flags | (i + 1 < count ? NEXT : 0), i + 1);
    }
    return (struct driver_buffer){.gpa = table, .len = 16 * count};
}

static uint16_t add_split(struct driver_queue *queue, const struct driver_buffer *buffers, unsigned count,
                          unsigned flags)
{
    uint16_t head = queue->first_free, index = head;
    for (unsigned i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        put_descriptor(queue, queue->descriptor + 16u * index, &buffers[i],
                       flags | direction(&buffers[i]) | (is_last ? 0 : NEXT), queue->next[index]);
        index = queue->next[index];
    }
    queue->first_free = index;
    store16(queue, queue->driver + 4 + 2u * (queue->next_avail % queue->size), head);
    store16(queue, queue->driver + 2, ++queue->next_avail);
    return head;
}

/* An id that is not in flight. */
static uint16_t find_id(const struct driver_queue *queue)
{
    uint16_t id = 0;
    while (queue->slots[id])
        id++;
    return id;
}

/* The first descriptor's flags come last: they make the chain available (2.8.21). */
static void add_packed(struct driver_queue *queue, uint16_t id, const struct driver_buffer *buffers,
                       unsigned count, unsigned flags)
{
    gpa_t first = queue->descriptor + 16u * queue->next_avail;
    unsigned first_flags = 0;
    for (unsigned i = 0; i < count; i++) {
        gpa_t gpa = queue->descriptor + 16u * queue->next_avail;
        unsigned all = flags | direction(&buffers[i]) | (i + 1 < count ? NEXT : 0) |
                       (queue->avail_wrap ? AVAIL : USED);
        if (i)
            put_descriptor(queue, gpa, &buffers[i], id, all);
        else
            first_flags = all;
        if (++queue->next_avail == queue->size) {
            queue->next_avail = 0;
            queue->avail_wrap = !queue->avail_wrap;
        }
    }
    uint8_t *bytes = at(queue, first, 16);
    store_le64(bytes, buffers[0].gpa);
    store_le32(bytes + 8, buffers[0].len);
    store_le16(bytes + 12, id);
    store16(queue, first + 14, first_flags);
}

uint16_t driver_queue_add(struct driver_queue *queue, const struct driver_buffer *buffers, unsigned count,
                          bool is_indirect)
{
    ck_assert(count > 0 && driver_queue_has_room(queue, count, is_indirect));
    uint16_t id = queue->is_packed ? find_id(queue) : queue->first_free;
    struct driver_buffer table;
    if (is_indirect) {
        table = fill_indirect(queue, id, buffers, count);
        buffers = &table;
        count = 1;
    }
    unsigned flags = is_indirect ? INDIRECT : 0;
    if (queue->is_packed)
        add_packed(queue, id, buffers, count, flags);
    else
        add_split(queue, buffers, count, flags);
    queue->slots[id] = (uint16_t)count;
    queue->free_count = (uint16_t)(queue->free_count - count);
    queue->unkicked = (uint16_t)(queue->unkicked + (queue->is_packed ? count : 1));
    return id;
}

static void give_back_split(struct driver_queue *queue, uint16_t head)
{
    uint16_t last = head;
    for (unsigned i = 1; i < queue->slots[head]; i++)
        last = queue->next[last];
    queue->next[last] = queue->first_free;
    queue->first_free = head;
}

static bool take_split(struct driver_queue *queue, uint32_t *id, uint32_t *written)
{
    if (load16(queue, queue->device + 2) == queue->next_used)
        return false;
    const uint8_t *entry = at(queue, queue->device + 4 + 8u * (queue->next_used % queue->size), 8);
    *id = load_le32(entry);
    *written = load_le32(entry + 4);
    queue->next_used++;
    return true;
}

static bool take_packed(struct driver_queue *queue, uint32_t *id, uint32_t *written)
{
    gpa_t gpa = queue->descriptor + 16u * queue->next_used;
    unsigned flags = load16(queue, gpa + 14);
    if (!!(flags & AVAIL) != queue->used_wrap || !!(flags & USED) != queue->used_wrap)
        return false;
    const uint8_t *bytes = at(queue, gpa, 16);
    *id = load_le16(bytes + 12);
    *written = load_le32(bytes + 8);
    return true;
}

bool driver_queue_take(struct driver_queue *queue, uint16_t *out, uint32_t *written)
{
    uint32_t id = 0;
    if (!(queue->is_packed ? take_packed(queue, &id, written) : take_split(queue, &id, written)))
        return false;
    ck_assert_msg(id < queue->size && queue->slots[id], "%u came back, and was not in flight", id);
    *out = (uint16_t)id;
    if (queue->is_packed) {
        queue->next_used = (uint16_t)(queue->next_used + queue->slots[id]);
        if (queue->next_used >= queue->size) {
            queue->next_used = (uint16_t)(queue->next_used - queue->size);
            queue->used_wrap = !queue->used_wrap;
        }
    } else {
        give_back_split(queue, *out);
    }
    queue->free_count = (uint16_t)(queue->free_count + queue->slots[id]);
    queue->slots[id] = 0;
    return true;
}

/* The slot of a packed ring's event as a distance behind next_avail, along the ring. */
static bool packed_passed(const struct driver_queue *queue, unsigned event)
{
    unsigned size = queue->size;
    unsigned now = queue->next_avail + (queue->avail_wrap ? 0 : size);
    unsigned wanted = (event & 0x7fff) + (event & 0x8000 ? 0 : size);
    unsigned behind = (now + 2 * size - wanted) % (2 * size);
    return behind >= 1 && behind <= queue->unkicked;
}

bool driver_queue_wants_kick(struct driver_queue *queue)
{
    bool wanted;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our idx or flags before the device's wish */
    if (!queue->unkicked)
        return false;
    if (queue->is_packed) {
        unsigned flags = load16(queue, queue->device + 2) & 3;
        wanted = flags == 2 ? packed_passed(queue, load16(queue, queue->device)) : flags == 0;
    } else if (queue->has_event_idx) {
        uint16_t event = load16(queue, queue->device + 4 + 8u * queue->size);
        wanted = (uint16_t)(queue->next_avail - event - 1) < queue->unkicked;
    } else {
        wanted = !(load16(queue, queue->device) & 1);
    }
    queue->unkicked = 0;
    return wanted;
}

void driver_queue_ask_interrupts(struct driver_queue *queue, bool wanted)
{
    if (queue->is_packed && wanted && queue->has_event_idx) {
        store16(queue, queue->driver, queue->next_used | (queue->used_wrap ? 0x8000u : 0));
        store16(queue, queue->driver + 2, 2);
    } else if (queue->is_packed) {
        store16(queue, queue->driver + 2, wanted ? 0 : 1);
    } else if (queue->has_event_idx) {
        unsigned event = wanted ? queue->next_used : queue->next_used - 1u;
        store16(queue, queue->driver + 4 + 2u * queue->size, event);
    } else {
        store16(queue, queue->driver, wanted ? 0 : 1);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- The whole device ---- */

static void on_interrupt(void *transport, unsigned queue)
{
    struct virtio_driver *driver = transport;
    unsigned *count = &driver->config_interrupts;
    if (queue != VIRTIO_INTERRUPT_CONFIG) {
        ck_assert_uint_lt(queue, DRIVER_QUEUES_MAX);
        count = &driver->interrupts[queue];
    }
    __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
}

static void on_reset(void *transport)
{
    struct virtio_driver *driver = transport;
    driver->resets++;
}

static const struct virtio_transport_ops driver_ops = {.interrupt = on_interrupt, .reset = on_reset};

void virtio_driver_init(struct virtio_driver *driver, struct virtio *virtio, gpa_t gpa)
{
    *driver = (struct virtio_driver){
        .virtio = virtio, .memory = virtio_config(virtio)->memory, .next_gpa = gpa};
    virtio_attach(virtio, &driver_ops, driver);
}

void virtio_driver_set_status(struct virtio_driver *driver, uint8_t status)
{
    lock_acquire(virtio_lock(driver->virtio));
    virtio_set_status(driver->virtio, status);
    lock_release(virtio_lock(driver->virtio));
}

void virtio_driver_negotiate(struct virtio_driver *driver, uint64_t features)
{
    struct virtio *virtio = driver->virtio;
    virtio_driver_set_status(driver, 0);
    virtio_driver_set_status(driver, VIRTIO_ACKNOWLEDGE);
    virtio_driver_set_status(driver, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    uint64_t offered = virtio_features_offered(virtio, 0) | (uint64_t)virtio_features_offered(virtio, 1)
                                                                << 32;
    driver->features = offered & (features | VIRTIO_F_VERSION_1);
    lock_acquire(virtio_lock(virtio));
    virtio_accept_features(virtio, 0, (uint32_t)driver->features);
    virtio_accept_features(virtio, 1, (uint32_t)(driver->features >> 32));
    lock_release(virtio_lock(virtio));
    virtio_driver_set_status(driver, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
    ck_assert(virtio_status(virtio) & VIRTIO_FEATURES_OK);
}

void virtio_driver_enable(struct virtio_driver *driver, unsigned queue, uint16_t size)
{
    struct virtio *virtio = driver->virtio;
    struct driver_queue *ring = &driver->queues[queue];
    ck_assert_uint_lt(queue, DRIVER_QUEUES_MAX);
    gpa_t gpa = ring->size >= size ? ring->descriptor : driver->next_gpa;
    ring->has_event_idx = driver->features & VIRTIO_F_EVENT_IDX;
    gpa_t end = driver_queue_init(ring, driver->memory, gpa, size, driver->features & VIRTIO_F_RING_PACKED);
    if (end > driver->next_gpa)
        driver->next_gpa = align_up(end, PAGE_BYTES);
    const gpa_t areas[] = {ring->descriptor, ring->driver, ring->device};
    lock_acquire(virtio_lock(virtio));
    virtio_set_queue_size(virtio, queue, size);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned half = 0; half < 2; half++)
            virtio_set_queue_address(virtio, queue, i, half, (uint32_t)(areas[i] >> (32 * half)));
    virtio_enable_queue(virtio, queue);
    lock_release(virtio_lock(virtio));
}

void virtio_driver_ready(struct virtio_driver *driver)
{
    virtio_driver_set_status(driver,
                             VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

void virtio_driver_start(struct virtio_driver *driver, uint64_t features, unsigned queue_count, uint16_t size)
{
    virtio_driver_negotiate(driver, features);
    for (unsigned i = 0; i < queue_count; i++)
        virtio_driver_enable(driver, i, size);
    virtio_driver_ready(driver);
}

uint16_t virtio_driver_send(struct virtio_driver *driver, unsigned queue, const struct driver_buffer *buffers,
                            unsigned count)
{
    struct driver_queue *ring = &driver->queues[queue];
    uint16_t id = driver_queue_add(ring, buffers, count, false);
    if (driver_queue_wants_kick(ring)) {
        lock_acquire(virtio_lock(driver->virtio));
        virtio_notify(driver->virtio, queue);
        lock_release(virtio_lock(driver->virtio));
    }
    return id;
}

uint32_t virtio_driver_wait(struct virtio_driver *driver, unsigned queue, uint16_t *id)
{
    uint32_t written;
    for (unsigned ms = 0; ms < WAIT_MS; ms++) {
        if (driver_queue_take(&driver->queues[queue], id, &written))
            return written;
        usleep(1000);
    }
    ck_abort_msg("queue %u gives nothing back", queue);
    return 0;
}

unsigned virtio_driver_interrupts(struct virtio_driver *driver, unsigned queue)
{
    return __atomic_load_n(&driver->interrupts[queue], __ATOMIC_ACQUIRE);
}

unsigned virtio_driver_config_interrupts(struct virtio_driver *driver)
{
    return __atomic_load_n(&driver->config_interrupts, __ATOMIC_ACQUIRE);
}
