/* SPDX-License-Identifier: MIT
 *
 * One load into fresh guest memory, and looking at what came of it.
 */
#ifndef TESTS_BOOT_FIXTURE_H
#define TESTS_BOOT_FIXTURE_H

#include <string.h>

#include "base/bytes.h"
#include "tests/boot/images.h"
#include "tests/harness.h"

struct fixture {
    struct guest_memory *memory;
    uint8_t bytes[IMAGE_LIMIT];
    struct boot_image image;
    struct boot_config config;
    struct boot_state state;
    struct vmm_error error;
};

static inline void fixture_init(struct fixture *fixture, uint64_t ram_bytes)
{
    *fixture = (struct fixture){.image = {.bytes = fixture->bytes, .name = "test.img"}};
    ck_assert_int_eq(guest_memory_create(ram_bytes, MEMORY_ANONYMOUS, &fixture->memory, NULL), 0);
}

static inline void fixture_fini(struct fixture *fixture)
{
    guest_memory_destroy(fixture->memory);
}

static inline int fixture_load(struct fixture *fixture)
{
    return boot_load(&fixture->image, &fixture->config, fixture->memory, &fixture->state, &fixture->error);
}

static inline void fixture_must_load(struct fixture *fixture)
{
    int result = fixture_load(fixture);
    ck_assert_msg(result == 0, "%s", fixture->error.message);
}

/* The load is refused with a message that contains `text`, and begins with the image's name. */
static inline void fixture_must_refuse(struct fixture *fixture, int code, const char *text)
{
    fixture->error = (struct vmm_error){0};
    int result = fixture_load(fixture);
    const char *message = fixture->error.message;
    ck_assert_msg(result == code && fixture->error.code == code, "%d instead of %d: %s", result, code,
                  message);
    ck_assert_msg(strstr(message, text) != NULL, "\"%s\" is not in: %s", text, message);
    ck_assert_msg(!strncmp(message, fixture->image.name, strlen(fixture->image.name)), "no name: %s",
                  message);
}

static inline uint64_t fixture_read(const struct fixture *fixture, gpa_t gpa, unsigned size)
{
    uint64_t value = 0;
    ck_assert_int_eq(guest_mem_read(fixture->memory, gpa, &value, size), 0);
    return value;
}

static inline void fixture_check_string(const struct fixture *fixture, gpa_t gpa, const char *text)
{
    char found[256] = {0};
    ck_assert_int_eq(guest_mem_read(fixture->memory, gpa, found, strlen(text) + 1), 0);
    ck_assert_str_eq(found, text);
}

#endif
