/* SPDX-License-Identifier: MIT
 *
 * `vmm trace` on a trace that is made here: two vCPUs, an event loop and a disk with requests. The JSON is
 * held to the rules of the Trace Event Format, CSV to RFC 4180, the report to what was put in. No KVM.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/trace_file.h"
#include "base/trace_ring.h"
#include "base/types.h"
#include "tests/vmm/program.h"

#define US 2000u /* ticks of a TSC at 2 GHz; the file's clock is this host's */

static struct program_run run;
static char path[] = "/tmp/vmm-trace-XXXXXX";
static uint64_t now;

static const char *const reasons[] = {[2] = "IO", [3] = "a \"b\", c", [6] = "MMIO"};

static void record_exit(unsigned reason, uint64_t rip, uint64_t address, unsigned us)
{
    const struct trace_record record = {.time = now,
                                        .duration = us * US,
                                        .event = TRACE_EXIT,
                                        .size = 1,
                                        .flags = TRACE_WRITE,
                                        .rip = rip,
                                        .address = address,
                                        .value = 'a',
                                        .index = reason,
                                        .count = 1};
    trace_record(&record);
}

static void record_access(unsigned event, const char *device, uint64_t address, unsigned us)
{
    const struct trace_record record = {.time = now + US / 4,
                                        .duration = us * US - US / 2,
                                        .event = (uint8_t)event,
                                        .size = 1,
                                        .flags = TRACE_WRITE,
                                        .device = device,
                                        .address = address,
                                        .value = 'a',
                                        .count = 1};
    trace_record(&record);
}

/* At a time of the test's choice, a record that a trace point would make now. */
static void record_at(uint64_t time, unsigned event, uint32_t index, uint64_t id)
{
    const struct trace_record record = {.time = time,
                                        .event = (uint8_t)event,
                                        .device = "virtio-blk0",
                                        .value = 4096,
                                        .index = index,
                                        .id = id};
    trace_record(&record);
}

static void record_entry(void)
{
    const struct trace_record record = {.time = now, .event = TRACE_ENTRY};
    trace_record(&record);
}

static void add_code(uint64_t rip, const char *bytes, unsigned len)
{
    struct trace_record code = {
        .event = TRACE_CODE, .size = 64, .len = (uint8_t)len, .rip = rip, .address = rip, .value = rip};
    memcpy(code.bytes, bytes, len);
    trace_code_add(&code);
}

/* vCPU 0: a hundred writes to the serial port, then a kick for each of three requests. */
static void record_first_cpu(void)
{
    record_entry();
    add_code(0x1000, "\xee", 1);
    add_code(0x2000, "\x89\x07", 2);
    for (unsigned i = 0; i < 100; i++, now += 20 * US) {
        record_exit(2, 0x1000, 0x3f8, 10);
        record_access(TRACE_PIO, "serial", 0x3f8, 10);
    }
    trace_marker("requests \"now\"", 14);
    for (unsigned i = 0; i < 12; i++, now += 50 * US) {
        record_exit(6, 0x2000, 0xd0000050, 5);
        record_access(TRACE_MMIO, "virtio-blk0", 0xd0000050, 5);
        record_at(now + 2 * US, TRACE_QUEUE_KICK, 0, 0);
    }
}

/* The event loop: what becomes of the twelve requests. */
static void record_loop(uint64_t start)
{
    for (unsigned i = 0; i < 12; i++, start += 50 * US) {
        record_at(start + 10 * US, TRACE_QUEUE_POP, 0, i % 4);
        record_at(start + 12 * US, TRACE_REQUEST_ISSUE, TRACE_OPERATION_WRITE, i % 4);
        record_at(start + 30 * US, TRACE_REQUEST_DONE, TRACE_OPERATION_WRITE, i % 4);
        record_at(start + 31 * US, TRACE_QUEUE_PUSH, 0, i % 4);
        record_at(start + 33 * US, TRACE_QUEUE_INTERRUPT, 0, 0);
    }
}

static struct trace *begin_trace(void)
{
    const struct trace_buffer_config buffer = {.name = "main", .events = ~0ull};
    const struct trace_config config = {.path = path,
                                        .buffers = &buffer,
                                        .buffer_count = 1,
                                        .names = {.reasons = reasons, .reason_count = 7}};
    struct trace *trace;
    strcpy(path, "/tmp/vmm-trace-XXXXXX");
    close(mkstemp(path));
    ck_assert_int_eq(trace_create(&config, &trace, NULL), 0);
    return trace;
}

static void end_trace(struct trace *trace)
{
    trace_attach(NULL);
    ck_assert_int_eq(trace_finish(trace, "power-off", NULL), 0);
    trace_destroy(trace);
}

static void make_trace(void)
{
    struct trace *trace = begin_trace();
    struct trace_thread *cpus[2], *loop;
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 0", 0, &cpus[0], NULL), 0);
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 1", 1, &cpus[1], NULL), 0);
    ck_assert_int_eq(trace_add_thread(trace, "events", -1, &loop, NULL), 0);
    trace_add_region(trace, &(struct trace_region){"serial", "", 0x3f8, 8, 'p'});
    trace_add_region(trace, &(struct trace_region){"virtio-blk0", "kvm", 0xd0000000, 0x200, 'm'});
    now = trace_now();
    trace_attach(cpus[0]);
    record_first_cpu();
    trace_attach(loop);
    record_loop(now - 12 * 50 * US);
    trace_attach(cpus[1]);
    now += 1000 * US;
    record_entry();
    record_access(TRACE_PIO, "serial", 0x3f8, 3); /* in no exit */
    end_trace(trace);
}

static void remove_trace(void)
{
    unlink(path);
}

static void run_on_trace(const char *command, int status)
{
    char line[200];
    snprintf(line, sizeof(line), "%s %s", command, path);
    program_run(line, &run);
    ck_assert_msg(run.status == status, "%s: status %d, %s", line, run.status, run.err);
}

/* ---- The rules of the Trace Event Format ---- */

struct span {
    long long pid, tid;
    double start, end;
};

static struct span spans[4000];
static size_t span_count;

static double number(const json_t *event, const char *member)
{
    const json_t *value = json_object_get(event, member);
    ck_assert_msg(json_is_number(value), "a member %s is missing", member);
    return json_number_value(value);
}

static const char *string(const json_t *event, const char *member)
{
    const json_t *value = json_object_get(event, member);
    ck_assert_msg(json_is_string(value), "a member %s is missing", member);
    return json_string_value(value);
}

static long long integer(const json_t *event, const char *member)
{
    const json_t *value = json_object_get(event, member);
    ck_assert_msg(json_is_integer(value), "a member %s is missing", member);
    return json_integer_value(value);
}

/* Slices of a track lie beside or inside of each other, as a viewer computes them: in floating point. */
static void check_nesting(void)
{
    for (size_t i = 0; i < span_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct span *a = &spans[i], *b = &spans[j];
            if (a->pid != b->pid || a->tid != b->tid)
                continue;
            bool apart = a->end <= b->start || b->end <= a->start;
            bool inside = (a->start >= b->start && a->end <= b->end) ||
                          (b->start >= a->start && b->end <= a->end);
            ck_assert_msg(apart || inside, "slices %f-%f and %f-%f cross", a->start, a->end, b->start,
                          b->end);
        }
}

static bool has_slice_at(long long pid, long long tid, double time)
{
    for (size_t i = 0; i < span_count; i++)
        if (spans[i].pid == pid && spans[i].tid == tid && spans[i].start <= time + 1e-6 &&
            spans[i].end >= time - 1e-6)
            return true;
    return false;
}

#define FLOW_LIMIT 64

struct flow {
    unsigned starts, steps, ends, begins, finishes;
    double last;
};

static struct flow flows[FLOW_LIMIT];

static void check_flow(const json_t *event, char phase)
{
    long long id = integer(event, "id");
    ck_assert_int_ge(id, 0);
    ck_assert_int_lt(id, FLOW_LIMIT);
    struct flow *flow = &flows[id];
    double time = number(event, "ts");
    if (phase == 'b' || phase == 'e') {
        flow->begins += phase == 'b';
        flow->finishes += phase == 'e';
        return;
    }
    ck_assert_msg(has_slice_at(integer(event, "pid"), integer(event, "tid"), time),
                  "an arrow at %f has no slice", time);
    ck_assert(phase == 's' || flow->starts == 1);
    ck_assert_int_eq(flow->ends, 0);
    ck_assert(time >= flow->last);
    flow->last = time;
    flow->starts += phase == 's';
    flow->steps += phase == 't';
    flow->ends += phase == 'f';
}

static void check_event(const json_t *event)
{
    const char *phase = string(event, "ph");
    long long pid = integer(event, "pid"), tid = integer(event, "tid");
    ck_assert_uint_eq(strlen(phase), 1);
    ck_assert_ptr_nonnull(strchr("MXistfbe", *phase));
    ck_assert_uint_gt(strlen(string(event, "name")), 0);
    switch (*phase) {
    case 'M':
        ck_assert(strcmp(string(event, "name"), "process_name") == 0 ||
                  strcmp(string(event, "name"), "thread_name") == 0);
        string(json_object_get(event, "args"), "name");
        return;
    case 'X':
        ck_assert(number(event, "dur") >= 0);
        ck_assert_uint_lt(span_count, ARRAY_COUNT(spans));
        spans[span_count++] = (struct span){pid, tid, number(event, "ts"),
                                            number(event, "ts") + number(event, "dur")};
        break;
    case 'i':
        ck_assert_ptr_nonnull(strchr("tpg", *string(event, "s")));
    }
    number(event, "ts");
    string(event, "cat");
}

static json_t *load_json(void)
{
    json_error_t error;
    char out[] = "/tmp/vmm-trace-json-XXXXXX", command[120];
    close(mkstemp(out));
    snprintf(command, sizeof(command), "trace convert --to perfetto -o %s", out);
    run_on_trace(command, 0);
    json_t *json = json_load_file(out, 0, &error);
    unlink(out);
    ck_assert_msg(json != NULL, "line %d: %s", error.line, error.text);
    return json;
}

START_TEST(perfetto_json_follows_the_rules)
{
    make_trace();
    json_t *json = load_json(), *events = json_object_get(json, "traceEvents"), *event;
    size_t i;
    ck_assert(json_is_array(events));
    ck_assert_uint_gt(json_array_size(events), 300);
    json_array_foreach(events, i, event) check_event(event);
    check_nesting();
    json_array_foreach(events, i, event) if (strchr("stfbe", *string(event, "ph")))
        check_flow(event, *string(event, "ph"));
    unsigned complete = 0;
    for (unsigned id = 0; id < FLOW_LIMIT; id++) {
        ck_assert_uint_eq(flows[id].starts, flows[id].ends);
        ck_assert_uint_eq(flows[id].begins, flows[id].finishes);
        complete += flows[id].starts == 1 && flows[id].steps == 4;
    }
    ck_assert_uint_eq(complete, 12);
    json_decref(json);
    remove_trace();
}
END_TEST

START_TEST(perfetto_json_has_tracks_and_guest_time)
{
    make_trace();
    json_t *json = load_json(), *event;
    unsigned guest = 0, host = 0, tracks = 0, markers = 0, devices = 0;
    size_t i;
    json_array_foreach(json_object_get(json, "traceEvents"), i, event)
    {
        const char *name = string(event, "name"), *phase = string(event, "ph");
        guest += strcmp(name, "guest") == 0;
        host += strcmp(name, "IO write serial") == 0;
        tracks += strcmp(name, "thread_name") == 0;
        markers += *phase == 'i' && strcmp(name, "requests \"now\"") == 0;
        devices += *phase == 'X' && integer(event, "pid") == 2;
    }
    ck_assert_uint_eq(guest, 112);
    ck_assert_uint_eq(host, 100);
    ck_assert_uint_eq(tracks, 5); /* two vCPUs, the loop, the serial port, the disk */
    ck_assert_uint_eq(markers, 1);
    ck_assert_uint_eq(devices, 113);
    json_decref(json);
    remove_trace();
}
END_TEST

/* Where software executes the guest, accesses are in no exit. */
START_TEST(guest_time_with_accesses_in_it_lasts_until_the_exit)
{
    struct trace *trace = begin_trace();
    struct trace_thread *cpu;
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 0", 0, &cpu, NULL), 0);
    now = trace_now();
    trace_attach(cpu);
    record_entry();
    for (unsigned i = 0; i < 3; i++) {
        now += 10 * US;
        record_access(TRACE_PIO, "serial", 0x3f8, 3);
    }
    now += 50 * US;
    record_exit(2, 0x1000, 0x3f8, 10);
    end_trace(trace);
    json_t *json = load_json(), *event;
    double begin = 0, end = 0, exit = 0;
    size_t i;
    json_array_foreach(json_object_get(json, "traceEvents"), i, event)
    {
        check_event(event);
        if (strcmp(string(event, "name"), "guest") == 0)
            begin = number(event, "ts"), end = begin + number(event, "dur");
        if (*string(event, "ph") == 'X' && strncmp(string(event, "name"), "IO write", 8) == 0)
            exit = number(event, "ts");
    }
    check_nesting();
    ck_assert_msg(begin > 0 && end > exit - 0.01 && end < exit, "%f-%f, exit at %f", begin, end, exit);
    json_decref(json);
    remove_trace();
}
END_TEST

START_TEST(text_has_a_line_for_each_record)
{
    make_trace();
    run_on_trace("trace convert --to text --filter exit", 0);
    unsigned lines = 0;
    for (const char *at = run.out; (at = strchr(at, '\n')); at++)
        lines++;
    ck_assert_uint_eq(lines, 112);
    ck_assert_ptr_nonnull(strstr(run.out, "us: exit IO write 0x3f8, 1 byte 0x61, rip 0x1000"));
    ck_assert_ptr_nonnull(strstr(run.out, "vCPU 0"));
    remove_trace();
}
END_TEST

/* Fields of a line, with quotes understood. */
static unsigned csv_fields(const char *line, const char *end)
{
    unsigned fields = 1;
    bool is_quoted = false;
    for (; line < end; line++) {
        is_quoted ^= *line == '"';
        fields += *line == ',' && !is_quoted;
    }
    ck_assert(!is_quoted);
    return fields;
}

START_TEST(csv_has_the_same_columns_everywhere)
{
    make_trace();
    run_on_trace("trace convert --to csv", 0);
    unsigned lines = 0;
    char *at = run.out, *end;
    for (; (end = strstr(at, "\r\n")); at = end + 2, lines++)
        ck_assert_uint_eq(csv_fields(at, end), 16);
    ck_assert_uint_gt(lines, 280);
    ck_assert_ptr_nonnull(strstr(run.out, ",\"requests \"\"now\"\"\"\r\n"));
    ck_assert_ptr_nonnull(strstr(run.out, "\"vCPU 0\",exit,\"IO\",write,,"));
    remove_trace();
}
END_TEST

/* The name of an exit reason comes from the file. */
START_TEST(csv_quotes_exit_reasons)
{
    struct trace *trace = begin_trace();
    struct trace_thread *cpu;
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 0", 0, &cpu, NULL), 0);
    trace_attach(cpu);
    now = trace_now();
    record_exit(3, 0x1000, 0x3f8, 10);
    end_trace(trace);
    run_on_trace("trace convert --to csv", 0);
    const char *row = strstr(run.out, "\r\n") + 2;
    ck_assert_uint_eq(csv_fields(row, row + strcspn(row, "\r")), 16);
    ck_assert_ptr_nonnull(strstr(row, ",exit,\"a \"\"b\"\", c\",write,"));
    remove_trace();
}
END_TEST

START_TEST(the_report_names_who_causes_exits)
{
    make_trace();
    run_on_trace("trace report", 0);
    static const char *const parts[] = {
        "the run ended by: power-off\n",
        "  IO                         100 ",
        "  MMIO                        12 ",
        "  serial                     101 ",
        "2 instructions cause 100 % of the exit time and 100 % of the exits\n",
        "  0x1000                     100 ",
        " IO serial 0x3f8\n",
        "would help: fewer writes: a quiet console",
        "would help: ioeventfd",
        "requests of virtio-blk0",
        "  kick      -> pop             12 ",
        "  issue     -> complete        12 ",
        "the slowest write, step by step:\n",
        "queue_interrupt virtio-blk0 queue 0\n",
        "requests \"now\"\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        ck_assert_msg(strstr(run.out, parts[i]), "'%s' is not in\n%s", parts[i], run.out);
    remove_trace();
}
END_TEST

/* Three requests by a guest that watches the ring, and one by the same guest when it waits: the interrupt is
 * that one's alone. */
START_TEST(who_polls_gets_no_interrupt)
{
    struct trace *trace = begin_trace();
    struct trace_thread *loop;
    ck_assert_int_eq(trace_add_thread(trace, "disk0", -1, &loop, NULL), 0);
    trace_attach(loop);
    now = trace_now();
    for (unsigned i = 0; i < 4; i++, now += 50 * US) {
        record_at(now, TRACE_QUEUE_KICK, 0, 0);
        record_at(now + 2 * US, TRACE_QUEUE_POP, 0, 5);
        record_at(now + 20 * US, TRACE_QUEUE_PUSH, 0, 5);
    }
    record_at(now, TRACE_QUEUE_INTERRUPT, 0, 0);
    end_trace(trace);
    run_on_trace("trace report", 0);
    ck_assert_ptr_nonnull(strstr(run.out, "  pop       -> push             4 "));
    ck_assert_ptr_nonnull(strstr(run.out, "  push      -> interrupt        1 "));
    remove_trace();
}
END_TEST

START_TEST(the_report_takes_symbols)
{
    make_trace();
    char map[] = "/tmp/vmm-map-XXXXXX", command[100];
    int fd = mkstemp(map);
    static const char text[] = "0000000000000800 T early\n0000000000000ff0 t put_byte\n"
                               "0000000000001f00 T kick\nnonsense\n0000000000005000 D data\n";
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(command, sizeof(command), "trace report --symbols %s", map);
    run_on_trace(command, 0);
    ck_assert_ptr_nonnull(strstr(run.out, "in put_byte+0x10\n"));
    ck_assert_ptr_nonnull(strstr(run.out, "in kick+0x100\n"));
    run_on_trace("trace report --symbols /dev/null", 4);
    ck_assert_ptr_nonnull(strstr(run.err, "/dev/null: is empty\n"));
    unlink(map);
    remove_trace();
}
END_TEST

START_TEST(a_cut_off_trace_is_shown_as_far_as_it_goes)
{
    make_trace();
    ck_assert_int_eq(truncate(path, 3000), 0);
    run_on_trace("trace report", 1);
    ck_assert_ptr_nonnull(strstr(run.err, "cut off at byte 3000"));
    ck_assert_ptr_nonnull(strstr(run.out, "this is what came before"));
    remove_trace();
}
END_TEST

/* What no trace point makes, and a file that somebody made up may have. */
static void make_odd_trace(void)
{
    static const uint8_t sizes[] = {48, 64, 255, 0}, lens[] = {15, 255, 255, 17};
    struct trace *trace = begin_trace();
    struct trace_thread *cpu;
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 0", 0, &cpu, NULL), 0);
    trace_attach(cpu);
    now = trace_now();
    for (unsigned i = 0; i < 4 * TRACE_EVENT_COUNT; i++) {
        struct trace_record record = {.time = now + i, .duration = ~0u, .event = (uint8_t)(i / 4)};
        record.size = record.event == TRACE_EXIT ? 4 : sizes[i % 4];
        record.len = lens[i % 4];
        memset(record.text, 0x90, sizeof(record.text));
        trace_record(&record);
    }
    end_trace(trace);
}

START_TEST(records_that_make_no_sense_are_shown)
{
    make_odd_trace();
    run_on_trace("trace convert --to text", 0);
    ck_assert_ptr_nonnull(strstr(run.out, "insn"));
    run_on_trace("trace convert --to csv", 0);
    run_on_trace("trace convert --to perfetto", 0);
    run_on_trace("trace report", 0);
    remove_trace();
}
END_TEST

START_TEST(a_trigger_that_never_fired_is_said)
{
    const struct trace_buffer_config buffer = {
        .name = "main", .events = ~0ull, .mode = TRACE_MODE_SNAPSHOT, .overwrite = true};
    const struct trace_config config = {
        .path = path, .buffers = &buffer, .buffer_count = 1, .trigger = "addr == 1"};
    struct trace *trace;
    strcpy(path, "/tmp/vmm-trace-XXXXXX");
    close(mkstemp(path));
    ck_assert_int_eq(trace_create(&config, &trace, NULL), 0);
    ck_assert_int_eq(trace_start(trace, NULL), 0);
    end_trace(trace);
    run_on_trace("trace report", 0);
    ck_assert_msg(strstr(run.out, "the trigger never fired: there are no snapshots\n"), "%s", run.out);
    remove_trace();
}
END_TEST

START_TEST(mistakes_are_answered)
{
    make_trace();
    static const struct {
        const char *line;
        int status;
        const char *message;
    } cases[] = {
        {"trace", 2, "what is to be done? There are convert and report\n"},
        {"trace reprot x", 2, "there is no 'reprot'; there are convert and report\n"},
        {"trace convert x", 2, "--to: choose from perfetto, text, csv\n"},
        {"trace convert --to pdf x", 2, "--to: choose from perfetto, text, csv\n"},
        {"trace report", 2, "which trace? No file was given\n"},
        {"trace report a b", 2, "one trace at a time: 'b' is one too many\n"},
        {"trace report --rwos 3 x", 2, "did you mean --rows?\n"},
        {"trace report -n 0 x", 2, "--rows: '0' is not a number from 1 on\n"},
        {"trace report -n -1 x", 2, "--rows: '-1' is not a number from 1 on\n"},
        {"trace report -n foo x", 2, "--rows: 'foo' is not a number from 1 on\n"},
        {"trace report /tmp", 4, "/tmp: is a directory"},
        {"trace report /no/such", 4, "/no/such: cannot open: No such file or directory\n"},
        {"trace report /dev/null", 4, "/dev/null: is empty\n"},
        {"trace report /proc/self/exe", 4, "this is no trace"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        program_run(cases[i].line, &run);
        ck_assert_msg(run.status == cases[i].status && strstr(run.err, cases[i].message),
                      "vmm %s: status %d, %s", cases[i].line, run.status, run.err);
    }
    run_on_trace("trace report --filter event==exti", 2);
    ck_assert_ptr_nonnull(strstr(run.err, "column 8: there is no event 'exti'; did you mean 'exit'?"));
    run_on_trace("trace report --filter addr==", 2);
    ck_assert_ptr_nonnull(strstr(run.err, "column 7: a number is missing"));
    remove_trace();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, perfetto_json_follows_the_rules);
    test_add(suite, perfetto_json_has_tracks_and_guest_time);
    test_add(suite, guest_time_with_accesses_in_it_lasts_until_the_exit);
    test_add(suite, text_has_a_line_for_each_record);
    test_add(suite, csv_has_the_same_columns_everywhere);
    test_add(suite, csv_quotes_exit_reasons);
    test_add(suite, the_report_names_who_causes_exits);
    test_add(suite, who_polls_gets_no_interrupt);
    test_add(suite, the_report_takes_symbols);
    test_add(suite, a_cut_off_trace_is_shown_as_far_as_it_goes);
    test_add(suite, records_that_make_no_sense_are_shown);
    test_add(suite, a_trigger_that_never_fired_is_said);
    test_add(suite, mistakes_are_answered);
}
