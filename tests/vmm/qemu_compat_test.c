/* SPDX-License-Identifier: MIT
 *
 * `vmm qemu-compat` with a kernel in the style of those written for QEMU, as their runners start it. The same
 * kernel and options under QEMU's software CPU: tests/guest/qemu_style.sh.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/vmm/program.h"

#define RUNNER                                                                    \
    "-nodefaults -device pc-testdev -vnc none -serial stdio -device pci-testdev " \
    "-device isa-debug-exit,iobase=0xf4,iosize=4 -machine accel=kvm --no-reboot "

static struct program_run run;

/* A line without that word is a failure to kvm-unit-tests' runner, whatever the status. */
static void only_warnings(char *text)
{
    for (char *line; (line = strsep(&text, "\n"));)
        ck_assert_msg(!*line || strstr(line, "warning"), "said '%s'", line);
}

static void must_pass(const char *line)
{
    program_run(line, &run);
    ck_assert_msg(run.status == 1 && strstr(run.out, "all passed\n") && !strstr(run.out, "not ok"),
                  "vmm %s: status %d, said\n%s%s", line, run.status, run.out, run.err);
    char err[sizeof(run.err)];
    memcpy(err, run.err, sizeof(err));
    only_warnings(err);
}

/* `path` is a template of mkstemp's. */
static void make_initrd(char *path)
{
    FILE *file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    fputs("INITRD!\n", file);
    fclose(file);
}

START_TEST(a_runners_command_line_passes)
{
    test_need_kvm();
    must_pass("qemu-compat " RUNNER "-kernel qemu32.img -smp 1 -m 128 -append cpus=1^mem=128");
    ck_assert_ptr_nonnull(strstr(run.err, "vmm: warning: -device: pci-testdev is not there"));
    must_pass("qemu-compat " RUNNER "-device isa-debug-exit "
              "-kernel qemu32-low.img -smp 1 -append cpus=1^mem=128");
    must_pass(
        "qemu-compat -nographic -no-reboot -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=4 "
        "-kernel qemu32.img -append cpus=1^mem=128");
    must_pass("qemu-compat -nographic " RUNNER "-kernel qemu32.img -append cpus=1^mem=128");
}
END_TEST

START_TEST(every_cpu_the_module_and_files_are_there)
{
    test_need_kvm();
    char initrd[] = "/tmp/qemu-compat-XXXXXX", line[512];
    make_initrd(initrd);
    snprintf(line, sizeof(line),
             "qemu-compat " RUNNER
             "-kernel qemu32.img -smp cpus=4,sockets=1 -m 256M -cpu host,-avx512f,+x2apic -initrd %s "
             "-fw_cfg opt/test/file,string=text -append cpus=4^mem=256^module^file",
             initrd);
    must_pass(line);
    snprintf(line, sizeof(line),
             "qemu-compat " RUNNER "-kernel qemu32-low.img -smp 2 -initrd %s -append cpus=2^mem=128^module",
             initrd);
    must_pass(line);
    unlink(initrd);
}
END_TEST

/* By which the runner sees that all it asked for is there, and its kernel alone is missing. */
START_TEST(a_missing_kernel_is_said_as_qemu_says_it)
{
    test_need_kvm();
    program_run("qemu-compat " RUNNER
                "-kernel _NO_FILE_4Uhere_ -smp 2 -cpu max,-x2apic,-tsc-deadline,pmu=off,-vmx",
                &run);
    ck_assert_msg(run.status == 4 &&
                      strstr(run.err, "vmm: could not load kernel: _NO_FILE_4Uhere_: cannot open: No "
                                      "such file or directory\n"),
                  "status %d, said\n%s", run.status, run.err);
}
END_TEST

/* Where a runner calls the program by QEMU's name. */
START_TEST(the_program_goes_by_qemus_name)
{
    char folder[] = "/tmp/qemu-compat-XXXXXX", link_path[64];
    test_need_kvm();
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(link_path, sizeof(link_path), "%s/qemu-system-x86_64", folder);
    ck_assert_int_eq(symlink(VMM_PROGRAM, link_path), 0);
    program_path = link_path;
    must_pass(RUNNER "-kernel qemu32.img -smp 1 -append cpus=1^mem=128");
    unlink(link_path);
    rmdir(folder);
}
END_TEST

START_TEST(a_reset_starts_the_machine_again)
{
    test_need_kvm();
    program_run("run --on-reboot restart --timeout 500ms --stats --flat real16 flat/real16-i8042-reset.bin",
                &run);
    const char *starts = strstr(run.err, "starts ");
    ck_assert_msg(run.status == 124 && starts && strncmp(starts, "starts 1:", 9), "status %d\n%s", run.status,
                  run.err);
    program_run("run --on-reboot exit --on-triple-fault reboot --flat prot32 flat/prot32-triple.bin", &run);
    ck_assert_int_eq(run.status, 0);
    ck_assert_str_eq(run.err, "");
    program_run("run --on-reboot restart --on-triple-fault reboot --timeout 500ms --flat prot32 "
                "flat/prot32-triple.bin",
                &run);
    ck_assert_int_eq(run.status, 124);
}
END_TEST

/* A multiboot kernel in an ELF file: lidt of nothing; int3. `path` is a template of mkstemp's. */
static void make_dying_kernel(char *path)
{
    static const struct {
        Elf32_Ehdr header;
        Elf32_Phdr segment;
        uint32_t multiboot[3];
        uint8_t code[8], idt[8];
    } kernel = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_386,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x100060,
                   .e_phoff = sizeof(Elf32_Ehdr),
                   .e_ehsize = sizeof(Elf32_Ehdr),
                   .e_phentsize = sizeof(Elf32_Phdr),
                   .e_phnum = 1},
        .segment = {.p_type = PT_LOAD,
                    .p_vaddr = 0x100000,
                    .p_paddr = 0x100000,
                    .p_filesz = sizeof(kernel),
                    .p_memsz = sizeof(kernel),
                    .p_flags = PF_R | PF_X},
        .multiboot = {0x1badb002, 0, -0x1badb002u},
        .code = {0x0f, 0x01, 0x1d, 0x68, 0x00, 0x10, 0x00, 0xcc}};
    FILE *file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(&kernel, sizeof(kernel), 1, file), 1);
    fclose(file);
}

/* As QEMU has it, which says nothing of it, either. */
START_TEST(a_triple_fault_is_a_reset)
{
    test_need_kvm();
    char kernel[] = "/tmp/qemu-compat-XXXXXX", line[200];
    make_dying_kernel(kernel);
    snprintf(line, sizeof(line), "qemu-compat -no-reboot -serial stdio -kernel %s", kernel);
    program_run(line, &run);
    ck_assert_msg(run.status == 0 && !*run.err, "status %d, said\n%s", run.status, run.err);
    snprintf(line, sizeof(line), "run %s", kernel);
    program_run(line, &run);
    ck_assert_int_eq(run.status, 6); /* so it was one */
    unlink(kernel);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, a_runners_command_line_passes, 60);
    test_add_slow(suite, every_cpu_the_module_and_files_are_there, 60);
    test_add_slow(suite, a_missing_kernel_is_said_as_qemu_says_it, 60);
    test_add_slow(suite, the_program_goes_by_qemus_name, 60);
    test_add_slow(suite, a_reset_starts_the_machine_again, 60);
    test_add_slow(suite, a_triple_fault_is_a_reset, 60);
}
