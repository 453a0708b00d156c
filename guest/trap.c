/* SPDX-License-Identifier: MIT
 *
 * Descriptor tables and the handling of traps. A CPU has a GDT and a TSS of its own; the IDT is shared.
 */
#include "guest/trap.h"

#include "guest/console.h"
#include "guest/cpu.h"
#include "guest/run.h"

#define GATE_INTERRUPT 0x8e00ull
#define IST_FAULT      1

struct gate {
    uint16_t offset_low, selector;
    uint16_t attributes; /* IST, type, DPL, present */
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

extern const uint8_t trap_stubs[], trap_stub_spurious[];
extern uint64_t trap_try(struct trap_landing *landing, trap_fn *fn, uint64_t a, uint64_t b);
extern void trap_landing(void);
extern uint64_t user_enter(uint64_t start, uint64_t unused);
void trap_handle(struct trap_frame *frame);

union cpu_block boot_cpu __attribute__((aligned(CPU_BYTES)));
uint64_t syscall_stack, syscall_user_rsp;

static struct gate idt[256] __attribute__((aligned(16)));
static irq_fn *irq_handlers[256];
static irq_fn *nmi_handler;

static void gate_set(unsigned vector, const void *handler, unsigned attributes)
{
    uint64_t address = (uint64_t)handler;
    idt[vector] = (struct gate){.offset_low = (uint16_t)address,
                                .selector = SEL_CODE,
                                .attributes = (uint16_t)attributes,
                                .offset_middle = (uint16_t)(address >> 16),
                                .offset_high = (uint32_t)(address >> 32)};
}

static void idt_init(void)
{
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        /* Each entry is a page of interpreted instructions: only what is used. */
        if (vector >= VECTOR_IRQ_FIRST + 0x20 && vector != VECTOR_USER_EXIT)
            continue;
        gate_set(vector, trap_stubs + 16 * vector, GATE_INTERRUPT);
    }
    idt[VECTOR_DF].attributes |= IST_FAULT;
    idt[VECTOR_BP].attributes |= 3 << 13;
    idt[VECTOR_USER_EXIT].attributes |= 3 << 13;
    gate_set(VECTOR_SPURIOUS, trap_stub_spurious, GATE_INTERRUPT);
}

static void gdt_init(struct cpu *cpu)
{
    uint64_t tss = (uint64_t)&cpu->tss;
    uint64_t *gdt = cpu->gdt;
    gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
    gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
    gdt[SEL_USER_CODE32 / 8] = 0x00cffb000000ffff;
    gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
    gdt[SEL_USER_CODE / 8] = 0x00affb000000ffff;
    gdt[SEL_TSS / 8] = (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56 | 0x89ull << 40 |
                       (sizeof(cpu->tss) - 1);
    gdt[SEL_TSS / 8 + 1] = tss >> 32;
    cpu->tss.ist[IST_FAULT - 1] = (uint64_t)cpu + CPU_FAULT_STACK;
    cpu->tss.rsp[0] = (uint64_t)cpu + CPU_BYTES;
    /* Touched once: a double fault whose stack has to be paged in by the host becomes something else under
     * some nested hypervisors. */
    MEM(uint64_t, (uint64_t)cpu + CPU_FAULT_STACK - 8) = 0;
    cpu->tss.io_bitmap = sizeof(cpu->tss);
}

void trap_init(struct cpu *cpu)
{
    if (!idt[0].selector)
        idt_init();
    gdt_init(cpu);
    struct table_pointer gdt_pointer = {sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt};
    struct table_pointer idt_pointer = {sizeof(idt) - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2"
                     :
                     : "m"(gdt_pointer), "m"(idt_pointer), "r"(SEL_TSS)
                     : "memory");
}

void irq_handler_set(unsigned vector, irq_fn *handler)
{
    irq_handlers[vector] = handler;
}

void nmi_handler_set(irq_fn *handler)
{
    nmi_handler = handler;
}

void trap_gate_present_set(unsigned vector, bool present)
{
    idt[vector].attributes = (uint16_t)((idt[vector].attributes & 0x7fff) | present << 15);
}

static struct trap trap_run(trap_fn *fn, uint64_t a, uint64_t b)
{
    struct cpu *cpu = cpu_this();
    struct trap trap = {0};
    struct trap_landing landing;
    cpu->landing = &landing;
    cpu->trap = &trap;
    uint64_t value = trap_try(&landing, fn, a, b);
    cpu->landing = NULL;
    if (!trap.caught)
        trap.value = value;
    return trap;
}

struct trap trap_catch(trap_fn *fn, uint64_t a, uint64_t b)
{
    return trap_run(fn, a, b);
}

struct trap trap_catch_user(struct user_start start)
{
    start.kernel_stack = &cpu_this()->tss.rsp[0];
    return trap_run(user_enter, (uint64_t)&start, 0);
}

void trap_stop_user(void)
{
    cpu_this()->user_stop = true;
}

/* Leaves what is being tried: the frame goes to whoever waits for it, and the return goes to the landing. */
static void trap_land(struct cpu *cpu, struct trap_frame *frame)
{
    cpu->trap->caught = true;
    cpu->trap->frame = *frame;
    cpu->trap->cr2 = frame->vector == VECTOR_PF ? cr2_read() : 0;
    frame->rip = (uint64_t)trap_landing;
    frame->cs = SEL_CODE;
    frame->rflags = RFLAGS_FIXED;
    frame->rsp = cpu->landing->rsp;
    frame->ss = SEL_DATA;
    frame->rdi = (uint64_t)cpu->landing;
    cpu->landing = NULL;
}

static void trap_report(const struct cpu *cpu, const struct trap_frame *f)
{
    console_take();
    print("\n# unexpected exception on CPU %u: vector %u, error %#x\n", cpu->index, (unsigned)f->vector,
          (unsigned)f->error);
    print("# rip %016lx cs %04lx rflags %016lx\n", f->rip, f->cs, f->rflags);
    print("# rsp %016lx ss %04lx cr2 %016lx cr3 %016lx\n", f->rsp, f->ss, cr2_read(), cr3_read());
    print("# rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    print("# rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
    print("# r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
    print("# r13 %016lx r14 %016lx r15 %016lx\n", f->r13, f->r14, f->r15);
    print("Bail out! unexpected exception %u\n", (unsigned)f->vector);
}

static void irq_dispatch(struct trap_frame *frame)
{
    struct cpu *cpu = cpu_this();
    if (irq_handlers[frame->vector])
        irq_handlers[frame->vector]();
    if (cpu->user_stop && (frame->cs & 3) && cpu->landing) {
        cpu->user_stop = false;
        trap_land(cpu, frame);
    }
}

void trap_handle(struct trap_frame *frame)
{
    struct cpu *cpu = cpu_this();
    if (frame->vector == VECTOR_NMI && nmi_handler) {
        nmi_handler();
        return;
    }
    bool is_irq = frame->vector >= VECTOR_IRQ_FIRST && frame->vector != VECTOR_USER_EXIT &&
                  frame->vector != VECTOR_SYSCALL;
    if (is_irq) {
        irq_dispatch(frame);
    } else if (cpu->landing) {
        trap_land(cpu, frame);
    } else {
        trap_report(cpu, frame);
        run_end(RUN_EXCEPTION);
    }
}
