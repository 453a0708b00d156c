/* SPDX-License-Identifier: MIT
 *
 * The bits of EFLAGS (SDM 1 3.4.3), the control registers and IA32_EFER, for whoever sets up, walks or
 * executes for a processor.
 */
#ifndef BASE_X86_H
#define BASE_X86_H

#define FLAG_CF       0x000001u
#define FLAG_FIXED    0x000002u /* always reads 1 */
#define FLAG_PF       0x000004u
#define FLAG_AF       0x000010u
#define FLAG_ZF       0x000040u
#define FLAG_SF       0x000080u
#define FLAG_TF       0x000100u
#define FLAG_IF       0x000200u
#define FLAG_DF       0x000400u
#define FLAG_OF       0x000800u
#define FLAG_IOPL     0x003000u
#define FLAG_NT       0x004000u
#define FLAG_RF       0x010000u
#define FLAG_VM       0x020000u
#define FLAG_AC       0x040000u
#define FLAG_VIF      0x080000u
#define FLAG_VIP      0x100000u
#define FLAG_ID       0x200000u
#define FLAGS_STATUS  (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define FLAG_IOPL_BIT 12

/* SDM 3A 2.5 */
#define CR0_PE 0x00000001u
#define CR0_MP 0x00000002u
#define CR0_EM 0x00000004u
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_AM 0x00040000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u

#define CR4_VME        0x00000001u
#define CR4_PVI        0x00000002u
#define CR4_TSD        0x00000004u
#define CR4_DE         0x00000008u
#define CR4_PSE        0x00000010u
#define CR4_PAE        0x00000020u
#define CR4_PGE        0x00000080u
#define CR4_PCE        0x00000100u
#define CR4_OSFXSR     0x00000200u
#define CR4_OSXMMEXCPT 0x00000400u
#define CR4_UMIP       0x00000800u
#define CR4_LA57       0x00001000u
#define CR4_VMXE       0x00002000u
#define CR4_SMXE       0x00004000u
#define CR4_FSGSBASE   0x00010000u
#define CR4_PCIDE      0x00020000u
#define CR4_OSXSAVE    0x00040000u
#define CR4_SMEP       0x00100000u
#define CR4_SMAP       0x00200000u
#define CR4_PKE        0x00400000u
#define CR4_CET        0x00800000u
#define CR4_UINTR      0x02000000u

/* SDM 3A 2.2.1, APM 2 3.1.7 */
#define EFER_SCE    0x0001u
#define EFER_LME    0x0100u
#define EFER_LMA    0x0400u
#define EFER_NXE    0x0800u
#define EFER_SVME   0x1000u
#define EFER_FFXSR  0x4000u
#define EFER_TCE    0x8000u
#define EFER_AIBRSE 0x200000u

#endif
