/* SPDX-License-Identifier: MIT
 *
 * Raw mode. The handlers only make async-signal-safe calls (tcsetattr is one, signal-safety(7)).
 */
#include "vmm/cli/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/types.h"

static struct termios saved;
static int raw_fd = -1;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
    if (is_raw)
        tcsetattr(raw_fd, TCSANOW, &saved);
    is_raw = 0;
}

static void set_raw(void)
{
    struct termios raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR; /* our own messages come here too */
    is_raw = 1;                   /* first: a signal in between would leave it raw */
    if (tcsetattr(raw_fd, TCSANOW, &raw))
        is_raw = 0;
}

static void die(int number)
{
    terminal_restore();
    signal(number, SIG_DFL);
    raise(number);
}

/* From outside (the key itself reaches the guest): give the terminal back, stop, and take it again. */
static void suspend(int number)
{
    (void)number;
    terminal_restore();
    raise(SIGSTOP);
    set_raw();
}

/* Behind a SIGSTOP, of which we hear nothing: meanwhile a shell has set the terminal as it likes it. */
static void resume(int number)
{
    (void)number;
    if (is_raw)
        set_raw();
}

void terminal_make_raw(int fd)
{
    /* All that would end the program, but SIGKILL, SIGPIPE (ignored), and the real-time signals. */
    static const int deadly[] = {SIGHUP,    SIGINT,  SIGQUIT, SIGTERM, SIGABRT, SIGSEGV,
                                 SIGBUS,    SIGFPE,  SIGILL,  SIGSYS,  SIGTRAP, SIGALRM,
                                 SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
    if (!isatty(fd) || tcgetattr(fd, &saved))
        return;
    raw_fd = fd;
    for (unsigned i = 0; i < ARRAY_COUNT(deadly); i++)
        if (signal(deadly[i], die) == SIG_IGN)
            signal(deadly[i], SIG_IGN); /* nohup(1) has asked for it */
    signal(SIGTSTP, suspend);
    signal(SIGCONT, resume);
    atexit(terminal_restore);
    set_raw();
}
