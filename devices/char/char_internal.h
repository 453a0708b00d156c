/* SPDX-License-Identifier: MIT
 *
 * What the parts of the character backend share: the struct, in two halves with a lock each, so that a vCPU
 * that waits for a slow reader does not keep the input from being read. Where both are needed, input comes
 * before output. The locks of the event loop come after both.
 */
#ifndef DEVICES_CHAR_CHAR_INTERNAL_H
#define DEVICES_CHAR_CHAR_INTERNAL_H

#include <pthread.h>

#include "devices/char/byte_fifo.h"
#include "devices/char/char_backend.h"

enum char_sink {
    CHAR_SINK_PLAIN,  /* writes return at once, or soon: a file, or a descriptor that is nonblocking */
    CHAR_SINK_SOCKET, /* send(2) can be told not to wait, whatever the descriptor says */
    CHAR_SINK_POLLED, /* blocking and shared with other processes: asked first, and then given little */
};

struct char_output {
    pthread_mutex_t lock;
    struct byte_fifo fifo;
    int fd; /* -1: none, and for CHAR_SOCKET: none at the moment */
    enum char_sink sink;
    bool hung;       /* nobody waits for this reader any more */
    bool flush_set;  /* the flush timer runs */
    bool is_in_line; /* what was written to the caller's descriptor has not ended its line; atomic */
    uint64_t bytes, dropped;
};

enum char_input_state {
    CHAR_INPUT_UNASKED, /* the front end has not looked for input yet */
    CHAR_INPUT_POLLED,  /* the event loop reads it */
    CHAR_INPUT_PAUSED,  /* the fifo is full: the event loop does not look */
    CHAR_INPUT_DIRECT,  /* a regular file: char_backend_read reads it */
    CHAR_INPUT_ENDED,
};

struct char_input {
    pthread_mutex_t lock;
    struct byte_fifo fifo;
    int fd; /* -1: none */
    enum char_input_state state;
    bool escape_seen; /* the byte before was the escape key */
    struct event_source source;
    uint64_t bytes, dropped;
};

struct char_backend {
    enum char_kind kind;
    struct event_loop *loop;
    bool escape;
    void (*on_escape)(void *context);
    void *context;
    void (*on_power_key)(void *machine);
    void (*on_first_output)(void *machine); /* NULL after it was called */
    void *machine;

    struct char_output output;
    struct char_input input;
    struct event_timer flush_timer;

    pthread_mutex_t frontend_lock; /* held while the front end is called; comes before all others */
    const struct char_frontend *frontend;

    struct char_peer *peer; /* of the configuration */

    /* what create opened */
    int own_fd;      /* the file, the pseudo-terminal's master, the client, or out_fd's terminal again */
    int terminal_fd; /* CHAR_PTY: the other end, so that a reader may come and go; or in_fd's terminal again
                      */
    int listen_fd;   /* CHAR_SOCKET */
    struct event_source listen_source;
    char *name;

    /* Large enough together that calloc maps them: pages that are never used are never touched. */
    uint8_t input_bytes[CHAR_INPUT_BYTES], output_bytes[CHAR_OUTPUT_BYTES];
};

/* char_open.c: the descriptors of each kind. */
int char_open(struct char_backend *backend, const struct char_config *config, struct vmm_error *error);
void char_close(struct char_backend *backend);

/* char_peer.c: *peer, which is empty, gets what outlives the backend; the backend, which has nothing yet,
 * gets what is there. */
void char_peer_keep(struct char_peer *peer, struct char_backend *backend);
int char_peer_take(struct char_peer *peer, struct char_backend *backend, struct vmm_error *error);

/* char_output.c */
/* Says where output goes from now on (-1: nowhere) and writes what has waited for that. */
void char_output_set_fd(struct char_backend *backend, int fd);
void char_output_flush_expired(void *backend);

/* char_input.c */
/* Starts to look for input. With the input's lock held. */
int char_input_start(struct char_backend *backend, struct vmm_error *error);
/* CHAR_SOCKET: waits for a client, unless there is one. */
int char_listen_start(struct char_backend *backend, struct vmm_error *error);
/* A socket has this client now. */
void char_client_arrive(struct char_backend *backend, int fd);
void char_listen_resume(struct char_backend *backend);

#endif
