/* SPDX-License-Identifier: MIT
 *
 * The differential test's parts: the opcode rows as text, cases made from them at random, and a guest made
 * of fake memory in which the emulator executes what the real CPU executes in the native harness.
 */
#ifndef TESTS_MMIO_ORACLE_H
#define TESTS_MMIO_ORACLE_H

#include "decoder/insn.h"
#include "tests/mmio/native_harness.h"

/* ---- oracle_rows.c: what a row's text says about the encodings that it stands for ---- */

struct oracle_row {
    const char *text;    /* "0F C7 /1 mem W0, CMPXCHG8B, Mq" */
    const char *isa;     /* "CX16" */
    char mnemonic[32];   /* upper case; without the condition of a +cc row */
    uint8_t encoding;    /* enum insn_encoding */
    uint8_t map, opcode; /* as struct insn has them */
    uint8_t spread;      /* 8 for +r, 16 for +cc, else 1 */
    uint8_t prefix_set;  /* 1 none, 2 66, 4 F3, 8 F2 */
    uint8_t has_prefix;  /* the row names one: it is mandatory */
    uint8_t mod_set;     /* 1 memory, 2 register */
    uint8_t reg_set, rm_set;
    uint8_t w_set, length_set, size_set, address_set;
    uint8_t long_set;    /* 1 not in 64-bit code, 2 only there */
    const char *feature; /* a switch of the decoder, or NULL */
    uint8_t vendor_set;  /* 1 Intel, 2 AMD */
    unsigned long case_count, skip_count;
};

extern struct oracle_row oracle_rows[];
extern unsigned oracle_row_count;
void oracle_rows_parse(void);

/* ---- oracle_random.c ---- */

uint64_t oracle_random(void);
void oracle_seed(uint64_t seed);
static inline unsigned oracle_below(unsigned limit)
{
    return (unsigned)((oracle_random() >> 11) % limit);
}

static inline bool oracle_chance(unsigned percent)
{
    return oracle_below(100) < percent;
}

static inline int oracle_displacement(void)
{
    return (int)oracle_below(4096) - 2048;
}

/* ---- oracle_case.c: one instruction and the state that it starts from ---- */

struct oracle_case {
    const struct oracle_row *row;
    bool has_32bit; /* the host's segments are Linux's usual ones */
    struct insn insn;
    uint8_t bytes[16];
    struct native_case in;
    bool is_vector; /* vector state counts */
};

/* ---- oracle_bytes.c ---- */

/* Fills made->bytes and made->insn for made->in.mode. `displacement`: where one of 4 (or 2) bytes stands, or
 * 0. False where this draw led to none. */
bool oracle_bytes_make(struct oracle_case *made, const struct oracle_row *row, unsigned *displacement);

enum oracle_made {
    CASE_MADE,
    CASE_NONE,      /* this draw led to none; another may */
    CASE_UNKNOWN,   /* outside the emulator's repertoire */
    CASE_FORBIDDEN, /* not to be run in a process: see is_forbidden() */
};

enum oracle_made oracle_case_make(const struct native_harness *harness, struct oracle_row *row,
                                  uint8_t *xsave, struct oracle_case *made);

unsigned oracle_selector(const struct oracle_case *made);

/* Random x87 and vector state for the case, with the instruction's own needs seen to. */
void oracle_vector_make(uint8_t *xsave, struct oracle_case *made);

/* Whose rules this CPU follows where the two vendors differ. */
bool oracle_is_amd(void);

/* An area for XRSTOR and FXRSTOR; returns its length. */
unsigned oracle_area_make(uint8_t *area);
void oracle_random_numbers(uint8_t *to, size_t len);

/* ---- oracle_known.c ---- */

/* Flags that depend on a count, and so cannot be told from the row. */
uint64_t oracle_flags_undefined(const struct oracle_case *made);
bool oracle_is_foreign(const struct oracle_row *row);
bool oracle_is_expected(const struct oracle_case *made, const struct native_result *real,
                        const struct native_result *ours);
void oracle_state_forget(const struct oracle_case *made, uint8_t *native, uint8_t *guest);
void oracle_memory_make(const struct oracle_case *made, uint8_t *bytes);

/* ---- oracle_guest.c: the same instruction in the emulator ---- */

struct oracle_guest;
struct oracle_guest *oracle_guest_create(const struct native_harness *harness);
void oracle_guest_destroy(struct oracle_guest *guest);

/* The guest's NATIVE_DATA_BYTES and page of code, to be made equal to the harness's. */
uint8_t *oracle_guest_data(struct oracle_guest *guest);
/* How many instructions have gone the short way (step_run_quick). */
uint64_t oracle_guest_quick(const struct oracle_guest *guest);
uint8_t *oracle_guest_code(struct oracle_guest *guest);

/* Runs the case; the result is in the native harness's terms. False where the emulator does not know the
 * instruction: *reason says so. */
bool oracle_guest_run(struct oracle_guest *guest, const struct oracle_case *made, struct native_result *out,
                      const char **reason);

#endif
