/* SPDX-License-Identifier: MIT
 *
 * What the readers of QEMU's options have in common: the words of `vmm run` that come of them, QEMU's
 * KEY=VALUE lists, and refusals. Each reader takes an option's value, a copy that it may take apart, and
 * returns false where the command ends with that option.
 */
#ifndef VMM_CLI_QEMU_COMPAT_H
#define VMM_CLI_QEMU_COMPAT_H

#include "vmm/cli/cli.h"

#define COMPAT_WORD_LIMIT 256

/* What was read so far, and the words of `vmm run` that came of it. The words are ours, and so are the
 * values, copies that are taken apart in place. */
struct compat {
    char *words[COMPAT_WORD_LIMIT + 1], *values[COMPAT_WORD_LIMIT];
    int count, value_count;
    bool has_serial, is_nographic, has_testdev, no_reboot, has_kvm, has_other_accelerator, is_full;
    char *kernel, *append;
    char cpu[512];             /* for --cpu */
    const char *option, *what; /* of the one that is being read, for messages */
    int status;                /* where the command ends with an option */
};

/* Another word of `vmm run`. */
void compat_add(struct compat *compat, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A message about the option that is being read: it is without effect, and all else goes on. Runners of test
 * kernels take any line on standard error for a failure that does not have the word "warning". Returns true.
 */
bool compat_warn(struct compat *compat, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, but that this is the end. The last line of what a runner sees is the reason that it shows.
 * Returns false. */
bool compat_refuse(struct compat *compat, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes the next of QEMU's comma-separated words off *rest, in which ",," is a comma; NULL at the end. */
char *compat_next_word(char **rest);

/* The value of KEY=VALUE where the word has that key, else NULL. */
const char *compat_value_of(const char *word, const char *key);

bool compat_is_one_of(const char *word, const char *const *list);
bool compat_is_on(const char *value);
bool compat_is_off(const char *value);

/* What the machine is: qemu_compat_machine.c. */
bool compat_read_memory(struct compat *compat, char *value);
bool compat_read_cpus(struct compat *compat, char *value);
bool compat_read_cpu(struct compat *compat, char *value); /* qemu_compat_cpu.c */
bool compat_read_accel(struct compat *compat, char *value);
bool compat_read_machine(struct compat *compat, char *value);

/* What is in it: qemu_compat_devices.c. */
bool compat_add_serial(struct compat *compat, const char *where);
bool compat_read_serial(struct compat *compat, char *value);
bool compat_read_nographic(struct compat *compat, char *value);
bool compat_read_device(struct compat *compat, char *value);
bool compat_read_fw_cfg(struct compat *compat, char *value);

#endif
