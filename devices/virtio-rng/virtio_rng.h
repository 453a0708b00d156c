/* SPDX-License-Identifier: MIT
 *
 * The entropy device (virtio 1.2, 5.4): one queue, whose buffers are filled with random bytes of the host's
 * kernel.
 */
#ifndef DEVICES_VIRTIO_RNG_VIRTIO_RNG_H
#define DEVICES_VIRTIO_RNG_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

struct virtio_rng_config {
    const struct guest_memory *memory;
    struct event_loop *loop;
};

struct virtio_rng;

int virtio_rng_create(const struct virtio_rng_config *config, struct virtio_rng **rng,
                      struct vmm_error *error);
void virtio_rng_destroy(struct virtio_rng *rng);

/* For a transport. */
struct virtio *virtio_rng_virtio(struct virtio_rng *rng);

#endif
