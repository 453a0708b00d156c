/* SPDX-License-Identifier: MIT
 *
 * String instructions, and IN and OUT. A REP goes by spans: as many elements as lie on one page of each side
 * are translated at once, RAM is then touched directly and a device element by element, in the guest's order.
 * What is done stays done: a fault or the limit ends the call with STEP_AGAIN and the registers of the next
 * element, and the fault comes with the next call, as the first thing that the rest of the instruction does.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/emulate.h"
#include "mmio/port.h"

#define REP_LIMIT_USUAL 16384

/* One side of the instruction, rSI or rDI. */
struct side {
    unsigned reg, segment, flags;
    struct access access; /* of the present span */
};

struct string {
    struct step_env *env;
    unsigned size, address_size, port;
    bool is_backward, ends_on_zero_flag;
    uint64_t span; /* elements translated, 1 for one that crosses a page */
    struct side source, target;
};

static uint64_t side_offset(const struct string *string, const struct side *side)
{
    return gpr_read(string->env, side->reg, string->address_size);
}

static void side_advance(const struct string *string, const struct side *side, uint64_t elements)
{
    uint64_t distance = elements * string->size, offset = side_offset(string, side);
    gpr_write(string->env, side->reg, string->address_size,
              string->is_backward ? offset - distance : offset + distance);
}

static bool side_is_used(const struct side *side)
{
    return side->flags != 0;
}

/* Elements from the present one to the end of its page in the direction of travel; 0 where it crosses itself.
 */
static uint64_t elements_on_page(const struct string *string, gva_t gva)
{
    unsigned in_page = gva & (PAGE_BYTES - 1);
    if (in_page + string->size > PAGE_BYTES)
        return 0;
    if (string->is_backward)
        return in_page / string->size + 1;
    return (PAGE_BYTES - in_page) / string->size;
}

static void side_describe(const struct string *string, struct side *side, uint64_t elements)
{
    uint64_t offset = side_offset(string, side);
    if (string->is_backward)
        offset -= (elements - 1) * string->size;
    /* the pieces are filled by the preparation; clearing them for each span would cost more than it */
    side->access.offset = offset & size_mask(string->address_size);
    side->access.len = (uint16_t)(elements * string->size);
    side->access.segment = (uint8_t)side->segment;
    side->access.flags = (uint8_t)side->flags;
    side->access.align = (uint8_t)string->size;
}

/* How far a span may reach for this side: also not around the end of the address size or the segment. */
static enum step_result side_limit(const struct string *string, struct side *side, uint64_t *span)
{
    side_describe(string, side, 1);
    TRY(access_linearize(string->env, &side->access));
    uint64_t on_page = elements_on_page(string, side->access.gva);
    uint64_t offset = side_offset(string, side), mask = size_mask(string->address_size);
    uint64_t room = string->is_backward ? offset / string->size + 1 : (mask - offset) / string->size + 1;
    if (on_page < *span)
        *span = on_page;
    if (room < *span)
        *span = room;
    if (*span < 1)
        *span = 1;
    return STEP_DONE;
}

static enum step_result side_prepare(struct string *string, struct side *side)
{
    side_describe(string, side, string->span);
    return access_prepare(string->env, &side->access);
}

/* Translates up to `wanted` elements. Where the whole span fails (a segment that ends within it), one. */
static enum step_result string_prepare(struct string *string, uint64_t wanted)
{
    struct side *sides[] = {&string->source, &string->target};
    string->span = string->env->cpu->dr7 & DR7_ACTIVE ? 1 : wanted;
    for (unsigned i = 0; i < 2; i++)
        if (side_is_used(sides[i]))
            TRY(side_limit(string, sides[i], &string->span));
    for (;;) {
        enum step_result result = STEP_DONE;
        for (unsigned i = 0; i < 2 && result == STEP_DONE; i++)
            if (side_is_used(sides[i]))
                result = side_prepare(string, sides[i]);
        if (result != STEP_EXCEPTION || string->span == 1)
            return result;
        string->span = 1;
    }
}

/* Element `i` of the span as it lies in RAM; NULL for a device. */
static uint64_t element_at(const struct string *string, uint64_t i)
{
    return (string->is_backward ? string->span - 1 - i : i) * string->size;
}

static uint64_t element_read(const struct string *string, const struct side *side, uint64_t i)
{
    const struct access *access = &side->access;
    if (access->piece_count > 1)
        return access_read_value(string->env, access);
    const struct access_piece *piece = &access->pieces[0];
    uint64_t at = element_at(string, i);
    if (piece->from)
        return load_le(piece->from + at, string->size);
    return access_device_read(string->env, piece->gpa + at, string->size);
}

static void element_write(const struct string *string, const struct side *side, uint64_t i, uint64_t value)
{
    const struct access *access = &side->access;
    if (access->piece_count > 1) {
        access_write_value(string->env, access, value);
        return;
    }
    const struct access_piece *piece = &access->pieces[0];
    uint64_t at = element_at(string, i);
    if (piece->to) {
        store_le(piece->to + at, value, string->size);
        return;
    }
    string->env->outcome->device_writes++;
    string->env->outcome->device_gpa = piece->gpa + at;
    bus_write(string->env->machine->bus, piece->gpa + at, string->size, value);
}

/* A span in RAM on both sides that do not overlap is one copy; else the elements follow each other. */
static bool move_at_once(const struct string *string)
{
    const struct access *from = &string->source.access, *to = &string->target.access;
    if (from->piece_count > 1 || to->piece_count > 1 || !from->pieces[0].from || !to->pieces[0].to)
        return false;
    const uint8_t *source = from->pieces[0].from;
    uint8_t *target = to->pieces[0].to;
    if (source < target + to->len && target < source + from->len)
        return false;
    memcpy(target, source, to->len);
    return true;
}

/* `count` elements of one value. */
static void fill(uint8_t *to, unsigned size, uint64_t count, uint64_t value)
{
    if (size == 1) {
        memset(to, (int)value, count);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        store_le(to + i * size, value, size);
}

static bool is_one_piece(const struct side *side)
{
    return side_is_used(side) && side->access.piece_count == 1;
}

/* A forward span with a device on one side and RAM, or rAX, on the other is one call of the bus. */
static bool block_read(const struct string *string)
{
    struct step_env *env = string->env;
    const struct access_piece *from = &string->source.access.pieces[0],
                              *to = &string->target.access.pieces[0];
    uint8_t values[PAGE_BYTES];
    bool to_memory = env->insn.op == INSN_OP_MOVS;
    if (!is_one_piece(&string->source) || from->from ||
        (to_memory && (!is_one_piece(&string->target) || !to->to)))
        return false;
    bus_read_block(env->machine->bus, from->gpa, string->size, string->span, to_memory ? to->to : values);
    if (!to_memory)
        gpr_write(env, CPU_RAX, string->size,
                  load_le(values + (string->span - 1) * string->size, string->size));
    env->outcome->device_reads += (unsigned)string->span;
    env->outcome->device_gpa = from->gpa;
    return true;
}

static bool block_write(const struct string *string)
{
    struct step_env *env = string->env;
    const struct access_piece *from = &string->source.access.pieces[0],
                              *to = &string->target.access.pieces[0];
    uint8_t values[PAGE_BYTES];
    bool from_memory = env->insn.op == INSN_OP_MOVS;
    if (!is_one_piece(&string->target) || to->to ||
        (from_memory && (!is_one_piece(&string->source) || !from->from)))
        return false;
    if (!from_memory)
        fill(values, string->size, string->span, gpr_read(env, CPU_RAX, string->size));
    bus_write_block(env->machine->bus, to->gpa, string->size, string->span,
                    from_memory ? from->from : values);
    env->outcome->device_writes += (unsigned)string->span;
    env->outcome->device_gpa = to->gpa;
    return true;
}

static bool fill_at_once(const struct string *string)
{
    const struct access_piece *to = &string->target.access.pieces[0];
    if (!is_one_piece(&string->target) || !to->to)
        return false;
    fill(to->to, string->size, string->span, gpr_read(string->env, CPU_RAX, string->size));
    return true;
}

/* The whole span in one go, where that is the same as element by element. */
static bool span_at_once(const struct string *string)
{
    if (string->span < 2)
        return false;
    bool is_forward = !string->is_backward;
    switch (string->env->insn.op) {
    case INSN_OP_MOVS:
        return move_at_once(string) || (is_forward && (block_read(string) || block_write(string)));
    case INSN_OP_STOS:
        return fill_at_once(string) || (is_forward && block_write(string));
    case INSN_OP_LODS:
        return is_forward && block_read(string);
    }
    return false;
}

static void compare(const struct string *string, uint64_t a, uint64_t b)
{
    uint64_t flags;
    alu_sub(a, b, 0, string->size, &flags);
    flags_set(string->env, FLAGS_STATUS, flags);
}

/* Element `i` of the span. */
static void string_element(const struct string *string, uint64_t i)
{
    struct step_env *env = string->env;
    uint64_t a = gpr_read(env, CPU_RAX, string->size);
    switch (env->insn.op) {
    case INSN_OP_MOVS:
        element_write(string, &string->target, i, element_read(string, &string->source, i));
        break;
    case INSN_OP_STOS:
        element_write(string, &string->target, i, a);
        break;
    case INSN_OP_LODS:
        gpr_write(env, CPU_RAX, string->size, element_read(string, &string->source, i));
        break;
    case INSN_OP_CMPS:
        a = element_read(string, &string->source, i);
        compare(string, a, element_read(string, &string->target, i));
        break;
    case INSN_OP_SCAS:
        compare(string, a, element_read(string, &string->target, i));
        break;
    case INSN_OP_INS:
        element_write(string, &string->target, i, port_read(env, string->port, string->size));
        break;
    default: /* OUTS */
        port_write(env, string->port, string->size, element_read(string, &string->source, i));
        break;
    }
}

/* The elements of the prepared span; returns how many were done, and whether a comparison has ended the REP.
 */
static uint64_t string_span(const struct string *string, bool *ended)
{
    const struct step_env *env = string->env;
    uint64_t done = 0;
    bool compares = env->insn.op == INSN_OP_CMPS || env->insn.op == INSN_OP_SCAS;
    if (span_at_once(string))
        return string->span;
    while (done < string->span && !*ended) {
        string_element(string, done++);
        *ended = compares && ((env->cpu->rflags & FLAG_ZF) != 0) == string->ends_on_zero_flag;
    }
    return done;
}

static void tell_of_writes(const struct string *string)
{
    const struct step_machine *machine = string->env->machine;
    const struct access *access = &string->target.access;
    if (!(string->target.flags & ACCESS_WRITE) || !machine->ops->ram_written || access->piece_count > 1 ||
        !access->pieces[0].to)
        return;
    machine->ops->ram_written(machine->owner, access->pieces[0].gpa, access->pieces[0].len);
}

static uint64_t string_advance(struct string *string, uint64_t done)
{
    tell_of_writes(string);
    if (side_is_used(&string->source))
        side_advance(string, &string->source, done);
    if (side_is_used(&string->target))
        side_advance(string, &string->target, done);
    return done;
}

static enum step_result string_repeat(struct string *string)
{
    struct step_env *env = string->env;
    unsigned *done = &env->outcome->elements;
    unsigned limit = env->machine->rep_limit ? env->machine->rep_limit : REP_LIMIT_USUAL;
    if (env->cpu->rflags & FLAG_TF)
        limit = 1;
    bool ended = false;
    for (;;) {
        uint64_t count = gpr_read(env, CPU_RCX, string->address_size);
        if (!count || ended)
            return STEP_DONE;
        if (*done >= limit || env->dr6)
            return STEP_AGAIN;
        enum step_result result = string_prepare(string, count < limit - *done ? count : limit - *done);
        if (result != STEP_DONE)
            return *done ? STEP_AGAIN : result;
        uint64_t some = string_advance(string, string_span(string, &ended));
        gpr_write(env, CPU_RCX, string->address_size, count - some);
        *done += (unsigned)some;
    }
}

static unsigned element_size(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (insn->operands[i].kind == INSN_MEM_SI || insn->operands[i].kind == INSN_MEM_DI)
            return insn->operands[i].size;
    return 1;
}

/* MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS */
enum step_result emulate_string(struct step_env *env)
{
    unsigned op = env->insn.op;
    struct string string;
    string.env = env;
    string.size = element_size(&env->insn);
    string.address_size = env->insn.address_size;
    string.port = (unsigned)gpr_read(env, CPU_RDX, 2);
    string.is_backward = env->cpu->rflags & FLAG_DF;
    string.ends_on_zero_flag = env->insn.prefixes & INSN_PREFIX_REPNE;
    string.source.reg = CPU_RSI;
    string.source.segment = env->insn.segment;
    string.source.flags = op == INSN_OP_STOS || op == INSN_OP_SCAS || op == INSN_OP_INS ? 0 : ACCESS_READ;
    string.target.reg = CPU_RDI;
    string.target.segment = CPU_ES;
    string.target.flags = op == INSN_OP_LODS || op == INSN_OP_OUTS   ? 0
                          : op == INSN_OP_CMPS || op == INSN_OP_SCAS ? ACCESS_READ
                                                                     : ACCESS_WRITE;
    if (op == INSN_OP_INS || op == INSN_OP_OUTS)
        TRY(port_check(env, string.port, string.size));
    if (env->insn.attributes & INSN_REPEATS)
        return string_repeat(&string);
    TRY(string_prepare(&string, 1));
    bool ended = false;
    string_advance(&string, string_span(&string, &ended));
    return STEP_DONE;
}

static unsigned port_operand(struct step_env *env, unsigned i)
{
    return (unsigned)operand_read(env, i) & (env->insn.operands[i].kind == INSN_GPR ? 0xffff : 0xff);
}

enum step_result emulate_in(struct step_env *env)
{
    unsigned port = port_operand(env, 1), size = env->insn.operands[0].size;
    TRY(port_check(env, port, size));
    operand_write(env, 0, port_read(env, port, size));
    return STEP_DONE;
}

enum step_result emulate_out(struct step_env *env)
{
    unsigned port = port_operand(env, 0), size = env->insn.operands[1].size;
    TRY(port_check(env, port, size));
    port_write(env, port, size, operand_read(env, 1));
    return STEP_DONE;
}
