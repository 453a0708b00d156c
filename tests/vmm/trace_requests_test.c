/* SPDX-License-Identifier: MIT
 *
 * Which records belong to one request: where some are missing, where queues and devices use the same numbers,
 * and how many requests are looked at to find that out.
 */
#include <stdlib.h>

#include "base/types.h"
#include "tests/harness.h"
#include "vmm/cli/trace.h"

#define NEVER UINT64_MAX

static uint64_t time_of(const struct trace_file *file, const struct request *request, enum request_step step)
{
    size_t item = request->steps[step];
    return item == STEP_MISSING ? NEVER : file->items[item].record.time;
}

/* A trace in the making, of one thread that is no vCPU's. */
struct story {
    struct trace_file file;
    struct trace_track track;
    struct requests requests;
};

static void tell(struct story *story, uint64_t time, unsigned event, const char *device, uint32_t queue,
                 uint64_t chain)
{
    struct trace_file *file = &story->file;
    if (!(file->item_count & (file->item_count - 1))) /* doubling */
        file->items = realloc(file->items, (2 * file->item_count + 1) * sizeof(*file->items));
    ck_assert_ptr_nonnull(file->items);
    struct trace_item item = {.lost_before = 0};
    item.record.time = time;
    item.record.event = (uint8_t)event;
    item.record.device = device;
    item.record.index = queue;
    item.record.id = chain;
    file->items[file->item_count++] = item;
}

static void find(struct story *story)
{
    story->track.vcpu = -1;
    story->file.tracks = &story->track;
    story->file.track_count = 1;
    ck_assert(requests_find(&story->file, &story->requests));
}

static void forget(struct story *story)
{
    requests_fini(&story->requests);
    free(story->file.items);
}

static void check_request(const struct story *story, size_t number, uint64_t pop, uint64_t push,
                          uint64_t interrupt)
{
    ck_assert_uint_lt(number, story->requests.count);
    const struct request *request = &story->requests.list[number];
    ck_assert_uint_eq(time_of(&story->file, request, STEP_POP), pop);
    ck_assert_uint_eq(time_of(&story->file, request, STEP_PUSH), push);
    ck_assert_uint_eq(time_of(&story->file, request, STEP_INTERRUPT), interrupt);
}

/* Four requests of a chain, a thousand apart, without the one record of `event` at `time`. */
static struct story make_four(unsigned lost_event, uint64_t lost_time)
{
    static const struct {
        unsigned event, after;
    } steps[] = {{TRACE_QUEUE_KICK, 0},    {TRACE_QUEUE_POP, 1},   {TRACE_REQUEST_ISSUE, 2},
                 {TRACE_REQUEST_DONE, 20}, {TRACE_QUEUE_PUSH, 21}, {TRACE_QUEUE_INTERRUPT, 22}};
    struct story story = {.file = {.ns_per_tick = 1}};
    for (uint64_t start = 0; start < 4000; start += 1000)
        for (size_t i = 0; i < ARRAY_COUNT(steps); i++)
            if (steps[i].event != lost_event || start != lost_time)
                tell(&story, start + steps[i].after, steps[i].event, "disk0", 0, 7);
    find(&story);
    return story;
}

START_TEST(a_lost_push_shifts_no_later_request)
{
    struct story story = make_four(TRACE_QUEUE_PUSH, 1000);
    ck_assert_uint_eq(story.requests.count, 4);
    check_request(&story, 0, 1, 21, 22);
    check_request(&story, 1, 1001, NEVER, NEVER);
    check_request(&story, 2, 2001, 2021, 2022);
    check_request(&story, 3, 3001, 3021, 3022);
    forget(&story);
}
END_TEST

START_TEST(a_lost_pop_takes_no_other_request)
{
    struct story story = make_four(TRACE_QUEUE_POP, 1000);
    ck_assert_uint_eq(story.requests.count, 3);
    check_request(&story, 0, 1, 21, 22);
    check_request(&story, 1, 2001, 2021, 2022);
    check_request(&story, 2, 3001, 3021, 3022);
    forget(&story);
}
END_TEST

START_TEST(lost_steps_of_the_backend_are_of_one_request)
{
    struct story story = make_four(TRACE_REQUEST_DONE, 0);
    for (size_t i = 0; i < 4; i++) {
        const struct request *request = &story.requests.list[i];
        uint64_t start = 1000 * i;
        ck_assert_uint_eq(time_of(&story.file, request, STEP_KICK), start);
        ck_assert_uint_eq(time_of(&story.file, request, STEP_ISSUE), start + 2);
        ck_assert_uint_eq(time_of(&story.file, request, STEP_DONE_BY_BACKEND), i ? start + 20 : NEVER);
        check_request(&story, i, start + 1, start + 21, start + 22);
    }
    forget(&story);
}
END_TEST

START_TEST(queues_and_devices_have_chains_of_their_own)
{
    struct story story = {.file = {.ns_per_tick = 1}};
    tell(&story, 1, TRACE_QUEUE_POP, "disk0", 0, 3);
    tell(&story, 2, TRACE_QUEUE_POP, "disk0", 1, 3);
    tell(&story, 3, TRACE_QUEUE_POP, "disk1", 0, 3);
    tell(&story, 4, TRACE_QUEUE_POP, "disk0", 0, 3 + 1024);
    tell(&story, 5, TRACE_QUEUE_PUSH, "disk1", 0, 3);
    tell(&story, 6, TRACE_QUEUE_PUSH, "disk0", 0, 3 + 1024);
    tell(&story, 7, TRACE_QUEUE_PUSH, "disk0", 1, 3);
    tell(&story, 8, TRACE_QUEUE_INTERRUPT, "disk0", 1, 0);
    tell(&story, 9, TRACE_QUEUE_PUSH, "disk0", 0, 3);
    tell(&story, 10, TRACE_QUEUE_INTERRUPT, "disk0", 0, 0);
    find(&story);
    check_request(&story, 0, 1, 9, 10);
    check_request(&story, 1, 2, 7, 8);
    check_request(&story, 2, 3, 5, NEVER);
    check_request(&story, 3, 4, 6, 10);
    forget(&story);
}
END_TEST

/* A console's chain waits for input all the time; nothing behind it may be looked at over and over. */
START_TEST(a_chain_that_waits_costs_nothing)
{
    struct story story = {.file = {.ns_per_tick = 1}};
    tell(&story, 0, TRACE_QUEUE_POP, "console0", 0, 0);
    for (uint64_t i = 0; i < 3000; i++) {
        tell(&story, 10 * i + 1, TRACE_QUEUE_POP, "disk0", 0, i % 64);
        tell(&story, 10 * i + 5, TRACE_QUEUE_PUSH, "disk0", 0, i % 64);
        if (i % 100 == 99)
            tell(&story, 10 * i + 6, TRACE_QUEUE_INTERRUPT, "disk0", 0, 0);
    }
    find(&story);
    ck_assert_uint_eq(story.requests.count, 3001);
    check_request(&story, 0, 0, NEVER, NEVER);
    check_request(&story, 3000, 29991, 29995, 29996);
    ck_assert_uint_gt(story.requests.looks, 0);
    ck_assert_uint_le(story.requests.looks, 2 * story.file.item_count);
    forget(&story);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_lost_push_shifts_no_later_request);
    test_add(suite, a_lost_pop_takes_no_other_request);
    test_add(suite, lost_steps_of_the_backend_are_of_one_request);
    test_add(suite, queues_and_devices_have_chains_of_their_own);
    test_add(suite, a_chain_that_waits_costs_nothing);
}
