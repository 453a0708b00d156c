/* SPDX-License-Identifier: MIT
 *
 * Where a memory operand is: its description in one form, and its address from registers (SDM 1 3.7.5).
 */
#include "decoder/insn.h"
#include "decoder/mnemonic.h"

const struct insn_operand *insn_modrm_memory(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operands[i].kind == INSN_MEM)
            return &insn->operands[i];
    }
    return NULL;
}

static void base_alone(struct insn_memory *memory, unsigned reg)
{
    memory->base = (uint8_t)reg;
    memory->index = INSN_REG_NONE;
    memory->index_size = 0;
    memory->scale = 0;
    memory->disp = 0;
    memory->kind = INSN_MEMORY_IMPLICIT;
}

bool insn_memory(const struct insn *insn, const struct insn_operand *operand, struct insn_memory *memory)
{
    *memory = (struct insn_memory){
        .kind = INSN_MEMORY_MODRM,
        .segment = insn->segment,
        .base = insn->base,
        .index = insn->index,
        .index_size = insn->index_size,
        .scale = insn->scale,
        .access = operand->access,
        /* A prefetching gather has an element, for disp8*N, but touches nothing. */
        .size = operand->access ? operand->size : 0,
        .disp = insn->disp,
    };
    switch (operand->kind) {
    case INSN_MEM:
        return true;
    case INSN_MEM_MOFFS:
        memory->kind = INSN_MEMORY_MOFFS;
        return true;
    case INSN_MEM_SI:
        base_alone(memory, 6);
        return true;
    case INSN_MEM_DI:
        base_alone(memory, 7);
        memory->segment = INSN_ES;
        return true;
    case INSN_MEM_MASK:
        base_alone(memory, 7);
        return true;
    case INSN_MEM_REG:
        base_alone(memory, operand->reg);
        memory->segment = INSN_ES;
        return true;
    case INSN_MEM_XLAT:
        base_alone(memory, 3);
        memory->index = 0;
        memory->index_size = 1;
        memory->scale = 1;
        return true;
    default:
        return false;
    }
}

static uint64_t cut(uint64_t value, unsigned size)
{
    return size >= 8 ? value : value & ((1ull << 8 * size) - 1);
}

uint64_t insn_offset(const struct insn *insn, const struct insn_memory *memory,
                     const struct insn_registers *registers, int64_t element)
{
    uint64_t offset = (uint64_t)memory->disp;
    if (memory->base == INSN_REG_RIP)
        offset += registers->next_rip;
    else if (memory->base != INSN_REG_NONE)
        offset += registers->gpr[memory->base];
    if (memory->index_size >= 16)
        offset += (uint64_t)element * memory->scale;
    else if (memory->index != INSN_REG_NONE)
        offset += cut(registers->gpr[memory->index], memory->index_size) * memory->scale;
    return cut(offset, insn->address_size);
}

uint64_t insn_address(const struct insn *insn, const struct insn_memory *memory,
                      const struct insn_registers *registers, int64_t element)
{
    uint64_t offset = insn_offset(insn, memory, registers, element);
    if (insn->bits != 64)
        return cut(offset + registers->segment_base[memory->segment], 4);
    return memory->segment >= INSN_FS ? offset + registers->segment_base[memory->segment] : offset;
}

enum insn_segment insn_load_far_segment(const struct insn *insn)
{
    switch (insn->mnemonic) {
    case MNEMONIC_LES:
        return INSN_ES;
    case MNEMONIC_LDS:
        return INSN_DS;
    case MNEMONIC_LFS:
        return INSN_FS;
    case MNEMONIC_LGS:
        return INSN_GS;
    default:
        return INSN_SS;
    }
}
