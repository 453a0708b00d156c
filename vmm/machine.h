/* SPDX-License-Identifier: MIT
 *
 * The machine behind `struct vmm`, for the files of this folder: machine.c makes it and takes it apart,
 * devices.c gives it devices, image.c its guest, cpus.c vCPUs, run.c runs it, irq.c routes its interrupts,
 * stats.c counts.
 *
 * Threads: what run control says below; everything else is the creating thread's, while nothing runs.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <pthread.h>

#include "base/event_loop.h"
#include "base/lines.h"
#include "base/log.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "devices/ioapic/ioapic.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtio.h"
#include "ept/slots.h"
#include "vcpu/coalesced.h"
#include "vcpu/features.h"
#include "vcpu/vcpu.h"
#include "vmm/host.h"

/* Where KVM keeps what VT-x needs in real mode, three pages and one: below the firmware's flash, where no
 * guest of ours has anything. */
#define TSS_GPA          0xfffbd000u
#define IDENTITY_MAP_GPA 0xfffbc000u

/* PCI's window below 4 GiB, and its configuration space, between RAM and the IOAPIC. */
#define PCI_LOW_GPA   0xe0000000u
#define PCI_LOW_BYTES 0x10000000u
#define PCI_ECAM_GPA  0xf0000000u

#define RAM_BYTES_DEFAULT   (128 * MIB)
#define RAM_BYTES_MIN       (64 * KIB)
#define KICK_SIGNAL_DEFAULT (SIGRTMIN + 7)

/* One vCPU and its thread. */
struct machine_cpu {
    struct vmm *machine;
    struct vcpu *vcpu;
    pthread_t thread;
    bool has_thread; /* under run.lock */
};

/* Anything that was added: how it is taken away again, in the opposite order. */
struct machine_part {
    struct machine_part *next;
    void (*destroy)(void *part);
    void *part;
};

/* Run control, shared by the caller of vmm_run, the vCPU threads and whoever stops or pauses. */
struct run_control {
    pthread_mutex_t lock; /* a leaf: nothing is called while it is held */
    pthread_cond_t changed;
    unsigned executing; /* vCPU threads that are not parked */
    bool paused;
    bool ready; /* the vCPUs, the ring and the direct slots are all there, and stay */
    bool ended; /* `end` and `error` are final */
    struct vmm_end end;
    int failure; /* negative errno: the host failed, `error` says how */
    struct vmm_error error;
    pthread_mutex_t settle_lock; /* one thread at a time tells devices what the guest has written unseen */
    pthread_mutex_t report_lock; /* one vCPU at a time reports its death; taken before `lock` */
};

/* A point of the boot that was reached. */
struct machine_mark {
    uint64_t ns;                               /* since vmm_create; 0: not reached. Any thread, atomically */
    uint64_t reason_counts[VCPU_REASON_LIMIT]; /* exits until then */
};

#define SERIAL_LIMIT 4

/* virtio.c: pages below PCI's low window, and pins of the IOAPIC that no PC's device has. */
#define VIRTIO_MMIO_GPA   0xdff00000u
#define VIRTIO_MMIO_GSI   16u
#define VIRTIO_MMIO_LIMIT 8

struct vmm {
    struct vmm_config config; /* defaults filled in */
    struct log log;
    struct host host;
    int vm_fd;
    struct cpuid_table *cpuid; /* NULL until machine_cpuid was called; as long as its count */
    char *features;            /* of the configuration, or NULL */
    struct guest_memory *memory;
    struct slots *slots;
    struct direct_slot *direct_slots;
    struct bus *ports, *memory_bus;
    struct event_loop *loop;
    struct machine_part *parts;        /* the newest first, as the next */
    struct machine_part *memory_parts; /* whose host memory the guest has: they outlive the other parts */
    struct vmm *left_before;           /* of those that the process's end releases */
    struct char_backend *serial_backends[SERIAL_LIMIT];
    unsigned serial_count;
    struct fwcfg *fwcfg;       /* NULL: none */
    struct acpi_ged *acpi_ged; /* NULL: no ACPI. A borrow from the parts, as the next */
    struct portcf9 *portcf9;   /* of ACPI and PCI; NULL: neither is there */
    struct pci *pci;           /* NULL: no PCI */
    struct machine_disk *disks;
    struct machine_console *consoles;
    struct counted_virtio *counted;                          /* virtio.c */
    struct acpi_virtio_mmio virtio_mmios[VIRTIO_MMIO_LIMIT]; /* where virtio-mmio devices are */
    unsigned virtio_mmio_count;

    enum vmm_irqchip irqchip; /* made when the run begins: never AUTO then */
    struct ioapic *ioapic;    /* with VMM_IRQCHIP_SPLIT */
    struct kvm_irq_routing *routing;

    struct trace *trace;              /* NULL: not traced */
    struct trace_thread **cpu_traces; /* of each vCPU, once the run begins */

    bool loaded, is_flat, has_acpi_tables, has_run;
    bool has_testdev;
    bool interprets; /* ring 0 is executed in software; known with the image */
    bool ram_dirty;  /* atomic: before the load somebody, or a load that failed, has written to RAM */
    bool queues_ud;  /* struct vcpu_machine */
    struct boot_state start;

    struct vcpu_machine vcpu_machine;
    struct coalesced_ring coalesced;
    struct machine_msrs *msrs; /* of the program's own; a borrow from the parts */
    uint32_t unknown_msrs[VCPU_MSR_LIMIT];
    bool ring3_seen;          /* of struct vcpu_machine */
    pthread_mutex_t bus_lock; /* of struct step_machine */
    struct machine_cpu *cpus; /* config.cpu_count, once the run begins */
    struct run_control run;
    uint64_t phase_ns[VMM_PHASE_COUNT];
    uint64_t created_ns;
    struct machine_mark marks[VMM_MARK_COUNT];
};

/* -EALREADY, with a sentence: once the run has begun; and for what the image is told of, once it is loaded.
 */
int machine_check_open(const struct vmm *machine, struct vmm_error *error);
int machine_check_unloaded(const struct vmm *machine, const char *name, struct vmm_error *error);

/* Remembers how to destroy what was added. On failure, as that the run has begun, `part` is destroyed at
 * once. */
int machine_own(struct vmm *machine, void *part, void (*destroy)(void *part), struct vmm_error *error);
/* The same for what lends the guest its memory, as a direct region does: a driver may have put its rings and
 * buffers there, to which a device still writes when it is destroyed. */
int machine_own_memory(struct vmm *machine, void *part, void (*destroy)(void *part), struct vmm_error *error);
/* machine_own of a device whose registers are ports, which go onto the bus. */
int machine_add_ports(struct vmm *machine, void *device, void (*destroy)(void *device),
                      struct bus_region *region, struct vmm_error *error);

/* A device's destroy function takes the device's own type, a part's takes what is in its list: destroy_TYPE.
 */
#define MACHINE_DESTROYER(type)            \
    static void destroy_##type(void *part) \
    {                                      \
        type##_destroy(part);              \
    }

/* Adds what passed since `since_ns` to the phase; returns the time now. */
uint64_t machine_count_phase(struct vmm *machine, enum vmm_phase phase, uint64_t since_ns);

/* The CPUID that KVM supports without what the guest is not to have, waiting for it where it is still asked.
 * A borrow. */
int machine_cpuid(struct vmm *machine, const struct cpuid_table **table, struct vmm_error *error);

/* run.c: ends the run, unless it has ended before. Any thread. */
void machine_end(struct vmm *machine, enum vmm_end_reason reason, uint32_t value);

/* devices.c: how a device asks for a reset or to be switched off. */
struct power_line machine_power_line(struct vmm *machine);
/* What a serial port or a console's port is connected to; the machine's. */
int machine_add_char_backend(struct vmm *machine, const struct vmm_serial_config *config,
                             struct char_backend **backend, struct vmm_error *error);
/* -EEXIST, with a sentence, where device memory would lie on RAM. */
int machine_check_not_ram(const struct vmm *machine, const char *name, uint64_t base, uint64_t len,
                          struct vmm_error *error);

/* acpi.c: whether the image is to find ACPI tables, which go into guest memory; *reserved is what they take.
 */
bool machine_wants_acpi(const struct vmm *machine, const struct vmm_image *image);
int machine_put_acpi(struct vmm *machine, struct memory_map_entry *reserved, struct vmm_error *error);
/* Takes them out of guest memory again: their image was not loaded. Nothing where `len` is 0. */
void machine_remove_acpi(struct vmm *machine, const struct memory_map_entry *reserved);
/* Tells the interrupt controllers, now that there are some, of the events that came before. */
void machine_repeat_events(struct vmm *machine);
/* The reset port of ACPI and of PCI, once. */
int machine_add_portcf9(struct vmm *machine, struct vmm_error *error);

/* cmdline.c: the command line that a Linux kernel is to have where ACPI does not tell it of virtio-mmio
 * devices. The caller frees it. */
int machine_linux_cmdline(const struct vmm *machine, const char *cmdline, char **out,
                          struct vmm_error *error);

/* pci.c: the bus, which is made when it is first asked for: machines without a PCI device do without. */
int machine_pci(struct vmm *machine, struct pci **pci, struct vmm_error *error);
/* As firmware does before a kernel starts; nothing where there is no PCI. */
int machine_assign_pci(struct vmm *machine, struct vmm_error *error);
/* Where PCI's configuration space is, for the memory map; len 0: there is none. */
struct memory_map_entry machine_pci_reserved(const struct vmm *machine);
/* What the tables say of it, in *storage; NULL: there is none. */
const struct acpi_pci *machine_acpi_pci(const struct vmm *machine, struct acpi_pci *storage);
/* A bit for each GSI of its interrupt lines; 0: there is none. */
uint32_t machine_pci_gsis(const struct vmm *machine);

/* irq.c: makes the interrupt controllers that the machine is to have. */
int machine_create_irqchip(struct vmm *machine, struct vmm_error *error);
void machine_destroy_irqchip(struct vmm *machine);
/* The line of a GSI, for a device. */
struct irq_line machine_irq_line(struct vmm *machine, unsigned gsi);
/* Where message-signalled interrupts and doorbells of devices go. */
struct msi_line machine_msi_line(struct vmm *machine);
struct doorbell_line machine_doorbell_line(struct vmm *machine);
/* A local APIC of KVM's has ended an interrupt that an IOAPIC outside of it has sent. */
void machine_ioapic_eoi(void *machine, uint8_t vector);

/* virtio.c: gives the device its transport, which is destroyed before what was added earlier. */
int machine_attach_virtio(struct vmm *machine, struct virtio *virtio, enum vmm_transport transport,
                          struct vmm_error *error);
/* Whether virtio-mmio devices have IRQs of the PIC: where nobody tells the kernel that there is an IOAPIC. */
void machine_use_pic_for_virtio(struct vmm *machine, bool use);
/* Counts it, by the name of its kind and a number, among what vmm_stats_virtio lists. */
int machine_count_virtio(struct vmm *machine, struct virtio *virtio, const char *kind,
                         struct vmm_error *error);

/* console.c: writes out what is still there, at the end of a run. */
void machine_flush_output(struct vmm *machine); /* of serial ports, too */

/* disk.c: the threads of disks, from the begin of the run to its end. */
int machine_start_disks(struct vmm *machine, struct vmm_error *error);
void machine_stop_disks(struct vmm *machine);

/* qemu.c: the fw_cfg device, and what it is to tell of the image that was loaded. */
int machine_add_fwcfg(struct vmm *machine, struct vmm_error *error);
int machine_fill_fwcfg(struct vmm *machine, const struct memory_map_entry *reserved, size_t reserved_count,
                       struct vmm_error *error);

/* marks.c: CLOCK_MONOTONIC; and that the boot has reached a point, for the first time or not. Any thread. */
uint64_t machine_now_ns(void);
void machine_mark(struct vmm *machine, enum vmm_mark mark);
void machine_mark_serial(void *machine);

/* stats.c: the exits of all vCPUs so far, by reason, and a list of them as vmm_stats_exits makes it. */
void machine_count_exits(const struct vmm *machine, uint64_t counts[VCPU_REASON_LIMIT]);
size_t machine_list_exits(const uint64_t counts[VCPU_REASON_LIMIT], struct vmm_exit_stat *list,
                          size_t capacity);

/* regions.c: gives every memory region its engine, and the slots and zones that go with it. */
int machine_place_regions(struct vmm *machine, struct vmm_error *error);
/* Tells the devices of direct regions what the guest has written. While every vCPU is out. */
void machine_report_dirty(struct vmm *machine);
/* An instruction executed in software has written to host memory: KVM does not know. Any thread. */
void machine_ram_written(void *machine, gpa_t gpa, uint64_t len);
void machine_destroy_regions(struct vmm *machine);
/* The engine of a region as a word, for the statistics. */
const char *machine_engine_name(const struct vmm *machine, const struct bus_region *region);
bool machine_is_kernel_device(void *machine, gpa_t gpa, uint64_t len);
bool machine_is_kernel_port(void *machine, unsigned port, unsigned size);

/* cpus.c: once the machine has all that vCPUs are told of. */
int machine_create_cpus(struct vmm *machine, struct vmm_error *error);

/* msr.c: has KVM hand over the program's MSRs, before there are vCPUs; what is done about an access. */
int machine_filter_msrs(struct vmm *machine, struct vmm_error *error);
enum vcpu_msr machine_access_msr(void *machine, uint32_t index, bool is_write, uint64_t *value);

/* trace.c: from the beginning of the run to its end, where the machine is traced. */
int machine_start_trace(struct vmm *machine, struct vmm_error *error);
void machine_finish_trace(struct vmm *machine);
void machine_destroy_trace(struct vmm *machine);
/* Where the thread of a vCPU records to, or NULL. */
struct trace_thread *machine_cpu_trace(const struct vmm *machine, unsigned index);

/* image.c: the registers of the first vCPU where the image wants to be entered. */
int machine_start_state(struct vmm *machine, struct vcpu *vcpu);

#endif
