/* SPDX-License-Identifier: MIT
 *
 * The machine that `vmm run` makes, with the serial line in a memory file.
 */
#include "tests/guest/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/mmio_way.h"

#define RUN_LIMIT_MS 60000

static void log_line(void *context, enum vmm_log_level level, const char *line)
{
    struct guest_run *run = context;
    size_t len = strlen(run->log);
    (void)level;
    snprintf(run->log + len, sizeof(run->log) - len, "%s\n", line);
}

static int file_with(const char *text)
{
    int fd = memfd_create("serial", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    if (text) {
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

/* What the guest is loaded from: VMM_GUEST_DIR, of the environment or of the build. */
static void image_path(char *path, size_t len, const char *name)
{
    const char *folder = getenv("VMM_GUEST_DIR");
    snprintf(path, len, "%s/%s", folder ? folder : VMM_GUEST_DIR, name);
}

/* A file that is gone with the machine. */
static int add_disk(struct vmm *machine, enum vmm_transport transport, struct vmm_error *error)
{
    char path[] = "/tmp/guest-disk-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 8 << 20), 0);
    close(fd);
    const struct vmm_disk_config disk = {.path = path, .queue_count = 4, .transport = transport};
    int result = vmm_add_disk(machine, &disk, error);
    unlink(path);
    return result;
}

static void run_machine(struct guest_run *run, const struct vmm_serial_config *serial)
{
    struct vmm_error error = {0};
    struct vmm *machine;
    char path[4096];
    image_path(path, sizeof(path), run->image.path);
    struct vmm_image image = run->image;
    image.path = path;
    struct vmm_config config = test_mmio_config(run->config);
    int result = vmm_create(&config, &machine, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    result = vmm_add_serial(machine, serial, &error);
    if (!result)
        result = vmm_add_debug_exit(machine, 0xf4, &error);
    if (!result)
        result = vmm_add_legacy(machine, &error);
    for (unsigned i = 0; !result && i < run->disks; i++)
        result = add_disk(machine, run->transport, &error);
    if (!result && run->scratch)
        result = vmm_add_scratch(machine, run->scratch, &error);
    if (!result && run->has_acpi)
        result = vmm_add_acpi(machine, &error);
    if (!result)
        result = vmm_load(machine, &image, &error);
    if (!result)
        result = vmm_run(machine, &run->end, &error);
    vmm_destroy(machine);
    ck_assert_msg(result == 0, "%s", error.message);
}

void guest_run(struct guest_run *run)
{
    test_need_kvm();
    struct vmm_serial_config serial = {.kind = VMM_SERIAL_DESCRIPTORS,
                                       .in_fd = run->input ? file_with(run->input) : -1,
                                       .out_fd = file_with(NULL)};
    if (!run->config.timeout_ms)
        run->config.timeout_ms = RUN_LIMIT_MS;
    run->config.log = log_line;
    run->config.log_context = run;
    run_machine(run, &serial);
    ssize_t len = pread(serial.out_fd, run->output, sizeof(run->output) - 1, 0);
    ck_assert_int_ge(len, 0);
    run->output[len] = 0;
    close(serial.out_fd);
    if (serial.in_fd >= 0)
        close(serial.in_fd);
}
