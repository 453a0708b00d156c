/* SPDX-License-Identifier: MIT
 *
 * The MMIO transport's registers (virtio 1.2, 4.2.2).
 */
#include "devices/virtio/virtio_mmio.h"

#include <pthread.h>
#include <stdlib.h>

enum mmio_register {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC_LOW = 0x080,
    QUEUE_DESC_HIGH = 0x084,
    QUEUE_DRIVER_LOW = 0x090,
    QUEUE_DRIVER_HIGH = 0x094,
    QUEUE_DEVICE_LOW = 0x0a0,
    QUEUE_DEVICE_HIGH = 0x0a4,
    SHM_LEN_LOW = 0x0b0,
    SHM_LEN_HIGH = 0x0b4,
    SHM_BASE_LOW = 0x0b8,
    SHM_BASE_HIGH = 0x0bc,
    QUEUE_RESET = 0x0c0,
    CONFIG_GENERATION = 0x0fc,
    CONFIG = 0x100,
};

#define MAGIC_VALUE   0x74726976u /* "virt" */
#define VERSION_VALUE 2u
#define VENDOR_VALUE  0x4d4d56u /* "VMM" */

/* InterruptStatus. */
#define USED_BUFFER    1u
#define CONFIG_CHANGED 2u

struct virtio_mmio {
    struct bus_region region;
    struct virtio_mmio_config config;
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    bool has_doorbell[VIRTIO_QUEUES_MAX];
    pthread_mutex_t irq_lock; /* status and line, which any thread may raise; inside virtio_lock */
    uint32_t interrupt_status;
};

/* With a change of InterruptStatus: the line is up while a bit is set. */
static void change_interrupt(struct virtio_mmio *mmio, uint32_t set, uint32_t clear)
{
    pthread_mutex_lock(&mmio->irq_lock);
    mmio->interrupt_status = (mmio->interrupt_status | set) & ~clear;
    irq_line_set(&mmio->config.irq, mmio->interrupt_status != 0);
    pthread_mutex_unlock(&mmio->irq_lock);
}

static uint32_t interrupt_status(struct virtio_mmio *mmio)
{
    pthread_mutex_lock(&mmio->irq_lock);
    uint32_t status = mmio->interrupt_status;
    pthread_mutex_unlock(&mmio->irq_lock);
    return status;
}

static uint32_t read_register(struct virtio_mmio *mmio, uint32_t offset)
{
    struct virtio *virtio = mmio->config.virtio;
    switch (offset) {
    case MAGIC:
        return MAGIC_VALUE;
    case VERSION:
        return VERSION_VALUE;
    case DEVICE_ID:
        return virtio_config(virtio)->type;
    case VENDOR_ID:
        return VENDOR_VALUE;
    case DEVICE_FEATURES:
        return virtio_features_offered(virtio, mmio->device_features_sel);
    case QUEUE_NUM_MAX:
        return virtio_queue_size_max(virtio, mmio->queue_sel);
    case QUEUE_READY:
        return virtio_queue_is_enabled(virtio, mmio->queue_sel);
    case INTERRUPT_STATUS:
        return interrupt_status(mmio);
    case STATUS:
        return virtio_status(virtio);
    case SHM_LEN_LOW:
    case SHM_LEN_HIGH:
    case SHM_BASE_LOW:
    case SHM_BASE_HIGH:
        return UINT32_MAX; /* no shared memory region has any number (4.2.2) */
    case CONFIG_GENERATION:
        return virtio_config_generation(virtio);
    }
    return 0; /* QueueReset among them: a queue is reset when the write returns */
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned size)
{
    struct virtio_mmio *mmio = device;
    if (offset >= CONFIG)
        return virtio_config_read(mmio->config.virtio, (uint32_t)(offset - CONFIG), size);
    return size == 4 && offset % 4 == 0 ? read_register(mmio, (uint32_t)offset) : 0;
}

static void write_queue_address(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    /* 0x80, 0x90, 0xa0, each low and high. */
    enum virtio_queue_address which = (enum virtio_queue_address)((offset - QUEUE_DESC_LOW) / 0x10);
    virtio_set_queue_address(mmio->config.virtio, mmio->queue_sel, which, offset >> 2 & 1, value);
}

static void write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    struct virtio *virtio = mmio->config.virtio;
    switch (offset) {
    case DEVICE_FEATURES_SEL:
        mmio->device_features_sel = value;
        return;
    case DRIVER_FEATURES:
        virtio_accept_features(virtio, mmio->driver_features_sel, value);
        return;
    case DRIVER_FEATURES_SEL:
        mmio->driver_features_sel = value;
        return;
    case QUEUE_SEL:
        mmio->queue_sel = value;
        return;
    case QUEUE_NUM:
        virtio_set_queue_size(virtio, mmio->queue_sel, value > UINT16_MAX ? 0 : (uint16_t)value);
        return;
    case QUEUE_READY:
        if (value & 1)
            virtio_enable_queue(virtio, mmio->queue_sel);
        else
            virtio_disable_queue(virtio, mmio->queue_sel);
        return;
    case QUEUE_NOTIFY:
        virtio_notify(virtio, value);
        return;
    case INTERRUPT_ACK:
        change_interrupt(mmio, 0, value);
        return;
    case STATUS:
        virtio_set_status(virtio, (uint8_t)value);
        return;
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
    case QUEUE_DEVICE_LOW:
    case QUEUE_DEVICE_HIGH:
        write_queue_address(mmio, offset, value);
        return;
    case QUEUE_RESET:
        if (value & 1)
            virtio_reset_queue(virtio, mmio->queue_sel);
        return;
    }
}

static void mmio_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_mmio *mmio = device;
    if (offset >= CONFIG)
        virtio_config_write(mmio->config.virtio, (uint32_t)(offset - CONFIG), size, value);
    else if (size == 4 && offset % 4 == 0)
        write_register(mmio, (uint32_t)offset, (uint32_t)value);
}

static const struct bus_ops mmio_ops = {.read = mmio_read, .write = mmio_write};

static void transport_interrupt(void *transport, unsigned queue)
{
    change_interrupt(transport, queue == VIRTIO_INTERRUPT_CONFIG ? CONFIG_CHANGED : USED_BUFFER, 0);
}

static void transport_reset(void *transport)
{
    struct virtio_mmio *mmio = transport;
    mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
    change_interrupt(mmio, 0, UINT32_MAX);
}

static const struct virtio_transport_ops transport_ops = {.interrupt = transport_interrupt,
                                                          .reset = transport_reset};

static struct doorbell doorbell(const struct virtio_mmio *mmio, unsigned queue)
{
    return (struct doorbell){.address = mmio->config.base + QUEUE_NOTIFY,
                             .size = 4,
                             .has_value = true,
                             .value = queue,
                             .event_fd = virtio_queue_event_fd(mmio->config.virtio, queue)};
}

int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **out,
                       struct vmm_error *error)
{
    const struct virtio_config *of = virtio_config(config->virtio);
    struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
    if (!mmio)
        return error_set(error, -ENOMEM, "%s: out of memory", of->name);
    mmio->config = *config;
    pthread_mutex_init(&mmio->irq_lock, NULL);
    mmio->region = (struct bus_region){.name = of->name,
                                       .base = config->base,
                                       .len = VIRTIO_MMIO_BYTES,
                                       .size_max = 4,
                                       .ops = &mmio_ops,
                                       .device = mmio,
                                       .lock = virtio_lock(config->virtio),
                                       .engine = BUS_ENGINE_KVM};
    virtio_attach(config->virtio, &transport_ops, mmio);
    for (unsigned i = 0; i < of->queue_count; i++) {
        struct doorbell bell = doorbell(mmio, i);
        mmio->has_doorbell[i] = bell.event_fd >= 0 && !doorbell_line_attach(&config->doorbells, &bell);
    }
    *out = mmio;
    return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
    if (!mmio)
        return;
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
        struct doorbell bell = doorbell(mmio, i);
        if (mmio->has_doorbell[i])
            doorbell_line_detach(&mmio->config.doorbells, &bell);
    }
    virtio_attach(mmio->config.virtio, NULL, NULL);
    pthread_mutex_destroy(&mmio->irq_lock);
    free(mmio);
}

struct bus_region *virtio_mmio_region(struct virtio_mmio *mmio)
{
    return &mmio->region;
}
