/* SPDX-License-Identifier: MIT
 *
 * What a stranger would write against the installed library, in the common part of C and C++: it runs a guest
 * that writes 42 to the debug-exit port. Exit status 0 when that came out, or where this host has no usable
 * KVM and the library says so.
 */
#include <libvmm.h>
#include <stdio.h>
#include <string.h>

/* mov al, 42; mov dx, 0xf4; out dx, al; hlt */
static const unsigned char code[] = {0xb0, 0x2a, 0xba, 0xf4, 0x00, 0xee, 0xf4};

static int failed(const char *what, const struct vmm_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->message);
    return 1;
}

static int run(struct vmm *machine)
{
    struct vmm_error error;
    struct vmm_image image;
    struct vmm_end end;
    memset(&image, 0, sizeof(image));
    image.path = "the consumer's code";
    image.bytes = code;
    image.len = sizeof(code);
    image.flat = VMM_FLAT_REAL16;
    if (vmm_add_debug_exit(machine, 0xf4, &error))
        return failed("vmm_add_debug_exit", &error);
    if (vmm_load(machine, &image, &error))
        return failed("vmm_load", &error);
    if (vmm_run(machine, &end, &error))
        return failed("vmm_run", &error);
    printf("libvmm %s: %s, value %u\n", vmm_version(), vmm_end_name(end.reason), (unsigned)end.value);
    return end.reason == VMM_END_DEBUG_EXIT && end.value == 42 ? 0 : 1;
}

int main(void)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    if (!host.usable) {
        printf("libvmm %s: this host is not usable: %s\n", vmm_version(), host.error.message);
        return host.error.message[0] ? 0 : 1;
    }
    struct vmm *machine;
    struct vmm_error error;
    if (vmm_create(NULL, &machine, &error))
        return failed("vmm_create", &error);
    int result = run(machine);
    vmm_destroy(machine);
    return result;
}
