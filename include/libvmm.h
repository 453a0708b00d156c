/* SPDX-License-Identifier: MIT
 *
 * libvmm: run an x86 guest on Linux KVM from inside another program.
 *
 * Functions return 0, or a negative errno and fill `error` (which may be NULL) with a sentence. The library
 * never exits, aborts or prints; text goes to the log callback of the configuration (but see on_escape).
 * Several machines may live in one process. Which thread may call a function is said with it; where nothing
 * is said, the thread that created the machine, while the machine does not run. Pointers are not NULL unless
 * it is said.
 */
#ifndef LIBVMM_H
#define LIBVMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Why a call failed. `code` is the negative errno that the call returned; `message` names the thing, what
 * was wrong with it, and what to do, without a final newline. */
struct vmm_error {
    int code;
    char message[500];
};

enum vmm_log_level {
    VMM_LOG_ERROR,   /* the machine cannot go on as asked */
    VMM_LOG_WARNING, /* it goes on, but not as asked */
    VMM_LOG_INFO,
};

/* One line of text without its newline. Called from any thread of the library, never from two at once for
 * the same machine. */
typedef void vmm_log_fn(void *context, enum vmm_log_level level, const char *line);

/* ---- A machine's life: create, add devices, load an image, run, destroy ---- */

struct vmm;

/* The interrupt controllers of the machine. */
enum vmm_irqchip {
    VMM_IRQCHIP_AUTO,   /* none for one CPU with a flat image, else kernel */
    VMM_IRQCHIP_KERNEL, /* PIC, IOAPIC, PIT and local APICs in KVM */
    VMM_IRQCHIP_SPLIT,  /* local APICs in KVM, an IOAPIC here, no PIC and no PIT */
    VMM_IRQCHIP_NONE,   /* no interrupts: a HLT ends the run */
};

enum vmm_mem_backing {
    VMM_MEM_ANONYMOUS, /* private pages */
    VMM_MEM_HUGE,      /* the host's pool of huge pages */
    VMM_MEM_SHARED,    /* a memory file that another process can map: vmm_mem_fd */
};

/* Who decodes an access to a device's memory. */
enum vmm_mmio_engine {
    VMM_MMIO_AUTO, /* what the device asks for, else KVM */
    VMM_MMIO_KVM,  /* KVM: one exit for each part that its emulator makes of the instruction */
    VMM_MMIO_TRAP, /* we: one exit for the whole instruction, whatever it is */
};

/* Who executes what is not ring 3 in long mode: a kernel, real and protected mode. */
enum vmm_ring0_engine {
    /* On a KVM without hardware virtualization our emulator for a Linux kernel, and for any image but a flat
     * one where there is QEMU's test device; else KVM. */
    VMM_RING0_AUTO,
    /* KVM, by the processor or, where that cannot, by its own emulator. */
    VMM_RING0_KVM,
    /* Our emulator, which is slower than a processor. Without hardware virtualization it executes ring 3,
     * too, so that KVM executes nothing but what only it can. */
    VMM_RING0_SOFTWARE,
};

/* Every zero means its default. The strings and the struct are only read by vmm_create. */
struct vmm_config {
    uint64_t ram_bytes; /* from 64 KiB, a multiple of 4096; default 128 MiB */
    enum vmm_mem_backing mem_backing;
    unsigned cpu_count; /* from 1 to what the host's KVM allows; default 1 */
    /* Features that the guest is not to have, by the names of /proc/cpuinfo: "-avx512f,-xsave". What needs
     * one of them goes as well. */
    const char *cpu_features;
    enum vmm_irqchip irqchip;
    enum vmm_mmio_engine mmio_engine; /* of devices that have no engine of their own */
    bool no_run_ahead;                /* leave the guest to KVM after each instruction executed in software */
    enum vmm_ring0_engine ring0_engine;
    bool triple_fault_resets; /* as on a PC: VMM_END_RESET, and no report */
    uint64_t timeout_ms;      /* vmm_run ends with VMM_END_TIMEOUT after it; default none */
    bool measure_time;        /* count the time in and out of the guest: some 20 ns for each exit */
    /* The signal that takes a vCPU out of the guest. If nobody handles it when a machine is created, it gets
     * a handler that does nothing. Default SIGRTMIN + 7. */
    int kick_signal;
    vmm_log_fn *log; /* default: text is dropped */
    void *log_context;
    enum vmm_log_level log_level; /* the last level that is logged; 0: errors only */
};

/* Whether `text` is one that vmm_config.cpu_features understands; what the host has does not matter. NULL is.
 * -EINVAL where it is not. */
int vmm_check_cpu_features(const char *text, struct vmm_error *error);

/* Makes a machine without devices. `config` may be NULL. The caller owns *machine, which is NULL on failure:
 * -EINVAL for a value of the configuration, or another errno where the host has no KVM that works
 * (vmm_host_probe says more) or too little memory. */
int vmm_create(const struct vmm_config *config, struct vmm **machine, struct vmm_error *error);

/* Undoes everything; NULL is fine. The machine must not be running. */
void vmm_destroy(struct vmm *machine);

/* vmm_destroy for a process that is about to exit: files are written and closed, sockets and threads gone,
 * but guest memory and KVM's descriptors are left to the exit, which releases them at less cost. */
void vmm_destroy_at_exit(struct vmm *machine);

/* ---- Devices ---- */

/* vmm_add_* calls return -EALREADY once the machine has run, or while it does, and those that say "before
 * vmm_load" once an image is loaded; -EEXIST where ports or memory overlap what is there. A call that fails
 * may leave a part of what it was to add: destroy the machine then. */

enum vmm_serial_kind {
    VMM_SERIAL_NONE,        /* output vanishes, no input */
    VMM_SERIAL_DESCRIPTORS, /* in_fd and out_fd, which stay the caller's; -1 for no input */
    VMM_SERIAL_FILE,        /* output to the file `path`, made or emptied; no input */
    VMM_SERIAL_PTY,         /* a new pseudo-terminal, whose name is logged */
    VMM_SERIAL_SOCKET,      /* listens on the Unix socket `path`; one client at a time */
};

/* What is to outlive a machine, for the next one to go on with: the same pseudo-terminal, a socket's client,
 * and input that the guest has not taken. For one port at a time. */
struct vmm_serial_peer;

/* The caller owns *peer, which is NULL on failure. */
int vmm_serial_peer_create(struct vmm_serial_peer **peer, struct vmm_error *error);
/* Ends what is kept, after the last machine that used it was destroyed. NULL is fine. */
void vmm_serial_peer_destroy(struct vmm_serial_peer *peer);

struct vmm_serial_config {
    enum vmm_serial_kind kind;
    int in_fd, out_fd;
    const char *path;
    bool append;                  /* VMM_SERIAL_FILE: keep what the file has */
    struct vmm_serial_peer *peer; /* a borrow, of the machine's too; NULL: everything ends with the machine */
    /* With VMM_SERIAL_DESCRIPTORS: Ctrl-A is an escape key. Ctrl-A x calls on_escape, from a thread of the
     * library; it may call vmm_stop. Ctrl-A p presses the power button, Ctrl-A b sends a break (of a UART),
     * Ctrl-A Ctrl-A sends Ctrl-A, and any other key writes a list of these into the output, the only text of
     * the library's there. NULL: every byte goes to the guest. */
    void (*on_escape)(void *context);
    void *escape_context;
};

/* A 16550A UART at port 0x3f8 (IRQ 4) for the first call, then 0x2f8 (3), 0x3e8 (4), 0x2e8 (3); -ENOSPC for
 * a fifth. */
int vmm_add_serial(struct vmm *machine, const struct vmm_serial_config *config, struct vmm_error *error);

/* QEMU's isa-debug-exit: a write of `value` to any of the 4 ports from `port` on ends the run. */
int vmm_add_debug_exit(struct vmm *machine, uint16_t port, struct vmm_error *error);

/* The same at `count` ports, from 1: QEMU's iobase and iosize. */
int vmm_add_debug_exit_ports(struct vmm *machine, uint16_t port, unsigned count, struct vmm_error *error);

/* QEMU's pc-testdev, for test kernels: ports 0xe0 to 0xeb, interrupt lines at ports 0x2000 to 0x2017, and
 * 64 KiB of memory that remembers at 0xff000000, decoded by `engine` (AUTO: trapped). */
int vmm_add_testdev(struct vmm *machine, enum vmm_mmio_engine engine, struct vmm_error *error);

/* What a PC's kernel expects beside its serial port: CMOS and RTC, the i8042's and port 0x92's reset, the
 * POST port 0x80, and fw_cfg with the number of CPUs and the size of RAM. */
int vmm_add_legacy(struct vmm *machine, struct vmm_error *error);

/* A file in fw_cfg's directory, such as "opt/org.example/config", from bytes that are copied; NULL
 * for none. After vmm_add_legacy, which adds fw_cfg. Names of QEMU's own begin with "etc/". */
int vmm_add_fwcfg_file(struct vmm *machine, const char *name, const void *bytes, size_t len,
                       struct vmm_error *error);

/* A port, 0x507, by which the guest says how far it has come: writing 1 is VMM_MARK_USER_SPACE. */
int vmm_add_progress(struct vmm *machine, struct vmm_error *error);

/* What ACPI describes: power management registers at port 0x600 (power off, timer), the generic event device
 * at 0x60c (power button, IRQ 5), the reset port 0xcf9, pvpanic at 0x505. A machine that has them also gets
 * ACPI tables, unless its image is flat or it has no interrupt controllers. Before vmm_load. */
int vmm_add_acpi(struct vmm *machine, struct vmm_error *error);

/* A PCI bus, with no device on it but its host bridge: configuration space at ports 0xcf8 and 0xcfc and, 1
 * MiB of it, at 0xf0000000; BARs from 0xe0000000 on and in the upper half of the CPU's address space; INTx by
 * IRQs 10 and 11. The first PCI device brings it by itself. Before vmm_load. */
int vmm_add_pci(struct vmm *machine, struct vmm_error *error);

/* How a virtio device is found. */
enum vmm_transport {
    VMM_TRANSPORT_PCI,  /* on the PCI bus, with MSI-X or INTx */
    VMM_TRANSPORT_MMIO, /* by ACPI (LNRO0005): pages from 0xdff00000 on, GSIs from 16 on; at most 8 devices */
};

enum vmm_disk_cache {
    VMM_DISK_CACHE_WRITEBACK, /* the host's page cache, made stable by the guest's flushes */
    VMM_DISK_CACHE_NONE,      /* O_DIRECT for what is aligned */
};

enum vmm_disk_aio {
    VMM_DISK_AIO_AUTO,  /* io_uring where it is to be had, else threads; with an overlay always threads */
    VMM_DISK_AIO_URING, /* not with an overlay */
    VMM_DISK_AIO_THREADS,
};

#define VMM_DISK_QUEUES_MAX 64

/* A virtio block device over a raw image or a block device. Every zero means its default. */
struct vmm_disk_config {
    const char *path;         /* a regular file or a block device; locked against a second writer */
    bool read_only;           /* for the guest, too */
    const char *overlay_path; /* writes go to this file, made if it does not exist; `path` is only read */
    bool overlay_memory;      /* writes go to memory, and are gone with the machine */
    enum vmm_disk_cache cache;
    enum vmm_disk_aio aio;
    bool pin; /* all of the guest's RAM is taken now, kept in memory and registered with io_uring */
    enum vmm_transport transport;
    unsigned queue_count; /* default one for each CPU, at most VMM_DISK_QUEUES_MAX */
    uint32_t block_size;  /* what the guest is told; default the medium's, 512 for a file */
    const char *serial;   /* up to 20 characters */
    /* For each second, with bursts of a tenth of it; default none. */
    uint64_t operations_limit, bytes_limit;
};

/* The strings are only read by the call. Before vmm_load. */
int vmm_add_disk(struct vmm *machine, const struct vmm_disk_config *config, struct vmm_error *error);

/* The size of the disk that was added as number `index`, from 0: the file is made that long, or, with 0
 * bytes, has another length already. The guest is told. -ENOENT where there is no such disk. Any one thread,
 * also while the machine runs. */
int vmm_resize_disk(struct vmm *machine, unsigned index, uint64_t bytes, struct vmm_error *error);

/* A virtio entropy device: random bytes of the host's kernel. Before vmm_load, as the next. */
int vmm_add_rng(struct vmm *machine, enum vmm_transport transport, struct vmm_error *error);

/* A port of a virtio console: a stream of bytes in both directions. */
struct vmm_console_port {
    struct vmm_serial_config where; /* what it is connected to */
    const char *name; /* up to 31 characters: Linux makes it /dev/virtio-ports/NAME; NULL: none */
    bool is_console;  /* a terminal of the guest's: Linux's /dev/hvc0, ... */
};

struct vmm_console_config {
    const struct vmm_console_port *ports;
    size_t port_count; /* 1 to 8 */
    enum vmm_transport transport;
};

/* The strings are only read by the call. A console whose first port is on a terminal has that one's size. */
int vmm_add_console(struct vmm *machine, const struct vmm_console_config *config, struct vmm_error *error);

/* What the first port of the console that was added as number `index`, from 0, is shown on has another size,
 * up to 65535. The guest is told. -ENOENT where there is no such console. Any thread, also while the machine
 * runs. */
int vmm_resize_console(struct vmm *machine, unsigned index, unsigned columns, unsigned rows,
                       struct vmm_error *error);

/* Writes the tables to files in the directory, RSDP.aml, DSDT.aml and so on, as the guest finds them; a
 * directory that is missing is made. -ENOENT where there are no tables: without vmm_add_acpi, or where the
 * image that was loaded is given none. */
int vmm_dump_acpi(const struct vmm *machine, const char *directory, struct vmm_error *error);

/* A region of memory that only remembers what was written to it, for tests and measurements. */
struct vmm_scratch_config {
    uint64_t base, len;
    enum vmm_mmio_engine engine; /* AUTO: the machine's */
    bool coalesce;               /* its writes may be collected in KVM's ring */
    bool direct;                 /* it is mapped into the guest: no access exits */
};

int vmm_add_scratch(struct vmm *machine, const struct vmm_scratch_config *config, struct vmm_error *error);

/* A device of the caller's own. `offset` counts from `base`; `size` is 1, 2, 4 or 8; `offset` + `size` is
 * inside. Either may be NULL: all ones are read, writes are ignored. Called from vCPU threads, never two at
 * once for one region. */
struct vmm_region_ops {
    uint64_t (*read)(void *context, uint64_t offset, unsigned size);
    void (*write)(void *context, uint64_t offset, unsigned size, uint64_t value);
};

enum vmm_space {
    VMM_SPACE_PORTS,  /* I/O ports, 0 to 0xffff */
    VMM_SPACE_MEMORY, /* guest-physical addresses outside RAM */
};

/* `ops` and `context` are borrowed until the destroy; `name` is copied. -EEXIST where the region overlaps;
 * what overlaps interrupt controllers of KVM's is refused by vmm_run, which makes them. */
int vmm_add_region(struct vmm *machine, enum vmm_space space, const char *name, uint64_t base, uint64_t len,
                   const struct vmm_region_ops *ops, void *context, struct vmm_error *error);

/* Model-specific registers of the program's own. False: the guest gets #GP. NULL: it always does, so that
 * with neither operation the guest is kept from a register. Called from vCPU threads, never two at once for
 * one range. */
struct vmm_msr_ops {
    bool (*read)(void *context, uint32_t index, uint64_t *value);
    bool (*write)(void *context, uint32_t index, uint64_t value);
};

/* The MSRs first to first + count - 1 are the program's, whether the host's KVM knows them or not; up to 16
 * ranges of up to 12288. `ops` and `context` are borrowed until the destroy. -EOPNOTSUPP where the host's KVM
 * cannot hand them over; -EINVAL for EFER, the bases of FS and GS, and those of the local APIC (0x800 to
 * 0x8ff); -EEXIST where ranges overlap. */
int vmm_add_msrs(struct vmm *machine, uint32_t first, uint32_t count, const struct vmm_msr_ops *ops,
                 void *context, struct vmm_error *error);

/* A ROM: `len` bytes, whole pages, copied from `bytes`. The guest reads them as fast as RAM; its writes
 * change nothing and go to ops->write, where there is one. `ops` may be NULL; otherwise as vmm_add_region. */
int vmm_add_rom(struct vmm *machine, const char *name, uint64_t base, const void *bytes, uint64_t len,
                const struct vmm_region_ops *ops, void *context, struct vmm_error *error);

/* ---- Images ---- */

enum vmm_flat_mode {
    VMM_FLAT_NONE,   /* the format is found by content, see vmm_image */
    VMM_FLAT_REAL16, /* a flat binary entered in 16-bit real mode */
    VMM_FLAT_PROT32, /* in flat 32-bit protected mode, no paging */
    VMM_FLAT_LONG64, /* in 64-bit mode, memory mapped one to one */
};

/* A further file: for a bzImage a part of its initrd, which has no command line. */
struct vmm_module {
    const char *path;
    const char *cmdline; /* NULL: none */
};

/* What is not flat is a bzImage, an ELF file with a multiboot 1 header or a PVH note, a Linux kernel's ELF64
 * file without either, or another file whose multiboot 1 header says where it is loaded. */
struct vmm_image {
    const char *path;  /* the file; also names the image in messages */
    const void *bytes; /* or its content, `len` bytes; then `path` is only its name */
    size_t len;
    const char *cmdline; /* NULL: none */
    const struct vmm_module *modules;
    size_t module_count;
    enum vmm_flat_mode flat;
    uint64_t flat_address; /* where a flat binary goes; read where has_flat_address */
    bool has_flat_address;
};

/* Puts the image into guest memory; nothing of `image` is needed afterwards. A machine takes one image:
 * -EALREADY for a second one. -ENOEXEC, -EINVAL or -ENOSPC where it is none, damaged, or does not fit into
 * the guest's RAM, which may be written in part by then; another one can be loaded instead. Errors of files
 * are their errno. What was written to RAM before stays, but is 0 where the image wants that (a .bss). */
int vmm_load(struct vmm *machine, const struct vmm_image *image, struct vmm_error *error);

/* Guest memory by guest-physical address: -EFAULT, with nothing copied, unless every byte is RAM. Any thread.
 */
int vmm_mem_read(const struct vmm *machine, uint64_t gpa, void *to, size_t len);
int vmm_mem_write(struct vmm *machine, uint64_t gpa, const void *from, size_t len);

/* The descriptor of VMM_MEM_SHARED, which stays the machine's, or -1. */
int vmm_mem_fd(const struct vmm *machine);

/* ---- Running ---- */

/* Why a run ended. None of these is a failure of vmm_run. */
enum vmm_end_reason {
    VMM_END_POWER_OFF,    /* the guest switched itself off */
    VMM_END_RESET,        /* the guest asked for a reset */
    VMM_END_DEBUG_EXIT,   /* the guest wrote `value` to the debug-exit port */
    VMM_END_PANIC,        /* the guest said that it has panicked, by pvpanic */
    VMM_END_STOPPED,      /* vmm_stop */
    VMM_END_TIMEOUT,      /* the configuration's timeout_ms is over */
    VMM_END_HALTED,       /* HLT without an interrupt controller */
    VMM_END_TRIPLE_FAULT, /* the guest shut down by a triple fault */
    VMM_END_NOT_EXECUTED, /* KVM could not enter the guest or execute its instruction */
};

struct vmm_end {
    enum vmm_end_reason reason;
    uint32_t value; /* of VMM_END_DEBUG_EXIT */
    unsigned cpu;   /* the vCPU that ended it */
};

/* A word for the reason, such as "triple fault". */
const char *vmm_end_name(enum vmm_end_reason reason);

/* Runs the guest until something ends it. The calling thread is the first vCPU's, the others have threads of
 * their own; the kick signal is unblocked meanwhile. The last three reasons come with a report of registers,
 * code and last exits, a line at a time, to the log at VMM_LOG_ERROR; VMM_END_TIMEOUT and VMM_END_PANIC with
 * where each vCPU was and its last exits. A machine runs once. A failure (the host's) is returned as a
 * negative errno. `end` may be NULL. */
int vmm_run(struct vmm *machine, struct vmm_end *end, struct vmm_error *error);

/* Any thread, at any time between create and destroy, also before the run; not from a signal handler. */
void vmm_stop(struct vmm *machine);

/* Whether the guest's output to the descriptors of VMM_SERIAL_DESCRIPTORS has stopped within a line; that
 * line then counts as ended. For messages of the program's own on the same terminal: they begin a new one.
 * Any thread, the log's callback included. */
bool vmm_break_line(struct vmm *machine);

/* The guest's power button, which it may heed or not: an event of ACPI's Generic Event Device, which sets bit
 * 0 of port 0x60c, until the guest clears it by writing a 1, and raises IRQ 5. Where there are no interrupt
 * controllers or the guest reads no tables, it can still look there. Without vmm_add_acpi there is no button,
 * which the log says. Any thread. */
void vmm_press_power_button(struct vmm *machine);

/* Any thread but a callback's. When vmm_pause returns, no vCPU executes until vmm_resume. Devices
 * finish what the guest has asked for: requests of disks that are under way still write to RAM. Pausing twice
 * is pausing once. */
void vmm_pause(struct vmm *machine);
void vmm_resume(struct vmm *machine);

/* ---- What it cost ---- */

enum vmm_phase {
    VMM_PHASE_HOST,    /* /dev/kvm opened, its capabilities asked */
    VMM_PHASE_VM,      /* the VM */
    VMM_PHASE_MEMORY,  /* guest RAM mapped and made a memory slot */
    VMM_PHASE_DEVICES, /* all vmm_add_* calls */
    VMM_PHASE_LOAD,    /* the image */
    VMM_PHASE_IRQCHIP, /* interrupt controllers, where there are any */
    VMM_PHASE_VCPU,    /* vCPUs, their CPUID and registers, up to the first entry */
    VMM_PHASE_COUNT
};

const char *vmm_phase_name(enum vmm_phase phase);

/* How far the guest has come. */
enum vmm_mark {
    VMM_MARK_ENTRY,      /* its first instruction is about to be executed */
    VMM_MARK_SERIAL,     /* it has sent its first byte to a serial port */
    VMM_MARK_USER_SPACE, /* it has said that its user space runs: vmm_add_progress */
    VMM_MARK_END,        /* the run has ended */
    VMM_MARK_COUNT
};

const char *vmm_mark_name(enum vmm_mark mark);

/* One kind of exit, by the name that the KVM API gives it. */
struct vmm_exit_stat {
    const char *name;
    uint64_t count;
};

struct vmm_region_stat {
    const char *name;
    enum vmm_space space;
    uint64_t base, len;
    uint64_t dirty_bytes; /* of direct memory: what the guest has written, in whole pages */
    uint64_t read_counts[4], write_counts[4]; /* of 1, 2, 4, 8 bytes */
    const char *engine; /* of memory: "kvm", "trap", "direct" or "rom", with "+coalesced"; NULL for ports */
};

struct vmm_stats {
    uint64_t exit_count;
    uint64_t emulated_count;    /* instructions executed in software */
    uint64_t coalesced_count;   /* writes that came without an exit */
    uint64_t guest_ns, host_ns; /* inside and outside KVM_RUN, all vCPUs; 0 unless measure_time */
    uint64_t miss_count;        /* accesses that no device claimed */
    uint64_t phase_ns[VMM_PHASE_COUNT];
    uint64_t private_bytes; /* pages that only this process has, without guest RAM */
    uint64_t peak_bytes;    /* the most memory that this process had at once, with the guest RAM in use */
};

/* While the machine does not run. The lists are filled up to `capacity` entries; the return value is how many
 * there are. Names live as long as the machine. */
void vmm_stats_get(struct vmm *machine, struct vmm_stats *stats);
size_t vmm_stats_exits(struct vmm *machine, struct vmm_exit_stat *list, size_t capacity);
size_t vmm_stats_regions(struct vmm *machine, struct vmm_region_stat *list, size_t capacity);

struct vmm_disk_stat {
    const char *name; /* lives as long as the machine */
    const char *aio;  /* "io_uring" or "threads" */
    uint64_t bytes;
    uint64_t read_count, read_bytes, write_count, write_bytes, flush_count, discard_count, zeroes_count;
    uint64_t error_count;     /* requests that the host's disk failed */
    uint64_t refused_count;   /* ... and that made no sense, or are not supported */
    uint64_t throttled_count; /* waits for a limit */
    uint64_t doorbell_count;  /* notifications without an exit to us */
    uint64_t notify_count;    /* ... and by one */
    uint64_t interrupt_count, suppressed_count;
};
size_t vmm_stats_disks(struct vmm *machine, struct vmm_disk_stat *list, size_t capacity);

/* A virtio device without a medium: of vmm_add_rng "rng0", ..., of vmm_add_console "console0", ... */
struct vmm_virtio_stat {
    const char *name;         /* lives as long as the machine */
    uint64_t request_count;   /* chains of buffers that the driver has made available */
    uint64_t guest_out_bytes; /* that the device was given: a console's output, and control messages */
    uint64_t guest_in_bytes;  /* ... and that it has given: random bytes, a console's input */
    uint64_t doorbell_count;  /* the others as of a disk */
    uint64_t notify_count;
    uint64_t interrupt_count, suppressed_count;
};
size_t vmm_stats_virtio(struct vmm *machine, struct vmm_virtio_stat *list, size_t capacity);

/* Nanoseconds from vmm_create to the first time that the guest came to this point; 0 where it did not. */
uint64_t vmm_stats_mark(struct vmm *machine, enum vmm_mark mark);
/* The exits until then, as vmm_stats_exits. */
size_t vmm_stats_mark_exits(struct vmm *machine, enum vmm_mark mark, struct vmm_exit_stat *list,
                            size_t capacity);

/* ---- What happened: the trace ---- */

/* When what is in the rings of a buffer goes to the file. */
enum vmm_trace_mode {
    VMM_TRACE_STREAM,   /* all the time */
    VMM_TRACE_RING,     /* at the end of the run */
    VMM_TRACE_SNAPSHOT, /* when the trigger, which takes snapshots, fires */
};

/* What a full ring loses. Either way the number is counted. */
enum vmm_trace_full {
    VMM_TRACE_FULL_AUTO,      /* of STREAM the new record, of the others the oldest */
    VMM_TRACE_FULL_OVERWRITE, /* the oldest record */
    VMM_TRACE_FULL_STOP,      /* the new record */
};

/* A buffer: a ring for each thread of the machine. Every zero means its default. */
struct vmm_trace_buffer {
    const char *name;   /* "main" */
    const char *events; /* "exit,pio,queue_kick", or all but some, "-emulate_insn"; default: all */
    const char *filter; /* an expression, such as "addr >= 0x3f8 && addr < 0x400 && write" */
    uint64_t bytes;     /* of each ring, from 4 KiB; default 1 MiB */
    enum vmm_trace_mode mode;
    enum vmm_trace_full full;
};

#define VMM_TRACE_MARKER_PORT 0x504 /* where a guest writes lines of its own into the trace */

struct vmm_trace_config {
    const char *path; /* of the file, which is made or emptied; trace.md of the documents describes it */
    const struct vmm_trace_buffer *buffers;
    size_t buffer_count; /* at most 8; 0: one, with all defaults */
    /* "snapshot if EXPRESSION", "snapshot:3 if EXPRESSION" (so many times), "traceoff if EXPRESSION", or the
     * expression alone, for a snapshot. NULL: none. */
    const char *trigger;
    uint16_t marker_port; /* default VMM_TRACE_MARKER_PORT */
    bool no_marker;       /* the port is not there */
};

/* The run is going to be traced. -EINVAL for an event, a filter or a trigger that is not understood, with the
 * word or the column, and for a buffer of snapshots where nothing takes one. What cannot be written ends the
 * trace and is logged, but never disturbs the guest. */
int vmm_add_trace(struct vmm *machine, const struct vmm_trace_config *config, struct vmm_error *error);

struct vmm_trace_stats {
    uint64_t recorded_count; /* an exit and the one access that it was count as one */
    uint64_t written_count;  /* that are in the file */
    uint64_t lost_count;     /* to full rings */
    uint64_t trigger_count;
};

/* All zero for a machine that is not traced. Any thread. */
void vmm_trace_stats_get(struct vmm *machine, struct vmm_trace_stats *stats);

/* ---- The host ---- */

enum vmm_kvm_flavour {
    VMM_KVM_UNKNOWN,  /* there is no KVM that answers */
    VMM_KVM_INTEL,    /* VT-x with EPT or without */
    VMM_KVM_AMD,      /* AMD-V */
    VMM_KVM_SOFTWARE, /* KVM without hardware virtualization, such as PVM */
};

/* One thing that was asked of the host's KVM. */
struct vmm_host_fact {
    const char *name;    /* as the KVM API spells it, or a plain word */
    int64_t value;       /* what KVM answered; 0 mostly means no */
    const char *meaning; /* what follows from this value, a sentence */
    bool is_problem;     /* something of vmm is missing or slower for it */
};

#define VMM_HOST_FACT_LIMIT 32

struct vmm_host {
    bool usable;            /* machines can be made */
    struct vmm_error error; /* why not */
    enum vmm_kvm_flavour flavour;
    char cpu[64];    /* the processor's brand string, or empty */
    char kernel[80]; /* release of the running kernel */
    bool is_nested;  /* this host is a guest itself */
    unsigned cpu_count, recommended_cpus, max_cpus;
    size_t fact_count;
    struct vmm_host_fact facts[VMM_HOST_FACT_LIMIT];
};

/* Asks this host's KVM what it can do; never fails, but may find the host unusable. Any thread. */
void vmm_host_probe(struct vmm_host *host);

/* The library's version, as "0.1.0". */
const char *vmm_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
