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

bool bench_can_make_guests(struct bench_report *report, const char *name)
{
    struct vmm_error error;
    if (bench_is_interrupted() || !bench_need_kvm(&error))
        return true;
    bench_add_missing(report, name, "vmm", error.message);
    return false;
}
