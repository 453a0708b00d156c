/* SPDX-License-Identifier: MIT
 *
 * The traced child. Its code page is a shared memory file at a fixed low address, so that 16 and 32-bit
 * segments reach it too; the parent writes instructions through its own mapping.
 */
#include "tests/decoder/oracle.h"

#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODE_ADDRESS  0x10000000ul
#define GUARD_ADDRESS 0x10001000ul
#define PAGE_BYTES    0x1000ul
#define USER_END      0x7ffffffff000ul

/* Linux's selectors for user code: 64-bit, 32-bit, and the first entry of an LDT. */
#define CODE_64    0x33
#define CODE_32    0x23
#define CODE_LDT   0x07
#define USER_STACK 0x2b

/* The kernel writes into the C library's rseq area whenever the child is scheduled; unmapped, that would be a
 * SIGSEGV at every step. */
static void leave_rseq(void)
{
    if (__rseq_size)
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, sizeof(struct rseq),
                RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static _Noreturn void child_main(int memory_fd, int mode)
{
    struct user_desc code = {.entry_number = 0,
                             .base_addr = CODE_ADDRESS,
                             .limit = 0xffff,
                             .contents = MODIFY_LDT_CONTENTS_CODE,
                             .useable = 1};
    void *page = mmap((void *)CODE_ADDRESS, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED,
                      memory_fd, 0);
    void *guard = mmap((void *)GUARD_ADDRESS, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                       -1, 0);
    if (page == MAP_FAILED || guard == MAP_FAILED)
        _exit(errno);
    if (mode == 16 && syscall(SYS_modify_ldt, 0x11, &code, sizeof(code)))
        _exit(errno);
    leave_rseq();
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        _exit(errno);
    kill(getpid(), SIGSTOP);
    _exit(ECANCELED);
}

static void registers_for(const struct oracle *oracle, struct user_regs_struct *registers, size_t count)
{
    /* Not canonical in 64-bit addressing, not mapped in 32 or 16-bit addressing. */
    const unsigned long long nowhere = 0x4100000060000000ull;
    memset(registers, 0, sizeof(*registers));
    unsigned long long *general[] = {&registers->rax, &registers->rbx, &registers->rcx, &registers->rdx,
                                     &registers->rsi, &registers->rdi, &registers->rbp, &registers->rsp,
                                     &registers->r8,  &registers->r9,  &registers->r10, &registers->r11,
                                     &registers->r12, &registers->r13, &registers->r14, &registers->r15};
    for (unsigned i = 0; i < 16; i++)
        *general[i] = nowhere + 0x10000ull * i + 0x4000;
    registers->rax = nowhere | 0x7fff7fffull; /* no system call's number */
    /* Canonical: some kernels do not return to code whose stack pointer is not. */
    registers->rsp = 0x600060000000ull;
    registers->orig_rax = ~0ull;
    registers->eflags = 0x202;
    registers->ss = USER_STACK;
    registers->cs = oracle->mode == 64 ? CODE_64 : oracle->mode == 32 ? CODE_32 : CODE_LDT;
    if (oracle->mode != 64)
        registers->ds = registers->es = USER_STACK;
    registers->rip = (oracle->mode == 16 ? 0 : CODE_ADDRESS) + PAGE_BYTES - count;
}

/* Makes the child do a system call, by an instruction in its own page. */
static int child_call(struct oracle *oracle, long number, unsigned long first, unsigned long second)
{
    static const uint8_t call[] = {0x0f, 0x05};
    struct user_regs_struct registers;
    int status;
    memcpy(oracle->page, call, sizeof(call));
    registers_for(oracle, &registers, 0);
    registers.cs = CODE_64;
    registers.rip = CODE_ADDRESS;
    registers.rax = (unsigned long)number;
    registers.rdi = first;
    registers.rsi = second;
    if (ptrace(PTRACE_SETREGS, oracle->child, 0, &registers) ||
        ptrace(PTRACE_SINGLESTEP, oracle->child, 0, 0) ||
        waitpid(oracle->child, &status, 0) != oracle->child || !WIFSTOPPED(status) ||
        WSTOPSIG(status) != SIGTRAP || ptrace(PTRACE_GETREGS, oracle->child, 0, &registers))
        return -ECHILD;
    return (int)registers.rax;
}

/* Once the child is stopped: everything but its code page goes away. */
static int child_strip(struct oracle *oracle)
{
    int result = child_call(oracle, SYS_munmap, 0, CODE_ADDRESS);
    return result ? result
                  : child_call(oracle, SYS_munmap, GUARD_ADDRESS + PAGE_BYTES,
                               USER_END - GUARD_ADDRESS - PAGE_BYTES);
}

int oracle_open(struct oracle *oracle, int mode)
{
    int status, memory_fd = (int)syscall(SYS_memfd_create, "oracle", MFD_CLOEXEC);
    memset(oracle, 0, sizeof(*oracle));
    oracle->mode = mode;
    if (memory_fd < 0 || ftruncate(memory_fd, PAGE_BYTES))
        return -errno;
    oracle->page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (oracle->page == MAP_FAILED)
        return -errno;
    oracle->child = fork();
    if (oracle->child == 0)
        child_main(memory_fd, mode);
    close(memory_fd);
    if (oracle->child < 0)
        return -errno;
    if (waitpid(oracle->child, &status, 0) != oracle->child || !WIFSTOPPED(status)) {
        oracle->child = 0;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
        oracle_close(oracle);
        return -code;
    }
    ptrace(PTRACE_SETOPTIONS, oracle->child, 0, PTRACE_O_EXITKILL);
    int result = child_strip(oracle);
    /* A code segment that the kernel or the host refuses shows here: a NOP must run, a UD2 must not. */
    if (!result && (oracle_probe(oracle, (const uint8_t *)"\x90", 1) != ORACLE_DECODED ||
                    oracle_probe(oracle, (const uint8_t *)"\x0f\x0b", 2) != ORACLE_UNDEFINED))
        result = -EPERM;
    if (result)
        oracle_close(oracle);
    return result;
}

void oracle_close(struct oracle *oracle)
{
    if (oracle->child > 0) {
        kill(oracle->child, SIGKILL);
        waitpid(oracle->child, NULL, 0);
    }
    if (oracle->page)
        munmap(oracle->page, PAGE_BYTES);
    memset(oracle, 0, sizeof(*oracle));
}

/* SIGSEGV: of the fetch, or of what the instruction did? After a completed one (mov ss suppresses the trap)
 * rip has moved on. */
static enum oracle_answer judge_fault(struct oracle *oracle, unsigned long long start)
{
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, oracle->child, 0, &info))
        return ORACLE_BROKEN;
    if (info.si_addr != (void *)GUARD_ADDRESS)
        return ORACLE_DECODED;
    errno = 0;
    unsigned long rip = (unsigned long)ptrace(PTRACE_PEEKUSER, oracle->child, offsetof(struct user, regs.rip),
                                              0);
    return errno ? ORACLE_BROKEN : rip == start ? ORACLE_FETCH : ORACLE_DECODED;
}

enum oracle_answer oracle_probe(struct oracle *oracle, const uint8_t *bytes, size_t count)
{
    struct user_regs_struct registers;
    int status;
    memcpy(oracle->page + PAGE_BYTES - count, bytes, count);
    registers_for(oracle, &registers, count);
    if (ptrace(PTRACE_SETREGS, oracle->child, 0, &registers) ||
        ptrace(PTRACE_SINGLESTEP, oracle->child, 0, 0) || waitpid(oracle->child, &status, 0) != oracle->child)
        return ORACLE_BROKEN;
    if (!WIFSTOPPED(status)) {
        oracle->child = 0;
        return ORACLE_BROKEN;
    }
    if (WSTOPSIG(status) == SIGILL)
        return ORACLE_UNDEFINED;
    return WSTOPSIG(status) == SIGSEGV ? judge_fault(oracle, registers.rip) : ORACLE_DECODED;
}
