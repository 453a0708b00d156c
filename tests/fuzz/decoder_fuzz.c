/* SPDX-License-Identifier: MIT
 *
 * libFuzzer on the decoder. The first two bytes choose mode, vendor and features; the rest is what is
 * decoded, from an allocation of exactly that size. What comes out must hang together: every operand can be
 * expanded, the text can be made, cuts answer as the whole does, and a re-encoding decodes to the same
 * instruction.
 */
#include "decoder/insn.h"
#include "tests/decoder/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool truth)
{
    if (!truth)
        abort();
}

static void check_operands(const struct insn *insn)
{
    char text[512];
    struct insn_memory memory;
    const uint64_t gpr[32] = {1, 2, 3}, bases[6] = {0};
    struct insn_registers registers = {.gpr = gpr, .segment_base = bases, .next_rip = insn->length};
    need(insn->length >= 1 && insn->length <= INSN_BYTES_MAX && insn->operand_count <= INSN_OPERANDS_MAX);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (!insn_memory(insn, &insn->operands[i], &memory))
            continue;
        uint64_t address = insn_address(insn, &memory, &registers, 0);
        need(insn->bits == 64 || address <= UINT32_MAX);
        need(memory.segment <= INSN_GS);
    }
    need(strlen(insn_text(insn, text, sizeof(text))) < sizeof(text));
}

static void check_encoding(const struct insn *insn)
{
    uint8_t bytes[INSN_BYTES_MAX];
    struct insn again;
    for (unsigned reg = 0; reg < 16; reg++) {
        size_t len = insn_encode_with_memory(insn, reg, bytes);
        need(len <= INSN_BYTES_MAX);
        if (!len)
            continue;
        struct insn_mode mode = insn_mode(64);
        mode.features = INSN_FEATURES_DEFAULT | INSN_FEATURE_APX | INSN_FEATURE_MPX;
        enum insn_status status = insn_decode(bytes, len, insn_mode(64), &again);
        if (status != INSN_OK)
            status = insn_decode(bytes, len, mode, &again);
        need(status == INSN_OK && again.length == len && again.mnemonic == insn->mnemonic);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct insn insn;
    if (size < 2)
        return 0;
    struct insn_mode mode = insn_mode(16u << data[0] % 3);
    mode.vendor = data[0] & 0x80 ? INSN_AMD : INSN_INTEL;
    mode.real = mode.bits != 64 && data[0] & 0x40;
    mode.features = data[0] & 0x20 ? (uint16_t)(data[1] | (data[0] & 0x10) << 4) : INSN_FEATURES_DEFAULT;
    size_t len = size - 2;
    uint8_t *bytes = malloc(len ? len : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 2, len);
    enum insn_status status = insn_decode(bytes, len, mode, &insn);
    if (status == INSN_OK) {
        need(insn.length <= len);
        check_operands(&insn);
        check_encoding(&insn);
    }
    need(status != INSN_NEED_BYTES || len < INSN_BYTES_MAX);
    free(bytes);
    return 0;
}
