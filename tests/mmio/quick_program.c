/* SPDX-License-Identifier: MIT
 *
 * Random programs, instruction by instruction. See quick_program.h.
 */
#include "tests/mmio/quick_program.h"

#include "tests/mmio/oracle.h"

unsigned random_below(unsigned limit)
{
    return (unsigned)(oracle_random() >> 32) % limit;
}

static void put(struct program *program, unsigned byte)
{
    program->bytes[program->len++] = (uint8_t)byte;
}

static void put_random(struct program *program, unsigned count)
{
    while (count--)
        put(program, random_below(256));
}

/* ModRM with what belongs to it; `reg` 8: any. What is far away is mostly a fault, so displacements are
 * small. */
static void put_modrm(struct program *program, unsigned reg, bool memory)
{
    unsigned mod = memory ? random_below(2) : random_below(4), rm = random_below(8);
    if (mod == 2)
        mod = 3;
    put(program, mod << 6 | (reg < 8 ? reg : random_below(8)) << 3 | rm);
    unsigned sib = random_below(256);
    if (mod != 3 && rm == 4)
        put(program, sib);
    if (mod == 1)
        put_random(program, 1);
    if (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5))) {
        put(program, random_below(256)); /* around rip: into the code; absolute: into nothing */
        put(program, 0), put(program, 0), put(program, 0);
    }
}

/* ADD, SUB, CMP and, where they may be, OR, AND, XOR. */
static unsigned pick_alu(const struct program *program)
{
    static const uint8_t numbers[] = {0, 5, 7, 1, 4, 6};
    return numbers[random_below(program->has_logic ? 6 : 3)];
}

/* Of operand size 1, 2, 4 or 8: `is_wide` is the lowest bit of the opcode. */
struct size {
    bool is_wide, is_word, is_quad;
};

static void put_immediate(struct program *program, struct size size)
{
    put_random(program, !size.is_wide ? 1 : size.is_word ? 2 : 4);
}

static struct size put_prefixes(struct program *program)
{
    struct size size = {.is_wide = random_below(4) > 0, .is_word = !random_below(6)};
    bool has_rex = program->is_64bit && !random_below(3);
    unsigned rex = 0x40 | random_below(16);
    if (!random_below(16))
        put(program, 0x64); /* FS */
    if (!random_below(24))
        put(program, 0x67);
    if (size.is_word)
        put(program, 0x66);
    if (has_rex)
        put(program, rex);
    size.is_quad = has_rex && (rex & 8);
    size.is_word = size.is_word && !size.is_quad;
    return size;
}

static void put_alu(struct program *program, struct size size)
{
    unsigned number = pick_alu(program), is_short = size.is_wide && random_below(2);
    if (random_below(3)) {
        put(program, number << 3 | random_below(2) << 1 | size.is_wide);
        put_modrm(program, 8, false);
        return;
    }
    put(program, is_short ? 0x83 : 0x80 | size.is_wide);
    put_modrm(program, number, false);
    put_immediate(program, is_short ? (struct size){0} : size);
}

static void put_mov(struct program *program, struct size size)
{
    switch (random_below(4)) {
    case 0:
        put(program, 0xc6 | size.is_wide);
        put_modrm(program, 0, false);
        put_immediate(program, size);
        break;
    case 1:
        put(program, (size.is_wide ? 0xb8 : 0xb0) | random_below(8));
        put_random(program, size.is_wide && size.is_quad ? 4 : 0);
        put_immediate(program, size);
        break;
    default:
        put(program, 0x88 | random_below(2) << 1 | size.is_wide);
        put_modrm(program, 8, false);
    }
}

/* PUSH, POP, CALL of a near place or a register, RET, which mostly finds no address. */
static void put_stack(struct program *program)
{
    switch (random_below(8)) {
    case 0:
        put(program, 0xe8);
        put(program, random_below(64));
        put(program, 0), put(program, 0), put(program, 0);
        break;
    case 1:
        put(program, 0xff);
        put(program, 0xd0 | random_below(8));
        break;
    case 2:
        put(program, 0xc3);
        break;
    default:
        put(program, 0x50 | random_below(16));
    }
}

/* SHL, SHR, SAR by 1 or by a constant. */
static void put_shift(struct program *program, struct size size)
{
    static const uint8_t numbers[] = {4, 5, 7};
    bool is_by_one = random_below(2);
    put(program, (is_by_one ? 0xd0 : 0xc0) | size.is_wide);
    put_modrm(program, numbers[random_below(3)], false);
    put_random(program, is_by_one ? 0 : 1);
}

static void put_insn(struct program *program)
{
    struct size size = put_prefixes(program);
    switch (random_below(11)) {
    case 0:
    case 1:
        put_alu(program, size);
        break;
    case 2:
    case 3:
        put_mov(program, size);
        break;
    case 4:
        put(program, 0x0f);
        put(program, 0xb6 | random_below(2) << 3 | size.is_wide);
        put_modrm(program, 8, false);
        break;
    case 5: /* TEST, LEA */
        put(program, program->has_logic && random_below(2) ? 0x84 | size.is_wide : 0x8d);
        put_modrm(program, 8, true);
        break;
    case 6:
        put(program, 0xfe | size.is_wide);
        put_modrm(program, random_below(2), false);
        break;
    case 7:
        put(program, 0x70 | random_below(16));
        put(program, random_below(64) - 24);
        break;
    case 8:
        put_stack(program);
        break;
    case 9:
        put_shift(program, size);
        break;
    default:
        put(program, random_below(2) ? 0xe2 : 0xeb); /* LOOP, JMP */
        put(program, random_below(64) - 24);
    }
}

void make_program(struct program *program, bool is_64bit)
{
    *program = (struct program){.is_64bit = is_64bit, .has_logic = random_below(2)};
    while (program->len < sizeof(program->bytes) - 16)
        put_insn(program);
}
