/* SPDX-License-Identifier: MIT
 *
 * Ring 3: a program of probe.S in user pages, its stack, and what brings the CPU back.
 */
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/cpu.h"
#include "guest/page.h"
#include "guest/probe.h"
#include "guest/test.h"

#define USER_STACK_TOP (USER_STACK_VA + PAGE_BYTES)
#define PREEMPT_TICKS  100000u
#define PREEMPT_VECTOR 0x30

extern void syscall_entry(void);

static uint8_t *user_stack;

static uint64_t user_va(const void *program)
{
    return USER_CODE_VA + (uint64_t)((const uint8_t *)program - user_start);
}

static bool user_map(void)
{
    if (user_stack)
        return true;
    user_stack = page_alloc_zeroed();
    if (!user_stack)
        return false;
    for (uint64_t offset = 0; user_start + offset < user_end; offset += PAGE_BYTES)
        page_map(USER_CODE_VA + offset, (uint64_t)user_start + offset, PTE_PRESENT | PTE_USER);
    page_map(USER_STACK_VA, (uint64_t)user_stack, PTE_PRESENT | PTE_WRITE | PTE_USER);
    return true;
}

static struct trap user_run_flags(const void *program, uint64_t rdi, uint64_t rsi, uint64_t rflags)
{
    return trap_catch_user((struct user_start){.rip = user_va(program),
                                               .rflags = RFLAGS_FIXED | rflags,
                                               .rsp = USER_STACK_TOP - 64,
                                               .rdi = rdi,
                                               .rsi = rsi});
}

static struct trap user_run(const void *program, uint64_t rdi, uint64_t rsi)
{
    return user_run_flags(program, rdi, rsi, 0);
}

#define CHECK_USER(trap, number, code)                   \
    do {                                                 \
        CHECK((trap).caught);                            \
        CHECK_EQUAL((trap).frame.vector, number);        \
        CHECK_EQUAL((trap).frame.error, code);           \
        CHECK_EQUAL((trap).frame.cs, SEL_USER_CODE | 3); \
    } while (0)

void test_user_exit(void)
{
    CHECK(user_map());
    struct trap trap = user_run(user_exit, 0x1000000000000000, 0x0234567890abcdef);
    CHECK_USER(trap, VECTOR_BP, 0);
    CHECK_EQUAL(trap.frame.ss, SEL_USER_DATA | 3);
    CHECK_EQUAL(trap.frame.rsp, USER_STACK_TOP - 64);
    CHECK_EQUAL(trap.frame.rax, 0x1234567890abcdef);
    const struct trap_frame *f = &trap.frame;
    const uint64_t values[] = {f->rbx, f->rcx, f->rdx, f->rbp, f->r8,  f->r9,
                               f->r10, f->r11, f->r12, f->r13, f->r14, f->r15};
    static const uint8_t expected[] = {1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        CHECK_EQUAL(values[i], expected[i]);
}

static void syscall_enable(bool enable)
{
    msr_write(MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_CODE << 32);
    msr_write(MSR_LSTAR, (uint64_t)syscall_entry);
    msr_write(MSR_FMASK, RFLAGS_IF | RFLAGS_TF);
    uint64_t efer = msr_read(MSR_EFER);
    msr_write(MSR_EFER, enable ? efer | EFER_SCE : efer & ~EFER_SCE);
}

void test_user_syscall(void)
{
    CHECK(user_map());
    syscall_enable(true);
    struct trap trap = user_run(user_syscall, 40, 2);
    syscall_enable(false);
    CHECK_USER(trap, VECTOR_SYSCALL, 0);
    CHECK_EQUAL(trap.frame.rax, 42);
    CHECK_EQUAL(trap.frame.rip, user_va(user_divide) - (user_divide - user_syscall) + 6);
    CHECK_EQUAL(trap.frame.rsp, USER_STACK_TOP - 64);
}

void test_user_exceptions(void)
{
    CHECK(user_map());
    CHECK_USER(user_run(user_divide, 0, 0), VECTOR_DE, 0);
    struct trap trap = user_run(user_ud, 0, 0);
    CHECK_USER(trap, VECTOR_UD, 0);
    CHECK_EQUAL(trap.frame.rip, user_va(user_ud));
    trap = user_run(user_int3, 0, 0);
    CHECK_USER(trap, VECTOR_BP, 0);
    CHECK_EQUAL(trap.frame.rip, user_va(user_int3) + 1);
    trap = user_run(user_step, 0, 0);
    CHECK_USER(trap, VECTOR_DB, 0);
    CHECK_EQUAL(trap.frame.rip, user_va(user_step_at));
}

void test_user_privilege(void)
{
    CHECK(user_map());
    const uint8_t *const programs[] = {user_cli, user_hlt, user_cr0, user_msr, user_in};
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        struct trap trap = user_run(programs[i], 0, 0);
        CHECK_USER(trap, VECTOR_GP, 0);
        CHECK_EQUAL(trap.frame.rip, user_va(programs[i]));
    }
}

void test_user_pages(void)
{
    CHECK(user_map());
    uint64_t kernel_va = (uint64_t)user_stack;
    struct trap trap = user_run(user_read, kernel_va, 0);
    CHECK_USER(trap, VECTOR_PF, PF_USER | PF_PRESENT);
    CHECK_EQUAL(trap.cr2, kernel_va);
    trap = user_run(user_write, kernel_va, 0);
    CHECK_USER(trap, VECTOR_PF, PF_USER | PF_PRESENT | PF_WRITE);
    trap = user_run(user_write, USER_CODE_VA, 0);
    CHECK_USER(trap, VECTOR_PF, PF_USER | PF_PRESENT | PF_WRITE);
    CHECK_EQUAL(trap.cr2, USER_CODE_VA);
    trap = user_run(user_read, USER_STACK_TOP + 8, 0);
    CHECK_USER(trap, VECTOR_PF, PF_USER);
    CHECK_EQUAL(trap.cr2, USER_STACK_TOP + 8);
    trap = user_run(user_jump, kernel_va, 0);
    uint64_t fetch = msr_read(MSR_EFER) & EFER_NXE ? PF_FETCH : 0;
    CHECK_USER(trap, VECTOR_PF, PF_USER | PF_PRESENT | fetch);
    CHECK_EQUAL(trap.frame.rip, kernel_va);
    user_stack[0] = 0x66;
    CHECK_USER(user_run(user_read, USER_STACK_VA, 0), VECTOR_BP, 0);
}

void test_user_alignment(void)
{
    CHECK(user_map());
    cr0_write(cr0_read() | CR0_AM);
    struct trap trap = user_run_flags(user_unaligned, 0, 0, RFLAGS_AC);
    cr0_write(cr0_read() & ~CR0_AM);
    CHECK_USER(trap, VECTOR_AC, 0);
    CHECK_USER(user_run(user_unaligned, 0, 0), VECTOR_BP, 0);
}

void test_user_ports(void)
{
    CHECK(user_map());
    memcpy(user_stack + 256, "\x11\x22\x33\xff\xff\xff\xff", 7);
    struct trap trap = user_run_flags(user_ports_run, USER_STACK_VA + 256, 3, RFLAGS_IOPL3);
    CHECK_USER(trap, VECTOR_BP, 0);
    CHECK_EQUAL(trap.frame.rax & 0xff, 0x33);
    CHECK_EQUAL(memcmp(user_stack + 256, "\x11\x22\x33\x33\x33\x33\xff", 7), 0);
    trap = user_run(user_ports_run, USER_STACK_VA + 256, 3);
    CHECK_USER(trap, VECTOR_GP, 0);
}

void test_user_sse(void)
{
    CHECK(user_map());
    static const uint32_t terms[8] = {1, 0xffffffff, 0x80000000, 40, 2, 1, 0x80000000, 2};
    static const uint32_t sums[4] = {3, 0, 0, 42};
    memcpy(user_stack + 512, terms, sizeof(terms));
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    struct trap trap = user_run(user_sse_run, USER_STACK_VA + 512, 0);
    cr4_write(cr4_read() & ~(CR4_OSFXSR | CR4_OSXMMEXCPT));
    CHECK_USER(trap, VECTOR_BP, 0);
    CHECK_EQUAL(memcmp(user_stack + 512 + 32, sums, sizeof(sums)), 0);
}

static void preempt_handler(void)
{
    lapic_eoi();
    trap_stop_user();
}

void test_user_preempt(void)
{
    SKIP_IF(!apics.has_lapic, "no local APIC");
    CHECK(user_map());
    irq_handler_set(PREEMPT_VECTOR, preempt_handler);
    lapic_write(APIC_TIMER_DIVIDE, 0x3);
    lapic_write(APIC_LVT_TIMER, PREEMPT_VECTOR);
    lapic_write(APIC_TIMER_INITIAL, PREEMPT_TICKS);
    struct trap trap = user_run_flags(user_loop, 0, 0, RFLAGS_IF);
    lapic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    CHECK_USER(trap, PREEMPT_VECTOR, 0);
    uint64_t offset = trap.frame.rip - user_va(user_loop);
    CHECK(offset < 8);
    print("# user-preempt: %lu rounds\n", trap.frame.rax);
}

static uint64_t enter_by_sysret(uint64_t rip, uint64_t rsp)
{
    uint64_t here;
    __asm__ volatile("mov %%rsp, %0" : "=r"(here));
    extern uint64_t syscall_stack;
    syscall_stack = here - 256;
    cpu_this()->tss.rsp[0] = here - 256;
    __asm__ volatile("mov %1, %%rsp; sysretq" : : "c"(rip), "r"(rsp), "r"(RFLAGS_FIXED) : "r11", "memory");
    return 0;
}

/* To a gate for ring 3, and to one that is not. */
void test_user_int_n(void)
{
    CHECK(user_map());
    struct trap trap = user_run(user_int_n, 0, 0);
    CHECK_USER(trap, VECTOR_USER_EXIT, 0);
    CHECK_EQUAL(trap.frame.rip, user_va(user_int_n) + 2);
    CHECK_USER(user_run(user_int_kernel, 0, 0), VECTOR_GP, 0x21 << 3 | 2);
}

void test_kernel_sysret(void)
{
    CHECK(user_map());
    syscall_enable(true);
    struct trap trap = trap_catch(enter_by_sysret, user_va(user_syscall), USER_STACK_TOP - 64);
    syscall_enable(false);
    CHECK_USER(trap, VECTOR_SYSCALL, 0);
    CHECK_EQUAL(trap.frame.rsp, USER_STACK_TOP - 64);
}
