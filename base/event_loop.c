/* SPDX-License-Identifier: MIT
 *
 * epoll, one timerfd for all timers, and an eventfd to be woken by. One lock guards the lists and is never
 * held during a callback; `running` names the source or timer being called, so that a removal can wait for
 * it. An event carries the id of its source and not a pointer, which may be stale by the time it is looked
 * at.
 */
#include "base/event_loop.h"

#include "base/clock.h"
#include "base/trace_ring.h"
#include "base/types.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENT_BATCH 16
#define NS_PER_S    1000000000ull

/* Values of epoll_data that are not a source's id. */
enum {
    ID_WAKE,
    ID_TIMER,
    ID_FIRST_SOURCE,
};

struct event_loop {
    pthread_mutex_t lock;
    pthread_cond_t returned; /* a callback has */
    struct event_source *sources;
    struct event_timer *timers; /* those armed, earliest first */
    uint64_t id_next;
    uint64_t timer_fd_ns; /* when timer_fd will expire; UINT64_MAX: never */
    const void *running;
    bool started, stopping, has_thread;
    pthread_t thread;
    struct trace_thread *trace;
    int epoll_fd, timer_fd, wake_fd; /* -1 until needed */
};

int event_loop_create(struct event_loop **out, struct vmm_error *error)
{
    struct event_loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return error_set(error, -ENOMEM, "event loop: out of memory");
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->returned, NULL);
    loop->id_next = ID_FIRST_SOURCE;
    loop->timer_fd_ns = UINT64_MAX;
    loop->epoll_fd = loop->timer_fd = loop->wake_fd = -1;
    *out = loop;
    return 0;
}

static void loop_close(struct event_loop *loop)
{
    int *fds[] = {&loop->epoll_fd, &loop->timer_fd, &loop->wake_fd};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

void event_loop_destroy(struct event_loop *loop)
{
    if (!loop)
        return;
    event_loop_stop(loop);
    loop_close(loop);
    pthread_cond_destroy(&loop->returned);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

/* From here to loop_open: the kernel's objects, made at the first need, with the lock held. */
static int loop_watch(struct event_loop *loop, int operation, int fd, uint32_t events, uint64_t id)
{
    struct epoll_event event = {.events = events, .data.u64 = id};
    return epoll_ctl(loop->epoll_fd, operation, fd, &event) ? -errno : 0;
}

static int loop_open_fds(struct event_loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -errno;
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        return -errno;
    int result = loop_watch(loop, EPOLL_CTL_ADD, loop->wake_fd, EPOLLIN, ID_WAKE);
    return result ? result : loop_watch(loop, EPOLL_CTL_ADD, loop->timer_fd, EPOLLIN, ID_TIMER);
}

static int loop_open(struct event_loop *loop, struct vmm_error *error)
{
    if (loop->epoll_fd >= 0)
        return 0;
    int result = loop_open_fds(loop);
    if (result) {
        loop_close(loop);
        return error_set_errno(error, result, "event loop: cannot make its descriptors");
    }
    return 0;
}

static void *loop_main(void *context);

/* Every signal is blocked on the loop's thread: they are the program's, and SIGPIPE becomes EPIPE. */
static int loop_create_thread(struct event_loop *loop, struct vmm_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result)
        return error_set_errno(error, -result, "event loop: cannot create its thread");
    pthread_setname_np(loop->thread, "vmm-events");
    loop->has_thread = true;
    return 0;
}

/* Makes the thread if the loop is started and has something to wait for. With the lock held. */
static int loop_need_thread(struct event_loop *loop, struct vmm_error *error)
{
    if (!loop->started || loop->has_thread || !(loop->sources || loop->timers))
        return 0;
    int result = loop_open(loop, error);
    return result ? result : loop_create_thread(loop, error);
}

static void loop_wake(struct event_loop *loop)
{
    /* fails only when the counter is full, and then the loop is awake */
    if (loop->wake_fd >= 0 && write(loop->wake_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
        assert(errno == EAGAIN);
}

void event_loop_set_trace(struct event_loop *loop, struct trace_thread *trace)
{
    loop->trace = trace;
}

int event_loop_start(struct event_loop *loop, struct vmm_error *error)
{
    pthread_mutex_lock(&loop->lock);
    bool before = loop->started;
    loop->started = true;
    int result = loop_need_thread(loop, error);
    if (result)
        loop->started = before;
    pthread_mutex_unlock(&loop->lock);
    return result;
}

void event_loop_stop(struct event_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->started = false;
    bool has_thread = loop->has_thread;
    if (has_thread) {
        assert(!pthread_equal(pthread_self(), loop->thread));
        loop->stopping = true;
        loop_wake(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    if (!has_thread)
        return;
    pthread_join(loop->thread, NULL);
    pthread_mutex_lock(&loop->lock);
    loop->stopping = loop->has_thread = false;
    pthread_mutex_unlock(&loop->lock);
}

/* Waits, with the lock held, until the callback of `what` is not running, unless the caller is that callback.
 */
static void loop_wait_for(struct event_loop *loop, const void *what)
{
    while (loop->running == what && !(loop->has_thread && pthread_equal(pthread_self(), loop->thread)))
        pthread_cond_wait(&loop->returned, &loop->lock);
}

static void loop_returned(struct event_loop *loop)
{
    loop->running = NULL;
    pthread_cond_broadcast(&loop->returned);
}

static int source_add(struct event_loop *loop, struct event_source *source, struct vmm_error *error)
{
    int result = loop_open(loop, error);
    if (result)
        return result;
    uint64_t id = loop->id_next++;
    result = loop_watch(loop, EPOLL_CTL_ADD, source->fd, source->events, id);
    if (result)
        return error_set_errno(error, result, "event loop: cannot wait for descriptor %d", source->fd);
    source->id = id;
    source->polled = true;
    source->next = loop->sources;
    loop->sources = source;
    return loop_need_thread(loop, error);
}

int event_loop_add(struct event_loop *loop, struct event_source *source, struct vmm_error *error)
{
    source->id = 0;
    pthread_mutex_lock(&loop->lock);
    int result = source_add(loop, source, error);
    pthread_mutex_unlock(&loop->lock);
    if (result)
        event_loop_remove(loop, source);
    return result;
}

/* epoll reports EPOLLHUP even to those who ask for nothing, so nothing means: not in the epoll set. */
static int source_set(struct event_loop *loop, struct event_source *source, uint32_t events)
{
    source->events = events;
    if (!events && !source->polled)
        return 0;
    int operation = !events ? EPOLL_CTL_DEL : source->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int result = loop_watch(loop, operation, source->fd, events, source->id);
    if (!result)
        source->polled = events != 0;
    return result;
}

int event_loop_set(struct event_loop *loop, struct event_source *source, uint32_t events)
{
    pthread_mutex_lock(&loop->lock);
    int result = source->id ? source_set(loop, source, events) : -EINVAL;
    pthread_mutex_unlock(&loop->lock);
    return result;
}

void event_loop_remove(struct event_loop *loop, struct event_source *source)
{
    pthread_mutex_lock(&loop->lock);
    if (source->id) {
        uint32_t events = source->events;
        source_set(loop, source, 0);
        source->events = events; /* as the caller filled it in, for the next add */
        struct event_source **link = &loop->sources;
        while (*link != source)
            link = &(*link)->next;
        *link = source->next;
        source->id = 0;
        loop_wait_for(loop, source);
    }
    pthread_mutex_unlock(&loop->lock);
}

void event_timer_init(struct event_timer *timer, struct event_loop *loop, void (*expired)(void *owner),
                      void *owner)
{
    *timer = (struct event_timer){.loop = loop, .expired = expired, .owner = owner};
}

static void timer_disarm(struct event_loop *loop, struct event_timer *timer)
{
    if (!timer->armed)
        return;
    struct event_timer **link = &loop->timers;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->armed = false;
}

void event_timer_clear(struct event_timer *timer)
{
    pthread_mutex_lock(&timer->loop->lock);
    timer_disarm(timer->loop, timer);
    pthread_mutex_unlock(&timer->loop->lock);
}

void event_timer_fini(struct event_timer *timer)
{
    pthread_mutex_lock(&timer->loop->lock);
    timer_disarm(timer->loop, timer);
    loop_wait_for(timer->loop, timer);
    /* a callback that was waited for may have set it again */
    timer_disarm(timer->loop, timer);
    pthread_mutex_unlock(&timer->loop->lock);
}

/* Only ever moves timer_fd forward to an earlier time; one that comes too early finds nothing to do. */
static void loop_program_timer(struct event_loop *loop)
{
    if (!loop->timers || loop->timer_fd < 0 || loop->timers->deadline_ns >= loop->timer_fd_ns)
        return;
    uint64_t deadline_ns = loop->timers->deadline_ns;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)}};
    int result = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    assert(!result);
    (void)result;
    loop->timer_fd_ns = deadline_ns;
}

int event_timer_set(struct event_timer *timer, uint64_t delay_ns)
{
    struct event_loop *loop = timer->loop;
    uint64_t now_ns = clock_now_ns();
    pthread_mutex_lock(&loop->lock);
    timer_disarm(loop, timer);
    /* a delay of centuries is as good as for ever, and stays a valid time */
    timer->deadline_ns = now_ns + (delay_ns < INT64_MAX / 2 ? delay_ns : INT64_MAX / 2);
    struct event_timer **link = &loop->timers;
    while (*link && (*link)->deadline_ns <= timer->deadline_ns)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
    timer->armed = true;
    int result = loop_need_thread(loop, NULL);
    if (loop->has_thread)
        loop_program_timer(loop);
    pthread_mutex_unlock(&loop->lock);
    return result;
}

/* From here to the end: the loop's thread. */

/* The time is read once, so that a timer that sets itself to "now" cannot keep the others waiting. */
static void loop_run_timers(struct event_loop *loop)
{
    uint64_t now_ns = clock_now_ns();
    pthread_mutex_lock(&loop->lock);
    while (loop->timers && loop->timers->deadline_ns <= now_ns) {
        struct event_timer *timer = loop->timers;
        timer_disarm(loop, timer);
        loop->running = timer;
        pthread_mutex_unlock(&loop->lock);
        timer->expired(timer->owner);
        pthread_mutex_lock(&loop->lock);
        loop_returned(loop);
    }
    loop_program_timer(loop);
    pthread_mutex_unlock(&loop->lock);
}

/* Empties the counter of the eventfd or timerfd, so that it is not ready any more. */
static void counter_take(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

static void loop_dispatch(struct event_loop *loop, uint64_t id, uint32_t events)
{
    pthread_mutex_lock(&loop->lock);
    if (id == ID_WAKE) {
        counter_take(loop->wake_fd);
    } else if (id == ID_TIMER) {
        counter_take(loop->timer_fd);
        loop->timer_fd_ns = UINT64_MAX;
    }
    struct event_source *source = loop->sources;
    while (source && source->id != id)
        source = source->next;
    if (source && source->polled) {
        loop->running = source;
        pthread_mutex_unlock(&loop->lock);
        source->ready(source->owner, events);
        pthread_mutex_lock(&loop->lock);
        loop_returned(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

static bool loop_is_stopping(struct event_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool stopping = loop->stopping;
    pthread_mutex_unlock(&loop->lock);
    return stopping;
}

static void *loop_main(void *context)
{
    struct event_loop *loop = context;
    trace_attach(loop->trace);
    while (!loop_is_stopping(loop)) {
        loop_run_timers(loop);
        struct epoll_event events[EVENT_BATCH];
        int count = epoll_wait(loop->epoll_fd, events, EVENT_BATCH, -1);
        for (int i = 0; i < count; i++)
            loop_dispatch(loop, events[i].data.u64, events[i].events);
    }
    return NULL;
}
