/* SPDX-License-Identifier: MIT
 *
 * The real CPU is the oracle: random cases of every opcode row are executed by it and by the emulator, and
 * registers, flags, memory, vector state and exceptions must agree. What the SDM leaves undefined is masked.
 * A row of the emulator's repertoire that no case reached fails the test.
 *
 * VMM_TEST_CASES is the number of cases, VMM_TEST_SEED repeats a run, VMM_TEST_ROW=TEXT takes only the rows
 * whose text contains TEXT, VMM_TEST_VERBOSE=1 names the rows that are left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/harness.h"
#include "tests/mmio/oracle.h"

#define CASES_USUAL 300000
#define SHOWN_MAX   40
#define DRAWS_MORE  3000 /* for a row that had no luck */
#define ATTEMPTS    60
#define DATA_WINDOW 64

/* Shared with the child that runs the cases, so that a crash can be told. */
struct progress {
    unsigned long cases, mismatches, unsupported, faults, quick;
    unsigned row_index;
    uint8_t bytes[16];
    unsigned mode;
    char first[400]; /* disagreement */
    struct {
        unsigned long cases, mismatches, unsupported, draws, forbidden, unknown;
        char reason[80];
    } rows[6000];
};

static struct progress *progress;
static struct native_harness harness;
static struct oracle_guest *guest;
static _Alignas(64) uint8_t area_in[NATIVE_XSAVE_MAX], area_native[NATIVE_XSAVE_MAX],
    area_guest[NATIVE_XSAVE_MAX];

#define FLAGS_COMPARED (FLAGS_STATUS | FLAG_DF | FLAG_AC | FLAG_NT | FLAG_ID)

static uint64_t flags_compared(const struct oracle_case *made, bool is_done)
{
    uint64_t mask = FLAGS_COMPARED;
    if (is_done)
        mask &= ~(insn_flags(&made->insn).undefined | oracle_flags_undefined(made));
    return mask;
}

static const char *compare_registers(const struct oracle_case *made, const struct native_result *real,
                                     const struct native_result *ours)
{
    static char text[160];
    uint64_t mask = made->in.mode == 64 ? UINT64_MAX : 0xffffffff;
    for (unsigned i = 0; i < CPU_GPR_COUNT && (i < 8 || made->in.mode == 64); i++) {
        if (((real->gpr[i] ^ ours->gpr[i]) & mask) == 0)
            continue;
        snprintf(text, sizeof(text), "r%u: real %llx, ours %llx (was %llx)", i,
                 (unsigned long long)real->gpr[i], (unsigned long long)ours->gpr[i],
                 (unsigned long long)made->in.gpr[i]);
        return text;
    }
    if (real->cs != ours->cs || real->ss != ours->ss || real->ds != ours->ds || real->es != ours->es) {
        snprintf(text, sizeof(text), "cs ss ds es: real %x %x %x %x, ours %x %x %x %x", real->cs, real->ss,
                 real->ds, real->es, ours->cs, ours->ss, ours->ds, ours->es);
        return text;
    }
    uint64_t flags = (real->rflags ^ ours->rflags) & flags_compared(made, real->trap == VECTOR_DB);
    if (real->rip == ours->rip && !flags)
        return NULL;
    snprintf(text, sizeof(text), "rip real %llx ours %llx; flags real %llx ours %llx (were %llx)",
             (unsigned long long)real->rip, (unsigned long long)ours->rip, (unsigned long long)real->rflags,
             (unsigned long long)ours->rflags, (unsigned long long)made->in.rflags);
    return text;
}

static const char *compare_exception(const struct native_result *real, const struct native_result *ours)
{
    static char text[160];
    bool is_fault = real->trap != VECTOR_DB;
    if (real->trap == ours->trap && (!is_fault || real->error == ours->error) &&
        (real->trap != VECTOR_PF || real->cr2 == ours->cr2))
        return NULL;
    snprintf(text, sizeof(text), "exception real %u (error %llx, cr2 %llx), ours %u (error %llx, cr2 %llx)",
             real->trap, (unsigned long long)real->error, (unsigned long long)real->cr2, ours->trap,
             (unsigned long long)ours->error, (unsigned long long)ours->cr2);
    return text;
}

static const char *compare_memory(const struct oracle_case *made)
{
    static char text[200];
    uint8_t *ours = oracle_guest_data(guest);
    if (!memcmp(harness.data_view, ours, NATIVE_DATA_BYTES))
        return NULL;
    unsigned at = 0;
    while (harness.data_view[at] == ours[at])
        at++;
    int len = snprintf(text, sizeof(text), "memory at +%x: real", at);
    for (unsigned i = 0; i < 16 && at + i < NATIVE_DATA_BYTES; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, " %02x", harness.data_view[at + i]);
    len += snprintf(text + len, sizeof(text) - (size_t)len, " ours");
    for (unsigned i = 0; i < 16 && at + i < NATIVE_DATA_BYTES; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, " %02x", ours[at + i]);
    (void)made;
    return text;
}

static const char *compare_vector(const struct oracle_case *made)
{
    static char text[240];
    static struct xsave_layout layout;
    if (!made->in.xsave)
        return NULL;
    if (!layout.components)
        xsave_layout_host(&layout);
    xsave_expand(area_native, &layout, layout.components);
    xsave_expand(area_guest, &layout, layout.components);
    oracle_state_forget(made, area_native, area_guest);
    /* 464 to 511 are the kernel's in a signal frame, the header tells only what is initial. */
    for (unsigned at = 0; at < layout.len_standard; at++) {
        if ((at >= 416 && at < XSAVE_EXTENDED) || area_native[at] == area_guest[at])
            continue;
        at &= ~7u;
        snprintf(text, sizeof(text),
                 "vector state at %u: real %016llx %016llx, ours %016llx %016llx (was %016llx %016llx), "
                 "mxcsr %x %x (was %x)",
                 at, (unsigned long long)load_le64(area_native + at + 8),
                 (unsigned long long)load_le64(area_native + at),
                 (unsigned long long)load_le64(area_guest + at + 8),
                 (unsigned long long)load_le64(area_guest + at),
                 (unsigned long long)load_le64(area_in + at + 8), (unsigned long long)load_le64(area_in + at),
                 load_le32(area_native + 24), load_le32(area_guest + 24), load_le32(area_in + 24));
        return text;
    }
    return NULL;
}

static void show(const struct oracle_case *made, unsigned trap, const char *difference)
{
    char hex[64] = "", text[sizeof(progress->first)];
    for (unsigned i = 0; i < made->insn.length; i++)
        snprintf(hex + 3 * i, 4, " %02x", made->bytes[i]);
    snprintf(text, sizeof(text), "%s: mode %u bytes%s (exception %u): %s", made->row->text, made->in.mode,
             hex, trap, difference);
    printf("# %s\n", text);
    if (!progress->first[0])
        memcpy(progress->first, text, sizeof(text));
}

/* Both memories the same again after a difference. */
static void repair(void)
{
    memcpy(oracle_guest_data(guest), harness.data_view, NATIVE_DATA_BYTES);
}

static void put_code(const struct oracle_case *made)
{
    unsigned at = (unsigned)(made->in.rip - harness.code);
    memcpy(harness.code_view + at, made->bytes, made->insn.length);
    memcpy(oracle_guest_code(guest) + at, made->bytes, made->insn.length);
}

static void clear_code(const struct oracle_case *made)
{
    unsigned at = (unsigned)(made->in.rip - harness.code);
    memset(harness.code_view + at, 0xcc, made->insn.length);
    memset(oracle_guest_code(guest) + at, 0xcc, made->insn.length);
}

/* New bytes where the operands are. */
static void refresh_data(const struct oracle_case *made)
{
    uint8_t bytes[DATA_WINDOW];
    uint64_t bases[6] = {0, 0, 0, 0, harness.fs_base, harness.gs_base};
    struct insn_registers registers = {made->in.gpr, bases, made->in.rip + made->insn.length};
    if (made->in.mode == 16)
        bases[INSN_DS] = bases[INSN_ES] = harness.data_low - NATIVE_DATA_16_OFFSET;
    for (unsigned i = 0; i < made->insn.operand_count; i++) {
        struct insn_memory memory;
        if (!insn_memory(&made->insn, &made->insn.operands[i], &memory))
            continue;
        uint64_t address = insn_address(&made->insn, &memory, &registers, 0);
        uint64_t at = address - harness.data_low < NATIVE_DATA_BYTES ? address - harness.data_low
                                                                     : address - harness.data_high;
        if (at > NATIVE_DATA_BYTES - DATA_WINDOW)
            continue;
        bool is_area = made->insn.op >= INSN_OP_FXSAVE && made->insn.op <= INSN_OP_XRSTORS;
        if (is_area && at <= NATIVE_DATA_BYTES - harness.xsave_bytes) {
            unsigned len = oracle_area_make(harness.data_view + at);
            memcpy(oracle_guest_data(guest) + at, harness.data_view + at, len);
            continue;
        }
        oracle_random_numbers(bytes, sizeof(bytes));
        if (oracle_below(8) == 0)
            memset(bytes, oracle_below(2) ? 0xff : 0, sizeof(bytes));
        oracle_memory_make(made, bytes);
        memcpy(harness.data_view + at, bytes, sizeof(bytes));
        memcpy(oracle_guest_data(guest) + at, bytes, sizeof(bytes));
    }
}

/* What an instruction takes from the stack as a selector, or as a far pointer. */
static void refresh_stack(const struct oracle_case *made)
{
    uint8_t bytes[16];
    uint64_t at = made->in.gpr[CPU_RSP] - harness.data_low;
    if (at > NATIVE_DATA_BYTES - sizeof(bytes))
        at = made->in.gpr[CPU_RSP] - harness.data_high;
    if (at > NATIVE_DATA_BYTES - sizeof(bytes))
        return;
    oracle_random_numbers(bytes, sizeof(bytes));
    oracle_memory_make(made, bytes);
    memcpy(harness.data_view + at, bytes, sizeof(bytes));
    memcpy(oracle_guest_data(guest) + at, bytes, sizeof(bytes));
}

static const char *compare(const struct oracle_case *made, const struct native_result *real,
                           const struct native_result *ours)
{
    const char *difference = compare_exception(real, ours);
    if (!difference)
        difference = compare_registers(made, real, ours);
    if (!difference)
        difference = compare_memory(made);
    if (!difference)
        difference = compare_vector(made);
    return difference;
}

static void run_case(struct oracle_row *row)
{
    struct oracle_case made;
    unsigned index = (unsigned)(row - oracle_rows);
    progress->rows[index].draws++;
    enum oracle_made result = oracle_case_make(&harness, row, area_in, &made);
    progress->rows[index].forbidden += result == CASE_FORBIDDEN;
    progress->rows[index].unknown += result == CASE_UNKNOWN;
    if (result != CASE_MADE)
        return;
    progress->row_index = index;
    progress->mode = made.in.mode;
    memcpy(progress->bytes, made.bytes, 15);
    refresh_data(&made);
    if (made.insn.op == INSN_OP_POP || made.insn.op == INSN_OP_RET_FAR)
        refresh_stack(&made);
    put_code(&made);
    struct native_result real = {0}, ours = {0};
    if (made.in.xsave) {
        memcpy(area_native, area_in, harness.xsave_bytes);
        real.xsave = area_native;
        ours.xsave = area_guest;
    }
    const char *reason = NULL;
    native_run(&harness, &made.in, &real);
    bool is_known = oracle_guest_run(guest, &made, &ours, &reason);
    progress->quick = oracle_guest_quick(guest);
    const char *difference = is_known ? compare(&made, &real, &ours) : NULL;
    progress->cases++;
    progress->rows[index].cases++;
    progress->faults += real.trap != VECTOR_DB;
    if (!is_known) {
        progress->unsupported++;
        progress->rows[index].unsupported++;
        snprintf(progress->rows[index].reason, sizeof(progress->rows[index].reason), "%s",
                 reason ? reason : "?");
        repair();
    } else if (difference && !oracle_is_expected(&made, &real, &ours)) {
        progress->mismatches++;
        if (progress->rows[index].mismatches++ < (getenv("VMM_TEST_ROW") ? 30 : 3) &&
            progress->mismatches < SHOWN_MAX * 20)
            show(&made, real.trap, difference);
    }
    if (difference)
        repair();
    clear_code(&made);
}

static bool is_wanted(const struct oracle_row *row)
{
    const char *filter = getenv("VMM_TEST_ROW");
    return !filter || strstr(row->text, filter) || strstr(row->isa, filter);
}

static void run_cases(unsigned long count)
{
    static uint16_t wanted[ARRAY_COUNT(progress->rows)];
    const char *reason;
    if (native_init(&harness, &reason)) {
        printf("# %s\n", reason);
        _exit(3);
    }
    guest = oracle_guest_create(&harness);
    if (!guest)
        _exit(2);
    if (!harness.has_32bit)
        printf("# code segments of 16 and 32 bits do not work on this host: 64-bit cases only\n");
    unsigned wanted_count = 0;
    for (unsigned i = 0; i < oracle_row_count; i++)
        if (is_wanted(&oracle_rows[i]))
            wanted[wanted_count++] = (uint16_t)i;
    for (unsigned long attempts = 0; progress->cases < count && attempts < ATTEMPTS * count; attempts++)
        run_case(&oracle_rows[wanted[attempts % wanted_count]]);
    for (unsigned i = 0; i < oracle_row_count; i++)
        for (unsigned draw = 0; is_wanted(&oracle_rows[i]) && !progress->rows[i].cases && draw < DRAWS_MORE;
             draw++)
            run_case(&oracle_rows[i]);
    fflush(stdout);
    _exit(0);
}

struct coverage {
    unsigned compared, uncovered, forbidden, unsupported, foreign;
};

static void report_row(unsigned i, struct coverage *coverage)
{
    const struct oracle_row *row = &oracle_rows[i];
    if (progress->rows[i].cases > progress->rows[i].unsupported) {
        coverage->compared++;
        if (progress->rows[i].unsupported)
            printf("# %lu of %lu cases not in the repertoire: %s (%s)\n", progress->rows[i].unsupported,
                   progress->rows[i].cases, row->text, progress->rows[i].reason);
    } else if (progress->rows[i].unsupported) {
        printf("# not in the repertoire: %s (%s)\n", row->text, progress->rows[i].reason);
        coverage->unsupported++;
    } else if (progress->rows[i].unknown) {
        coverage->unsupported++;
    } else if (progress->rows[i].forbidden) {
        coverage->forbidden++;
        if (getenv("VMM_TEST_VERBOSE"))
            printf("# not to be run in a process: %s\n", row->text);
    } else if (oracle_is_foreign(row)) {
        coverage->foreign++;
    } else {
        printf("# no case (%lu draws): %s\n", progress->rows[i].draws, row->text);
        coverage->uncovered++;
    }
}

START_TEST(the_emulator_agrees_with_the_cpu)
{
    progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(progress, MAP_FAILED);
    unsigned long count = test_cases(CASES_USUAL);
    oracle_rows_parse();
    unsigned long long seed = test_seed();
    oracle_seed(seed);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child)
        run_cases(count);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
            test_skip("this host cannot run instructions natively");
        char hex[64];
        for (unsigned i = 0; i < 15; i++)
            snprintf(hex + 3 * i, 4, " %02x", progress->bytes[i]);
        ck_abort_msg("the case ended its process (status %x) after %lu cases: %s, mode %u,%s", status,
                     progress->cases, oracle_rows[progress->row_index].text, progress->mode, hex);
    }
    struct coverage coverage = {0};
    for (unsigned i = 0; i < oracle_row_count; i++)
        if (is_wanted(&oracle_rows[i]))
            report_row(i, &coverage);
    printf("# %lu cases, %lu ended in an exception, %lu went the short way, %lu disagreements\n",
           progress->cases, progress->faults, progress->quick, progress->mismatches);
    printf("# %u rows: %u compared, %u not in the repertoire, %u not to be run in a process, %u of other "
           "processors, %u without a "
           "case; %lu cases not in the repertoire\n",
           oracle_row_count, coverage.compared, coverage.unsupported, coverage.forbidden, coverage.foreign,
           coverage.uncovered, progress->unsupported);
    ck_assert_msg(!progress->mismatches, "%lu disagreements (VMM_TEST_SEED=%llu repeats them), the first: %s",
                  progress->mismatches, seed, progress->first);
    ck_assert_uint_eq(coverage.uncovered, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, the_emulator_agrees_with_the_cpu, 3600);
}
