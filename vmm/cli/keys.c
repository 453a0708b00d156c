/* SPDX-License-Identifier: MIT
 *
 * KEY=VALUE,... of --device and --disk.
 */
#include "vmm/cli/keys.h"

#include <stdio.h>
#include <string.h>

#define KEYS_MAX 32

const char *const keys_transports[] = {[VMM_TRANSPORT_PCI] = "pci", [VMM_TRANSPORT_MMIO] = "mmio", NULL};

static bool parse_value(const char *option, const struct device_key *key, const char *value)
{
    static const char *const states[] = {"off", "on", NULL};
    char name[40];
    unsigned choice;
    snprintf(name, sizeof(name), "%s: %s", option, key->name);
    switch (key->kind) {
    case KEY_SIZE:
        if (cli_parse_size(value, key->to))
            return true;
        cli_usage("run", "--%s: %s=%s is not a number; write 0xd0000000, 64K or 1M", option, key->name,
                  value);
        return false;
    case KEY_SWITCH:
        if (!cli_choose(name, value, states, &choice))
            return false;
        *(bool *)key->to = choice;
        return true;
    case KEY_TEXT:
        *(const char **)key->to = value;
        return true;
    case KEY_CHOICE:
        if (!cli_choose(name, value, key->names, &choice))
            return false;
        *(unsigned *)key->to = choice;
        return true;
    }
    return false;
}

static bool unknown_key(const char *option, const char *device, const char *word,
                        const struct device_key *keys, size_t count)
{
    const char *names[KEYS_MAX + 1] = {NULL};
    char list[300] = "";
    for (size_t i = 0; i < count && i < KEYS_MAX; i++) {
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", keys[i].name);
        names[i] = keys[i].name;
    }
    const char *nearest = cli_nearest(word, names);
    if (nearest)
        cli_usage("run", "--%s: %s has no '%s'; did you mean '%s'? It has %s", option, device, word, nearest,
                  list);
    else
        cli_usage("run", "--%s: %s has no '%s'; it has %s", option, device, word, list);
    return false;
}

bool keys_parse(const char *option, const char *device, char *rest, const struct device_key *keys,
                size_t count)
{
    while (rest) {
        char *value = strsep(&rest, ","), *word = strsep(&value, "=");
        size_t at = 0;
        while (at < count && strcmp(keys[at].name, word))
            at++;
        if (at == count)
            return unknown_key(option, device, word, keys, count);
        if (!value) {
            cli_usage("run", "--%s: '%s' has no value; write %s=VALUE", option, word, word);
            return false;
        }
        if (!parse_value(option, &keys[at], value))
            return false;
    }
    return true;
}
