/* SPDX-License-Identifier: MIT
 *
 * What is kept out of the decoder's way: names, flags and classes, by number.
 */
#include "decoder/insn.h"
#include "decoder/mnemonic.h"

#include "decoder/names.inc"

static const char *const isa_names[] = {
#define ISA(name, class) #name,
#include "decoder/isa.def"
#undef ISA
};

static const uint8_t isa_classes[] = {
#define ISA(name, class) INSN_CLASS_##class,
#include "decoder/isa.def"
#undef ISA
};

const char *insn_mnemonic(const struct insn *insn)
{
    return names + name_offsets[insn->mnemonic < MNEMONIC_COUNT ? insn->mnemonic : 0];
}

struct insn_flags insn_flags(const struct insn *insn)
{
    struct insn_flags flags = flag_sets[insn->flags];
    if (insn->attributes & INSN_NO_FLAGS)
        flags.written = flags.undefined = 0;
    return flags;
}

enum insn_class insn_class(const struct insn *insn)
{
    return isa_classes[insn->isa];
}

const char *insn_isa_name(enum insn_isa isa)
{
    return isa < INSN_ISA_COUNT ? isa_names[isa] : "";
}
