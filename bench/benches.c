/* SPDX-License-Identifier: MIT
 *
 * What the benchmarks have in common beside their measuring: which operations are wanted, and whether this
 * host can have machines.
 */
#include "bench/benches.h"

#include <string.h>

bool bench_wants(const struct bench_options *options, const char *operation, int ring)
{
    return (!options->only || strstr(operation, options->only)) &&
           (ring < 0 || options->ring < 0 || options->ring == ring);
}

void bench_select(struct bench_report *report, const struct bench_options *options)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < report->count; i++) {
        struct bench_result *result = &report->results[i];
        if (bench_wants(options, result->operation, result->ring))
            report->results[kept++] = *result;
        else
            bench_result_fini(result);
    }
    report->count = kept;
}

int bench_need_kvm(struct vmm_error *error)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    if (host.usable)
        return 0;
    if (error)
        *error = host.error;
    return host.error.code;
}

int bench_need_guests(struct vmm_error *error)
{
    return bench_is_interrupted() ? 0 : bench_need_kvm(error);
}
