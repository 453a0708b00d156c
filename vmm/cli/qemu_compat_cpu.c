/* SPDX-License-Identifier: MIT
 *
 * QEMU's -cpu MODEL,FEATURE...: the model is the host's CPU, for KVM runs no other. What is switched on KVM's
 * CPU has already or cannot have; what is switched off is taken out, by the name that `vmm run` has for it.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cli/qemu_compat.h"

/* Where the names differ in more than '-' and '.' for '_'. */
static const struct {
    const char *qemu, *ours;
} renamed[] = {
    {"avx512bitalg", "avx512_bitalg"},
    {"avx512vbmi2", "avx512_vbmi2"},
    {"avx512vnni", "avx512_vnni"},
    {"cr8legacy", "cr8_legacy"},
    {"ffxsr", "fxsr_opt"},
    {"lzcnt", "abm"},
    {"pmu", "arch_perfmon"},
    {"sgxlc", "sgx_lc"},
    {"sse3", "pni"},
    {"tsc_deadline", "tsc_deadline_timer"},
    {"xd", "nx"},
};

/* Parts of nested virtualization, which no guest has. */
static bool is_nested(const char *name)
{
    static const char *const parts[] = {"npt",           "nrip_save",    "svm_lock",   "lbrv",
                                        "vgif",          "pause_filter", "tsc_scale",  "flushbyasid",
                                        "pfthreshold",   "avic",         "vmcb_clean", "svme_addr_chk",
                                        "decodeassists", "skinit",       NULL};
    return strncmp(name, "vmx_", 4) == 0 || compat_is_one_of(name, parts);
}

/* Of how QEMU makes the model; no guest sees a difference. */
static bool is_unseen(const char *name)
{
    static const char *const list[] = {"check",
                                       "enforce",
                                       "migratable",
                                       "host_phys_bits",
                                       "legacy_cache",
                                       "l3_cache",
                                       "fill_mtrr_mask",
                                       "kvm_no_smi_migration",
                                       NULL};
    return compat_is_one_of(name, list);
}

static bool take_out(struct compat *compat, const char *name)
{
    size_t len = strlen(compat->cpu);
    for (size_t i = 0; i < ARRAY_COUNT(renamed); i++)
        if (strcmp(renamed[i].qemu, name) == 0)
            name = renamed[i].ours;
    if (strcmp(name, "kvm") == 0)
        return compat_warn(compat, "kvm=off has no effect: the guest sees KVM");
    if (len + strlen(name) + sizeof(",-") > sizeof(compat->cpu))
        return compat_refuse(compat, "'%s' is one feature too many", name);
    snprintf(compat->cpu + len, sizeof(compat->cpu) - len, "%s-%s", len ? "," : "", name);
    return true;
}

/* "+x", "x", "x=on"; "-x", "x=off"; and KEY=VALUE, of which none can be had. */
static bool read_feature(struct compat *compat, char *word)
{
    char *name = word + (*word == '-' || *word == '+'), *value = strchr(word, '=');
    if (value)
        *value++ = 0;
    bool is_off = *word == '-' || (value && strcmp(value, "off") == 0);
    for (char *at = name; (at = strpbrk(at, "-."));)
        *at = '_';
    if (is_unseen(name) || (is_off && is_nested(name)))
        return true;
    if (is_off)
        return strncmp(name, "hv_", 3) == 0 || take_out(compat, name);
    if (value && !compat_is_on(value))
        return compat_warn(compat, "%s=%s has no effect: the guest has what the host has", name, value);
    if (strcmp(name, "vmx") == 0 || strcmp(name, "svm") == 0 || is_nested(name))
        return compat_warn(compat, "%s has no effect: there is no nested virtualization", name);
    if (strncmp(name, "hv_", 3) == 0)
        return compat_warn(compat, "%s has no effect: there are no interfaces of Hyper-V's", name);
    return true;
}

bool compat_read_cpu(struct compat *compat, char *value)
{
    char *model = compat_next_word(&value);
    if (strcmp(model, "help") == 0 || strcmp(model, "?") == 0) {
        printf("Available CPUs:\n  host, max (the same; other names are taken for it)\n");
        return false;
    }
    for (char *word; (word = compat_next_word(&value));)
        if (!read_feature(compat, word))
            return false;
    struct vmm_error error;
    return !*compat->cpu || !vmm_check_cpu_features(compat->cpu, &error) ||
           compat_refuse(compat, "%s", error.message);
}
