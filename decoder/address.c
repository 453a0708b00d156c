/* SPDX-License-Identifier: MIT
 *
 * Where a memory operand is: its description in one form, and its address from registers (SDM 1 3.7.5).
 */
#include <string.h>

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

_Static_assert(offsetof(struct insn, index_size) - offsetof(struct insn, segment) ==
                   offsetof(struct insn_memory, index_size) - offsetof(struct insn_memory, segment),
               "insn_memory() copies five fields at once");

/* Memory that the ModRM byte does not name. */
static bool implied_memory(const struct insn *insn, const struct insn_operand *operand,
                           struct insn_memory *memory)
{
    memory->segment = insn->segment;
    switch (operand->kind) {
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

bool insn_memory(const struct insn *insn, const struct insn_operand *operand, struct insn_memory *memory)
{
    /* Size and access end both structs. */
    memcpy((char *)memory + offsetof(struct insn_memory, kind) + 1, (const char *)operand + 2, 2);
    if (operand->kind != INSN_MEM && operand->kind != INSN_MEM_MOFFS)
        return implied_memory(insn, operand, memory);
    memory->kind = operand->kind == INSN_MEM ? INSN_MEMORY_MODRM : INSN_MEMORY_MOFFS;
    memory->disp = insn->disp;
    memcpy(&memory->segment, &insn->segment, 5);
    return true;
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
