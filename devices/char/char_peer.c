/* SPDX-License-Identifier: MIT
 *
 * What outlives a backend: a machine that starts again keeps its pseudo-terminal, its socket with the client,
 * and what was typed meanwhile.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/types.h"
#include "devices/char/char_internal.h"

/* Input without memory for it is lost. */
static void keep_input(struct char_peer *peer, struct byte_fifo *fifo)
{
    size_t len = byte_fifo_len(fifo);
    peer->input = len ? malloc(len) : NULL;
    peer->input_len = peer->input ? byte_fifo_pop(fifo, peer->input, len) : 0;
}

void char_peer_keep(struct char_peer *peer, struct char_backend *backend)
{
    keep_input(peer, &backend->input.fifo);
    if (backend->kind != CHAR_PTY && backend->kind != CHAR_SOCKET)
        return;
    peer->is_open = true;
    peer->own_fd = backend->own_fd;
    peer->terminal_fd = backend->terminal_fd;
    peer->listen_fd = backend->listen_fd;
    peer->name = backend->name;
    backend->own_fd = backend->terminal_fd = backend->listen_fd = -1;
    backend->name = NULL;
}

static int char_peer_resume(struct char_backend *backend, struct vmm_error *error)
{
    if (backend->kind == CHAR_PTY) {
        backend->input.fd = backend->own_fd;
        char_output_set_fd(backend, backend->own_fd);
        return 0;
    }
    int result = char_listen_start(backend, error);
    if (!result && backend->own_fd >= 0)
        char_client_arrive(backend, backend->own_fd);
    return result;
}

int char_peer_take(struct char_peer *peer, struct char_backend *backend, struct vmm_error *error)
{
    const struct char_peer taken = *peer;
    *peer = (struct char_peer){0};
    if (taken.input_len)
        byte_fifo_push(&backend->input.fifo, taken.input, taken.input_len);
    free(taken.input);
    if (!taken.is_open)
        return 0;
    backend->own_fd = taken.own_fd;
    backend->terminal_fd = taken.terminal_fd;
    backend->listen_fd = taken.listen_fd;
    backend->name = taken.name;
    return char_peer_resume(backend, error);
}

void char_peer_fini(struct char_peer *peer)
{
    int fds[] = {peer->own_fd, peer->terminal_fd, peer->listen_fd};
    for (size_t i = 0; peer->is_open && i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (peer->is_open && peer->listen_fd >= 0)
        unlink(peer->name);
    free(peer->name);
    free(peer->input);
    *peer = (struct char_peer){0};
}
