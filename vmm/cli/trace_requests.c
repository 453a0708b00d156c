/* SPDX-License-Identifier: MIT
 *
 * From records to requests: a chain is taken from its queue (pop), goes to the backend and comes back, is
 * given back (push), and the guest is told. The kick that led to it is the last before the pop: where the
 * guest's write arrived on a vCPU's thread, that; else where the device heard of it. An interrupt is that of
 * all chains given back before it, but for those that the guest has used again meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/trace.h"

const char *request_step_name(enum request_step step)
{
    static const char *const names[STEP_COUNT] = {
        [STEP_KICK] = "kick",   [STEP_POP] = "pop",
        [STEP_ISSUE] = "issue", [STEP_DONE_BY_BACKEND] = "complete",
        [STEP_PUSH] = "push",   [STEP_INTERRUPT] = "interrupt",
    };
    return names[step];
}

#define KICK_LIMIT 256

/* What is under way while the records go by. */
struct search {
    struct requests *requests;
    size_t oldest_open; /* all before it are complete */
    size_t capacity;
    struct kick {
        const char *device;
        uint32_t queue;
        size_t item;
        bool is_waiting; /* the guest's write has arrived; the device has not heard of it yet */
    } kicks[KICK_LIMIT];
    unsigned kick_count;
};

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct kick *find_kick(struct search *search, const struct trace_record *record)
{
    for (unsigned i = 0; i < search->kick_count; i++)
        if (search->kicks[i].queue == record->index && is_same(search->kicks[i].device, record->device))
            return &search->kicks[i];
    return NULL;
}

static void note_kick(struct search *search, const struct trace_record *record, size_t item, bool is_cpu)
{
    struct kick *kick = find_kick(search, record);
    if (!kick && search->kick_count < KICK_LIMIT)
        kick = &search->kicks[search->kick_count++];
    if (kick && kick->is_waiting && !is_cpu)
        kick->is_waiting = false;
    else if (kick)
        *kick = (struct kick){record->device, record->index, item, is_cpu};
}

static bool is_closed(const struct request *request)
{
    return request->is_seen || request->steps[STEP_INTERRUPT] != STEP_MISSING;
}

static void skip_closed(struct search *search)
{
    const struct requests *requests = search->requests;
    while (search->oldest_open < requests->count && is_closed(&requests->list[search->oldest_open]))
        search->oldest_open++;
}

/* The guest uses the chain again: it has seen the last request of that chain, and needs no interrupt for it
 * any more. */
static void close_chain(struct search *search, const struct trace_record *record)
{
    struct requests *requests = search->requests;
    for (size_t i = search->oldest_open; i < requests->count; i++) {
        struct request *request = &requests->list[i];
        if (request->chain == record->id && request->queue == record->index &&
            request->steps[STEP_PUSH] != STEP_MISSING && is_same(request->device, record->device))
            request->is_seen = true;
    }
    skip_closed(search);
}

static bool add_request(struct search *search, const struct trace_record *record, size_t item)
{
    struct requests *requests = search->requests;
    close_chain(search, record);
    if (requests->count == search->capacity) {
        size_t capacity = search->capacity ? 2 * search->capacity : 64;
        struct request *list = realloc(requests->list, capacity * sizeof(*list));
        if (!list)
            return false;
        requests->list = list;
        search->capacity = capacity;
    }
    struct request *request = &requests->list[requests->count++];
    *request = (struct request){.device = record->device, .queue = record->index, .chain = record->id};
    for (unsigned step = 0; step < STEP_COUNT; step++)
        request->steps[step] = STEP_MISSING;
    const struct kick *kick = find_kick(search, record);
    if (kick)
        request->steps[STEP_KICK] = kick->item;
    request->steps[STEP_POP] = item;
    return true;
}

/* The oldest request of the chain that has `before` behind it and `step` not yet. */
static void note_step(struct search *search, const struct trace_record *record, enum request_step step,
                      size_t item)
{
    struct requests *requests = search->requests;
    bool has_queue = step == STEP_PUSH;
    for (size_t i = search->oldest_open; i < requests->count; i++) {
        struct request *request = &requests->list[i];
        if (request->chain != record->id || request->steps[step] != STEP_MISSING ||
            request->steps[STEP_PUSH] != STEP_MISSING || !is_same(request->device, record->device) ||
            (has_queue && request->queue != record->index))
            continue;
        request->steps[step] = item;
        return;
    }
}

static void note_interrupt(struct search *search, const struct trace_record *record, size_t item)
{
    struct requests *requests = search->requests;
    for (size_t i = search->oldest_open; i < requests->count; i++) {
        struct request *request = &requests->list[i];
        if (request->steps[STEP_PUSH] != STEP_MISSING && !is_closed(request) &&
            request->queue == record->index && is_same(request->device, record->device))
            request->steps[STEP_INTERRUPT] = item;
    }
    skip_closed(search);
}

bool requests_find(const struct trace_file *file, struct requests *requests)
{
    struct search search = {.requests = requests};
    *requests = (struct requests){.list = NULL};
    for (size_t i = 0; i < file->item_count; i++) {
        const struct trace_record *record = &file->items[i].record;
        switch ((enum trace_event)record->event) {
        case TRACE_QUEUE_KICK:
            note_kick(&search, record, i, file->tracks[file->items[i].track].vcpu >= 0);
            break;
        case TRACE_QUEUE_POP:
            if (!add_request(&search, record, i))
                return false;
            break;
        case TRACE_REQUEST_ISSUE:
            note_step(&search, record, STEP_ISSUE, i);
            break;
        case TRACE_REQUEST_DONE:
            note_step(&search, record, STEP_DONE_BY_BACKEND, i);
            break;
        case TRACE_QUEUE_PUSH:
            note_step(&search, record, STEP_PUSH, i);
            break;
        case TRACE_QUEUE_INTERRUPT:
            note_interrupt(&search, record, i);
            break;
        default:
            break;
        }
    }
    return true;
}

void requests_fini(struct requests *requests)
{
    free(requests->list);
}
