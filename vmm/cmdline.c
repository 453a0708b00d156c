/* SPDX-License-Identifier: MIT
 *
 * What the machine itself has to say on a Linux kernel's command line: where virtio-mmio devices are, which
 * otherwise ACPI tells (Linux, admin-guide/kernel-parameters: virtio_mmio.device=SIZE@ADDRESS:IRQ).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine.h"

#define WORD_MAX sizeof(" virtio_mmio.device=4294967295K@0xffffffff:4294967295")

/* Where the words for the kernel end: at the word "--" those for its init begin. */
static size_t kernel_words_len(const char *cmdline)
{
    for (const char *at = cmdline; (at = strstr(at, "--")); at += 2)
        if ((at == cmdline || at[-1] == ' ') && (!at[2] || at[2] == ' '))
            return (size_t)(at - cmdline);
    return strlen(cmdline);
}

int machine_linux_cmdline(const struct vmm *machine, const char *cmdline, char **out, struct vmm_error *error)
{
    const char *given = cmdline ? cmdline : "";
    size_t before = kernel_words_len(given), room = strlen(given) + 2 + VIRTIO_MMIO_LIMIT * WORD_MAX;
    char *text = malloc(room);
    if (!text)
        return error_set(error, -ENOMEM, "command line: out of memory");
    while (before && given[before - 1] == ' ')
        before--;
    int len = snprintf(text, room, "%.*s", (int)before, given);
    for (unsigned i = 0; i < machine->virtio_mmio_count; i++) {
        const struct acpi_virtio_mmio *mmio = &machine->virtio_mmios[i];
        len += snprintf(text + len, room - (size_t)len, "%svirtio_mmio.device=%lluK@%#x:%u", len ? " " : "",
                        mmio->len / KIB, mmio->base, mmio->gsi);
    }
    snprintf(text + len, room - (size_t)len, "%s%s", given[before] && given[before] != ' ' ? " " : "",
             given + before);
    *out = text;
    return 0;
}
