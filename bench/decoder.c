/* SPDX-License-Identifier: MIT
 *
 * bench_decoder: what decoding costs, against Zydis and Capstone in the same run. Hot: a real binary's code
 * swept linearly, all operands included, in batches that take turns. Cold: one random instruction after the
 * caches, the branch history and the TLBs were swept. Instructions executed come from callgrind
 * (--callgrind), where virtual machines have no counters of their own. docs/decoder-proof.md says how to read
 * the table.
 */
#include "bench/decoder_size.h"
#include "bench/decoder_sweeps.h"
#include "tests/decoder/anatomy.h"
#include "tests/decoder/corpus.h"

#include <dlfcn.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#ifndef BENCH_DECODER_OBJECTS
#define BENCH_DECODER_OBJECTS ""
#endif

#define DECODERS     4
#define WINDOW_BYTES 65536
#define WINDOWS      48
#define ROUNDS       5
#define COLD_SAMPLES 400
#define SWEEP_BYTES  (48u << 20)
#define STUB_BYTES   (2u << 20)

struct figures {
    double ns;       /* for an instruction, median of the batches */
    double executed; /* instructions for an instruction; 0 unknown */
    double cold, cold_p90, hot_cycles;
    uint64_t bytes; /* code and tables */
    uint64_t decoded;
};

struct options {
    const char *path;
    const char *count; /* the decoder to sweep alone, for callgrind */
    unsigned long limit;
    unsigned long long seed;
    bool json, callgrind;
};

static volatile uint64_t sink;

static int by_value(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

/* The value below which `percent` of the sorted samples lie. */
static double percentile(double *samples, unsigned count, unsigned percent)
{
    qsort(samples, count, sizeof(samples[0]), by_value);
    return samples[(uint64_t)(count - 1) * percent / 100];
}

/* Of this thread: what others take away on a busy machine does not count. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The largest executable section. */
static const uint8_t *find_text(const struct corpus_file *file, size_t *len)
{
    unsigned best = 0;
    for (unsigned i = 1; i < file->count; i++)
        if (file->sections[i].len > file->sections[best].len)
            best = i;
    *len = file->count ? file->sections[best].len : 0;
    return file->sections[best].bytes;
}

static void measure_hot(struct figures *figures, const uint8_t *text, size_t len)
{
    static double samples[DECODERS][WINDOWS * ROUNDS];
    size_t window = len < WINDOW_BYTES * 2 ? len / 2 : WINDOW_BYTES;
    unsigned count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < WINDOWS; i++, count++) {
            const uint8_t *bytes = text + (len - window) / WINDOWS * i;
            for (unsigned turn = 0; turn < sweep_decoder_count; turn++) {
                unsigned which = (turn + count) % sweep_decoder_count;
                double start = seconds();
                struct sweep_result result = sweep_decoders[which].sweep(bytes, window);
                samples[which][count] = (seconds() - start) * 1e9 / (double)result.instructions;
                figures[which].decoded += result.instructions;
                sink += result.checksum;
            }
        }
    }
    for (unsigned i = 0; i < sweep_decoder_count; i++)
        figures[i].ns = percentile(samples[i], count, 50);
}

/* What evicts: a buffer larger than the last-level cache, and more code, a branch in every line, than the
 * instruction caches and branch predictors hold. */
struct sweeper {
    uint8_t *data;
    uint8_t *stubs;
};

static bool sweeper_init(struct sweeper *sweeper)
{
    sweeper->data = mmap(NULL, SWEEP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sweeper->stubs = mmap(NULL, STUB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sweeper->data == MAP_FAILED || sweeper->stubs == MAP_FAILED)
        return false;
    memset(sweeper->data, 1, SWEEP_BYTES);
    memset(sweeper->stubs, 0xc3, STUB_BYTES); /* ret */
    return !mprotect(sweeper->stubs, STUB_BYTES, PROT_READ | PROT_EXEC);
}

static void sweeper_run(struct sweeper *sweeper)
{
    for (size_t at = 0; at < SWEEP_BYTES; at += 64)
        sweeper->data[at]++;
    for (size_t at = 0; at < STUB_BYTES; at += 64) {
        void (*stub)(void);
        void *address = sweeper->stubs + at;
        memcpy(&stub, &address, sizeof(stub));
        stub();
    }
}

static double cycles_of(const struct sweep_decoder *decoder, const uint8_t *bytes)
{
    unsigned aux;
    _mm_lfence();
    uint64_t start = __rdtsc();
    _mm_lfence();
    sink += decoder->once(bytes, 15);
    uint64_t end = __rdtscp(&aux);
    _mm_lfence();
    return (double)(end - start);
}

/* The bytes are warm: a VMM has just fetched them. The same instruction follows hot, for what the clock
 * itself takes. */
static void measure_cold(struct figures *figures, const uint8_t *text, size_t len, uint64_t seed)
{
    static double cold[DECODERS][COLD_SAMPLES], hot[DECODERS][COLD_SAMPLES];
    struct sweeper sweeper;
    if (!sweeper_init(&sweeper))
        return;
    uint64_t state = seed * 2 + 1;
    for (unsigned i = 0; i < COLD_SAMPLES; i++) {
        uint8_t bytes[16];
        memcpy(bytes, text + random_next(&state) % (len - 16), 16);
        if (!sweep_decoders[1].once(bytes, 15))
            continue;
        for (unsigned turn = 0; turn < sweep_decoder_count; turn++) {
            unsigned which = (turn + i) % sweep_decoder_count;
            sweeper_run(&sweeper);
            sink += *(volatile const uint8_t *)bytes;
            cold[which][i] = cycles_of(&sweep_decoders[which], bytes);
            hot[which][i] = cycles_of(&sweep_decoders[which], bytes);
        }
    }
    for (unsigned i = 0; i < sweep_decoder_count; i++) {
        figures[i].cold = percentile(cold[i], COLD_SAMPLES, 50);
        figures[i].cold_p90 = percentile(cold[i], COLD_SAMPLES, 90);
        figures[i].hot_cycles = percentile(hot[i], COLD_SAMPLES, 50);
    }
    munmap(sweeper.data, SWEEP_BYTES);
    munmap(sweeper.stubs, STUB_BYTES);
}

/* Under callgrind: one decoder alone, and how many instructions it decoded, on standard output. */
static int count_alone(const struct options *options, const uint8_t *text, size_t len)
{
    for (unsigned i = 0; i < sweep_decoder_count; i++) {
        if (strcmp(sweep_decoders[i].name, options->count))
            continue;
        struct sweep_result result = sweep_decoders[i].sweep(
            text + len / 3, len / 3 < options->limit ? len / 3 : options->limit);
        sink += result.checksum;
        printf("%llu\n", (unsigned long long)result.instructions);
        return 0;
    }
    return 2;
}

/* "totals: N" (or "summary: N") of a callgrind file. */
static double read_totals(const char *path)
{
    char line[256];
    unsigned long long total = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "totals: %llu", &total) == 1)
            break;
    if (file)
        fclose(file);
    return (double)total;
}

static double run_callgrind(const struct options *options, const struct sweep_decoder *decoder)
{
    char out[64], command[1200], self[512] = {0};
    unsigned long long decoded = 0;
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 0;
    snprintf(out, sizeof(out), "/tmp/bench-decoder-%d.out", (int)getpid());
    snprintf(command, sizeof(command),
             "valgrind --tool=callgrind %s --callgrind-out-file=%s '%s' --count %s --limit "
             "%lu '%s' 2>/dev/null",
             decoder->symbols, out, self, decoder->name, options->limit, options->path);
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%llu", &decoded) != 1)
        decoded = 0;
    if (pipe)
        pclose(pipe);
    double total = read_totals(out);
    unlink(out);
    return decoded ? total / (double)decoded : 0;
}

/* Ours: the decoder's own objects. Theirs: the shared library; of Capstone, where its archive is there, what
 * a program that wants x86 alone links. */
static void measure_sizes(struct figures *figures)
{
    static const char *const capstone_members[] = {
        "X86", "cs.o", "utils.o", "SStream.o", "MCInst", "MCRegisterInfo.o", NULL};
    char objects[] = BENCH_DECODER_OBJECTS;
    for (char *path = strtok(objects, ":"); path; path = strtok(NULL, ":"))
        figures[0].bytes += size_of_elf(path);
    Dl_info info;
    if (dladdr(dlsym(RTLD_DEFAULT, "ZydisDecoderInit"), &info))
        figures[1].bytes = figures[2].bytes = size_of_elf(info.dli_fname);
    if (!dladdr(dlsym(RTLD_DEFAULT, "cs_open"), &info))
        return;
    char archive[512];
    snprintf(archive, sizeof(archive), "%s", info.dli_fname);
    char *end = strstr(archive, ".so");
    if (end)
        memcpy(end, ".a", 3);
    figures[3].bytes = size_of_archive(archive, capstone_members);
    if (!figures[3].bytes)
        figures[3].bytes = size_of_elf(info.dli_fname);
}

static void print_json(const struct options *options, const struct figures *figures)
{
    printf("{\"file\":\"%s\",\"seed\":%llu,\"decoders\":[", options->path, options->seed);
    for (unsigned i = 0; i < sweep_decoder_count; i++)
        printf(
            "%s{\"name\":\"%s\",\"ns\":%.1f,\"executed\":%.0f,\"cold_cycles\":%.0f,\"cold_cycles_p90\":%.0f,"
            "\"once_hot_cycles\":%.0f,\"bytes\":%llu,\"decoded\":%llu}",
            i ? "," : "", sweep_decoders[i].name, figures[i].ns, figures[i].executed, figures[i].cold,
            figures[i].cold_p90, figures[i].hot_cycles, (unsigned long long)figures[i].bytes,
            (unsigned long long)figures[i].decoded);
    printf("]}\n");
}

static void print_table(const struct options *options, const struct figures *figures)
{
    printf("%s, seed %llu\n", options->path, options->seed);
    printf("%-14s %10s %10s %12s %12s %12s %10s\n", "decoder", "ns/insn", "executed", "cold cycles",
           "cold p90", "once, hot", "KiB");
    for (unsigned i = 0; i < sweep_decoder_count; i++) {
        char executed[16] = "-";
        if (figures[i].executed > 0)
            snprintf(executed, sizeof(executed), "%.0f", figures[i].executed);
        printf("%-14s %10.1f %10s %12.0f %12.0f %12.0f %10.1f\n", sweep_decoders[i].name, figures[i].ns,
               executed, figures[i].cold, figures[i].cold_p90, figures[i].hot_cycles,
               (double)figures[i].bytes / 1024);
    }
    printf("zydis / ours   %9.1fx %9.1fx %11.1fx %11.1fx\n", figures[1].ns / figures[0].ns,
           figures[0].executed > 0 ? figures[1].executed / figures[0].executed : 0.0,
           figures[1].cold / figures[0].cold, figures[1].cold_p90 / figures[0].cold_p90);
}

static void usage(FILE *out)
{
    fprintf(out, "usage: bench_decoder [--json] [--callgrind] [--limit BYTES] [--seed N] [FILE]\n\n"
                 "Decodes the largest executable section of FILE (default: the first of the test corpus that "
                 "is here).\n"
                 "  --callgrind    count executed instructions too (needs valgrind; slower)\n"
                 "  --limit BYTES  how much callgrind sweeps (default 400000)\n");
}

static bool parse_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {{"json", 0, 0, 'j'},
                                          {"callgrind", 0, 0, 'g'},
                                          {"limit", 1, 0, 'l'},
                                          {"seed", 1, 0, 's'},
                                          {"count", 1, 0, 'c'},
                                          {"help", 0, 0, 'h'},
                                          {0}};
    int option;
    *options = (struct options){.limit = 400000, .seed = 1};
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'j')
            options->json = true;
        else if (option == 'g')
            options->callgrind = true;
        else if (option == 'l')
            options->limit = strtoul(optarg, NULL, 0);
        else if (option == 's')
            options->seed = strtoull(optarg, NULL, 0);
        else if (option == 'c')
            options->count = optarg;
        else
            return false;
    }
    for (unsigned i = 0; optind >= argc && corpus_paths[i] && !options->path; i++)
        if (!access(corpus_paths[i], R_OK))
            options->path = corpus_paths[i];
    if (optind < argc)
        options->path = argv[optind];
    return options->path != NULL;
}

static void measure(const struct options *options, const uint8_t *text, size_t len)
{
    struct figures figures[DECODERS] = {0};
    measure_hot(figures, text, len);
    measure_cold(figures, text, len, options->seed);
    measure_sizes(figures);
    for (unsigned i = 0; options->callgrind && i < sweep_decoder_count; i++)
        figures[i].executed = run_callgrind(options, &sweep_decoders[i]);
    if (options->json)
        print_json(options, figures);
    else
        print_table(options, figures);
}

int main(int argc, char **argv)
{
    struct options options;
    struct corpus_file file;
    size_t len;
    if (!parse_options(&options, argc, argv)) {
        usage(stderr);
        return 2;
    }
    int result = corpus_open(&file, options.path);
    if (result < 0) {
        fprintf(stderr, "bench_decoder: cannot use %s: %s\n", options.path, strerror(-result));
        return 1;
    }
    const uint8_t *text = find_text(&file, &len);
    sweep_init();
    if (len < 4096)
        fprintf(stderr, "bench_decoder: %s has too little code\n", options.path);
    else if (options.count)
        result = count_alone(&options, text, len);
    else
        measure(&options, text, len);
    corpus_close(&file);
    return len < 4096 ? 1 : result;
}
