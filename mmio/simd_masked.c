/* SPDX-License-Identifier: MIT
 *
 * The instructions that touch memory by element: byte-masked and sign-masked moves, gather and scatter. An
 * element that is masked off is neither read nor written, and cannot fault.
 */
#include "mmio/simd.h"

#include <string.h>

#include "base/bytes.h"

/* MMX registers are the physical ones. */
static uint8_t *mmx_register(const struct step_env *env, unsigned reg)
{
    uint8_t *area = simd_area(env);
    return area + XSAVE_ST + 16 * ((reg - xsave_x87_top(area)) & 7);
}

static void read_register(const struct step_env *env, const struct insn_operand *operand, uint8_t *to)
{
    if (operand->kind == INSN_MMX)
        memcpy(to, mmx_register(env, operand->reg), 8);
    else
        xsave_vector_read(simd_area(env), simd_layout(env), operand->reg, to, operand->size);
}

/* A VEX or EVEX result: the register above it becomes zero. */
static void write_register(const struct step_env *env, unsigned reg, const uint8_t *from, unsigned len)
{
    uint8_t whole[SIMD_BYTES_MAX] = {0};
    memcpy(whole, from, len);
    unsigned width = simd_layout(env)->components & XCR0_ZMM_HIGH ? 64 : 32;
    xsave_vector_write(simd_area(env), simd_layout(env), reg, whole, width);
}

/* A bit for each byte of the elements whose mask element has its sign bit set. */
static uint64_t signed_bytes(const uint8_t *mask, unsigned len, unsigned element)
{
    uint64_t bytes = 0;
    for (unsigned at = 0; at < len; at += element)
        if (mask[at + element - 1] & 0x80)
            bytes |= simd_low_bits(element) << at;
    return bytes;
}

void simd_enter_mmx(const struct step_env *env)
{
    uint8_t *area = simd_area(env);
    xsave_x87_rotate(area, 0);
    area[XSAVE_FTW] = 0xff;
}

enum step_result simd_maskmov(struct step_env *env)
{
    const struct insn *insn = &env->insn;
    const struct insn_operand *memory = NULL, *data = NULL, *mask = NULL;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct insn_operand *operand = &insn->operands[i];
        if (operand->kind == INSN_MEM_MASK)
            memory = operand;
        else if (!data)
            data = operand;
        else
            mask = operand;
    }
    struct simd_operand where;
    if (!memory || !data || !mask || !simd_operand(env, &where))
        return env_unsupported(env, "a byte-masked move with unknown operands");
    where.align = 1;
    uint8_t bytes[16], masks[16];
    unsigned len = data->kind == INSN_MMX ? 8 : 16;
    read_register(env, data, bytes);
    read_register(env, mask, masks);
    if (data->kind == INSN_MMX)
        simd_enter_mmx(env);
    struct access whole = {
        .offset = where.offset, .len = (uint16_t)len, .segment = where.memory.segment, .flags = ACCESS_WRITE};
    TRY(access_linearize(env, &whole));
    if ((whole.gva & (len - 1)) && signed_bytes(masks, len, 1) && access_checks_alignment(env))
        return env_raise_error(env, VECTOR_AC, 0);
    struct simd_accesses accesses;
    TRY(simd_prepare(env, &where, signed_bytes(masks, len, 1), ACCESS_WRITE, &accesses));
    simd_write(env, &accesses, bytes);
    return STEP_DONE;
}

/* VMASKMOVPS xmm, mask, mem or mem, mask, xmm; VPMASKMOVD likewise. */
enum step_result simd_vmaskmov(struct step_env *env)
{
    const struct insn *insn = &env->insn;
    struct simd_operand where;
    if (!simd_operand(env, &where) || insn->operand_count < 3)
        return env_unsupported(env, "a masked move with unknown operands");
    where.align = 1;
    bool is_load = insn->operands[0].kind == INSN_VECTOR;
    bool is_wide = insn->opcode == 0x2d || insn->opcode == 0x2f ||
                   (insn->opcode >= 0x8c && (insn->rex & INSN_REX_W));
    uint8_t masks[SIMD_BYTES_MAX], bytes[SIMD_BYTES_MAX] = {0};
    unsigned len = insn->vector_length;
    read_register(env, &insn->operands[1], masks);
    struct simd_accesses accesses;
    TRY(simd_prepare(env, &where, signed_bytes(masks, len, is_wide ? 8 : 4),
                     is_load ? ACCESS_READ : ACCESS_WRITE, &accesses));
    if (is_load) {
        simd_read(env, &accesses, bytes);
        write_register(env, insn->operands[0].reg, bytes, len);
    } else {
        read_register(env, &insn->operands[2], bytes);
        simd_write(env, &accesses, bytes);
    }
    return STEP_DONE;
}

/* What a gather or scatter works on, VEX (mask: a vector register's signs) and EVEX (an opmask). */
struct vsib {
    struct simd_operand where;
    unsigned element;    /* bytes of data */
    unsigned index_size; /* bytes of an index */
    unsigned count;
    unsigned data_reg, mask_reg;
    bool has_opmask;
    uint8_t data[SIMD_BYTES_MAX], index[SIMD_BYTES_MAX], mask[SIMD_BYTES_MAX];
    uint64_t pending; /* a bit for each element that is still to be done */
    uint64_t opmask;  /* the whole register, of which some bits may stand for no element */
};

static bool vsib_set_up(const struct step_env *env, struct vsib *vsib)
{
    const struct insn *insn = &env->insn;
    const uint8_t *area = simd_area(env);
    if (!simd_operand(env, &vsib->where))
        return false;
    bool is_scatter = insn->op == INSN_OP_SCATTER;
    vsib->has_opmask = insn->encoding == INSN_EVEX;
    vsib->element = insn->rex & INSN_REX_W ? 8 : 4;
    vsib->index_size = insn->opcode & 1 ? 8 : 4; /* 90, 92, A0, A2: dword indexes; 91, 93, A1, A3: qword */
    unsigned wide = vsib->element > vsib->index_size ? vsib->element : vsib->index_size;
    vsib->count = insn->vector_length / wide;
    unsigned reg_operand = is_scatter ? 1 : 0;
    vsib->data_reg = insn->operands[reg_operand].reg;
    xsave_vector_read(area, simd_layout(env), vsib->data_reg, vsib->data, 64);
    xsave_vector_read(area, simd_layout(env), vsib->where.memory.index, vsib->index, 64);
    if (vsib->has_opmask) {
        vsib->mask_reg = insn->mask;
        vsib->opmask = xsave_mask_read(area, simd_layout(env), insn->mask);
        vsib->pending = vsib->opmask & simd_low_bits(vsib->count);
        return true;
    }
    vsib->mask_reg = insn->operands[2].reg;
    xsave_vector_read(area, simd_layout(env), vsib->mask_reg, vsib->mask, 64);
    for (unsigned i = 0; i < vsib->count; i++)
        vsib->pending |= (uint64_t)(vsib->mask[(i + 1) * vsib->element - 1] >> 7) << i;
    return true;
}

static uint64_t element_offset(const struct step_env *env, const struct vsib *vsib, unsigned i)
{
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {
        .gpr = env->cpu->gpr, .segment_base = bases, .next_rip = env->next_rip};
    int64_t index = vsib->index_size == 8 ? (int64_t)load_le64(vsib->index + 8 * i)
                                          : (int32_t)load_le32(vsib->index + 4 * i);
    return insn_offset(&env->insn, &vsib->where.memory, &registers, index);
}

/* A gather or scatter that is done leaves no bit; one that was interrupted, those that are not done. */
static void write_opmask(const struct step_env *env, const struct vsib *vsib)
{
    uint64_t elements = simd_low_bits(vsib->count);
    uint64_t left = vsib->pending ? (vsib->opmask & ~elements) | vsib->pending : 0;
    xsave_mask_write(simd_area(env), simd_layout(env), vsib->mask_reg, left);
}

/* The registers after the last element: the mask is zero. */
static void gather_finish(const struct step_env *env, const struct vsib *vsib)
{
    static const uint8_t zeroes[SIMD_BYTES_MAX];
    write_register(env, vsib->data_reg, vsib->data, vsib->count * vsib->element);
    if (vsib->has_opmask)
        xsave_mask_write(simd_area(env), simd_layout(env), vsib->mask_reg, 0);
    else
        write_register(env, vsib->mask_reg, zeroes, SIMD_BYTES_MAX);
}

/* The registers when an element faults: those before it are done, all others are what they were. */
static void gather_interrupt(const struct step_env *env, struct vsib *vsib)
{
    unsigned done = (unsigned)__builtin_ctzll(vsib->pending) * vsib->element;
    xsave_vector_write(simd_area(env), simd_layout(env), vsib->data_reg, vsib->data, done);
    if (vsib->has_opmask) {
        write_opmask(env, vsib);
        return;
    }
    memset(vsib->mask, 0, done);
    xsave_vector_write(simd_area(env), simd_layout(env), vsib->mask_reg, vsib->mask,
                       vsib->count * vsib->element);
}

/* The access to element `i`, which may be made: anything but DONE ends the instruction. */
static enum step_result prepare_element(struct step_env *env, const struct vsib *vsib, unsigned i,
                                        unsigned flags, struct access *access)
{
    *access = (struct access){.offset = element_offset(env, vsib, i),
                              .len = (uint16_t)vsib->element,
                              .segment = vsib->where.memory.segment,
                              .flags = flags};
    return access_prepare(env, access);
}

/* SDM 2C, VPGATHERDD: elements right to left; on a fault those that were done stay done. */
enum step_result simd_gather(struct step_env *env)
{
    struct vsib vsib = {0};
    if (!vsib_set_up(env, &vsib))
        return env_unsupported(env, "a gather with unknown operands");
    enum step_result result = STEP_DONE;
    while (vsib.pending) {
        unsigned i = (unsigned)__builtin_ctzll(vsib.pending);
        struct access access;
        result = prepare_element(env, &vsib, i, ACCESS_READ, &access);
        if (result != STEP_DONE)
            break;
        access_read(env, &access, vsib.data + i * vsib.element);
        vsib.pending &= vsib.pending - 1;
    }
    if (result == STEP_DONE)
        gather_finish(env, &vsib);
    else
        gather_interrupt(env, &vsib);
    return result;
}

enum step_result simd_scatter(struct step_env *env)
{
    struct vsib vsib = {0};
    if (!vsib_set_up(env, &vsib))
        return env_unsupported(env, "a scatter with unknown operands");
    enum step_result result = STEP_DONE;
    while (vsib.pending) {
        unsigned i = (unsigned)__builtin_ctzll(vsib.pending);
        struct access access;
        result = prepare_element(env, &vsib, i, ACCESS_WRITE, &access);
        if (result != STEP_DONE)
            break;
        access_write(env, &access, vsib.data + i * vsib.element);
        vsib.pending &= vsib.pending - 1;
    }
    write_opmask(env, &vsib);
    return result;
}
