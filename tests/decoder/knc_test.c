/* SPDX-License-Identifier: MIT
 *
 * Knights Corner against Zydis with its switch on: random MVEX encodings, most of them valid but for the
 * opcode. The differences that are known stand in is_known(): there we follow the Xeon Phi instruction set
 * reference.
 */
#include "decoder/insn.h"
#include "tests/decoder/anatomy.h"
#include "tests/harness.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

struct sides {
    struct insn ours;
    ZydisDecodedInstruction zydis;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    bool ours_ok, zydis_ok;
};

static void random_mvex(uint64_t *state, uint8_t bytes[16])
{
    uint64_t dice = random_next(state);
    unsigned at = dice % 16 < 2;
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(random_next(state) >> 56);
    bytes[0] = dice % 16 ? 0x64 : 0x67;
    bytes[at] = 0x62;
    bytes[at + 1] = (uint8_t)((bytes[at + 1] & 0xf0) | (1 + (bytes[at + 1] & 15) % 3));
    bytes[at + 2] = (uint8_t)((bytes[at + 2] & ~4) | (dice & 0x20 ? 0x78 : 0));
    bytes[at + 3] |= dice & 0x40 ? 8 : 0;
    bytes[at + 1] |= dice & 0x80 ? 0xf0 : 0;
}

static int register_number(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE                               ? INSN_REG_NONE
           : reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP ? INSN_REG_RIP
                                                                    : ZydisRegisterGetId(reg);
}

/* Gathers and scatters without a mask are #UD. Their prefetches and those of cache lines access nothing, and
 * count elements; operands of half a vector count what they are (Zydis: 64 bytes). With a base of R13D Zydis
 * loses the displacement. */
static bool is_known(const struct sides *sides, const char *what)
{
    const struct insn *insn = &sides->ours;
    const char *name = ZydisMnemonicGetString(sides->zydis.mnemonic);
    bool prefetch = sides->zydis_ok &&
                    (strstr(name, "prefetch") || strstr(name, "clevict") || strstr(name, "pf"));
    if (!strcmp(what, "validity"))
        return sides->zydis_ok && (strstr(name, "gather") || strstr(name, "scatter")) &&
               (!sides->zydis.avx.mask.reg || sides->zydis.avx.mask.reg == ZYDIS_REGISTER_K0 ||
                strstr(name, "hintdpd"));
    if (!strcmp(what, "registers"))
        return insn->address_size == 4 && insn->modrm < 0x40 && insn->attributes & INSN_HAS_SIB &&
               (insn->sib & 7) == 5;
    if (!strcmp(what, "size"))
        return prefetch;
    bool half = insn->operand_count == 2 && insn->map == 1 &&
                (insn->opcode == 0x5a || insn->opcode == 0x7a || insn->opcode == 0xe6) &&
                insn->operand_size == 4;
    return !strcmp(what, "displacement") && (half || (prefetch && insn->opcode == 0xc6));
}

static const char *compare_memory(const struct insn_memory *ours, const ZydisDecodedOperand *zydis)
{
    if (ours->base != register_number(zydis->mem.base) || ours->index != register_number(zydis->mem.index))
        return "registers";
    if (ours->disp != zydis->mem.disp.value)
        return "displacement";
    return ours->size != zydis->size / 8 ? "size" : NULL;
}

static const char *compare_operands(const struct sides *sides)
{
    const struct insn_operand *ours = sides->ours.operands;
    for (unsigned i = 0; i < sides->zydis.operand_count; i++) {
        const ZydisDecodedOperand *operand = &sides->operands[i];
        struct insn_memory memory;
        const char *what = NULL;
        if (operand->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
            operand->encoding == ZYDIS_OPERAND_ENCODING_MASK)
            continue;
        if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY)
            what = insn_memory(&sides->ours, ours, &memory) ? compare_memory(&memory, operand) : "operand";
        else if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                 ours->reg != register_number(operand->reg.value))
            what = "registers";
        if (what && !is_known(sides, what))
            return what;
        ours++;
    }
    return NULL;
}

static const char *compare(const struct sides *sides)
{
    if (sides->ours_ok != sides->zydis_ok)
        return is_known(sides, "validity") ? NULL : "validity";
    if (!sides->ours_ok)
        return NULL;
    if (sides->ours.length != sides->zydis.length)
        return "length";
    if (strcmp(insn_mnemonic(&sides->ours), ZydisMnemonicGetString(sides->zydis.mnemonic)) != 0)
        return "mnemonic";
    return compare_operands(sides);
}

START_TEST(random_mvex_as_zydis)
{
    uint64_t state = test_seed() * 2 + 1;
    unsigned long cases = test_cases(1000000), valid = 0, wrong = 0;
    struct insn_mode mode = insn_mode(64);
    ZydisDecoder decoder;
    mode.features |= INSN_FEATURE_KNC;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_TRUE);
    for (unsigned long i = 0; i < cases; i++) {
        static struct sides sides;
        uint8_t bytes[16];
        random_mvex(&state, bytes);
        sides.ours_ok = insn_decode(bytes, 15, mode, &sides.ours) == INSN_OK;
        sides.zydis_ok = ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, bytes, 15, &sides.zydis, sides.operands));
        valid += sides.ours_ok;
        const char *what = compare(&sides);
        if (!what || wrong++ >= 20)
            continue;
        printf("# %s:", what);
        for (unsigned j = 0; j < 15; j++)
            printf(" %02x", bytes[j]);
        printf("\n");
    }
    printf("# %lu MVEX encodings compared, %lu valid\n", cases, valid);
    ck_assert_uint_gt(valid, cases / 200);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, random_mvex_as_zydis, 3600);
}
