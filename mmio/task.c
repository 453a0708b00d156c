/* SPDX-License-Identifier: MIT
 *
 * One task's state into its TSS, another's out of its own. The order of the checks is that of the SDM's table
 * of "Exception Conditions Checked During a Task Switch", where it has one; CS comes before SS.
 */
#include "mmio/task.h"

#include "base/bytes.h"
#include "mmio/branch.h"
#include "mmio/far.h"
#include "mmio/stack.h"

#define TSS_LINK        0x00u /* in both formats */
#define TSS32_CR3       0x1cu
#define TSS32_TRAP      0x64u
#define TSS_BYTES_MAX   0x68u
#define BUSY            (2ull << 40) /* of a TSS descriptor's type */
#define FLAGS_OF_TSS    0x3f7fd5u    /* all that EFLAGS has */
#define TYPES_AVAILABLE (1u << SYSTEM_TSS16_AVAILABLE | 1u << SYSTEM_TSS_AVAILABLE)
#define TYPES_BUSY      (1u << SYSTEM_TSS16_BUSY | 1u << SYSTEM_TSS_BUSY)

/* Offsets into a TSS. Registers and segments stand in the order of their numbers, a word apart. */
struct tss_layout {
    uint8_t word;
    uint8_t eip, flags, gpr, segments, ldt;
    uint8_t segment_count;
    uint8_t last; /* byte that the limit has to allow */
};

static const struct tss_layout layout16 = {.word = 2,
                                           .eip = 0x0e,
                                           .flags = 0x10,
                                           .gpr = 0x12,
                                           .segments = 0x22,
                                           .ldt = 0x2a,
                                           .segment_count = 4,
                                           .last = 0x2b};
static const struct tss_layout layout32 = {.word = 4,
                                           .eip = 0x20,
                                           .flags = 0x24,
                                           .gpr = 0x28,
                                           .segments = 0x48,
                                           .ldt = 0x60,
                                           .segment_count = 6,
                                           .last = 0x67};

enum reason { BY_JMP, BY_CALL, BY_IRET, BY_EVENT };

/* What is to be done, and the memory that it takes. */
struct task_switch {
    enum reason reason;
    const struct step_event *event; /* of BY_EVENT */
    uint64_t flags, return_rip;     /* of the old task, for its TSS */
    struct descriptor tss;          /* the new one's */
    const struct tss_layout *from, *to;
    struct access saved, loaded, link, old_busy, new_busy;
};

/* The new task, as it stands in its TSS. */
struct task_state {
    uint32_t eip, flags, cr3, gpr[8];
    uint16_t segments[CPU_SEGMENT_COUNT], ldt;
    bool traps;
};

static const struct tss_layout *layout_of(unsigned type)
{
    return type & 8 ? &layout32 : &layout16;
}

static bool nests(const struct task_switch *task)
{
    return task->reason == BY_CALL || task->reason == BY_EVENT;
}

/* ---- Which task ---- */

static enum step_result check_tss(struct step_env *env, const struct descriptor *tss, unsigned types,
                                  enum exception_vector vector)
{
    if ((tss->selector & SELECTOR_TI) || !descriptor_is_system(tss) || !(types >> descriptor_type(tss) & 1))
        return selector_fault(env, vector, tss->selector);
    return descriptor_is_present(tss) ? STEP_DONE : selector_fault(env, VECTOR_NP, tss->selector);
}

static enum step_result find_tss(struct step_env *env, uint16_t selector, unsigned types,
                                 enum exception_vector vector, struct descriptor *tss)
{
    if (!(selector & ~SELECTOR_RPL) || (selector & SELECTOR_TI))
        return selector_fault(env, vector, selector);
    TRY(descriptor_read(env, selector, 8, vector, tss));
    return check_tss(env, tss, types, vector);
}

/* ---- Checks in the old task ---- */

static enum step_result prepare_part(struct step_env *env, uint64_t gva, unsigned len, unsigned flags,
                                     struct access *access)
{
    *access = (struct access){
        .gva = (uint32_t)gva, .len = (uint16_t)len, .flags = (uint8_t)(flags | ACCESS_SYSTEM)};
    return access_prepare_linear(env, access);
}

/* EIP to the last segment register. */
static unsigned saved_len(const struct tss_layout *layout)
{
    return layout->segments + (layout->segment_count - 1u) * layout->word + 2 - layout->eip;
}

static enum step_result prepare_old_descriptor(struct step_env *env, struct task_switch *task)
{
    const struct cpu_state *cpu = env->cpu;
    unsigned offset = cpu->tr.selector & ~7u;
    if (offset + 7 > cpu->gdt.limit)
        return selector_fault(env, VECTOR_TS, cpu->tr.selector);
    return prepare_part(env, cpu->gdt.base + offset, 8, ACCESS_READ | ACCESS_WRITE, &task->old_busy);
}

static enum step_result prepare(struct step_env *env, struct task_switch *task)
{
    const struct cpu_segment *tr = &env->cpu->tr;
    struct cpu_segment tss = descriptor_segment(&task->tss);
    task->from = layout_of(tr->attributes);
    task->to = layout_of(tss.attributes);
    if (tss.limit < task->to->last)
        return selector_fault(env, VECTOR_TS, task->tss.selector);
    if (tr->limit < task->from->eip + saved_len(task->from) - 1)
        return selector_fault(env, VECTOR_TS, tr->selector);
    TRY(prepare_part(env, tss.base, task->to->last + 1u, ACCESS_READ, &task->loaded));
    if (nests(task))
        TRY(prepare_part(env, tss.base + TSS_LINK, 2, ACCESS_WRITE, &task->link));
    else
        TRY(prepare_old_descriptor(env, task));
    TRY(prepare_part(env, tr->base + task->from->eip, saved_len(task->from), ACCESS_READ | ACCESS_WRITE,
                     &task->saved));
    if (task->reason != BY_IRET)
        TRY(prepare_part(env, task->tss.gva, 8, ACCESS_READ | ACCESS_WRITE, &task->new_busy));
    if ((env->cpu->cr0 & CR0_PG) && !env->machine->ops->tlb_flush)
        return env_unsupported(env, "a TLB flush");
    env_load_debug(env->machine, env->cpu);
    return STEP_DONE;
}

/* ---- The switch: cannot fail, once the new TSS is locked ---- */

/* #TS if another processor has come first. */
static enum step_result lock_new(struct step_env *env, const struct task_switch *task)
{
    uint64_t available = task->tss.low, busy = available | BUSY;
    if (task->reason == BY_IRET || access_exchange(env, &task->new_busy, &available, &busy))
        return STEP_DONE;
    return selector_fault(env, VECTOR_TS, task->tss.selector);
}

static void unlock_old(struct step_env *env, const struct task_switch *task)
{
    uint64_t busy, available;
    do {
        busy = access_read_value(env, &task->old_busy);
        available = busy & ~BUSY;
    } while (!access_exchange(env, &task->old_busy, &busy, &available));
}

/* Of a segment's slot only the selector is written. */
static void save_old(struct step_env *env, const struct task_switch *task)
{
    const struct cpu_state *cpu = env->cpu;
    const struct tss_layout *layout = task->from;
    uint8_t bytes[TSS_BYTES_MAX] = {0};
    access_read(env, &task->saved, bytes + layout->eip);
    store_le(bytes + layout->eip, task->return_rip, layout->word);
    store_le(bytes + layout->flags, task->flags, layout->word);
    for (unsigned i = 0; i < 8; i++)
        store_le(bytes + layout->gpr + i * layout->word, cpu->gpr[i], layout->word);
    for (unsigned i = 0; i < layout->segment_count; i++)
        store_le16(bytes + layout->segments + i * layout->word, cpu->segments[i].selector);
    access_write(env, &task->saved, bytes + layout->eip);
    if (nests(task))
        access_write_value(env, &task->link, cpu->tr.selector);
}

/* A 16-bit TSS leaves the upper halves of the registers as ones, and FS and GS null. */
static void load_new(struct step_env *env, const struct task_switch *task, struct task_state *state)
{
    const struct tss_layout *layout = task->to;
    bool is_wide = layout->word == 4;
    uint8_t bytes[TSS_BYTES_MAX] = {0};
    *state = (struct task_state){.traps = false};
    access_read(env, &task->loaded, bytes);
    state->eip = (uint32_t)load_le(bytes + layout->eip, layout->word);
    state->flags = (uint32_t)load_le(bytes + layout->flags, layout->word) & FLAGS_OF_TSS;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t value = (uint32_t)load_le(bytes + layout->gpr + i * layout->word, layout->word);
        state->gpr[i] = is_wide ? value : value | 0xffff0000;
    }
    for (unsigned i = 0; i < layout->segment_count; i++)
        state->segments[i] = load_le16(bytes + layout->segments + i * layout->word);
    state->ldt = load_le16(bytes + layout->ldt);
    state->cr3 = is_wide ? load_le32(bytes + TSS32_CR3) : 0;
    state->traps = is_wide && (bytes[TSS32_TRAP] & 1);
}

/* Selectors come without their descriptors: an exception on the way finds the rest of the segments unusable.
 */
static void put_segments(struct cpu_state *cpu, const struct task_state *state)
{
    bool is_v86 = state->flags & FLAG_VM;
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++) {
        if (is_v86)
            segment_load_v86(&cpu->segments[i], state->segments[i]);
        else
            cpu->segments[i] = (struct cpu_segment){.selector = state->segments[i]};
    }
    cpu->ldt = (struct cpu_segment){.selector = state->ldt};
    cpu->cpl = is_v86 ? 3 : state->segments[CPU_CS] & SELECTOR_RPL;
}

static void put_task(struct step_env *env, const struct task_switch *task, const struct task_state *state)
{
    struct cpu_state *cpu = env->cpu;
    cpu->tr = descriptor_segment(&task->tss);
    cpu->tr.attributes |= BUSY >> 40;
    cpu->cr0 |= CR0_TS;
    cpu->dr7 &= ~(uint64_t)DR7_LOCAL;
    if (task->to->word == 4 && (cpu->cr0 & CR0_PG)) {
        cpu->cr3 = state->cr3;
        env->machine->ops->tlb_flush(env->machine->owner);
    }
    cpu->rflags = state->flags | FLAG_FIXED | (nests(task) ? FLAG_NT : 0);
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = state->gpr[i];
    put_segments(cpu, state);
    cpu->rip = env->next_rip = state->eip;
    cpu->interrupt_shadow = 0;
    if (task->reason == BY_IRET)
        cpu->nmi_masked = false;
}

/* What env holds of the CPU. TF of the old task is in its TSS, and traps again when it goes on. */
static void follow_task(struct step_env *env)
{
    env->tlb = NULL;
    env->walk.cr3 = env->cpu->cr3;
    env->walk.flags_ac = env->cpu->rflags & FLAG_AC;
    env->keep_rf = true;
    env->trap_lost = true;
    env->outcome->changed_system = true;
    env->outcome->task_switched = true;
}

/* ---- Checks in the new task ---- */

static enum step_result load_ldt(struct step_env *env, uint16_t selector)
{
    struct descriptor ldt;
    if (selector & SELECTOR_TI)
        return selector_fault(env, VECTOR_TS, selector);
    if (!(selector & ~SELECTOR_RPL))
        return STEP_DONE;
    TRY(descriptor_read(env, selector, 8, VECTOR_TS, &ldt));
    if (!descriptor_is_system(&ldt) || descriptor_type(&ldt) != SYSTEM_LDT || !descriptor_is_present(&ldt))
        return selector_fault(env, VECTOR_TS, selector);
    env->cpu->ldt = descriptor_segment(&ldt);
    return STEP_DONE;
}

static bool may_load(const struct step_env *env, unsigned segment, const struct descriptor *descriptor)
{
    unsigned cpl = env->cpu->cpl, dpl = descriptor_dpl(descriptor);
    if (segment != CPU_CS)
        return descriptor_may_load_data(env, descriptor);
    return far_is_code(env, descriptor) && (far_is_conforming(descriptor) ? dpl <= cpl : dpl == cpl);
}

/* CS, and the data segments, which may be null. */
static enum step_result load_segment(struct step_env *env, unsigned segment)
{
    uint16_t selector = env->cpu->segments[segment].selector;
    struct descriptor descriptor;
    if (!(selector & ~SELECTOR_RPL))
        return segment == CPU_CS ? selector_fault(env, VECTOR_TS, selector) : STEP_DONE;
    TRY(descriptor_read(env, selector, 8, VECTOR_TS, &descriptor));
    if (!may_load(env, segment, &descriptor))
        return selector_fault(env, VECTOR_TS, selector);
    if (!descriptor_is_present(&descriptor))
        return selector_fault(env, VECTOR_NP, selector);
    TRY(descriptor_mark(env, &descriptor, SEGMENT_ACCESSED));
    env->cpu->segments[segment] = descriptor_segment(&descriptor);
    return STEP_DONE;
}

static enum step_result load_segments(struct step_env *env)
{
    static const uint8_t data[] = {CPU_DS, CPU_ES, CPU_FS, CPU_GS};
    struct cpu_state *cpu = env->cpu;
    struct cpu_segment *ss = &cpu->segments[CPU_SS];
    if (cpu->rflags & FLAG_VM)
        return STEP_DONE;
    TRY(load_segment(env, CPU_CS));
    TRY(segment_load_stack(env, ss->selector, cpu->cpl, VECTOR_TS, ss));
    for (unsigned i = 0; i < sizeof(data); i++)
        TRY(load_segment(env, data[i]));
    return STEP_DONE;
}

static enum step_result push_error(struct step_env *env, const struct task_switch *task)
{
    uint64_t pointer = stack_pointer(env), error_code = task->event->error_code;
    TRY(far_push(env, &pointer, task->to->word, 1, &error_code));
    stack_pointer_set(env, pointer);
    return STEP_DONE;
}

/* ---- All of it ---- */

static enum step_result switch_task(struct step_env *env, struct task_switch *task)
{
    struct task_state state;
    TRY(prepare(env, task));
    TRY(lock_new(env, task));
    if (!nests(task))
        unlock_old(env, task);
    save_old(env, task);
    load_new(env, task, &state);
    put_task(env, task, &state);
    follow_task(env);
    TRY(load_ldt(env, state.ldt));
    TRY(load_segments(env));
    if (task->reason == BY_EVENT && task->event->has_error)
        TRY(push_error(env, task));
    TRY(branch_to(env, state.eip, 4));
    if (state.traps)
        env->dr6 |= DR6_BT;
    return STEP_DONE;
}

bool task_is_entry(const struct step_env *env, const struct descriptor *descriptor)
{
    unsigned types = TYPES_AVAILABLE | 1u << SYSTEM_TASK_GATE;
    return !cpu_is_long(env->cpu) && descriptor_is_system(descriptor) &&
           (types >> descriptor_type(descriptor) & 1);
}

enum step_result task_enter(struct step_env *env, const struct descriptor *entry, bool is_call)
{
    unsigned dpl = descriptor_dpl(entry), rpl = entry->selector & SELECTOR_RPL;
    struct task_switch task = {.reason = is_call ? BY_CALL : BY_JMP,
                               .flags = env->cpu->rflags & ~(uint64_t)FLAG_RF,
                               .return_rip = env->next_rip,
                               .tss = *entry};
    if (dpl < env->cpu->cpl || dpl < rpl)
        return selector_fault(env, VECTOR_GP, entry->selector);
    if (descriptor_type(entry) != SYSTEM_TASK_GATE) {
        TRY(check_tss(env, entry, TYPES_AVAILABLE, VECTOR_GP));
        return switch_task(env, &task);
    }
    if (!descriptor_is_present(entry))
        return selector_fault(env, VECTOR_NP, entry->selector);
    TRY(find_tss(env, (uint16_t)(entry->low >> 16), TYPES_AVAILABLE, VECTOR_GP, &task.tss));
    return switch_task(env, &task);
}

enum step_result task_return(struct step_env *env)
{
    const struct cpu_segment *tr = &env->cpu->tr;
    struct task_switch task = {.reason = BY_IRET,
                               .flags = env->cpu->rflags & ~(uint64_t)(FLAG_NT | FLAG_RF),
                               .return_rip = env->next_rip};
    struct access link;
    if (tr->limit < TSS_LINK + 1)
        return selector_fault(env, VECTOR_TS, tr->selector);
    TRY(prepare_part(env, tr->base + TSS_LINK, 2, ACCESS_READ, &link));
    TRY(find_tss(env, (uint16_t)access_read_value(env, &link), TYPES_BUSY, VECTOR_TS, &task.tss));
    return switch_task(env, &task);
}

enum step_result task_event(struct step_env *env, uint16_t selector, const struct step_event *event,
                            uint64_t flags, uint64_t return_rip)
{
    struct task_switch task = {.reason = BY_EVENT, .event = event, .flags = flags, .return_rip = return_rip};
    TRY(find_tss(env, selector, TYPES_AVAILABLE, VECTOR_GP, &task.tss));
    return switch_task(env, &task);
}
