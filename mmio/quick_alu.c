/* SPDX-License-Identifier: MIT
 *
 * Arithmetic, by this processor's own instructions of the same name and size, whose flags are the guest's: a
 * sixth of what computing six flags in C takes. The emulator proper stays portable C. See quick.h.
 */
#include "mmio/quick_memory.h"

QUICK_INLINE void set_flags(struct step_env *env, const struct quick *quick, uint64_t flags)
{
    env->cpu->rflags = (env->cpu->rflags & quick->kept_flags) | (flags & quick->flags);
}

/* PUSHF must not write where the compiler may keep something, which is the 128 bytes below the stack pointer;
 * LEA changes no flags. `modifier` is GCC's for the name of a register of that size. */
#define OPERATION(name, text, modifier)                                                           \
    static inline uint64_t name(uint64_t a, uint64_t b, uint64_t *flags)                          \
    {                                                                                             \
        __asm__(text " %" modifier "[b], %" modifier "[a]\n\t"                                    \
                     "lea -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %[flags]\n\tlea 128(%%rsp), %%rsp" \
                : [a] "+r"(a), [flags] "=&r"(*flags)                                              \
                : [b] "r"(b)                                                                      \
                : "cc");                                                                          \
        return a;                                                                                 \
    }                                                                                             \
    static enum quick_result name##_register(struct step_env *env, const struct quick *quick)     \
    {                                                                                             \
        uint64_t flags;                                                                           \
        *quick->to = name(*quick->to, *quick->from, &flags);                                      \
        set_flags(env, quick, flags);                                                             \
        return QUICK_DONE;                                                                        \
    }
#define OPERATIONS(name)            \
    OPERATION(name##_1, #name, "b") \
    OPERATION(name##_2, #name, "w") \
    OPERATION(name##_4, #name, "k") \
    OPERATION(name##_8, #name, "q")

OPERATIONS(add)
OPERATIONS(or)
OPERATIONS(and)
OPERATIONS(sub)
OPERATIONS(xor)
OPERATIONS(cmp)
OPERATIONS(test)

/* By the power of two of the size. */
#define SIZES(name)                                                                                  \
    {                                                                                                \
        {name##_1, name##_1_register}, {name##_2, name##_2_register}, {name##_4, name##_4_register}, \
        {                                                                                            \
            name##_8, name##_8_register                                                              \
        }                                                                                            \
    }
struct functions {
    quick_operation *operation;
    quick_fn *registers;
};
/* Every start of a program relocates each pointer in here, so there are none for operations that have none.
 */
enum row { ROW_NONE, ROW_ADD, ROW_OR, ROW_AND, ROW_SUB, ROW_XOR, ROW_CMP, ROW_TEST };
static const struct functions functions[][4] = {
    [ROW_ADD] = SIZES(add), [ROW_OR] = SIZES(or),   [ROW_AND] = SIZES(and),   [ROW_SUB] = SIZES(sub),
    [ROW_XOR] = SIZES(xor), [ROW_CMP] = SIZES(cmp), [ROW_TEST] = SIZES(test),
};
static const uint8_t rows[INSN_OP_COUNT] = {
    [INSN_OP_ADD] = ROW_ADD,   [INSN_OP_OR] = ROW_OR,   [INSN_OP_AND] = ROW_AND,
    [INSN_OP_SUB] = ROW_SUB,   [INSN_OP_XOR] = ROW_XOR, [INSN_OP_CMP] = ROW_CMP,
    [INSN_OP_TEST] = ROW_TEST, [INSN_OP_INC] = ROW_ADD, [INSN_OP_DEC] = ROW_SUB,
};

quick_fn *quick_alu(unsigned op, unsigned size)
{
    return functions[rows[op]][__builtin_ctz(size)].registers;
}

quick_operation *quick_alu_operation(unsigned op, unsigned size)
{
    return functions[rows[op]][__builtin_ctz(size)].operation;
}

QUICK_INLINE uint64_t operate(struct step_env *env, const struct quick *quick, uint64_t a, uint64_t b)
{
    uint64_t flags, value = quick->operation(a, b, &flags);
    set_flags(env, quick, flags);
    return value;
}

enum quick_result quick_alu_from_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->size, ACCESS_READ);
    if (!place.page)
        return quick_walk(env, quick, quick->size, ACCESS_READ);
    *quick->to = operate(env, quick, *quick->to, quick_read(env, place, quick->size));
    return quick_has_read(place);
}

enum quick_result quick_alu_in_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->size, ACCESS_READ | ACCESS_WRITE);
    if (!place.page)
        return quick_walk(env, quick, quick->size, ACCESS_READ | ACCESS_WRITE);
    uint64_t value = quick_read(env, place, quick->size);
    return quick_write(env, place, quick, operate(env, quick, value, *quick->from));
}

enum quick_result quick_compare_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->size, ACCESS_READ);
    if (!place.page)
        return quick_walk(env, quick, quick->size, ACCESS_READ);
    operate(env, quick, quick_read(env, place, quick->size), *quick->from);
    return quick_has_read(place);
}
