/* SPDX-License-Identifier: MIT
 *
 * Capstone's answer as a view. It names a segment only when a prefix does, and gives neither truncation nor
 * excessive length as such: whatever it cannot decode is invalid.
 */
#include "tests/decoder/view.h"

#include <capstone/capstone.h>
#include <stdlib.h>
#include <string.h>

/* Its registers are in alphabetical order, but for the runs at the end. */
static uint16_t register_of(x86_reg reg)
{
#define R(name, class, number) [X86_REG_##name] = VIEW_REGISTER(class, number)
    static const uint16_t named[X86_REG_ENDING] = {
        R(AL, VIEW_GPR8, 0),    R(CL, VIEW_GPR8, 1),    R(DL, VIEW_GPR8, 2),    R(BL, VIEW_GPR8, 3),
        R(AX, VIEW_GPR16, 0),   R(CX, VIEW_GPR16, 1),   R(DX, VIEW_GPR16, 2),   R(BX, VIEW_GPR16, 3),
        R(SP, VIEW_GPR16, 4),   R(BP, VIEW_GPR16, 5),   R(SI, VIEW_GPR16, 6),   R(DI, VIEW_GPR16, 7),
        R(EAX, VIEW_GPR32, 0),  R(ECX, VIEW_GPR32, 1),  R(EDX, VIEW_GPR32, 2),  R(EBX, VIEW_GPR32, 3),
        R(ESP, VIEW_GPR32, 4),  R(EBP, VIEW_GPR32, 5),  R(ESI, VIEW_GPR32, 6),  R(EDI, VIEW_GPR32, 7),
        R(RAX, VIEW_GPR64, 0),  R(RCX, VIEW_GPR64, 1),  R(RDX, VIEW_GPR64, 2),  R(RBX, VIEW_GPR64, 3),
        R(RSP, VIEW_GPR64, 4),  R(RBP, VIEW_GPR64, 5),  R(RSI, VIEW_GPR64, 6),  R(RDI, VIEW_GPR64, 7),
        R(R8, VIEW_GPR64, 8),   R(R9, VIEW_GPR64, 9),   R(R10, VIEW_GPR64, 10), R(R11, VIEW_GPR64, 11),
        R(R12, VIEW_GPR64, 12), R(R13, VIEW_GPR64, 13), R(R14, VIEW_GPR64, 14), R(R15, VIEW_GPR64, 15),
        R(EIP, VIEW_IP, 4),     R(RIP, VIEW_IP, 8),
    };
#undef R
    if (reg == X86_REG_INVALID || reg == X86_REG_EIZ || reg == X86_REG_RIZ)
        return 0;
    if (named[reg])
        return named[reg];
    if (reg >= X86_REG_XMM0 && reg <= X86_REG_XMM31)
        return VIEW_REGISTER(VIEW_XMM, reg - X86_REG_XMM0);
    if (reg >= X86_REG_YMM0 && reg <= X86_REG_YMM31)
        return VIEW_REGISTER(VIEW_YMM, reg - X86_REG_YMM0);
    if (reg >= X86_REG_ZMM0 && reg <= X86_REG_ZMM31)
        return VIEW_REGISTER(VIEW_ZMM, reg - X86_REG_ZMM0);
    if (reg >= X86_REG_R8D && reg <= X86_REG_R15D)
        return VIEW_REGISTER(VIEW_GPR32, 8 + reg - X86_REG_R8D);
    return VIEW_REGISTER(VIEW_OTHER, 0);
}

/* The segment in force: the named one, else by the base register. */
static char segment_of(const x86_op_mem *memory, int mode)
{
    switch (memory->segment) {
    case X86_REG_FS:
        return 'f';
    case X86_REG_GS:
        return 'g';
    case X86_REG_ES:
        return mode == 64 ? 0 : 'e';
    case X86_REG_CS:
        return mode == 64 ? 0 : 'c';
    case X86_REG_SS:
        return mode == 64 ? 0 : 's';
    case X86_REG_DS:
        return mode == 64 ? 0 : 'd';
    default:
        break;
    }
    if (mode == 64)
        return 0;
    bool is_stack = memory->base == X86_REG_BP || memory->base == X86_REG_EBP || memory->base == X86_REG_ESP;
    return is_stack ? 's' : 'd';
}

static void add_memory(struct view *view, const cs_x86_op *operand, int mode)
{
    if (view->memory_count == 2)
        return;
    struct view_memory *memory = &view->memory[view->memory_count++];
    memory->segment = segment_of(&operand->mem, mode);
    memory->base = register_of(operand->mem.base);
    memory->index = register_of(operand->mem.index);
    memory->scale = memory->index ? operand->mem.scale : 0;
    memory->disp = view_wrap(operand->mem.disp, view->address_size);
    memory->size = operand->size;
    memory->access = (operand->access & CS_AC_READ ? VIEW_READ : 0) |
                     (operand->access & CS_AC_WRITE ? VIEW_WRITE : 0);
}

static csh handle_for(int mode, cs_insn **insn)
{
    static csh handles[3];
    static cs_insn *insns[3];
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    unsigned index = mode == 16 ? 0 : mode == 32 ? 1 : 2;
    if (!insns[index]) {
        if (cs_open(CS_ARCH_X86, modes[index], &handles[index]) != CS_ERR_OK)
            abort();
        cs_option(handles[index], CS_OPT_DETAIL, CS_OPT_ON);
        insns[index] = cs_malloc(handles[index]);
    }
    *insn = insns[index];
    return handles[index];
}

void view_capstone(struct view *view, const uint8_t *bytes, size_t len, int mode)
{
    cs_insn *insn;
    csh handle = handle_for(mode, &insn);
    uint64_t address = 0;
    memset(view, 0, sizeof(*view));
    size_t rest = len;
    const uint8_t *next = bytes;
    if (!cs_disasm_iter(handle, &next, &rest, &address, insn)) {
        view->status = VIEW_INVALID;
        return;
    }
    const cs_x86 *detail = &insn->detail->x86;
    view->length = insn->size;
    view->lock = detail->prefix[0] == X86_PREFIX_LOCK;
    view->address_size = detail->addr_size;
    view->mnemonic = cs_insn_name(handle, insn->id);
    for (unsigned i = 0; i < detail->op_count; i++)
        if (detail->operands[i].type == X86_OP_MEM)
            add_memory(view, &detail->operands[i], mode);
}
