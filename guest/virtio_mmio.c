/* SPDX-License-Identifier: MIT
 *
 * The device by a page of registers (virtio 1.2, 4.2), found by what the command line says.
 */
#include "guest/virtio_internal.h"

#include "guest/boot_info.h"
#include "guest/page.h"
#include "guest/pci.h"

#define WORD "virtio_mmio.device="

#define MAGIC            0x000
#define VERSION          0x004
#define DEVICE_ID        0x008
#define DEVICE_FEATURES  0x010
#define DEVICE_SELECT    0x014
#define DRIVER_FEATURES  0x020
#define DRIVER_SELECT    0x024
#define QUEUE_SELECT     0x030
#define QUEUE_SIZE_MAX   0x034
#define QUEUE_SIZE       0x038
#define QUEUE_READY      0x044
#define QUEUE_NOTIFY     0x050
#define INTERRUPT_STATUS 0x060
#define INTERRUPT_ACK    0x064
#define STATUS           0x070
#define QUEUE_AREAS      0x080 /* descriptors, driver, device: 0x10 apart */
#define QUEUE_RESET      0x0c0
#define CONFIG           0x100

#define MAGIC_VALUE   0x74726976u
#define VERSION_VALUE 2u

#define REGISTER(virtio, offset) MEM(uint32_t, (virtio)->common + (offset))

static uint64_t offered(const struct virtio *virtio)
{
    uint64_t features = 0;
    for (uint32_t word = 0; word < 2; word++) {
        REGISTER(virtio, DEVICE_SELECT) = word;
        features |= (uint64_t)REGISTER(virtio, DEVICE_FEATURES) << 32 * word;
    }
    return features;
}

static void accept(const struct virtio *virtio, uint64_t features)
{
    for (uint32_t word = 0; word < 2; word++) {
        REGISTER(virtio, DRIVER_SELECT) = word;
        REGISTER(virtio, DRIVER_FEATURES) = (uint32_t)(features >> 32 * word);
    }
}

static uint8_t status(const struct virtio *virtio)
{
    return (uint8_t)REGISTER(virtio, STATUS);
}

static void status_set(const struct virtio *virtio, uint8_t value)
{
    REGISTER(virtio, STATUS) = value;
}

static uint16_t queue_size(const struct virtio *virtio, unsigned index)
{
    REGISTER(virtio, QUEUE_SELECT) = index;
    return (uint16_t)REGISTER(virtio, QUEUE_SIZE_MAX);
}

static bool queue_enable(const struct virtio *virtio, struct vq *vq, uint16_t vector)
{
    const uint64_t areas[] = {(uint64_t)vq->descriptors, (uint64_t)vq->driver, (uint64_t)vq->device};
    REGISTER(virtio, QUEUE_SELECT) = vq->index;
    REGISTER(virtio, QUEUE_SIZE) = vq->size;
    for (unsigned i = 0; i < ARRAY_COUNT(areas); i++) {
        REGISTER(virtio, QUEUE_AREAS + 0x10 * i) = (uint32_t)areas[i];
        REGISTER(virtio, QUEUE_AREAS + 0x10 * i + 4) = (uint32_t)(areas[i] >> 32);
    }
    vq->notify_is_wide = true;
    vq->notify = virtio->common + QUEUE_NOTIFY;
    REGISTER(virtio, QUEUE_READY) = 1;
    return REGISTER(virtio, QUEUE_READY) && vector == VQ_NO_VECTOR;
}

static void queue_reset(const struct virtio *virtio, unsigned index)
{
    REGISTER(virtio, QUEUE_SELECT) = index;
    REGISTER(virtio, QUEUE_RESET) = 1;
}

static bool queue_is_reset(const struct virtio *virtio, unsigned index)
{
    REGISTER(virtio, QUEUE_SELECT) = index;
    return !REGISTER(virtio, QUEUE_RESET) && !REGISTER(virtio, QUEUE_READY);
}

static uint32_t interrupt_take(const struct virtio *virtio)
{
    uint32_t why = REGISTER(virtio, INTERRUPT_STATUS);
    REGISTER(virtio, INTERRUPT_ACK) = why;
    return why;
}

static const struct virtio_transport mmio_transport = {
    .offered = offered,
    .accept = accept,
    .status = status,
    .status_set = status_set,
    .queue_size = queue_size,
    .queue_enable = queue_enable,
    .queue_reset = queue_reset,
    .queue_is_reset = queue_is_reset,
    .interrupt_take = interrupt_take,
};

/* Digits of base 10, or of 16 behind 0x; returns what follows them. */
static const char *read_number(const char *text, uint64_t *value)
{
    unsigned base = 10, digit;
    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    for (*value = 0;; text++) {
        if (*text >= '0' && *text <= '9')
            digit = (unsigned)(*text - '0');
        else if (base == 16 && *text >= 'a' && *text <= 'f')
            digit = *text - 'a' + 10u;
        else
            return text;
        *value = *value * base + digit;
    }
}

/* What stands behind WORD: SIZE[K]@ADDRESS:PIN[:ID], where only the address and the pin count. */
static bool read_word(const char *text, uint64_t *address, uint64_t *pin)
{
    uint64_t size;
    text = read_number(text, &size);
    text += *text == 'K';
    if (*text++ != '@')
        return false;
    text = read_number(text, address);
    if (*text++ != ':')
        return false;
    text = read_number(text, pin);
    return (!*text || *text == ' ' || *text == ':') && *address && *pin < VIRTIO_NO_PIN;
}

bool virtio_is_word(const char *word)
{
    uint64_t address, pin;
    return !memcmp(word, WORD, strlen(WORD)) && read_word(word + strlen(WORD), &address, &pin);
}

bool virtio_mmio_find(uint16_t type, unsigned *index, struct virtio *virtio)
{
    uint64_t address, pin;
    for (const char *at = boot_info.cmdline; *at; at++) {
        if ((at > boot_info.cmdline && at[-1] != ' ') || !virtio_is_word(at))
            continue;
        read_word(at + strlen(WORD), &address, &pin);
        page_map_identity(address & ~(LARGE_PAGE_BYTES - 1), LARGE_PAGE_BYTES,
                          PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
        virtio->transport = &mmio_transport;
        virtio->slot = PCI_NONE;
        virtio->pin = (uint8_t)pin;
        virtio->common = address;
        virtio->config = address + CONFIG;
        if (REGISTER(virtio, MAGIC) == MAGIC_VALUE && REGISTER(virtio, VERSION) == VERSION_VALUE &&
            REGISTER(virtio, DEVICE_ID) == type && !(*index)--)
            return true;
    }
    return false;
}
