/* SPDX-License-Identifier: MIT
 *
 * What one decoder says about some bytes, in common terms, so that three of them can be compared: ours, Zydis
 * and Capstone. The terms are those of `vmm decode --format json`: memory operands are the explicit ones and
 * the implicit ones of string instructions, never the stack. The two libraries are used by tests and
 * benchmarks only.
 */
#ifndef TESTS_DECODER_VIEW_H
#define TESTS_DECODER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum view_status { VIEW_OK, VIEW_NEED_BYTES, VIEW_INVALID, VIEW_TOO_LONG };

enum view_access { VIEW_NONE = 0, VIEW_READ = 1, VIEW_WRITE = 2, VIEW_ADDRESS = 4 };

/* A register: its class in the high byte, its number in the low one. 0 is no register. */
enum view_class {
    VIEW_NO_REGISTER,
    VIEW_GPR8,
    VIEW_GPR16,
    VIEW_GPR32,
    VIEW_GPR64,
    VIEW_XMM,
    VIEW_YMM,
    VIEW_ZMM,
    VIEW_IP,
    VIEW_OTHER,
};
#define VIEW_REGISTER(class, number) ((uint16_t)((class) << 8 | (number)))

struct view_memory {
    char segment; /* 'e' 'c' 's' 'd' 'f' 'g'; 0 where it does not matter (64-bit code, but for fs and gs) */
    uint8_t scale;
    uint8_t access;
    uint16_t base;
    uint16_t index;
    uint16_t size;
    int64_t disp;
};

struct view {
    enum view_status status;
    uint8_t length;
    bool lock;
    uint8_t address_size; /* in bytes */
    uint8_t memory_count;
    struct view_memory memory[2];
    const char *mnemonic; /* a string that outlives the view */
    const char *isa;      /* ours alone: the extension, as decoder/isa.def spells it */
};

/* The fields in which two views can differ. */
enum view_field {
    VIEW_STATUS = 1 << 0,
    VIEW_LENGTH = 1 << 1,
    VIEW_LOCK = 1 << 2,
    VIEW_ADDRESS_SIZE = 1 << 3,
    VIEW_COUNT = 1 << 4,
    VIEW_SEGMENT = 1 << 5,
    VIEW_BASE = 1 << 6,
    VIEW_INDEX = 1 << 7,
    VIEW_SCALE = 1 << 8,
    VIEW_DISP = 1 << 9,
    VIEW_SIZE = 1 << 10,
    VIEW_ACCESS = 1 << 11,
    VIEW_MNEMONIC = 1 << 12,
};
#define VIEW_FIELD_COUNT 13
#define VIEW_OPERAND     (VIEW_COUNT | VIEW_SEGMENT | VIEW_BASE | VIEW_INDEX | VIEW_SCALE | VIEW_DISP)
#define VIEW_VALUES      (VIEW_SIZE | VIEW_ACCESS)

enum rival { RIVAL_ZYDIS, RIVAL_CAPSTONE };
#define RIVAL_COUNT 2

/* The vendor whose rules ours and Zydis follow; Capstone has no such choice. */
enum view_vendor { VIEW_INTEL, VIEW_AMD };

/* Each fills `view` from the first instruction of bytes[0..len). `mode` is 16, 32 or 64. */
void view_ours(struct view *view, const uint8_t *bytes, size_t len, int mode, enum view_vendor vendor);
void view_zydis(struct view *view, const uint8_t *bytes, size_t len, int mode, enum view_vendor vendor);
void view_capstone(struct view *view, const uint8_t *bytes, size_t len, int mode);

/* The mask of view_field in which `other` differs from `ours`. */
unsigned view_compare(const struct view *ours, const struct view *other);

/* Writes the view as one line, cut to `size`; returns buffer. */
char *view_print(const struct view *view, char *buffer, size_t size);

/* "length, base": the names of the fields in `mask`. */
char *view_print_fields(unsigned mask, char *buffer, size_t size);

/* Reduces a displacement modulo the address size and extends its sign again. */
int64_t view_wrap(int64_t disp, unsigned address_size);

/* The extension that Zydis puts the instruction in ("AVX512F_512"), or NULL when it does not know it. */
const char *view_isa(const uint8_t *bytes, size_t len, int mode);

#endif
