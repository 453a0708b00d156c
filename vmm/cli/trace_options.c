/* SPDX-License-Identifier: MIT
 *
 * From --trace-* to a struct vmm_trace_config. Events, filters and triggers are text that libvmm reads.
 */
#include "vmm/cli/trace_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/keys.h"

struct trace_options trace_options;

const struct poptOption trace_option_table[] = {
    {"trace", 0, POPT_ARG_STRING, &trace_options.path, 0,
     "record what happens into this file (see vmm trace)", "FILE"},
    {"trace-events", 0, POPT_ARG_STRING, &trace_options.events, 0,
     "only these events, such as exit,pio,queue_kick, or all but some: -emulate_insn (default all)", "LIST"},
    {"trace-filter", 0, POPT_ARG_STRING, &trace_options.filter, 0,
     "only records for which this is true, such as 'addr >= 0x3f8 && addr < 0x400 && write'", "EXPR"},
    {"trace-buffer", 0, POPT_ARG_STRING, NULL, OPTION_TRACE_BUFFER,
     "bytes of each thread's ring (default 1M); or one more buffer: name=NAME, and behind commas any of "
     "size=SIZE, mode=MODE, full=FULL, events=EVENT+EVENT, filter=EXPR; may be repeated",
     "BUFFER"},
    {"trace-mode", 0, POPT_ARG_STRING, &trace_options.mode, 0,
     "when rings go to the file: stream (all the time; default), ring (at the end), snapshot (at the "
     "trigger)",
     "MODE"},
    {"trace-full", 0, POPT_ARG_STRING, &trace_options.full, 0,
     "what a full ring loses: the oldest record (overwrite), the new one (stop; default with stream)",
     "FULL"},
    {"trace-trigger", 0, POPT_ARG_STRING, &trace_options.trigger, 0,
     "write the rings when this is true of a record: [snapshot[:N] if ]EXPR, or traceoff if EXPR", "TRIGGER"},
    {"trace-marker", 0, POPT_ARG_STRING, &trace_options.marker, 0,
     "where the guest writes text into the trace (default 0x504), or off", "PORT"},
    POPT_TABLEEND};

static const char *const mode_names[] = {
    [VMM_TRACE_STREAM] = "stream", [VMM_TRACE_RING] = "ring", [VMM_TRACE_SNAPSHOT] = "snapshot", NULL};
static const char *const full_names[] = {[VMM_TRACE_FULL_AUTO] = "auto",
                                         [VMM_TRACE_FULL_OVERWRITE] = "overwrite",
                                         [VMM_TRACE_FULL_STOP] = "stop",
                                         NULL};

bool trace_options_add_buffer(char *argument)
{
    if (trace_options.size_count == TRACE_BUFFERS) {
        free(argument);
        cli_usage("run", "--trace-buffer: at most %d of them", TRACE_BUFFERS);
        return false;
    }
    trace_options.sizes[trace_options.size_count++] = argument;
    return true;
}

static bool parse_size(const char *text, uint64_t *bytes)
{
    if (cli_parse_size(text, bytes))
        return true;
    cli_usage("run", "--trace-buffer: '%s' is not a size; write 64K or 4M", text);
    return false;
}

/* How a buffer is kept where nothing is said of it: whoever gives a trigger wants what was before it. */
static enum vmm_trace_mode usual_mode(const char *trigger)
{
    if (!trigger)
        return VMM_TRACE_STREAM;
    return strncmp(trigger, "traceoff", 8) ? VMM_TRACE_SNAPSHOT : VMM_TRACE_RING;
}

/* Cuts filter=EXPR off, which takes all the rest, commas and all; *rest is NULL where nothing is before it.
 */
static const char *cut_filter(char **rest)
{
    static const char key[] = "filter=";
    char *at = *rest;
    while (at && strncmp(at, key, strlen(key))) {
        at = strchr(at, ',');
        at += at ? 1 : 0;
    }
    if (!at)
        return NULL;
    if (at == *rest)
        *rest = NULL;
    else
        at[-1] = 0;
    return at + strlen(key);
}

static bool parse_buffer(char *argument, struct vmm_trace_buffer *buffer)
{
    const char *events = NULL;
    unsigned mode = buffer->mode, full = buffer->full;
    char *rest = argument;
    buffer->filter = cut_filter(&rest);
    const struct device_key keys[] = {
        {"name", KEY_TEXT, &buffer->name, NULL}, {"size", KEY_SIZE, &buffer->bytes, NULL},
        {"mode", KEY_CHOICE, &mode, mode_names}, {"full", KEY_CHOICE, &full, full_names},
        {"events", KEY_TEXT, &events, NULL},     {"filter", KEY_TEXT, &buffer->filter, NULL}};
    if (!keys_parse("trace-buffer", "a buffer", rest, keys, ARRAY_COUNT(keys)))
        return false;
    for (char *at = events ? argument + (events - argument) : NULL; at && *at; at++)
        if (*at == '+')
            *at = ',';
    buffer->events = events;
    buffer->mode = mode;
    buffer->full = full;
    if (buffer->name && *buffer->name)
        return true;
    cli_usage("run", "--trace-buffer: a buffer needs name=NAME");
    return false;
}

static bool parse_marker(const char *text, struct vmm_trace_config *config)
{
    uint64_t port;
    if (!text)
        return true;
    config->no_marker = strcmp(text, "off") == 0;
    if (config->no_marker)
        return true;
    if (cli_parse_size(text, &port) && port && port <= 0xffff) {
        config->marker_port = (uint16_t)port;
        return true;
    }
    cli_usage("run", "--trace-marker: '%s' is not a port; write 0x504, or off", text);
    return false;
}

/* The buffer of the plain options. */
static bool parse_main(struct trace_options *options, struct vmm_trace_buffer *buffer)
{
    unsigned choice;
    buffer->events = options->events;
    buffer->filter = options->filter;
    buffer->mode = usual_mode(options->trigger);
    if (options->mode) {
        if (!cli_choose("trace-mode", options->mode, mode_names, &choice))
            return false;
        buffer->mode = choice;
    }
    if (options->full) {
        if (!cli_choose("trace-full", options->full, full_names, &choice))
            return false;
        buffer->full = choice;
    }
    return true;
}

/* What the buffers say together. */
static bool check_buffers(const struct vmm_trace_config *config)
{
    bool has_snapshots = config->trigger && usual_mode(config->trigger) == VMM_TRACE_SNAPSHOT;
    if (config->buffer_count > TRACE_BUFFERS) {
        cli_usage("run", "--trace-buffer: at most %d buffers, with that of the plain options", TRACE_BUFFERS);
        return false;
    }
    for (size_t i = 0; i < config->buffer_count; i++) {
        const struct vmm_trace_buffer *buffer = &config->buffers[i];
        for (size_t j = 0; j < i; j++) {
            if (strcmp(buffer->name, config->buffers[j].name))
                continue;
            cli_usage("run", "--trace-buffer: there are two buffers '%s'; give each a name of its own",
                      buffer->name);
            return false;
        }
        if (buffer->mode == VMM_TRACE_SNAPSHOT && !has_snapshots) {
            cli_usage("run", "--trace-mode: snapshot needs a trigger that takes one: add "
                             "--trace-trigger EXPR, or write ring, to have the rings at the end");
            return false;
        }
    }
    return true;
}

static bool parse_buffers(struct trace_options *options)
{
    struct vmm_trace_buffer *usual = &options->buffers[0];
    unsigned count = 1;
    for (unsigned i = 0; i < options->size_count; i++) {
        char *text = options->sizes[i];
        if (*text >= '0' && *text <= '9') {
            if (!parse_size(text, &usual->bytes))
                return false;
            continue;
        }
        options->buffers[count].mode = usual_mode(options->trigger);
        if (!parse_buffer(text, &options->buffers[count++]))
            return false;
    }
    bool is_usual_wanted = count == 1 || usual->bytes || options->events || options->filter ||
                           options->mode || options->full;
    usual->name = "main";
    options->config.buffers = is_usual_wanted ? usual : usual + 1;
    options->config.buffer_count = is_usual_wanted ? count : count - 1;
    return parse_main(options, usual) && check_buffers(&options->config);
}

bool trace_options_parse(void)
{
    struct trace_options *options = &trace_options;
    options->config = (struct vmm_trace_config){.path = options->path, .trigger = options->trigger};
    if (!options->path) {
        bool is_odd = options->events || options->filter || options->mode || options->full ||
                      options->trigger || options->marker || options->size_count;
        if (is_odd)
            cli_usage("run", "which file is the trace to go to? Add --trace FILE");
        return !is_odd;
    }
    return parse_marker(options->marker, &options->config) && parse_buffers(options);
}

void trace_options_fini(void)
{
    for (unsigned i = 0; i < trace_options.size_count; i++)
        free(trace_options.sizes[i]);
}

void trace_options_conclude(struct vmm *machine)
{
    const struct vmm_trace_config *config = &trace_options.config;
    struct vmm_trace_stats stats;
    if (!config->path || !config->trigger)
        return;
    vmm_trace_stats_get(machine, &stats);
    if (!stats.trigger_count && !stats.written_count)
        cli_warning("the trigger never fired: %s has no records", config->path);
}

void trace_options_restart(void)
{
    struct trace_options *options = &trace_options;
    if (!options->config.path)
        return;
    snprintf(options->restart_path, sizeof(options->restart_path), "%.4080s.%u", options->path,
             ++options->restart_count + 1);
    options->config.path = options->restart_path;
}
