/* SPDX-License-Identifier: MIT
 *
 * Random accesses to the serial port, each compared with a model that is written the other way round: it
 * keeps the received bytes as a list in the order of time and derives every register from scratch. Input
 * comes from a file, which is read at known moments, and there is no event loop, so that the character
 * timeout is immediate.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/serial/serial.h"
#include "tests/devices/fake.h"

#define INPUT_BYTES 4096

struct model {
    unsigned ier, lcr, mcr, scr, divisor;
    bool fifo_on;
    unsigned trigger;
    unsigned char queue[16];
    int queued;
    bool overrun, sent, listening;
    unsigned deltas;
    unsigned char input[INPUT_BYTES];
    int input_at;
    unsigned char output[1 << 20];
    int output_len;
};

static struct model *model;

static int model_capacity(void)
{
    return model->fifo_on ? 16 : 1;
}

static void model_receive(unsigned char byte)
{
    if (model->queued == model_capacity())
        model->overrun = true;
    if (model->queued == model_capacity() && model->fifo_on)
        return;
    if (!model->fifo_on)
        model->queued = 0;
    model->queue[model->queued++] = byte;
}

static void model_fill(void)
{
    while (model->listening && !(model->mcr & 16) && model->queued < model_capacity() &&
           model->input_at < INPUT_BYTES)
        model_receive(model->input[model->input_at++]);
}

/* The guest looks: an empty receiver is filled. */
static void model_listen(void)
{
    model->listening = true;
    if (!model->queued)
        model_fill();
}

static unsigned model_lines(unsigned mcr)
{
    if (!(mcr & 16))
        return 0xb0;
    return (mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4;
}

static unsigned model_pending(void)
{
    static const int levels[] = {1, 4, 8, 14};
    int wanted = model->fifo_on ? levels[model->trigger] : 1;
    if (model->ier & 4 && model->overrun)
        return 6;
    if (model->ier & 1 && model->queued >= wanted)
        return 4;
    if (model->ier & 1 && model->fifo_on && model->queued)
        return 12;
    if (model->ier & 2 && model->sent)
        return 2;
    if (model->ier & 8 && model->deltas)
        return 0;
    return 1;
}

static unsigned model_read_rbr(void)
{
    model_listen();
    if (!model->queued)
        return 0;
    unsigned char byte = model->queue[0];
    memmove(model->queue, model->queue + 1, 15);
    model->queued--;
    model_listen();
    return byte;
}

static unsigned model_read(unsigned offset)
{
    unsigned value;
    switch (offset) {
    case 0:
        return model->lcr & 0x80 ? model->divisor & 0xff : model_read_rbr();
    case 1:
        return model->lcr & 0x80 ? model->divisor >> 8 : model->ier;
    case 2:
        value = model_pending();
        if (value == 2)
            model->sent = false;
        return value | (model->fifo_on ? 0xc0 : 0);
    case 3:
        return model->lcr;
    case 4:
        return model->mcr;
    case 5:
        model_listen();
        value = 0x60 | (model->queued > 0) | (model->overrun ? 2 : 0);
        model->overrun = false;
        return value;
    case 6:
        value = model_lines(model->mcr) | model->deltas;
        model->deltas = 0;
        return value;
    default:
        return model->scr;
    }
}

static void model_write_thr(unsigned value)
{
    if (model->mcr & 16)
        model_receive((unsigned char)value);
    else
        model->output[model->output_len++] = (unsigned char)value;
    model->sent = true;
}

static void model_write_ier(unsigned value)
{
    bool received_starts = !(model->ier & 1) && value & 1;
    model->sent |= !(model->ier & 2) && value & 2;
    model->ier = value & 15;
    if (received_starts)
        model_listen();
}

static void model_write_fcr(unsigned value)
{
    bool on = value & 1;
    if (on != model->fifo_on || (on && value & 2))
        model->queued = 0;
    model->fifo_on = on;
    if (on)
        model->trigger = value >> 6;
    model_fill();
}

static void model_write_mcr(unsigned value)
{
    unsigned before = model_lines(model->mcr), after = model_lines(value);
    model->deltas |= ((before ^ after) & 0xb0) >> 4 | (before & ~after & 0x40) >> 4;
    model->mcr = value & 31;
    model_fill();
}

static void model_write(unsigned offset, unsigned value)
{
    if (offset == 0 && model->lcr & 0x80)
        model->divisor = (model->divisor & 0xff00) | value;
    else if (offset == 1 && model->lcr & 0x80)
        model->divisor = (model->divisor & 0xff) | value << 8;
    else if (offset == 0)
        model_write_thr(value);
    else if (offset == 1)
        model_write_ier(value);
    else if (offset == 2)
        model_write_fcr(value);
    else if (offset == 3)
        model->lcr = value;
    else if (offset == 4)
        model_write_mcr(value);
    else if (offset == 7)
        model->scr = value;
}

static struct event_loop *loop; /* never started: the backend wants one to look for input */
static struct char_backend *backend;
static struct serial *serial;
static struct bus *bus;
static struct fake_irq irq;
static int in_fd, out_fd;

static int temporary_file(void)
{
    char path[] = "/tmp/vmm-serial-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    return fd;
}

static void set_up(uint64_t *seed)
{
    model = calloc(1, sizeof(*model));
    model->divisor = 12;
    for (int i = 0; i < INPUT_BYTES; i++)
        model->input[i] = (unsigned char)fake_random(seed);
    in_fd = temporary_file();
    out_fd = temporary_file();
    ck_assert_int_eq(pwrite(in_fd, model->input, INPUT_BYTES, 0), INPUT_BYTES);
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
    struct char_config char_config = {
        .kind = CHAR_DESCRIPTORS, .loop = loop, .in_fd = in_fd, .out_fd = out_fd};
    ck_assert_int_eq(char_backend_create(&char_config, &backend, NULL), 0);
    memset(&irq, 0, sizeof(irq));
    struct serial_config config = {
        .base = SERIAL_COM1_PORT, .irq = fake_irq_line(&irq, SERIAL_COM1_IRQ), .backend = backend};
    ck_assert_int_eq(serial_create(&config, &serial, NULL), 0);
    bus = fake_bus(BUS_PORTS, serial_region(serial));
}

static void tear_down(void)
{
    static unsigned char written[1 << 20];
    bus_destroy(bus);
    serial_destroy(serial);
    char_backend_destroy(backend);
    event_loop_destroy(loop);
    ck_assert_int_eq(pread(out_fd, written, sizeof(written), 0), model->output_len);
    ck_assert_mem_eq(written, model->output, (size_t)model->output_len);
    close(in_fd);
    close(out_fd);
    free(model);
}

/* A hostile guest uses every bit; a driver seldom touches the modes. Half of the runs are like one, half like
 * the other. */
static unsigned choose_value(uint64_t random, unsigned offset, bool hostile)
{
    unsigned value = random >> 16 & 0xff;
    if (hostile)
        return value;
    if (offset == 3)
        return random >> 40 & 15 ? value & 0x7f : value;
    if (offset == 4)
        return random >> 40 & 15 ? value & 0x0f : value;
    if (offset == 2)
        return random >> 40 & 15 ? (value & 0xc0) | 1 : value;
    return value;
}

START_TEST(random_accesses_agree_with_the_model)
{
    uint64_t seed = test_seed() | 1, output = 0, input = 0;
    for (int run = 0; run < 40; run++) {
        set_up(&seed);
        for (unsigned long i = 0; i < test_cases(10000) && model->output_len < 1 << 20; i++) {
            uint64_t random = fake_random(&seed);
            unsigned offset = random & 7;
            if (random & 8) {
                unsigned value = choose_value(random, offset, run & 1);
                bus_write(bus, SERIAL_COM1_PORT + offset, 1, value);
                model_write(offset, value);
            } else {
                unsigned expected = model_read(offset);
                unsigned value = (unsigned)bus_read(bus, SERIAL_COM1_PORT + offset, 1);
                ck_assert_msg(value == expected, "run %d, access %lu: register %u is %#x, expected %#x", run,
                              i, offset, value, expected);
            }
            ck_assert_msg(fake_irq_is_up(&irq) == (model_pending() != 1), "run %d, access %lu: interrupt",
                          run, i);
        }
        output += (uint64_t)model->output_len;
        input += (uint64_t)model->input_at;
        tear_down();
    }
    ck_assert_uint_gt(output, 40 * 10);
    ck_assert_uint_gt(input, 40 * 10);
}
END_TEST

/* Two vCPUs that do anything, while input comes and timeouts expire: for the sanitizers, and that everything
 * can be ended in the middle of it. */
static int stop_accesses;

static void *access_at_random(void *context)
{
    uint64_t *seed = context;
    while (!__atomic_load_n(&stop_accesses, __ATOMIC_ACQUIRE)) {
        uint64_t random = fake_random(seed);
        uint64_t port = SERIAL_COM1_PORT + (random & 7);
        if (random & 8)
            bus_write(bus, port, 1, choose_value(random, random & 7, false) & 0x7f);
        else
            bus_read(bus, port, 1);
    }
    return NULL;
}

START_TEST(two_processors_and_input_at_once)
{
    uint64_t seeds[2] = {test_seed() | 1, 2};
    int to_guest[2];
    pthread_t threads[2];
    char text[4096];
    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(pipe2(to_guest, O_CLOEXEC), 0);
    fcntl(to_guest[1], F_SETFL, O_NONBLOCK);
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
    out_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct char_config char_config = {
        .kind = CHAR_DESCRIPTORS, .loop = loop, .in_fd = to_guest[0], .out_fd = out_fd};
    ck_assert_int_eq(char_backend_create(&char_config, &backend, NULL), 0);
    struct serial_config config = {.base = SERIAL_COM1_PORT,
                                   .irq = fake_irq_line(&irq, SERIAL_COM1_IRQ),
                                   .backend = backend,
                                   .loop = loop};
    ck_assert_int_eq(serial_create(&config, &serial, NULL), 0);
    bus = fake_bus(BUS_PORTS, serial_region(serial));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, access_at_random, &seeds[i]), 0);
    for (int i = 0; i < 200; i++) {
        (void)!write(to_guest[1], text, sizeof(text));
        usleep(1000);
    }
    __atomic_store_n(&stop_accesses, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(char_backend_counts(backend).input_bytes, 0);
    ck_assert_uint_gt(char_backend_counts(backend).output_bytes, 0);
    ck_assert_int_gt(fake_irq_rises(&irq), 0);
    /* the loop still runs: destroying waits for its callbacks */
    bus_destroy(bus);
    serial_destroy(serial);
    char_backend_destroy(backend);
    event_loop_destroy(loop);
    close(to_guest[0]);
    close(to_guest[1]);
    close(out_fd);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, random_accesses_agree_with_the_model);
    test_add(suite, two_processors_and_input_at_once);
}
