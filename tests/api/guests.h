/* SPDX-License-Identifier: MIT
 *
 * A machine with a few bytes of 16-bit code, for the tests of libvmm: made as a user of the library would.
 */
#ifndef TESTS_API_GUESTS_H
#define TESTS_API_GUESTS_H

#include <string.h>

#include "include/libvmm.h"
#include "tests/harness.h"
#include "tests/mmio_way.h"

/* mov al, VALUE; out 0xf4, al */
#define DEBUG_EXIT(value) "\xb0" value "\xe6\xf4"

/* The counter at COUNTER_GPA goes up for ever: inc dword [0x500]; jmp back. */
#define COUNTER_LOOP "\x66\xff\x06\x00\x05\xeb\xf9"
#define COUNTER_GPA  0x500

struct guest_log {
    char text[20000];
};

static inline void guest_log_line(void *context, enum vmm_log_level level, const char *line)
{
    struct guest_log *log = context;
    size_t len = strlen(log->text);
    (void)level;
    if (len + strlen(line) + 2 < sizeof(log->text)) {
        strcpy(log->text + len, line);
        strcat(log->text, "\n");
    }
}

/* A machine with 1 MiB (unless `config` says otherwise), a debug-exit port, and the code loaded at 0x7c00. */
static inline struct vmm *guest_create(const struct vmm_config *config, const char *code, size_t len)
{
    struct vmm_config own = test_mmio_config(config ? *config : (struct vmm_config){0});
    struct vmm_image image = {.bytes = code, .len = len, .flat = VMM_FLAT_REAL16};
    struct vmm *machine;
    struct vmm_error error = {0};
    if (!own.ram_bytes)
        own.ram_bytes = 1 << 20;
    int result = vmm_create(&own, &machine, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    ck_assert_int_eq(vmm_add_debug_exit(machine, 0xf4, &error), 0);
    result = vmm_load(machine, &image, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    return machine;
}

static inline struct vmm_end guest_run(struct vmm *machine)
{
    struct vmm_end end = {0};
    struct vmm_error error = {0};
    int result = vmm_run(machine, &end, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    return end;
}

#endif
