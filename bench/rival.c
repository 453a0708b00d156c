/* SPDX-License-Identifier: MIT
 *
 * QEMU as a rival. See rival.h. Its first 16 MiB of RAM are the file with the mailbox; the others are of a
 * node of their own, as QEMU makes RAM by itself, for first touches. Devices that have to be found and told
 * what to do are so by the guest, which is ordered to for a batch each.
 */
#include "bench/rival.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/types.h"
#include "bench/guest.h"
#include "bench/payload.h"
#include "bench/qemu.h"
#include "bench/second_cpu.h"
#include "bench/task.h"
#include "guest/flat/mmio.h"

#define SHARED_BYTES  (16 * MIB)
#define FRESH_GPA     SHARED_BYTES
#define FRESH_BYTES   (31 * MIB) /* of 32: firmware has been at the end */
#define START_SECONDS 60         /* its firmware is slow where ring 0 is interpreted */
#define BATCH_SECONDS 10

#define HPET_GPA      0xfed00000u
#define POST_PORT     0x80u
#define REGISTER_PORT 0xe0u

/* PCI configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2). */
#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA    0xcfcu
#define CONFIG_ENABLE  0x80000000u
#define BAR0           0x10u
#define BAR1           0x14u
#define BAR_IO         1u

/* pci-testdev: a write of 1 to the first byte of a BAR arms its wildcard eventfd, which is behind half of it.
 */
#define TESTDEV             4u /* the device's number on the bus */
#define TESTDEV_PORT        0xa00u
#define TESTDEV_WILDCARD    1u
#define TESTDEV_MEMORY_TEST (2048u + 1)
#define TESTDEV_PORT_TEST   (128u + 4)

#define E1000       5u
#define E1000_RDBAL 0x2800u

struct rival {
    int ring;
    const int *second_cpu;
    struct qemu qemu;
    pid_t first_cpu;  /* the thread of its guest's first vCPU */
    uint64_t batches; /* ordered */
    bool was_running;
    bool has_no_devices;       /* this QEMU does not know them */
    enum rival_target target;  /* of the batches */
    enum rival_target ready;   /* what has been set up in this process, */
    uint64_t target_gpa, port; /* and where it is */
    uint64_t fresh_pages;      /* that were touched */
    unsigned operation;        /* the last one; where it failed, the next gets a new process */
};

int rival_create(int ring, const int *second_cpu, struct rival **out)
{
    struct rival *rival = calloc(1, sizeof(*rival));
    if (!rival)
        return -ENOMEM;
    *rival = (struct rival){.ring = ring, .second_cpu = second_cpu, .qemu = qemu_nothing};
    *out = rival;
    return 0;
}

void rival_destroy(struct rival *rival)
{
    if (!rival)
        return;
    qemu_clear(&rival->qemu);
    free(rival);
}

void rival_aim(struct rival *rival, enum rival_target target)
{
    rival->target = target;
}

static volatile uint64_t *field(struct rival *rival, unsigned offset)
{
    return (volatile uint64_t *)(rival->qemu.ram + MMIO_MAILBOX + offset);
}

/* ---- The process ---- */

static int spawn(struct rival *rival)
{
    /* clang-format off */
    static const char *const plain[] = {
        "-m", "48", "-machine", "pc", "-smp", "2", "-name", "debug-threads=on",
        "-object", "memory-backend-ram,id=fresh,size=32M",
        "-numa", "node,cpus=0-1,memdev=ram", "-numa", "node,memdev=fresh",
        NULL};
    static const char *const with_devices[] = {
        "-m", "48", "-machine", "pc", "-smp", "2", "-name", "debug-threads=on",
        "-object", "memory-backend-ram,id=fresh,size=32M",
        "-numa", "node,cpus=0-1,memdev=ram", "-numa", "node,memdev=fresh",
        "-device", "pc-testdev", "-device", "pci-testdev,addr=4", "-device", "e1000,addr=5,romfile=",
        NULL};
    /* clang-format on */
    /* QEMU asks for huge pages; what a process is told here, it keeps over exec (prctl(2)). */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    int result = qemu_start(&rival->qemu, MMIO_NEXT_PORT, rival->has_no_devices ? plain : with_devices);
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    return result;
}

static bool start(struct rival *rival, const char **reason)
{
    if (qemu_make_files(&rival->qemu, SHARED_BYTES, payload_mmio, (size_t)(payload_mmio_end - payload_mmio)))
        return qemu_give_up(&rival->qemu, "no memory for QEMU's guest", reason);
    *field(rival, MMIO_RING) = (uint64_t)rival->ring;
    *field(rival, MMIO_COUNT) = 1;
    *field(rival, MMIO_MORE) = 2;
    *field(rival, MMIO_ORDERS) = 1;
    rival->batches = 1;
    rival->fresh_pages = 0;
    rival->ready = RIVAL_NONE;
    if (spawn(rival))
        return qemu_give_up(&rival->qemu, "qemu-system-x86_64 is not installed", reason);
    rival->was_running = qemu_wait(&rival->qemu, START_SECONDS, reason);
    if (rival->was_running)
        second_cpu_take_task(rival->second_cpu, task_find(rival->qemu.pid, "CPU 1/KVM"));
    rival->first_cpu = task_find(rival->qemu.pid, "CPU 0/KVM");
    return rival->was_running;
}

/* A distribution's QEMU may lack the test devices. */
static bool start_anyhow(struct rival *rival, const char **reason)
{
    if (start(rival, reason))
        return true;
    if (rival->has_no_devices || bench_is_interrupted())
        return false;
    rival->has_no_devices = true;
    qemu_clear(&rival->qemu);
    return start(rival, reason);
}

static bool is_running(struct rival *rival, unsigned operation, const char **reason)
{
    bool fails_again = !rival->was_running || rival->operation == operation;
    *reason = rival->qemu.reason;
    rival->operation = operation;
    if (rival->qemu.has_failed && fails_again)
        return false;
    if (rival->qemu.has_failed)
        qemu_clear(&rival->qemu);
    return rival->qemu.pid || start_anyhow(rival, reason);
}

/* One batch of what the mailbox says. */
static bool order(struct rival *rival, unsigned operation, unsigned count, const char **reason)
{
    *field(rival, MMIO_OP) = operation;
    *field(rival, MMIO_COUNT) = count;
    /* Partner: the guest, which reads the orders behind this. */
    __atomic_store_n(field(rival, MMIO_ORDERS), ++rival->batches, __ATOMIC_RELEASE);
    qemu_go_on(&rival->qemu);
    return qemu_wait(&rival->qemu, BATCH_SECONDS, reason);
}

/* ---- Its devices ---- */

static bool write_port(struct rival *rival, unsigned port, uint32_t value, const char **reason)
{
    *field(rival, MMIO_IO_PORT) = port;
    *field(rival, MMIO_VALUE) = value;
    return order(rival, MMIO_OP_OUT_VALUE, 1, reason);
}

static bool select_config(struct rival *rival, unsigned device, unsigned reg, const char **reason)
{
    return write_port(rival, CONFIG_ADDRESS, CONFIG_ENABLE | device << 11 | reg, reason);
}

/* The address of its memory BAR, which the firmware has given to it. */
static bool read_bar0(struct rival *rival, unsigned device, uint64_t *gpa, const char **reason)
{
    if (!select_config(rival, device, BAR0, reason))
        return false;
    *field(rival, MMIO_IO_PORT) = CONFIG_DATA;
    if (!order(rival, MMIO_OP_IN_VALUE, 1, reason))
        return false;
    *gpa = *field(rival, MMIO_VALUE) & 0xfffffff0u;
    return true;
}

static bool arm_memory(struct rival *rival, const char **reason)
{
    uint64_t gpa;
    if (!read_bar0(rival, TESTDEV, &gpa, reason))
        return false;
    *field(rival, MMIO_TARGET) = gpa;
    *field(rival, MMIO_VALUE) = TESTDEV_WILDCARD;
    rival->target_gpa = gpa + TESTDEV_MEMORY_TEST;
    return order(rival, MMIO_OP_STORE_VALUE, 1, reason);
}

/* Its ports are moved to where ring 3 may use them, too. */
static bool arm_port(struct rival *rival, const char **reason)
{
    rival->port = TESTDEV_PORT + TESTDEV_PORT_TEST;
    return select_config(rival, TESTDEV, BAR1, reason) &&
           write_port(rival, CONFIG_DATA, TESTDEV_PORT | BAR_IO, reason) &&
           write_port(rival, TESTDEV_PORT, TESTDEV_WILDCARD, reason);
}

static bool find_coalesced(struct rival *rival, const char **reason)
{
    bool is_found = read_bar0(rival, E1000, &rival->target_gpa, reason);
    rival->target_gpa += E1000_RDBAL;
    return is_found;
}

static bool set_up(struct rival *rival, const char **reason)
{
    switch (rival->target) {
    case RIVAL_NONE:
    case RIVAL_KVM:
    case RIVAL_TWO_CPUS:
    case RIVAL_FRESH:
        return true;
    case RIVAL_POST:
        rival->port = POST_PORT;
        return true;
    case RIVAL_PCI:
        rival->port = CONFIG_ADDRESS;
        return true;
    case RIVAL_REGISTER:
        rival->port = REGISTER_PORT;
        return true;
    case RIVAL_HPET:
        rival->target_gpa = HPET_GPA;
        return true;
    case RIVAL_EVENT_PORT:
        return arm_port(rival, reason);
    case RIVAL_EVENT_MEMORY:
        return arm_memory(rival, reason);
    case RIVAL_COALESCED:
        return find_coalesced(rival, reason);
    }
    return false;
}

static bool needs_device(enum rival_target target)
{
    return target == RIVAL_REGISTER || target >= RIVAL_EVENT_PORT;
}

static bool is_ready(struct rival *rival, const char **reason)
{
    if (rival->has_no_devices && needs_device(rival->target)) {
        *reason = "this QEMU has no test devices";
        return false;
    }
    if (rival->ready == rival->target)
        return true;
    if (!set_up(rival, reason))
        return false;
    rival->ready = rival->target;
    return true;
}

/* So many pages that nobody has touched: where there are no more, of a new process. */
static bool find_fresh(struct rival *rival, unsigned count, const char **reason)
{
    const uint64_t pages = FRESH_BYTES / PAGE_BYTES;
    if (count > pages) {
        *reason = "QEMU's guest has not as many pages";
        return false;
    }
    if (count > pages - rival->fresh_pages) {
        qemu_clear(&rival->qemu);
        if (!start(rival, reason))
            return false;
    }
    rival->target_gpa = FRESH_GPA + rival->fresh_pages * PAGE_BYTES;
    rival->fresh_pages += count;
    return true;
}

/* Once it is by the bell: the guest's vCPU spins until this process runs, and stops it. */
static bool was_preempted(const struct rival *rival, long before)
{
    bool shares_cpu = rival->target == RIVAL_TWO_CPUS && !rival->second_cpu;
    return !shares_cpu && task_count_preemptions(rival->first_cpu) > before + 1;
}

bool rival_batch(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    struct rival *rival = context;
    if (!is_running(rival, operation, reason) || !is_ready(rival, reason) ||
        (rival->target == RIVAL_FRESH && !find_fresh(rival, count, reason)))
        return false;
    *field(rival, MMIO_TARGET) = rival->target_gpa;
    *field(rival, MMIO_IO_PORT) = rival->port;
    long before = task_count_preemptions(rival->first_cpu);
    if (!order(rival, operation, count, reason))
        return false;
    batch->preempted = was_preempted(rival, before);
    batch->ns = (double)(*field(rival, MMIO_END) - *field(rival, MMIO_BEGIN)) / bench_tsc_per_ns();
    return true;
}
