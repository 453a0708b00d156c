/* SPDX-License-Identifier: MIT
 *
 * A program for initramfs of Linux guests, without a library: `outb PORT VALUE`, in decimal. /dev/port, which
 * could do the same, is not in every distribution's kernel. `outb 1287 1` is the mark that user space runs.
 */
#define SYS_IOPERM 173
#define SYS_EXIT   60

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static unsigned parse(const char *text)
{
    unsigned value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (unsigned)(*text++ - '0');
    return value;
}

/* The stack at a program's start: the number of arguments, then the arguments. */
__attribute__((used)) static void run(const long *stack)
{
    const char *const *arguments = (const char *const *)(stack + 1);
    if (stack[0] != 3)
        call(SYS_EXIT, 2, 0, 0);
    unsigned port = parse(arguments[1]), value = parse(arguments[2]);
    if (call(SYS_IOPERM, port, 1, 1))
        call(SYS_EXIT, 1, 0, 0);
    __asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(port));
    call(SYS_EXIT, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
