/* SPDX-License-Identifier: MIT
 *
 * What is kept out of the decoder's way: names, flags and classes, by number.
 */
#include <string.h>

#include "decoder/insn.h"
#include "decoder/mnemonic.h"

#include "decoder/names.inc"

/* One behind the other: pointers would take as much room again. */
static const char isa_names[] =
#define ISA(name, class) #name "\0"
#include "decoder/isa.def"
#undef ISA
    ;

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
    const char *name = isa_names;
    if (isa >= INSN_ISA_COUNT)
        return "";
    for (unsigned i = 0; i < isa; i++)
        name += strlen(name) + 1;
    return name;
}
