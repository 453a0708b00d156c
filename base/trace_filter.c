/* SPDX-License-Identifier: MIT
 *
 * Reading an expression: a recursive descent that makes an array of nodes.
 *
 *     or      = and { "||" and }
 *     and     = unary { "&&" unary }
 *     unary   = "!" unary | "(" or ")" | word | field operator value
 */
#include "base/trace_filter_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "base/types.h"

#define DEPTH_LIMIT 32

static const char *const field_names[] = {
    [FIELD_VCPU] = "vcpu",         [FIELD_ADDRESS] = "addr",
    [FIELD_PORT] = "port",         [FIELD_RIP] = "rip",
    [FIELD_VALUE] = "value",       [FIELD_SIZE] = "size",
    [FIELD_DURATION] = "duration", [FIELD_REASON] = "reason",
    [FIELD_QUEUE] = "queue",       [FIELD_ID] = "id",
    [FIELD_COUNT] = "count",       [FIELD_DEVICE] = "device",
    [FIELD_EVENT] = "event",
};

struct parser {
    const char *text, *at;
    const struct trace_names *names;
    struct trace_filter *filter;
    unsigned depth;
    uint64_t ticks_per_s; /* 0 until it is wanted */
    struct vmm_error *error;
};

uint64_t trace_measure_tsc(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    uint64_t ns = clock_now_ns(), ticks = trace_now();
    nanosleep(&pause, NULL);
    ticks = trace_now() - ticks;
    ns = clock_now_ns() - ns;
    return ns ? (uint64_t)((double)ticks * 1e9 / (double)ns) : 1000000000u;
}

/* -1, for the parsing functions, which return the index of a node. */
static int parse_error(struct parser *parser, const char *what)
{
    error_set(parser->error, -EINVAL, "trace filter '%.200s': column %u: %s", parser->text,
              (unsigned)(parser->at - parser->text) + 1, what);
    return -1;
}

static void skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

static bool take(struct parser *parser, const char *token)
{
    size_t len = strlen(token);
    skip_space(parser);
    if (strncmp(parser->at, token, len))
        return false;
    parser->at += len;
    return true;
}

static int add_node(struct parser *parser, struct trace_node node)
{
    if (parser->filter->count == TRACE_NODE_LIMIT)
        return parse_error(parser, "the expression is too long");
    parser->filter->nodes[parser->filter->count] = node;
    return (int)parser->filter->count++;
}

/* A word as far as it goes; its length, 0 where there is none. */
static size_t peek_word(struct parser *parser, char word[TRACE_WORD_BYTES])
{
    size_t len = 0;
    skip_space(parser);
    while (len < TRACE_WORD_BYTES - 1 && (isalnum((unsigned char)parser->at[len]) || parser->at[len] == '_'))
        len++;
    memcpy(word, parser->at, len);
    word[len] = 0;
    return len;
}

static bool find_event(const char *word, unsigned *event)
{
    for (*event = TRACE_NONE + 1; *event < TRACE_EVENT_COUNT; (*event)++)
        if (strcmp(word, trace_event_name(*event)) == 0)
            return true;
    return false;
}

static bool find_reason(const struct parser *parser, const char *word, uint64_t *reason)
{
    for (unsigned i = 0; parser->names && i < parser->names->reason_count; i++) {
        if (!parser->names->reasons[i] || strcasecmp(parser->names->reasons[i], word))
            continue;
        *reason = i;
        return true;
    }
    return false;
}

static bool parse_operator(struct parser *parser, enum trace_comparison *comparison)
{
    static const struct {
        const char *token;
        enum trace_comparison comparison;
    } operators[] = {
        {"==", COMPARE_EQUAL},         {"!=", COMPARE_NOT_EQUAL}, {"<=", COMPARE_LESS_EQUAL},
        {">=", COMPARE_GREATER_EQUAL}, {"<", COMPARE_LESS},       {">", COMPARE_GREATER},
        {"~", COMPARE_GLOB},           {"&", COMPARE_AND},
    };
    skip_space(parser);
    if (strncmp(parser->at, "&&", 2) == 0)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(operators); i++) {
        if (!take(parser, operators[i].token))
            continue;
        *comparison = operators[i].comparison;
        return true;
    }
    return false;
}

/* A time becomes ticks of the TSC. */
static bool scale_time(struct parser *parser, uint64_t *value)
{
    static const struct {
        const char *unit;
        double s;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    if (!parser->ticks_per_s)
        parser->ticks_per_s = trace_measure_tsc();
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (!take(parser, units[i].unit))
            continue;
        *value = (uint64_t)((double)*value * units[i].s * (double)parser->ticks_per_s);
        return true;
    }
    return false;
}

static int parse_number(struct parser *parser, struct trace_node *node)
{
    char word[TRACE_WORD_BYTES], *end;
    size_t len = peek_word(parser, word);
    if (node->field == FIELD_REASON && find_reason(parser, word, &node->number)) {
        parser->at += len;
        return 0;
    }
    if (!isdigit((unsigned char)*parser->at))
        return parse_error(parser, node->field == FIELD_REASON ? "an exit reason is missing, such as IO"
                                                               : "a number is missing");
    errno = 0;
    node->number = strtoull(parser->at, &end, 0);
    if (errno)
        return parse_error(parser, "the number is too large");
    parser->at = end;
    if (node->field == FIELD_DURATION && !scale_time(parser, &node->number))
        return parse_error(parser, "a unit is missing behind the time: ns, us, ms or s");
    if (isalnum((unsigned char)*parser->at))
        return parse_error(parser, "this does not belong to a number");
    return 0;
}

/* In quotes, or as far as there is no space. */
static int parse_string(struct parser *parser, struct trace_node *node)
{
    skip_space(parser);
    bool is_quoted = *parser->at == '"';
    parser->at += is_quoted;
    size_t len = strcspn(parser->at, is_quoted ? "\"" : " \t()&|");
    if (!len)
        return parse_error(parser, "a name is missing");
    if (len >= TRACE_WORD_BYTES)
        return parse_error(parser, "the name is too long");
    if (is_quoted && !parser->at[len])
        return parse_error(parser, "there is no quote at the end of the name");
    memcpy(node->string, parser->at, len);
    parser->at += len + is_quoted;
    return 0;
}

/* An event's name, which is then the node's string. Patterns are as they are. */
static int check_event(struct parser *parser, const struct trace_node *node, const char *start)
{
    const char *names[TRACE_EVENT_COUNT] = {NULL};
    char text[120];
    unsigned event;
    if (node->field != FIELD_EVENT || node->comparison == COMPARE_GLOB || find_event(node->string, &event))
        return 0;
    for (event = TRACE_NONE + 1; event < TRACE_EVENT_COUNT; event++)
        names[event - TRACE_NONE - 1] = trace_event_name(event);
    const char *nearest = nearest_word(node->string, names);
    snprintf(text, sizeof(text), "there is no event '%.40s'%s%s%s", node->string,
             nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    parser->at = start;
    return parse_error(parser, text);
}

static int parse_comparison(struct parser *parser, enum trace_filter_field field)
{
    struct trace_node node = {.kind = NODE_NUMBER, .field = field};
    const char *start = parser->at;
    bool is_string = field == FIELD_DEVICE || field == FIELD_EVENT;
    if (!parse_operator(parser, &node.comparison))
        return parse_error(parser, "an operator is missing: ==, !=, <, <=, >, >=, & or ~");
    bool is_order = node.comparison != COMPARE_EQUAL && node.comparison != COMPARE_NOT_EQUAL &&
                    node.comparison != COMPARE_GLOB;
    if (is_string ? is_order : node.comparison == COMPARE_GLOB) {
        parser->at = start;
        skip_space(parser);
        return parse_error(parser, is_string ? "names are compared by ==, != and ~"
                                             : "numbers are not compared by ~");
    }
    if (is_string)
        node.kind = NODE_STRING;
    skip_space(parser);
    const char *value = parser->at;
    int result = is_string ? parse_string(parser, &node) : parse_number(parser, &node);
    if (!result && is_string)
        result = check_event(parser, &node, value);
    return result ? result : add_node(parser, node);
}

static int parse_word(struct parser *parser)
{
    char word[TRACE_WORD_BYTES];
    unsigned event;
    size_t len = peek_word(parser, word);
    if (!len)
        return parse_error(parser, *parser->at ? "a field, an event or a direction is missing here"
                                               : "the expression ends too early");
    for (unsigned i = 0; i < ARRAY_COUNT(field_names); i++) {
        if (strcmp(word, field_names[i]))
            continue;
        parser->at += len;
        return parse_comparison(parser, i);
    }
    struct trace_node node = {.kind = NODE_FLAG, .number = TRACE_WRITE};
    if (strcmp(word, "read") == 0)
        node.kind = NODE_CLEAR;
    else if (strcmp(word, "miss") == 0)
        node.number = TRACE_MISS;
    else if (find_event(word, &event))
        node = (struct trace_node){.kind = NODE_EVENT, .number = event};
    else if (strcmp(word, "write"))
        return parse_error(parser, "there is no such field, event or direction");
    parser->at += len;
    return add_node(parser, node);
}

static int parse_or(struct parser *parser);

static int parse_unary(struct parser *parser)
{
    int inner;
    if (++parser->depth > DEPTH_LIMIT)
        return parse_error(parser, "the expression is nested too deeply");
    skip_space(parser);
    if (*parser->at == '!') {
        parser->at++;
        inner = parse_unary(parser);
        if (inner >= 0)
            inner = add_node(parser, (struct trace_node){.kind = NODE_NOT, .left = (uint8_t)inner});
    } else if (take(parser, "(")) {
        inner = parse_or(parser);
        if (inner >= 0 && !take(parser, ")"))
            inner = parse_error(parser, "a closing parenthesis is missing");
    } else {
        inner = parse_word(parser);
    }
    parser->depth--;
    return inner;
}

/* Operands of one level, joined from the left. */
static int parse_chain(struct parser *parser, const char *token, enum trace_node_kind kind,
                       int (*operand)(struct parser *parser))
{
    int left = operand(parser);
    while (left >= 0 && take(parser, token)) {
        int right = operand(parser);
        if (right < 0)
            return right;
        left = add_node(parser,
                        (struct trace_node){.kind = kind, .left = (uint8_t)left, .right = (uint8_t)right});
    }
    return left;
}

static int parse_and(struct parser *parser)
{
    return parse_chain(parser, "&&", NODE_AND, parse_unary);
}

static int parse_or(struct parser *parser)
{
    return parse_chain(parser, "||", NODE_OR, parse_and);
}

int trace_filter_create(const char *text, const struct trace_names *names, struct trace_filter **out,
                        struct vmm_error *error)
{
    struct trace_filter *filter = calloc(1, sizeof(*filter));
    struct parser parser = {.text = text,
                            .at = text,
                            .names = names,
                            .filter = filter,
                            .ticks_per_s = names ? names->ticks_per_s : 0,
                            .error = error};
    *out = NULL;
    if (!filter)
        return error_set(error, -ENOMEM, "trace filter: out of memory");
    int root = parse_or(&parser);
    skip_space(&parser);
    if (root >= 0 && *parser.at)
        root = parse_error(&parser, "the expression should have ended here");
    if (root < 0) {
        free(filter);
        return -EINVAL;
    }
    filter->root = (unsigned)root;
    *out = filter;
    return 0;
}

void trace_filter_destroy(struct trace_filter *filter)
{
    free(filter);
}
