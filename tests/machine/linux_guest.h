/* SPDX-License-Identifier: MIT
 *
 * A distribution's kernel as the guest of a test: Debian's cloud kernel, with an initramfs of busybox and a
 * script made here, from its boot to its end. They are in the folder that VMM_TEST_LINUX names, as
 * scripts/nested/fetch leaves them in build/nested, or in the current one: vmlinuz, busybox (else
 * /bin/busybox) and, for some tests, modules and ext4.
 */
#ifndef TESTS_MACHINE_LINUX_GUEST_H
#define TESTS_MACHINE_LINUX_GUEST_H

#include "include/libvmm.h"

struct typist;

/* A run: what is wanted, and behind linux_run what came of it. */
struct linux_run {
    struct vmm_config config;
    const char *input;
    const char *script;  /* more for the guest to do, or NULL */
    const char *cmdline; /* more for its command line, or NULL */
    const char *fw_cfg;  /* the content of the file opt/test in fw_cfg, or NULL */
    const char *disk;    /* a disk's image, or NULL; then the kernel's modules are needed */
    const char
        *agent; /* what a console's port "agent" writes to, or NULL: no console, and no entropy device */
    enum vmm_transport transport;
    bool no_acpi;
    bool wants_modules; /* also without a disk or a console */
    /* No mark of user space: the lane's QEMU takes a TSS that KVM_SET_SREGS has put back for none, so that a
     * program's OUT is #GP (docs/guests.md). */
    bool is_unmarked;
    struct typist *typist;
    struct vmm *machine; /* while it runs */
    struct vmm_stats stats;
    struct vmm_end end;
    uint64_t entry_ns, serial_ns, user_space_ns;
    struct vmm_virtio_stat virtios[3]; /* of the entropy device and two consoles */
    char log[8192];
    char *console;
};

/* Runs it, and fails the test where that cannot be done. Its script ends with asking for a command, which is
 * its input. Skips where there is no kernel. */
void linux_run(struct linux_run *run);

/* Into that folder; skips where it has no kernel. */
void linux_enter_folder(void);

/* KVM has no hardware virtualization here. */
bool linux_is_interpreted(void);

/* Skips the test there, unless VMM_TEST_SLOW asks for it. */
void linux_need_speed(void);

/* Fails the test unless the guest has said it on its console. */
void must_say(const struct linux_run *run, const char *text);

/* A script: what programs do with integers, floating point and vectors, each with the output that it has
 * elsewhere. */
extern const char linux_programs[];
/* Fails the test unless each line of the run's script that ends with "# says TEXT" has done so. */
void must_say_what_is_expected(const struct linux_run *run);

/* The clock that the guest has chosen. */
void check_clock(const struct linux_run *run);

/* What a guest reports that was booted for nothing else and told to switch itself off; and the whole. */
void check_boot(const struct linux_run *run);
void boot_with(const struct vmm_config *config);

#endif
