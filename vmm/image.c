/* SPDX-License-Identifier: MIT
 *
 * The guest's image: from a path or bytes to boot/, and from boot's plain state to the first vCPU's
 * registers.
 */
#include <stdlib.h>
#include <string.h>

#include "vcpu/state.h"
#include "vmm/machine.h"

#define EXT1_EDX_GIB_PAGES (1u << 26)

static const enum boot_protocol protocols[] = {[VMM_FLAT_NONE] = BOOT_AUTO,
                                               [VMM_FLAT_REAL16] = BOOT_FLAT_REAL16,
                                               [VMM_FLAT_PROT32] = BOOT_FLAT_PROT32,
                                               [VMM_FLAT_LONG64] = BOOT_FLAT_LONG64};

/* Only page tables ask for it, so a flat image without any does not have to wait for KVM's answer. */
static bool has_gib_pages(struct vmm *machine, const struct vmm_image *image)
{
    const struct cpuid_table *table;
    if (image->flat != VMM_FLAT_LONG64 || machine_cpuid(machine, &table, NULL))
        return false;
    const struct kvm_cpuid_entry2 *extended = cpuid_find(table, 0x80000001, 0);
    return extended && (extended->edx & EXT1_EDX_GIB_PAGES);
}

/* Opens the modules' files; `opened` counts those to close, on failure too. */
static int open_modules(const struct vmm_image *image, struct boot_module *modules, size_t *opened,
                        struct vmm_error *error)
{
    for (*opened = 0; *opened < image->module_count; (*opened)++) {
        const struct vmm_module *module = &image->modules[*opened];
        int result = boot_image_open(module->path, &modules[*opened].image, error);
        if (result)
            return result;
        modules[*opened].cmdline = module->cmdline;
    }
    return 0;
}

/* A kernel whose machine has no ACPI is told of virtio-mmio devices by its command line. */
static int load_told(struct vmm *machine, const struct vmm_image *image, const struct boot_image *file,
                     struct boot_config *config, struct vmm_error *error)
{
    char *cmdline = NULL;
    int result = 0;
    bool tell = machine->virtio_mmio_count && !config->rsdp_gpa && image->flat == VMM_FLAT_NONE &&
                boot_is_linux(file);
    machine_use_pic_for_virtio(machine, tell);
    if (tell)
        result = machine_linux_cmdline(machine, image->cmdline, &cmdline, error);
    if (cmdline)
        config->cmdline = cmdline;
    if (!result)
        result = boot_load(file, config, machine->memory, &machine->start, error);
    free(cmdline);
    return result ? result : machine_fill_fwcfg(machine, config->reserved, config->reserved_count, error);
}

/* Nobody knows what others write to a memory file. */
static bool is_ram_dirty(const struct vmm *machine)
{
    return __atomic_load_n(&machine->ram_dirty, __ATOMIC_RELAXED) ||
           machine->config.mem_backing == VMM_MEM_SHARED;
}

static int load_with_modules(struct vmm *machine, const struct vmm_image *image,
                             const struct boot_image *file, struct vmm_error *error)
{
    struct boot_module *modules = calloc(image->module_count + 1, sizeof(*modules));
    if (!modules)
        return error_set(error, -ENOMEM, "%s: out of memory", file->name);
    size_t opened;
    struct memory_map_entry reserved[2], acpi = {0}, pci = machine_pci_reserved(machine);
    size_t reserved_count = 0;
    int result = open_modules(image, modules, &opened, error);
    if (!result)
        result = machine_assign_pci(machine, error);
    if (!result && machine_wants_acpi(machine, image))
        result = machine_put_acpi(machine, &acpi, error);
    if (acpi.len)
        reserved[reserved_count++] = acpi;
    if (pci.len)
        reserved[reserved_count++] = pci;
    if (!result) {
        struct boot_config config = {.protocol = protocols[image->flat],
                                     .has_flat_gpa = image->has_flat_address,
                                     .flat_gpa = image->flat_address,
                                     .cmdline = image->cmdline,
                                     .modules = modules,
                                     .module_count = image->module_count,
                                     .rsdp_gpa = acpi.gpa,
                                     .reserved = reserved,
                                     .reserved_count = reserved_count,
                                     .gib_pages = has_gib_pages(machine, image),
                                     .ram_dirty = is_ram_dirty(machine)};
        result = load_told(machine, image, file, &config, error);
    }
    if (result) {
        __atomic_store_n(&machine->ram_dirty, true, __ATOMIC_RELAXED);
        machine_remove_acpi(machine, &acpi);
    }
    while (opened)
        boot_image_close(&modules[--opened].image);
    free(modules);
    return result;
}

/* Without hardware virtualization KVM gets no Linux to its first program, and for test kernels it is not the
 * processor that they test. */
static bool wants_software(const struct vmm *machine, const struct vmm_image *image,
                           const struct boot_image *file)
{
    if (machine->config.ring0_engine != VMM_RING0_AUTO)
        return machine->config.ring0_engine == VMM_RING0_SOFTWARE;
    return image->flat == VMM_FLAT_NONE && host_interprets_ring0() &&
           (machine->has_testdev || boot_is_linux(file));
}

int vmm_load(struct vmm *machine, const struct vmm_image *image, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct boot_image file = {
        .bytes = image->bytes, .len = image->len, .name = image->path ? image->path : "image"};
    if ((unsigned)image->flat >= ARRAY_COUNT(protocols))
        return error_set(error, -EINVAL, "%s: there is no flat mode %d", file.name, (int)image->flat);
    if (!image->bytes && !image->path)
        return error_set(error, -EINVAL, "image: needs a path or bytes");
    if (machine->loaded)
        return error_set(error, -EALREADY, "%s: the machine has an image already", file.name);
    int result = image->bytes ? 0 : boot_image_open(image->path, &file, error);
    if (!result) {
        machine->interprets = wants_software(machine, image, &file);
        result = load_with_modules(machine, image, &file, error);
        if (!image->bytes)
            boot_image_close(&file);
    }
    if (!result) {
        machine->loaded = true;
        machine->is_flat = image->flat != VMM_FLAT_NONE;
        log_line(&machine->log, VMM_LOG_INFO, "%s: %s, entered at %#llx", image->path ? image->path : "image",
                 machine->start.protocol_name, (unsigned long long)machine->start.rip);
    }
    machine_count_phase(machine, VMM_PHASE_LOAD, since_ns);
    return result;
}

static struct cpu_segment segment_of(const struct boot_segment *from)
{
    unsigned attributes = (from->type & SEGMENT_TYPE) | (from->code_or_data ? SEGMENT_S : 0) |
                          (unsigned)from->dpl << SEGMENT_DPL_SHIFT | (from->present ? SEGMENT_PRESENT : 0) |
                          (from->long_mode ? SEGMENT_L : 0) | (from->size32 ? SEGMENT_DB : 0) |
                          (from->granular ? SEGMENT_G : 0);
    return (struct cpu_segment){.base = from->base,
                                .limit = from->limit,
                                .selector = from->selector,
                                .attributes = (uint16_t)attributes};
}

static void apply_start(struct cpu_state *cpu, const struct boot_state *start)
{
    const uint64_t gpr[] = {start->rax, start->rcx, start->rdx, start->rbx,
                            start->rsp, start->rbp, start->rsi, start->rdi};
    const struct boot_segment *segments[] = {
        [CPU_ES] = &start->es, [CPU_CS] = &start->cs, [CPU_SS] = &start->ss,
        [CPU_DS] = &start->ds, [CPU_FS] = &start->fs, [CPU_GS] = &start->gs,
    };
    memcpy(cpu->gpr, gpr, sizeof(gpr));
    for (enum cpu_segment_name name = 0; name < CPU_SEGMENT_COUNT; name++)
        cpu->segments[name] = segment_of(segments[name]);
    cpu->tr = segment_of(&start->tr);
    cpu->ldt = segment_of(&start->ldt);
    cpu->gdt = (struct cpu_table){.base = start->gdt.base, .limit = start->gdt.limit};
    cpu->idt = (struct cpu_table){.base = start->idt.base, .limit = start->idt.limit};
    cpu->rip = start->rip;
    cpu->rflags = start->rflags;
    cpu->cr0 = start->cr0;
    cpu->cr3 = start->cr3;
    cpu->cr4 = start->cr4;
    cpu->efer = start->efer;
}

int machine_start_state(struct vmm *machine, struct vcpu *vcpu)
{
    struct cpu_state cpu;
    int result = vcpu_load_state(vcpu, &cpu, VCPU_SREGS);
    if (result)
        return result;
    apply_start(&cpu, &machine->start);
    return vcpu_store_state(vcpu, &cpu, VCPU_REGS | VCPU_SREGS);
}
