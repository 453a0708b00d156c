/* SPDX-License-Identifier: MIT
 *
 * The signal trampoline. INT3 in native_run brings the kernel to build a frame of our own registers; the
 * handler keeps those, puts the case's into the frame with TF set, and returns. The next signal (the single
 * step's, or an exception's) delivers the result, and the handler puts our own registers back.
 */
#include "tests/mmio/native_harness.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bytes.h"
#include "mmio/xsave.h"

#define CODE_ADDRESS 0x30000000u
#define DATA_ADDRESS 0x20000000u
#define STACK_BYTES  (256 * KIB)

/* What fills the last 48 bytes of the legacy area of a frame is the kernel's (struct _fpx_sw_bytes). */
#define FRAME_SOFTWARE_BYTES 464

/* The signal handler's only way to know: one harness in a process. */
static struct {
    const struct native_harness *harness;
    struct xsave_layout layout;
    const struct native_case *in;
    struct native_result *out;
    gregset_t own_registers;
    uint8_t own_xsave[NATIVE_XSAVE_MAX];
    unsigned steps;
    bool is_running;
} run;

/* Copies the components that the harness owns; the others (PKRU above all) stay what the kernel saved. */
static void xsave_copy(uint8_t *to, const uint8_t *from)
{
    uint64_t components = run.harness->components;
    memcpy(to, from, FRAME_SOFTWARE_BYTES);
    uint64_t present = (load_le64(from + XSAVE_HEADER) & components) |
                       (load_le64(to + XSAVE_HEADER) & ~components);
    store_le64(to + XSAVE_HEADER, present);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if (components >> i & 1)
            memcpy(to + run.layout.offset[i], from + run.layout.offset[i], run.layout.len[i]);
}

static const int register_order[CPU_GPR_COUNT] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* Data segments are not part of a frame. In 64-bit code they do not count, so the handler may load them. */
static void load_data_segments(unsigned mode)
{
    unsigned selector = mode == 16 ? NATIVE_DS_16 : NATIVE_DS;
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(selector));
}

static void enter_case(mcontext_t *context)
{
    static const uint64_t flags_loaded = FLAGS_STATUS | FLAG_DF | FLAG_AC;
    const struct native_case *in = run.in;
    memcpy(run.own_registers, context->gregs, sizeof(run.own_registers));
    memcpy(run.own_xsave, context->fpregs, run.harness->xsave_bytes);
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
        context->gregs[register_order[i]] = (greg_t)in->gpr[i];
    context->gregs[REG_RIP] = (greg_t)(in->mode == 16 ? in->rip - run.harness->code : in->rip);
    context->gregs[REG_EFL] = (greg_t)((in->rflags & flags_loaded) | FLAG_TF | FLAG_IF | FLAG_FIXED);
    uint64_t cs = in->mode == 64 ? NATIVE_CS_64 : in->mode == 32 ? NATIVE_CS_32 : NATIVE_CS_16;
    context->gregs[REG_CSGSFS] = (greg_t)(cs | (uint64_t)NATIVE_DS << 48);
    if (in->xsave)
        xsave_copy((uint8_t *)context->fpregs, in->xsave);
    load_data_segments(in->mode);
    run.steps = 0;
    run.is_running = true;
}

static void leave_case(mcontext_t *context, int signal_number)
{
    struct native_result *out = run.out;
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
        out->gpr[i] = (uint64_t)context->gregs[register_order[i]];
    out->rip = (uint64_t)context->gregs[REG_RIP];
    out->cs = (uint16_t)context->gregs[REG_CSGSFS];
    out->ss = (uint16_t)((uint64_t)context->gregs[REG_CSGSFS] >> 48);
    __asm__ volatile("mov %%ds, %0; mov %%es, %1" : "=r"(out->ds), "=r"(out->es));
    /* A null selector with an RPL was cut to 0 by the kernel's return to the process, or will be. */
    out->ds = out->ds < 4 ? 0 : out->ds;
    out->es = out->es < 4 ? 0 : out->es;
    if (out->cs == NATIVE_CS_16)
        out->rip += run.harness->code;
    out->rflags = (uint64_t)context->gregs[REG_EFL];
    out->signal = signal_number;
    out->trap = (unsigned)context->gregs[REG_TRAPNO];
    out->error = (uint64_t)context->gregs[REG_ERR];
    out->cr2 = (uint64_t)context->gregs[REG_CR2];
    if (out->xsave)
        xsave_copy(out->xsave, (const uint8_t *)context->fpregs);
    memcpy(context->gregs, run.own_registers, sizeof(run.own_registers));
    memcpy(context->fpregs, run.own_xsave, run.harness->xsave_bytes);
    run.is_running = false;
}

/* Whether the instruction was single-stepped and is not done: a REP stops after every element. */
static bool is_repeating(const mcontext_t *context)
{
    uint64_t rip = (uint64_t)context->gregs[REG_RIP];
    if (run.in->mode == 16)
        rip += run.harness->code;
    return context->gregs[REG_TRAPNO] == VECTOR_DB && rip == run.in->rip && ++run.steps < run.in->step_limit;
}

static void handle_signal(int signal_number, siginfo_t *info, void *frame)
{
    /* The kernel keeps AC, NT and ID of the case: no unaligned access of ours before this. */
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andl $~0x244000, (%%rsp); popfq; lea 128(%%rsp), %%rsp"
                     :
                     :
                     : "memory", "cc");
    (void)info;
    mcontext_t *context = &((ucontext_t *)frame)->uc_mcontext;
    if (run.is_running) {
        if (!is_repeating(context))
            leave_case(context, signal_number);
    } else if (signal_number == SIGTRAP && run.in) {
        enter_case(context);
    } else {
        /* A fault of the test itself. */
        signal(signal_number, SIG_DFL);
    }
}

void native_run(const struct native_harness *harness, const struct native_case *in, struct native_result *out)
{
    run.harness = harness;
    run.in = in;
    run.out = out;
    __asm__ volatile("int3" : : : "memory");
    run.in = NULL;
}

static int install_handlers(void)
{
    static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    if (sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = STACK_BYTES}, NULL))
        return -errno;
    struct sigaction action = {.sa_sigaction = handle_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
        if (sigaction(signals[i], &action, NULL))
            return -errno;
    return 0;
}

/* Maps `pages` of `fd`; `address` 0 lets the kernel choose, above 4 GiB. */
static uint8_t *map_at(uint64_t address, uint64_t len, int protection, int fd, off_t offset)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    if (address)
        flags |= MAP_FIXED_NOREPLACE;
    void *memory = mmap((void *)address, len, protection, flags, fd, offset);
    if (memory == MAP_FAILED || (address && (uint64_t)memory != address))
        return NULL;
    return memory;
}

/* The data pages with a page without access on both sides; its address is that of the first data page. */
static uint64_t map_data(uint64_t address, int fd)
{
    uint8_t *memory = map_at(address ? address - PAGE_BYTES : 0, NATIVE_DATA_BYTES + 2 * PAGE_BYTES,
                             PROT_NONE, -1, 0);
    if (!memory)
        return 0;
    uint8_t *data = memory + PAGE_BYTES;
    if (mmap(data, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return 0;
    /* Touched once, so that a refused write is one to a page that is present. */
    for (unsigned i = 0; i < NATIVE_DATA_PAGES; i++)
        *(volatile uint8_t *)(data + i * PAGE_BYTES) = 0;
    if (mprotect(data + NATIVE_DATA_BYTES - PAGE_BYTES, PAGE_BYTES, PROT_READ))
        return 0;
    return (uint64_t)data;
}

static int map_all(struct native_harness *harness)
{
    int fd = memfd_create("native_harness", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, NATIVE_DATA_BYTES + PAGE_BYTES))
        return -errno;
    harness->data_low = map_data(DATA_ADDRESS, fd);
    harness->data_high = map_data(0, fd);
    harness->data_view = map_at(0, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE, fd, 0);
    harness->code_view = map_at(0, PAGE_BYTES, PROT_READ | PROT_WRITE, fd, NATIVE_DATA_BYTES);
    harness->code = (uint64_t)map_at(CODE_ADDRESS, PAGE_BYTES, PROT_READ | PROT_EXEC, fd, NATIVE_DATA_BYTES);
    uint8_t *guard = map_at(CODE_ADDRESS + PAGE_BYTES, PAGE_BYTES, PROT_NONE, -1, 0);
    close(fd);
    if (!harness->data_low || !harness->data_high || !harness->data_view || !harness->code_view ||
        !harness->code || !guard)
        return -ENOMEM;
    memset(harness->code_view, 0xcc, PAGE_BYTES);
    return 0;
}

/* A code segment of 16 bits over the code page, and a data segment of 64 KiB around the data. */
static bool add_16bit_segments(const struct native_harness *harness)
{
    struct user_desc code = {.entry_number = 0,
                             .base_addr = (unsigned)harness->code,
                             .limit = 0xffff,
                             .contents = MODIFY_LDT_CONTENTS_CODE,
                             .useable = 1};
    struct user_desc data = {.entry_number = 1,
                             .base_addr = (unsigned)harness->data_low - NATIVE_DATA_16_OFFSET,
                             .limit = 0xffff,
                             .useable = 1};
    return !syscall(SYS_modify_ldt, 0x11, &code, sizeof(code)) &&
           !syscall(SYS_modify_ldt, 0x11, &data, sizeof(data));
}

static bool runs_nop(struct native_harness *harness, unsigned mode, uint64_t rsp)
{
    struct native_case in = {.gpr = {[CPU_RSP] = rsp}, .rip = harness->code, .mode = mode};
    struct native_result out = {0};
    memset(harness->code_view, 0x90, 1);
    native_run(harness, &in, &out);
    memset(harness->code_view, 0xcc, 1);
    return out.trap == VECTOR_DB && out.rip == harness->code + 1;
}

/* In a process of its own: a kernel without 32-bit code ends the one that tries. */
static bool probe_32bit(struct native_harness *harness)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(!runs_nop(harness, 16, 0) || !runs_nop(harness, 32, 0));
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

int native_init(struct native_harness *harness, const char **reason)
{
    *harness = (struct native_harness){0};
    xsave_layout_host(&run.layout);
    harness->components = run.layout.components & XSAVE_VECTOR_COMPONENTS;
    harness->xsave_bytes = run.layout.len_standard;
    run.harness = harness;
    if (!harness->components || harness->xsave_bytes > NATIVE_XSAVE_MAX) {
        *reason = "this CPU or its kernel has no XSAVE, or one with larger components";
        return -ENOTSUP;
    }
    int status = map_all(harness);
    if (!status)
        status = install_handlers();
    harness->gs_base = harness->data_low - 0x800;
    if (!status && (syscall(SYS_arch_prctl, ARCH_SET_GS, harness->gs_base) ||
                    syscall(SYS_arch_prctl, ARCH_GET_FS, &harness->fs_base)))
        status = -errno;
    *reason = status ? "memory, signals or segment bases were refused" : NULL;
    if (!status)
        harness->has_any_rsp = runs_nop(harness, 64, 1ull << 62);
    if (!status)
        harness->has_32bit = add_16bit_segments(harness) && probe_32bit(harness);
    return status;
}
