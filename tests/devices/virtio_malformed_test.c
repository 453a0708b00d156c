/* SPDX-License-Identifier: MIT
 *
 * What a hostile driver puts into a ring, each with its outcome. A chain that breaks a rule comes back with
 * nothing written, where it has a head that can be named, and the queue is broken from then on (virtio 1.2
 * 2.1.2 makes that NEEDS_RESET). What the specification allows, however odd, is a chain.
 */
#include "base/bytes.h"
#include "devices/virtio/queue.h"
#include "tests/devices/fake.h"

#define RAM_BYTES (8 * MIB)
#define RING_GPA  0x1000u
#define AVAIL_GPA 0x2000u
#define USED_GPA  0x3000u
#define TABLE_GPA 0x4000u
#define DATA_GPA  0x8000u
#define SIZE      4u

#define N 1u /* NEXT */
#define W 2u /* WRITE */
#define I 4u /* INDIRECT */

struct raw {
    uint64_t address;
    uint32_t len;
    uint16_t flags;
    uint16_t other; /* split: next; packed: the buffer ID */
};

struct malformed {
    const char *name;
    struct raw ring[SIZE], table[4];
    uint16_t head, idx; /* split: avail ring[0], and idx where it is not 1 */
    bool no_indirect;
    unsigned capacity; /* 0: 8 */
    const char *broken;
    bool is_lost; /* broken, and not given back */
    uint64_t out_bytes, in_bytes;
};

#define D(at, len, flags, other)           \
    {                                      \
        DATA_GPA + (at), len, flags, other \
    }
#define T(count, flags)                    \
    {                                      \
        TABLE_GPA, 16u * (count), flags, 0 \
    }

static const struct malformed split_list[] = {
    {"one to read", {D(0, 10, 0, 0)}, .out_bytes = 10},
    {"one to write", {D(0, 10, W, 0)}, .in_bytes = 10},
    {"next without NEXT is nothing", {D(0, 10, 0, 0xffff)}, .out_bytes = 10},
    {"all of the ring", {D(0, 1, N, 1), D(0, 1, N, 2), D(0, 1, N, 3), D(0, 1, 0, 0)}, .out_bytes = 4},
    {"the same buffer twice", {D(0, 8, N, 1), D(0, 8, W, 0)}, .out_bytes = 8, .in_bytes = 8},
    {"a buffer over the ring itself", {{RING_GPA, 64, W, 0}}, .in_bytes = 64},
    {"nothing at all", {D(0, 0, 0, 0)}},
    {"nothing, at an address that is not RAM", {{UINT64_MAX, 0, 0, 0}}},
    {"unknown flags", {D(0, 10, 0xfff8, 0)}, .out_bytes = 10},
    {"a head behind the table", .head = SIZE, .broken = "a head outside", .is_lost = true},
    {"a head of 65535", .head = 0xffff, .broken = "a head outside", .is_lost = true},
    {"itself as the next", {D(0, 1, N, 0)}, .broken = "never ends"},
    {"a loop of two", {D(0, 1, N, 1), D(0, 1, N, 0)}, .broken = "never ends"},
    {"a loop of nothing", {D(0, 0, N, 0)}, .broken = "never ends"},
    {"a next behind the table", {D(0, 1, N, SIZE)}, .broken = "next descriptor outside"},
    {"a next of 65535", {D(0, 1, N, 0xffff)}, .broken = "next descriptor outside"},
    {"to write, then to read", {D(0, 1, N | W, 1), D(0, 1, 0, 0)}, .broken = "behind one to write"},
    {"to write, then nothing to read", {D(0, 1, N | W, 1), D(0, 0, 0, 0)}, .broken = "behind one to write"},
    {"outside RAM", {{RAM_BYTES, 1, 0, 0}}, .broken = "outside RAM"},
    {"the last byte outside RAM", {{RAM_BYTES - 9, 10, 0, 0}}, .broken = "outside RAM"},
    {"up to the end of RAM", {{RAM_BYTES - 10, 10, 0, 0}}, .out_bytes = 10},
    {"around the end of addresses", {{UINT64_MAX - 4, 10, 0, 0}}, .broken = "outside RAM"},
    {"4 GiB at once", {D(0, UINT32_MAX, 0, 0)}, .broken = "outside RAM"},
    {"more segments than there is room for",
     {D(0, 1, N, 1), D(0, 1, N, 2), D(0, 1, 0, 0)},
     .capacity = 2,
     .broken = "too many buffers"},
    {"an index that ran away", {D(0, 1, 0, 0)}, .idx = 1000, .broken = "more available", .is_lost = true},
    {"an index that went back", {D(0, 1, 0, 0)}, .idx = 0xffff, .broken = "more available", .is_lost = true},
    {"an index one too far", {D(0, 1, 0, 0)}, .idx = SIZE + 1, .broken = "more available", .is_lost = true},
    {"an indirect table", {T(2, I)}, {D(0, 3, N, 1), D(0, 5, W, 0)}, .out_bytes = 3, .in_bytes = 5},
    {"an indirect table behind a buffer", {D(0, 3, N, 1), T(1, I)}, {D(0, 5, 0, 0)}, .out_bytes = 8},
    {"an indirect table that is written to says nothing", {T(1, I | W)}, {D(0, 3, 0, 0)}, .out_bytes = 3},
    {"an indirect table, longer than the ring",
     {D(0, 1, N, 1), D(0, 1, N, 2), D(0, 1, N, 3), T(4, I)},
     {D(0, 1, N, 1), D(0, 1, N, 2), D(0, 1, N, 3), D(0, 1, 0, 0)},
     .out_bytes = 7},
    {"an indirect table that was not negotiated",
     {T(1, I)},
     {D(0, 3, 0, 0)},
     .no_indirect = true,
     .broken = "not negotiated"},
    {"an indirect table with a next", {T(1, I | N)}, {D(0, 3, 0, 0)}, .broken = "inside or before"},
    {"an indirect table in another", {T(1, I)}, {T(1, I)}, .broken = "inside or before"},
    {"an indirect table of no bytes", {{TABLE_GPA, 0, I, 0}}, .broken = "no whole"},
    {"an indirect table of 17 bytes", {{TABLE_GPA, 17, I, 0}}, .broken = "no whole"},
    {"an indirect table of 2^28 entries", {{TABLE_GPA, UINT32_MAX - 15, I, 0}}, .broken = "too long"},
    {"an indirect table outside RAM", {{RAM_BYTES - 16, 32, I, 0}}, .broken = "table outside RAM"},
    {"an indirect table with a loop", {T(2, I)}, {D(0, 1, N, 1), D(0, 1, N, 0)}, .broken = "never ends"},
    {"an indirect table with a next behind it", {T(2, I)}, {D(0, 1, N, 2)}, .broken = "next descriptor"},
    {"an indirect table that is not aligned", {{TABLE_GPA + 1, 16, I, 0}}, .out_bytes = 0},
    {"the ring as its own indirect table", {{RING_GPA, 64, I, 0}}, .broken = "inside or before"},
};

static const struct malformed packed_list[] = {
    {"one to read", {D(0, 10, 0, 7)}, .out_bytes = 10},
    {"one to write", {D(0, 10, W, 7)}, .in_bytes = 10},
    {"the ID of 65535", {D(0, 10, 0, 0xffff)}, .out_bytes = 10},
    {"all of the ring", {D(0, 1, N, 0), D(0, 1, N, 0), D(0, 1, N, 0), D(0, 1, 0, 9)}, .out_bytes = 4},
    {"the same buffer twice", {D(0, 8, N, 0), D(0, 8, W, 0)}, .out_bytes = 8, .in_bytes = 8},
    {"nothing at all", {D(0, 0, 0, 0)}},
    {"unknown flags", {D(0, 10, 0x7f78, 0)}, .out_bytes = 10},
    {"a chain around the ring",
     {D(0, 1, N, 0), D(0, 1, N, 0), D(0, 1, N, 0), D(0, 1, N, 0)},
     .broken = "never ends"},
    {"to write, then to read", {D(0, 1, N | W, 0), D(0, 1, 0, 0)}, .broken = "behind one to write"},
    {"outside RAM", {{RAM_BYTES, 1, 0, 0}}, .broken = "outside RAM"},
    {"around the end of addresses", {{UINT64_MAX - 4, 10, 0, 0}}, .broken = "outside RAM"},
    {"more segments than there is room for",
     {D(0, 1, N, 0), D(0, 1, N, 0), D(0, 1, 0, 0)},
     .capacity = 2,
     .broken = "too many buffers"},
    {"an indirect table", {T(2, I)}, {D(0, 3, 0, 0), D(0, 5, W, 0)}, .out_bytes = 3, .in_bytes = 5},
    {"an indirect table whose flags but WRITE are nothing",
     {T(2, I)},
     {D(0, 3, N, 9), D(0, 5, W | N, 9)},
     .out_bytes = 3,
     .in_bytes = 5},
    {"an indirect table that was not negotiated",
     {T(1, I)},
     {D(0, 3, 0, 0)},
     .no_indirect = true,
     .broken = "not negotiated"},
    {"an indirect table with a next", {T(1, I | N), D(0, 1, 0, 0)}, {D(0, 3, 0, 0)}, .broken = "several"},
    {"an indirect table behind a buffer", {D(0, 3, N, 0), T(1, I)}, {D(0, 5, 0, 0)}, .broken = "several"},
    {"an indirect table in another", {T(1, I)}, {T(1, I)}, .broken = "inside another"},
    {"an indirect table of no bytes", {{TABLE_GPA, 0, I, 0}}, .broken = "no whole"},
    {"an indirect table of 15 bytes", {{TABLE_GPA, 15, I, 0}}, .broken = "no whole"},
    {"an indirect table of 2^28 entries", {{TABLE_GPA, UINT32_MAX - 15, I, 0}}, .broken = "too long"},
    {"an indirect table outside RAM", {{RAM_BYTES - 16, 32, I, 0}}, .broken = "table outside RAM"},
    {"to write, then to read, in a table",
     {T(2, I)},
     {D(0, 3, W, 0), D(0, 5, 0, 0)},
     .broken = "behind one to write"},
};

struct world {
    struct guest_memory *memory;
    uint8_t *ram;
    struct queue queue;
    bool is_packed;
};

static void put_raw(struct world *world, gpa_t gpa, const struct raw *raw, uint16_t flags)
{
    uint8_t *bytes = world->ram + gpa;
    store_le64(bytes, raw->address);
    store_le32(bytes + 8, raw->len);
    store_le16(bytes + 12, world->is_packed ? raw->other : flags);
    store_le16(bytes + 14, world->is_packed ? flags : raw->other);
}

static void create(struct world *world, bool is_packed, bool has_indirect)
{
    *world = (struct world){.is_packed = is_packed};
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &world->memory, NULL), 0);
    world->ram = guest_mem_ptr(world->memory, 0, RAM_BYTES);
    const struct queue_config config = {.memory = world->memory,
                                        .size = SIZE,
                                        .is_packed = is_packed,
                                        .has_indirect = has_indirect,
                                        .descriptor = RING_GPA,
                                        .driver = AVAIL_GPA,
                                        .device = USED_GPA};
    ck_assert_int_eq(queue_start(&world->queue, &config), 0);
}

static void put_case(struct world *world, const struct malformed *it)
{
    for (unsigned i = 0; i < SIZE; i++)
        put_raw(world, RING_GPA + 16 * i, &it->ring[i],
                (uint16_t)(it->ring[i].flags | (world->is_packed ? 0x80 : 0)));
    for (unsigned i = 0; i < ARRAY_COUNT(it->table); i++)
        put_raw(world, TABLE_GPA + 16 * i, &it->table[i], it->table[i].flags);
    if (world->is_packed)
        return;
    store_le16(world->ram + AVAIL_GPA + 4, it->head);
    store_le16(world->ram + AVAIL_GPA + 2, it->idx ? it->idx : 1);
}

/* Whether the first chain has come back with `written` bytes. */
static bool came_back(const struct world *world, uint32_t written)
{
    if (!world->is_packed)
        return load_le16(world->ram + USED_GPA + 2) == 1 && load_le32(world->ram + USED_GPA + 8) == written;
    const uint8_t *first = world->ram + RING_GPA;
    return (load_le16(first + 14) & 0x8080) == 0x8080 && load_le32(first + 8) == written;
}

static void check_broken(struct world *world, const struct malformed *it, struct queue_chain *chain)
{
    ck_assert_msg(world->queue.broken && strstr(world->queue.broken, it->broken), "%s: '%s'", it->name,
                  world->queue.broken ? world->queue.broken : "not broken");
    ck_assert_msg(came_back(world, 0) == !it->is_lost, "%s: given back", it->name);
    ck_assert_int_eq(queue_pop(&world->queue, chain), QUEUE_BROKEN);
    ck_assert(queue_kicks_on(&world->queue));
}

static void check_case(const struct malformed *it, bool is_packed)
{
    struct world world;
    struct iovec segments[8];
    struct queue_chain chain = {.segments = segments, .capacity = it->capacity ? it->capacity : 8};
    create(&world, is_packed, !it->no_indirect);
    put_case(&world, it);
    enum queue_answer answer = queue_pop(&world.queue, &chain);
    ck_assert_msg(answer == (it->broken ? QUEUE_BROKEN : QUEUE_CHAIN), "%s: %d, %s", it->name, (int)answer,
                  world.queue.broken);
    if (it->broken) {
        check_broken(&world, it, &chain);
    } else {
        ck_assert_msg(chain.out_bytes == it->out_bytes && chain.in_bytes == it->in_bytes, "%s", it->name);
        queue_push(&world.queue, &chain, it->in_bytes);
        ck_assert_msg(came_back(&world, (uint32_t)it->in_bytes), "%s", it->name);
    }
    queue_stop(&world.queue);
    guest_memory_destroy(world.memory);
}

START_TEST(split_chains_that_break_rules)
{
    for (unsigned i = 0; i < ARRAY_COUNT(split_list); i++)
        check_case(&split_list[i], false);
}
END_TEST

START_TEST(packed_chains_that_break_rules)
{
    for (unsigned i = 0; i < ARRAY_COUNT(packed_list); i++)
        check_case(&packed_list[i], true);
}
END_TEST

/* Entries that are in flight cannot become available again. */
START_TEST(no_more_in_flight_than_the_ring_has)
{
    static const struct malformed one = {"one", {D(0, 1, 0, 0), D(0, 1, 0, 1), D(0, 1, 0, 2), D(0, 1, 0, 3)}};
    for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
        struct world world;
        struct iovec segment;
        struct queue_chain chain = {.segments = &segment, .capacity = 1};
        create(&world, is_packed, false);
        put_case(&world, &one);
        store_le16(world.ram + AVAIL_GPA + 2, SIZE);
        for (unsigned i = 0; i < SIZE; i++)
            ck_assert_int_eq(queue_pop(&world.queue, &chain), QUEUE_CHAIN);
        ck_assert_int_eq(queue_pop(&world.queue, &chain), QUEUE_EMPTY);
        store_le16(world.ram + AVAIL_GPA + 2, SIZE + 1);
        for (unsigned i = 0; is_packed && i < SIZE; i++) /* available in the next round */
            put_raw(&world, RING_GPA + 16 * i, &one.ring[i], 0x8000);
        ck_assert_int_eq(queue_pop(&world.queue, &chain), QUEUE_BROKEN);
        ck_assert_str_eq(world.queue.broken, "more available than the ring holds");
        queue_push(&world.queue, &chain, 0); /* what was popped before is finished all the same */
        queue_stop(&world.queue);
        guest_memory_destroy(world.memory);
    }
}
END_TEST

/* 2^32 bytes are the most of one chain (2.7.5): a table of descriptors that are all of RAM each. */
static enum queue_answer pop_big(bool is_packed, unsigned count)
{
    static struct iovec segments[QUEUE_CHAIN_MAX];
    static const struct raw all = {.len = RAM_BYTES};
    struct world world;
    struct queue_chain chain = {.segments = segments, .capacity = QUEUE_CHAIN_MAX};
    const struct malformed table = {"table", {{DATA_GPA, 16 * count, I, 0}}};
    create(&world, is_packed, true);
    put_case(&world, &table);
    for (unsigned i = 0; i < count; i++) {
        struct raw entry = all;
        entry.other = (uint16_t)(i + 1);
        put_raw(&world, DATA_GPA + 16 * i, &entry, !is_packed && i + 1 < count ? N : 0);
    }
    enum queue_answer answer = queue_pop(&world.queue, &chain);
    queue_stop(&world.queue);
    guest_memory_destroy(world.memory);
    return answer;
}

START_TEST(no_chain_of_more_than_4_gib)
{
    const unsigned count = (unsigned)(4 * GIB / RAM_BYTES);
    for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
        ck_assert_int_eq(pop_big(is_packed, count), QUEUE_CHAIN);
        ck_assert_int_eq(pop_big(is_packed, count + 1), QUEUE_BROKEN);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, split_chains_that_break_rules);
    test_add(suite, packed_chains_that_break_rules);
    test_add(suite, no_more_in_flight_than_the_ring_has);
    test_add(suite, no_chain_of_more_than_4_gib);
}
