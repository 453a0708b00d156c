/* SPDX-License-Identifier: MIT
 *
 * A thread that waits for the signals: a handler may not take the machine's lock.
 */
#include "vmm/cli/stop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void find_signals(sigset_t *set)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action;
    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (!sigaction(numbers[i], NULL, &action) && action.sa_handler != SIG_IGN)
            sigaddset(set, numbers[i]);
}

static void *watch_signals(void *argument)
{
    struct stop_watch *watch = argument;
    struct pollfd fds[] = {{.fd = watch->over_fd, .events = POLLIN},
                           {.fd = watch->signal_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    poll(fds, 2, -1);
    if (!(fds[1].revents & POLLIN) || read(watch->signal_fd, &info, sizeof(info)) != sizeof(info))
        return NULL;
    watch->number = (int)info.ssi_signo;
    vmm_stop(watch->machine);
    pthread_sigmask(SIG_UNBLOCK, &watch->signals, NULL); /* the next one finds this thread */
    eventfd_t over;
    while (eventfd_read(watch->over_fd, &over))
        continue;
    return NULL;
}

static void close_both(struct stop_watch *watch)
{
    if (watch->signal_fd >= 0)
        close(watch->signal_fd);
    if (watch->over_fd >= 0)
        close(watch->over_fd);
}

void stop_watch_start(struct stop_watch *watch, struct vmm *machine)
{
    sigset_t all;
    *watch = (struct stop_watch){.machine = machine};
    find_signals(&watch->signals);
    watch->signal_fd = signalfd(-1, &watch->signals, SFD_CLOEXEC);
    watch->over_fd = eventfd(0, EFD_CLOEXEC);
    /* No other signal's handler runs on the thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &watch->before);
    watch->is_on = watch->signal_fd >= 0 && watch->over_fd >= 0 &&
                   !pthread_create(&watch->thread, NULL, watch_signals, watch);
    pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
    if (watch->is_on)
        pthread_sigmask(SIG_BLOCK, &watch->signals, NULL);
    else
        close_both(watch);
}

void stop_watch_end(struct stop_watch *watch)
{
    if (!watch->is_on)
        return;
    watch->is_on = false;
    while (eventfd_write(watch->over_fd, 1))
        continue;
    pthread_join(watch->thread, NULL);
    close_both(watch);
    pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
}
