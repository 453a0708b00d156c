/* SPDX-License-Identifier: MIT
 *
 * Ours, Zydis (with all operands, and in minimal mode, which gives little more than the length) and Capstone
 * (detail on, by cs_disasm_iter, its fastest way in).
 */
#include "bench/decoder_sweeps.h"
#include "base/types.h"
#include "decoder/insn.h"

#include <Zydis/Zydis.h>
#include <capstone/capstone.h>

static ZydisDecoder zydis_full, zydis_minimal;
static csh capstone;
static cs_insn *capstone_insn;

void sweep_init(void)
{
    ZydisDecoderInit(&zydis_full, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&zydis_minimal, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&zydis_minimal, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
    cs_open(CS_ARCH_X86, CS_MODE_64, &capstone);
    cs_option(capstone, CS_OPT_DETAIL, CS_OPT_ON);
    capstone_insn = cs_malloc(capstone);
}

/* The length, or 0. A ModRM memory operand is in the instruction itself; the implicit ones are expanded. */
static inline unsigned ours_one(const uint8_t *bytes, size_t len, uint64_t *checksum)
{
    struct insn insn;
    if (insn_decode(bytes, len, insn_mode(64), &insn) != INSN_OK)
        return 0;
    *checksum += insn.mnemonic;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        const struct insn_operand *operand = &insn.operands[i];
        struct insn_memory memory;
        if (operand->kind == INSN_MEM)
            *checksum += (uint64_t)insn.disp + insn.base + operand->size;
        else if (operand->kind > INSN_MEM && insn_memory(&insn, operand, &memory))
            *checksum += (uint64_t)memory.disp + memory.base;
        else
            *checksum += operand->reg;
    }
    return insn.length;
}

static inline unsigned zydis_full_one(const uint8_t *bytes, size_t len, uint64_t *checksum)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis_full, bytes, len, &insn, operands)))
        return 0;
    *checksum += (uint64_t)insn.mnemonic;
    for (unsigned i = 0; i < insn.operand_count_visible; i++)
        *checksum += operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY ? (uint64_t)operands[i].mem.disp.value
                                                                   : (uint64_t)operands[i].type;
    return insn.length;
}

static inline unsigned zydis_minimal_one(const uint8_t *bytes, size_t len, uint64_t *checksum)
{
    ZydisDecodedInstruction insn;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&zydis_minimal, NULL, bytes, len, &insn)))
        return 0;
    *checksum += insn.opcode;
    return insn.length;
}

static inline unsigned capstone_one(const uint8_t *bytes, size_t len, uint64_t *checksum)
{
    uint64_t address = 0;
    if (!cs_disasm_iter(capstone, &bytes, &len, &address, capstone_insn))
        return 0;
    const cs_x86 *detail = &capstone_insn->detail->x86;
    *checksum += capstone_insn->id;
    for (unsigned i = 0; i < detail->op_count; i++)
        *checksum += detail->operands[i].type == X86_OP_MEM ? (uint64_t)detail->operands[i].mem.disp
                                                            : (uint64_t)detail->operands[i].type;
    return capstone_insn->size;
}

#define DECODER(name)                                                                             \
    __attribute__((noinline)) struct sweep_result sweep_##name(const uint8_t *bytes, size_t len); \
    struct sweep_result sweep_##name(const uint8_t *bytes, size_t len)                            \
    {                                                                                             \
        struct sweep_result result = {0};                                                         \
        for (size_t at = 0; at < len; result.instructions++) {                                    \
            unsigned length = name##_one(bytes + at, len - at, &result.checksum);                 \
            at += length ? length : 1;                                                            \
        }                                                                                         \
        return result;                                                                            \
    }                                                                                             \
    static unsigned once_##name(const uint8_t *bytes, size_t len)                                 \
    {                                                                                             \
        uint64_t checksum = 0;                                                                    \
        unsigned length = name##_one(bytes, len, &checksum);                                      \
        return length + (unsigned)checksum;                                                       \
    }
DECODER(ours)
DECODER(zydis_full)
DECODER(zydis_minimal)
DECODER(capstone)

const struct sweep_decoder sweep_decoders[] = {
    {"ours", "--toggle-collect=insn_decode --toggle-collect=insn_memory", sweep_ours, once_ours},
    {"zydis", "--toggle-collect=ZydisDecoderDecodeFull", sweep_zydis_full, once_zydis_full},
    {"zydis-minimal", "--toggle-collect=ZydisDecoderDecodeInstruction", sweep_zydis_minimal,
     once_zydis_minimal},
    {"capstone", "--toggle-collect=cs_disasm_iter", sweep_capstone, once_capstone},
};
const unsigned sweep_decoder_count = ARRAY_COUNT(sweep_decoders);
