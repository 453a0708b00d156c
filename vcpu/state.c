/* SPDX-License-Identifier: MIT
 *
 * Between KVM's registers and struct cpu_state: by the shared page where there is KVM_CAP_SYNC_REGS, by an
 * ioctl for each part where there is not.
 */
#include "vcpu/state.h"

#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "ept/walk.h"
#include "vcpu/cpuid.h"

static void segment_from_kvm(struct cpu_segment *to, const struct kvm_segment *from)
{
    unsigned attributes = (from->type & 15u) | (from->s ? SEGMENT_S : 0) |
                          ((from->dpl & 3u) << SEGMENT_DPL_SHIFT) | (from->present ? SEGMENT_PRESENT : 0) |
                          (from->avl ? SEGMENT_AVL : 0) | (from->l ? SEGMENT_L : 0) |
                          (from->db ? SEGMENT_DB : 0) | (from->g ? SEGMENT_G : 0);
    *to = (struct cpu_segment){.base = from->base,
                               .limit = from->limit,
                               .selector = from->selector,
                               .attributes = from->unusable ? attributes & ~SEGMENT_PRESENT : attributes};
}

static void segment_to_kvm(struct kvm_segment *to, const struct cpu_segment *from)
{
    unsigned attributes = from->attributes;
    *to = (struct kvm_segment){.base = from->base,
                               .limit = from->limit,
                               .selector = from->selector,
                               .type = attributes & SEGMENT_TYPE,
                               .present = !!(attributes & SEGMENT_PRESENT),
                               .dpl = (attributes & SEGMENT_DPL) >> SEGMENT_DPL_SHIFT,
                               .db = !!(attributes & SEGMENT_DB),
                               .s = !!(attributes & SEGMENT_S),
                               .l = !!(attributes & SEGMENT_L),
                               .g = !!(attributes & SEGMENT_G),
                               .avl = !!(attributes & SEGMENT_AVL),
                               .unusable = !(attributes & SEGMENT_PRESENT)};
}

struct kvm_segment *vcpu_kvm_segment(struct kvm_sregs *sregs, enum cpu_segment_name name)
{
    struct kvm_segment *const segments[CPU_SEGMENT_COUNT] = {
        [CPU_ES] = &sregs->es, [CPU_CS] = &sregs->cs, [CPU_SS] = &sregs->ss,
        [CPU_DS] = &sregs->ds, [CPU_FS] = &sregs->fs, [CPU_GS] = &sregs->gs,
    };
    return segments[name];
}

/* KVM names the general registers; the processor numbers them. From R8 on both have the same order. */
#define EACH_OLD_GPR(DO) \
    DO(0, rax)           \
    DO(1, rcx)           \
    DO(2, rdx)           \
    DO(3, rbx)           \
    DO(4, rsp)           \
    DO(5, rbp)           \
    DO(6, rsi)           \
    DO(7, rdi)

#define FROM_R8_BYTES (10 * sizeof(uint64_t)) /* R8 to R15, RIP, RFLAGS */
_Static_assert(offsetof(struct kvm_regs, r8) + FROM_R8_BYTES == sizeof(struct kvm_regs), "the order");
_Static_assert(offsetof(struct cpu_state, rip) == 16 * sizeof(uint64_t), "the order");
_Static_assert(offsetof(struct cpu_state, rflags) == 17 * sizeof(uint64_t), "the order");

static void regs_from_kvm(struct cpu_state *cpu, const struct kvm_regs *regs)
{
#define FROM(number, name) cpu->gpr[number] = regs->name;
    EACH_OLD_GPR(FROM)
#undef FROM
    memcpy((uint8_t *)cpu + 8 * sizeof(uint64_t), &regs->r8, FROM_R8_BYTES);
}

static void regs_to_kvm(struct kvm_regs *regs, const struct cpu_state *cpu)
{
#define TO(number, name) regs->name = cpu->gpr[number];
    EACH_OLD_GPR(TO)
#undef TO
    memcpy(&regs->r8, (const uint8_t *)cpu + 8 * sizeof(uint64_t), FROM_R8_BYTES);
    regs->rflags |= FLAG_FIXED;
}

__attribute__((noinline)) static void segments_from_kvm(struct cpu_state *cpu, struct kvm_sregs *sregs)
{
    for (enum cpu_segment_name name = 0; name < CPU_SEGMENT_COUNT; name++)
        segment_from_kvm(&cpu->segments[name], vcpu_kvm_segment(sregs, name));
    segment_from_kvm(&cpu->ldt, &sregs->ldt);
    segment_from_kvm(&cpu->tr, &sregs->tr);
}

/* All segments stand in front of the descriptor tables, and all that is converted in front of apic_base. */
#define SEGMENTS_BYTES  offsetof(struct kvm_sregs, gdt)
#define CONVERTED_BYTES offsetof(struct kvm_sregs, apic_base)

static void tables_from_kvm(struct cpu_state *cpu, const struct kvm_sregs *sregs)
{
    cpu->gdt = (struct cpu_table){.base = sregs->gdt.base, .limit = sregs->gdt.limit};
    cpu->idt = (struct cpu_table){.base = sregs->idt.base, .limit = sregs->idt.limit};
    cpu->cr0 = sregs->cr0;
    cpu->cr2 = sregs->cr2;
    cpu->cr3 = sregs->cr3;
    cpu->cr4 = sregs->cr4;
    cpu->cr8 = sregs->cr8;
    cpu->efer = sregs->efer;
}

/* After an INIT there is none. */
static void show_paging(const struct vcpu *vcpu, struct cpu_state *cpu)
{
    if (vcpu->hides_paging && (cpu->cr0 & CR0_PE))
        cpu->cr0 |= CR0_PG;
}

static void hide_paging(struct vcpu *vcpu, struct kvm_sregs *sregs, const struct cpu_state *cpu)
{
    vcpu->hides_paging = vcpu->machine->interprets_all && (cpu->cr0 & CR0_PG) && !cpu_is_long(cpu);
    if (vcpu->hides_paging)
        sregs->cr0 &= ~(uint64_t)CR0_PG;
}

bool vcpu_translate(const struct vcpu *vcpu, const struct cpu_state *cpu, gva_t gva, gpa_t *gpa)
{
    uint8_t address_bits = cpuid_address_bits(vcpu->cpuid);
    const struct walk_context context = {.memory = vcpu->machine->memory,
                                         .cr0 = cpu->cr0,
                                         .cr3 = cpu->cr3,
                                         .cr4 = cpu->cr4,
                                         .efer = cpu->efer,
                                         .flags_ac = true, /* no matter whose page it is */
                                         .physical_address_bits = address_bits ? address_bits : 48};
    struct walk_result result;
    bool is_there = walk_gva(&context, gva, WALK_PEEK, &result);
    *gpa = is_there ? result.gpa : 0;
    return is_there;
}

static void sregs_from_kvm(struct cpu_state *cpu, struct kvm_sregs *sregs)
{
    segments_from_kvm(cpu, sregs);
    tables_from_kvm(cpu, sregs);
}

/* Where they are not those of *last, which they become. */
__attribute__((noinline)) static void update_sregs(struct cpu_state *cpu, struct kvm_sregs *sregs,
                                                   struct kvm_sregs *last)
{
    if (last->efer == SREGS_UNKNOWN || memcmp(last, sregs, SEGMENTS_BYTES))
        segments_from_kvm(cpu, sregs);
    tables_from_kvm(cpu, sregs);
    memcpy(last, sregs, CONVERTED_BYTES);
}

static void events_from_kvm(struct cpu_state *cpu, const struct kvm_vcpu_events *events)
{
    cpu->interrupt_shadow = events->interrupt.shadow;
    cpu->nmi_masked = events->nmi.masked;
}

/* apic_base and interrupt_bitmap stay what KVM said. */
static void sregs_to_kvm(struct kvm_sregs *sregs, const struct cpu_state *cpu)
{
    for (enum cpu_segment_name name = 0; name < CPU_SEGMENT_COUNT; name++)
        segment_to_kvm(vcpu_kvm_segment(sregs, name), &cpu->segments[name]);
    segment_to_kvm(&sregs->ldt, &cpu->ldt);
    segment_to_kvm(&sregs->tr, &cpu->tr);
    sregs->gdt = (struct kvm_dtable){.base = cpu->gdt.base, .limit = cpu->gdt.limit};
    sregs->idt = (struct kvm_dtable){.base = cpu->idt.base, .limit = cpu->idt.limit};
    sregs->cr0 = cpu->cr0;
    sregs->cr2 = cpu->cr2;
    sregs->cr3 = cpu->cr3;
    sregs->cr4 = cpu->cr4;
    sregs->cr8 = cpu->cr8;
    sregs->efer = cpu->efer;
}

/* Reads one part into the shared page's copy, unless it is there already: KVM has put it there at the exit
 * (synced_fields), or we have and KVM has not taken it yet (kvm_dirty_regs). */
static int fetch_part(struct vcpu *vcpu, uint64_t field, unsigned long request, void *to)
{
    uint64_t there = vcpu->synced_fields | vcpu->run->kvm_dirty_regs;
    if (there & field)
        return 0;
    return ioctl(vcpu->fd, request, to) ? -errno : 0;
}

/* All of them but the debug registers. */
static int fetch_parts(struct vcpu *vcpu, unsigned parts)
{
    struct kvm_sync_regs *page = &vcpu->run->s.regs;
    int result = 0;
    if (parts & VCPU_REGS)
        result = fetch_part(vcpu, KVM_SYNC_X86_REGS, KVM_GET_REGS, &page->regs);
    if (!result && (parts & VCPU_SREGS))
        result = fetch_part(vcpu, KVM_SYNC_X86_SREGS, KVM_GET_SREGS, &page->sregs);
    if (!result && (parts & VCPU_EVENTS))
        result = fetch_part(vcpu, KVM_SYNC_X86_EVENTS, KVM_GET_VCPU_EVENTS, &page->events);
    return result;
}

int vcpu_load_debug(struct vcpu *vcpu, struct cpu_state *cpu)
{
    struct kvm_debugregs debug;
    if (ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &debug))
        return -errno;
    for (unsigned i = 0; i < 4; i++)
        cpu->dr[i] = debug.db[i];
    cpu->dr6 = debug.dr6;
    cpu->dr7 = debug.dr7;
    return 0;
}

/* SS.DPL is the privilege level in every mode of both vendors but real mode, where it is 0. */
static uint8_t find_cpl(const struct cpu_state *cpu)
{
    if (cpu->rflags & FLAG_VM)
        return 3;
    if (!(cpu->cr0 & CR0_PE))
        return 0;
    return (cpu->segments[CPU_SS].attributes & SEGMENT_DPL) >> SEGMENT_DPL_SHIFT;
}

int vcpu_load_regs(struct vcpu *vcpu, struct cpu_state *cpu)
{
    int result = fetch_parts(vcpu, VCPU_REGS);
    if (!result)
        regs_from_kvm(cpu, &vcpu->run->s.regs.regs);
    return result;
}

#define SYNC_ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

int vcpu_reload_state(struct vcpu *vcpu, struct cpu_state *cpu, struct kvm_sregs *last)
{
    struct kvm_sync_regs *page = &vcpu->run->s.regs;
    bool are_there = (vcpu->synced_fields & SYNC_ALL) == SYNC_ALL;
    int result = are_there ? 0 : fetch_parts(vcpu, VCPU_REGS | VCPU_SREGS | VCPU_EVENTS);
    if (result)
        return result;
    regs_from_kvm(cpu, &page->regs);
    if (last->efer == SREGS_UNKNOWN || memcmp(last, &page->sregs, CONVERTED_BYTES))
        update_sregs(cpu, &page->sregs, last);
    show_paging(vcpu, cpu);
    events_from_kvm(cpu, &page->events);
    cpu->cpl = find_cpl(cpu);
    cpu->halted = false;
    if (!vcpu->machine->interprets_all) /* else nobody has changed it meanwhile */
        cpu->vector = (struct cpu_vector){.loaded = false};
    return 0;
}

int vcpu_load_state(struct vcpu *vcpu, struct cpu_state *cpu, unsigned parts)
{
    struct kvm_sync_regs *page = &vcpu->run->s.regs;
    int result = fetch_parts(vcpu, parts);
    *cpu = (struct cpu_state){0};
    if (!result && (parts & VCPU_DEBUG))
        result = vcpu_load_debug(vcpu, cpu);
    if (result)
        return result;
    if (parts & VCPU_REGS)
        regs_from_kvm(cpu, &page->regs);
    if (parts & VCPU_SREGS) {
        sregs_from_kvm(cpu, &page->sregs);
        show_paging(vcpu, cpu);
    }
    if (parts & VCPU_EVENTS)
        events_from_kvm(cpu, &page->events);
    cpu->cpl = find_cpl(cpu);
    return 0;
}

/* Leaves the part in the shared page for the next entry, or writes it at once. */
static int put_part(struct vcpu *vcpu, uint64_t field, unsigned long request, const void *from)
{
    if (vcpu->machine->sync_fields & field) {
        vcpu->run->kvm_dirty_regs |= field;
        return 0;
    }
    return ioctl(vcpu->fd, request, from) ? -errno : 0;
}

static int put_debug(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    struct kvm_debugregs debug = {.dr6 = cpu->dr6, .dr7 = cpu->dr7};
    for (unsigned i = 0; i < 4; i++)
        debug.db[i] = cpu->dr[i];
    return ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &debug) ? -errno : 0;
}

int vcpu_store_regs(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    regs_to_kvm(regs, cpu);
    return put_part(vcpu, KVM_SYNC_X86_REGS, KVM_SET_REGS, regs);
}

int vcpu_flush_tlb(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    struct kvm_sregs sregs = vcpu->run->s.regs.sregs;
    sregs_to_kvm(&sregs, cpu);
    hide_paging(vcpu, &sregs, cpu);
    sregs.cr4 ^= CR4_PGE;
    return ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

int vcpu_store_state(struct vcpu *vcpu, const struct cpu_state *cpu, unsigned parts)
{
    struct kvm_sync_regs *page = &vcpu->run->s.regs;
    int result = parts & VCPU_REGS ? vcpu_store_regs(vcpu, cpu) : 0;
    if (!result && (parts & VCPU_SREGS)) {
        sregs_to_kvm(&page->sregs, cpu);
        hide_paging(vcpu, &page->sregs, cpu);
        vcpu->run->cr8 = cpu->cr8; /* KVM takes it from here where it has no local APIC */
        result = put_part(vcpu, KVM_SYNC_X86_SREGS, KVM_SET_SREGS, &page->sregs);
    }
    if (!result && (parts & VCPU_EVENTS)) {
        page->events.interrupt.shadow = cpu->interrupt_shadow;
        page->events.nmi.masked = cpu->nmi_masked;
        /* not what may come meanwhile from another vCPU, such as an NMI */
        page->events.flags = (page->events.flags & KVM_VCPUEVENT_VALID_PAYLOAD) | KVM_VCPUEVENT_VALID_SHADOW;
        result = put_part(vcpu, KVM_SYNC_X86_EVENTS, KVM_SET_VCPU_EVENTS, &page->events);
    }
    if (!result && (parts & VCPU_DEBUG))
        result = put_debug(vcpu, cpu);
    return result;
}
