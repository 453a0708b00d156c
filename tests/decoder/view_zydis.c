/* SPDX-License-Identifier: MIT
 *
 * Zydis's answer as a view. Its hidden operands include the stack and descriptor tables, which a view does
 * not list; its memory segment is always filled in, which in 64-bit code only counts for fs and gs.
 */
#include "tests/decoder/view.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "base/types.h"

static uint16_t register_of(ZydisRegister reg)
{
    static const struct {
        ZydisRegister first, last;
        enum view_class class;
        uint8_t number;
    } runs[] = {
        {ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL, VIEW_GPR8, 0},
        {ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W, VIEW_GPR16, 0},
        {ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D, VIEW_GPR32, 0},
        {ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15, VIEW_GPR64, 0},
        {ZYDIS_REGISTER_XMM0, ZYDIS_REGISTER_XMM31, VIEW_XMM, 0},
        {ZYDIS_REGISTER_YMM0, ZYDIS_REGISTER_YMM31, VIEW_YMM, 0},
        {ZYDIS_REGISTER_ZMM0, ZYDIS_REGISTER_ZMM31, VIEW_ZMM, 0},
        {ZYDIS_REGISTER_EIP, ZYDIS_REGISTER_EIP, VIEW_IP, 4},
        {ZYDIS_REGISTER_RIP, ZYDIS_REGISTER_RIP, VIEW_IP, 8},
    };
    if (reg == ZYDIS_REGISTER_NONE)
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(runs); i++)
        if (reg >= runs[i].first && reg <= runs[i].last)
            return VIEW_REGISTER(runs[i].class, runs[i].number + (reg - runs[i].first));
    return VIEW_REGISTER(VIEW_OTHER, 0);
}

static char segment_of(ZydisRegister segment, int mode)
{
    static const char names[] = "ecsdfg";
    char name = segment >= ZYDIS_REGISTER_ES && segment <= ZYDIS_REGISTER_GS
                    ? names[segment - ZYDIS_REGISTER_ES]
                    : 0;
    return mode != 64 || name == 'f' || name == 'g' ? name : 0;
}

/* The stack is a memory operand of its own kind that no view lists. */
static bool is_stack(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
    if (operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
        return false;
    ZydisRegister base = operand->mem.base;
    if (base == ZYDIS_REGISTER_SP || base == ZYDIS_REGISTER_ESP || base == ZYDIS_REGISTER_RSP)
        return true;
    return insn->mnemonic == ZYDIS_MNEMONIC_LEAVE || insn->mnemonic == ZYDIS_MNEMONIC_ENTER;
}

static void add_memory(struct view *view, const ZydisDecodedOperand *operand, int mode)
{
    if (view->memory_count == 2)
        return;
    struct view_memory *memory = &view->memory[view->memory_count++];
    memory->segment = segment_of(operand->mem.segment, mode);
    memory->base = register_of(operand->mem.base);
    memory->index = register_of(operand->mem.index);
    memory->scale = memory->index ? operand->mem.scale : 0;
    memory->disp = view_wrap(operand->mem.disp.value, view->address_size);
    memory->size = operand->size / 8;
    memory->access = (operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ ? VIEW_READ : 0) |
                     (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? VIEW_WRITE : 0);
    if (operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN || operand->mem.type == ZYDIS_MEMOP_TYPE_MIB) {
        memory->size = 0;
        memory->access = VIEW_ADDRESS;
    }
}

static ZydisDecoder *decoder_for(int mode, enum view_vendor vendor)
{
    static ZydisDecoder decoders[3][2];
    static bool is_ready;
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth stack;
    } kinds[] = {{ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16},
                 {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
                 {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};
    for (unsigned i = 0; !is_ready && i < 6; i++) {
        ZydisDecoder *decoder = &decoders[i / 2][i % 2];
        ZydisDecoderInit(decoder, kinds[i / 2].mode, kinds[i / 2].stack);
        ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, i % 2 == VIEW_AMD);
        ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
        ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
    }
    is_ready = true;
    return &decoders[mode == 16 ? 0 : mode == 32 ? 1 : 2][vendor];
}

static enum view_status status_of(ZyanStatus status)
{
    if (ZYAN_SUCCESS(status))
        return VIEW_OK;
    if (status == ZYDIS_STATUS_NO_MORE_DATA)
        return VIEW_NEED_BYTES;
    return status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? VIEW_TOO_LONG : VIEW_INVALID;
}

void view_zydis(struct view *view, const uint8_t *bytes, size_t len, int mode, enum view_vendor vendor)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    memset(view, 0, sizeof(*view));
    view->status = status_of(ZydisDecoderDecodeFull(decoder_for(mode, vendor), bytes, len, &insn, operands));
    if (view->status != VIEW_OK)
        return;
    view->length = insn.length;
    view->lock = insn.attributes & ZYDIS_ATTRIB_HAS_LOCK;
    view->address_size = insn.address_width / 8;
    view->mnemonic = ZydisMnemonicGetString(insn.mnemonic);
    for (unsigned i = 0; i < insn.operand_count; i++)
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && !is_stack(&insn, &operands[i]))
            add_memory(view, &operands[i], mode);
}

const char *view_isa(const uint8_t *bytes, size_t len, int mode)
{
    ZydisDecodedInstruction insn;
    ZyanStatus status = ZydisDecoderDecodeInstruction(decoder_for(mode, VIEW_AMD), NULL, bytes, len, &insn);
    return ZYAN_SUCCESS(status) ? ZydisISASetGetString(insn.meta.isa_set) : NULL;
}
