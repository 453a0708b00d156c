/* SPDX-License-Identifier: MIT
 *
 * From the rows of one opcode to the choices that tell them apart, and to leaves and shapes that are shared
 * where they are equal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder/insn.h"
#include "decoder/make/make.h"

struct mvex_row mvex_rows[512];
unsigned mvex_count;
uint16_t nodes[16384];
unsigned node_count;
struct space spaces[SPACE_COUNT];
struct leaf leaves[8192];
const struct row *leaf_rows[8192];
unsigned leaf_count;
uint32_t shape_words[16384];
unsigned shape_word_count;
uint32_t flag_sets[256][3];
unsigned flag_set_count;

/* The rows that are still possible, and the values of each property that are. */
struct set {
    const struct row *rows[256];
    unsigned count;
    uint16_t domain[DIM_COUNT];
};

static bool mvex_space(unsigned space)
{
    return space >= SPACE_MVEX && space < SPACE_REX2;
}

static bool vector_space(unsigned space)
{
    return space >= SPACE_VEX && space < SPACE_MVEX;
}

/* Whether a limit may be left to the shape's checks. */
static bool is_check(const struct row *row, unsigned dim)
{
    if (dim == DIM_LONG || dim == DIM_MOD)
        return true;
    if (dim == DIM_PREFIX && row->space == SPACE_EVEX + 4 && row->set[dim] == 3)
        return true; /* apx_valid() */
    if (dim == DIM_PREFIX)
        return !(row->set[dim] & (row->set[dim] - 1));
    return vector_space(row->space) && (dim == DIM_W || dim == DIM_LENGTH);
}

static unsigned checks_of(const struct row *row)
{
    unsigned checks = row->checks;
    checks |= row->set[DIM_LONG] == 1 ? CHECK_NOT64 : row->set[DIM_LONG] == 2 ? CHECK_ONLY64 : 0u;
    if (!(checks & CHECK_ANYMOD))
        checks |= row->set[DIM_MOD] == 1 ? CHECK_MEM : row->set[DIM_MOD] == 2 ? CHECK_REG : 0u;
    if (vector_space(row->space)) {
        checks |= row->set[DIM_W] == 1 ? CHECK_W0 : row->set[DIM_W] == 2 ? CHECK_W1 : 0u;
        checks |= (row->set[DIM_LENGTH] & 7u) * CHECK_L128;
    }
    if (row->set[DIM_MOD] != 3 || row->set[DIM_REG] != 255 || row->set[DIM_RM] != 255)
        checks |= CHECK_MODRM;
    return checks;
}

/* The word at which the row's shape begins; a shape that another begins with, or ends with, is not stored. */
static unsigned shape_of(const struct row *row)
{
    uint32_t words[6] = {row->attributes, checks_of(row)};
    unsigned count = 2 + row->operand_count;
    if (words[1] & CHECK_MODRM)
        words[0] |= INSN_HAS_MODRM;
    for (unsigned i = 0; i < row->operand_count; i++)
        words[2 + i] = OPERAND_HOW(row->operands[i]) | OPERAND_SIZE(row->operands[i]) << 8 |
                       OPERAND_SIZE(row->operands[i]) >> 3 << 16 |
                       (uint32_t)OPERAND_ACCESS(row->operands[i]) << 28;
    for (unsigned i = 1; i + count <= shape_word_count; i++) {
        if (!memcmp(&shape_words[i], words, count * sizeof(*words)))
            return i;
    }
    if (shape_word_count + count > ARRAY_COUNT(shape_words))
        fail(row, "too many shapes");
    memcpy(&shape_words[shape_word_count], words, count * sizeof(*words));
    shape_word_count += count;
    return shape_word_count - count;
}

static unsigned leaf_of(const struct row *row)
{
    static const char *const class_names[] = {
#define ISA(name, class) #class,
#include "decoder/isa.def"
#undef ISA
    };
    const char *class = class_names[row->isa];
    struct leaf leaf = {
        .mnemonic = (uint16_t)row->mnemonic_id,
        .shape = (uint16_t)shape_of(row),
        .op = (uint8_t)row->op,
        .isa = (uint8_t)row->isa,
        .flags = (uint8_t)row->flags,
        .form = (uint8_t)(row->vector             ? LEAF_LENGTH_L
                          : !strcmp(class, "SSE") ? 2
                          : !strcmp(class, "MMX") ? 1
                                                  : 0),
    };
    leaf.form |= row->operand_count << LEAF_COUNT_SHIFT;
    if (!(row->set[DIM_PREFIX] & (row->set[DIM_PREFIX] - 1)))
        leaf.form |= LEAF_PREFIX_EXACT | (unsigned)__builtin_ctz(row->set[DIM_PREFIX]) << LEAF_PREFIX_SHIFT;
    for (unsigned i = 1; i < leaf_count; i++) {
        if (!memcmp(&leaves[i], &leaf, sizeof(leaf)))
            return i;
    }
    leaf_rows[leaf_count] = row;
    leaves[leaf_count] = leaf;
    return leaf_count++;
}

static unsigned share_from; /* where the alternatives begin, behind the spaces */

static unsigned nodes_share(const uint16_t *values, unsigned count)
{
    for (unsigned i = share_from; i + count <= node_count; i += 2) {
        if (!memcmp(&nodes[i], values, count * sizeof(*values)))
            return i;
    }
    unsigned index = (node_count + 1) & ~1u;
    if (index + count > 2 * (NODE_BYTE & 0x1fff))
        fail(NULL, "too many nodes");
    memcpy(&nodes[index], values, count * sizeof(*values));
    node_count = index + count;
    return index;
}

static unsigned build(const struct set *set);

static unsigned test_of(unsigned dim)
{
    static const uint8_t tests[DIM_FEATURE] = {
        [DIM_LONG] = TEST_LONG,     [DIM_SIZE] = TEST_SIZE, [DIM_B] = TEST_B,   [DIM_ADDRESS] = TEST_ADDRESS,
        [DIM_LENGTH] = TEST_LENGTH, [DIM_AMD] = TEST_AMD,   [DIM_ND] = TEST_ND, [DIM_NF] = TEST_NF,
    };
    return dim < DIM_FEATURE ? tests[dim] : TEST_FEATURE + (dim - DIM_FEATURE);
}

static int choice_of(unsigned dim)
{
    switch (dim) {
    case DIM_PREFIX:
        return CHOOSE_PREFIX;
    case DIM_REG:
        return CHOOSE_REG;
    case DIM_MOD:
        return CHOOSE_MOD;
    case DIM_RM:
        return CHOOSE_RM;
    case DIM_W:
        return CHOOSE_W;
    default:
        return CHOOSE_OTHER;
    }
}

static unsigned split(const struct set *set, unsigned dim)
{
    uint16_t values[9];
    unsigned count = dim_values(dim);
    unsigned first = choice_of(dim) == CHOOSE_OTHER;
    values[0] = (uint16_t)test_of(dim < DIM_COUNT ? dim : 0);
    for (unsigned value = 0; value < count; value++) {
        struct set part = *set;
        part.count = 0;
        part.domain[dim] = (uint16_t)(1u << value);
        for (unsigned i = 0; i < set->count; i++) {
            if (set->rows[i]->set[dim] >> value & 1)
                part.rows[part.count++] = set->rows[i];
        }
        values[first + value] = (uint16_t)build(&part);
    }
    unsigned index = nodes_share(values, first + count);
    return NODE_CHOICE + ((unsigned)choice_of(dim) << 13) + (index >> 1);
}

/* Whether the rows must be told apart, or the values checked, by this property. */
static bool must_split(const struct set *set, unsigned dim)
{
    bool limited = false;
    bool differ = false;
    for (unsigned i = 0; i < set->count; i++) {
        limited |= (set->rows[i]->set[dim] & set->domain[dim]) != set->domain[dim];
        differ |= (set->rows[i]->set[dim] & set->domain[dim]) != (set->rows[0]->set[dim] & set->domain[dim]);
    }
    return differ || (limited && !is_check(set->rows[0], dim));
}

static unsigned build(const struct set *set)
{
    if (!set->count)
        return 0;
    for (unsigned dim = 0; dim < DIM_COUNT; dim++) {
        if (must_split(set, dim))
            return split(set, dim);
    }
    const struct row *best = set->rows[0];
    const struct row *rival = NULL;
    for (unsigned i = 1; i < set->count; i++) {
        int order = __builtin_popcount(set->rows[i]->given) - __builtin_popcount(best->given);
        if (order > 0) {
            best = set->rows[i];
            rival = NULL;
        } else if (!order) {
            rival = set->rows[i];
        }
    }
    if (rival)
        fail(rival, "claims the encoding of OP(%s)", best->text);
    return leaf_of(best);
}

static int byte_node(unsigned opcode)
{
    switch (opcode) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
        return BYTE_SEGMENT;
    case 0x66:
        return BYTE_OPERAND;
    case 0x67:
        return BYTE_ADDRESS;
    case 0xf0:
        return BYTE_LOCK;
    case 0xf2:
        return BYTE_REPNE;
    case 0xf3:
        return BYTE_REP;
    case 0x0f:
        return BYTE_0F;
    case 0xc5:
        return BYTE_VEX2;
    case 0xc4:
        return BYTE_VEX3;
    case 0x62:
        return BYTE_EVEX;
    case 0x8f:
        return BYTE_XOP;
    case 0xd5:
        return BYTE_REX2;
    default:
        return (opcode & 0xf0) == 0x40 ? BYTE_REX : -1;
    }
}

static void space_range(unsigned space, struct space *range)
{
    bool whole = space == SPACE_ONE || space == SPACE_0F;
    *range = (struct space){.base = (uint16_t)node_count, .first = whole ? 0 : 1, .last = whole ? 255 : 0};
    for (unsigned i = 0; i < row_count && !whole; i++) {
        if (rows[i].space != space || mvex_space(space))
            continue;
        if (range->last < range->first)
            range->first = range->last = (uint8_t)rows[i].opcode;
        range->first = rows[i].opcode < range->first ? (uint8_t)rows[i].opcode : range->first;
        range->last = rows[i].opcode > range->last ? (uint8_t)rows[i].opcode : range->last;
    }
    if (range->last >= range->first)
        node_count += range->last - range->first + 1u;
}

static unsigned opcode_node(unsigned space, unsigned opcode)
{
    static struct set set;
    set.count = 0;
    for (unsigned i = 0; i < row_count; i++) {
        if (rows[i].space == space && rows[i].opcode == opcode)
            set.rows[set.count++] = &rows[i];
    }
    for (unsigned dim = 0; dim < DIM_COUNT; dim++)
        set.domain[dim] = (uint16_t)((1u << dim_values(dim)) - 1);
    return build(&set);
}

/* Two rows of MVEX that accept the same encoding. */
static bool mvex_rivals(const struct row *a, const struct row *b)
{
    if (a->space != b->space || a->opcode != b->opcode)
        return false;
    return a->set[DIM_PREFIX] & b->set[DIM_PREFIX] && a->set[DIM_W] & b->set[DIM_W] &&
           a->set[DIM_ND] & b->set[DIM_ND] && a->set[DIM_REG] & b->set[DIM_REG];
}

static void mvex_build(void)
{
    for (unsigned i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        if (!mvex_space(row->space))
            continue;
        for (unsigned j = 0; j < i; j++) {
            if (mvex_rivals(row, &rows[j]))
                fail(row, "claims the encoding of OP(%s)", rows[j].text);
        }
        unsigned prefix = (unsigned)__builtin_ctz(row->set[DIM_PREFIX]);
        unsigned reg = row->set[DIM_REG] == 255 ? 8 : (unsigned)__builtin_ctz(row->set[DIM_REG]);
        unsigned shape = shape_of(row);
        if (mvex_count + 1 == ARRAY_COUNT(mvex_rows) || shape >> 13 || row->mnemonic_id >> 12)
            fail(row, "does not fit into a row of MVEX");
        mvex_rows[mvex_count++] = (struct mvex_row){
            .opcode = (uint8_t)row->opcode,
            .key = (uint8_t)((row->space - SPACE_MVEX) | prefix << 2 | (unsigned)row->set[DIM_W] << 4 |
                             (unsigned)row->set[DIM_ND] << 6),
            .mnemonic = (uint16_t)(row->mnemonic_id | reg << 12),
            .shape = (uint16_t)(shape | row->operand_count << 13),
        };
    }
}

void tree_build(void)
{
    leaf_count = 1;
    shape_word_count = 2; /* no shape begins at 0: leaf 0 is none */
    for (unsigned i = 0; i < row_count; i++) {
        if (rows[i].space == SPACE_ONE && byte_node(rows[i].opcode) >= 0)
            rows[i].space = SPACE_SHADOW;
    }
    for (unsigned space = 0; space < SPACE_COUNT; space++)
        space_range(space, &spaces[space]);
    share_from = node_count = (node_count + 1) & ~1u;
    for (unsigned space = 0; space < SPACE_COUNT; space++) {
        for (unsigned opcode = spaces[space].first; opcode <= spaces[space].last; opcode++) {
            int byte = space == SPACE_ONE ? byte_node(opcode) : -1;
            unsigned node = byte >= 0 ? NODE_BYTE + (unsigned)byte : opcode_node(space, opcode);
            nodes[spaces[space].base + opcode - spaces[space].first] = (uint16_t)node;
        }
    }
    mvex_build();
}
