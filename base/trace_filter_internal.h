/* SPDX-License-Identifier: MIT
 *
 * A filter from inside: the nodes that trace_filter.c makes of an expression and trace_filter_match.c walks.
 */
#ifndef BASE_TRACE_FILTER_INTERNAL_H
#define BASE_TRACE_FILTER_INTERNAL_H

#include "base/trace_filter.h"

#define TRACE_NODE_LIMIT 64
#define TRACE_WORD_BYTES 64

enum trace_node_kind {
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_EVENT, /* of this number */
    NODE_FLAG,  /* any of these bits, */
    NODE_CLEAR, /* or none of them, in a record that has a direction */
    NODE_NUMBER,
    NODE_STRING,
};

enum trace_comparison {
    COMPARE_EQUAL,
    COMPARE_NOT_EQUAL,
    COMPARE_LESS,
    COMPARE_LESS_EQUAL,
    COMPARE_GREATER,
    COMPARE_GREATER_EQUAL,
    COMPARE_AND, /* any bit in common */
    COMPARE_GLOB,
};

enum trace_filter_field {
    FIELD_VCPU,
    FIELD_ADDRESS,
    FIELD_PORT,
    FIELD_RIP,
    FIELD_VALUE,
    FIELD_SIZE,
    FIELD_DURATION,
    FIELD_REASON,
    FIELD_QUEUE,
    FIELD_ID,
    FIELD_COUNT,
    FIELD_DEVICE,
    FIELD_EVENT,
};

struct trace_node {
    enum trace_node_kind kind;
    enum trace_filter_field field;
    enum trace_comparison comparison;
    uint8_t left, right;
    uint64_t number;
    char string[TRACE_WORD_BYTES];
};

struct trace_filter {
    unsigned count;
    unsigned root;
    struct trace_node nodes[TRACE_NODE_LIMIT];
};

#endif
