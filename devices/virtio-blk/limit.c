/* SPDX-License-Identifier: MIT
 *
 * Token buckets, in integers: a token is a billion, so that a nanosecond brings `rate`.
 */
#include "devices/virtio-blk/limit.h"

#define BILLION   1000000000ll
#define RATE_MAX  (1ull << 40) /* more is no limit for anything */
#define FULL_PART 10           /* of a second */

static void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t now_ns)
{
    *bucket = (struct bucket){.rate = rate > RATE_MAX ? RATE_MAX : rate, .filled = now_ns};
}

static __int128 full(const struct bucket *bucket)
{
    __int128 tokens = (__int128)bucket->rate * BILLION / FULL_PART;
    return tokens > BILLION ? tokens : BILLION;
}

static void fill(struct bucket *bucket, uint64_t now_ns)
{
    __int128 tokens = bucket->tokens + (__int128)bucket->rate * (now_ns - bucket->filled);
    __int128 limit = full(bucket) > INT64_MAX / 2 ? INT64_MAX / 2 : full(bucket);
    bucket->tokens = (int64_t)(tokens > limit ? limit : tokens);
    bucket->filled = now_ns;
}

static uint64_t wait_ns(struct bucket *bucket, uint64_t now_ns)
{
    if (!bucket->rate)
        return 0;
    fill(bucket, now_ns);
    return bucket->tokens >= 0 ? 0 : (uint64_t)-bucket->tokens / bucket->rate + 1;
}

/* A debt that is more than a day's is a day's. */
static void take(struct bucket *bucket, uint64_t count)
{
    if (!bucket->rate)
        return;
    __int128 tokens = bucket->tokens - (__int128)count * BILLION;
    bucket->tokens = (int64_t)(tokens < INT64_MIN / 2 ? INT64_MIN / 2 : tokens);
}

void limit_init(struct limit *limit, uint64_t operations, uint64_t bytes, uint64_t now_ns)
{
    bucket_init(&limit->operations, operations, now_ns);
    bucket_init(&limit->bytes, bytes, now_ns);
}

uint64_t limit_wait_ns(struct limit *limit, uint64_t now_ns)
{
    uint64_t operations = wait_ns(&limit->operations, now_ns), bytes = wait_ns(&limit->bytes, now_ns);
    return operations > bytes ? operations : bytes;
}

void limit_take(struct limit *limit, uint64_t bytes)
{
    take(&limit->operations, 1);
    take(&limit->bytes, bytes);
}
