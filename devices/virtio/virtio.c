/* SPDX-License-Identifier: MIT
 *
 * Status, features and configuration space. Queues are in virtio_queue.c.
 */
#include "devices/virtio/virtio.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "devices/virtio/virtio_internal.h"

static int check_config(const struct virtio_config *config, struct vmm_error *error)
{
    uint16_t size = config->queue_size;
    if (!config->queue_count || config->queue_count > VIRTIO_QUEUES_MAX)
        return error_set(error, -EINVAL, "%s: %u queues are not from 1 to %d", config->name,
                         config->queue_count, VIRTIO_QUEUES_MAX);
    if (!size || size > QUEUE_SIZE_MAX || (size & (size - 1)))
        return error_set(error, -EINVAL, "%s: a queue size of %u is no power of two up to %d", config->name,
                         size, QUEUE_SIZE_MAX);
    return 0;
}

int virtio_create(const struct virtio_config *config, struct virtio **out, struct vmm_error *error)
{
    int result = check_config(config, error);
    if (result)
        return result;
    struct virtio *virtio = calloc(1, sizeof(*virtio) + config->queue_count * sizeof(virtio->queues[0]));
    if (!virtio)
        return error_set(error, -ENOMEM, "%s: out of memory", config->name);
    virtio->config = *config;
    virtio->config.features |= VIRTIO_FEATURES_CORE;
    for (unsigned i = 0; i < config->queue_count; i++)
        virtio->queues[i].event_fd = -1;
    for (unsigned i = 0; !result && i < config->queue_count; i++)
        result = queue_open(virtio, i, error);
    if (result) {
        virtio_destroy(virtio);
        return result;
    }
    *out = virtio;
    return 0;
}

void virtio_destroy(struct virtio *virtio)
{
    if (!virtio)
        return;
    for (unsigned i = 0; i < virtio->config.queue_count; i++)
        queue_close(virtio, i);
    free(virtio);
}

void virtio_attach(struct virtio *virtio, const struct virtio_transport_ops *ops, void *transport)
{
    virtio->transport_ops = ops;
    virtio->transport = transport;
}

const struct virtio_config *virtio_config(const struct virtio *virtio)
{
    return &virtio->config;
}

struct lock *virtio_lock(struct virtio *virtio)
{
    return &virtio->lock;
}

void virtio_interrupt(struct virtio *virtio, unsigned queue)
{
    trace_queue_interrupt(virtio->config.name, queue);
    if (virtio->transport_ops)
        virtio->transport_ops->interrupt(virtio->transport, queue);
}

uint64_t virtio_features(const struct virtio *virtio)
{
    return virtio_status(virtio) & VIRTIO_FEATURES_OK ? virtio->accepted : 0;
}

uint32_t virtio_features_offered(const struct virtio *virtio, uint32_t word)
{
    return word > 1 ? 0 : (uint32_t)(virtio->config.features >> (32 * word));
}

uint32_t virtio_features_accepted(const struct virtio *virtio, uint32_t word)
{
    return word > 1 ? 0 : (uint32_t)(virtio->accepted >> (32 * word));
}

/* 2.2.1: final with FEATURES_OK. Bits beyond the second word are none that we offer. */
void virtio_accept_features(struct virtio *virtio, uint32_t word, uint32_t value)
{
    if (virtio_status(virtio) & VIRTIO_FEATURES_OK)
        return;
    if (word > 1)
        virtio->accepts_unknown |= value != 0;
    else
        virtio->accepted = (virtio->accepted & ~(0xffffffffull << (32 * word))) | (uint64_t)value
                                                                                      << (32 * word);
}

uint8_t virtio_status(const struct virtio *virtio)
{
    return __atomic_load_n(&virtio->status, __ATOMIC_ACQUIRE);
}

static void add_status(struct virtio *virtio, uint8_t bits)
{
    __atomic_fetch_or(&virtio->status, bits, __ATOMIC_ACQ_REL);
}

/* 3.1.1: a driver has acknowledged the device, and said that it is one, before it settles the features. */
static bool features_are_fine(const struct virtio *virtio)
{
    const uint8_t before = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    return (virtio_status(virtio) & before) == before && !virtio->accepts_unknown &&
           !(virtio->accepted & ~virtio->config.features) && (virtio->accepted & VIRTIO_F_VERSION_1);
}

static void reset(struct virtio *virtio)
{
    for (unsigned i = 0; i < virtio->config.queue_count; i++)
        queue_halt(virtio, i);
    for (unsigned i = 0; i < virtio->config.queue_count; i++)
        queue_forget(virtio, i);
    if (virtio->config.ops->reset)
        virtio->config.ops->reset(virtio->config.device);
    virtio->accepted = 0;
    virtio->accepts_unknown = false;
    __atomic_store_n(&virtio->broken, false, __ATOMIC_RELAXED);
    lock_acquire(&virtio->config_lock);
    if (virtio->transport_ops && virtio->transport_ops->reset)
        virtio->transport_ops->reset(virtio->transport);
    __atomic_store_n(&virtio->status, 0, __ATOMIC_RELEASE);
    lock_release(&virtio->config_lock);
}

static void start(struct virtio *virtio)
{
    add_status(virtio, VIRTIO_DRIVER_OK);
    if (virtio->config.ops->start)
        virtio->config.ops->start(virtio->config.device);
    for (unsigned i = 0; i < virtio->config.queue_count; i++)
        if (virtio->queues[i].is_enabled)
            queue_run(virtio, i);
}

void virtio_set_status(struct virtio *virtio, uint8_t status)
{
    uint8_t before = virtio_status(virtio);
    uint8_t added = status & (uint8_t)~before;
    if (!status) {
        reset(virtio);
        return;
    }
    add_status(virtio, added & (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED));
    if ((added & VIRTIO_FEATURES_OK) && features_are_fine(virtio))
        add_status(virtio, VIRTIO_FEATURES_OK);
    if ((added & VIRTIO_DRIVER_OK) && (virtio_status(virtio) & VIRTIO_FEATURES_OK))
        start(virtio);
}

uint64_t virtio_config_read(struct virtio *virtio, uint32_t offset, unsigned len)
{
    uint8_t bytes[8] = {0};
    const struct virtio_config *config = &virtio->config;
    if (config->ops->config_read && offset < config->config_len && len <= config->config_len - offset)
        config->ops->config_read(config->device, offset, bytes, len);
    return load_le(bytes, len);
}

void virtio_config_write(struct virtio *virtio, uint32_t offset, unsigned len, uint64_t value)
{
    uint8_t bytes[8];
    const struct virtio_config *config = &virtio->config;
    store_le64(bytes, value);
    if (config->ops->config_write && offset < config->config_len && len <= config->config_len - offset)
        config->ops->config_write(config->device, offset, bytes, len);
}

uint32_t virtio_config_generation(const struct virtio *virtio)
{
    return __atomic_load_n(&virtio->generation, __ATOMIC_ACQUIRE);
}

/* 2.5.1; a driver that is not ready yet reads the space anyway. */
void virtio_config_changed(struct virtio *virtio)
{
    __atomic_fetch_add(&virtio->generation, 1, __ATOMIC_ACQ_REL);
    lock_acquire(&virtio->config_lock);
    if (virtio_status(virtio) & VIRTIO_DRIVER_OK)
        virtio_interrupt(virtio, VIRTIO_INTERRUPT_CONFIG);
    lock_release(&virtio->config_lock);
}

/* 2.1.2: told by an interrupt where the driver is ready for one. */
void virtio_break(struct virtio *virtio, const char *rule, uint64_t value)
{
    trace_odd(virtio->config.name, rule, value);
    if (__atomic_exchange_n(&virtio->broken, true, __ATOMIC_RELAXED))
        return;
    add_status(virtio, VIRTIO_NEEDS_RESET);
    if (virtio_status(virtio) & VIRTIO_DRIVER_OK)
        virtio_interrupt(virtio, VIRTIO_INTERRUPT_CONFIG);
}
