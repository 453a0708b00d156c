/* SPDX-License-Identifier: MIT
 *
 * CPUID bits by extension (SDM 2A CPUID; APM 3 appendix E).
 */
#include "tests/decoder/cpu_features.h"

#include <cpuid.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

static const struct {
    uint32_t leaf;
    uint8_t subleaf, reg, bit;
} bits[INSN_ISA_COUNT] = {
#define BIT(isa, leaf, subleaf, reg, bit) [INSN_ISA_##isa] = {leaf, subleaf, reg, bit}
    BIT(CMOV, 1, 0, EDX, 15),
    BIT(CX16, 1, 0, ECX, 13),
    BIT(MOVBE, 1, 0, ECX, 22),
    BIT(POPCNT, 1, 0, ECX, 23),
    BIT(LZCNT, 0x80000001, 0, ECX, 5),
    BIT(BMI1, 7, 0, EBX, 3),
    BIT(BMI2, 7, 0, EBX, 8),
    BIT(TBM, 0x80000001, 0, ECX, 21),
    BIT(ADX, 7, 0, EBX, 19),
    BIT(CRC32, 1, 0, ECX, 20),
    BIT(SSE2_GPR, 1, 0, EDX, 26),
    BIT(CMPCCXADD, 7, 1, EAX, 7),
    BIT(RAO_INT, 7, 1, EAX, 3),
    BIT(MOVDIRI, 7, 0, ECX, 27),
    BIT(MOVDIR64B, 7, 0, ECX, 28),
    BIT(ENQCMD, 7, 0, ECX, 29),
    BIT(CLFLUSH, 1, 0, EDX, 19),
    BIT(CLFLUSHOPT, 7, 0, EBX, 23),
    BIT(CLWB, 7, 0, EBX, 24),
    BIT(CLZERO, 0x80000008, 0, EBX, 0),
    BIT(MCOMMIT, 0x80000008, 0, EBX, 8),
    BIT(MOVRS, 7, 1, EAX, 31),
    BIT(FSGSBASE, 7, 0, EBX, 0),
    BIT(RDRAND, 1, 0, ECX, 30),
    BIT(RDSEED, 7, 0, EBX, 18),
    BIT(RDPID, 7, 0, ECX, 22),
    BIT(RDTSCP, 0x80000001, 0, EDX, 27),
    BIT(RDPRU, 0x80000008, 0, EBX, 4),
    BIT(SERIALIZE, 7, 0, EDX, 14),
    BIT(XSAVE, 1, 0, ECX, 27),
    BIT(FXSR, 1, 0, EDX, 24),
    BIT(INVPCID, 7, 0, EBX, 10),
    BIT(LWP, 0x80000001, 0, ECX, 15),
    BIT(WBNOINVD, 0x80000008, 0, EBX, 9),
    BIT(X87, 1, 0, EDX, 0),
    BIT(SSE3_X87, 1, 0, ECX, 0),
    BIT(MMX, 1, 0, EDX, 23),
    BIT(SSE_MMX, 1, 0, EDX, 25),
    BIT(SSE2_MMX, 1, 0, EDX, 26),
    BIT(SSSE3_MMX, 1, 0, ECX, 9),
    BIT(3DNOW, 0x80000001, 0, EDX, 31),
    BIT(3DNOWEXT, 0x80000001, 0, EDX, 30),
    BIT(SSE, 1, 0, EDX, 25),
    BIT(SSE2, 1, 0, EDX, 26),
    BIT(SSE3, 1, 0, ECX, 0),
    BIT(SSSE3, 1, 0, ECX, 9),
    BIT(SSE4_1, 1, 0, ECX, 19),
    BIT(SSE4_2, 1, 0, ECX, 20),
    BIT(SSE4A, 0x80000001, 0, ECX, 6),
    BIT(AES, 1, 0, ECX, 25),
    BIT(PCLMULQDQ, 1, 0, ECX, 1),
    BIT(SHA, 7, 0, EBX, 29),
    BIT(GFNI, 7, 0, ECX, 8),
    BIT(KEYLOCKER, 0x19, 0, EBX, 0),
    BIT(KEYLOCKER_WIDE, 0x19, 0, EBX, 2),
    BIT(AVX, 1, 0, ECX, 28),
    BIT(AVX2, 7, 0, EBX, 5),
    BIT(FMA, 1, 0, ECX, 12),
    BIT(F16C, 1, 0, ECX, 29),
    BIT(FMA4, 0x80000001, 0, ECX, 16),
    BIT(XOP, 0x80000001, 0, ECX, 11),
    BIT(VAES, 7, 0, ECX, 9),
    BIT(VPCLMULQDQ, 7, 0, ECX, 10),
    BIT(AVX_GFNI, 7, 0, ECX, 8),
    BIT(AVX_VNNI, 7, 1, EAX, 4),
    BIT(AVX_VNNI_INT8, 7, 1, EDX, 4),
    BIT(AVX_VNNI_INT16, 7, 1, EDX, 10),
    BIT(AVX_IFMA, 7, 1, EAX, 23),
    BIT(AVX_NE_CONVERT, 7, 1, EDX, 5),
    BIT(AVX_SHA512, 7, 1, EAX, 0),
    BIT(AVX_SM3, 7, 1, EAX, 1),
    BIT(AVX_SM4, 7, 1, EAX, 2),
    BIT(AVX512F, 7, 0, EBX, 16),
    BIT(AVX512CD, 7, 0, EBX, 28),
    BIT(AVX512ER, 7, 0, EBX, 27),
    BIT(AVX512PF, 7, 0, EBX, 26),
    BIT(AVX512BW, 7, 0, EBX, 30),
    BIT(AVX512DQ, 7, 0, EBX, 17),
    BIT(AVX512_IFMA, 7, 0, EBX, 21),
    BIT(AVX512_VBMI, 7, 0, ECX, 1),
    BIT(AVX512_VBMI2, 7, 0, ECX, 6),
    BIT(AVX512_VNNI, 7, 0, ECX, 11),
    BIT(AVX512_BITALG, 7, 0, ECX, 12),
    BIT(AVX512_VPOPCNTDQ, 7, 0, ECX, 14),
    BIT(AVX512_BF16, 7, 1, EAX, 5),
    BIT(AVX512_FP16, 7, 0, EDX, 23),
    BIT(AVX512_VP2INTERSECT, 7, 0, EDX, 8),
    BIT(AVX512_4FMAPS, 7, 0, EDX, 3),
    BIT(AVX512_4VNNIW, 7, 0, EDX, 2),
    BIT(AVX512_VAES, 7, 0, ECX, 9),
    BIT(AVX512_VPCLMULQDQ, 7, 0, ECX, 10),
    BIT(AVX512_GFNI, 7, 0, ECX, 8),
    BIT(AVX512_SM4, 7, 1, EAX, 2),
    BIT(AVX512_MOVRS, 7, 1, EAX, 31),
    BIT(AVX10_2, 7, 1, EDX, 19),
    BIT(AMX_TILE, 7, 0, EDX, 24),
    BIT(AMX_INT8, 7, 0, EDX, 25),
    BIT(AMX_BF16, 7, 0, EDX, 22),
    BIT(AMX_FP16, 7, 1, EAX, 21),
    BIT(AMX_COMPLEX, 7, 1, EDX, 8),
    BIT(AMX_FP8, 0x1e, 1, EAX, 4),
    BIT(AMX_TRANSPOSE, 0x1e, 1, EAX, 5),
    BIT(AMX_TF32, 0x1e, 1, EAX, 6),
    BIT(AMX_AVX512, 0x1e, 1, EAX, 7),
    BIT(AMX_MOVRS, 0x1e, 1, EAX, 8),
    BIT(PTWRITE, 0x14, 0, EBX, 4),
    BIT(HRESET, 7, 1, EAX, 22),
    BIT(USER_MSR, 7, 1, EDX, 15),
#undef BIT
};

/* These raise #UD until the operating system or a hypervisor turns them on. */
static bool depends_on_mode(enum insn_isa isa)
{
    switch (isa) {
    case INSN_ISA_SMAP:
    case INSN_ISA_PKU:
    case INSN_ISA_CET:
    case INSN_ISA_UINTR:
    case INSN_ISA_FRED:
    case INSN_ISA_LKGS:
    case INSN_ISA_WAITPKG:
    case INSN_ISA_MONITOR:
    case INSN_ISA_TSX:
    case INSN_ISA_INVLPGB:
    case INSN_ISA_SNP:
    case INSN_ISA_VMX:
    case INSN_ISA_SVM:
    case INSN_ISA_SMX:
    case INSN_ISA_SGX:
    case INSN_ISA_TDX:
    case INSN_ISA_SEAM:
    case INSN_ISA_PCONFIG:
    case INSN_ISA_PBNDKB:
    case INSN_ISA_WRMSRNS:
    case INSN_ISA_MSRLIST:
    case INSN_ISA_MSR_IMM:
    case INSN_ISA_MPX:
    case INSN_ISA_APX:
    case INSN_ISA_KNC:
        return true;
    default:
        return false;
    }
}

enum cpu_answer cpu_has(enum insn_isa isa)
{
    uint32_t values[4] = {0};
    if (depends_on_mode(isa))
        return CPU_UNSURE;
    if (!bits[isa].leaf)
        return CPU_HAS;
    if (!__get_cpuid_count(bits[isa].leaf, bits[isa].subleaf, &values[EAX], &values[EBX], &values[ECX],
                           &values[EDX]))
        return CPU_LACKS;
    return values[bits[isa].reg] >> bits[isa].bit & 1 ? CPU_HAS : CPU_LACKS;
}

enum insn_vendor cpu_vendor(void)
{
    uint32_t eax, ebx = 0, ecx, edx;
    __get_cpuid(0, &eax, &ebx, &ecx, &edx);
    const uint32_t hygon_ebx = 0x6f677948; /* "HygonGenuine" */
    return ebx == signature_AMD_ebx || ebx == hygon_ebx ? INSN_AMD : INSN_INTEL;
}

const char *cpu_name(void)
{
    static uint32_t text[13];
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &text[4 * i], &text[4 * i + 1], &text[4 * i + 2], &text[4 * i + 3]);
    return (const char *)text;
}
