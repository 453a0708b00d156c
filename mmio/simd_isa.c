/* SPDX-License-Identifier: MIT
 *
 * Which CPUID bit stands for which extension: for what the guest may use and what this host can run. Of the
 * vector extensions it is also the explicit list of what is ever run natively: one that is not in it never is
 * (tiles, Key Locker, whose state is not in the XSAVE area, and what no single CPUID bit shows).
 */
#include "mmio/simd_code.h"

enum { EAX, EBX, ECX, EDX };

#define BIT(leaf_, reg_, bit_)                                          \
    {                                                                   \
        .leaf = (leaf_), .reg = (reg_), .bit = (bit_), .is_known = true \
    }
#define BIT1(reg_, bit_)                                                        \
    {                                                                           \
        .leaf = 7, .subleaf = 1, .reg = (reg_), .bit = (bit_), .is_known = true \
    }

static const struct isa_cpuid table[SIMD_ISA_COUNT] = {
    /* General registers: what the guest's CPUID decides between doing it and #UD. */
    [INSN_ISA_CMOV] = BIT(1, EDX, 15),
    [INSN_ISA_CX16] = BIT(1, ECX, 13),
    [INSN_ISA_MOVBE] = BIT(1, ECX, 22),
    [INSN_ISA_POPCNT] = BIT(1, ECX, 23),
    [INSN_ISA_CRC32] = BIT(1, ECX, 20),
    [INSN_ISA_SSE2_GPR] = BIT(1, EDX, 26),
    [INSN_ISA_CLFLUSH] = BIT(1, EDX, 19),
    [INSN_ISA_MONITOR] = BIT(1, ECX, 3),
    [INSN_ISA_RDRAND] = BIT(1, ECX, 30),
    [INSN_ISA_LZCNT] = BIT(0x80000001, ECX, 5),
    [INSN_ISA_TBM] = BIT(0x80000001, ECX, 21),
    [INSN_ISA_LWP] = BIT(0x80000001, ECX, 15),
    [INSN_ISA_RDTSCP] = BIT(0x80000001, EDX, 27),
    [INSN_ISA_CLZERO] = BIT(0x80000008, EBX, 0),
    [INSN_ISA_RDPRU] = BIT(0x80000008, EBX, 4),
    [INSN_ISA_FSGSBASE] = BIT(7, EBX, 0),
    [INSN_ISA_BMI1] = BIT(7, EBX, 3),
    [INSN_ISA_BMI2] = BIT(7, EBX, 8),
    [INSN_ISA_INVPCID] = BIT(7, EBX, 10),
    [INSN_ISA_TSX] = BIT(7, EBX, 11),
    [INSN_ISA_RDSEED] = BIT(7, EBX, 18),
    [INSN_ISA_ADX] = BIT(7, EBX, 19),
    [INSN_ISA_SMAP] = BIT(7, EBX, 20),
    [INSN_ISA_CLFLUSHOPT] = BIT(7, EBX, 23),
    [INSN_ISA_CLWB] = BIT(7, EBX, 24),
    [INSN_ISA_PKU] = BIT(7, ECX, 3),
    [INSN_ISA_WAITPKG] = BIT(7, ECX, 5),
    [INSN_ISA_RDPID] = BIT(7, ECX, 22),
    [INSN_ISA_MOVDIRI] = BIT(7, ECX, 27),
    [INSN_ISA_MOVDIR64B] = BIT(7, ECX, 28),
    [INSN_ISA_ENQCMD] = BIT(7, ECX, 29),
    [INSN_ISA_UINTR] = BIT(7, EDX, 5),
    [INSN_ISA_SERIALIZE] = BIT(7, EDX, 14),
    [INSN_ISA_PCONFIG] = BIT(7, EDX, 18),
    [INSN_ISA_RAO_INT] = BIT1(EAX, 3),
    [INSN_ISA_CMPCCXADD] = BIT1(EAX, 7),
    [INSN_ISA_FRED] = BIT1(EAX, 17),
    [INSN_ISA_LKGS] = BIT1(EAX, 18),
    [INSN_ISA_HRESET] = BIT1(EAX, 22),
    [INSN_ISA_WRMSRNS] = BIT1(EAX, 19),
    [INSN_ISA_MSRLIST] = BIT1(EAX, 27),
    [INSN_ISA_MOVRS] = BIT1(EAX, 31),
    [INSN_ISA_PTWRITE] = BIT(0x14, EBX, 4),
    [INSN_ISA_MSR_IMM] = BIT1(ECX, 5),
    [INSN_ISA_X87] = BIT(1, EDX, 0),
    [INSN_ISA_SSE3_X87] = BIT(1, ECX, 0),
    [INSN_ISA_MMX] = BIT(1, EDX, 23),
    [INSN_ISA_SSE_MMX] = BIT(1, EDX, 25),
    [INSN_ISA_SSE2_MMX] = BIT(1, EDX, 26),
    [INSN_ISA_SSSE3_MMX] = BIT(1, ECX, 9),
    [INSN_ISA_3DNOW] = BIT(0x80000001, EDX, 31),
    [INSN_ISA_3DNOWEXT] = BIT(0x80000001, EDX, 30),
    [INSN_ISA_FXSR] = BIT(1, EDX, 24),
    [INSN_ISA_XSAVE] = BIT(1, ECX, 26),
    [INSN_ISA_SSE] = BIT(1, EDX, 25),
    [INSN_ISA_SSE2] = BIT(1, EDX, 26),
    [INSN_ISA_SSE3] = BIT(1, ECX, 0),
    [INSN_ISA_SSSE3] = BIT(1, ECX, 9),
    [INSN_ISA_SSE4_1] = BIT(1, ECX, 19),
    [INSN_ISA_SSE4_2] = BIT(1, ECX, 20),
    [INSN_ISA_SSE4A] = BIT(0x80000001, ECX, 6),
    [INSN_ISA_AES] = BIT(1, ECX, 25),
    [INSN_ISA_PCLMULQDQ] = BIT(1, ECX, 1),
    [INSN_ISA_SHA] = BIT(7, EBX, 29),
    [INSN_ISA_GFNI] = BIT(7, ECX, 8),
    [INSN_ISA_AVX] = BIT(1, ECX, 28),
    [INSN_ISA_AVX2] = BIT(7, EBX, 5),
    [INSN_ISA_FMA] = BIT(1, ECX, 12),
    [INSN_ISA_F16C] = BIT(1, ECX, 29),
    [INSN_ISA_FMA4] = BIT(0x80000001, ECX, 16),
    [INSN_ISA_XOP] = BIT(0x80000001, ECX, 11),
    [INSN_ISA_VAES] = BIT(7, ECX, 9),
    [INSN_ISA_VPCLMULQDQ] = BIT(7, ECX, 10),
    [INSN_ISA_AVX_GFNI] = BIT(7, ECX, 8),
    [INSN_ISA_AVX_VNNI] = BIT1(EAX, 4),
    [INSN_ISA_AVX_VNNI_INT8] = BIT1(EDX, 4),
    [INSN_ISA_AVX_VNNI_INT16] = BIT1(EDX, 10),
    [INSN_ISA_AVX_IFMA] = BIT1(EAX, 23),
    [INSN_ISA_AVX_NE_CONVERT] = BIT1(EDX, 5),
    [INSN_ISA_AVX_SHA512] = BIT1(EAX, 0),
    [INSN_ISA_AVX_SM3] = BIT1(EAX, 1),
    [INSN_ISA_AVX_SM4] = BIT1(EAX, 2),
    [INSN_ISA_AVX512F] = BIT(7, EBX, 16),
    [SIMD_ISA_VL] = BIT(7, EBX, 31),
    [INSN_ISA_AVX512CD] = BIT(7, EBX, 28),
    [INSN_ISA_AVX512ER] = BIT(7, EBX, 27),
    [INSN_ISA_AVX512PF] = BIT(7, EBX, 26),
    [INSN_ISA_AVX512BW] = BIT(7, EBX, 30),
    [INSN_ISA_AVX512DQ] = BIT(7, EBX, 17),
    [INSN_ISA_AVX512_IFMA] = BIT(7, EBX, 21),
    [INSN_ISA_AVX512_VBMI] = BIT(7, ECX, 1),
    [INSN_ISA_AVX512_VBMI2] = BIT(7, ECX, 6),
    [INSN_ISA_AVX512_VNNI] = BIT(7, ECX, 11),
    [INSN_ISA_AVX512_BITALG] = BIT(7, ECX, 12),
    [INSN_ISA_AVX512_VPOPCNTDQ] = BIT(7, ECX, 14),
    [INSN_ISA_AVX512_BF16] = BIT1(EAX, 5),
    [INSN_ISA_AVX512_FP16] = BIT(7, EDX, 23),
    [INSN_ISA_AVX512_VP2INTERSECT] = BIT(7, EDX, 8),
    [INSN_ISA_AVX512_4FMAPS] = BIT(7, EDX, 3),
    [INSN_ISA_AVX512_4VNNIW] = BIT(7, EDX, 2),
    [INSN_ISA_AVX512_VAES] = BIT(7, ECX, 9),
    [INSN_ISA_AVX512_VPCLMULQDQ] = BIT(7, ECX, 10),
    [INSN_ISA_AVX512_GFNI] = BIT(7, ECX, 8),
    [INSN_ISA_AVX512_SM4] = BIT1(EAX, 2),
};

static const uint8_t classes[SIMD_ISA_COUNT] = {
    [SIMD_ISA_VL] = INSN_CLASS_AVX512,
#define ISA(name, class) [INSN_ISA_##name] = INSN_CLASS_##class,
#include "decoder/isa.def"
#undef ISA
};

struct isa_cpuid isa_cpuid(unsigned isa)
{
    return table[isa];
}

enum insn_class isa_class(unsigned isa)
{
    return classes[isa];
}
