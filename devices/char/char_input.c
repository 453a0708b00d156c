/* SPDX-License-Identifier: MIT
 *
 * The way in: the event loop reads what came into a fifo and tells the front end, which takes it when it has
 * room. A sender is held back by not reading, except where the escape key must be seen. And the coming and
 * going of a socket's clients, which the input notices.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "devices/char/char_internal.h"

#define READ_BYTES 1024
#define ESCAPE_KEY 0x01 /* Ctrl-A */

/* Things to do when no lock is held any more. */
struct input_requests {
    bool input, line_break, escape, power, help;
};

static const char help_text[] = "\r\n"
                                "Ctrl-A x       end the machine\r\n"
                                "Ctrl-A b       send a break\r\n"
                                "Ctrl-A p       press the power button\r\n"
                                "Ctrl-A Ctrl-A  send a Ctrl-A\r\n"
                                "Ctrl-A h       this help\r\n";

/* Who presses any other key wants to know which there are. The key alone or with Ctrl still held. */
static void input_escape_command(uint8_t byte, struct input_requests *requests)
{
    switch (byte) {
    case 'x':
    case 'x' & 0x1f:
        requests->escape = true;
        break;
    case 'b':
        requests->line_break = true;
        break;
    case 'p':
        requests->power = true;
        break;
    default:
        requests->help = true;
        break;
    }
}

static void input_push(struct char_input *input, const uint8_t *bytes, size_t len)
{
    size_t pushed = byte_fifo_push(&input->fifo, bytes, len);
    input->bytes += pushed;
    input->dropped += len - pushed;
}

static void input_filter_byte(struct char_input *input, uint8_t byte, struct input_requests *requests)
{
    bool is_command = input->escape_seen && byte != ESCAPE_KEY;
    bool starts_command = !input->escape_seen && byte == ESCAPE_KEY;
    input->escape_seen = starts_command;
    if (is_command)
        input_escape_command(byte, requests);
    else if (!starts_command)
        input_push(input, &byte, 1);
}

static void input_take(struct char_backend *backend, const uint8_t *bytes, size_t len,
                       struct input_requests *requests)
{
    if (!backend->escape)
        input_push(&backend->input, bytes, len);
    for (size_t i = 0; i < len && backend->escape; i++)
        input_filter_byte(&backend->input, bytes[i], requests);
    requests->input = byte_fifo_len(&backend->input.fifo) != 0;
}

/* Looks for nothing but, at a socket, the client's leaving. */
static void input_stop_polling(struct char_backend *backend, enum char_input_state state)
{
    event_loop_set(backend->loop, &backend->input.source, backend->kind == CHAR_SOCKET ? EPOLLHUP : 0);
    backend->input.state = state;
}

static void client_leave(struct char_backend *backend)
{
    struct char_input *input = &backend->input;
    event_loop_remove(backend->loop, &input->source);
    input->state = CHAR_INPUT_ENDED;
    input->fd = -1;
    char_output_set_fd(backend, -1);
    close(backend->own_fd);
    backend->own_fd = -1;
    event_loop_set(backend->loop, &backend->listen_source, EPOLLIN);
}

/* A socket's input may end while its client still listens: then it stays until it hangs up. */
static void input_end(struct char_backend *backend, bool is_hung_up)
{
    if (backend->kind == CHAR_SOCKET && is_hung_up)
        client_leave(backend);
    else
        input_stop_polling(backend, CHAR_INPUT_ENDED);
}

static void input_read(struct char_backend *backend, bool is_hung_up, struct input_requests *requests)
{
    struct char_input *input = &backend->input;
    uint8_t bytes[READ_BYTES];
    size_t room = byte_fifo_room(&input->fifo);
    if (backend->escape || room > READ_BYTES)
        room = READ_BYTES;
    ssize_t len = read(input->fd, bytes, room);
    if (len > 0)
        input_take(backend, bytes, (size_t)len, requests);
    else if (len == 0 || (errno != EAGAIN && errno != EINTR))
        input_end(backend, is_hung_up || len < 0);
    if (input->state == CHAR_INPUT_POLLED && !backend->escape && !byte_fifo_room(&input->fifo))
        input_stop_polling(backend, CHAR_INPUT_PAUSED);
}

static void input_notify(struct char_backend *backend, const struct input_requests *requests)
{
    pthread_mutex_lock(&backend->frontend_lock);
    const struct char_frontend *frontend = backend->frontend;
    if (frontend && requests->input)
        frontend->input_ready(frontend->owner);
    if (frontend && requests->line_break)
        frontend->input_break(frontend->owner);
    pthread_mutex_unlock(&backend->frontend_lock);
    if (requests->help)
        char_backend_write(backend, help_text, sizeof(help_text) - 1);
    if (requests->power && backend->on_power_key)
        backend->on_power_key(backend->machine);
    if (requests->escape && backend->on_escape)
        backend->on_escape(backend->context);
}

static void input_source_ready(void *owner, uint32_t events)
{
    struct char_backend *backend = owner;
    struct char_input *input = &backend->input;
    struct input_requests requests = {0};
    bool is_hung_up = events & (EPOLLHUP | EPOLLERR);
    pthread_mutex_lock(&input->lock);
    if (input->state == CHAR_INPUT_POLLED)
        input_read(backend, is_hung_up, &requests);
    else if (is_hung_up)
        input_end(backend, true);
    pthread_mutex_unlock(&input->lock);
    input_notify(backend, &requests);
}

int char_input_start(struct char_backend *backend, struct vmm_error *error)
{
    struct char_input *input = &backend->input;
    input->state = CHAR_INPUT_ENDED;
    if (input->fd < 0 || !backend->loop)
        return 0;
    input->source = (struct event_source){
        .fd = input->fd, .events = EPOLLIN, .ready = input_source_ready, .owner = backend};
    int result = event_loop_add(backend->loop, &input->source, error);
    if (result == -EPERM) {
        input->state = CHAR_INPUT_DIRECT;
        return 0;
    }
    if (!result)
        input->state = CHAR_INPUT_POLLED;
    return result;
}

static void input_read_direct(struct char_input *input)
{
    uint8_t bytes[READ_BYTES];
    ssize_t len = read(input->fd, bytes, sizeof(bytes));
    if (len > 0)
        input_push(input, bytes, (size_t)len);
    else if (len == 0 || errno != EINTR)
        input->state = CHAR_INPUT_ENDED;
}

size_t char_backend_read(struct char_backend *backend, void *bytes, size_t len)
{
    struct char_input *input = &backend->input;
    pthread_mutex_lock(&input->lock);
    if (input->state == CHAR_INPUT_UNASKED)
        char_input_start(backend, NULL);
    if (input->state == CHAR_INPUT_DIRECT && byte_fifo_len(&input->fifo) < len)
        input_read_direct(input);
    size_t taken = byte_fifo_pop(&input->fifo, bytes, len);
    if (input->state == CHAR_INPUT_PAUSED && byte_fifo_len(&input->fifo) <= CHAR_INPUT_BYTES / 2) {
        input->state = CHAR_INPUT_POLLED;
        event_loop_set(backend->loop, &input->source, EPOLLIN);
    }
    pthread_mutex_unlock(&input->lock);
    return taken;
}

void char_client_arrive(struct char_backend *backend, int fd)
{
    struct char_input *input = &backend->input;
    event_loop_set(backend->loop, &backend->listen_source, 0);
    pthread_mutex_lock(&input->lock);
    backend->own_fd = input->fd = fd;
    if (char_input_start(backend, NULL)) {
        client_leave(backend);
    } else {
        char_output_set_fd(backend, fd);
        if (!byte_fifo_room(&input->fifo)) /* the client before left that much */
            input_stop_polling(backend, CHAR_INPUT_PAUSED);
    }
    pthread_mutex_unlock(&input->lock);
}

/* Where no descriptor is left the client keeps waiting, and the flush timer tries again. */
static void listen_source_ready(void *owner, uint32_t events)
{
    struct char_backend *backend = owner;
    (void)events;
    int fd = accept4(backend->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        char_client_arrive(backend, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        event_loop_set(backend->loop, &backend->listen_source, 0);
        event_timer_set(&backend->flush_timer, CHAR_STALL_MS * 1000000ull);
    }
}

int char_listen_start(struct char_backend *backend, struct vmm_error *error)
{
    backend->listen_source = (struct event_source){.fd = backend->listen_fd,
                                                   .events = backend->own_fd < 0 ? EPOLLIN : 0,
                                                   .ready = listen_source_ready,
                                                   .owner = backend};
    return event_loop_add(backend->loop, &backend->listen_source, error);
}

/* On the event loop's thread, where clients come and go. */
void char_listen_resume(struct char_backend *backend)
{
    if (backend->listen_fd >= 0 && backend->own_fd < 0)
        event_loop_set(backend->loop, &backend->listen_source, EPOLLIN);
}
