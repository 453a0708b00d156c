/* SPDX-License-Identifier: MIT
 *
 * The entropy device. A driver has at least a byte of each buffer (5.4.6.1) and at most CHAIN_BYTES_MAX, and
 * a turn ends after TURN_BYTES: who wants gigabytes does not keep the event loop from the other devices.
 */
#include "devices/virtio-rng/virtio_rng.h"

#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE      64
#define SEGMENTS_MAX    16
#define CHAIN_BYTES_MAX 0x4000u
#define TURN_BYTES      0x10000u
#define TURN_CHAINS     256u

struct virtio_rng {
    struct virtio *virtio;
};

/* How many bytes of the chain were filled. */
static size_t fill(const struct queue_chain *chain)
{
    size_t done = 0;
    for (unsigned i = 0; i < chain->in_count && done < CHAIN_BYTES_MAX; i++) {
        const struct iovec *segment = &chain->segments[chain->out_count + i];
        size_t room = CHAIN_BYTES_MAX - done;
        size_t len = segment->iov_len < room ? segment->iov_len : room;
        ssize_t got = getrandom(segment->iov_base, len, 0);
        if (got <= 0)
            break;
        done += (size_t)got;
        if ((size_t)got < len)
            break;
    }
    return done;
}

static void notify(void *device, unsigned queue)
{
    struct virtio_rng *rng = device;
    struct iovec segments[SEGMENTS_MAX];
    struct queue_chain chain = {.segments = segments, .capacity = SEGMENTS_MAX};
    size_t bytes = 0;
    unsigned count = 0;
    virtio_queue_kicks_off(rng->virtio, queue);
    while (bytes < TURN_BYTES && count < TURN_CHAINS &&
           virtio_queue_pop(rng->virtio, queue, &chain) == QUEUE_CHAIN) {
        size_t done = fill(&chain);
        virtio_queue_push(rng->virtio, queue, &chain, done);
        bytes += done;
        count++;
    }
    virtio_queue_flush(rng->virtio, queue);
    if (!virtio_queue_kicks_on(rng->virtio, queue))
        virtio_queue_again(rng->virtio, queue);
}

static const struct virtio_ops rng_ops = {.notify = notify};

int virtio_rng_create(const struct virtio_rng_config *config, struct virtio_rng **out,
                      struct vmm_error *error)
{
    struct virtio_rng *rng = calloc(1, sizeof(*rng));
    if (!rng)
        return error_set(error, -ENOMEM, "virtio-rng: out of memory");
    const struct virtio_config virtio_config = {.name = "virtio-rng",
                                                .type = VIRTIO_ID_RNG,
                                                .queue_count = 1,
                                                .queue_size = QUEUE_SIZE,
                                                .memory = config->memory,
                                                .loop = config->loop,
                                                .ops = &rng_ops,
                                                .device = rng};
    int result = virtio_create(&virtio_config, &rng->virtio, error);
    if (result) {
        free(rng);
        return result;
    }
    *out = rng;
    return 0;
}

void virtio_rng_destroy(struct virtio_rng *rng)
{
    if (!rng)
        return;
    virtio_destroy(rng->virtio);
    free(rng);
}

struct virtio *virtio_rng_virtio(struct virtio_rng *rng)
{
    return rng->virtio;
}
