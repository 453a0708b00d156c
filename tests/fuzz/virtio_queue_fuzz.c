/* SPDX-License-Identifier: MIT
 *
 * The walker over rings of the fuzzer's choice, split and packed, in guest memory that another hand changes
 * between any two calls, and by a second thread during them. Whatever happens, segments are RAM, a chain is
 * bounded, and the walker comes to an end.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/virtio/queue.h"

#define RAM_BYTES  0x10000u
#define RING_BYTES 0x1000u /* of which the fuzzer writes the first */
#define SEGMENTS   64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
    const uint8_t *data;
    size_t len;
};

static unsigned take(struct input *input, unsigned bytes)
{
    unsigned value = 0;
    for (unsigned i = 0; i < bytes && input->len; i++, input->data++, input->len--)
        value |= (unsigned)*input->data << 8 * i;
    return value;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_chain(const struct guest_memory *memory, const struct queue_chain *chain)
{
    const uint8_t *ram = guest_mem_ptr(memory, 0, RAM_BYTES);
    uint64_t sum = 0;
    must(chain->out_count + chain->in_count <= chain->capacity);
    for (unsigned i = 0; i < chain->out_count + chain->in_count; i++) {
        const uint8_t *base = chain->segments[i].iov_base;
        size_t len = chain->segments[i].iov_len;
        must(len && base >= ram && len <= RAM_BYTES && base + len <= ram + RAM_BYTES);
        sum += len;
    }
    must(sum == chain->out_bytes + chain->in_bytes);
}

/* The other hand: a value of the fuzzer's over and over at an address of its choice. */
struct peer {
    uint8_t *ram;
    uint32_t offset;
    uint16_t values[2];
};

static void *change(void *argument)
{
    struct peer *peer = argument;
    for (unsigned i = 0; i < 2000; i++)
        __atomic_store_n((uint16_t *)(void *)(peer->ram + peer->offset), peer->values[i & 1],
                         __ATOMIC_RELAXED);
    return NULL;
}

static int start(struct queue *queue, const struct guest_memory *memory, struct input *input)
{
    static const uint16_t sizes[] = {1, 2, 4, 8, 16, 3, 64, 1024};
    unsigned choices = take(input, 1);
    const struct queue_config config = {.memory = memory,
                                        .size = sizes[choices & 7],
                                        .is_packed = choices & 8,
                                        .has_event_idx = choices & 16,
                                        .has_indirect = choices & 32,
                                        .descriptor = take(input, 2) & 0xfffeu,
                                        .driver = take(input, 2) & 0xfffeu,
                                        .device = take(input, 2) & 0xfffeu};
    return queue_start(queue, &config);
}

static void step(struct queue *queue, const struct guest_memory *memory, struct input *input)
{
    static struct iovec segments[SEGMENTS];
    static struct queue_chain held;
    static bool holds;
    struct queue_chain chain = {.segments = segments, .capacity = 1 + take(input, 1) % SEGMENTS};
    unsigned at;
    switch (take(input, 1) % 8) {
    case 0:
    case 1:
        for (unsigned count = 0; queue_pop(queue, &chain) == QUEUE_CHAIN; count++) {
            must(count <= 0x10000);
            check_chain(memory, &chain);
            queue_push(queue, &chain, take(input, 2));
        }
        return;
    case 2:
        if (queue_pop(queue, &chain) == QUEUE_CHAIN) {
            check_chain(memory, &chain);
            held = chain;
            holds = true;
        }
        return;
    case 3:
        if (holds)
            queue_push(queue, &held, UINT64_MAX);
        holds = false;
        return;
    case 4:
        queue_wants_interrupt(queue);
        return;
    case 5:
        queue_kicks_off(queue);
        return;
    case 6:
        queue_kicks_on(queue);
        return;
    default:
        at = take(input, 2) % (RAM_BYTES - 1);
        guest_mem_write(memory, at, &(uint16_t){(uint16_t)take(input, 2)}, 2);
    }
}

/* The memory stays; only what an input can see of it is made anew. */
static struct guest_memory *fresh_memory(void)
{
    static struct guest_memory *memory;
    if (!memory && guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL))
        abort();
    memset(guest_mem_ptr(memory, 0, RAM_BYTES), 0, RAM_BYTES);
    return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct guest_memory *memory = fresh_memory();
    struct input input = {data, len};
    struct queue queue = {0};
    struct peer peer = {.ram = guest_mem_ptr(memory, 0, RAM_BYTES)};
    pthread_t thread;
    unsigned steps = take(&input, 1) % 32;
    bool has_peer = take(&input, 1) % 16 == 0;
    if (start(&queue, memory, &input))
        return 0;
    peer.offset = take(&input, 2) & 0xfffeu;
    peer.values[0] = (uint16_t)take(&input, 2);
    peer.values[1] = (uint16_t)take(&input, 2);
    struct input commands = {input.data, input.len < 4 * steps ? input.len : 4 * steps};
    input.data += commands.len;
    input.len -= commands.len;
    guest_mem_write(memory, 0, input.data, input.len < RING_BYTES ? input.len : RING_BYTES);
    has_peer = has_peer && !pthread_create(&thread, NULL, change, &peer);
    for (unsigned i = 0; i < steps; i++)
        step(&queue, memory, &commands);
    if (has_peer)
        pthread_join(thread, NULL);
    queue_stop(&queue);
    return 0;
}
