/* SPDX-License-Identifier: MIT
 *
 * System instructions on descriptor tables, control and debug registers, interrupts and the TLB. CPL 0 has
 * been checked where INSN_PRIVILEGED says so.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/emulate.h"
#include "mmio/segment.h"

/* UMIP hides the system tables from applications. */
static bool umip_forbids(const struct step_env *env)
{
    return env->cpu->cpl && (env->cpu->cr4 & CR4_UMIP) && (env->cpu->cr0 & CR0_PE);
}

/* SGDT, SIDT: the limit, then the base. */
enum step_result emulate_store_table(struct step_env *env)
{
    const struct cpu_table *table = env->insn.op == INSN_OP_SGDT ? &env->cpu->gdt : &env->cpu->idt;
    uint8_t bytes[10];
    if (umip_forbids(env))
        return env_gp(env);
    store_le16(bytes, table->limit);
    store_le64(bytes + 2, table->base);
    access_write(env, &env->operand, bytes);
    return STEP_DONE;
}

enum step_result emulate_load_table(struct step_env *env)
{
    struct cpu_table *table = env->insn.op == INSN_OP_LGDT ? &env->cpu->gdt : &env->cpu->idt;
    uint8_t bytes[10] = {0};
    access_read(env, &env->operand, bytes);
    uint64_t base = load_le64(bytes + 2);
    if (!env->is_64bit)
        base &= env->insn.operand_size == 2 ? 0xffffff : 0xffffffff;
    else if (!access_is_canonical(env, base))
        return env_gp(env);
    *table = (struct cpu_table){.base = base, .limit = load_le16(bytes)};
    env->outcome->changed_system = true;
    return STEP_DONE;
}

/* SLDT, STR */
enum step_result emulate_store_system(struct step_env *env)
{
    if (umip_forbids(env))
        return env_gp(env);
    operand_write(env, 0, env->insn.op == INSN_OP_SLDT ? env->cpu->ldt.selector : env->cpu->tr.selector);
    return STEP_DONE;
}

/* LLDT, LTR */
enum step_result emulate_load_system(struct step_env *env)
{
    uint16_t selector = (uint16_t)operand_read(env, 0);
    return env->insn.op == INSN_OP_LLDT ? segment_load_ldt(env, selector) : segment_load_tr(env, selector);
}

enum step_result emulate_smsw(struct step_env *env)
{
    if (umip_forbids(env))
        return env_gp(env);
    operand_write(env, 0, env->cpu->cr0);
    return STEP_DONE;
}

/* PE can be set but not cleared. */
enum step_result emulate_lmsw(struct step_env *env)
{
    uint64_t value = operand_read(env, 0);
    env->cpu->cr0 = (env->cpu->cr0 & ~0xeull) | (value & 0xf);
    env->outcome->changed_system = true;
    return STEP_DONE;
}

enum step_result emulate_clts(struct step_env *env)
{
    env->cpu->cr0 &= ~(uint64_t)CR0_TS;
    env->outcome->changed_system = true;
    return STEP_DONE;
}

static enum step_result flush(struct step_env *env)
{
    if (!env->machine->ops->tlb_flush)
        return env_unsupported(env, "a TLB flush");
    env->machine->ops->tlb_flush(env->machine->owner);
    return STEP_DONE;
}

/* SDM 3A 2.5 and 10.8.5: entering and leaving long mode follows PG. */
static enum step_result write_cr0(struct step_env *env, uint64_t value)
{
    struct cpu_state *cpu = env->cpu;
    bool paging = value & CR0_PG, was_paging = cpu->cr0 & CR0_PG;
    if (value >> 32 || (paging && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        return env_gp(env);
    if (paging && !was_paging && (cpu->efer & EFER_LME)) {
        if (!(cpu->cr4 & CR4_PAE) || (cpu->segments[CPU_CS].attributes & SEGMENT_L))
            return env_gp(env);
        cpu->efer |= EFER_LMA;
    }
    if (!paging && was_paging) {
        if (env->is_64bit || (cpu->cr4 & CR4_PCIDE))
            return env_gp(env);
        cpu->efer &= ~(uint64_t)EFER_LMA;
    }
    cpu->cr0 = value | CR0_ET;
    return flush(env);
}

static enum step_result write_cr3(struct step_env *env, uint64_t value)
{
    uint64_t reserved = cpu_is_long(env->cpu) ? ~0ull << env->walk.physical_address_bits : 0;
    if (env->cpu->cr4 & CR4_PCIDE) {
        reserved &= ~(1ull << 63);
        if (value & reserved)
            return env_gp(env);
        value &= ~(1ull << 63);
    }
    if (value & reserved)
        return env_gp(env);
    env->cpu->cr3 = value;
    return flush(env);
}

/* Bits 0 to 18 but 15, SMEP, SMAP, PKE, CET: what this emulator knows the meaning of. */
#define CR4_KNOWN 0x00f77fffull

/* Bits that are reserved on a processor without the feature. */
static bool cr4_is_offered(struct step_env *env, uint64_t set)
{
    static const struct {
        uint32_t bit;
        uint8_t leaf, reg, feature;
    } features[] = {
        {CR4_UMIP, 7, CPUID_ECX, 2},     {CR4_LA57, 7, CPUID_ECX, 16},    {CR4_VMXE, 1, CPUID_ECX, 5},
        {CR4_SMXE, 1, CPUID_ECX, 6},     {CR4_FSGSBASE, 7, CPUID_EBX, 0}, {CR4_PCIDE, 1, CPUID_ECX, 17},
        {CR4_OSXSAVE, 1, CPUID_ECX, 26}, {CR4_SMEP, 7, CPUID_EBX, 7},     {CR4_SMAP, 7, CPUID_EBX, 20},
        {CR4_PKE, 7, CPUID_ECX, 3},      {CR4_CET, 7, CPUID_ECX, 7}};
    if (!env->machine->ops->cpuid)
        return true;
    for (unsigned i = 0; i < ARRAY_COUNT(features); i++)
        if ((set & features[i].bit) &&
            !env_has_feature(env, features[i].leaf, features[i].reg, features[i].feature))
            return false;
    return true;
}

static enum step_result write_cr4(struct step_env *env, uint64_t value)
{
    const struct cpu_state *cpu = env->cpu;
    uint64_t changed = value ^ cpu->cr4;
    if (value & ~CR4_KNOWN)
        return value >> 32 ? env_gp(env) : env_unsupported(env, "an unknown bit of CR4");
    if ((value & changed) && !cr4_is_offered(env, value & changed))
        return env_gp(env);
    if (cpu_is_long(cpu) && ((changed & CR4_LA57) || !(value & CR4_PAE)))
        return env_gp(env);
    if ((value & changed & CR4_PCIDE) && (!cpu_is_long(cpu) || (cpu->cr3 & 0xfff)))
        return env_gp(env);
    env->cpu->cr4 = value;
    return flush(env);
}

static enum step_result write_control(struct step_env *env, unsigned reg, uint64_t value)
{
    env->outcome->changed_system = true;
    switch (reg) {
    case 0:
        return write_cr0(env, value);
    case 2:
        env->cpu->cr2 = value;
        return STEP_DONE;
    case 3:
        return write_cr3(env, value);
    case 4:
        return write_cr4(env, value);
    case 8:
        if (value >> 4)
            return env_gp(env);
        env->cpu->cr8 = value;
        return STEP_DONE;
    default:
        return env_raise(env, VECTOR_UD);
    }
}

enum step_result emulate_mov_cr(struct step_env *env)
{
    const struct cpu_state *cpu = env->cpu;
    const uint64_t *const registers[9] = {&cpu->cr0, NULL, &cpu->cr2, &cpu->cr3, &cpu->cr4,
                                          NULL,      NULL, NULL,      &cpu->cr8};
    const struct insn_operand *to = &env->insn.operands[0], *from = &env->insn.operands[1];
    if (to->kind == INSN_CR)
        return write_control(env, to->reg, operand_read(env, 1));
    if (from->reg > 8 || !registers[from->reg])
        return env_raise(env, VECTOR_UD);
    operand_write(env, 0, *registers[from->reg]);
    return STEP_DONE;
}

static enum step_result write_debug(struct step_env *env, unsigned reg, uint64_t value)
{
    env->outcome->changed_system = true;
    if (reg < 4) {
        env->cpu->dr[reg] = value;
        return STEP_DONE;
    }
    if (value >> 32)
        return env_gp(env);
    if (reg == 6)
        env->cpu->dr6 = (value & ~0x1000ull) | DR6_FIXED;
    else
        env->cpu->dr7 = (value & 0xffff2bff) | 0x400;
    return STEP_DONE;
}

enum step_result emulate_mov_dr(struct step_env *env)
{
    const struct insn_operand *to = &env->insn.operands[0], *from = &env->insn.operands[1];
    unsigned reg = to->kind == INSN_DR ? to->reg : from->reg;
    if (reg > 7 || ((reg == 4 || reg == 5) && (env->cpu->cr4 & CR4_DE)))
        return env_raise(env, VECTOR_UD);
    env_load_debug(env->machine, env->cpu);
    if (env->cpu->dr7 & DR7_GD) {
        env->outcome->event.dr6 = DR6_BD;
        return env_raise(env, VECTOR_DB);
    }
    if (reg == 4 || reg == 5)
        reg += 2;
    if (to->kind == INSN_DR)
        return write_debug(env, reg, operand_read(env, 1));
    operand_write(env, 0, reg < 4 ? env->cpu->dr[reg] : reg == 6 ? env->cpu->dr6 : env->cpu->dr7);
    return STEP_DONE;
}

/* INVLPG and INVPCID flush more than they were asked for. */
enum step_result emulate_invalidate(struct step_env *env)
{
    uint8_t bytes[16];
    if (env->insn.op == INSN_OP_INVLPG)
        return flush(env);
    uint64_t type = operand_read(env, 0);
    access_read(env, &env->operand, bytes);
    uint64_t pcid = load_le64(bytes);
    if (type > 3 || (type < 2 && pcid >> 12) ||
        (type == 0 && !access_is_canonical(env, load_le64(bytes + 8))) ||
        (type < 2 && pcid && !(env->cpu->cr4 & CR4_PCIDE)))
        return env_gp(env);
    return flush(env);
}

enum step_result emulate_hlt(struct step_env *env)
{
    env->cpu->halted = true;
    return STEP_DONE;
}

/* Above IOPL, the virtual interrupt flag where CR4.PVI or CR4.VME offers it. */
static enum step_result virtual_interrupt_flag(struct step_env *env, bool enable)
{
    struct cpu_state *cpu = env->cpu;
    bool is_virtual = cpu->rflags & FLAG_VM ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && (cpu->cr4 & CR4_PVI);
    if (!is_virtual || (enable && (cpu->rflags & FLAG_VIP)))
        return env_gp(env);
    flags_set(env, FLAG_VIF, enable ? FLAG_VIF : 0);
    return STEP_DONE;
}

enum step_result emulate_cli_sti(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    bool enable = env->insn.op == INSN_OP_STI;
    if ((cpu->cr0 & CR0_PE) && cpu->cpl > (cpu->rflags >> FLAG_IOPL_BIT & 3))
        return virtual_interrupt_flag(env, enable);
    if (enable && !(cpu->rflags & FLAG_IF))
        env->shadow = SHADOW_STI;
    flags_set(env, FLAG_IF, enable ? FLAG_IF : 0);
    return STEP_DONE;
}

/* CLAC, STAC */
enum step_result emulate_ac(struct step_env *env)
{
    if (env->cpu->cpl)
        return env_raise(env, VECTOR_UD);
    flags_set(env, FLAG_AC, env->insn.op == INSN_OP_STAC ? FLAG_AC : 0);
    return STEP_DONE;
}

/* What LAR, LSL, VERR and VERW find: false for anything that they report as absent. */
static bool probe_type(const struct step_env *env, const struct descriptor *descriptor)
{
    /* by type: LDT, TSSs, gates (LAR alone); in long mode only the 64-bit kinds */
    bool is_lar = env->insn.op == INSN_OP_LAR;
    unsigned lar = cpu_is_long(env->cpu) ? 0x1a04 : 0x1a3e, lsl = cpu_is_long(env->cpu) ? 0x0a04 : 0x0a0e;
    unsigned type = descriptor_type(descriptor);
    if (descriptor_is_system(descriptor))
        return (env->insn.op == INSN_OP_LAR || env->insn.op == INSN_OP_LSL) &&
               ((is_lar ? lar : lsl) >> type & 1);
    bool is_code = type & SEGMENT_CODE, second = type & SEGMENT_WRITABLE;
    if (env->insn.op == INSN_OP_VERR)
        return !is_code || second;
    return env->insn.op != INSN_OP_VERW || (!is_code && second);
}

static bool probe_privilege(const struct step_env *env, const struct descriptor *descriptor)
{
    unsigned type = descriptor_type(descriptor), dpl = descriptor_dpl(descriptor);
    bool is_conforming = !descriptor_is_system(descriptor) && (type & 0xc) == 0xc;
    return (is_conforming && env->insn.op != INSN_OP_VERW) ||
           (dpl >= env->cpu->cpl && dpl >= (descriptor->selector & SELECTOR_RPL));
}

/* LAR, LSL, VERR, VERW: ZF says whether; a bad selector is not a fault. */
enum step_result emulate_probe(struct step_env *env)
{
    bool has_result = env->insn.op == INSN_OP_LAR || env->insn.op == INSN_OP_LSL;
    uint16_t selector = (uint16_t)operand_read(env, has_result ? 1 : 0);
    struct descriptor descriptor;
    flags_set(env, FLAG_ZF, 0);
    if (!(selector & ~SELECTOR_RPL))
        return STEP_DONE;
    enum step_result result = descriptor_read(env, selector, 8, VECTOR_GP, &descriptor);
    if (result == STEP_EXCEPTION && env->outcome->event.vector == VECTOR_GP)
        return STEP_DONE; /* beyond the table */
    TRY(result);
    if (!probe_type(env, &descriptor) || !probe_privilege(env, &descriptor))
        return STEP_DONE;
    flags_set(env, FLAG_ZF, FLAG_ZF);
    if (env->insn.op == INSN_OP_LAR)
        operand_write(env, 0, descriptor.low >> 32 & 0x00ffff00);
    if (env->insn.op == INSN_OP_LSL)
        operand_write(env, 0, descriptor_segment(&descriptor).limit);
    return STEP_DONE;
}

/* Memory is written, and checked for that, only where it changes. */
enum step_result emulate_arpl(struct step_env *env)
{
    if (operand_is_memory(env, 0)) {
        env->insn.operands[0].access = INSN_READ;
        TRY(operand_prepare(env, 0));
    }
    uint64_t to = operand_read(env, 0), rpl = operand_read(env, 1) & SELECTOR_RPL;
    bool raises = (to & SELECTOR_RPL) < rpl;
    if (raises && operand_is_memory(env, 0)) {
        env->insn.operands[0].access = INSN_READ_WRITE;
        TRY(operand_prepare(env, 0));
    }
    if (raises)
        operand_write(env, 0, (to & ~3ull) | rpl);
    flags_set(env, FLAG_ZF, raises ? FLAG_ZF : 0);
    return STEP_DONE;
}
