/* SPDX-License-Identifier: MIT
 *
 * The way out: bytes collect in a fifo and are written when a line is complete, when there are many, or when
 * the flush timer finds them. Nothing here uses the event loop to learn that a reader is ready again: a
 * writer that must wait polls for itself, with the lock held, and leftovers are tried again by the timer.
 */
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "devices/char/char_internal.h"

#define NS_PER_MS   1000000ull
#define HUNG_FACTOR 10 /* how much more seldom a reader that is hung is tried again */

/* What write(2) would return, or -EAGAIN where it would wait. */
static ssize_t output_write_fd(const struct char_output *output, const uint8_t *bytes, size_t len)
{
    ssize_t written;
    if (output->sink == CHAR_SINK_SOCKET) {
        written = send(output->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (output->sink == CHAR_SINK_POLLED) {
        struct pollfd ready = {.fd = output->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) != 1)
            return -EAGAIN;
        if (ready.revents & (POLLERR | POLLNVAL)) /* nobody reads the pipe: EPIPE without its signal */
            return -EPIPE;
        written = write(output->fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
    } else {
        written = write(output->fd, bytes, len);
    }
    return written < 0 ? -errno : written;
}

static void output_drop_all(struct char_output *output)
{
    output->dropped += byte_fifo_len(&output->fifo);
    byte_fifo_skip(&output->fifo, byte_fifo_len(&output->fifo));
}

/* The reader is gone, or the disk is full. A socket's client is closed when its input ends, and the bytes
 * wait for the next one; nobody else comes back. */
static void output_failed(struct char_backend *backend, int code)
{
    struct char_output *output = &backend->output;
    if (backend->kind == CHAR_SOCKET) {
        output->fd = -1;
        return;
    }
    output_drop_all(output);
    if (code != -ENOSPC && code != -EDQUOT && code != -EFBIG)
        output->fd = -1;
}

/* A carriage return neither begins a line nor ends it. */
static void note_line(struct char_output *output, const uint8_t *bytes, size_t len)
{
    while (len && bytes[len - 1] == '\r')
        len--;
    if (len)
        __atomic_store_n(&output->is_in_line, bytes[len - 1] != '\n', __ATOMIC_RELAXED);
}

/* Writes what can be written without waiting. */
static void output_drain(struct char_backend *backend)
{
    struct char_output *output = &backend->output;
    while (output->fd >= 0 && byte_fifo_len(&output->fifo)) {
        ssize_t written = output_write_fd(output, byte_fifo_peek(&output->fifo),
                                          byte_fifo_len(&output->fifo));
        if (written == -EINTR)
            continue;
        if (written == -EAGAIN || written == 0)
            return;
        if (written < 0) {
            output_failed(backend, (int)written);
            return;
        }
        if (backend->kind == CHAR_DESCRIPTORS)
            note_line(output, byte_fifo_peek(&output->fifo), (size_t)written);
        byte_fifo_skip(&output->fifo, (size_t)written);
        output->bytes += (size_t)written;
        output->hung = false;
    }
}

/* Waits until the reader has taken something, but not for one that has been slow for CHAR_STALL_MS. The lock
 * is held: whoever else wants to write has to wait for the same reader. */
static void output_wait(struct char_backend *backend)
{
    struct char_output *output = &backend->output;
    uint64_t deadline_ns = clock_now_ns() + CHAR_STALL_MS * NS_PER_MS;
    size_t len = byte_fifo_len(&output->fifo);
    while (output->fd >= 0 && !output->hung && byte_fifo_len(&output->fifo) == len) {
        uint64_t now_ns = clock_now_ns();
        struct pollfd ready = {.fd = output->fd, .events = POLLOUT};
        if (now_ns >= deadline_ns) {
            output->hung = true;
            return;
        }
        bool is_ready = poll(&ready, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1) == 1;
        output_drain(backend);
        if (is_ready && byte_fifo_len(&output->fifo) == len)
            poll(NULL, 0, 1); /* it was said to be ready and took nothing: do not spin */
    }
}

/* For writers: a reader that is hung is left to the flush timer, if there is one. */
static void output_try(struct char_backend *backend)
{
    if (!backend->output.hung || !backend->loop)
        output_drain(backend);
}

static bool output_make_room(struct char_backend *backend)
{
    output_try(backend);
    if (!byte_fifo_room(&backend->output.fifo))
        output_wait(backend);
    return byte_fifo_room(&backend->output.fifo) != 0;
}

static void output_set_timer(struct char_backend *backend)
{
    struct char_output *output = &backend->output;
    if (output->flush_set || output->fd < 0 || !byte_fifo_len(&output->fifo) || !backend->loop)
        return;
    uint64_t delay_ns = CHAR_FLUSH_MS * NS_PER_MS * (output->hung ? HUNG_FACTOR : 1);
    output->flush_set = event_timer_set(&backend->flush_timer, delay_ns) == 0;
}

void char_output_flush_expired(void *owner)
{
    struct char_backend *backend = owner;
    char_listen_resume(backend);
    pthread_mutex_lock(&backend->output.lock);
    backend->output.flush_set = false;
    output_drain(backend);
    output_set_timer(backend);
    pthread_mutex_unlock(&backend->output.lock);
}

static void note_first_output(struct char_backend *backend)
{
    if (!__atomic_load_n(&backend->on_first_output, __ATOMIC_RELAXED))
        return;
    void (*call)(void *) = __atomic_exchange_n(&backend->on_first_output, NULL, __ATOMIC_ACQ_REL);
    if (call)
        call(backend->machine);
}

void char_backend_write(struct char_backend *backend, const void *bytes, size_t len)
{
    struct char_output *output = &backend->output;
    note_first_output(backend);
    if (backend->kind == CHAR_NONE)
        return;
    pthread_mutex_lock(&output->lock);
    const uint8_t *from = bytes;
    bool is_line = memchr(bytes, '\n', len) != NULL;
    bool is_kept = output->fd >= 0 || backend->kind == CHAR_SOCKET;
    while (len && is_kept) {
        size_t taken = byte_fifo_push(&output->fifo, from, len);
        from += taken;
        len -= taken;
        if (len && !output_make_room(backend))
            break;
    }
    output->dropped += len;
    if (is_line || !backend->loop || byte_fifo_len(&output->fifo) >= CHAR_BATCH_BYTES)
        output_try(backend);
    output_set_timer(backend);
    pthread_mutex_unlock(&output->lock);
}

void char_backend_flush(struct char_backend *backend)
{
    struct char_output *output = &backend->output;
    pthread_mutex_lock(&output->lock);
    output_drain(backend);
    while (output->fd >= 0 && byte_fifo_len(&output->fifo) && !output->hung)
        output_wait(backend);
    pthread_mutex_unlock(&output->lock);
}

bool char_backend_break_line(struct char_backend *backend)
{
    return __atomic_exchange_n(&backend->output.is_in_line, false, __ATOMIC_RELAXED);
}

/* Setting O_NONBLOCK on a descriptor that came from elsewhere would change it for every process that shares
 * it. A terminal can be opened once more instead, a pipe that is ready takes PIPE_BUF bytes without waiting.
 */
static void output_choose_sink(struct char_backend *backend, int fd)
{
    struct char_output *output = &backend->output;
    struct stat status;
    output->sink = CHAR_SINK_PLAIN;
    if (fd < 0 || fstat(fd, &status))
        return;
    if (S_ISSOCK(status.st_mode))
        output->sink = CHAR_SINK_SOCKET;
    else if (S_ISFIFO(status.st_mode) || (!S_ISREG(status.st_mode) && fd != backend->own_fd))
        output->sink = CHAR_SINK_POLLED;
}

void char_output_set_fd(struct char_backend *backend, int fd)
{
    struct char_output *output = &backend->output;
    pthread_mutex_lock(&output->lock);
    output->fd = fd;
    output->hung = false;
    output_choose_sink(backend, fd);
    output_drain(backend);
    output_set_timer(backend);
    pthread_mutex_unlock(&output->lock);
}
