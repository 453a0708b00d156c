/* SPDX-License-Identifier: MIT
 *
 * The machine and its turns. Handing over is a lock and a condition; the clock runs only between the moment
 * when the vCPU's thread has its orders and the moment when the guest asks for more.
 */
#include "bench/guest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/error.h"
#include "bench/eventfd.h"
#include "bench/floor.h"
#include "bench/guest_devices.h"
#include "bench/payload.h"
#include "bench/second_cpu.h"
#include "bench/touch.h"
#include "guest/flat/mmio.h"
#include "vmm/machine.h"

#define BATCH_SECONDS 5 /* after which a guest is taken for lost */

enum turn { TURN_CALLER, TURN_GUEST, TURN_OVER };

struct bench_guest {
    struct bench_guest_config config;
    struct vmm *machine; /* NULL: to be made */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum turn turn;
    /* The batch: written by whoever does not have the turn. */
    bool bare, bare_failed, running, leaving;
    unsigned insn_len;
    struct batch batch;
    uint64_t start_ns, start_exits;
    uint64_t target_gpa;
    unsigned port;
    bool timed_out;
    struct bench_eventfd eventfd;
    long start_switches;
    struct vmm_end end;
    struct vmm_error error;
    char reason[200];
};

static long switch_count(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

static struct vcpu *vcpu_of(const struct bench_guest *guest)
{
    return guest->machine->cpus[0].vcpu;
}

/* ---- On the vCPU's thread, which is out of the guest by writing the control port ---- */

/* Whether the operation's own threads preempt each other, which is then a part of what is measured. */
static bool shares_cpu(const struct bench_guest_config *config)
{
    return !config->second_cpu && (config->has_waiter || config->has_second_cpu);
}

static void end_batch(struct bench_guest *guest)
{
    guest->batch.host_ns = (double)(bench_now_ns() - guest->start_ns);
    guest->batch.preempted = switch_count() != guest->start_switches && !shares_cpu(&guest->config);
    if (!guest->bare)
        guest->batch.exits = (double)(vcpu_of(guest)->exit_count - guest->start_exits) - 1;
}

static void wait_for_turn(struct bench_guest *guest)
{
    pthread_mutex_lock(&guest->lock);
    guest->turn = TURN_CALLER;
    pthread_cond_broadcast(&guest->changed);
    while (guest->turn == TURN_CALLER && !guest->leaving)
        pthread_cond_wait(&guest->changed, &guest->lock);
    guest->running = !guest->leaving;
    pthread_mutex_unlock(&guest->lock);
    guest->start_switches = switch_count();
    guest->start_exits = vcpu_of(guest)->exit_count;
    guest->start_ns = bench_now_ns();
}

/* The whole batch inside of this exit, which the first KVM_RUN completes. */
static void run_bare(struct bench_guest *guest)
{
    long exits = floor_run(vcpu_of(guest), MMIO_NEXT_PORT, guest->insn_len);
    guest->batch.exits = (double)exits;
    guest->bare_failed = exits < 0;
    end_batch(guest);
    guest->running = false;
}

/* What there is only once the machine runs: at the guest's first question. */
static void prepare_first(struct bench_guest *guest)
{
    struct vmm *machine = guest->machine;
    if (guest->config.has_second_cpu)
        second_cpu_take(guest->config.second_cpu, machine->cpus[1].thread);
    if (!guest->config.has_waiter || !guest->config.has_irqchip || guest->eventfd.irq_fd >= 0)
        return;
    int result = bench_eventfd_answer(&guest->eventfd, machine->vm_fd, MMIO_IRQFD_PIN);
    if (!result)
        return;
    error_set_errno(&guest->error, result, "KVM_IRQFD");
    machine_end(machine, VMM_END_STOPPED, 0);
}

static void control_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct bench_guest *guest = context;
    (void)offset, (void)size, (void)value;
    prepare_first(guest);
    if (guest->running)
        end_batch(guest);
    wait_for_turn(guest);
    while (guest->running && guest->bare) {
        run_bare(guest);
        if (guest->bare_failed) {
            machine_end(guest->machine, VMM_END_STOPPED, 0);
            break;
        }
        wait_for_turn(guest);
    }
}

static const struct vmm_region_ops control_ops = {.read = guest_read_zero, .write = control_write};

static void *run_guest(void *context)
{
    struct bench_guest *guest = context;
    vmm_run(guest->machine, &guest->end, &guest->error);
    pthread_mutex_lock(&guest->lock);
    guest->turn = TURN_OVER;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
    return NULL;
}

/* ---- The caller ---- */

static int put(struct bench_guest *guest, unsigned field, uint64_t value)
{
    return vmm_mem_write(guest->machine, MMIO_MAILBOX + field, &value, sizeof(value));
}

static uint64_t get(struct bench_guest *guest, unsigned field)
{
    uint64_t value = 0;
    vmm_mem_read(guest->machine, MMIO_MAILBOX + field, &value, sizeof(value));
    return value;
}

static void destroy_machine(struct bench_guest *guest)
{
    vmm_destroy(guest->machine);
    guest->machine = NULL;
    bench_eventfd_fini(&guest->eventfd);
}

static int make_machine(struct bench_guest *guest)
{
    struct vmm_config config = {.ram_bytes = BENCH_RAM_GPA + BENCH_RAM_BYTES,
                                .irqchip = guest->config.has_irqchip ? VMM_IRQCHIP_KERNEL : VMM_IRQCHIP_NONE,
                                .cpu_count = guest->config.has_second_cpu ? 2 : 1,
                                .no_run_ahead = guest->config.engine != BENCH_AHEAD};
    struct vmm_image image = {.path = "the benchmark's guest",
                              .bytes = payload_mmio,
                              .len = (size_t)(payload_mmio_end - payload_mmio),
                              .flat = VMM_FLAT_LONG64};
    int result = vmm_create(&config, &guest->machine, &guest->error);
    if (!result)
        result = guest_add_devices(guest->machine, &guest->config, &control_ops, guest, &guest->error);
    if (!result)
        result = vmm_load(guest->machine, &image, &guest->error);
    if (!result)
        result = put(guest, MMIO_RING, (uint64_t)guest->config.ring) || put(guest, MMIO_COUNT, 1) ||
                 put(guest, MMIO_MORE, 1);
    if (result || !guest->config.has_eventfd)
        return result;
    result = bench_eventfd_init(&guest->eventfd, guest->machine->vm_fd, guest->config.has_waiter);
    if (!result && guest->config.has_waiter)
        second_cpu_take(guest->config.second_cpu, guest->eventfd.waiter);
    return result ? error_set_errno(&guest->error, result, "KVM_IOEVENTFD") : 0;
}

static bool wait_for_guest(struct bench_guest *guest)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += BATCH_SECONDS;
    pthread_mutex_lock(&guest->lock);
    while (guest->turn == TURN_GUEST && !guest->timed_out)
        guest->timed_out = pthread_cond_timedwait(&guest->changed, &guest->lock, &until) == ETIMEDOUT;
    if (guest->turn == TURN_GUEST) {
        vmm_stop(guest->machine);
        while (guest->turn == TURN_GUEST)
            pthread_cond_wait(&guest->changed, &guest->lock);
    }
    bool is_alive = guest->turn == TURN_CALLER;
    pthread_mutex_unlock(&guest->lock);
    return is_alive;
}

static void end_machine(struct bench_guest *guest)
{
    vmm_stop(guest->machine);
    pthread_mutex_lock(&guest->lock);
    guest->leaving = true;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
    pthread_join(guest->thread, NULL);
    destroy_machine(guest);
}

static const char *keep_reason(struct bench_guest *guest, const char *before, const char *text)
{
    snprintf(guest->reason, sizeof(guest->reason), "%s%.150s", before, text);
    return guest->reason;
}

/* Makes the machine and lets the guest come to its first question. */
static bool start_machine(struct bench_guest *guest, const char **reason)
{
    guest->turn = TURN_GUEST;
    guest->timed_out = false;
    guest->running = guest->leaving = guest->bare = guest->bare_failed = false;
    guest->error = (struct vmm_error){0};
    if (make_machine(guest) || pthread_create(&guest->thread, NULL, run_guest, guest)) {
        *reason = keep_reason(guest, "no machine: ", guest->error.message);
    } else if (wait_for_guest(guest)) {
        return true;
    } else {
        *reason = keep_reason(guest, "the guest does not start: ",
                              *guest->error.message ? guest->error.message : vmm_end_name(guest->end.reason));
        pthread_join(guest->thread, NULL);
    }
    destroy_machine(guest);
    return false;
}

/* The length of the one instruction that touches the device, for the floor. */
static unsigned touching_len(unsigned operation)
{
    switch (operation) {
    case MMIO_OP_STORE:
    case MMIO_OP_LOAD:
        return 2;
    case MMIO_OP_ADD:
    case MMIO_OP_STORE16:
        return 3;
    default:
        return 0;
    }
}

static uint64_t target_of(const struct bench_guest *guest, unsigned operation)
{
    if (guest->target_gpa)
        return guest->target_gpa;
    return operation == MMIO_OP_TOUCH ? BENCH_RAM_GPA : BENCH_DEVICE_GPA;
}

static bool give_orders(struct bench_guest *guest, unsigned operation, unsigned count)
{
    guest->insn_len = touching_len(operation);
    guest->batch = (struct batch){.exits = -1};
    put(guest, MMIO_OP, operation);
    put(guest, MMIO_COUNT, count);
    put(guest, MMIO_TARGET, target_of(guest, operation));
    put(guest, MMIO_IO_PORT, guest->port ? guest->port : BENCH_PORT);
    pthread_mutex_lock(&guest->lock);
    guest->turn = TURN_GUEST;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
    return wait_for_guest(guest);
}

static bool explain_end(struct bench_guest *guest, const char **reason)
{
    const char *text = guest->timed_out        ? "the guest does not come back"
                       : guest->bare_failed    ? "the bare loop does not know what to do about an exit"
                       : *guest->error.message ? guest->error.message
                       : guest->end.reason == VMM_END_DEBUG_EXIT ? "the guest got an exception"
                                                                 : vmm_end_name(guest->end.reason);
    *reason = keep_reason(guest, "not here: ", text);
    pthread_join(guest->thread, NULL);
    destroy_machine(guest);
    return false;
}

static bool run_batch(struct bench_guest *guest, unsigned operation, unsigned count, struct batch *batch,
                      const char **reason)
{
    if (!guest->machine && !start_machine(guest, reason))
        return false;
    unsigned asked = count;
    if (operation == MMIO_OP_TOUCH &&
        !touch_prepare(guest->machine, &guest->config, target_of(guest, operation), &count, reason))
        return false;
    if (!give_orders(guest, operation, count))
        return explain_end(guest, reason);
    double scale = (double)asked / count;
    *batch = guest->batch;
    batch->ns = (double)(get(guest, MMIO_END) - get(guest, MMIO_BEGIN)) / bench_tsc_per_ns() * scale;
    batch->host_ns *= scale;
    batch->exits *= scale;
    return true;
}

bool bench_guest_batch(void *context, unsigned operation, unsigned count, struct batch *batch,
                       const char **reason)
{
    struct bench_guest *guest = context;
    guest->bare = false;
    return run_batch(guest, operation, count, batch, reason);
}

bool bench_guest_floor(void *context, unsigned operation, unsigned count, struct batch *batch,
                       const char **reason)
{
    struct bench_guest *guest = context;
    guest->bare = true;
    return run_batch(guest, operation, count, batch, reason);
}

void bench_guest_aim(struct bench_guest *guest, uint64_t target_gpa, unsigned port)
{
    guest->target_gpa = target_gpa;
    guest->port = port;
}

int bench_guest_create(const struct bench_guest_config *config, struct bench_guest **out)
{
    struct bench_guest *guest = calloc(1, sizeof(*guest));
    if (!guest)
        return -ENOMEM;
    guest->config = *config;
    guest->eventfd.fd = guest->eventfd.irq_fd = -1;
    pthread_mutex_init(&guest->lock, NULL);
    pthread_cond_init(&guest->changed, NULL);
    *out = guest;
    return 0;
}

void bench_guest_destroy(struct bench_guest *guest)
{
    if (!guest)
        return;
    if (guest->machine)
        end_machine(guest);
    pthread_cond_destroy(&guest->changed);
    pthread_mutex_destroy(&guest->lock);
    free(guest);
}
