/* SPDX-License-Identifier: MIT
 *
 * The queues of a device: their registers, and the way of a notification to the device type.
 *
 * A write to a register of the transport signals the same eventfd as a doorbell of KVM's, so that a queue has
 * one thread, the event loop's, whoever notifies.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/trace.h"
#include "devices/virtio/virtio_internal.h"

static void ring(struct virtio_queue *queue)
{
    uint64_t one = 1;
    __atomic_fetch_add(&queue->own_rings, 1, __ATOMIC_RELAXED);
    /* Fails only where the counter is full, which rings as well. */
    ssize_t written = write(queue->event_fd, &one, sizeof(one));
    (void)written;
}

/* On the event loop. */
static void on_kick(void *owner, uint32_t events)
{
    struct virtio_queue *queue = owner;
    uint64_t count;
    (void)events;
    if (read(queue->event_fd, &count, sizeof(count)) != sizeof(count))
        return;
    queue->counts.doorbells += count; /* with own_rings among them */
    trace_queue_kick(queue->virtio->config.name, queue->index);
    queue->virtio->config.ops->notify(queue->virtio->config.device, queue->index);
}

int queue_open(struct virtio *virtio, unsigned index, struct vmm_error *error)
{
    struct virtio_queue *queue = &virtio->queues[index];
    queue->virtio = virtio;
    queue->index = index;
    queue->size = virtio->config.queue_size;
    if (!virtio->config.loop)
        return 0;
    queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->event_fd < 0)
        return error_set_errno(error, -errno, "%s: cannot make an eventfd", virtio->config.name);
    queue->kicks = (struct event_source){
        .fd = queue->event_fd, .events = EPOLLIN, .ready = on_kick, .owner = queue};
    return 0;
}

void queue_close(struct virtio *virtio, unsigned index)
{
    queue_halt(virtio, index);
    if (virtio->queues[index].event_fd >= 0)
        close(virtio->queues[index].event_fd);
}

static int start_ring(struct virtio_queue *queue)
{
    uint64_t features = queue->virtio->accepted;
    const struct queue_config config = {.memory = queue->virtio->config.memory,
                                        .size = queue->size,
                                        .is_packed = features & VIRTIO_F_RING_PACKED,
                                        .has_event_idx = features & VIRTIO_F_EVENT_IDX,
                                        .has_indirect = features & VIRTIO_F_INDIRECT_DESC,
                                        .descriptor = queue->address[VIRTIO_QUEUE_DESCRIPTOR],
                                        .driver = queue->address[VIRTIO_QUEUE_DRIVER],
                                        .device = queue->address[VIRTIO_QUEUE_DEVICE]};
    return queue_start(&queue->queue, &config);
}

void queue_run(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = &virtio->queues[index];
    if (queue->is_running || __atomic_load_n(&virtio->broken, __ATOMIC_RELAXED))
        return;
    if (start_ring(queue)) {
        virtio_break(virtio, "a queue whose areas are not aligned RAM", index);
        return;
    }
    queue->is_running = true;
    if (!virtio->config.loop) {
        virtio->config.ops->notify(virtio->config.device, index);
    } else if (event_loop_add(virtio->config.loop, &queue->kicks, NULL)) {
        queue->is_running = false;
        queue_stop(&queue->queue);
        virtio_break(virtio, "a queue that the host has no memory for", index);
    } else {
        ring(queue); /* what is available already */
    }
}

void queue_halt(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = &virtio->queues[index];
    if (!queue->is_running)
        return;
    if (virtio->config.loop)
        event_loop_remove(virtio->config.loop, &queue->kicks);
    if (virtio->config.ops->drain)
        virtio->config.ops->drain(virtio->config.device, index);
    queue_stop(&queue->queue);
    queue->is_running = false;
}

void queue_forget(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = &virtio->queues[index];
    queue->is_enabled = false;
    queue->size = virtio->config.queue_size;
    memset(queue->address, 0, sizeof(queue->address));
}

/* ---- For device types ---- */

enum queue_answer virtio_queue_pop(struct virtio *virtio, unsigned index, struct queue_chain *chain)
{
    struct virtio_queue *queue = &virtio->queues[index];
    if (__atomic_load_n(&virtio->broken, __ATOMIC_RELAXED))
        return QUEUE_BROKEN;
    enum queue_answer answer = queue_pop(&queue->queue, chain);
    if (answer == QUEUE_CHAIN) {
        queue->counts.chains++;
        queue->counts.out_bytes += chain->out_bytes;
        trace_queue_pop(virtio->config.name, index, chain->id, chain->out_bytes + chain->in_bytes);
    } else if (answer == QUEUE_BROKEN) {
        virtio_break(virtio, queue->queue.broken, index);
        virtio_queue_flush(virtio, index);
    }
    return answer;
}

void virtio_queue_push(struct virtio *virtio, unsigned index, const struct queue_chain *chain,
                       uint64_t written)
{
    trace_queue_push(virtio->config.name, index, chain->id, written);
    virtio->queues[index].counts.in_bytes += written;
    queue_push(&virtio->queues[index].queue, chain, written);
}

void virtio_queue_flush(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = &virtio->queues[index];
    if (!queue->queue.unsignalled)
        return;
    if (queue_wants_interrupt(&queue->queue)) {
        queue->counts.interrupts++;
        virtio_interrupt(virtio, index);
    } else {
        queue->counts.suppressed++;
    }
}

void virtio_queue_kicks_off(struct virtio *virtio, unsigned index)
{
    queue_kicks_off(&virtio->queues[index].queue);
}

bool virtio_queue_kicks_on(struct virtio *virtio, unsigned index)
{
    return __atomic_load_n(&virtio->broken, __ATOMIC_RELAXED) || queue_kicks_on(&virtio->queues[index].queue);
}

void virtio_queue_again(struct virtio *virtio, unsigned index)
{
    ring(&virtio->queues[index]);
}

/* ---- For transports ---- */

static struct virtio_queue *find(const struct virtio *virtio, unsigned index)
{
    return index < virtio->config.queue_count ? (struct virtio_queue *)&virtio->queues[index] : NULL;
}

/* A queue whose registers may still be written. */
static struct virtio_queue *find_open(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = find(virtio, index);
    return queue && !queue->is_enabled ? queue : NULL;
}

uint16_t virtio_queue_size_max(const struct virtio *virtio, unsigned index)
{
    return find(virtio, index) ? virtio->config.queue_size : 0;
}

uint16_t virtio_queue_size(const struct virtio *virtio, unsigned index)
{
    const struct virtio_queue *queue = find(virtio, index);
    return queue ? queue->size : 0;
}

/* A size that the ring cannot have is found when it is started. */
void virtio_set_queue_size(struct virtio *virtio, unsigned index, uint16_t size)
{
    struct virtio_queue *queue = find_open(virtio, index);
    if (queue && size && size <= virtio->config.queue_size)
        queue->size = size;
}

uint64_t virtio_queue_address(const struct virtio *virtio, unsigned index, enum virtio_queue_address which)
{
    const struct virtio_queue *queue = find(virtio, index);
    return queue ? queue->address[which] : 0;
}

void virtio_set_queue_address(struct virtio *virtio, unsigned index, enum virtio_queue_address which,
                              unsigned half, uint32_t value)
{
    struct virtio_queue *queue = find_open(virtio, index);
    unsigned shift = half ? 32 : 0;
    if (queue)
        queue->address[which] = (queue->address[which] & ~(0xffffffffull << shift)) | (uint64_t)value
                                                                                          << shift;
}

bool virtio_queue_is_enabled(const struct virtio *virtio, unsigned index)
{
    const struct virtio_queue *queue = find(virtio, index);
    return queue && queue->is_enabled;
}

/* Before DRIVER_OK it only waits; afterwards (a queue that was reset, 2.6.1.2) it runs at once. */
void virtio_enable_queue(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = find_open(virtio, index);
    if (!queue || !(virtio_status(virtio) & VIRTIO_FEATURES_OK))
        return;
    queue->is_enabled = true;
    if (virtio_status(virtio) & VIRTIO_DRIVER_OK)
        queue_run(virtio, index);
}

void virtio_disable_queue(struct virtio *virtio, unsigned index)
{
    if (!find(virtio, index))
        return;
    queue_halt(virtio, index);
    virtio->queues[index].is_enabled = false;
}

void virtio_reset_queue(struct virtio *virtio, unsigned index)
{
    if (!find(virtio, index) || !(virtio_features(virtio) & VIRTIO_F_RING_RESET))
        return;
    queue_halt(virtio, index);
    queue_forget(virtio, index);
}

void virtio_notify(struct virtio *virtio, unsigned index)
{
    struct virtio_queue *queue = find(virtio, index);
    if (!queue || !queue->is_running)
        return;
    queue->counts.notifies++;
    trace_queue_kick(virtio->config.name, index);
    if (virtio->config.loop) {
        ring(queue);
    } else {
        virtio->config.ops->notify(virtio->config.device, index);
    }
}

int virtio_queue_event_fd(const struct virtio *virtio, unsigned index)
{
    const struct virtio_queue *queue = find(virtio, index);
    return queue ? queue->event_fd : -1;
}

void virtio_get_counts(const struct virtio *virtio, struct virtio_counts *counts)
{
    *counts = (struct virtio_counts){0};
    for (unsigned i = 0; i < virtio->config.queue_count; i++) {
        const struct virtio_counts *of = &virtio->queues[i].counts;
        uint64_t own = virtio->queues[i].own_rings;
        counts->doorbells += of->doorbells > own ? of->doorbells - own : 0;
        counts->notifies += of->notifies;
        counts->chains += of->chains;
        counts->out_bytes += of->out_bytes;
        counts->in_bytes += of->in_bytes;
        counts->interrupts += of->interrupts;
        counts->suppressed += of->suppressed;
    }
}
