/* SPDX-License-Identifier: MIT
 *
 * `vmm doctor`: what this host's KVM can do and what follows, in plain words or as JSON.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"

static const char *const flavour_names[] = {
    [VMM_KVM_UNKNOWN] = "unknown",
    [VMM_KVM_INTEL] = "Intel VT-x",
    [VMM_KVM_AMD] = "AMD-V",
    [VMM_KVM_SOFTWARE] = "KVM without hardware virtualization",
};

static const char *const flavour_meanings[] = {
    [VMM_KVM_UNKNOWN] = "nothing is known of its speed",
    [VMM_KVM_INTEL] = "guest code runs on the processor in every ring",
    [VMM_KVM_AMD] = "guest code runs on the processor in every ring",
    [VMM_KVM_SOFTWARE] =
        ("guest user code runs on the processor; kernel code, real and protected mode are "
         "interpreted and some hundred times slower; so all code of Linux and of QEMU's test kernels "
         "is executed by vmm (vmm run --ring0-engine)"),
};

static void print_text(const struct vmm_host *host)
{
    printf("processor  %s, %u CPUs%s\n", host->cpu[0] ? host->cpu : "unknown", host->cpu_count,
           host->is_nested ? " (this host is itself a guest)" : "");
    printf("kernel     %s\n", host->kernel);
    if (!host->usable) {
        printf("KVM        not usable\n           %s\n", host->error.message);
        printf("\nNo machine can be run here.\n");
        return;
    }
    printf("KVM        %s: %s\n", flavour_names[host->flavour], flavour_meanings[host->flavour]);
    printf("vCPUs      up to %u for a machine, %u recommended\n\n", host->max_cpus, host->recommended_cpus);
    unsigned problems = 0;
    for (size_t i = 0; i < host->fact_count; i++) {
        const struct vmm_host_fact *fact = &host->facts[i];
        printf("%-5s %-34s %s\n", fact->is_problem ? "no" : "yes", fact->name, fact->meaning);
        problems += fact->is_problem;
    }
    if (problems)
        printf("\nMachines can be run here; %u thing%s missing, as said above.\n", problems,
               problems == 1 ? " is" : "s are");
    else
        printf("\nMachines can be run here, and nothing is missing.\n");
}

static void print_json(const struct vmm_host *host)
{
    json_t *facts = json_array();
    for (size_t i = 0; i < host->fact_count; i++)
        json_array_append_new(facts, json_pack("{s:s, s:I, s:s, s:b}", "name", host->facts[i].name, "value",
                                               (json_int_t)host->facts[i].value, "meaning",
                                               host->facts[i].meaning, "problem", host->facts[i].is_problem));
    json_t *root = json_pack("{s:b, s:s?, s:s, s:s, s:b, s:i, s:s, s:i, s:i, s:o}", "usable", host->usable,
                             "error", host->usable ? NULL : host->error.message, "cpu", host->cpu, "kernel",
                             host->kernel, "nested", host->is_nested, "cpus", (int)host->cpu_count, "kvm",
                             flavour_names[host->flavour], "max_vcpus", (int)host->max_cpus,
                             "recommended_vcpus", (int)host->recommended_cpus, "facts", facts);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

int cmd_doctor(int argc, const char **argv)
{
    int is_json = 0, is_help = 0;
    const struct poptOption table[] = {
        {"json", 0, POPT_ARG_NONE, &is_json, 0, "one JSON object instead of text", NULL},
        {"help", 'h', POPT_ARG_NONE, &is_help, 0, "show this help", NULL},
        POPT_TABLEEND};
    poptContext context = poptGetContext("vmm doctor", argc, argv, table, 0);
    int code = poptGetNextOpt(context);
    int status = CLI_OK;
    struct vmm_host host;
    if (code < -1) {
        status = cli_bad_option("doctor", context, code, table);
    } else if (poptPeekArg(context)) {
        status = cli_usage("doctor", "'%s' is one argument too many", poptPeekArg(context));
    } else if (is_help) {
        poptPrintHelp(context, stdout, 0);
        puts("\nExit status: 0 where machines can be run, 4 where they cannot.");
    } else {
        vmm_host_probe(&host);
        if (is_json)
            print_json(&host);
        else
            print_text(&host);
        status = host.usable ? CLI_OK : CLI_HOST;
    }
    poptFreeContext(context);
    return status;
}
