/* SPDX-License-Identifier: MIT
 *
 * The far end of a console line: where its output goes and its input comes from. It knows nothing of the
 * device in front of it. A pseudo-terminal of its own is made raw; the mode of a terminal that it was given
 * is the program's business.
 *
 * Output is collected and written a line at a time: a write(2) for each byte would cost as much as the exit
 * that brought it. What stays behind without a newline is written by the event loop CHAR_FLUSH_MS later, or
 * when CHAR_BATCH_BYTES are there. A slow reader makes the writing vCPU wait, and loses nothing; a reader
 * that takes no byte for CHAR_STALL_MS counts as hung: from then on CHAR_OUTPUT_BYTES are kept, the rest is
 * dropped and counted, and nobody waits, until it reads again.
 *
 * Threads: every function from any thread. The front end's functions are called on the event loop's thread
 * with no lock held that its calls into the backend need.
 */
#ifndef DEVICES_CHAR_CHAR_BACKEND_H
#define DEVICES_CHAR_CHAR_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event_loop.h"

#define CHAR_FLUSH_MS     10u
#define CHAR_BATCH_BYTES  1024u
#define CHAR_STALL_MS     1000u
#define CHAR_OUTPUT_BYTES 65536u
#define CHAR_INPUT_BYTES  65536u

enum char_kind {
    CHAR_NONE,        /* output vanishes, no input */
    CHAR_DESCRIPTORS, /* in_fd and out_fd: stdio */
    CHAR_FILE,        /* output to a file, which is created or cut to nothing; no input */
    CHAR_PTY,         /* the master of a new pseudo-terminal, raw; char_backend_name tells the other end */
    CHAR_SOCKET,      /* listens on a unix socket; one client at a time, the next one waits for it to leave */
};

/* What is left of a backend for the next one like it: a pseudo-terminal, or a socket with its client, and
 * input that nobody has taken, whatever kind it was. All 0: nothing. */
struct char_peer {
    bool is_open; /* the descriptors, of which some may be -1, and the name are there */
    int own_fd, terminal_fd, listen_fd;
    char *name;
    uint8_t *input;
    size_t input_len;
};

/* Closes and removes what was kept. */
void char_peer_fini(struct char_peer *peer);

struct char_config {
    enum char_kind kind;
    struct event_loop *loop; /* a borrow. NULL: no input, and every byte is written at once */
    int in_fd, out_fd;       /* CHAR_DESCRIPTORS, borrowed; -1: none. They stay blocking */
    const char *path;        /* CHAR_FILE, CHAR_SOCKET */
    bool append;             /* CHAR_FILE: it keeps what it has */
    struct char_peer *peer;  /* what create goes on with, and destroy leaves there; NULL: nothing is kept */

    /* CHAR_DESCRIPTORS: Ctrl-A is a key of its own. Ctrl-A x calls on_escape (on the loop's thread, no lock
     * held), Ctrl-A b sends a break, Ctrl-A p calls on_power_key, Ctrl-A Ctrl-A is one Ctrl-A, Ctrl-A h or ?
     * prints help, and anything else is ignored. Input is then read from the start, whether or not the guest
     * wants any, and what does not fit is dropped: the key must work when the guest hangs. Otherwise input is
     * first looked for when the front end asks, and the sender is held back while the buffer is full. */
    bool escape;
    void (*on_escape)(void *context);
    void *context;
    void (*on_power_key)(void *machine);    /* Ctrl-A p, likewise; NULL: ignored */
    void (*on_first_output)(void *machine); /* once, with the front end's lock held; NULL: nobody asks */
    void *machine;
};

struct char_backend;

int char_backend_create(const struct char_config *config, struct char_backend **backend,
                        struct vmm_error *error);
/* Writes what is still there (see char_backend_flush), closes and removes what create made. */
void char_backend_destroy(struct char_backend *backend);

/* The device in front. */
struct char_frontend {
    void (*input_ready)(void *owner); /* there is something for char_backend_read */
    void (*input_break)(void *owner); /* the line was held low for longer than a character */
    void *owner;
};

/* A borrow until the next attach; NULL detaches. After it the earlier front end is not being called, so a
 * lock that its functions take must not be held. */
void char_backend_attach(struct char_backend *backend, const struct char_frontend *frontend);

/* Up to `len` bytes of input; 0: none now, and input_ready will be called when there is. The first call
 * starts looking for input. It costs next to nothing while there is none. */
size_t char_backend_read(struct char_backend *backend, void *bytes, size_t len);

/* Takes all of it, see above. */
void char_backend_write(struct char_backend *backend, const void *bytes, size_t len);

/* Writes out everything, or as much as a reader takes that is not hung. For the end of a run. */
void char_backend_flush(struct char_backend *backend);

/* Whether the last that was written to the descriptor of CHAR_DESCRIPTORS has left a line open, which then
 * counts as ended. Waits for no lock. */
bool char_backend_break_line(struct char_backend *backend);

/* The path of the pseudo-terminal or socket; NULL for other kinds. */
const char *char_backend_name(const struct char_backend *backend);

struct char_counts {
    uint64_t input_bytes, output_bytes; /* that passed */
    uint64_t input_dropped, output_dropped;
};

struct char_counts char_backend_counts(struct char_backend *backend);

#endif
