/* SPDX-License-Identifier: MIT
 *
 * The expressions of filters: what they let pass, and where a mistake is pointed at.
 */
#include "base/trace_filter.h"

#include <string.h>

#include "base/types.h"
#include "tests/harness.h"

static const char *const reasons[] = {[2] = "IO", [6] = "MMIO"};
static const struct trace_names names = {.reasons = reasons, .reason_count = 7, .ticks_per_s = 1000000000};

enum { PORT_WRITE, PORT_READ, MEMORY, EXIT, KICK, POP, IRQ, MARKER, MISS, RECORD_COUNT };

/* One record of each kind. The TSC runs at 1 GHz. */
static const struct trace_record records[RECORD_COUNT] = {
    [PORT_WRITE] = {.event = TRACE_PIO,
                    .flags = TRACE_WRITE,
                    .size = 1,
                    .address = 0x3f8,
                    .value = 0x41,
                    .count = 1,
                    .device = "serial",
                    .duration = 2000},
    [PORT_READ] = {.event = TRACE_PIO,
                   .size = 1,
                   .address = 0x3fd,
                   .value = 0x60,
                   .count = 1,
                   .device = "serial",
                   .duration = 500},
    [MEMORY] = {.event = TRACE_MMIO,
                .flags = TRACE_WRITE,
                .size = 4,
                .address = 0xd0000000,
                .value = 0x100,
                .count = 16,
                .device = "virtio-blk",
                .duration = 50},
    [EXIT] = {.event = TRACE_EXIT,
              .flags = TRACE_WRITE,
              .size = 1,
              .address = 0x3f8,
              .rip = 0x100123,
              .index = 2,
              .count = 1,
              .duration = 3000000},
    [KICK] = {.event = TRACE_QUEUE_KICK, .device = "virtio-blk", .index = 1},
    [POP] = {.event = TRACE_QUEUE_POP, .device = "virtio-blk", .index = 1, .id = 7, .value = 4096},
    [IRQ] = {.event = TRACE_SET_IRQ, .index = 4, .value = 1},
    [MARKER] = {.event = TRACE_MARKER, .len = 5, .text = "hello"},
    [MISS] =
        {.event = TRACE_PIO, .flags = TRACE_MISS, .size = 2, .address = 0x999, .value = 0xffff, .count = 1},
};

#define BIT(record) (1u << (record))
#define ALL         (BIT(RECORD_COUNT) - 1)

static const struct {
    const char *text;
    unsigned passes; /* a bit for each record */
} expressions[] = {
    {"addr >= 0x3f8 && addr < 0x400 && write", BIT(PORT_WRITE) | BIT(EXIT)},
    {"addr>=0x3f8&&addr<0x400&&write", BIT(PORT_WRITE) | BIT(EXIT)},
    {"port == 0x3f8", BIT(PORT_WRITE) | BIT(EXIT)},
    {"port != 0x3f8", BIT(PORT_READ) | BIT(MISS)},
    {"read", BIT(PORT_READ) | BIT(MISS)},
    {"write", BIT(PORT_WRITE) | BIT(MEMORY) | BIT(EXIT)},
    {"!write", ALL & ~(BIT(PORT_WRITE) | BIT(MEMORY) | BIT(EXIT))},
    {"miss", BIT(MISS)},
    {"pio", BIT(PORT_WRITE) | BIT(PORT_READ) | BIT(MISS)},
    {"pio || mmio", BIT(PORT_WRITE) | BIT(PORT_READ) | BIT(MISS) | BIT(MEMORY)},
    {"event == queue_kick", BIT(KICK)},
    {"event ~ queue_*", BIT(KICK) | BIT(POP)},
    {"event != exit && rip == 0x100123", 0},
    {"device == serial", BIT(PORT_WRITE) | BIT(PORT_READ)},
    {"device == \"serial\"", BIT(PORT_WRITE) | BIT(PORT_READ)},
    {"device != serial", BIT(MEMORY) | BIT(KICK) | BIT(POP)},
    {"device ~ \"virtio-*\"", BIT(MEMORY) | BIT(KICK) | BIT(POP)},
    {"size == 4", BIT(MEMORY)},
    {"size > 1", BIT(MEMORY) | BIT(MISS)},
    {"count > 1", BIT(MEMORY)},
    {"value & 0x40", BIT(PORT_WRITE) | BIT(PORT_READ) | BIT(MISS)},
    {"rip >= 0x100000 && rip <= 0x1fffff", BIT(EXIT)},
    {"reason == IO", BIT(EXIT)},
    {"reason == io", BIT(EXIT)},
    {"reason == 2", BIT(EXIT)},
    {"reason != MMIO", BIT(EXIT)},
    {"queue == 1", BIT(KICK) | BIT(POP)},
    {"id == 7", BIT(POP)},
    {"vcpu == 3", ALL},
    {"vcpu != 3", 0},
    {"duration > 1us", BIT(PORT_WRITE) | BIT(EXIT)},
    {"duration >= 500ns && duration <= 2us", BIT(PORT_WRITE) | BIT(PORT_READ)},
    {"duration > 1ms", BIT(EXIT)},
    {"duration > 1s", 0},
    {"marker", BIT(MARKER)},
    {"marker && addr == 0", 0},
    {"pio && write || mmio", BIT(PORT_WRITE) | BIT(MEMORY)},
    {"pio && (write || miss)", BIT(PORT_WRITE) | BIT(MISS)},
    {"!(pio || mmio) && !marker", BIT(EXIT) | BIT(KICK) | BIT(POP) | BIT(IRQ)},
    {"!!pio", BIT(PORT_WRITE) | BIT(PORT_READ) | BIT(MISS)},
    {"  set_irq  ", BIT(IRQ)},
};

START_TEST(expressions_let_pass_what_they_say)
{
    for (size_t i = 0; i < ARRAY_COUNT(expressions); i++) {
        struct trace_filter *filter;
        struct vmm_error error;
        int result = trace_filter_create(expressions[i].text, &names, &filter, &error);
        ck_assert_msg(!result, "%s", error.message);
        for (unsigned record = 0; record < RECORD_COUNT; record++)
            ck_assert_msg(trace_filter_match(filter, 3, &records[record]) ==
                              (expressions[i].passes >> record & 1),
                          "'%s' and record %u", expressions[i].text, record);
        trace_filter_destroy(filter);
    }
}
END_TEST

static const struct {
    const char *text, *message;
} mistakes[] = {
    {"", "column 1: the expression ends too early"},
    {"   ", "column 4: the expression ends too early"},
    {"addr", "column 5: an operator is missing"},
    {"addr 3", "column 6: an operator is missing"},
    {"addr >= ", "column 9: a number is missing"},
    {"addr >= zz", "column 9: a number is missing"},
    {"addr >= 12zz", "column 11: this does not belong to a number"},
    {"addr == 99999999999999999999", "column 9: the number is too large"},
    {"addr === 3", "column 8: a number is missing"},
    {"write && adr == 3", "column 10: there is no such field, event or direction"},
    {"write &&", "column 9: the expression ends too early"},
    {"write & 3", "column 7: the expression should have ended here"},
    {"(write", "column 7: a closing parenthesis is missing"},
    {"write)", "column 6: the expression should have ended here"},
    {"&& write", "column 1: a field, an event or a direction is missing here"},
    {"device > serial", "column 8: names are compared by ==, != and ~"},
    {"device == ", "column 11: a name is missing"},
    {"device == \"serial", "column 12: there is no quote at the end of the name"},
    {"addr ~ 3", "column 6: numbers are not compared by ~"},
    {"duration > 100", "column 15: a unit is missing behind the time"},
    {"write && event == exti", "column 19: there is no event 'exti'; did you mean 'exit'?"},
    {"event != \"zzzzzz\"", "column 10: there is no event 'zzzzzz'"},
    {"reason == IOO", "column 11: an exit reason is missing, such as IO"},
};

START_TEST(mistakes_are_pointed_at)
{
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        struct trace_filter *filter;
        struct vmm_error error;
        ck_assert_int_eq(trace_filter_create(mistakes[i].text, &names, &filter, &error), -EINVAL);
        ck_assert_ptr_null(filter);
        ck_assert_msg(strstr(error.message, mistakes[i].message), "'%s': %s", mistakes[i].text,
                      error.message);
    }
}
END_TEST

START_TEST(an_expression_has_its_limits)
{
    char deep[200] = "", wide[2000] = "write";
    struct trace_filter *filter;
    struct vmm_error error;
    memset(deep, '(', 100);
    ck_assert_int_eq(trace_filter_create(deep, &names, &filter, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "nested too deeply"));
    for (unsigned i = 0; i < 100; i++)
        strcat(wide, " || read");
    ck_assert_int_eq(trace_filter_create(wide, &names, &filter, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "too long"));
}
END_TEST

START_TEST(no_thread_of_a_vcpu_has_no_vcpu)
{
    struct trace_filter *filter;
    ck_assert_int_eq(trace_filter_create("vcpu >= 0", &names, &filter, NULL), 0);
    ck_assert(trace_filter_match(filter, 0, &records[IRQ]));
    ck_assert(!trace_filter_match(filter, -1, &records[IRQ]));
    trace_filter_destroy(filter);
    trace_filter_destroy(NULL);
}
END_TEST

START_TEST(lists_of_events_are_understood)
{
    uint64_t events;
    struct vmm_error error;
    ck_assert_int_eq(trace_events_parse("exit,pio,queue_kick", &events, &error), 0);
    ck_assert_uint_eq(events, 1u << TRACE_EXIT | 1u << TRACE_PIO | 1u << TRACE_QUEUE_KICK);
    ck_assert_int_eq(trace_events_parse("all", &events, &error), 0);
    ck_assert_uint_eq(events, ~0ull);
    ck_assert_int_eq(trace_events_parse("-emulate_insn,-code", &events, &error), 0);
    ck_assert_uint_eq(events, ~(1ull << TRACE_INSN | 1ull << TRACE_CODE));
    ck_assert_int_eq(trace_events_parse("exit,pio,-exit", &events, &error), 0);
    ck_assert_uint_eq(events, 1u << TRACE_PIO);
    ck_assert_int_eq(trace_events_parse("-", &events, &error), -EINVAL);
    ck_assert_int_eq(trace_events_parse("exit,pioo", &events, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "there is no event 'pioo'; there are: all, entry, exit"));
    ck_assert_int_eq(trace_events_parse("", &events, &error), -EINVAL);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, expressions_let_pass_what_they_say);
    test_add(suite, mistakes_are_pointed_at);
    test_add(suite, an_expression_has_its_limits);
    test_add(suite, no_thread_of_a_vcpu_has_no_vcpu);
    test_add(suite, lists_of_events_are_understood);
}
