/* SPDX-License-Identifier: MIT
 *
 * The host in words. See facts.h.
 */
#include "bench/facts.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/guest.h"
#include "include/libvmm.h"

#define VULNERABILITIES "/sys/devices/system/cpu/vulnerabilities"

static void add(struct bench_facts *facts, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct bench_facts *facts, const char *name, const char *format, ...)
{
    va_list arguments;
    if (facts->count == FACT_LIMIT)
        return;
    struct bench_fact *fact = &facts->list[facts->count++];
    fact->name = name;
    va_start(arguments, format);
    vsnprintf(fact->value, sizeof(fact->value), format, arguments);
    va_end(arguments);
}

/* The first line of a file, or `otherwise`. */
static const char *read_line(const char *path, char *line, int bytes, const char *otherwise)
{
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(line, bytes, file);
    if (file)
        fclose(file);
    if (!is_read)
        return otherwise;
    line[strcspn(line, "\n")] = 0;
    return line;
}

/* Only what costs something: "Mitigation: ..." of each vulnerability. */
static void add_mitigations(struct bench_facts *facts)
{
    char text[400] = "";
    size_t len = 0;
    DIR *folder = opendir(VULNERABILITIES);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char path[400], line[200];
        snprintf(path, sizeof(path), VULNERABILITIES "/%.200s", entry->d_name);
        if (*entry->d_name == '.' || strncmp(read_line(path, line, sizeof(line), ""), "Mitigation: ", 12))
            continue;
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.40s (%.120s)", len ? "; " : "",
                                entry->d_name, line + 12);
        if (len >= sizeof(text))
            break;
    }
    add(facts, "mitigations", "%s", !folder ? "unknown" : *text ? text : "none");
    if (folder)
        closedir(folder);
}

static const char *flavour_name(enum vmm_kvm_flavour flavour)
{
    switch (flavour) {
    case VMM_KVM_INTEL:
        return "Intel VT-x";
    case VMM_KVM_AMD:
        return "AMD-V";
    case VMM_KVM_SOFTWARE:
        return "without hardware virtualization";
    case VMM_KVM_UNKNOWN:
        break;
    }
    return "unknown";
}

/* Ticks for so many rounds of a hundred instructions, and a loop around them. */
static uint64_t time_rounds(unsigned rounds)
{
    uint64_t start = __builtin_ia32_rdtsc();
    while (rounds--)
        __asm__ volatile(".rept 100\n\tnop\n\t.endr" ::: "memory");
    return __builtin_ia32_rdtsc() - start;
}

/* A processor executes several of them in a tick, and never the same number. */
bool bench_clock_counts_instructions(void)
{
    unsigned exact = 0;
    uint64_t first = 0;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t ticks = time_rounds(30), more = time_rounds(60) - ticks;
        if (!i)
            first = more;
        exact += more == first && more >= 30 * 100 && more <= 30 * 106;
    }
    return exact >= 3;
}

static void add_qemu(struct bench_facts *facts)
{
    char line[200] = "";
    FILE *output = popen("qemu-system-x86_64 --version 2>/dev/null", "re");
    if (output && !fgets(line, sizeof(line), output))
        *line = 0;
    if (output)
        pclose(output);
    line[strcspn(line, "\n")] = 0;
    add(facts, "qemu", "%s", *line ? line : "not installed");
}

/* Of the last 1, 5 and 15 minutes. */
static void add_load(struct bench_facts *facts, const char *name)
{
    double loads[3];
    if (getloadavg(loads, 3) == 3)
        add(facts, name, "%.2f %.2f %.2f", loads[0], loads[1], loads[2]);
    else
        add(facts, name, "unknown");
}

void bench_facts_conclude(struct bench_facts *facts)
{
    add_load(facts, "load_at_end");
}

void bench_facts_gather(struct bench_facts *facts, int pinned_cpu, int second_cpu, bool against_qemu)
{
    char line[200];
    struct vmm_host host;
    time_t now = time(NULL);
    struct tm utc;
    *facts = (struct bench_facts){0};
    vmm_host_probe(&host);
    add(facts, "cpu", "%s", host.cpu[0] ? host.cpu : "unknown");
    add(facts, "cpus", "%u", host.cpu_count);
    add(facts, "kernel", "%s", host.kernel);
    add(facts, "kvm", "%s", host.usable ? flavour_name(host.flavour) : host.error.message);
    add(facts, "nested", "%s", host.is_nested ? "yes: this host is a guest" : "no");
    add_mitigations(facts);
    add(facts, "governor", "%s",
        read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof(line), "unknown"));
    add_load(facts, "load");
    add(facts, "tsc_mhz", "%.0f", bench_tsc_per_ns() * 1000);
    if (bench_clock_counts_instructions())
        add(facts, "clock", "counts instructions, a nanosecond each");
    if (pinned_cpu < 0)
        add(facts, "pinned", "no");
    else if (second_cpu < 0)
        add(facts, "pinned", "CPU %d", pinned_cpu);
    else
        add(facts, "pinned", "CPU %d; CPU %d for an operation's second thread", pinned_cpu, second_cpu);
    add(facts, "vmm", "%s", vmm_version());
#ifdef __clang__
    add(facts, "compiler", "%s", __VERSION__);
#else
    add(facts, "compiler", "GCC %s", __VERSION__);
#endif
    if (against_qemu)
        add_qemu(facts);
    if (gmtime_r(&now, &utc) && strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &utc))
        add(facts, "time", "%s", line);
}
