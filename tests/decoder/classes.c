/* SPDX-License-Identifier: MIT
 *
 * What is known about where Zydis 4.0.0 and Capstone 4.0.2 (Debian 12's) differ from us, who is right, and
 * why. The order matters: the first class that applies takes the fields it names. Classes are narrow for
 * Zydis, which is nearly always right; for Capstone, whose tables date from 2014, they are as wide as what it
 * lacks, but only count where Zydis gives our answer (`needs_other`).
 */
#include "tests/decoder/crosscheck.h"

#include <string.h>

#include "base/types.h"

#define ALL 0xffffu

static bool is_legacy(const struct sample *sample, unsigned map, unsigned opcode)
{
    const struct anatomy *anatomy = &sample->anatomy;
    return anatomy->encoding == ANATOMY_LEGACY && anatomy->map == map && anatomy->opcode == opcode;
}

static bool any(const struct sample *sample)
{
    (void)sample;
    return true;
}

/* Ours valid, Capstone not; by encoding. */

static bool lacks(const struct sample *sample, unsigned encoding)
{
    return sample->ours.status == VIEW_OK && sample->anatomy.encoding == encoding;
}

static bool lacks_legacy(const struct sample *sample)
{
    return lacks(sample, ANATOMY_LEGACY);
}

static bool lacks_vex(const struct sample *sample)
{
    return lacks(sample, ANATOMY_VEX);
}

static bool lacks_evex(const struct sample *sample)
{
    return lacks(sample, ANATOMY_EVEX);
}

static bool lacks_xop(const struct sample *sample)
{
    return lacks(sample, ANATOMY_XOP);
}

/* Capstone valid, ours not. */

static bool takes_lock(const struct sample *sample)
{
    return sample->ours.status != VIEW_OK && sample->anatomy.lock;
}

static bool takes_legacy(const struct sample *sample)
{
    return sample->ours.status != VIEW_OK && sample->anatomy.encoding == ANATOMY_LEGACY;
}

static bool takes_vector(const struct sample *sample)
{
    return sample->ours.status != VIEW_OK && sample->anatomy.encoding != ANATOMY_LEGACY;
}

/* Both valid. */

static bool is_ud01(const struct sample *sample)
{
    return is_legacy(sample, 1, 0xff) || is_legacy(sample, 1, 0xb9);
}

static bool is_near_branch(const struct sample *sample)
{
    const struct anatomy *anatomy = &sample->anatomy;
    bool is_branch = anatomy->map == 0 ? anatomy->opcode == 0xe8 || anatomy->opcode == 0xe9
                                       : anatomy->map == 1 && (anatomy->opcode & 0xf0) == 0x80;
    return sample->mode == 64 && anatomy->operand && anatomy->encoding == ANATOMY_LEGACY && is_branch;
}

static bool is_sse4a(const struct sample *sample)
{
    return is_legacy(sample, 1, 0x78);
}

static bool has_rep_and_lock(const struct sample *sample)
{
    return sample->anatomy.lock && (sample->anatomy.rep || sample->anatomy.repne);
}

/* Immediates of RET, PUSH and branches, as 66 beside REX.W, F2 or F3 makes them. */
static bool is_sized_immediate(const struct sample *sample)
{
    const struct anatomy *anatomy = &sample->anatomy;
    static const uint8_t opcodes[] = {0x68, 0xc2, 0xca, 0xe8, 0xe9};
    if (anatomy->encoding != ANATOMY_LEGACY || (anatomy->map == 1 && (anatomy->opcode & 0xf0) == 0x80))
        return anatomy->encoding == ANATOMY_LEGACY;
    return anatomy->map == 0 && memchr(opcodes, anatomy->opcode, sizeof(opcodes));
}

static bool has_no_memory(const struct sample *sample)
{
    return sample->ours.memory_count == 0;
}

/* SIB base 5 without displacement is no base, whatever REX.B says. */
static bool is_base_r13d(const struct sample *sample)
{
    return sample->mode == 64 && sample->anatomy.address && (sample->anatomy.modrm & 0xc7) == 4 &&
           sample->ours.memory_count == 1 && !sample->ours.memory[0].base;
}

static bool has_implicit_memory(const struct sample *sample)
{
    return is_legacy(sample, 0, 0xd7) || is_legacy(sample, 1, 0xf7) || is_legacy(sample, 1, 0xa6) ||
           is_legacy(sample, 1, 0xa7) || is_legacy(sample, 2, 0xf8) || is_ud01(sample) ||
           (sample->anatomy.encoding == ANATOMY_VEX && sample->anatomy.opcode == 0xf7);
}

static bool is_vector(const struct sample *sample)
{
    return sample->anatomy.encoding != ANATOMY_LEGACY;
}

static bool has_segment(const struct sample *sample)
{
    return sample->anatomy.segment != 0;
}

/* Zydis. */

static bool is_not_accessed(const struct sample *sample)
{
    return sample->ours.memory_count && !sample->ours.memory[0].access && !sample->ours.memory[0].size;
}

static bool is_far_return(const struct sample *sample)
{
    return is_legacy(sample, 0, 0xca) || is_legacy(sample, 0, 0xcb);
}

static bool is_xlat(const struct sample *sample)
{
    return is_legacy(sample, 0, 0xd7);
}

static bool is_lea(const struct sample *sample)
{
    return is_legacy(sample, 0, 0x8d) && sample->anatomy.segment;
}

static bool is_movsxd_16(const struct sample *sample)
{
    return sample->mode == 64 && is_legacy(sample, 0, 0x63) && sample->anatomy.operand;
}

static bool is_wbnoinvd(const struct sample *sample)
{
    return is_legacy(sample, 1, 0x09) && sample->anatomy.rep;
}

static bool is_amd_prefetch(const struct sample *sample)
{
    return is_legacy(sample, 1, 0x0d);
}

static bool is_enqcmd(const struct sample *sample)
{
    return is_legacy(sample, 2, 0xf8) && (sample->anatomy.rep || sample->anatomy.repne);
}

/* Extensions published after Zydis 4.0.0 (of 2022) was made. */
static bool is_later(const struct sample *sample)
{
    static const char *const later[] = {
        "RAO_INT",        "CMPCCXADD",  "USER_MSR",    "MSR_IMM",       "MSRLIST",        "FRED",
        "LKGS",           "MOVRS",      "PBNDKB",      "AVX_VNNI_INT8", "AVX_VNNI_INT16", "AVX_IFMA",
        "AVX_NE_CONVERT", "AVX_SHA512", "AVX_SM3",     "AVX_SM4",       "AVX512_SM4",     "AVX512_MOVRS",
        "AVX10_2",        "AMX_FP16",   "AMX_COMPLEX", "AMX_FP8",       "AMX_TF32",       "AMX_TRANSPOSE",
        "AMX_MOVRS",      "AMX_AVX512", "SNP",         "PREFETCHI",     "WRMSRNS"};
    if (sample->ours.status != VIEW_OK)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(later); i++)
        if (!strcmp(sample->ours.isa, later[i]))
            return true;
    return false;
}

static bool is_xchg_r8(const struct sample *sample)
{
    return is_legacy(sample, 0, 0x90) && sample->anatomy.rex & 1 && sample->anatomy.rep;
}

static bool is_amd_indirect(const struct sample *sample)
{
    return sample->mode == 64 && sample->vendor == VIEW_AMD && is_legacy(sample, 0, 0xff) &&
           sample->anatomy.operand;
}

static bool is_amd_far(const struct sample *sample)
{
    unsigned reg = sample->anatomy.modrm >> 3 & 7;
    return sample->mode == 64 && sample->vendor == VIEW_AMD && is_legacy(sample, 0, 0xff) &&
           (sample->anatomy.rex & 8) && (reg == 3 || reg == 5);
}

static bool is_notrack(const struct sample *sample)
{
    return sample->mode != 64 && is_legacy(sample, 0, 0xff) && sample->anatomy.segment == 0x3e;
}

static bool is_movdir64b(const struct sample *sample)
{
    return is_legacy(sample, 2, 0xf8) && sample->anatomy.operand;
}

static bool is_amd_lock_mov_cr(const struct sample *sample)
{
    bool is_move = is_legacy(sample, 1, 0x20) || is_legacy(sample, 1, 0x22);
    return sample->vendor == VIEW_AMD && is_move && sample->anatomy.lock && sample->ours.status == VIEW_OK;
}

/* More bytes than fifteen, and no instruction either: a matter of which is looked at first. */
static bool is_long_and_undefined(const struct sample *sample)
{
    enum view_status ours = sample->ours.status, theirs = sample->rivals[RIVAL_ZYDIS].status;
    return (ours == VIEW_TOO_LONG && theirs == VIEW_INVALID) ||
           (ours == VIEW_INVALID && theirs == VIEW_TOO_LONG);
}

static bool is_vmgexit(const struct sample *sample)
{
    return is_legacy(sample, 1, 0x01) && sample->anatomy.modrm == 0xd9;
}

static bool is_amd_sysenter(const struct sample *sample)
{
    return sample->mode == 64 && sample->vendor == VIEW_AMD &&
           (is_legacy(sample, 1, 0x34) || is_legacy(sample, 1, 0x35));
}

static bool is_amd_prefetch_register(const struct sample *sample)
{
    return sample->vendor == VIEW_AMD && is_legacy(sample, 1, 0x0d) && sample->anatomy.modrm >= 0xc0;
}

static bool is_knc(const struct sample *sample)
{
    const char *isa = view_isa(sample->bytes, sample->len, sample->mode);
    return sample->ours.status != VIEW_OK && isa && !strncmp(isa, "KNC", 3);
}

static bool is_padlock(const struct sample *sample)
{
    return sample->ours.status != VIEW_OK && (is_legacy(sample, 1, 0xa6) || is_legacy(sample, 1, 0xa7));
}

static bool is_intel_syscall(const struct sample *sample)
{
    return sample->mode != 64 && sample->vendor == VIEW_INTEL &&
           (is_legacy(sample, 1, 0x05) || is_legacy(sample, 1, 0x07));
}

/* Conversions between general and vector registers. */
static bool is_evex_w_outside_64(const struct sample *sample)
{
    const struct anatomy *anatomy = &sample->anatomy;
    bool is_conversion = anatomy->opcode == 0x2a || anatomy->opcode == 0x7b;
    return sample->mode != 64 && anatomy->encoding == ANATOMY_EVEX && anatomy->w &&
           sample->ours.status == VIEW_OK && (anatomy->map == 5 || (anatomy->map == 1 && is_conversion));
}

/* F2 and F3 0F 01 FD are RMPQUERY and RMPREAD. */
static bool is_rmp_outside_64(const struct sample *sample)
{
    return sample->mode != 64 && is_legacy(sample, 1, 0x01) && sample->anatomy.modrm == 0xfd &&
           (sample->anatomy.rep || sample->anatomy.repne) && sample->ours.status == VIEW_INVALID;
}

static bool is_vector_base_r13d(const struct sample *sample)
{
    return sample->anatomy.encoding != ANATOMY_LEGACY && is_base_r13d(sample);
}

const struct known_class known_classes[] = {
    {"PadLock", ON_BOTH, VIEW_STATUS, RIGHT_EITHER, false, is_padlock,
     "VIA's 0F A6 and 0F A7: #UD on every processor that runs KVM guests today"},
    {"SYSCALL outside 64-bit code", ON_BOTH, VIEW_STATUS, RIGHT_OURS, false, is_intel_syscall,
     "#UD for Intel (SDM 2B SYSCALL); AMD has it"},
    {"W of conversions outside 64-bit code", ON_BOTH, VIEW_STATUS, RIGHT_OURS, false, is_evex_w_outside_64,
     "ignored (SDM 2C VCVTSI2SH, VCVTUSI2SD), and rounding with a 32-bit register too"},
    {"RMPREAD, RMPQUERY", ON_BOTH, VIEW_STATUS, RIGHT_OURS, false, is_rmp_outside_64,
     "64-bit code only (APM 3); Zydis knows RDPRU alone"},
    {"SYSENTER in long mode", ON_BOTH, VIEW_STATUS, RIGHT_OURS, false, is_amd_sysenter,
     "#UD for AMD (APM 3 SYSENTER); this CPU says so too"},
    {"0F 0D with a register", ON_BOTH, VIEW_STATUS, RIGHT_OURS, false, is_amd_prefetch_register,
     "#UD for AMD (APM 3 PREFETCH); this CPU says so too"},
    {"Knights Corner", ON_ZYDIS, VIEW_STATUS, RIGHT_EITHER, false, is_knc,
     "Zydis decodes its VEX and EVEX-like instructions always; other processors take them for invalid"},
    {"later than both", ON_BOTH, VIEW_STATUS | VIEW_MNEMONIC, RIGHT_OURS, false, is_later,
     "extensions of 2022 and after: RAO-INT, CMPccXADD, AVX-IFMA, AVX10.2, FRED, ... (SDM 2, ISE)"},
    {"no access", ON_BOTH, VIEW_SIZE | VIEW_ACCESS, RIGHT_EITHER, false, is_not_accessed,
     "NOPs, prefetches, cache lines, INVLPG touch no data; Zydis calls it a read"},
    {"RETF", ON_BOTH, VIEW_MNEMONIC, RIGHT_EITHER, false, is_far_return, "one name for near and far"},
    {"XLAT's index", ON_BOTH, VIEW_INDEX | VIEW_SCALE, RIGHT_OURS, false, is_xlat,
     "AL is part of the address (SDM 2C XLAT)"},
    {"segment of LEA", ON_BOTH, VIEW_SEGMENT, RIGHT_EITHER, false, is_lea,
     "we say what is overridden, Zydis what counts"},
    {"UD0 and UD1", ON_BOTH, VIEW_SIZE, RIGHT_EITHER, false, is_ud01,
     "no operand is ever read; we follow 66 and REX.W"},
    {"MOVSXD r16", ON_BOTH, VIEW_SIZE, RIGHT_OURS, false, is_movsxd_16, "SDM 2B MOVSXD: r/m16 with 66"},
    {"WBNOINVD with 66", ON_BOTH, VIEW_MNEMONIC, RIGHT_EITHER, false, is_wbnoinvd,
     "the manual leaves 66 open"},
    {"0F 0D", ON_BOTH, VIEW_SIZE | VIEW_ACCESS | VIEW_MNEMONIC, RIGHT_OURS, false, is_amd_prefetch,
     "AMD's PREFETCH is Intel's NOP, but for /1 and /2 (SDM 2B PREFETCHW)"},
    {"XCHG R8 with F3", ON_BOTH, VIEW_MNEMONIC, RIGHT_OURS, false, is_xchg_r8,
     "PAUSE has no REX.B; this CPU exchanges"},
    {"66 with an indirect branch", ON_BOTH, VIEW_SIZE, RIGHT_OURS, false, is_amd_indirect,
     "AMD takes a 16-bit target (APM 3 CALL near); Zydis knows the direct ones alone"},
    {"REX.W with a far branch", ON_BOTH, VIEW_SIZE, RIGHT_OURS, false, is_amd_far,
     "AMD knows no offset of 64 bits there (APM 3 CALL far); this CPU reads six bytes"},
    {"3E with an indirect branch", ON_ZYDIS, VIEW_SEGMENT, RIGHT_EITHER, false, is_notrack,
     "NOTRACK, and outside 64-bit code still DS"},
    {"destination of MOVDIR64B", ON_ZYDIS, VIEW_OPERAND | VIEW_VALUES, RIGHT_OURS, false, is_movdir64b,
     "ES:[reg], first, and no override (SDM 2B MOVDIR64B); Zydis overrides it, and hides [rSP]"},
    {"LOCK MOV CR", ON_BOTH, VIEW_STATUS | VIEW_LOCK, RIGHT_OURS, false, is_amd_lock_mov_cr,
     "CR8 for AMD (APM 3 MOV CRn)"},
    {"long and undefined", ON_ZYDIS, VIEW_STATUS, RIGHT_EITHER, false, is_long_and_undefined,
     "#GP or #UD: processors differ in what they look at first"},
    {"VMGEXIT", ON_BOTH, VIEW_MNEMONIC, RIGHT_OURS, false, is_vmgexit,
     "VMMCALL with F2 or F3 (APM 3 VMGEXIT)"},
    {"address size without memory", ON_ZYDIS, VIEW_ADDRESS_SIZE, RIGHT_EITHER, false, has_no_memory,
     "ENCLS and the like: fixed for Zydis"},
    {"destination of ENQCMD", ON_BOTH, VIEW_COUNT, RIGHT_OURS, false, is_enqcmd,
     "64 bytes are stored to ES:[reg] (SDM 2A ENQCMD)"},
    {"R13D as SIB base", ON_ZYDIS, VIEW_BASE | VIEW_DISP | VIEW_SEGMENT, RIGHT_OURS, false, is_base_r13d,
     "with 67 and REX.B it takes base 5 without displacement for R13D (SDM 2A table 2-5: the base is not "
     "decoded)"},
    {"legacy instructions it lacks", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, lacks_legacy,
     "0F 0D and 0F 18 to 1F hints, UD0, CET, and what came after 2014 are not in its tables"},
    {"VEX instructions it lacks", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, lacks_vex,
     "VAES, GFNI, VNNI, opmask forms, W bits that are ignored (SDM 2C)"},
    {"EVEX instructions it lacks", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, lacks_evex,
     "most of AVX-512 BW, DQ, VL, VBMI and later (SDM 2C)"},
    {"XOP instructions it lacks", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, lacks_xop, "APM 4 and 6"},
    {"LOCK not checked", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, takes_lock,
     "LOCK is #UD but with a few instructions that write memory (SDM 2A LOCK)"},
    {"legacy encodings it takes", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, takes_legacy,
     "control and debug registers that do not exist, MOV to CS, prefixes that choose no instruction"},
    {"vector encodings it takes", ON_CAPSTONE, VIEW_STATUS, RIGHT_OURS, true, takes_vector,
     "reserved vvvv, V', z, b, L and legacy prefixes are not checked (SDM 2A 2.3, 2.7)"},
    {"UD0 and UD1 without ModRM", ON_CAPSTONE, ALL, RIGHT_OURS, false, is_ud01, "they have one (SDM 2B UD)"},
    {"66 with a near branch", ON_CAPSTONE, VIEW_LENGTH | VIEW_MNEMONIC, RIGHT_EITHER, true, is_near_branch,
     "ignored by Intel, 16 bits for AMD; Capstone knows no vendor"},
    {"EXTRQ, INSERTQ or VMREAD", ON_CAPSTONE, ALL, RIGHT_OURS, true, is_sse4a,
     "the last of F2 and F3 counts, and 66 chooses EXTRQ only without them"},
    {"LOCK with REP", ON_CAPSTONE, VIEW_LOCK, RIGHT_OURS, true, has_rep_and_lock,
     "it keeps one prefix of the group, but LOCK is in force whatever the other is"},
    {"no address size", ON_CAPSTONE, VIEW_ADDRESS_SIZE, RIGHT_OURS, true, has_no_memory,
     "it gives 0 or the mode's with some instructions that have no memory operand"},
    {"length of immediates", ON_CAPSTONE, VIEW_LENGTH, RIGHT_OURS, true, is_sized_immediate,
     "it takes 66 for an operand size beside REX.W, and not beside F2 or F3 (SDM 2A 2.2.1.2)"},
    {"EVEX with 67 and SIB base 5", ON_CAPSTONE, ALL, RIGHT_OURS, false, is_vector_base_r13d,
     "it reads neither SIB nor displacement; Zydis reads them, and takes R13D for the base"},
    {"length of vector instructions", ON_CAPSTONE, VIEW_LENGTH | VIEW_OPERAND, RIGHT_OURS, true, is_vector,
     "it reads an 8-bit displacement with rounding, RIP-relative EVEX as a base, XOP immediates as 16 bits"},
    {"implicit memory not listed", ON_CAPSTONE, VIEW_COUNT, RIGHT_OURS, true, has_implicit_memory,
     "XLAT, MASKMOV, MOVDIR64B and PadLock have memory that no ModRM names"},
    {"segment of several overrides", ON_CAPSTONE, VIEW_SEGMENT, RIGHT_OURS, true, has_segment,
     "in 64-bit code ES, CS, SS, DS do not cancel FS or GS; LEA has none"},
    {"EVEX index as a vector", ON_CAPSTONE, VIEW_INDEX | VIEW_SCALE | VIEW_BASE, RIGHT_OURS, true, is_vector,
     "it takes V' for a part of the index of any instruction, and scatters for ordinary ones"},
    {"EVEX disp8*N", ON_CAPSTONE, VIEW_DISP, RIGHT_OURS, true, is_vector,
     "N from the tuple type (SDM 2A 2.7.5)"},
    {"size of memory", ON_CAPSTONE, VIEW_SIZE, RIGHT_OURS, true, any,
     "its table is of the assembler's syntax; wrong for far pointers, MMX unpacks, COMISS, x87 state, ..."},
    {"access to memory", ON_CAPSTONE, VIEW_ACCESS, RIGHT_OURS, true, any,
     "vector stores are reads, string operands nothing, TEST a write"},
    {"name", ON_CAPSTONE, VIEW_MNEMONIC, RIGHT_EITHER, true, any,
     "pseudo-instructions (CMPEQPS) and AT&T names (LJMP); 66 kept as a mandatory prefix beside F2 and F3"},
};
const unsigned known_class_count = ARRAY_COUNT(known_classes);
