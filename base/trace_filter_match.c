/* SPDX-License-Identifier: MIT
 *
 * Whether a record is what an expression describes. Runs for every record that is made.
 */
#include <fnmatch.h>
#include <string.h>

#include "base/trace_filter_internal.h"

/* What a record has to have for a comparison with the field; enum trace_field. */
static const unsigned needs[] = {
    [FIELD_VCPU] = 0,
    [FIELD_ADDRESS] = TRACE_HAS_ADDRESS,
    [FIELD_PORT] = TRACE_HAS_ADDRESS,
    [FIELD_RIP] = TRACE_HAS_RIP,
    [FIELD_VALUE] = TRACE_HAS_VALUE,
    [FIELD_SIZE] = TRACE_HAS_SIZE,
    [FIELD_DURATION] = TRACE_HAS_DURATION,
    [FIELD_REASON] = TRACE_HAS_INDEX,
    [FIELD_QUEUE] = TRACE_HAS_INDEX,
    [FIELD_ID] = TRACE_HAS_ID,
    [FIELD_COUNT] = TRACE_HAS_COUNT,
    [FIELD_DEVICE] = TRACE_HAS_DEVICE,
    [FIELD_EVENT] = 0,
};

static bool compare_number(const struct trace_node *node, uint64_t value)
{
    switch (node->comparison) {
    case COMPARE_EQUAL:
        return value == node->number;
    case COMPARE_NOT_EQUAL:
        return value != node->number;
    case COMPARE_LESS:
        return value < node->number;
    case COMPARE_LESS_EQUAL:
        return value <= node->number;
    case COMPARE_GREATER:
        return value > node->number;
    case COMPARE_GREATER_EQUAL:
        return value >= node->number;
    case COMPARE_AND:
        return value & node->number;
    case COMPARE_GLOB:
        break;
    }
    return false;
}

/* Whether the record has the field, beyond what trace_event_fields knows. */
static bool has_field(enum trace_filter_field field, int vcpu, const struct trace_record *record)
{
    unsigned event = record->event;
    if ((trace_event_fields(event) & needs[field]) != needs[field])
        return false;
    switch (field) {
    case FIELD_VCPU:
        return vcpu >= 0;
    case FIELD_PORT:
        return event == TRACE_PIO || (event == TRACE_EXIT && record->address <= 0xffff && record->size);
    case FIELD_REASON:
        return event == TRACE_EXIT;
    case FIELD_QUEUE:
        return event >= TRACE_QUEUE_KICK && event <= TRACE_QUEUE_INTERRUPT;
    default:
        return true;
    }
}

static uint64_t field_value(enum trace_filter_field field, int vcpu, const struct trace_record *record)
{
    switch (field) {
    case FIELD_VCPU:
        return (uint64_t)vcpu;
    case FIELD_ADDRESS:
    case FIELD_PORT:
        return record->address;
    case FIELD_RIP:
        return record->rip;
    case FIELD_VALUE:
        return record->value;
    case FIELD_SIZE:
        return record->size;
    case FIELD_DURATION:
        return record->duration;
    case FIELD_REASON:
    case FIELD_QUEUE:
        return record->index;
    case FIELD_ID:
        return record->id;
    case FIELD_COUNT:
        return record->count;
    case FIELD_DEVICE:
    case FIELD_EVENT:
        break;
    }
    return 0;
}

static bool compare_string(const struct trace_node *node, const struct trace_record *record)
{
    const char *value = node->field == FIELD_EVENT ? trace_event_name(record->event) : record->device;
    if (!value)
        return false;
    if (node->comparison == COMPARE_GLOB)
        return fnmatch(node->string, value, 0) == 0;
    return (strcmp(node->string, value) == 0) == (node->comparison == COMPARE_EQUAL);
}

#define DIRECTED (1u << TRACE_EXIT | 1u << TRACE_PIO | 1u << TRACE_MMIO)

static bool match_node(const struct trace_filter *filter, unsigned index, int vcpu,
                       const struct trace_record *record)
{
    const struct trace_node *node = &filter->nodes[index];
    switch (node->kind) {
    case NODE_AND:
        return match_node(filter, node->left, vcpu, record) && match_node(filter, node->right, vcpu, record);
    case NODE_OR:
        return match_node(filter, node->left, vcpu, record) || match_node(filter, node->right, vcpu, record);
    case NODE_NOT:
        return !match_node(filter, node->left, vcpu, record);
    case NODE_EVENT:
        return record->event == node->number;
    case NODE_FLAG:
        return record->flags & node->number;
    case NODE_CLEAR:
        return !(record->flags & node->number) && record->size && (DIRECTED >> record->event & 1);
    case NODE_NUMBER:
        return has_field(node->field, vcpu, record) &&
               compare_number(node, field_value(node->field, vcpu, record));
    case NODE_STRING:
        return has_field(node->field, vcpu, record) && compare_string(node, record);
    }
    return false;
}

bool trace_filter_match(const struct trace_filter *filter, int vcpu, const struct trace_record *record)
{
    return match_node(filter, filter->root, vcpu, record);
}
