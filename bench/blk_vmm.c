/* SPDX-License-Identifier: MIT
 *
 * A machine of libvmm with one disk, and the tiny kernel in it, which does the load. The guest comes to a
 * port when it wants orders, and its vCPU's thread waits there, so that nothing of it runs between batches.
 *
 * Threads: the caller's, and the vCPU's; two semaphores hand the turn over.
 */
#include "bench/blk.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/kvm_stat.h"
#include "bench/payload.h"
#include "vmm/machine.h"

#define DEBUG_EXIT_PORT  0xf4u
#define RAM_BYTES        (32 * MIB)
#define PATIENCE_SECONDS 2
#define BATCH_SECONDS    60 /* after which a guest is taken for lost: some start slowly */

struct blk_vmm {
    struct blk_way way;
    struct vmm *machine; /* NULL: to be made */
    bool has_failed;
    pthread_t thread;
    sem_t guest_waits, may_go;
    bool is_over; /* written before the semaphore is posted */
    struct bench_blk_mailbox *box;
    struct kvm_stat kernel_exits;
    uint64_t start_exits, exits; /* to this process, during the batch */
    struct vmm_end end;
    int result;
    struct vmm_error error;
    char reason[200];
};

/* ---- On the vCPU's thread ---- */

static void on_port(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct blk_vmm *guest = context;
    (void)offset, (void)size, (void)value;
    const struct vcpu *vcpu = guest->machine->cpus[0].vcpu;
    guest->exits = vcpu->exit_count - guest->start_exits - 1;
    sem_post(&guest->guest_waits);
    while (sem_wait(&guest->may_go) && errno == EINTR)
        ;
    guest->start_exits = vcpu->exit_count;
}

static uint64_t on_port_read(void *context, uint64_t offset, unsigned size)
{
    (void)context, (void)offset, (void)size;
    return 0;
}

static const struct vmm_region_ops port_ops = {.read = on_port_read, .write = on_port};

static void *run_guest(void *context)
{
    struct blk_vmm *guest = context;
    guest->result = vmm_run(guest->machine, &guest->end, &guest->error);
    guest->is_over = true;
    sem_post(&guest->guest_waits);
    return NULL;
}

/* ---- The caller ---- */

static int make_machine(struct blk_vmm *guest)
{
    const struct blk_setup *setup = guest->way.setup;
    const struct vmm_config config = {.ram_bytes = RAM_BYTES, .irqchip = VMM_IRQCHIP_KERNEL};
    const struct vmm_disk_config disk = {.path = setup->path,
                                         .read_only = setup->is_read_only,
                                         .cache = setup->is_direct ? VMM_DISK_CACHE_NONE
                                                                   : VMM_DISK_CACHE_WRITEBACK};
    const struct vmm_image image = {.path = "guest.img",
                                    .bytes = payload_kernel,
                                    .len = (size_t)(payload_kernel_end - payload_kernel),
                                    .cmdline = setup->is_packed ? "cpus=1 bench=blk-packed"
                                                                : "cpus=1 bench=blk"};
    int result = vmm_create(&config, &guest->machine, &guest->error);
    if (!result)
        result = vmm_add_debug_exit(guest->machine, DEBUG_EXIT_PORT, &guest->error);
    if (!result)
        result = vmm_add_region(guest->machine, VMM_SPACE_PORTS, "control", BENCH_BLK_PORT, 1, &port_ops,
                                guest, &guest->error);
    if (!result)
        result = vmm_add_disk(guest->machine, &disk, &guest->error);
    if (!result)
        result = vmm_load(guest->machine, &image, &guest->error);
    if (!result)
        guest->box = guest_mem_ptr(guest->machine->memory, BENCH_BLK_GPA, sizeof(*guest->box));
    return result;
}

static bool give_up(struct blk_vmm *guest, const char *text, const char **reason)
{
    snprintf(guest->reason, sizeof(guest->reason), "%.199s", text);
    guest->has_failed = true;
    *reason = guest->reason;
    return false;
}

static void end_machine(struct blk_vmm *guest)
{
    if (!guest->machine)
        return;
    vmm_stop(guest->machine);
    sem_post(&guest->may_go);
    pthread_join(guest->thread, NULL);
    kvm_stat_close(&guest->kernel_exits);
    vmm_destroy(guest->machine);
    guest->machine = NULL;
}

/* As sem_wait, for so many seconds at most; a few where the user has asked for the end. */
static bool wait_seconds(sem_t *semaphore, unsigned seconds)
{
    for (unsigned passed = 0; passed < seconds; passed++) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        if (sem_timedwait(semaphore, &until) == 0)
            return true;
        if (bench_is_interrupted() && passed >= PATIENCE_SECONDS)
            return false;
    }
    return false;
}

/* Until the guest comes to its port. */
static bool wait_for_guest(struct blk_vmm *guest, const char **reason)
{
    bool has_come = wait_seconds(&guest->guest_waits, BATCH_SECONDS);
    if (has_come && !guest->is_over)
        return true;
    char text[200];
    if (has_come && !guest->result)
        snprintf(text, sizeof(text), "the guest ended: %s (%u)", vmm_end_name(guest->end.reason),
                 guest->end.value);
    else
        snprintf(text, sizeof(text), "the guest %.180s",
                 has_come ? guest->error.message : "does not come back");
    end_machine(guest);
    return give_up(guest, text, reason);
}

/* Makes the machine and lets the guest come to its first question. */
static bool start(struct blk_vmm *guest, const char **reason)
{
    if (make_machine(guest) || pthread_create(&guest->thread, NULL, run_guest, guest)) {
        vmm_destroy(guest->machine);
        guest->machine = NULL;
        return give_up(guest, *guest->error.message ? guest->error.message : "no thread", reason);
    }
    if (!wait_for_guest(guest, reason))
        return false;
    const char *failure = blk_mailbox_failure(guest->box);
    if (failure)
        return give_up(guest, failure, reason);
    guest->kernel_exits = kvm_stat_open(guest->machine->cpus[0].vcpu->fd, "exits");
    return true;
}

bool blk_vmm_batch(void *context, unsigned operation, unsigned count, struct batch *batch,
                   const char **reason)
{
    struct blk_vmm *guest = context;
    *reason = guest->reason;
    if (guest->has_failed || (!guest->machine && !start(guest, reason)))
        return false;
    blk_mailbox_put(&guest->way, guest->box, operation, count);
    double start_cpu_ns = blk_cpu_ns(), start_exits = kvm_stat_read(&guest->kernel_exits);
    sem_post(&guest->may_go);
    if (!wait_for_guest(guest, reason))
        return false;
    if (!blk_mailbox_take(&guest->way, guest->box, batch, reason))
        return give_up(guest, *reason, reason);
    guest->way.io.cpu_ns = blk_cpu_ns() - start_cpu_ns;
    if (start_exits >= 0)
        guest->way.io.kernel_exits = kvm_stat_read(&guest->kernel_exits) - start_exits;
    batch->exits = (double)guest->exits;
    return true;
}

int blk_vmm_create(const struct blk_setup *setup, struct blk_vmm **out)
{
    struct blk_vmm *guest = calloc(1, sizeof(*guest));
    if (!guest)
        return -ENOMEM;
    guest->way.setup = setup;
    guest->kernel_exits.fd = -1;
    sem_init(&guest->guest_waits, 0, 0);
    sem_init(&guest->may_go, 0, 0);
    *out = guest;
    return 0;
}

void blk_vmm_destroy(struct blk_vmm *guest)
{
    if (!guest)
        return;
    end_machine(guest);
    sem_destroy(&guest->may_go);
    sem_destroy(&guest->guest_waits);
    free(guest);
}
