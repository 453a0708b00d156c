/* SPDX-License-Identifier: MIT
 *
 * Making and ending a backend. The way out is in char_output.c, the way in in char_input.c.
 */
#include "devices/char/char_backend.h"

#include <stdlib.h>

#include "devices/char/char_internal.h"

static int char_backend_init(struct char_backend *backend, const struct char_config *config,
                             struct vmm_error *error)
{
    backend->kind = config->kind;
    backend->loop = config->loop;
    backend->escape = config->escape && config->kind == CHAR_DESCRIPTORS;
    backend->on_escape = config->on_escape;
    backend->on_power_key = config->on_power_key;
    backend->on_first_output = config->on_first_output;
    backend->machine = config->machine;
    backend->context = config->context;
    backend->peer = config->peer;
    backend->input.fd = backend->output.fd = -1;
    backend->own_fd = backend->terminal_fd = backend->listen_fd = -1;
    pthread_mutex_init(&backend->input.lock, NULL);
    pthread_mutex_init(&backend->output.lock, NULL);
    pthread_mutex_init(&backend->frontend_lock, NULL);
    if (backend->loop)
        event_timer_init(&backend->flush_timer, backend->loop, char_output_flush_expired, backend);
    byte_fifo_init(&backend->input.fifo, backend->input_bytes, sizeof(backend->input_bytes));
    byte_fifo_init(&backend->output.fifo, backend->output_bytes, sizeof(backend->output_bytes));
    return char_open(backend, config, error);
}

int char_backend_create(const struct char_config *config, struct char_backend **out, struct vmm_error *error)
{
    struct char_backend *backend = calloc(1, sizeof(*backend));
    if (!backend)
        return error_set(error, -ENOMEM, "console: out of memory");
    int result = char_backend_init(backend, config, error);
    if (!result && backend->escape) {
        /* from here on the event loop is in it, too */
        pthread_mutex_lock(&backend->input.lock);
        result = char_input_start(backend, error);
        pthread_mutex_unlock(&backend->input.lock);
    }
    if (result) {
        char_backend_destroy(backend);
        return result;
    }
    *out = backend;
    return 0;
}

/* The listener goes first and the client's input next, so that nobody changes descriptors any more; then
 * output is the calling thread's alone. */
void char_backend_destroy(struct char_backend *backend)
{
    if (!backend)
        return;
    if (backend->loop) {
        event_loop_remove(backend->loop, &backend->listen_source);
        event_loop_remove(backend->loop, &backend->input.source);
        event_timer_fini(&backend->flush_timer);
    }
    char_backend_flush(backend);
    if (backend->peer)
        char_peer_keep(backend->peer, backend);
    char_close(backend);
    pthread_mutex_destroy(&backend->frontend_lock);
    pthread_mutex_destroy(&backend->output.lock);
    pthread_mutex_destroy(&backend->input.lock);
    free(backend);
}

void char_backend_attach(struct char_backend *backend, const struct char_frontend *frontend)
{
    pthread_mutex_lock(&backend->frontend_lock);
    backend->frontend = frontend;
    pthread_mutex_unlock(&backend->frontend_lock);
}

const char *char_backend_name(const struct char_backend *backend)
{
    return backend->name;
}

struct char_counts char_backend_counts(struct char_backend *backend)
{
    struct char_counts counts;
    pthread_mutex_lock(&backend->input.lock);
    counts.input_bytes = backend->input.bytes;
    counts.input_dropped = backend->input.dropped;
    pthread_mutex_unlock(&backend->input.lock);
    pthread_mutex_lock(&backend->output.lock);
    counts.output_bytes = backend->output.bytes;
    counts.output_dropped = backend->output.dropped;
    pthread_mutex_unlock(&backend->output.lock);
    return counts;
}
