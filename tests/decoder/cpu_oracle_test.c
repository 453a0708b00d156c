/* SPDX-License-Identifier: MIT
 *
 * Our decoder against this processor: the length that it fetches, and whether it raises #UD. Differences that
 * are known are counted by class; the others fail. VMM_TEST_CASES encodings a mode, VMM_TEST_SEED to repeat.
 */
#include "decoder/insn.h"
#include "tests/decoder/anatomy.h"
#include "tests/decoder/cpu_features.h"
#include "tests/decoder/oracle.h"
#include "tests/harness.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trial {
    uint8_t bytes[16];
    int mode;
    enum insn_status status;
    struct insn insn;
    struct anatomy anatomy;
    enum oracle_answer answer; /* with 15 bytes that can be fetched */
};

struct oracle_class {
    const char *name;
    bool (*applies)(const struct trial *trial);
    const char *why;
};

/* What we take for an instruction and the processor does not. */

static bool is_lacking(const struct trial *trial)
{
    return cpu_has(trial->insn.isa) == CPU_LACKS;
}

static bool is_mode_dependent(const struct trial *trial)
{
    return cpu_has(trial->insn.isa) == CPU_UNSURE;
}

static bool is_undefined_on_purpose(const struct trial *trial)
{
    const char *name = insn_mnemonic(&trial->insn);
    return !strcmp(name, "ud0") || !strcmp(name, "ud1") || !strcmp(name, "ud2") || !strcmp(name, "rsm");
}

static bool is_descriptor_store(const struct trial *trial)
{
    return trial->insn.encoding == INSN_LEGACY && trial->insn.map == 1 && trial->insn.opcode <= 1;
}

/* These segments are compatibility mode, which is long mode. */
static bool is_amd_sysenter(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->insn.map == 1 && trial->insn.opcode == 0x34;
}

static bool is_amd_w_outside_64(const struct trial *trial)
{
    uint8_t opcode = trial->insn.opcode;
    return cpu_vendor() == INSN_AMD && trial->mode != 64 && trial->insn.encoding == INSN_VEX &&
           trial->insn.map == 3 && (opcode == 0x16 || opcode == 0x22) && trial->anatomy.w;
}

static bool is_taken_by_host(const struct trial *trial)
{
    unsigned eax, ebx, ecx, edx;
    bool is_guest = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx >> 31;
    return is_guest && (trial->insn.op == INSN_OP_CPUID || trial->insn.op == INSN_OP_INT);
}

static const struct oracle_class rejected[] = {
    {"extension not in this CPU", is_lacking, "CPUID lacks it"},
    {"needs a mode or host feature", is_mode_dependent, "SVM, VMX, CET, SGX, ... are #UD until turned on"},
    {"always undefined", is_undefined_on_purpose, "UD0, UD1, UD2; RSM outside SMM (SDM 2B)"},
    {"SYSENTER in long mode", is_amd_sysenter, "#UD for AMD (APM 3 SYSENTER)"},
    {"VPEXTRQ, VPINSRQ outside 64-bit code", is_amd_w_outside_64,
     "#UD for AMD; Intel ignores W (SDM 2B PEXTRQ, note)"},
    {"0F 00 and 0F 01 under a hypervisor", is_descriptor_store,
     "intercepted with UMIP, real mode only, or SMAP off"},
    {"CPUID and INT under a hypervisor", is_taken_by_host,
     "one without hardware virtualization gives some of them #UD"},
};

/* What we take for invalid and the processor runs. */

static bool is_mask_register(const struct trial *trial)
{
    uint8_t opcode = trial->anatomy.opcode;
    bool is_mask = trial->anatomy.map == 1
                       ? (opcode >= 0x41 && opcode <= 0x4b) || (opcode >= 0x90 && opcode <= 0x99)
                       : trial->anatomy.map == 3 && opcode >= 0x30 && opcode <= 0x33;
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_VEX && is_mask;
}

static bool is_ignored_b(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_EVEX &&
           trial->anatomy.payload[2] & 0x10 && trial->anatomy.modrm >= 0xc0;
}

static bool is_ignored_z(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_EVEX &&
           trial->anatomy.payload[2] & 0x80 && !(trial->anatomy.payload[2] & 7);
}

static bool is_ignored_w(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_VEX && trial->anatomy.map == 3 &&
           trial->anatomy.opcode <= 1 && !trial->anatomy.w;
}

static bool is_ignored_v(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->mode != 64 && trial->anatomy.encoding == ANATOMY_EVEX &&
           !(trial->anatomy.payload[2] & 8);
}

static bool is_sysexit(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_LEGACY && trial->anatomy.map == 1 &&
           trial->anatomy.opcode == 0x35;
}

static bool is_lock_verw(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.encoding == ANATOMY_LEGACY && trial->anatomy.map == 1 &&
           trial->anatomy.opcode == 0 && (trial->anatomy.modrm & 0x38) == 0x28 && trial->anatomy.lock;
}

/* Prefixes so many that ModRM, displacement or immediate might not fit: #GP for the length may come first. */
static bool is_perhaps_long(const struct trial *trial)
{
    bool has_long_immediate = trial->anatomy.encoding == ANATOMY_XOP && trial->anatomy.map == 10;
    return trial->anatomy.prefix_count >= (has_long_immediate ? 2 : 3);
}

static const struct oracle_class accepted[] = {
    {"mask register 8 to 15", is_mask_register, "AMD ignores the fourth bit; SDM 2A 2.7 says #UD"},
    {"EVEX.b without rounding", is_ignored_b, "AMD ignores it in register forms; SDM 2A 2.7.10 says #UD"},
    {"EVEX.z without a mask", is_ignored_z,
     "AMD ignores it with k0 where no vector is written; SDM 2A 2.7.11.2"},
    {"VPERMQ, VPERMPD with W0", is_ignored_w, "AMD ignores W; SDM 2C gives only W1"},
    {"EVEX.V' outside 64-bit code", is_ignored_v, "AMD ignores it; SDM 2A 2.7.11.1 says #UD"},
    {"SYSEXIT in long mode", is_sysexit, "#GP for the privilege level comes before #UD (APM 3 SYSEXIT)"},
    {"LOCK VERW", is_lock_verw,
     "Zen 4's microcode, which flushes buffers in VERW, lets LOCK pass; APM 3 says #UD"},
    {"long before it is invalid", is_perhaps_long, "#GP for more than 15 bytes comes before #UD (APM 3 1.2)"},
};

/* What is longer than fifteen bytes for us, and #UD before that for the processor. */

static bool is_amd_ud(const struct trial *trial)
{
    return cpu_vendor() == INSN_AMD && trial->anatomy.map == 1 &&
           (trial->anatomy.opcode == 0xb9 || trial->anatomy.opcode == 0xff);
}

static const struct oracle_class shorter[] = {
    {"UD0 and UD1", is_amd_ud, "without a ModRM byte for AMD (SDM 2B UD has one)"},
};

struct tally {
    uint64_t trials, same, lengths, unexplained, broken;
    uint64_t rejected[ARRAY_COUNT(rejected)];
    uint64_t accepted[ARRAY_COUNT(accepted)];
    uint64_t shorter[ARRAY_COUNT(shorter)];
};

static void complain(struct tally *tally, const struct trial *trial, const char *what)
{
    static const char *const answers[] = {"lacks bytes", "#UD", "decoded", "died"};
    if (tally->unexplained++ > 20)
        return;
    printf("# mode %d, %s; this CPU: %s; ours: %s %u %s:", trial->mode, what, answers[trial->answer],
           trial->status == INSN_OK         ? "ok"
           : trial->status == INSN_TOO_LONG ? "too long"
                                            : "invalid",
           trial->status == INSN_OK ? trial->insn.length : 0,
           trial->status == INSN_OK ? insn_mnemonic(&trial->insn) : "");
    for (unsigned i = 0; i < 15; i++)
        printf(" %02x", trial->bytes[i]);
    printf("\n");
}

static bool find_class(const struct oracle_class *classes, uint64_t *counts, size_t count,
                       const struct trial *trial)
{
    for (size_t i = 0; i < count; i++)
        if (classes[i].applies(trial)) {
            counts[i]++;
            return true;
        }
    return false;
}

/* Exactly `length` bytes are fetched: one less is not enough. */
static void check_length(struct tally *tally, struct oracle *oracle, const struct trial *trial)
{
    unsigned length = trial->insn.length;
    tally->lengths++;
    if (oracle_probe(oracle, trial->bytes, length) == ORACLE_FETCH)
        complain(tally, trial, "longer than we say");
    else if (length > 1 && oracle_probe(oracle, trial->bytes, length - 1) != ORACLE_FETCH)
        complain(tally, trial, "shorter than we say");
    else
        tally->same++;
}

static void judge(struct tally *tally, struct oracle *oracle, const struct trial *trial)
{
    bool is_undefined = trial->answer == ORACLE_UNDEFINED;
    switch (trial->status) {
    case INSN_OK:
        if (!is_undefined)
            check_length(tally, oracle, trial);
        else if (!find_class(rejected, tally->rejected, ARRAY_COUNT(rejected), trial))
            complain(tally, trial, "#UD");
        break;
    case INSN_INVALID:
        if (is_undefined)
            tally->same++;
        else if (!find_class(accepted, tally->accepted, ARRAY_COUNT(accepted), trial))
            complain(tally, trial, "no #UD");
        break;
    case INSN_TOO_LONG:
    case INSN_NEED_BYTES: /* of 15: the same */
        if (!is_undefined)
            tally->same++;
        else if (!find_class(shorter, tally->shorter, ARRAY_COUNT(shorter), trial))
            complain(tally, trial, "#UD");
        break;
    }
}

/* A hypercall would leave this guest, if it is one. */
static bool is_hypercall(const struct anatomy *anatomy)
{
    return anatomy->encoding == ANATOMY_LEGACY && anatomy->map == 1 && anatomy->opcode == 1 &&
           (anatomy->modrm == 0xc1 || anatomy->modrm == 0xd9);
}

static void try_one(struct tally *tally, struct oracle *oracle, struct trial *trial)
{
    struct insn_mode how = insn_mode((unsigned)trial->mode);
    how.vendor = cpu_vendor();
    anatomy_read(&trial->anatomy, trial->bytes, 15, trial->mode);
    if (is_hypercall(&trial->anatomy))
        return;
    trial->status = insn_decode(trial->bytes, 15, how, &trial->insn);
    trial->answer = oracle_probe(oracle, trial->bytes, 15);
    tally->trials++;
    if (trial->answer != ORACLE_BROKEN) {
        judge(tally, oracle, trial);
        return;
    }
    complain(tally, trial, "the child is gone");
    oracle_close(oracle);
    if (oracle_open(oracle, trial->mode))
        tally->broken++;
}

static void report_classes(const struct oracle_class *classes, const uint64_t *counts, size_t count,
                           const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (counts[i])
            printf("# %9llu %s: %s: %s\n", (unsigned long long)counts[i], what, classes[i].name,
                   classes[i].why);
}

static void report(const struct tally *tally, int mode)
{
    printf("# %d-bit on %s: %llu tried, %llu the same (%llu lengths), %llu unexplained\n", mode, cpu_name(),
           (unsigned long long)tally->trials, (unsigned long long)tally->same,
           (unsigned long long)tally->lengths, (unsigned long long)tally->unexplained);
    report_classes(rejected, tally->rejected, ARRAY_COUNT(rejected), "only the CPU says #UD");
    report_classes(accepted, tally->accepted, ARRAY_COUNT(accepted), "only the CPU accepts");
    report_classes(shorter, tally->shorter, ARRAY_COUNT(shorter), "#UD before too long");
}

static void check_mode(int mode)
{
    struct tally tally = {0};
    struct trial trial = {.mode = mode};
    struct oracle oracle;
    uint64_t state = test_seed() * 2 + 1;
    unsigned long cases = test_cases(30000);
    int result = oracle_open(&oracle, mode);
    if (result)
        test_skip("no %d-bit code can be single-stepped here: %s", mode, strerror(-result));
    for (unsigned long i = 0; i < cases && !tally.broken; i++) {
        random_encoding(&state, mode, trial.bytes);
        try_one(&tally, &oracle, &trial);
    }
    oracle_close(&oracle);
    report(&tally, mode);
    ck_assert_uint_eq(tally.unexplained, 0);
    ck_assert_uint_gt(tally.same, cases / 10);
}

START_TEST(processor_agrees_64)
{
    check_mode(64);
}
END_TEST

START_TEST(processor_agrees_32)
{
    check_mode(32);
}
END_TEST

START_TEST(processor_agrees_16)
{
    check_mode(16);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, processor_agrees_64, 3600);
    test_add_slow(suite, processor_agrees_32, 3600);
    test_add_slow(suite, processor_agrees_16, 3600);
}
