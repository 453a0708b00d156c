/* SPDX-License-Identifier: MIT
 *
 * The x87 instructions that control the unit or store its environment (SDM 1, 8.1.10 and figures 8-9 to
 * 8-12). They are done here because the environment holds pointers to the guest's code and data, and because
 * its form depends on the guest's mode. Selectors are stored as 0: processors that deprecate FCS and FDS do
 * so.
 */
#include "mmio/simd.h"

#include <string.h>

#include "base/bytes.h"

#define ENVIRONMENT_32  28
#define ENVIRONMENT_16  14
#define REGISTERS_BYTES 80
#define FSW_TOP_SHIFT   11
#define TAG_VALID       0u
#define TAG_ZERO        1u
#define TAG_SPECIAL     2u
#define TAG_EMPTY       3u

static unsigned register_tag(const uint8_t *st)
{
    uint64_t significand = load_le64(st);
    unsigned exponent = load_le16(st + 8) & 0x7fff;
    if (!exponent && !significand)
        return TAG_ZERO;
    return exponent && exponent != 0x7fff && significand >> 63 ? TAG_VALID : TAG_SPECIAL;
}

/* The tag word has two bits for each physical register; the XSAVE area has one, and the registers by ST. */
static uint16_t tags_expand(const uint8_t *area)
{
    unsigned top = xsave_x87_top(area);
    uint16_t tags = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned tag = TAG_EMPTY;
        if (area[XSAVE_FTW] >> i & 1)
            tag = register_tag(area + XSAVE_ST + 16 * ((i - top) & 7));
        tags |= (uint16_t)(tag << (2 * i));
    }
    return tags;
}

static uint8_t tags_reduce(uint16_t tags)
{
    uint8_t reduced = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((tags >> (2 * i) & 3) != TAG_EMPTY)
            reduced |= (uint8_t)(1u << i);
    return reduced;
}

static bool is_real_form(const struct step_env *env)
{
    return !cpu_is_protected(env->cpu);
}

static bool is_wide_form(const struct step_env *env)
{
    return env->insn.operand_size != 2;
}

static void store_pointers_32(const struct step_env *env, uint8_t *to, uint32_t fip, uint32_t fdp,
                              uint16_t fop)
{
    if (is_real_form(env)) {
        store_le32(to + 12, 0xffff0000u | (fip & 0xffff));
        store_le32(to + 16, (fip >> 16) << 12 | fop);
        store_le32(to + 20, 0xffff0000u | (fdp & 0xffff));
        store_le32(to + 24, (fdp >> 16) << 12);
    } else {
        store_le32(to + 12, fip);
        store_le32(to + 16, (uint32_t)fop << 16);
        store_le32(to + 20, fdp);
        store_le32(to + 24, 0xffff0000u);
    }
}

static void store_pointers_16(const struct step_env *env, uint8_t *to, uint32_t fip, uint32_t fdp,
                              uint16_t fop)
{
    bool is_real = is_real_form(env);
    store_le16(to + 6, (uint16_t)fip);
    store_le16(to + 8, is_real ? (uint16_t)((fip >> 16 & 0xf) << 12 | fop) : 0);
    store_le16(to + 10, (uint16_t)fdp);
    store_le16(to + 12, is_real ? (uint16_t)((fdp >> 16 & 0xf) << 12) : 0);
}

static unsigned environment_store(const struct step_env *env, uint8_t *to)
{
    const uint8_t *area = simd_area(env);
    unsigned step = is_wide_form(env) ? 4 : 2;
    uint32_t fip = load_le32(area + XSAVE_FIP), fdp = load_le32(area + XSAVE_FDP);
    uint16_t fop = load_le16(area + XSAVE_FOP);
    memset(to, 0xff, 3 * step);
    store_le16(to, load_le16(area + XSAVE_FCW));
    store_le16(to + step, load_le16(area + XSAVE_FSW));
    store_le16(to + 2 * step, tags_expand(area));
    if (is_wide_form(env))
        store_pointers_32(env, to, fip, fdp, fop);
    else
        store_pointers_16(env, to, fip, fdp, fop);
    return is_wide_form(env) ? ENVIRONMENT_32 : ENVIRONMENT_16;
}

static void load_pointers(const struct step_env *env, const uint8_t *from, uint8_t *area)
{
    uint64_t fip, fdp;
    uint16_t fop = 0;
    if (is_wide_form(env)) {
        fip = load_le32(from + 12);
        fdp = load_le32(from + 20);
        fop = load_le16(from + 18);
        if (is_real_form(env)) {
            fop = load_le16(from + 16);
            fip = (fip & 0xffff) | (uint64_t)(load_le32(from + 16) >> 12 & 0xffff) << 16;
            fdp = (fdp & 0xffff) | (uint64_t)(load_le32(from + 24) >> 12 & 0xffff) << 16;
        }
    } else {
        fip = load_le16(from + 6);
        fdp = load_le16(from + 10);
        if (is_real_form(env)) {
            fop = load_le16(from + 8);
            fip |= (uint64_t)(load_le16(from + 8) >> 12) << 16;
            fdp |= (uint64_t)(load_le16(from + 12) >> 12) << 16;
        }
    }
    store_le64(area + XSAVE_FIP, fip);
    store_le64(area + XSAVE_FDP, fdp);
    store_le16(area + XSAVE_FOP, fop & 0x7ff);
}

static void environment_load(const struct step_env *env, const uint8_t *from)
{
    uint8_t *area = simd_area(env);
    unsigned step = is_wide_form(env) ? 4 : 2;
    uint16_t fsw = load_le16(from + step);
    xsave_x87_rotate(area, fsw >> FSW_TOP_SHIFT & 7);
    store_le16(area + XSAVE_FCW, load_le16(from));
    store_le16(area + XSAVE_FSW, fsw);
    area[XSAVE_FTW] = tags_reduce(load_le16(from + 2 * step));
    load_pointers(env, from, area);
    xsave_x87_summarize(area);
}

static void unit_init(uint8_t *area)
{
    xsave_x87_rotate(area, 0);
    memset(area, 0, XSAVE_MXCSR);
    store_le16(area + XSAVE_FCW, FCW_DEFAULT);
}

static enum step_result store_environment(struct step_env *env, const struct simd_operand *operand,
                                          bool is_save)
{
    uint8_t bytes[ENVIRONMENT_32 + REGISTERS_BYTES];
    uint8_t *area = simd_area(env);
    unsigned len = environment_store(env, bytes);
    for (unsigned i = 0; is_save && i < 8; i++, len += 10)
        memcpy(bytes + len, area + XSAVE_ST + 16 * i, 10);
    struct access access = {.offset = operand->offset,
                            .len = (uint16_t)len,
                            .segment = operand->memory.segment,
                            .align = is_wide_form(env) ? 4 : 2,
                            .flags = ACCESS_WRITE};
    TRY(access_prepare(env, &access));
    access_write(env, &access, bytes);
    if (is_save) {
        unit_init(area);
        return STEP_DONE;
    }
    store_le16(area + XSAVE_FCW, load_le16(area + XSAVE_FCW) | 0x3f);
    xsave_x87_summarize(area);
    return STEP_DONE;
}

static enum step_result load_environment(struct step_env *env, const struct simd_operand *operand,
                                         bool is_restore)
{
    uint8_t bytes[ENVIRONMENT_32 + REGISTERS_BYTES];
    unsigned environment = is_wide_form(env) ? ENVIRONMENT_32 : ENVIRONMENT_16;
    struct access access = {.offset = operand->offset,
                            .len = (uint16_t)(environment + (is_restore ? REGISTERS_BYTES : 0)),
                            .segment = operand->memory.segment,
                            .align = is_wide_form(env) ? 4 : 2,
                            .flags = ACCESS_READ};
    TRY(access_prepare(env, &access));
    access_read(env, &access, bytes);
    environment_load(env, bytes);
    for (unsigned i = 0; is_restore && i < 8; i++) {
        uint8_t *st = simd_area(env) + XSAVE_ST + 16 * i;
        memset(st, 0, 16);
        memcpy(st, bytes + environment + 10 * i, 10);
    }
    return STEP_DONE;
}

/* FLDCW, FNSTCW, FNSTSW: a word in memory, or AX. */
static enum step_result move_word(struct step_env *env, const struct simd_operand *operand, bool has_memory)
{
    uint8_t *area = simd_area(env);
    unsigned op = env->insn.op;
    uint8_t *word = area + (op == INSN_OP_FNSTSW ? XSAVE_FSW : XSAVE_FCW);
    if (!has_memory) {
        env->cpu->gpr[CPU_RAX] = (env->cpu->gpr[CPU_RAX] & ~0xffffull) | load_le16(word);
        return STEP_DONE;
    }
    struct simd_accesses accesses;
    TRY(simd_prepare(env, operand, 3, op == INSN_OP_FLDCW ? ACCESS_READ : ACCESS_WRITE, &accesses));
    if (op == INSN_OP_FLDCW) {
        simd_read(env, &accesses, word);
        xsave_x87_summarize(area);
    } else {
        simd_write(env, &accesses, word);
    }
    return STEP_DONE;
}

enum step_result simd_x87(struct step_env *env)
{
    struct simd_operand operand = {0};
    bool has_memory = simd_operand(env, &operand);
    uint8_t *area = simd_area(env);
    switch (env->insn.op) {
    case INSN_OP_FNSTENV:
        return store_environment(env, &operand, false);
    case INSN_OP_FNSAVE:
        return store_environment(env, &operand, true);
    case INSN_OP_FLDENV:
        return load_environment(env, &operand, false);
    case INSN_OP_FRSTOR:
        return load_environment(env, &operand, true);
    case INSN_OP_FLDCW:
    case INSN_OP_FNSTCW:
    case INSN_OP_FNSTSW:
        return move_word(env, &operand, has_memory);
    case INSN_OP_FNINIT:
        unit_init(area);
        return STEP_DONE;
    case INSN_OP_FNCLEX:
        store_le16(area + XSAVE_FSW, load_le16(area + XSAVE_FSW) & 0x7f00);
        return STEP_DONE;
    case INSN_OP_FWAIT:
        return STEP_DONE;
    }
    return env_unsupported(env, "an x87 instruction of no known kind");
}
