/* SPDX-License-Identifier: MIT
 *
 * One virtual CPU's registers as plain data: what vcpu/ loads before an instruction is executed in software
 * and stores afterwards. It knows nothing of KVM. What costs a system call of its own and is rarely needed
 * (vector state, MSRs, CPUID) is not here but behind the callbacks of mmio/step.h.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_CPU_STATE_H
#define MMIO_CPU_STATE_H

#include "base/types.h"
#include "base/x86.h"

/* In the order of the ModRM register field, as all register numbers of the processor. */
enum cpu_gpr {
    CPU_RAX,
    CPU_RCX,
    CPU_RDX,
    CPU_RBX,
    CPU_RSP,
    CPU_RBP,
    CPU_RSI,
    CPU_RDI,
    CPU_GPR_COUNT = 16,
};

enum cpu_segment_name {
    CPU_ES,
    CPU_CS,
    CPU_SS,
    CPU_DS,
    CPU_FS,
    CPU_GS,
    CPU_SEGMENT_COUNT,
};

/* Bits of cpu_segment.attributes: bits 40 to 55 of a descriptor without the limit in the middle, which is the
 * layout of VMX's access rights and SVM's attributes too (SDM 3A 3.4.5). */
#define SEGMENT_TYPE        0x000fu
#define SEGMENT_ACCESSED    0x0001u
#define SEGMENT_WRITABLE    0x0002u /* of data; of code: readable */
#define SEGMENT_EXPAND_DOWN 0x0004u /* of data; of code: conforming */
#define SEGMENT_CODE        0x0008u
#define SEGMENT_S           0x0010u /* code or data, not a system descriptor */
#define SEGMENT_DPL_SHIFT   5
#define SEGMENT_DPL         0x0060u
#define SEGMENT_PRESENT     0x0080u
#define SEGMENT_AVL         0x1000u
#define SEGMENT_L           0x2000u
#define SEGMENT_DB          0x4000u
#define SEGMENT_G           0x8000u

/* The hidden part is what counts. A segment without SEGMENT_PRESENT is one that holds a null selector
 * ("unusable"). `limit` is in bytes, the last valid offset, the G bit already applied. */
struct cpu_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes;
};

/* GDTR and IDTR. */
struct cpu_table {
    uint64_t base;
    uint16_t limit;
};

#define DR6_BS     0x4000u     /* single step */
#define DR6_FIXED  0xffff0ff0u /* reads as 1 */
#define DR6_BD     0x2000u
#define DR6_BT     0x8000u /* the T bit of a TSS */
#define DR7_LOCAL  0x0155u /* L0 to L3, LE */
#define DR7_GD     0x2000u
#define DR7_ACTIVE 0x00ffu /* L0, G0 ... L3, G3 */

/* What `interrupt_shadow` holds: the values of KVM_GET_VCPU_EVENTS. */
#define SHADOW_MOV_SS 1u
#define SHADOW_STI    2u

/* The vector and x87 state, loaded when the first instruction needs it (env_load_vector). The buffer is the
 * vCPU's: an XSAVE area in the standard, not compacted, form, 64-byte aligned, as KVM_GET_XSAVE gives it. An
 * instruction that ends in an exception has not changed it. */
struct cpu_vector {
    uint8_t *xsave;
    uint64_t xcr0; /* once xcr0_known; to be asked by env_xcr0 */
    bool xcr0_known;
    bool loaded;  /* the fields above and `pkru` of the CPU are the guest's */
    bool changed; /* vcpu_store_state must write the area back */
};

struct cpu_state {
    uint64_t gpr[CPU_GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    struct cpu_segment segments[CPU_SEGMENT_COUNT];
    struct cpu_segment ldt, tr;
    struct cpu_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    uint64_t dr[4], dr6, dr7;
    uint32_t pkru; /* valid when vector.loaded */
    uint8_t cpl;
    uint8_t interrupt_shadow; /* SHADOW_*: of the instruction before this one */
    bool nmi_masked;
    bool halted; /* set by HLT: the vCPU has to wait for an interrupt */
    struct cpu_vector vector;
};

/* The mode that the instruction at rip is decoded in: 2, 4 or 8 bytes of default size. */
static inline bool cpu_is_long(const struct cpu_state *cpu)
{
    return (cpu->efer & EFER_LMA) != 0;
}

static inline bool cpu_is_64bit(const struct cpu_state *cpu)
{
    return (cpu->efer & EFER_LMA) && (cpu->segments[CPU_CS].attributes & SEGMENT_L);
}

static inline bool cpu_is_protected(const struct cpu_state *cpu)
{
    return (cpu->cr0 & CR0_PE) && !(cpu->rflags & FLAG_VM);
}

#endif
