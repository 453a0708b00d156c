/* SPDX-License-Identifier: MIT
 *
 * Options of the form NAME,KEY=VALUE,...: which keys there are, and where their values go.
 */
#ifndef VMM_CLI_KEYS_H
#define VMM_CLI_KEYS_H

#include "vmm/cli/cli.h"

enum key_kind {
    KEY_SIZE,   /* uint64_t: a number or a size */
    KEY_SWITCH, /* bool: on or off */
    KEY_TEXT,   /* const char *: as it stands; a borrow from the argument */
    KEY_CHOICE, /* unsigned, an enum: the index in `names`, which NULL ends */
};

struct device_key {
    const char *name;
    enum key_kind kind;
    void *to;
    const char *const *names;
};

/* Of virtio devices, for KEY_CHOICE: enum vmm_transport. */
extern const char *const keys_transports[];

/* Takes `rest` apart, KEY=VALUE,... or NULL. False, with a message that names the option (as "device") and
 * the device, for a key that is none of these or a value that is not understood. */
bool keys_parse(const char *option, const char *device, char *rest, const struct device_key *keys,
                size_t count);

#endif
