/* SPDX-License-Identifier: MIT
 *
 * Our decoder's answer as a view.
 */
#include "decoder/insn.h"
#include "tests/decoder/view.h"

#include <string.h>

static uint16_t register_of(uint8_t number, unsigned size)
{
    if (number == INSN_REG_NONE)
        return 0;
    if (number == INSN_REG_RIP)
        return VIEW_REGISTER(VIEW_IP, size);
    switch (size) {
    case 1:
        return VIEW_REGISTER(VIEW_GPR8, number);
    case 2:
        return VIEW_REGISTER(VIEW_GPR16, number);
    case 4:
        return VIEW_REGISTER(VIEW_GPR32, number);
    case 8:
        return VIEW_REGISTER(VIEW_GPR64, number);
    case 16:
        return VIEW_REGISTER(VIEW_XMM, number);
    case 32:
        return VIEW_REGISTER(VIEW_YMM, number);
    case 64:
        return VIEW_REGISTER(VIEW_ZMM, number);
    default:
        return VIEW_REGISTER(VIEW_OTHER, number);
    }
}

static void add_memory(struct view *view, const struct insn *insn, const struct insn_memory *from)
{
    if (view->memory_count == 2)
        return;
    struct view_memory *memory = &view->memory[view->memory_count++];
    char segment = "ecsdfg"[from->segment];
    memory->segment = insn->bits != 64 || segment == 'f' || segment == 'g' ? segment : 0;
    memory->base = register_of(from->base, insn->address_size);
    memory->index = register_of(from->index, from->index_size);
    memory->scale = memory->index ? from->scale : 0;
    memory->disp = from->disp;
    memory->size = from->size;
    memory->access = from->access;
}

void view_ours(struct view *view, const uint8_t *bytes, size_t len, int mode, enum view_vendor vendor)
{
    struct insn insn;
    struct insn_mode how = insn_mode((unsigned)mode);
    how.vendor = vendor == VIEW_AMD ? INSN_AMD : INSN_INTEL;
    memset(view, 0, sizeof(*view));
    static const enum view_status states[] = {[INSN_OK] = VIEW_OK,
                                              [INSN_NEED_BYTES] = VIEW_NEED_BYTES,
                                              [INSN_INVALID] = VIEW_INVALID,
                                              [INSN_TOO_LONG] = VIEW_TOO_LONG};
    view->status = states[insn_decode(bytes, len, how, &insn)];
    if (view->status != VIEW_OK)
        return;
    view->length = insn.length;
    view->lock = insn.prefixes & INSN_PREFIX_LOCK;
    view->address_size = insn.address_size;
    view->mnemonic = insn_mnemonic(&insn);
    view->isa = insn_isa_name((enum insn_isa)insn.isa);
    for (unsigned i = 0; i < insn.operand_count; i++) {
        struct insn_memory memory;
        if (insn_memory(&insn, &insn.operands[i], &memory))
            add_memory(view, &insn, &memory);
    }
}
