/* SPDX-License-Identifier: MIT
 *
 * A thread that waits for SIGWINCH: a handler may not take the device's lock.
 */
#include "vmm/cli/resize.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void window_signal(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGWINCH);
}

/* Where the size is what it was, the console's driver hears nothing. */
static void tell_size(const struct resize_watch *watch)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        vmm_resize_console(watch->machine, watch->console, size.ws_col, size.ws_row, NULL);
}

static void *watch_window(void *argument)
{
    struct resize_watch *watch = argument;
    sigset_t set;
    int number;
    window_signal(&set);
    tell_size(watch); /* a change since the console was made had no signal here yet */
    while (!sigwait(&set, &number) && !__atomic_load_n(&watch->is_over, __ATOMIC_ACQUIRE))
        tell_size(watch);
    return NULL;
}

void resize_watch_start(struct resize_watch *watch, struct vmm *machine, unsigned console)
{
    sigset_t window, all, before;
    *watch = (struct resize_watch){.machine = machine, .console = console};
    window_signal(&window);
    pthread_sigmask(SIG_BLOCK, &window, NULL);
    /* No other signal's handler runs on the thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watch->is_on = pthread_create(&watch->thread, NULL, watch_window, watch) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void resize_watch_stop(struct resize_watch *watch)
{
    if (!watch->is_on)
        return;
    watch->is_on = false;
    __atomic_store_n(&watch->is_over, true, __ATOMIC_RELEASE);
    pthread_kill(watch->thread, SIGWINCH);
    pthread_join(watch->thread, NULL);
}
