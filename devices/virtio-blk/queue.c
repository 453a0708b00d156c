/* SPDX-License-Identifier: MIT
 *
 * The way of a request: popped, read, submitted to the backend, done, pushed. All on the event loop's thread;
 * only the wait for what is in flight (queue_drain) is a vCPU's.
 *
 * One kick is one batch of submissions, and one batch of completions one interrupt.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/trace.h"
#include "devices/virtio-blk/internal.h"

static const enum trace_operation trace_operations[] = {
    [BLOCK_READ] = TRACE_OPERATION_READ,
    [BLOCK_WRITE] = TRACE_OPERATION_WRITE,
    [BLOCK_FLUSH] = TRACE_OPERATION_FLUSH,
    [BLOCK_DISCARD] = TRACE_OPERATION_DISCARD,
    [BLOCK_WRITE_ZEROES] = TRACE_OPERATION_WRITE_ZEROES,
};

/* The memory of requests that were never used is never touched. */
int queues_create(struct virtio_blk *blk, struct vmm_error *error)
{
    for (unsigned q = 0; q < blk->config.queue_count; q++) {
        struct disk_queue *queue = &blk->queues[q];
        queue->requests = calloc(QUEUE_SIZE, sizeof(*queue->requests));
        if (!queue->requests)
            return error_set(error, -ENOMEM, "%s: out of memory", blk->config.name);
        queue->is_halted = true; /* until the first notification */
    }
    return 0;
}

void queues_destroy(struct virtio_blk *blk)
{
    for (unsigned q = 0; q < blk->config.queue_count; q++)
        free(blk->queues[q].requests);
}

/* The last one that was given back, which is in the cache, or the next new one. There are as many as the ring
 * has entries, and a chain has at least one: but the driver may lie, so there may be none. */
static struct request *take_request(struct virtio_blk *blk, unsigned q)
{
    struct disk_queue *queue = &blk->queues[q];
    struct request *request = queue->free;
    queue->is_starved = queue->bytes_in_flight >= QUEUE_BYTES_MAX || (!request && queue->made == QUEUE_SIZE);
    if (queue->is_starved)
        return NULL;
    if (request) {
        queue->free = request->next_free;
        return request;
    }
    request = &queue->requests[queue->made++];
    request->blk = blk;
    request->queue = q;
    request->chain.segments = request->segments;
    request->chain.capacity = SEGMENTS_MAX;
    return request;
}

static void give_request(struct request *request)
{
    struct disk_queue *queue = &request->blk->queues[request->queue];
    request->next_free = queue->free;
    queue->free = request;
}

static void push(struct request *request)
{
    virtio_queue_push(request->blk->virtio, request->queue, &request->chain, request->written);
    give_request(request);
}

/* What the request is about, on the disk. */
static uint64_t request_bytes(const struct request *request)
{
    uint64_t bytes = request->range_count ? 0 : request->block.len;
    for (unsigned i = 0; i < request->range_count; i++)
        bytes += request->ranges[i].len;
    return bytes;
}

/* What has to be moved for it. A discard moves nothing; zeroes may be written one by one. */
static uint64_t moved_bytes(const struct request *request)
{
    return request->block.operation == BLOCK_DISCARD ? 0 : request_bytes(request);
}

static void submit_range(struct request *request)
{
    const struct range *range = &request->ranges[request->next_range++];
    request->block.offset = range->offset;
    request->block.len = range->len;
    request->block.may_unmap = range->may_unmap;
    block_submit(request->blk->block, &request->block);
}

/* A range of no sectors is nothing to do. */
static bool has_next_range(struct request *request)
{
    while (request->next_range < request->range_count && !request->ranges[request->next_range].len)
        request->next_range++;
    return request->next_range < request->range_count;
}

static void finish(struct block_request *block, int result)
{
    struct request *request = block->owner;
    struct virtio_blk *blk = request->blk;
    struct disk_queue *queue = &blk->queues[request->queue];
    if (!result && has_next_range(request)) {
        submit_range(request);
        block_kick(blk->block);
        return;
    }
    trace_request_done(blk->config.name, trace_operations[block->operation], request->chain.id, result);
    blk->counts.operations[block->operation]++;
    blk->counts.bytes[block->operation] += request_bytes(request);
    blk->counts.errors += result != 0;
    if (result && (block->operation == BLOCK_FLUSH || (block->is_stable && result == -EIO)))
        blk->has_lost = true;
    if (result)
        request_fail(request);
    *request->status = result ? BLK_S_IOERR : BLK_S_OK;
    queue->bytes_in_flight -= moved_bytes(request);
    push(request);
    queue->has_news = true;
    queue->in_flight--;
}

static void on_done(struct block_request *block, int result)
{
    struct virtio_blk *blk = ((struct request *)block->owner)->blk;
    pthread_mutex_lock(&blk->lock);
    finish(block, result);
    pthread_mutex_unlock(&blk->lock);
}

static void submit(struct request *request)
{
    struct virtio_blk *blk = request->blk;
    struct disk_queue *queue = &blk->queues[request->queue];
    struct block_request *block = &request->block;
    block->done = on_done;
    block->owner = request;
    limit_take(&blk->limit, moved_bytes(request));
    queue->in_flight++;
    queue->bytes_in_flight += moved_bytes(request);
    trace_request_issue(blk->config.name, trace_operations[block->operation], request->chain.id,
                        block->offset, block->len);
    if (!request->range_count)
        block_submit(blk->block, block);
    else if (has_next_range(request))
        submit_range(request);
    else
        finish(block, 0);
}

/* False where the queue has no more to give. */
static bool pop_one(struct virtio_blk *blk, unsigned q)
{
    struct request *request = take_request(blk, q);
    if (!request)
        return false;
    if (virtio_queue_pop(blk->virtio, q, &request->chain) != QUEUE_CHAIN) {
        give_request(request);
        return false;
    }
    switch (request_read(request)) {
    case REQUEST_SUBMIT:
        submit(request);
        break;
    case REQUEST_DONE:
        push(request);
        break;
    case REQUEST_BROKEN:
        request->written = 0;
        push(request);
        virtio_break(blk->virtio, "a disk request without a header or a status", q);
        break;
    }
    return true;
}

/* Over the limit: the queue is left alone until there are tokens. */
static bool must_wait(struct virtio_blk *blk)
{
    if (blk->is_held)
        return true;
    if (!limit_exists(&blk->limit))
        return false;
    uint64_t wait_ns = limit_wait_ns(&blk->limit, clock_now_ns());
    if (!wait_ns)
        return false;
    if (!blk->is_throttled) {
        blk->is_throttled = true;
        blk->counts.throttled++;
        event_timer_set(&blk->refill, wait_ns);
    }
    return true;
}

/* With the lock held. Until there is nothing to pop, or something to wait for, or its turn is over: requests
 * that are done at once could go on for ever, and a reset would wait for them. */
static void run_queue(struct virtio_blk *blk, unsigned q)
{
    struct disk_queue *queue = &blk->queues[q];
    unsigned left = TURN_CHAINS;
    do {
        virtio_queue_kicks_off(blk->virtio, q);
        queue->is_starved = false;
        for (; left && !must_wait(blk) && pop_one(blk, q); left--)
            ;
        block_kick(blk->block);
    } while (left && !blk->is_throttled && !blk->is_held && !queue->is_starved &&
             !virtio_queue_kicks_on(blk->virtio, q));
    if (!left && !blk->is_throttled)
        virtio_queue_again(blk->virtio, q);
    queue->has_news = false;
    virtio_queue_flush(blk->virtio, q);
}

void queue_notify(void *device, unsigned q)
{
    struct virtio_blk *blk = device;
    pthread_mutex_lock(&blk->lock);
    blk->queues[q].is_halted = false;
    run_queue(blk, q);
    pthread_mutex_unlock(&blk->lock);
}

void queue_refilled(void *owner)
{
    struct virtio_blk *blk = owner;
    pthread_mutex_lock(&blk->lock);
    blk->is_throttled = false;
    /* Another one is the first each time: the first may take all that the limit gives. */
    unsigned count = blk->config.queue_count, first = blk->first_refilled++;
    for (unsigned i = 0; i < count; i++)
        if (!blk->queues[(first + i) % count].is_halted)
            run_queue(blk, (first + i) % count);
    pthread_mutex_unlock(&blk->lock);
}

void queue_batch_done(void *owner)
{
    struct virtio_blk *blk = owner;
    pthread_mutex_lock(&blk->lock);
    for (unsigned q = 0; q < blk->config.queue_count; q++) {
        struct disk_queue *queue = &blk->queues[q];
        if (queue->has_news && !queue->is_halted)
            virtio_queue_flush(blk->virtio, q);
        queue->has_news = false;
        if (!queue->in_flight)
            pthread_cond_broadcast(&blk->idle);
    }
    for (unsigned q = 0; q < blk->config.queue_count; q++)
        if (blk->queues[q].is_starved && blk->queues[q].free && !blk->queues[q].is_halted)
            run_queue(blk, q);
    pthread_mutex_unlock(&blk->lock);
}

/* What is in flight comes back by itself; the ring is not looked at meanwhile. The last interrupt is the
 * driver's loss, which wanted the queue to stop. */
void queue_drain(void *device, unsigned q)
{
    struct virtio_blk *blk = device;
    pthread_mutex_lock(&blk->lock);
    blk->queues[q].is_halted = true;
    while (blk->queues[q].in_flight)
        pthread_cond_wait(&blk->idle, &blk->lock);
    pthread_mutex_unlock(&blk->lock);
}

/* Nothing is in flight then, or -EBUSY after HOLD_NS: a medium that does not answer, or a machine that
 * was paused in the middle. */
int queues_hold(struct virtio_blk *blk)
{
    struct timespec until = clock_deadline(HOLD_NS);
    int result = 0;
    pthread_mutex_lock(&blk->lock);
    blk->is_held = true;
    for (unsigned q = 0; q < blk->config.queue_count && !result; q++)
        while (blk->queues[q].in_flight && !result)
            result = pthread_cond_clockwait(&blk->idle, &blk->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&blk->lock);
    return result ? -EBUSY : 0;
}

void queues_release(struct virtio_blk *blk)
{
    pthread_mutex_lock(&blk->lock);
    blk->is_held = false;
    for (unsigned q = 0; q < blk->config.queue_count; q++)
        if (!blk->queues[q].is_halted)
            virtio_queue_again(blk->virtio, q);
    pthread_mutex_unlock(&blk->lock);
}
