/* SPDX-License-Identifier: MIT
 *
 * `vmm decode`: what the decoder sees in bytes given as hex, from arguments or a line each from standard
 * input. The disassembly is Capstone's, where there is one.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disassembly.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/decode_view.h"

enum { OPTION_FEATURE = 1, OPTION_HELP };

static struct {
    const char *mode, *vendor, *format;
} options;

static const struct poptOption option_table[] = {
    {"mode", 'm', POPT_ARG_STRING, &options.mode, 0, "decode 16, 32 or 64-bit code (default 64)", "16|32|64"},
    {"vendor", 0, POPT_ARG_STRING, &options.vendor, 0, "where they differ, by whose rules (default intel)",
     "intel|amd"},
    {"feature", 0, POPT_ARG_STRING, NULL, OPTION_FEATURE,
     "switch on an extension that gives old encodings a new meaning, or off with no- before its name; may be "
     "repeated",
     "NAME[,NAME...]"},
    {"format", 'f', POPT_ARG_STRING, &options.format, 0, "text (default), or json: one object a line",
     "text|json"},
    {"help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "show this help", NULL},
    POPT_TABLEEND};

static const char help_tail[] =
    "\n"
    "Each HEX is the bytes of one instruction, as in 488b4308, 0x488b4308 or '48 8b 43 08'; what follows "
    "the\n"
    "instruction is ignored.\n"
    "Without HEX they are read from standard input, a line each.\n"
    "\n"
    "Features: cet, lzcnt, tzcnt, wbnoinvd (on unless switched off); apx, mpx, cldemote, prefetchit, "
    "knc.\n"
    "\n"
    "JSON members: bytes, mode, status (ok, invalid, too_long, truncated); where it is ok, length, "
    "mnemonic,\n"
    "lock, address_size, memory and, where the stack is accessed, stack (r, w, rw). A line that is not hex\n"
    "is answered by an object with the member error alone.\n"
    "\n"
    "Exit status:\n"
    "  0     every line was hex\n"
    "  1     there were lines that are not hex, have an odd number of digits, or are empty\n"
    "  2     the command line was not understood\n"
    "  4     the host: input or output failed\n"
    "\n"
    "Examples:\n"
    "  vmm decode 488b4308\n"
    "  vmm decode --mode 16 --format json 8b4701 f3a4\n"
    "  cut -f 2 traces.tsv | vmm decode --format json > decoded.json\n";

static const struct feature {
    const char *name;
    unsigned bit;
} features[] = {
    {"cet", INSN_FEATURE_CET},           {"lzcnt", INSN_FEATURE_LZCNT},
    {"tzcnt", INSN_FEATURE_TZCNT},       {"wbnoinvd", INSN_FEATURE_WBNOINVD},
    {"apx", INSN_FEATURE_APX},           {"mpx", INSN_FEATURE_MPX},
    {"cldemote", INSN_FEATURE_CLDEMOTE}, {"prefetchit", INSN_FEATURE_PREFETCHIT},
    {"knc", INSN_FEATURE_KNC},
};

#define FEATURE_COUNT ARRAY_COUNT(features)

#define WHY_BYTES 120

struct decode {
    struct insn_mode mode;
    bool json;
    bool bad_lines;
    uint8_t *bytes; /* of the line at hand */
    size_t capacity;
};

/* Capstone's text where it sees an instruction of the same length, else ours. */
static void print_disassembly(const struct decode *decode, const struct insn *insn)
{
    char text[224]; /* what Capstone's mnemonic and operands can have */
    if (disassemble(decode->mode.bits, decode->bytes, insn->length, 0, text, sizeof(text)) == insn->length)
        fputs(text, stdout);
    else
        decode_view_syntax(stdout, insn);
}

static void print_hex(const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        putchar_unlocked(digits[bytes[i] >> 4]);
        putchar_unlocked(digits[bytes[i] & 15]);
    }
}

static void print_text(struct decode *decode, size_t len, enum insn_status status, const struct insn *insn)
{
    static const char *const words[] = {
        [INSN_NEED_BYTES] = "truncated: the instruction goes on",
        [INSN_INVALID] = "invalid: raises #UD",
        [INSN_TOO_LONG] = "too long: more than 15 bytes raise #GP",
    };
    size_t shown = status == INSN_OK ? insn->length : len < INSN_BYTES_MAX ? len : INSN_BYTES_MAX;
    print_hex(decode->bytes, shown);
    printf("%*s", (int)(shown < 15 ? 32 - 2 * shown : 2), "");
    if (status != INSN_OK) {
        puts(words[status]);
        return;
    }
    print_disassembly(decode, insn);
    if (len > insn->length)
        printf("    (%u of %zu bytes)", insn->length, len);
    putchar('\n');
    decode_view_text(stdout, insn);
}

static void print_json(struct decode *decode, size_t len, enum insn_status status, const struct insn *insn)
{
    static const char *const words[] = {[INSN_OK] = "ok",
                                        [INSN_NEED_BYTES] = "truncated",
                                        [INSN_INVALID] = "invalid",
                                        [INSN_TOO_LONG] = "too_long"};
    fputs("{\"bytes\":\"", stdout);
    print_hex(decode->bytes, len);
    printf("\",\"mode\":%u,\"status\":\"%s\"", decode->mode.bits, words[status]);
    if (status == INSN_OK)
        decode_view_json(stdout, insn);
    puts("}");
}

static int digit_value(int letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter = tolower(letter);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static bool reserve(struct decode *decode, size_t len)
{
    if (len <= decode->capacity)
        return true;
    uint8_t *bytes = realloc(decode->bytes, len);
    if (!bytes)
        return false;
    decode->bytes = bytes;
    decode->capacity = len;
    return true;
}

/* What is wrong at this place of the line; into `why`, without what JSON would have to escape. */
static bool complain(char why[WHY_BYTES], const char *line, size_t at, size_t len)
{
    unsigned char letter = at < len ? (unsigned char)line[at] : ' ';
    if (isspace(letter) || digit_value(letter) >= 0)
        snprintf(why, WHY_BYTES, "column %zu: a byte has two hex digits: write 488b4308 or 48 8b 43 08",
                 at + 1);
    else if (isgraph(letter) && letter != '"' && letter != '\\')
        snprintf(why, WHY_BYTES, "column %zu: '%c' is no hex digit: write 488b4308 or 48 8b 43 08", at + 1,
                 letter);
    else
        snprintf(why, WHY_BYTES, "column %zu: byte 0x%02x is no hex digit: write 488b4308 or 48 8b 43 08",
                 at + 1, letter);
    return false;
}

/* Bytes of two digits, with blanks between them and 0x before them or not. False, with what is wrong in
 * `why`; else they are in decode->bytes. */
static bool hex_parse(struct decode *decode, const char *line, size_t len, size_t *count, char why[WHY_BYTES])
{
    *count = 0;
    if (!reserve(decode, len / 2)) {
        snprintf(why, WHY_BYTES, "the line is too long");
        return false;
    }
    for (size_t at = 0; at < len;) {
        bool begins = at == 0 || isspace((unsigned char)line[at - 1]);
        if (isspace((unsigned char)line[at])) {
            at++;
        } else if (begins && len - at > 2 && line[at] == '0' && (line[at + 1] | 0x20) == 'x') {
            at += 2;
        } else {
            int high = digit_value((unsigned char)line[at]);
            int low = at + 1 < len ? digit_value((unsigned char)line[at + 1]) : -1;
            if (high < 0 || low < 0)
                return complain(why, line, high < 0 ? at : at + 1, len);
            decode->bytes[(*count)++] = (uint8_t)(high << 4 | low);
            at += 2;
        }
    }
    if (!*count)
        snprintf(why, WHY_BYTES, "the line is empty");
    return *count;
}

static void decode_line(struct decode *decode, const char *line, size_t len)
{
    struct insn insn;
    char why[WHY_BYTES];
    size_t count;
    if (!hex_parse(decode, line, len, &count, why)) {
        decode->bad_lines = true;
        printf(decode->json ? "{\"error\":\"%s\"}\n" : "error: %s\n", why);
        return;
    }
    enum insn_status status = insn_decode(decode->bytes, count, decode->mode, &insn);
    if (decode->json)
        print_json(decode, count, status, &insn);
    else
        print_text(decode, count, status, &insn);
}

/* False where standard input, or output, failed: the first is said here, the other by main. */
static bool decode_all(struct decode *decode, const char **words)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    for (; words && *words; words++)
        decode_line(decode, *words, strlen(*words));
    if (words) {
        fflush(stdout);
        return !ferror(stdout);
    }
    while (!ferror(stdout) && (len = getline(&line, &capacity, stdin)) >= 0)
        decode_line(decode, line, (size_t)len);
    if (ferror(stdin))
        cli_message("decode: standard input: cannot read: %m");
    free(line);
    fflush(stdout);
    return !ferror(stdin) && !ferror(stdout);
}

static bool feature_apply(struct insn_mode *mode, const char *name)
{
    bool off = strncmp(name, "no-", 3) == 0;
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (strcmp(features[i].name, name + (off ? 3 : 0)) != 0)
            continue;
        if (off)
            mode->features &= (uint16_t)~features[i].bit;
        else
            mode->features |= (uint16_t)features[i].bit;
        return true;
    }
    return false;
}

static int unknown_feature(const char *name)
{
    const char *names[FEATURE_COUNT + 1] = {NULL};
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        names[i] = features[i].name;
    const char *nearest = cli_nearest(name, names);
    if (nearest)
        return cli_usage("decode", "--feature: there is no '%s'; did you mean '%s'?", name, nearest);
    return cli_usage("decode", "--feature: there is no '%s'", name);
}

/* "apx,no-cet" */
static int features_apply(struct insn_mode *mode, char *list)
{
    char *save;
    for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (!feature_apply(mode, name))
            return unknown_feature(name);
    }
    return CLI_OK;
}

/* The options that take one of a few words. */
static int words_apply(struct decode *decode)
{
    const char *mode = options.mode ? options.mode : "64";
    if (strcmp(mode, "16") != 0 && strcmp(mode, "32") != 0 && strcmp(mode, "64") != 0)
        return cli_usage("decode", "--mode is 16, 32 or 64, not '%s'", mode);
    decode->mode.bits = (uint8_t)atoi(mode);
    if (options.vendor && strcmp(options.vendor, "amd") == 0)
        decode->mode.vendor = INSN_AMD;
    else if (options.vendor && strcmp(options.vendor, "intel") != 0)
        return cli_usage("decode", "--vendor is intel or amd, not '%s'", options.vendor);
    if (options.format && strcmp(options.format, "json") == 0)
        decode->json = true;
    else if (options.format && strcmp(options.format, "text") != 0)
        return cli_usage("decode", "--format is text or json, not '%s'", options.format);
    return CLI_OK;
}

/* CLI_OK, a status to end with, or -1 after help. */
static int options_parse(struct decode *decode, poptContext context)
{
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        if (code == OPTION_HELP) {
            poptPrintHelp(context, stdout, 0);
            fputs(help_tail, stdout);
            return -1;
        }
        char *list = poptGetOptArg(context);
        int status = features_apply(&decode->mode, list);
        free(list);
        if (status)
            return status;
    }
    return code < -1 ? cli_bad_option("decode", context, code, option_table) : words_apply(decode);
}

static int decode_run(struct decode *decode, const char **words)
{
    bool done = decode_all(decode, words);
    free(decode->bytes);
    return !done ? CLI_HOST : decode->bad_lines ? CLI_FAILED : CLI_OK;
}

int cmd_decode(int argc, const char **argv)
{
    struct decode decode = {.mode = insn_mode(64)};
    poptContext context = poptGetContext("vmm decode", argc, argv, option_table, 0);
    poptSetOtherOptionHelp(context, "[OPTION...] [HEX...]");
    int status = options_parse(&decode, context);
    if (status == CLI_OK)
        status = decode_run(&decode, poptGetArgs(context));
    poptFreeContext(context);
    return status < 0 ? CLI_OK : status;
}
