/* SPDX-License-Identifier: MIT
 *
 * What the differential test does not compare, and why: results that the manuals leave undefined in a way
 * that no row can say, and differences between processors.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/mmio/oracle.h"

/* A row that stands for nothing on this CPU, or for something else: the other vendor's, or one of an
 * extension that the decoder takes for a NOP unless it is asked. */
bool oracle_is_foreign(const struct oracle_row *row)
{
    static const char *const defaults[] = {"CET", "LZCNT", "TZCNT", "WBNOINVD", NULL};
    if (row->feature) {
        bool is_default = false;
        for (const char *const *name = defaults; *name; name++)
            is_default |= !strcmp(row->feature, *name);
        if (!is_default)
            return true;
    }
    return row->vendor_set == (oracle_is_amd() ? 1 : 2);
}

/* The count of a shift or rotate, masked as the processor does. */
static unsigned shift_count(const struct oracle_case *made)
{
    const struct insn_operand *last = &made->insn.operands[made->insn.operand_count - 1];
    unsigned mask = made->insn.operands[0].size == 8 ? 63 : 31;
    if (last->kind == INSN_IMM)
        return (unsigned)made->insn.imm & mask;
    return last->kind == INSN_GPR ? (unsigned)made->in.gpr[CPU_RCX] & mask : 1;
}

uint64_t oracle_flags_undefined(const struct oracle_case *made)
{
    unsigned bits = 8 * made->insn.operands[0].size;
    switch (made->insn.op) {
    case INSN_OP_SHL:
    case INSN_OP_SHR:
    case INSN_OP_SAR:
    case INSN_OP_SHLD:
    case INSN_OP_SHRD:
        /* OF is defined for a count of 1, CF as long as a bit of the operand is shifted into it. */
        return (shift_count(made) != 1 ? FLAG_OF : 0) | (shift_count(made) >= bits ? FLAG_CF : 0);
    case INSN_OP_ROL:
    case INSN_OP_ROR:
    case INSN_OP_RCL:
    case INSN_OP_RCR:
        return shift_count(made) != 1 ? FLAG_OF : 0;
    }
    return 0;
}

/* Both refuse with a page fault, but an instruction of many accesses may begin with another one. */
static bool is_fault_order_free(const struct insn *insn)
{
    switch (insn->op) {
    case INSN_OP_FXSAVE:
    case INSN_OP_FXRSTOR:
    case INSN_OP_XSAVE:
    case INSN_OP_XSAVEC:
    case INSN_OP_XSAVEOPT:
    case INSN_OP_XRSTOR:
    case INSN_OP_FNSAVE:
    case INSN_OP_FRSTOR:
    case INSN_OP_FNSTENV:
    case INSN_OP_FLDENV:
    case INSN_OP_MASKMOV:
    case INSN_OP_CMPS:
    case INSN_OP_PUSHA:
    case INSN_OP_POPA:
    case INSN_OP_ENTER:
        return true;
    }
    return false;
}

/* AMD's processors probe the last byte of the area that all of XCR0 would need, whatever was asked for. */
static bool is_xsave(const struct insn *insn)
{
    return insn->op >= INSN_OP_XSAVE && insn->op <= INSN_OP_XRSTORS;
}

bool oracle_is_expected(const struct oracle_case *made, const struct native_result *real,
                        const struct native_result *ours)
{
    const struct insn *insn = &made->insn;
    if (real->trap == VECTOR_PF && ours->trap == VECTOR_PF && is_fault_order_free(insn))
        return true;
    if (real->trap == VECTOR_PF && is_xsave(insn))
        return true;
    if ((insn->op == INSN_OP_SHLD || insn->op == INSN_OP_SHRD) &&
        shift_count(made) > 8u * insn->operands[0].size)
        return true;
    /* A mask of all zeroes: a page fault or none (SDM 2B MASKMOVQ). */
    if (insn->op == INSN_OP_MASKMOV && real->trap == VECTOR_PF)
        return true;
    /* Which of two faults comes first. */
    if ((insn->op == INSN_OP_MASKMOV || insn->op == INSN_OP_CMPS || insn->op == INSN_OP_BOUND) &&
        real->trap != VECTOR_DB && ours->trap != VECTOR_DB)
        return true;
    /* Misaligned, with alignment checks on: either exception (SDM 2A, FXSAVE). */
    if ((insn->op == INSN_OP_FXSAVE || insn->op == INSN_OP_FXRSTOR) &&
        ((real->trap == VECTOR_GP && ours->trap == VECTOR_AC) ||
         (real->trap == VECTOR_AC && ours->trap == VECTOR_GP)))
        return true;
    /* The new stack pointer is read before the selector of the return is looked at; which of two words first.
     */
    if (insn->op == INSN_OP_RET_FAR && (real->trap == VECTOR_PF || real->trap == VECTOR_AC) &&
        ours->trap != VECTOR_DB)
        return true;
    /* The return address is pushed before the target is checked. */
    if (insn->op == INSN_OP_CALL_FAR && real->trap != VECTOR_DB && ours->trap != VECTOR_DB)
        return true;
    /* From 64-bit code into 32-bit code: the push is made by the new code's rules, and rsp is cut. */
    bool is_far = insn->op == INSN_OP_CALL_FAR || insn->op == INSN_OP_JMP_FAR || insn->op == INSN_OP_RET_FAR;
    if (is_far && made->in.mode == 64 && (real->cs != NATIVE_CS_64 || ours->cs != NATIVE_CS_64))
        return true;
    /* What was pushed before the fault stays. */
    if (insn->op == INSN_OP_ENTER && real->trap != VECTOR_DB && ours->trap != VECTOR_DB)
        return true;
    /* The single step comes between two elements when the next one faults. */
    if ((insn->op == INSN_OP_GATHER || insn->op == INSN_OP_SCATTER) && real->trap == VECTOR_DB &&
        real->rip == made->in.rip && ours->trap == VECTOR_PF)
        return true;
    /* AMD's processors let F2 and F3 choose between LOOPNE and LOOPE. */
    if ((insn->op == INSN_OP_LOOPE || insn->op == INSN_OP_LOOPNE) &&
        (insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE)))
        return true;
    /* Reserved encodings: Zen 4 takes them for CLZERO, Zen 5 raises #UD. */
    if (insn->op == INSN_OP_CLZERO && (insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE)) &&
        real->trap == VECTOR_UD)
        return true;
    /* An extension that a hypervisor hides and the processor has: the privilege level is looked at. */
    if (insn->isa == INSN_ISA_INVPCID && real->trap == VECTOR_GP && ours->trap == VECTOR_UD)
        return true;
    /* XGETBV of 1 tells which components are in use: any answer that includes those is right. */
    return insn->op == INSN_OP_XGETBV && (uint32_t)made->in.gpr[CPU_RCX] == 1;
}

/* The upper half of an offset of data that lies where the kernel maps, or of any data from FS, which does. */
static bool is_high_offset(const struct insn *insn, uint32_t upper)
{
    return insn->segment == INSN_FS ? upper : upper >> 12 == 0x7;
}

/* AMD's processors save the x87 pointers only while an exception is pending, if their hypervisor does not say
 * otherwise; ours keeps them. */
void oracle_state_forget(const struct oracle_case *made, uint8_t *native, uint8_t *guest)
{
    /* A gap of ours: with overflow or underflow not masked, whether the result was inexact as well. */
    uint32_t raised = load_le32(native + XSAVE_MXCSR) & ~(load_le32(native + XSAVE_MXCSR) >> 7);
    /* The dot products raise what their first steps find before the later steps are made. */
    bool is_dot_product = made->insn.map == 3 && (made->insn.opcode & 0xfe) == 0x40 &&
                          insn_class(&made->insn) >= INSN_CLASS_SSE;
    if (made->in.xsave && is_dot_product && (raised & 0x3f))
        store_le32(guest + XSAVE_MXCSR, load_le32(native + XSAVE_MXCSR));
    if (made->in.xsave && (raised & 0x18))
        store_le32(guest + XSAVE_MXCSR,
                   (load_le32(guest + XSAVE_MXCSR) & ~0x20u) | (load_le32(native + XSAVE_MXCSR) & 0x20));
    uint8_t zeroes[XSAVE_MXCSR - XSAVE_FOP] = {0};
    if (!memcmp(native + XSAVE_FOP, zeroes, sizeof(zeroes)))
        memset(guest + XSAVE_FOP, 0, sizeof(zeroes));
    /* A hypervisor that saves them in between may do so by the form that has 32 bits of each: then an
     * offset above 4 GiB has lost its upper half, and nothing else. */
    if (!load_le32(native + XSAVE_FDP + 4) && is_high_offset(&made->insn, load_le32(guest + XSAVE_FDP + 4)) &&
        load_le32(native + XSAVE_FDP) == load_le32(guest + XSAVE_FDP))
        store_le64(guest + XSAVE_FDP, load_le32(guest + XSAVE_FDP));
}

/* Memory that an instruction accepts more often than random bytes would be. */
void oracle_memory_make(const struct oracle_case *made, uint8_t *bytes)
{
    if (made->insn.op == INSN_OP_LDMXCSR)
        store_le32(bytes, load_le32(bytes) & 0xffff);
    const struct insn *insn = &made->insn;
    switch (insn->op) {
    case INSN_OP_LAR:
    case INSN_OP_LSL:
    case INSN_OP_VERR:
    case INSN_OP_VERW:
    case INSN_OP_MOV_SEG:
        store_le16(bytes, (uint16_t)oracle_selector(made));
        break;
    case INSN_OP_LOAD_FAR:
        store_le16(bytes + insn->operand_size, (uint16_t)oracle_selector(made));
        break;
    case INSN_OP_POP:
        if (insn->operands[0].kind == INSN_SEG)
            store_le16(bytes, (uint16_t)oracle_selector(made));
        break;
    case INSN_OP_JMP_FAR:
    case INSN_OP_CALL_FAR:
    case INSN_OP_RET_FAR:
        if (oracle_below(2))
            store_le64(bytes, oracle_random() & 0xffff);
        store_le16(
            bytes + (insn->operands[0].kind == INSN_MEM ? insn->operands[0].size - 2u : insn->operand_size),
            (uint16_t)oracle_selector(made));
        break;
    }
    /* The pointers, which processors make canonical in 48 or 57 bits. */
    if (made->insn.op == INSN_OP_FXRSTOR || is_xsave(&made->insn)) {
        store_le64(bytes + XSAVE_FIP, load_le32(bytes + XSAVE_FIP));
        store_le64(bytes + XSAVE_FDP, load_le32(bytes + XSAVE_FDP));
    }
}
