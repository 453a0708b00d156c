/* SPDX-License-Identifier: MIT
 *
 * A machine that is traced: which threads it has, and what the reader of the trace needs to know of it.
 *
 * Threads: the creating thread's, while nothing runs; vmm_trace_stats_get any.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/trace_file.h"
#include "base/trace_ring.h"
#include "devices/marker/marker.h"
#include "vmm/machine.h"

static const enum trace_mode modes[] = {[VMM_TRACE_STREAM] = TRACE_MODE_STREAM,
                                        [VMM_TRACE_RING] = TRACE_MODE_RING,
                                        [VMM_TRACE_SNAPSHOT] = TRACE_MODE_SNAPSHOT};

static int convert_buffer(const struct vmm_trace_buffer *from, struct trace_buffer_config *to,
                          struct vmm_error *error)
{
    if ((unsigned)from->mode >= ARRAY_COUNT(modes) || (unsigned)from->full > VMM_TRACE_FULL_STOP)
        return error_set(error, -EINVAL, "trace: there is no mode %d, or no %d for a full buffer",
                         (int)from->mode, (int)from->full);
    bool overwrites = from->full ? from->full == VMM_TRACE_FULL_OVERWRITE : from->mode != VMM_TRACE_STREAM;
    *to = (struct trace_buffer_config){.name = from->name ? from->name : "main",
                                       .filter = from->filter,
                                       .bytes = from->bytes,
                                       .mode = modes[from->mode],
                                       .overwrite = overwrites};
    return trace_events_parse(from->events ? from->events : "all", &to->events, error);
}

static int open_trace(struct vmm *machine, const struct vmm_trace_config *config, struct vmm_error *error)
{
    static const struct vmm_trace_buffer usual = {.name = "main"};
    struct trace_buffer_config buffers[TRACE_BUFFER_LIMIT];
    const struct vmm_trace_buffer *from = config->buffer_count ? config->buffers : &usual;
    struct trace_config trace = {.path = config->path,
                                 .buffers = buffers,
                                 .buffer_count = config->buffer_count ? (unsigned)config->buffer_count : 1,
                                 .trigger = config->trigger,
                                 .names = vcpu_trace_names};
    if (config->buffer_count > TRACE_BUFFER_LIMIT)
        return error_set(error, -EINVAL, "trace: %zu buffers are more than %d", config->buffer_count,
                         TRACE_BUFFER_LIMIT);
    int result = 0;
    for (unsigned i = 0; !result && i < trace.buffer_count; i++)
        result = convert_buffer(&from[i], &buffers[i], error);
    return result ? result : trace_create(&trace, &machine->trace, error);
}

MACHINE_DESTROYER(marker)

static int add_marker(struct vmm *machine, uint16_t port, struct vmm_error *error)
{
    const struct marker_config config = {.port = port ? port : VMM_TRACE_MARKER_PORT};
    struct marker *marker;
    int result = marker_create(&config, &marker, error);
    return result ? result : machine_add_ports(machine, marker, destroy_marker, marker_region(marker), error);
}

int vmm_add_trace(struct vmm *machine, const struct vmm_trace_config *config, struct vmm_error *error)
{
    if (machine->trace)
        return error_set(error, -EEXIST, "trace: the machine is traced already");
    if (!config->path)
        return error_set(error, -EINVAL, "trace: which file? None was given");
    int result = machine_check_open(machine, error);
    if (!result)
        result = open_trace(machine, config, error);
    return result || config->no_marker ? result : add_marker(machine, config->marker_port, error);
}

static void add_regions(struct vmm *machine, const struct bus *bus, char space)
{
    size_t count;
    struct bus_region *const *regions = bus_regions(bus, &count);
    for (size_t i = 0; i < count; i++) {
        const struct trace_region region = {.name = regions[i]->name,
                                            .engine = space == 'm' ? machine_engine_name(machine, regions[i])
                                                                   : "",
                                            .base = regions[i]->base,
                                            .len = regions[i]->len,
                                            .space = space};
        trace_add_region(machine->trace, &region);
    }
}

int machine_start_trace(struct vmm *machine, struct vmm_error *error)
{
    struct trace_thread *loop;
    char name[24];
    if (!machine->trace)
        return 0;
    machine->cpu_traces = calloc(machine->config.cpu_count, sizeof(*machine->cpu_traces));
    if (!machine->cpu_traces)
        return error_set(error, -ENOMEM, "trace: out of memory");
    int result = 0;
    for (unsigned i = 0; !result && i < machine->config.cpu_count; i++) {
        snprintf(name, sizeof(name), "vCPU %u", i);
        result = trace_add_thread(machine->trace, name, (int)i, &machine->cpu_traces[i], error);
    }
    if (!result)
        result = trace_add_thread(machine->trace, "events", -1, &loop, error);
    if (result)
        return result;
    event_loop_set_trace(machine->loop, loop);
    add_regions(machine, machine->ports, 'p');
    add_regions(machine, machine->memory_bus, 'm');
    machine->vcpu_machine.trace = machine->cpu_traces;
    return trace_start(machine->trace, error);
}

struct trace_thread *machine_cpu_trace(const struct vmm *machine, unsigned index)
{
    return machine->cpu_traces ? machine->cpu_traces[index] : NULL;
}

/* A trace that cannot be written is no reason to take the guest's end away from its user. */
void machine_finish_trace(struct vmm *machine)
{
    struct vmm_error error;
    struct trace_totals totals;
    if (!machine->trace)
        return;
    if (trace_finish(machine->trace, vmm_end_name(machine->run.end.reason), &error))
        log_line(&machine->log, VMM_LOG_ERROR, "%s", error.message);
    trace_get_totals(machine->trace, &totals);
    log_line(&machine->log, totals.lost ? VMM_LOG_WARNING : VMM_LOG_INFO,
             "trace: %llu of %llu records are in the file, %llu were lost in full buffers (an exit with its "
             "access is one)",
             (unsigned long long)totals.written, (unsigned long long)totals.recorded,
             (unsigned long long)totals.lost);
}

void machine_destroy_trace(struct vmm *machine)
{
    trace_destroy(machine->trace);
    free(machine->cpu_traces);
}

void vmm_trace_stats_get(struct vmm *machine, struct vmm_trace_stats *stats)
{
    struct trace_totals totals = {.recorded = 0};
    if (machine->trace)
        trace_get_totals(machine->trace, &totals);
    *stats = (struct vmm_trace_stats){.recorded_count = totals.recorded,
                                      .written_count = totals.written,
                                      .lost_count = totals.lost,
                                      .trigger_count = totals.triggers};
}
