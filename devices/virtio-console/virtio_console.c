/* SPDX-License-Identifier: MIT
 *
 * The device, and the bytes of its ports. A chain that is not used up is kept until there is more: input is
 * read from the backend into the guest's buffers, output is written from them.
 */
#include "devices/virtio-console/virtio_console.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/virtio-console/console_internal.h"

#define QUEUE_SIZE 64

/* struct virtio_console_config (5.3.4): le16 cols, le16 rows, le32 max_nr_ports, le32 emerg_wr. */
#define CONFIG_BYTES       12u
#define CONFIG_EMERG_WRITE 8u

bool console_pop(struct virtio_console *console, unsigned queue, struct queue_chain *chain)
{
    enum queue_answer answer;
    while ((answer = virtio_queue_pop(console->virtio, queue, chain)) == QUEUE_EMPTY)
        if (virtio_queue_kicks_on(console->virtio, queue))
            return false;
    return answer == QUEUE_CHAIN;
}

/* ---- Streams ---- */

static bool stream_pop(struct virtio_console *console, struct console_stream *stream, unsigned queue)
{
    if (stream->has_chain)
        return true;
    stream->chain.segments = stream->segments;
    stream->chain.capacity = CONSOLE_SEGMENTS_MAX;
    stream->has_chain = console_pop(console, queue, &stream->chain);
    stream->offset = stream->done = 0;
    return stream->has_chain;
}

static void stream_push(struct virtio_console *console, struct console_stream *stream, unsigned queue,
                        uint64_t written)
{
    if (stream->has_chain)
        virtio_queue_push(console->virtio, queue, &stream->chain, written);
    stream->has_chain = false;
}

static void stream_advance(struct console_stream *stream, size_t len)
{
    stream->offset += len;
    stream->done += len;
    if (stream->offset == stream->segments[stream->segment].iov_len) {
        stream->segment++;
        stream->offset = 0;
    }
}

/* The next bytes of the segments up to `end`, at most `limit`; none: they are used up. */
static size_t stream_next(const struct console_stream *stream, unsigned end, size_t limit, uint8_t **bytes)
{
    if (stream->segment >= end)
        return 0;
    const struct iovec *segment = &stream->segments[stream->segment];
    size_t len = segment->iov_len - stream->offset;
    *bytes = (uint8_t *)segment->iov_base + stream->offset;
    return len < limit ? len : limit;
}

/* One chain, or as much of it as `limit` and the backend give. Returns how much; *is_dry: nothing waits. */
static size_t receive_chain(struct console_port *port, size_t limit, bool *is_dry)
{
    struct console_stream *stream = &port->receive;
    const struct queue_chain *chain = &stream->chain;
    size_t got = 0, len;
    uint8_t *bytes;
    if (!stream->done)
        stream->segment = chain->out_count;
    while ((len = stream_next(stream, chain->out_count + chain->in_count, limit - got, &bytes))) {
        size_t part = char_backend_read(port->backend, bytes, len);
        *is_dry = part < len;
        if (!part)
            break;
        stream_advance(stream, part);
        got += part;
    }
    return got;
}

/* A buffer goes to the driver as soon as there is something in it and nothing more to come: it is a person
 * who types. One that can hold nothing goes back at once. */
void console_receive(struct console_port *port)
{
    struct virtio_console *console = port->console;
    const unsigned queue = receive_queue(port->index);
    size_t budget = CONSOLE_TURN_BYTES;
    unsigned chains = CONSOLE_TURN_CHAINS;
    bool is_dry = false;
    if (!console->runs[queue] || (console->is_multiport && !port->is_open))
        return;
    while (!is_dry && budget && chains && stream_pop(console, &port->receive, queue)) {
        budget -= receive_chain(port, budget, &is_dry);
        if (is_dry && !port->receive.done && port->receive.chain.in_bytes)
            break;
        stream_push(console, &port->receive, queue, port->receive.done);
        chains--;
    }
    virtio_queue_flush(console->virtio, queue);
    if (!budget || !chains)
        virtio_queue_again(console->virtio, queue);
}

/* Whether the chain was written to its end. */
static bool transmit_chain(struct console_port *port, size_t *budget)
{
    struct console_stream *stream = &port->transmit;
    uint8_t *bytes;
    size_t len;
    if (!stream->done)
        stream->segment = 0;
    while ((len = stream_next(stream, stream->chain.out_count, *budget, &bytes))) {
        char_backend_write(port->backend, bytes, len);
        stream_advance(stream, len);
        *budget -= len;
    }
    return stream->segment >= stream->chain.out_count;
}

/* Linux does not look at the size when it starts, only when it is told of a change; and then it had better
 * have its port, as it has once it sends. */
static void tell_size(struct virtio_console *console)
{
    if (console->size_told || console->is_multiport || !__atomic_load_n(&console->size, __ATOMIC_RELAXED))
        return;
    console->size_told = true;
    virtio_config_changed(console->virtio);
}

static void transmit(struct console_port *port)
{
    struct virtio_console *console = port->console;
    const unsigned queue = receive_queue(port->index) + 1;
    size_t budget = CONSOLE_TURN_BYTES;
    unsigned chains = CONSOLE_TURN_CHAINS;
    while (budget && chains && stream_pop(console, &port->transmit, queue)) {
        if (!transmit_chain(port, &budget))
            break;
        stream_push(console, &port->transmit, queue, 0);
        tell_size(console);
        chains--;
    }
    virtio_queue_flush(console->virtio, queue);
    if (!budget || !chains)
        virtio_queue_again(console->virtio, queue);
}

/* From the backend. */
static void input_ready(void *owner)
{
    struct console_port *port = owner;
    pthread_mutex_lock(&port->console->lock);
    console_receive(port);
    pthread_mutex_unlock(&port->console->lock);
}

/* There is no message for a break. */
static void input_break(void *owner)
{
    (void)owner;
}

/* ---- Operations ---- */

static struct console_port *port_of(struct virtio_console *console, unsigned queue)
{
    return &console->ports[queue < 2 ? 0 : queue / 2 - 1];
}

static void serve(struct virtio_console *console, unsigned queue)
{
    if (queue == CONTROL_RECEIVE_QUEUE)
        control_send(console);
    else if (queue == CONTROL_TRANSMIT_QUEUE)
        control_take(console);
    else if (queue & 1)
        transmit(port_of(console, queue));
    else
        console_receive(port_of(console, queue));
}

static void notify(void *device, unsigned queue)
{
    struct virtio_console *console = device;
    pthread_mutex_lock(&console->lock);
    console->runs[queue] = true;
    serve(console, queue);
    pthread_mutex_unlock(&console->lock);
}

static void drain(void *device, unsigned queue)
{
    struct virtio_console *console = device;
    pthread_mutex_lock(&console->lock);
    console->runs[queue] = false;
    if (queue != CONTROL_RECEIVE_QUEUE && queue != CONTROL_TRANSMIT_QUEUE) {
        struct console_port *port = port_of(console, queue);
        struct console_stream *stream = queue & 1 ? &port->transmit : &port->receive;
        stream_push(console, stream, queue, queue & 1 ? 0 : stream->done);
    }
    pthread_mutex_unlock(&console->lock);
}

static void start(void *device)
{
    struct virtio_console *console = device;
    pthread_mutex_lock(&console->lock);
    console->is_multiport = virtio_features(console->virtio) & CONSOLE_F_MULTIPORT;
    pthread_mutex_unlock(&console->lock);
}

static void reset(void *device)
{
    struct virtio_console *console = device;
    pthread_mutex_lock(&console->lock);
    console->is_multiport = console->size_told = false;
    for (unsigned i = 0; i < console->port_count; i++) {
        console->ports[i].is_open = false;
        console->ports[i].waiting = 0;
    }
    pthread_mutex_unlock(&console->lock);
}

static void config_read(void *device, uint32_t offset, void *to, unsigned len)
{
    struct virtio_console *console = device;
    uint8_t bytes[CONFIG_BYTES] = {0};
    store_le32(bytes, __atomic_load_n(&console->size, __ATOMIC_RELAXED));
    store_le32(bytes + 4, console->port_count);
    memcpy(to, bytes + offset, len);
}

/* The emergency write: a byte of output without any queue. */
static void config_write(void *device, uint32_t offset, const void *from, unsigned len)
{
    struct virtio_console *console = device;
    if (offset == CONFIG_EMERG_WRITE && len)
        char_backend_write(console->ports[0].backend, from, 1);
}

static const struct virtio_ops console_ops = {.config_read = config_read,
                                              .config_write = config_write,
                                              .start = start,
                                              .notify = notify,
                                              .drain = drain,
                                              .reset = reset};

/* ---- Life ---- */

static int check(const struct virtio_console_config *config, struct vmm_error *error)
{
    if (!config->port_count || config->port_count > VIRTIO_CONSOLE_PORTS_MAX)
        return error_set(error, -EINVAL, "virtio-console: %u ports are not from 1 to %d", config->port_count,
                         VIRTIO_CONSOLE_PORTS_MAX);
    for (unsigned i = 0; i < config->port_count; i++) {
        const char *name = config->ports[i].name;
        if (name && strlen(name) > VIRTIO_CONSOLE_NAME_LEN_MAX)
            return error_set(error, -EINVAL,
                             "virtio-console: the port's name %s is longer than %d characters", name,
                             VIRTIO_CONSOLE_NAME_LEN_MAX);
    }
    return 0;
}

static void add_port(struct virtio_console *console, const struct virtio_console_port *config)
{
    struct console_port *port = &console->ports[console->port_count];
    port->console = console;
    port->index = console->port_count++;
    port->backend = config->backend;
    port->is_console = config->is_console;
    if (config->name)
        strncpy(port->name, config->name, VIRTIO_CONSOLE_NAME_LEN_MAX);
    port->frontend = (struct char_frontend){
        .input_ready = input_ready, .input_break = input_break, .owner = port};
    char_backend_attach(port->backend, &port->frontend);
}

int virtio_console_create(const struct virtio_console_config *config, struct virtio_console **out,
                          struct vmm_error *error)
{
    int result = check(config, error);
    if (result)
        return result;
    struct virtio_console *console = calloc(1, sizeof(*console));
    if (!console)
        return error_set(error, -ENOMEM, "virtio-console: out of memory");
    const bool is_simple = config->port_count == 1 && config->ports[0].is_console && !config->ports[0].name;
    const struct virtio_config virtio_config = {.name = "virtio-console",
                                                .type = VIRTIO_ID_CONSOLE,
                                                .features = CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE |
                                                            (is_simple ? 0 : CONSOLE_F_MULTIPORT),
                                                .queue_count = is_simple ? 2 : 2 + 2 * config->port_count,
                                                .queue_size = QUEUE_SIZE,
                                                .config_len = CONFIG_BYTES,
                                                .memory = config->memory,
                                                .loop = config->loop,
                                                .ops = &console_ops,
                                                .device = console};
    result = virtio_create(&virtio_config, &console->virtio, error);
    if (result) {
        free(console);
        return result;
    }
    pthread_mutex_init(&console->lock, NULL);
    for (unsigned i = 0; i < config->port_count; i++)
        add_port(console, &config->ports[i]);
    *out = console;
    return 0;
}

void virtio_console_destroy(struct virtio_console *console)
{
    if (!console)
        return;
    for (unsigned i = 0; i < console->port_count; i++)
        char_backend_attach(console->ports[i].backend, NULL);
    virtio_destroy(console->virtio);
    pthread_mutex_destroy(&console->lock);
    free(console);
}

struct virtio *virtio_console_virtio(struct virtio_console *console)
{
    return console->virtio;
}

void virtio_console_resize(struct virtio_console *console, uint16_t columns, uint16_t rows)
{
    uint32_t size = (uint32_t)rows << 16 | columns;
    if (__atomic_exchange_n(&console->size, size, __ATOMIC_RELAXED) == size)
        return;
    pthread_mutex_lock(&console->lock);
    bool is_multiport = console->is_multiport;
    if (is_multiport && console->ports[0].is_console) {
        console->ports[0].waiting |= 1u << MESSAGE_RESIZE;
        control_send(console);
    }
    pthread_mutex_unlock(&console->lock);
    if (!is_multiport)
        virtio_config_changed(console->virtio);
}
