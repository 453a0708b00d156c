/* SPDX-License-Identifier: MIT
 *
 * The controller is a register for output with a few flags, 32 bytes of memory of which the first is the
 * command byte, and a memory of which command the next byte to the data port belongs to. A byte sent to a
 * keyboard or mouse that is not there comes back as a transmit timeout, as from the hardware, so that drivers
 * give up at once. Facts: IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device Controller".
 *
 *   port 0x60 read   the output buffer; clears OUTPUT_FULL
 *   port 0x60 write  the parameter of the command before, else a byte for the keyboard
 *   port 0x64 read   status
 *   port 0x64 write  a command
 */
#include "devices/i8042/i8042.h"

#include <stdlib.h>

enum {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,     /* follows the command byte: the self test has passed */
    STATUS_COMMAND = 0x08,    /* the last write was to port 0x64 */
    STATUS_NOT_LOCKED = 0x10, /* the keyboard lock's key is turned to open */
    STATUS_TIMEOUT = 0x40,
};

/* The command byte. */
enum {
    MODE_INTERRUPT = 0x01,
    MODE_SYSTEM = 0x04,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_MOUSE_OFF = 0x20,
    MODE_TRANSLATE = 0x40,
};

/* The output port. */
enum {
    OUT_NOT_RESET = 0x01,
    OUT_A20 = 0x02,
    OUT_BUFFER_FULL = 0x10,
};

enum {
    COMMAND_READ_MEMORY = 0x20,  /* to 0x3f */
    COMMAND_WRITE_MEMORY = 0x60, /* to 0x7f */
    COMMAND_TEST_PASSWORD = 0xa4,
    COMMAND_MOUSE_OFF = 0xa7,
    COMMAND_MOUSE_ON = 0xa8,
    COMMAND_TEST_MOUSE_PORT = 0xa9,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_TEST_KEYBOARD_PORT = 0xab,
    COMMAND_KEYBOARD_OFF = 0xad,
    COMMAND_KEYBOARD_ON = 0xae,
    COMMAND_READ_INPUT_PORT = 0xc0,
    COMMAND_READ_OUTPUT_PORT = 0xd0,
    COMMAND_WRITE_OUTPUT_PORT = 0xd1,
    COMMAND_WRITE_OUTPUT_BUFFER = 0xd2,
    COMMAND_WRITE_MOUSE_BUFFER = 0xd3,
    COMMAND_WRITE_MOUSE = 0xd4,
    COMMAND_A20_OFF = 0xdd,
    COMMAND_A20_ON = 0xdf,
    COMMAND_READ_TEST_INPUTS = 0xe0,
    COMMAND_PULSE = 0xf0, /* to 0xff: pulls low for 6 us the output lines 0 to 3 whose bits are 0 */
};

enum {
    REPLY_OK = 0x00,
    REPLY_CLOCK_STUCK = 0x01, /* of the mouse port's test: there is no such port */
    REPLY_SELF_TEST_PASSED = 0x55,
    REPLY_NO_PASSWORD = 0xf1,
    REPLY_NOT_SENT = 0xfe, /* with STATUS_TIMEOUT */
    INPUT_NOT_LOCKED = 0x80,
};

#define MEMORY_BYTES 32

struct i8042 {
    struct bus_region data_region, command_region;
    struct lock lock;
    struct irq_line irq;
    struct power_line power;
    uint8_t status;  /* without STATUS_SYSTEM */
    uint8_t output;  /* what port 0x60 reads */
    uint8_t lines;   /* the output port, without OUT_BUFFER_FULL */
    uint8_t pending; /* the command that waits for its parameter, or 0 */
    uint8_t memory[MEMORY_BYTES];
    bool irq_level;
};

static void i8042_update_irq(struct i8042 *i8042)
{
    bool level = (i8042->status & STATUS_OUTPUT_FULL) && (i8042->memory[0] & MODE_INTERRUPT);
    if (level == i8042->irq_level)
        return;
    i8042->irq_level = level;
    irq_line_set(&i8042->irq, level);
}

static void i8042_reply(struct i8042 *i8042, uint8_t value, uint8_t flags)
{
    i8042->output = value;
    i8042->status = (uint8_t)((i8042->status & ~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL | flags);
}

static void i8042_set_lines(struct i8042 *i8042, uint8_t lines)
{
    i8042->lines = lines | OUT_NOT_RESET;
    if (!(lines & OUT_NOT_RESET))
        power_line_request(&i8042->power, POWER_RESET, 0);
}

static void i8042_set_mode(struct i8042 *i8042, uint8_t set, uint8_t clear)
{
    i8042->memory[0] = (uint8_t)((i8042->memory[0] & ~clear) | set);
}

static void i8042_test(struct i8042 *i8042)
{
    i8042->memory[0] |= MODE_SYSTEM;
    i8042_reply(i8042, REPLY_SELF_TEST_PASSED, 0);
}

static uint8_t i8042_output_port(const struct i8042 *i8042)
{
    return i8042->lines | (i8042->status & STATUS_OUTPUT_FULL ? OUT_BUFFER_FULL : 0);
}

static void i8042_command(struct i8042 *i8042, uint8_t command)
{
    i8042->pending = 0;
    switch (command) {
    case COMMAND_READ_MEMORY ... COMMAND_READ_MEMORY + MEMORY_BYTES - 1:
        i8042_reply(i8042, i8042->memory[command - COMMAND_READ_MEMORY], 0);
        break;
    case COMMAND_WRITE_MEMORY ... COMMAND_WRITE_MEMORY + MEMORY_BYTES - 1:
    case COMMAND_WRITE_OUTPUT_PORT ... COMMAND_WRITE_MOUSE:
        i8042->pending = command;
        break;
    case COMMAND_TEST_PASSWORD:
        i8042_reply(i8042, REPLY_NO_PASSWORD, 0);
        break;
    case COMMAND_MOUSE_OFF:
        i8042_set_mode(i8042, MODE_MOUSE_OFF, 0);
        break;
    case COMMAND_MOUSE_ON:
        i8042_set_mode(i8042, 0, MODE_MOUSE_OFF);
        break;
    case COMMAND_TEST_MOUSE_PORT:
        i8042_reply(i8042, REPLY_CLOCK_STUCK, 0);
        break;
    case COMMAND_SELF_TEST:
        i8042_test(i8042);
        break;
    case COMMAND_TEST_KEYBOARD_PORT:
    case COMMAND_READ_TEST_INPUTS:
        i8042_reply(i8042, REPLY_OK, 0);
        break;
    case COMMAND_KEYBOARD_OFF:
        i8042_set_mode(i8042, MODE_KEYBOARD_OFF, 0);
        break;
    case COMMAND_KEYBOARD_ON:
        i8042_set_mode(i8042, 0, MODE_KEYBOARD_OFF);
        break;
    case COMMAND_READ_INPUT_PORT:
        i8042_reply(i8042, INPUT_NOT_LOCKED, 0);
        break;
    case COMMAND_READ_OUTPUT_PORT:
        i8042_reply(i8042, i8042_output_port(i8042), 0);
        break;
    case COMMAND_A20_OFF:
        i8042->lines &= (uint8_t)~OUT_A20;
        break;
    case COMMAND_A20_ON:
        i8042->lines |= OUT_A20;
        break;
    case COMMAND_PULSE ... 0xff:
        if (!(command & OUT_NOT_RESET))
            power_line_request(&i8042->power, POWER_RESET, 0);
        break;
    }
}

/* A byte to the data port: for the command that waits, or else for the keyboard. */
static void i8042_data(struct i8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->pending;
    i8042->pending = 0;
    switch (command) {
    case COMMAND_WRITE_MEMORY ... COMMAND_WRITE_MEMORY + MEMORY_BYTES - 1:
        i8042->memory[command - COMMAND_WRITE_MEMORY] = value;
        break;
    case COMMAND_WRITE_OUTPUT_PORT:
        i8042_set_lines(i8042, value);
        break;
    case COMMAND_WRITE_OUTPUT_BUFFER:
    case COMMAND_WRITE_MOUSE_BUFFER: /* no mouse port: it comes back as the keyboard's */
        i8042_reply(i8042, value, 0);
        break;
    case COMMAND_WRITE_MOUSE:
        i8042_reply(i8042, REPLY_NOT_SENT, STATUS_TIMEOUT);
        break;
    default:
        i8042_set_mode(i8042, 0, MODE_KEYBOARD_OFF);
        i8042_reply(i8042, REPLY_NOT_SENT, STATUS_TIMEOUT);
        break;
    }
}

static uint64_t i8042_data_read(void *device, uint64_t offset, unsigned size)
{
    struct i8042 *i8042 = device;
    (void)offset, (void)size;
    i8042->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
    i8042_update_irq(i8042);
    return i8042->output;
}

static void i8042_data_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *i8042 = device;
    (void)offset, (void)size;
    i8042->status &= (uint8_t)~STATUS_COMMAND;
    i8042_data(i8042, (uint8_t)value);
    i8042_update_irq(i8042);
}

static uint64_t i8042_status_read(void *device, uint64_t offset, unsigned size)
{
    const struct i8042 *i8042 = device;
    (void)offset, (void)size;
    return i8042->status | (i8042->memory[0] & MODE_SYSTEM ? STATUS_SYSTEM : 0);
}

static void i8042_command_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *i8042 = device;
    (void)offset, (void)size;
    i8042->status |= STATUS_COMMAND;
    i8042_command(i8042, (uint8_t)value);
    i8042_update_irq(i8042);
}

static const struct bus_ops i8042_data_ops = {.read = i8042_data_read, .write = i8042_data_write};
static const struct bus_ops i8042_command_ops = {.read = i8042_status_read, .write = i8042_command_write};

static struct bus_region i8042_make_region(struct i8042 *i8042, uint64_t port, const struct bus_ops *ops)
{
    return (struct bus_region){.name = "i8042",
                               .base = port,
                               .len = 1,
                               .size_min = 1,
                               .size_max = 1,
                               .ops = ops,
                               .device = i8042,
                               .lock = &i8042->lock};
}

int i8042_create(const struct i8042_config *config, struct i8042 **out, struct vmm_error *error)
{
    struct i8042 *i8042 = calloc(1, sizeof(*i8042));
    if (!i8042)
        return error_set(error, -ENOMEM, "i8042: out of memory");
    i8042->irq = config->irq;
    i8042->power = config->power;
    i8042->status = STATUS_NOT_LOCKED;
    i8042->lines = OUT_NOT_RESET | OUT_A20;
    /* as firmware leaves it, but without the interrupt: nobody is there yet to take one */
    i8042->memory[0] = MODE_TRANSLATE | MODE_MOUSE_OFF | MODE_SYSTEM;
    i8042->data_region = i8042_make_region(i8042, I8042_DATA_PORT, &i8042_data_ops);
    i8042->command_region = i8042_make_region(i8042, I8042_COMMAND_PORT, &i8042_command_ops);
    *out = i8042;
    return 0;
}

void i8042_destroy(struct i8042 *i8042)
{
    if (!i8042)
        return;
    free(i8042);
}

struct bus_region *i8042_data_region(struct i8042 *i8042)
{
    return &i8042->data_region;
}

struct bus_region *i8042_command_region(struct i8042 *i8042)
{
    return &i8042->command_region;
}
