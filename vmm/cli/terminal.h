/* SPDX-License-Identifier: MIT
 *
 * The user's terminal while a guest has it: raw, and restored whatever happens. A program has one terminal,
 * so this is the one file of the tree with state of its own.
 */
#ifndef VMM_CLI_TERMINAL_H
#define VMM_CLI_TERMINAL_H

/* Puts the terminal on descriptor `fd` into raw mode, if it is one, so that every key reaches the guest. It
 * is restored by terminal_restore, at exit, and before the program dies of a signal. */
void terminal_make_raw(int fd);

/* Any thread, more than once. */
void terminal_restore(void);

#endif
