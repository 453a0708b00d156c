/* SPDX-License-Identifier: MIT
 *
 * One instruction on the real CPU: registers, flags, vector state and memory go in, one instruction is
 * single-stepped, and what it did to them comes out, an exception included. Everything happens in this
 * process by way of a signal frame (sigreturn loads all registers and the XSAVE image at once, the next
 * signal stores them), so a case costs two signals and no context switch. Call it in a forked child: a case
 * that the generator did not foresee may write anywhere.
 *
 * Code runs at fixed low addresses, so that all three modes can reach it and the data. Threads: one.
 */
#ifndef TESTS_MMIO_NATIVE_HARNESS_H
#define TESTS_MMIO_NATIVE_HARNESS_H

#include "base/types.h"
#include "mmio/step.h"

/*
 * The data pages, by the same pages at a low and a high linear address and in `view`, where all can be
 * written:
 *
 *   base - 4K   base        base + 4K   base + 8K   base + 12K
 *   | no access | writable  | writable  | read only | no access |
 */
#define NATIVE_DATA_PAGES 3
#define NATIVE_DATA_BYTES (NATIVE_DATA_PAGES * PAGE_BYTES)
#define NATIVE_XSAVE_MAX  4096

/* In 16-bit code the data is at this offset of DS and ES (limit 64 KiB); SS is flat in all modes, CS begins
 * at the code page. */
#define NATIVE_DATA_16_OFFSET 0x8000u

/* Selectors: Linux's own, and two of the process's LDT. */
#define NATIVE_CS_64   0x33
#define NATIVE_CS_32   0x23
#define NATIVE_DS      0x2b
#define NATIVE_CS_16   0x07 /* LDT entry 0 */
#define NATIVE_DS_16   0x0f /* LDT entry 1 */
#define NATIVE_LDT_LEN 16

struct native_harness {
    uint64_t code;      /* linear address of the one page of code; the page behind it cannot be fetched */
    uint8_t *code_view; /* where the test writes it */
    uint64_t data_low;  /* below 2 GiB */
    uint64_t data_high; /* above 4 GiB: what an address of 32 bits cannot reach */
    uint8_t *data_view;
    uint64_t fs_base;    /* of this thread: tests use FS as it is */
    uint64_t gs_base;    /* set by the harness, to somewhere near data_low */
    bool has_32bit;      /* code segments of 32 and 16 bits work on this host */
    bool has_any_rsp;    /* the kernel returns to code whose rsp is not canonical */
    uint64_t components; /* of XCR0 that are loaded and stored */
    uint32_t xsave_bytes;
};

/* Registers in and out. `xsave` is a standard-format image of xsave_bytes; NULL leaves the state alone. */
struct native_case {
    uint64_t gpr[CPU_GPR_COUNT];
    uint64_t rip, rflags;
    uint8_t *xsave;
    unsigned mode;       /* 64, 32 or 16 */
    unsigned step_limit; /* single steps that stay on this instruction, as a REP does; 0 means 1 */
};

struct native_result {
    uint64_t gpr[CPU_GPR_COUNT];
    uint64_t rip, rflags;
    uint16_t cs, ss, ds, es;
    uint8_t *xsave; /* the caller's buffer, or NULL */
    int signal;
    unsigned trap; /* VECTOR_DB when the instruction was executed; else the vector of its exception */
    uint64_t error, cr2;
};

/* One in each process. 0 or a negative errno, with a reason. */
int native_init(struct native_harness *harness, const char **reason);
void native_run(const struct native_harness *harness, const struct native_case *in,
                struct native_result *out);

#endif
