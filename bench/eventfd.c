/* SPDX-License-Identifier: MIT
 *
 * KVM_IOEVENTFD. See eventfd.h.
 */
#include "bench/eventfd.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define END (1ull << 62) /* written for the waiting thread to end */

static void *wait_for_events(void *context)
{
    const struct bench_eventfd *event = context;
    uint64_t count = 0;
    while (read(event->fd, &count, sizeof(count)) == sizeof(count) && count < END) {
        int irq_fd = __atomic_load_n(&event->irq_fd, __ATOMIC_ACQUIRE);
        if (irq_fd >= 0 && eventfd_write(irq_fd, 1))
            break;
    }
    return NULL;
}

int bench_eventfd_answer(struct bench_eventfd *event, int vm_fd, unsigned gsi)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    if (fd < 0)
        return -errno;
    if (ioctl(vm_fd, KVM_IRQFD, &irqfd)) {
        int result = -errno;
        close(fd);
        return result;
    }
    __atomic_store_n(&event->irq_fd, fd, __ATOMIC_RELEASE);
    return 0;
}

int bench_eventfd_init(struct bench_eventfd *event, int vm_fd, bool has_waiter)
{
    *event = (struct bench_eventfd){.fd = eventfd(0, EFD_CLOEXEC), .irq_fd = -1};
    struct kvm_ioeventfd port = {
        .addr = BENCH_EVENT_PORT, .len = 1, .fd = event->fd, .flags = KVM_IOEVENTFD_FLAG_PIO};
    struct kvm_ioeventfd memory = {.addr = BENCH_EVENT_GPA, .len = 4, .fd = event->fd};
    if (event->fd < 0 || ioctl(vm_fd, KVM_IOEVENTFD, &port) || ioctl(vm_fd, KVM_IOEVENTFD, &memory))
        return -errno;
    int result = has_waiter ? -pthread_create(&event->waiter, NULL, wait_for_events, event) : 0;
    event->has_waiter = has_waiter && !result;
    return result;
}

void bench_eventfd_fini(struct bench_eventfd *event)
{
    if (event->has_waiter && eventfd_write(event->fd, END) == 0)
        pthread_join(event->waiter, NULL);
    if (event->irq_fd >= 0)
        close(event->irq_fd);
    if (event->fd >= 0)
        close(event->fd);
    *event = (struct bench_eventfd){.fd = -1, .irq_fd = -1};
}
