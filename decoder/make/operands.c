/* SPDX-License-Identifier: MIT
 *
 * The operand letters: those of SDM 2 Appendix A, and some of our own where it has none. docs/decoder.md
 * lists them for readers.
 */
#include <stdlib.h>
#include <string.h>

#include "decoder/make/make.h"

enum { NEEDS_MODRM = 1, MEM_ONLY = 2, REG_ONLY = 4, USES_VVVV = 8, SIZED = 16 };

static const struct method {
    const char *letters;
    unsigned how, needs;
    unsigned size; /* where the token is whole */
    unsigned imm;
} methods[] = {
    /* Whole tokens first: the longest match wins among them. */
    {"AL", HOW_AX, 0, SIZE_1, 0},
    {"AX", HOW_AX, 0, SIZE_2, 0},
    {"eAX", HOW_AX, 0, SIZE_Z, 0},
    {"rAX", HOW_AX, 0, SIZE_V, 0},
    {"EAXd", HOW_AX, 0, SIZE_4, 0},
    {"aAX", HOW_AX, 0, SIZE_ADDR, 0},
    {"CL", HOW_CX, 0, SIZE_1, 0},
    {"DX", HOW_DX, 0, SIZE_2, 0},
    {"ECXd", HOW_CX, 0, SIZE_4, 0},
    {"EDXd", HOW_DX, 0, SIZE_4, 0},
    {"ES", HOW_SEG, 0, 0, 0},
    {"CS", HOW_SEG, 0, 1, 0},
    {"SS", HOW_SEG, 0, 2, 0},
    {"DS", HOW_SEG, 0, 3, 0},
    {"FS", HOW_SEG, 0, 4, 0},
    {"GS", HOW_SEG, 0, 5, 0},
    {"ST", HOW_ST0, 0, SIZE_10, 0},
    {"STi", HOW_STI, NEEDS_MODRM | REG_ONLY, SIZE_10, 0},
    {"XMM0", HOW_XMM0, 0, SIZE_16, 0},
    {"1", HOW_ONE, 0, SIZE_1, 0},
    {"Ib", HOW_IMM, 0, SIZE_1, IMM_1},
    {"sIb", HOW_IMM, 0, SIZE_1, IMM_S1},
    {"Iw", HOW_IMM, 0, SIZE_2, IMM_2},
    {"Id", HOW_IMM, 0, SIZE_4, IMM_4},
    {"Iz", HOW_IMM, 0, SIZE_Z, IMM_Z},
    {"Iv", HOW_IMM, 0, SIZE_V, IMM_V},
    {"Iq", HOW_IMM, 0, SIZE_8, IMM_8},
    {"Jb", HOW_REL, 0, SIZE_1, IMM_S1},
    {"Jz", HOW_REL, 0, SIZE_Z, IMM_REL},
    {"Jq", HOW_IMM, 0, SIZE_8, IMM_8},
    {"Ap", HOW_FAR, 0, SIZE_P, IMM_FAR},
    {"Ob", HOW_MOFFS, 0, SIZE_1, IMM_MOFFS},
    {"Ov", HOW_MOFFS, 0, SIZE_V, IMM_MOFFS},
    {"Xb", HOW_SI, 0, SIZE_1, 0},
    {"Xv", HOW_SI, 0, SIZE_V, 0},
    {"Xz", HOW_SI, 0, SIZE_Z, 0},
    {"Yb", HOW_DI, 0, SIZE_1, 0},
    {"Yv", HOW_DI, 0, SIZE_V, 0},
    {"Yz", HOW_DI, 0, SIZE_Z, 0},
    {"Xlat", HOW_XLAT, 0, SIZE_1, 0},
    {"MaskQ", HOW_MASKMOV, 0, SIZE_8, 0},
    {"MaskDQ", HOW_MASKMOV, 0, SIZE_16, 0},
    {"MGoq", HOW_MEM_REG, NEEDS_MODRM, SIZE_64, 0},
    {"Sw", HOW_S, NEEDS_MODRM, SIZE_2, 0},
    {"Cm", HOW_C, NEEDS_MODRM, SIZE_M, 0},
    {"Dm", HOW_D, NEEDS_MODRM, SIZE_M, 0},
    {"Td", HOW_T, NEEDS_MODRM, SIZE_4, 0},
    {"L", HOW_L, 0, SIZE_X, IMM_1},
    {"Ldq", HOW_L, 0, SIZE_16, IMM_1},
    {"Ld", HOW_L, 0, SIZE_4, IMM_1},
    {"Lq", HOW_L, 0, SIZE_8, IMM_1},
    {"Lx", HOW_L, 0, SIZE_X, IMM_1},
    {"TG", HOW_TG, NEEDS_MODRM, SIZE_1024, 0},
    {"TH", HOW_TH, USES_VVVV, SIZE_1024, 0},
    {"TR", HOW_TE, NEEDS_MODRM | REG_ONLY, SIZE_1024, 0},
    {"BndG", HOW_BG, NEEDS_MODRM, SIZE_16, 0},
    {"BndR", HOW_BE, NEEDS_MODRM | REG_ONLY, SIZE_16, 0},
    /* Letters that a size follows */
    {"KG", HOW_KG, NEEDS_MODRM | SIZED, 0, 0},
    {"KH", HOW_KH, USES_VVVV | SIZED, 0, 0},
    {"KE", HOW_KE, NEEDS_MODRM | SIZED, 0, 0},
    {"KR", HOW_KE, NEEDS_MODRM | REG_ONLY | SIZED, 0, 0},
    {"BndE", HOW_BE, NEEDS_MODRM | SIZED, 0, 0},
    {"E", HOW_E, NEEDS_MODRM | SIZED, 0, 0},
    {"M", HOW_E, NEEDS_MODRM | MEM_ONLY | SIZED, 0, 0},
    {"R", HOW_E, NEEDS_MODRM | REG_ONLY | SIZED, 0, 0},
    {"G", HOW_G, NEEDS_MODRM | SIZED, 0, 0},
    {"B", HOW_B, USES_VVVV | SIZED, 0, 0},
    {"Z", HOW_Z, SIZED, 0, 0},
    {"W", HOW_W, NEEDS_MODRM | SIZED, 0, 0},
    {"U", HOW_W, NEEDS_MODRM | REG_ONLY | SIZED, 0, 0},
    {"V", HOW_V, NEEDS_MODRM | SIZED, 0, 0},
    {"H", HOW_H, USES_VVVV | SIZED, 0, 0},
    {"Q", HOW_Q, NEEDS_MODRM | SIZED, 0, 0},
    {"N", HOW_Q, NEEDS_MODRM | REG_ONLY | SIZED, 0, 0},
    {"P", HOW_P, NEEDS_MODRM | SIZED, 0, 0},
};

static const struct {
    const char *name;
    unsigned size;
} sizes[] = {
    {"0", SIZE_0},     {"b", SIZE_1},       {"w", SIZE_2},       {"d", SIZE_4},       {"q", SIZE_8},
    {"dq", SIZE_16},   {"qq", SIZE_32},     {"oq", SIZE_64},     {"t", SIZE_10},      {"v", SIZE_V},
    {"y", SIZE_Y},     {"z", SIZE_Z},       {"a", SIZE_A},       {"p", SIZE_P},       {"s", SIZE_S},
    {"m", SIZE_M},     {"addr", SIZE_ADDR}, {"env", SIZE_ENV},   {"save", SIZE_SAVE}, {"2y", SIZE_2M},
    {"x", SIZE_X},     {"xh", SIZE_XH},     {"xq", SIZE_XQ},     {"xo", SIZE_XO},     {"dd", SIZE_DDUP},
    {"ss", SIZE_4},    {"sd", SIZE_8},      {"ps", SIZE_X},      {"pd", SIZE_X},      {"48", SIZE_48},
    {"512", SIZE_512}, {"576", SIZE_576},   {"1024", SIZE_1024}, {"sh", SIZE_2},      {"ph", SIZE_X},
};

static bool size_parse(const char *name, unsigned *size)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        if (!strcmp(sizes[i].name, name)) {
            *size = sizes[i].size;
            return true;
        }
    }
    return false;
}

/* What MVEX has in braces beside the others. */
static bool conversion(struct row *row, const char *name)
{
    static const char *const names[MVEX_CONVERSIONS] = {"", "f32", "f32b", "i32", "i32b", "64b", "4to16"};
    for (unsigned i = 1; i < MVEX_CONVERSIONS; i++) {
        if (!strcmp(name, names[i])) {
            row->checks |= i << CHECK_CONVERSION_SHIFT;
            return true;
        }
    }
    if (!strcmp(name, "swz"))
        row->checks |= CHECK_SWIZZLE;
    else if (!strcmp(name, "noeh"))
        row->checks |= CHECK_NO_E;
    else
        return false;
    return true;
}

/* What stands in braces after an operand: {k} {kz} {k!} masks; {b16} {b32} {b64} broadcasts; {er}, {sae},
 * {ig}: b is ignored. */
static void decoration(struct row *row, const char *name)
{
    if (!strcmp(name, "k") || !strcmp(name, "nf"))
        row->checks |= CHECK_MASK;
    else if (!strcmp(name, "kz"))
        row->checks |= CHECK_MASK | CHECK_ZEROING;
    else if (!strcmp(name, "k!"))
        row->checks |= CHECK_MASK | CHECK_MASK_NEEDED;
    else if (!strcmp(name, "b16") || !strcmp(name, "e16"))
        row->checks |= 1u << CHECK_BROADCAST_SHIFT;
    else if (!strcmp(name, "b32") || !strcmp(name, "e32"))
        row->checks |= 2u << CHECK_BROADCAST_SHIFT;
    else if (!strcmp(name, "b64") || !strcmp(name, "e64"))
        row->checks |= 3u << CHECK_BROADCAST_SHIFT;
    else if (conversion(row, name) || !strcmp(name, "e8"))
        ;
    else if (!strcmp(name, "er"))
        row->checks |= CHECK_ER;
    else if (!strcmp(name, "sae"))
        row->checks |= CHECK_SAE;
    else if (!strcmp(name, "ig"))
        row->checks |= CHECK_ER | CHECK_SAE;
    else
        fail(row, "unknown decoration {%s}", name);
    if (name[0] == 'e' && name[1] != 'r')
        row->checks |= CHECK_COMPRESSED;
}

static void needs_apply(struct row *row, unsigned needs)
{
    if (needs & NEEDS_MODRM)
        row->checks |= CHECK_MODRM;
    if (needs & USES_VVVV)
        row->checks |= CHECK_VVVV;
    if (needs & MEM_ONLY)
        row->set[DIM_MOD] &= 1;
    if (needs & REG_ONLY)
        row->set[DIM_MOD] &= 2;
    if (needs & (MEM_ONLY | REG_ONLY))
        row->given |= 1u << DIM_MOD;
}

static bool is_vector(unsigned how)
{
    return how == HOW_W || how == HOW_V || how == HOW_H || how == HOW_L;
}

static bool add(struct row *row, unsigned how, unsigned size, unsigned needs, unsigned imm)
{
    if (row->operand_count == 4)
        fail(row, "more than four operands");
    needs_apply(row, needs);
    if (size == SIZE_1 && (how == HOW_E || how == HOW_G || how == HOW_Z))
        how = how == HOW_E ? HOW_E_BYTE : how == HOW_G ? HOW_G_BYTE : HOW_Z_BYTE;
    if (is_vector(how) && size >= SIZE_1 && size <= SIZE_8)
        size += SIZE_1_X - SIZE_1;
    if (imm == IMM_1 && row->imm == IMM_1 && how == HOW_IMM) {
        row->imm = IMM_1_1;
        how = HOW_IMM2;
    } else if (imm == IMM_1 && row->imm == IMM_2) {
        row->imm = IMM_2_1;
        how = HOW_IMM2;
    } else if (imm) {
        row->imm = imm;
    }
    row->operands[row->operand_count++] = (uint16_t)(how | size << 6);
    return true;
}

/* "VM" element "x" or "h": memory by VSIB, its index as long as the vector, or half of it. */
static bool vsib_parse(struct row *row, const char *token)
{
    row->checks |= (token[3] == 'h' ? 2u : 1u) << CHECK_VSIB_SHIFT;
    return add(row, HOW_E, token[2] == 'q' ? SIZE_8 : SIZE_4, NEEDS_MODRM | MEM_ONLY, 0);
}

static bool plain_parse(struct row *row, const char *token)
{
    unsigned size;
    if (!strncmp(token, "VM", 2) && strlen(token) == 4)
        return vsib_parse(row, token);
    if (token[0] == 'M' && strchr(token, '/')) { /* Mb/Rd: memory of b, a register of d or v */
        char memory[8] = {token[1], strchr(token, '/') == token + 3 ? token[2] : 0, 0};
        if (!size_parse(memory, &size))
            return false;
        char wide = token[strlen(token) - 1];
        if (wide == 'v' && (size == SIZE_0 || size == SIZE_2))
            size = size ? SIZE_2_V : SIZE_0_V;
        else if (wide == 'd' && size >= SIZE_1 && size <= SIZE_4)
            size += SIZE_1_Y - SIZE_1;
        else
            fail(row, "no such pair of sizes: %s", token);
        return add(row, HOW_E, size, NEEDS_MODRM, 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        const struct method *method = &methods[i];
        size_t len = strlen(method->letters);
        if (!(method->needs & SIZED)) {
            if (!strcmp(token, method->letters))
                return add(row, method->how, method->size, method->needs, method->imm);
        } else if (!strncmp(token, method->letters, len) && size_parse(token + len, &size)) {
            return add(row, method->how, size, method->needs, 0);
        }
    }
    return false;
}

bool operand_parse(struct row *row, const char *token)
{
    char plain[32];
    size_t len = strcspn(token, "{");
    if (len >= sizeof(plain))
        return false;
    memcpy(plain, token, len);
    plain[len] = 0;
    if (!plain_parse(row, plain))
        return false;
    for (const char *open = strchr(token, '{'); open; open = strchr(open + 1, '{')) {
        char name[8] = {0};
        size_t name_len = strcspn(open + 1, "}");
        memcpy(name, open + 1, name_len < 7 ? name_len : 7);
        decoration(row, name);
    }
    return true;
}
