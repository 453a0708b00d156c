/* SPDX-License-Identifier: MIT
 *
 * Two vCPUs that count in memory, each on its thread: ours and a bare one. Only one runs at a time. A stop is
 * timed when the count was seen to grow, so that the vCPU is in the guest.
 */
#include "bench/kick.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/second_cpu.h"
#include "vcpu/vcpu.h"
#include "vmm/host.h"
#include "vmm/machine.h"

#define COUNTER_GPA 0x500u
#define CODE_GPA    0x7c00u
#define RAM_BYTES   (1u << 20)
#define WAIT_NS     2000000000u /* for the count to grow */

/* inc word [0x500]; jmp to it */
static const uint8_t code[] = {0xff, 0x06, 0x00, 0x05, 0xeb, 0xfa};

struct kick {
    struct vmm *machine;
    pthread_t machine_thread;
    bool has_machine_thread;
    struct bare {
        struct vcpu_machine vcpu_machine;
        struct vcpu *vcpu;
        uint8_t *ram;
        int vm_fd;
        pthread_t thread;
        bool has_thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool is_stopped, is_over;
    } bare;
    struct host host;
};

static void *run_machine(void *context)
{
    struct kick *kick = context;
    struct vmm_end end;
    vmm_run(kick->machine, &end, NULL);
    return NULL;
}

/* Starts parked. */
static int start_machine(struct kick *kick)
{
    const struct vmm_config config = {.ram_bytes = RAM_BYTES};
    const struct vmm_image image = {.bytes = code, .len = sizeof(code), .flat = VMM_FLAT_REAL16};
    int result = vmm_create(&config, &kick->machine, NULL);
    if (!result)
        result = vmm_load(kick->machine, &image, NULL);
    if (result)
        return result;
    vmm_pause(kick->machine);
    result = -pthread_create(&kick->machine_thread, NULL, run_machine, kick);
    kick->has_machine_thread = !result;
    return result;
}

static void *run_bare(void *context)
{
    struct bare *bare = context;
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    pthread_mutex_lock(&bare->lock);
    while (!bare->is_over) {
        bare->is_stopped = true;
        pthread_cond_broadcast(&bare->changed);
        while (bare->is_stopped && !bare->is_over)
            pthread_cond_wait(&bare->changed, &bare->lock);
        if (bare->is_over)
            break;
        bare->vcpu->run->immediate_exit = 0;
        pthread_mutex_unlock(&bare->lock);
        while (!__atomic_load_n(&bare->vcpu->run->immediate_exit, __ATOMIC_ACQUIRE) &&
               (ioctl(bare->vcpu->fd, KVM_RUN, 0) == 0 || errno == EINTR))
            ;
        pthread_mutex_lock(&bare->lock);
    }
    pthread_mutex_unlock(&bare->lock);
    return NULL;
}

static int set_registers(struct vcpu *vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = CODE_GPA, .rflags = 2};
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
        return -errno;
    sregs.cs.base = sregs.cs.selector = 0;
    return ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_SET_REGS, &regs) ? -errno : 0;
}

/* Else the thread, not yet there, would park behind the first word to go. */
static void wait_until_stopped(struct bare *bare)
{
    pthread_mutex_lock(&bare->lock);
    while (!bare->is_stopped)
        pthread_cond_wait(&bare->changed, &bare->lock);
    pthread_mutex_unlock(&bare->lock);
}

static int start_bare(struct kick *kick)
{
    struct bare *bare = &kick->bare;
    bare->vm_fd = ioctl(kick->host.kvm_fd, KVM_CREATE_VM, 0);
    bare->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES,
                                               .userspace_addr = (unsigned long)bare->ram};
    if (bare->vm_fd < 0 || bare->ram == MAP_FAILED || ioctl(bare->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
        return -errno;
    memcpy(bare->ram + CODE_GPA, code, sizeof(code));
    bare->vcpu_machine = (struct vcpu_machine){.vm_fd = bare->vm_fd, .run_bytes = kick->host.run_bytes};
    int result = vcpu_create(&bare->vcpu_machine, 0, &bare->vcpu, NULL);
    if (!result)
        result = set_registers(bare->vcpu);
    if (!result)
        result = -pthread_create(&bare->thread, NULL, run_bare, bare);
    bare->has_thread = !result;
    if (!result)
        wait_until_stopped(bare);
    return result;
}

int kick_create(const int *second_cpu, struct kick **out)
{
    struct kick *kick = calloc(1, sizeof(*kick));
    if (!kick)
        return -ENOMEM;
    kick->host.kvm_fd = kick->bare.vm_fd = -1;
    kick->bare.ram = MAP_FAILED;
    pthread_mutex_init(&kick->bare.lock, NULL);
    pthread_cond_init(&kick->bare.changed, NULL);
    int result = host_open(&kick->host, NULL);
    if (!result)
        result = start_machine(kick);
    if (!result)
        result = start_bare(kick);
    if (result) {
        kick_destroy(kick);
        return result;
    }
    second_cpu_take(second_cpu, kick->machine_thread);
    second_cpu_take(second_cpu, kick->bare.thread);
    *out = kick;
    return 0;
}

/* ---- The caller's side ---- */

static void bare_stop(struct kick *kick)
{
    struct bare *bare = &kick->bare;
    pthread_mutex_lock(&bare->lock);
    __atomic_store_n(&bare->vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(bare->thread, kick->machine->config.kick_signal);
    while (!bare->is_stopped)
        pthread_cond_wait(&bare->changed, &bare->lock);
    pthread_mutex_unlock(&bare->lock);
}

static void bare_go(struct kick *kick)
{
    pthread_mutex_lock(&kick->bare.lock);
    kick->bare.is_stopped = false;
    pthread_cond_broadcast(&kick->bare.changed);
    pthread_mutex_unlock(&kick->bare.lock);
}

static void ours_stop(struct kick *kick)
{
    vmm_pause(kick->machine);
}

static void ours_go(struct kick *kick)
{
    vmm_resume(kick->machine);
}

static bool wait_for_count(const uint8_t *counter)
{
    uint64_t until = bench_now_ns() + WAIT_NS;
    uint8_t before = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (__atomic_load_n(counter, __ATOMIC_RELAXED) == before) {
        if (bench_now_ns() > until)
            return false;
        sched_yield();
    }
    return true;
}

static bool time_stops(struct kick *kick, unsigned count, struct batch *batch, const char **reason,
                       bool is_bare)
{
    const uint8_t *counter = is_bare ? kick->bare.ram + COUNTER_GPA
                                     : guest_mem_ptr(kick->machine->memory, COUNTER_GPA, 2);
    *batch = (struct batch){.exits = -1};
    for (unsigned i = 0; i < count; i++) {
        is_bare ? bare_go(kick) : ours_go(kick);
        if (!wait_for_count(counter)) {
            *reason = "the guest does not run";
            return false;
        }
        uint64_t start_ns = bench_now_ns();
        is_bare ? bare_stop(kick) : ours_stop(kick);
        batch->ns += (double)(bench_now_ns() - start_ns);
    }
    return true;
}

bool kick_ours(void *kick, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    (void)operation;
    return time_stops(kick, count, batch, reason, false);
}

bool kick_floor(void *kick, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    (void)operation;
    return time_stops(kick, count, batch, reason, true);
}

static void end_bare(struct kick *kick)
{
    struct bare *bare = &kick->bare;
    if (bare->has_thread) {
        pthread_mutex_lock(&bare->lock);
        bare->is_over = true;
        __atomic_store_n(&bare->vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_cond_broadcast(&bare->changed);
        pthread_mutex_unlock(&bare->lock);
        pthread_kill(bare->thread, kick->machine->config.kick_signal);
        pthread_join(bare->thread, NULL);
    }
    vcpu_destroy(bare->vcpu);
    if (bare->vm_fd >= 0)
        close(bare->vm_fd);
    if (bare->ram != MAP_FAILED)
        munmap(bare->ram, RAM_BYTES);
    pthread_cond_destroy(&bare->changed);
    pthread_mutex_destroy(&bare->lock);
}

void kick_destroy(struct kick *kick)
{
    if (!kick)
        return;
    end_bare(kick);
    if (kick->has_machine_thread) {
        vmm_stop(kick->machine);
        pthread_join(kick->machine_thread, NULL);
    }
    vmm_destroy(kick->machine);
    host_close(&kick->host);
    free(kick);
}
