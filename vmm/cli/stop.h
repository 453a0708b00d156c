/* SPDX-License-Identifier: MIT
 *
 * Signals that would end the program stop the machine instead, so that what is to be written at the end of a
 * run is written. The second one ends the program as usual.
 */
#ifndef VMM_CLI_STOP_H
#define VMM_CLI_STOP_H

#include <pthread.h>
#include <signal.h>

#include "vmm/cli/cli.h"

struct stop_watch {
    struct vmm *machine;
    pthread_t thread;
    sigset_t signals, before; /* that are watched; the mask without the watch */
    int signal_fd, over_fd;
    bool is_on;
    int number; /* of the signal that came; 0: none */
};

/* Watches for SIGHUP, SIGINT and SIGTERM, as far as they are not ignored. They are blocked in the calling
 * thread and those it makes until stop_watch_end. Where there is no thread for it, all is as it was. */
void stop_watch_start(struct stop_watch *watch, struct vmm *machine);
void stop_watch_end(struct stop_watch *watch);

#endif
