/* SPDX-License-Identifier: MIT
 *
 * A console backend with a running event loop and a front end that counts its calls, for the tests of both.
 */
#ifndef TESTS_DEVICES_CHAR_FIXTURE_H
#define TESTS_DEVICES_CHAR_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "devices/char/char_backend.h"
#include "tests/harness.h"

#define FIXTURE_WAIT_MS 5000

static struct {
    struct event_loop *loop;
    struct char_backend *backend;
    struct char_frontend frontend;
    struct char_counts counts; /* at its end */
    int calls, breaks, escapes;
} fixture;

static inline void fixture_input_ready(void *owner)
{
    (void)owner;
    __atomic_fetch_add(&fixture.calls, 1, __ATOMIC_ACQ_REL);
}

static inline void fixture_input_break(void *owner)
{
    (void)owner;
    __atomic_fetch_add(&fixture.breaks, 1, __ATOMIC_ACQ_REL);
}

static inline void fixture_escape(void *context)
{
    (void)context;
    __atomic_fetch_add(&fixture.escapes, 1, __ATOMIC_ACQ_REL);
}

static inline int fixture_calls(void)
{
    return __atomic_load_n(&fixture.calls, __ATOMIC_ACQUIRE);
}

static inline int fixture_breaks(void)
{
    return __atomic_load_n(&fixture.breaks, __ATOMIC_ACQUIRE);
}

static inline int fixture_escapes(void)
{
    return __atomic_load_n(&fixture.escapes, __ATOMIC_ACQUIRE);
}

static inline void fixture_wait(const int *count, int wanted)
{
    for (int i = 0; i < FIXTURE_WAIT_MS && __atomic_load_n(count, __ATOMIC_ACQUIRE) < wanted; i++)
        usleep(1000);
    ck_assert_int_eq(__atomic_load_n(count, __ATOMIC_ACQUIRE), wanted);
}

static inline void fixture_set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    ck_assert_int_eq(event_loop_create(&fixture.loop, NULL), 0);
    ck_assert_int_eq(event_loop_start(fixture.loop, NULL), 0);
}

static inline void fixture_create(struct char_config *config)
{
    struct vmm_error error = {0};
    config->loop = fixture.loop;
    ck_assert_msg(!char_backend_create(config, &fixture.backend, &error), "%s", error.message);
    fixture.frontend = (struct char_frontend){.input_ready = fixture_input_ready,
                                              .input_break = fixture_input_break};
    char_backend_attach(fixture.backend, &fixture.frontend);
}

static inline void fixture_destroy_backend(void)
{
    if (!fixture.backend)
        return;
    char_backend_flush(fixture.backend);
    fixture.counts = char_backend_counts(fixture.backend);
    char_backend_destroy(fixture.backend);
    fixture.backend = NULL;
}

static inline void fixture_tear_down(void)
{
    fixture_destroy_backend();
    event_loop_destroy(fixture.loop);
}

/* Exactly `len` bytes of what the guest wrote, as a string; waits for them. */
static inline const char *fixture_read(int fd, size_t len)
{
    static char text[1000];
    size_t got = 0;
    while (got < len) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ck_assert_int_eq(poll(&ready, 1, FIXTURE_WAIT_MS), 1);
        ssize_t part = read(fd, text + got, len - got);
        ck_assert_int_gt(part, 0);
        got += (size_t)part;
    }
    text[got] = 0;
    return text;
}

/* Exactly `len` bytes of what the guest is given. */
static inline const char *fixture_input(size_t len)
{
    static char text[1000];
    size_t got = 0;
    for (int i = 0; i < FIXTURE_WAIT_MS && got < len; i++) {
        size_t part = char_backend_read(fixture.backend, text + got, len - got);
        got += part;
        if (!part)
            usleep(1000);
    }
    text[got] = 0;
    ck_assert_uint_eq(got, len);
    return text;
}

/* The guest writes this. */
static inline void put(const char *text)
{
    char_backend_write(fixture.backend, text, strlen(text));
}

/* The guest's device has room for input; a backend that waits for its peer looks for one then. */
static inline void look_for_input(void)
{
    char byte;
    char_backend_read(fixture.backend, &byte, 0);
}

/* The peer types this. */
static inline void send_text(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static inline int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline uint64_t fixture_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

#endif
