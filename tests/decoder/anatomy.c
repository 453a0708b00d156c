/* SPDX-License-Identifier: MIT
 *
 * Encodings taken apart and put together at random.
 */
#include "tests/decoder/anatomy.h"

#include <string.h>

/* Takes one prefix byte in; false when `byte` is none. */
static bool read_prefix(struct anatomy *anatomy, uint8_t byte, int mode)
{
    if (mode == 64 && (byte & 0xf0) == 0x40) {
        anatomy->lost_rex |= anatomy->rex != 0;
        anatomy->rex = byte;
        return true;
    }
    switch (byte) {
    case 0x66:
        anatomy->operand = true;
        break;
    case 0x67:
        anatomy->address = true;
        break;
    case 0xf0:
        anatomy->lock = true;
        break;
    case 0xf2:
        anatomy->repne = true;
        anatomy->pp = 3;
        break;
    case 0xf3:
        anatomy->rep = true;
        anatomy->pp = 2;
        break;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
        anatomy->segment = byte;
        break;
    default:
        return false;
    }
    anatomy->lost_rex |= anatomy->rex != 0;
    anatomy->rex = 0;
    return true;
}

/* VEX, XOP or EVEX: returns the bytes it takes, 0 when the byte is an ordinary opcode. */
static unsigned read_vector_prefix(struct anatomy *anatomy, const uint8_t *bytes, size_t len, int mode)
{
    if (len < 2 || (bytes[0] != 0xc5 && bytes[0] != 0xc4 && bytes[0] != 0x62 && bytes[0] != 0x8f))
        return 0;
    if (bytes[0] == 0x8f ? (bytes[1] & 0x1f) < 8 : mode != 64 && bytes[1] < 0xc0)
        return 0;
    unsigned count = bytes[0] == 0xc5 ? 1 : bytes[0] == 0x62 ? 3 : 2;
    for (unsigned i = 0; i < count && i + 1 < len; i++)
        anatomy->payload[i] = bytes[i + 1];
    const uint8_t *payload = anatomy->payload;
    uint8_t low = payload[bytes[0] == 0xc5 ? 0 : 1];
    anatomy->encoding = bytes[0] == 0x62 ? ANATOMY_EVEX : bytes[0] == 0x8f ? ANATOMY_XOP : ANATOMY_VEX;
    anatomy->map = bytes[0] == 0xc5 ? 1 : payload[0] & (bytes[0] == 0x62 ? 7 : 31);
    anatomy->pp = low & 3;
    anatomy->w = bytes[0] != 0xc5 && low & 0x80;
    anatomy->vvvv = ~low >> 3 & 15;
    anatomy->l = low >> 2 & 1;
    if (bytes[0] == 0x62) {
        anatomy->l = payload[2] >> 5 & 3;
        anatomy->vvvv |= payload[2] & 8 ? 0 : 16;
    }
    return count + 1;
}

static size_t read_legacy_escape(struct anatomy *anatomy, const uint8_t *bytes, size_t len)
{
    if (anatomy->pp == 0 && anatomy->operand)
        anatomy->pp = 1;
    anatomy->w = anatomy->rex & 8;
    if (len < 2 || bytes[0] != 0x0f)
        return 0;
    anatomy->map = bytes[1] == 0x38 ? 2 : bytes[1] == 0x3a ? 3 : bytes[1] == 0x0f ? 15 : 1;
    return anatomy->map == 2 || anatomy->map == 3 ? 2 : 1;
}

void anatomy_read(struct anatomy *anatomy, const uint8_t *bytes, size_t len, int mode)
{
    size_t at = 0;
    memset(anatomy, 0, sizeof(*anatomy));
    while (at < len && read_prefix(anatomy, bytes[at], mode))
        at++;
    anatomy->prefix_count = (uint8_t)at;
    size_t used = read_vector_prefix(anatomy, bytes + at, len - at, mode);
    if (!used)
        used = read_legacy_escape(anatomy, bytes + at, len - at);
    at += used;
    anatomy->is_cut = at + 2 > len;
    anatomy->opcode = at < len ? bytes[at] : 0;
    anatomy->modrm = at + 1 < len ? bytes[at + 1] : 0;
}

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static unsigned random_below(uint64_t *state, unsigned limit)
{
    return (unsigned)((random_next(state) >> 32) * limit >> 32);
}

static bool random_chance(uint64_t *state, unsigned percent)
{
    return random_below(state, 100) < percent;
}

static unsigned put_prefixes(uint64_t *state, int mode, uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e,
                                       0x36, 0x3e, 0x64, 0x65, 0x66, 0xf3, 0x67};
    unsigned count = random_chance(state, 55) ? 0 : 1 + random_below(state, random_chance(state, 5) ? 14 : 3);
    for (unsigned i = 0; i < count; i++) {
        bytes[i] = prefixes[random_below(state, sizeof(prefixes))];
        if (mode == 64 && random_chance(state, 4))
            bytes[i] = (uint8_t)(0x40 | random_below(state, 16));
    }
    if (mode == 64 && count < 14 && random_chance(state, 35))
        bytes[count++] = (uint8_t)(0x40 | random_below(state, 16));
    return count;
}

/* Mostly vvvv unused and registers below 8; now and then anything at all. */
static unsigned put_vector_prefix(uint64_t *state, int mode, uint8_t *bytes)
{
    uint8_t low = (uint8_t)random_next(state);
    if (random_chance(state, 50))
        low |= 0x78;
    uint8_t high = random_chance(state, mode == 64 ? 50 : 95) ? 0xe0 : (uint8_t)(random_next(state) & 0xe0);
    unsigned kind = random_below(state, 10);
    if (kind < 2) {
        bytes[0] = 0xc5;
        bytes[1] = mode == 64 ? low : low | 0xc0;
        return 2;
    }
    if (kind < 5) {
        bytes[0] = kind == 4 && random_chance(state, 50) ? 0x8f : 0xc4;
        uint8_t map = (uint8_t)(bytes[0] == 0x8f ? 8 + random_below(state, 3) : 1 + random_below(state, 3));
        bytes[1] = high | (random_chance(state, 5) ? (uint8_t)random_below(state, 32) : map);
        bytes[2] = low;
        return 3;
    }
    static const uint8_t maps[] = {1, 1, 2, 2, 2, 3, 3, 5, 6};
    bytes[0] = 0x62;
    bytes[1] = (uint8_t)(high | 0x10 |
                         (random_chance(state, 3) ? random_below(state, 16) : maps[random_below(state, 9)]));
    if (random_chance(state, 10))
        bytes[1] ^= 0x10;
    bytes[2] = random_chance(state, 98) ? low | 4 : low;
    uint8_t third = (uint8_t)random_next(state);
    bytes[3] = random_chance(state, 50) ? (uint8_t)((third & 0x60) | 8)
                                        : third | (random_chance(state, 70) ? 8 : 0);
    return 4;
}

static unsigned put_legacy_escape(uint64_t *state, uint8_t *bytes)
{
    unsigned kind = random_below(state, 10);
    if (kind < 4)
        return 0;
    bytes[0] = 0x0f;
    if (kind < 7)
        return 1;
    bytes[1] = kind < 9 ? 0x38 : random_chance(state, 85) ? 0x3a : 0x0f;
    return 2;
}

/* ModRM and SIB, with the shapes that have rules of their own made likelier: rm 4 and 5, index 4, base 5. */
static void put_modrm(uint64_t *state, uint8_t *bytes)
{
    if (random_chance(state, 25))
        bytes[0] |= 0xc0;
    else if (random_chance(state, 30))
        bytes[0] = (bytes[0] & 0xf8) | (random_chance(state, 70) ? 4 : 5);
    if (random_chance(state, 20))
        bytes[1] = (bytes[1] & 0xc0) |
                   (uint8_t)(random_chance(state, 50) ? 0x20 | (bytes[1] & 7) : 5 | (bytes[1] & 0x38));
}

void random_encoding(uint64_t *state, int mode, uint8_t bytes[16])
{
    uint64_t tail[3] = {random_next(state), random_next(state), random_next(state)};
    uint8_t buffer[40];
    memcpy(buffer, tail, 24);
    memcpy(buffer + 24, tail, 16);
    /* Vector encodings mostly without the prefixes that make them invalid. */
    bool is_vector = random_chance(state, 40);
    unsigned at = is_vector && random_chance(state, 85) ? 0 : put_prefixes(state, mode, buffer);
    if (is_vector && at == 0 && random_chance(state, 20))
        buffer[at++] = random_chance(state, 50) ? 0x67 : 0x64;
    at += is_vector ? put_vector_prefix(state, mode, buffer + at) : put_legacy_escape(state, buffer + at);
    put_modrm(state, buffer + at + 1);
    memcpy(bytes, buffer, 16);
}
