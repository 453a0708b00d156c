/* SPDX-License-Identifier: MIT
 *
 * The engine of threads: each takes a request, does it by system calls that block, and puts it into the list
 * of finished ones, which the event loop's thread empties. Threads are made when there is work for them.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/block/internal.h"

#define THREAD_LIMIT 8
#define STACK_BYTES  (256 * KIB)

/* Requests in order of arrival. */
struct request_list {
    struct block_request *first, **end;
};

struct pool {
    struct block *block;
    pthread_mutex_t lock; /* a leaf, around all of what follows up to `threads` */
    pthread_cond_t work;
    struct request_list waiting, finished;
    unsigned idle_count, thread_count;
    bool closing;
    pthread_t threads[THREAD_LIMIT];
    struct request_list batch; /* submitted, not kicked: the loop's thread */
    int finished_fd;
    struct event_source finished_source;
};

static void list_init(struct request_list *list)
{
    *list = (struct request_list){.end = &list->first};
}

static void list_append(struct request_list *list, struct block_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

static struct block_request *list_take(struct request_list *list)
{
    struct block_request *request = list->first;
    if (request) {
        list->first = request->next;
        if (!list->first)
            list->end = &list->first;
    }
    return request;
}

/* With the lock held; the first of a row of finished ones rings. */
static void finish(struct pool *pool, struct block_request *request)
{
    bool was_empty = !pool->finished.first;
    uint64_t one = 1;
    list_append(&pool->finished, request);
    if (was_empty && write(pool->finished_fd, &one, sizeof(one)) < 0)
        return; /* only where the counter is full: it rings already */
}

static void *worker_main(void *argument)
{
    struct pool *pool = argument;
    struct store *store = pool->block->store;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        if (pool->closing)
            break;
        struct block_request *request = list_take(&pool->waiting);
        if (!request) {
            pool->idle_count++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle_count--;
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        request->result = store->ops->run(store->self, request);
        pthread_mutex_lock(&pool->lock);
        finish(pool, request);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock held. One thread more, where all are busy; without any, the work is done here. */
static void add_worker(struct pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pool->thread_count == THREAD_LIMIT)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (!pthread_create(&pool->threads[pool->thread_count], &attributes, worker_main, pool))
        pool->thread_count++;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void pool_submit(void *engine, struct block_request *request)
{
    struct pool *pool = engine;
    list_append(&pool->batch, request);
}

/* A host that gives no thread at all still gets its requests done. */
static void run_here(struct pool *pool)
{
    struct store *store = pool->block->store;
    struct block_request *request;
    while ((request = list_take(&pool->waiting))) {
        request->result = store->ops->run(store->self, request);
        finish(pool, request);
    }
}

static void pool_kick(void *engine)
{
    struct pool *pool = engine;
    struct block_request *request;
    unsigned count = 0;
    pthread_mutex_lock(&pool->lock);
    while ((request = list_take(&pool->batch))) {
        list_append(&pool->waiting, request);
        count++;
    }
    for (unsigned i = pool->idle_count; i < count && pool->thread_count < THREAD_LIMIT; i++)
        add_worker(pool);
    if (!pool->thread_count)
        run_here(pool);
    if (count == 1)
        pthread_cond_signal(&pool->work);
    else if (count)
        pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void on_finished(void *owner, uint32_t events)
{
    struct pool *pool = owner;
    struct block_request *request, *next;
    uint64_t count;
    (void)events;
    if (read(pool->finished_fd, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&pool->lock);
    request = pool->finished.first;
    list_init(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    for (; request; request = next) {
        next = request->next;
        request->done(request, request->result);
    }
    if (pool->block->config.batch_done)
        pool->block->config.batch_done(pool->block->config.owner);
}

/* What no thread has begun was not acknowledged either, and is dropped: there may be any amount of it. */
static void pool_close(void *engine)
{
    struct pool *pool = engine;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    event_loop_remove(pool->block->config.loop, &pool->finished_source);
    close(pool->finished_fd);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static const struct engine_ops pool_ops = {.submit = pool_submit, .kick = pool_kick, .close = pool_close};

int pool_open(struct block *block, struct vmm_error *error)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set(error, -ENOMEM, "%s: out of memory", block->config.path);
    pool->block = block;
    pool->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->finished_fd < 0) {
        free(pool);
        return error_set_errno(error, -errno, "%s: cannot make an eventfd", block->config.path);
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    list_init(&pool->batch);
    pool->finished_source = (struct event_source){
        .fd = pool->finished_fd, .events = EPOLLIN, .ready = on_finished, .owner = pool};
    int result = event_loop_add(block->config.loop, &pool->finished_source, error);
    if (result) {
        pool_close(pool);
        return result;
    }
    block->engine_ops = &pool_ops;
    block->engine = pool;
    block->store->info.aio = "threads";
    return 0;
}
