/* SPDX-License-Identifier: MIT
 *
 * The terminal's window changes its size while the guest runs: the virtio-console that is shown there is
 * told.
 */
#ifndef VMM_CLI_RESIZE_H
#define VMM_CLI_RESIZE_H

#include <pthread.h>

#include "vmm/cli/cli.h"

struct resize_watch {
    struct vmm *machine;
    pthread_t thread;
    unsigned console; /* its number, as vmm_resize_console counts */
    bool is_on, is_over;
};

/* Watches standard output. SIGWINCH stays blocked in the calling thread and those it makes from now on. Where
 * no thread can be made for it, the size stays as it was. */
void resize_watch_start(struct resize_watch *watch, struct vmm *machine, unsigned console);
void resize_watch_stop(struct resize_watch *watch);

#endif
