/* SPDX-License-Identifier: MIT
 *
 * From records to requests: a chain is taken from its queue (pop), goes to the backend and comes back, is
 * given back (push), and the guest is told. The kick that led to it is the last before the pop: where the
 * guest's write arrived on a vCPU's thread, that; else where the device heard of it. An interrupt is that of
 * all chains given back before it, but for those that the guest has used again meanwhile. Records may be
 * missing: a chain that is taken again has ended before, whether that was recorded or not.
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

#define QUEUE_LIMIT  256 /* requests of further ones have neither kick nor interrupt */
#define BUCKET_COUNT 1024
#define NO_REQUEST   SIZE_MAX

struct queue {
    const char *device;
    uint32_t index;
    size_t kick;     /* the last one's item, or STEP_MISSING */
    bool is_waiting; /* the guest's write has arrived; the device has not heard of it yet */
    size_t pushed;   /* the newest of the requests that wait for the interrupt */
};

/* What is under way while the records go by. */
struct search {
    struct requests *requests;
    size_t capacity;
    struct queue queues[QUEUE_LIMIT];
    unsigned queue_count;
    size_t buckets[BUCKET_COUNT]; /* by chain: the last request of each chain of a queue, the newest first */
};

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The record's queue; NULL where there are too many. */
static struct queue *find_queue(struct search *search, const struct trace_record *record)
{
    for (unsigned i = 0; i < search->queue_count; i++)
        if (search->queues[i].index == record->index && is_same(search->queues[i].device, record->device))
            return &search->queues[i];
    if (search->queue_count == QUEUE_LIMIT)
        return NULL;
    struct queue *queue = &search->queues[search->queue_count++];
    *queue = (struct queue){record->device, record->index, STEP_MISSING, false, NO_REQUEST};
    return queue;
}

static void note_kick(struct search *search, const struct trace_record *record, size_t item, bool is_cpu)
{
    struct queue *queue = find_queue(search, record);
    if (queue && (is_cpu || !queue->is_waiting))
        queue->kick = item;
    if (queue)
        queue->is_waiting = is_cpu;
}

static size_t *find_bucket(struct search *search, const struct trace_record *record)
{
    return &search->buckets[record->id % BUCKET_COUNT];
}

/* Where the last request of the record's chain and queue hangs; NO_REQUEST is there if there is none. */
static size_t *find_link(struct search *search, const struct trace_record *record)
{
    struct requests *requests = search->requests;
    size_t *link = find_bucket(search, record);
    for (; *link != NO_REQUEST; link = &requests->list[*link].next_in_bucket) {
        const struct request *request = &requests->list[*link];
        requests->looks++;
        if (request->chain == record->id && request->queue == record->index &&
            is_same(request->device, record->device))
            break;
    }
    return link;
}

/* The guest uses the chain again: it has seen the last request of that chain, and needs no interrupt for it
 * any more. */
static void close_chain(struct search *search, const struct trace_record *record)
{
    size_t *link = find_link(search, record);
    if (*link == NO_REQUEST)
        return;
    struct request *request = &search->requests->list[*link];
    request->is_seen = true;
    *link = request->next_in_bucket;
}

static bool grow_list(struct search *search)
{
    size_t capacity = search->capacity ? 2 * search->capacity : 64;
    struct request *list = realloc(search->requests->list, capacity * sizeof(*list));
    if (!list)
        return false;
    search->requests->list = list;
    search->capacity = capacity;
    return true;
}

static bool add_request(struct search *search, const struct trace_record *record, size_t item)
{
    struct requests *requests = search->requests;
    if (requests->count == search->capacity && !grow_list(search))
        return false;
    close_chain(search, record);
    size_t *bucket = find_bucket(search, record);
    struct request *request = &requests->list[requests->count];
    *request = (struct request){.device = record->device,
                                .queue = record->index,
                                .chain = record->id,
                                .next_in_bucket = *bucket,
                                .next_pushed = NO_REQUEST};
    *bucket = requests->count++;
    for (unsigned step = 0; step < STEP_COUNT; step++)
        request->steps[step] = STEP_MISSING;
    const struct queue *queue = find_queue(search, record);
    if (queue)
        request->steps[STEP_KICK] = queue->kick;
    request->steps[STEP_POP] = item;
    return true;
}

/* The backend knows the chain, and not its queue: of several, the oldest that has not been there yet. */
static void note_backend(struct search *search, const struct trace_record *record, enum request_step step,
                         size_t item)
{
    struct requests *requests = search->requests;
    struct request *oldest = NULL;
    for (size_t i = *find_bucket(search, record); i != NO_REQUEST; i = requests->list[i].next_in_bucket) {
        struct request *request = &requests->list[i];
        requests->looks++;
        if (request->chain == record->id && request->steps[step] == STEP_MISSING &&
            request->steps[STEP_PUSH] == STEP_MISSING && is_same(request->device, record->device))
            oldest = request;
    }
    if (oldest)
        oldest->steps[step] = item;
}

static void note_push(struct search *search, const struct trace_record *record, size_t item)
{
    struct queue *queue = find_queue(search, record);
    size_t i = *find_link(search, record);
    if (i == NO_REQUEST || search->requests->list[i].steps[STEP_PUSH] != STEP_MISSING)
        return;
    struct request *request = &search->requests->list[i];
    request->steps[STEP_PUSH] = item;
    if (!queue)
        return;
    request->next_pushed = queue->pushed;
    queue->pushed = i;
}

static void note_interrupt(struct search *search, const struct trace_record *record, size_t item)
{
    struct requests *requests = search->requests;
    struct queue *queue = find_queue(search, record);
    for (size_t i = queue ? queue->pushed : NO_REQUEST; i != NO_REQUEST; i = requests->list[i].next_pushed) {
        requests->looks++;
        if (!requests->list[i].is_seen)
            requests->list[i].steps[STEP_INTERRUPT] = item;
    }
    if (queue)
        queue->pushed = NO_REQUEST;
}

bool requests_find(const struct trace_file *file, struct requests *requests)
{
    struct search search = {.requests = requests};
    *requests = (struct requests){.list = NULL};
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        search.buckets[i] = NO_REQUEST;
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
            note_backend(&search, record, STEP_ISSUE, i);
            break;
        case TRACE_REQUEST_DONE:
            note_backend(&search, record, STEP_DONE_BY_BACKEND, i);
            break;
        case TRACE_QUEUE_PUSH:
            note_push(&search, record, i);
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
