/* SPDX-License-Identifier: MIT
 *
 * The engine of io_uring, by liburing: a batch is one system call, and what the page cache has is done when
 * that returns.
 *
 * A transfer that comes back short, and what io_uring has no operation for, goes on by a system call that
 * blocks: both are rare. A write to the page cache is a copy. Where the file system cannot promise that it
 * does not wait (ext4, tmpfs), io_uring has a worker thread do it, which takes several times as long, so that
 * this thread copies by itself, until it was made to wait.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "devices/block/internal.h"

/* Pinned buffers have no use for threads. */
static int set_missing(const struct block_config *config, const char *reason, struct vmm_error *error)
{
    return error_set(error, -ENOTSUP, "%s: no io_uring: %s: %s", config->path, reason,
                     config->pinned_count ? "leave its memory unpinned" : "use threads");
}

#ifdef VMM_HAVE_URING
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define RING_ENTRIES 256

/* Of a write that is copied here: how much, how long that may take at most, and what follows from longer. */
#define COPY_BYTES_MAX (1 * MIB)
#define COPY_NS_MAX    1000000u
#define COPY_PAUSE_NS  1000000000u

/* Indexes of registered files. */
#define FILE_CACHED 0
#define FILE_DIRECT 1

struct uring {
    struct block *block;
    struct file_store *file;
    struct io_uring ring;
    unsigned in_flight;
    bool is_running; /* run_ring is: a kick from inside of a `done` or of batch_done is left to it */
    int event_fd;
    struct event_source completions;
    struct block_request *full_first, **full_end; /* what the ring had no room for */
    struct block_request *copy_first, **copy_end; /* writes that are copied at the next kick */
    uint64_t copies_from_ns;                      /* none until then; 0: now */
    uint64_t watched_until_ns;                    /* one of them was slow */
};

/* The registered buffer that the request's only segment lies in; -1: none, or there are more segments, which
 * the operations on registered buffers do not take. */
static int find_pinned(const struct uring *uring, const struct block_request *request)
{
    const struct block_config *config = &uring->block->config;
    if (request->segment_count != 1)
        return -1;
    uintptr_t at = (uintptr_t)request->segments->iov_base;
    for (unsigned i = 0; i < config->pinned_count; i++) {
        uintptr_t offset = at - (uintptr_t)config->pinned[i].iov_base;
        if (offset < config->pinned[i].iov_len && request->len <= config->pinned[i].iov_len - offset)
            return (int)i;
    }
    return -1;
}

static void prepare_transfer(const struct uring *uring, struct io_uring_sqe *sqe,
                             const struct block_request *request, int file)
{
    int pinned = find_pinned(uring, request);
    int flags = request->is_stable ? RWF_DSYNC : 0;
    void *at = request->segments->iov_base;
    if (request->operation == BLOCK_READ && pinned >= 0)
        io_uring_prep_read_fixed(sqe, file, at, (unsigned)request->len, request->offset, pinned);
    else if (request->operation == BLOCK_READ)
        io_uring_prep_readv(sqe, file, request->segments, request->segment_count, request->offset);
    else if (pinned >= 0)
        io_uring_prep_write_fixed(sqe, file, at, (unsigned)request->len, request->offset, pinned);
    else
        io_uring_prep_writev(sqe, file, request->segments, request->segment_count, request->offset);
    if (request->operation == BLOCK_WRITE)
        sqe->rw_flags = flags;
}

static void prepare(const struct uring *uring, struct io_uring_sqe *sqe, struct block_request *request)
{
    int file = file_store_fd(uring->file, request) == uring->file->fd ? FILE_CACHED : FILE_DIRECT;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        prepare_transfer(uring, sqe, request, file);
        break;
    case BLOCK_FLUSH:
        io_uring_prep_fsync(sqe, FILE_CACHED, IORING_FSYNC_DATASYNC);
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
    case BLOCK_OPERATION_COUNT:
        io_uring_prep_nop(sqe); /* run_here does it: a device has no fallocate, a file may refuse it */
        break;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    if (request->operation > BLOCK_FLUSH)
        sqe->flags &= (uint8_t)~IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, request);
}

static bool is_copy(const struct uring *uring, const struct block_request *request)
{
    return request->operation == BLOCK_WRITE && !request->is_stable && request->len <= COPY_BYTES_MAX &&
           uring->file->direct_fd < 0 && (!uring->copies_from_ns || clock_now_ns() >= uring->copies_from_ns);
}

static void append(struct block_request ***end, struct block_request *request)
{
    request->next = NULL;
    **end = request;
    *end = &request->next;
}

static void uring_submit(void *engine, struct block_request *request)
{
    struct uring *uring = engine;
    if (is_copy(uring, request)) {
        append(&uring->copy_end, request);
        return;
    }
    /* Never more in flight than the completion ring has room for. */
    bool is_full = uring->full_first || uring->in_flight == RING_ENTRIES;
    struct io_uring_sqe *sqe = is_full ? NULL : io_uring_get_sqe(&uring->ring);
    if (!sqe) {
        append(&uring->full_end, request);
        return;
    }
    uring->in_flight++;
    prepare(uring, sqe, request);
}

/* Not done, through no fault of the file: the kernel cancels what a thread that ends has in flight, and the
 * loop's thread ends when a machine is paused. */
static bool is_put_off(int count)
{
    return count == -EAGAIN || count == -EINTR || count == -ECANCELED;
}

/* The number of bytes that came, or a negative errno, to the result of the request. */
static int result_of(struct uring *uring, const struct block_request *request, int count)
{
    struct store *store = &uring->file->store;
    if (request->operation > BLOCK_FLUSH)
        return store->ops->run(store->self, request);
    if (count < 0 || request->operation == BLOCK_FLUSH)
        return is_put_off(count) ? store->ops->run(store->self, request) : count;
    return (uint64_t)count == request->len ? 0 : store->ops->run(store->self, request);
}

/* Calls `done` for all that is there. */
static bool reap(struct uring *uring)
{
    struct io_uring_cqe *cqe;
    bool any = false;
    while (!io_uring_peek_cqe(&uring->ring, &cqe)) {
        struct block_request *request = io_uring_cqe_get_data(cqe);
        int count = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        if (!request)
            continue;
        uring->in_flight--;
        any = true;
        request->done(request, result_of(uring, request, count));
    }
    return any;
}

static void submit_waiting(struct uring *uring)
{
    struct block_request *request = uring->full_first;
    uring->full_first = NULL;
    uring->full_end = &uring->full_first;
    for (struct block_request *next; request; request = next) {
        next = request->next;
        uring_submit(uring, request);
    }
}

/* The loop comes back. Fails only where the counter is full: then it does so anyway. */
static void ring_again(struct uring *uring)
{
    uint64_t one = 1;
    ssize_t written = write(uring->event_fd, &one, sizeof(one));
    (void)written;
}

/* The kernel may take fewer than there are. What it does not take now (it is out of memory) is tried again by
 * the loop: false. */
static bool submit_all(struct uring *uring)
{
    submit_waiting(uring);
    while (io_uring_sq_ready(&uring->ring)) {
        if (io_uring_submit(&uring->ring) > 0)
            continue;
        ring_again(uring);
        return false;
    }
    return true;
}

/* How often this thread has waited; that it was preempted does not count. */
static long wait_count(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

/* What was taken for a copy waits when the page cache has too much that is still to be written, or for a page
 * that has to be read first, and others of this disk wait with it: so it is left to the workers for a while.
 * A slow copy may also have been preempted, which no worker would help, and to know that costs a system call:
 * only from the first slow one on. */
static void note_slow_copy(struct uring *uring, uint64_t now_ns, long *waits_before)
{
    long waits = wait_count();
    uring->watched_until_ns = now_ns + 2 * COPY_PAUSE_NS;
    if (*waits_before >= 0 && waits != *waits_before)
        uring->copies_from_ns = now_ns + COPY_PAUSE_NS;
    *waits_before = waits;
}

static void run_copy(struct uring *uring, struct block_request *request, uint64_t *now_ns, long *waits_before)
{
    struct store *store = &uring->file->store;
    uint64_t start_ns = *now_ns;
    int result = store->ops->run(store->self, request);
    *now_ns = clock_now_ns();
    if (*now_ns - start_ns > COPY_NS_MAX)
        note_slow_copy(uring, *now_ns, waits_before);
    request->done(request, result);
}

static bool run_copies(struct uring *uring)
{
    struct block_request *request = uring->copy_first;
    if (!request)
        return false;
    uint64_t now_ns = clock_now_ns();
    long waits_before = now_ns < uring->watched_until_ns ? wait_count() : -1;
    uring->copy_first = NULL;
    uring->copy_end = &uring->copy_first;
    for (struct block_request *next; request; request = next) {
        next = request->next;
        if (is_copy(uring, request))
            run_copy(uring, request, &now_ns, &waits_before);
        else
            uring_submit(uring, request); /* one before it had to wait */
    }
    return true;
}

/* A `done` may have submitted more. */
static bool submit_and_reap(struct uring *uring)
{
    bool any = false, goes_on = true;
    while (goes_on) {
        bool is_submitted = submit_all(uring);
        goes_on = run_copies(uring);
        goes_on |= is_submitted && reap(uring);
        any |= goes_on;
    }
    return any;
}

/* Submits, and reaps what is done at once, without a signal of the eventfd for it. */
static void run_ring(struct uring *uring)
{
    if (uring->is_running)
        return;
    uring->is_running = true;
    bool any = reap(uring);
    io_uring_cq_eventfd_toggle(&uring->ring, false);
    any |= submit_and_reap(uring);
    io_uring_cq_eventfd_toggle(&uring->ring, true);
    /* What came between the two gave no signal. The kernel adds an entry before it looks at the flag; we set
     * the flag before we look for an entry. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    any |= reap(uring);
    any |= submit_and_reap(uring);
    if (any && uring->block->config.batch_done)
        uring->block->config.batch_done(uring->block->config.owner);
    submit_all(uring); /* what batch_done brought; the eventfd says when it is done */
    if (uring->copy_first)
        ring_again(uring);
    uring->is_running = false;
}

static void uring_kick(void *engine)
{
    run_ring(engine);
}

static void on_completions(void *owner, uint32_t events)
{
    struct uring *uring = owner;
    uint64_t count;
    (void)events;
    if (read(uring->event_fd, &count, sizeof(count)) == sizeof(count))
        run_ring(uring);
}

/* The kernel may still write to the guest's memory. What it never took needs no wait. */
static void wait_for_all(struct uring *uring)
{
    struct io_uring_cqe *cqe;
    uring->in_flight -= io_uring_sq_ready(&uring->ring);
    while (uring->in_flight) {
        if (io_uring_wait_cqe(&uring->ring, &cqe))
            continue;
        uring->in_flight -= io_uring_cqe_get_data(cqe) != NULL;
        io_uring_cqe_seen(&uring->ring, cqe);
    }
}

static void uring_close(void *engine)
{
    struct uring *uring = engine;
    event_loop_remove(uring->block->config.loop, &uring->completions);
    wait_for_all(uring);
    io_uring_queue_exit(&uring->ring);
    if (uring->event_fd >= 0)
        close(uring->event_fd);
    free(uring);
}

static const struct engine_ops uring_ops = {.submit = uring_submit, .kick = uring_kick, .close = uring_close};

static int set_up(struct uring *uring, struct vmm_error *error)
{
    int files[] = {uring->file->fd, uring->file->direct_fd >= 0 ? uring->file->direct_fd : uring->file->fd};
    int result = io_uring_register_files(&uring->ring, files, ARRAY_COUNT(files));
    uring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const struct block_config *config = &uring->block->config;
    if (!result && uring->event_fd < 0)
        result = -errno;
    if (!result)
        result = io_uring_register_eventfd(&uring->ring, uring->event_fd);
    if (result)
        return error_set_errno(error, result, "%s: io_uring", uring->block->config.path);
    if (config->pinned_count)
        result = io_uring_register_buffers(&uring->ring, config->pinned, config->pinned_count);
    if (result)
        return error_set_errno(error, result,
                               "%s: cannot pin the guest's memory (RLIMIT_MEMLOCK?): leave it unpinned",
                               config->path);
    uring->completions = (struct event_source){
        .fd = uring->event_fd, .events = EPOLLIN, .ready = on_completions, .owner = uring};
    return event_loop_add(uring->block->config.loop, &uring->completions, error);
}

static const char *reason_of(int result)
{
    return result == -ENOSYS ? "this kernel has none"
           : result == -EPERM || result == -EACCES
               ? "this kernel does not let this process use it (kernel.io_uring_disabled, seccomp)"
               : "the kernel refuses to make a ring (RLIMIT_MEMLOCK?)";
}

int uring_open(struct block *block, struct file_store *file, struct vmm_error *error)
{
    struct uring *uring = calloc(1, sizeof(*uring));
    if (!uring)
        return error_set(error, -ENOMEM, "%s: out of memory", block->config.path);
    uring->block = block;
    uring->file = file;
    uring->event_fd = -1;
    uring->full_end = &uring->full_first;
    uring->copy_end = &uring->copy_first;
    int result = io_uring_queue_init(RING_ENTRIES, &uring->ring, 0);
    if (result) {
        free(uring);
        return set_missing(&block->config, reason_of(result), error);
    }
    result = set_up(uring, error);
    if (result) {
        uring_close(uring);
        return result;
    }
    block->engine_ops = &uring_ops;
    block->engine = uring;
    file->store.info.aio = "io_uring";
    return 0;
}

bool block_has_uring(const char **reason)
{
    struct io_uring ring;
    int result = io_uring_queue_init(1, &ring, 0);
    if (!result) {
        io_uring_queue_exit(&ring);
        return true;
    }
    *reason = reason_of(result);
    return false;
}

#else

int uring_open(struct block *block, struct file_store *file, struct vmm_error *error)
{
    (void)file;
    return set_missing(&block->config, "built without liburing", error);
}

bool block_has_uring(const char **reason)
{
    *reason = "built without liburing";
    return false;
}
#endif
