/* SPDX-License-Identifier: MIT
 *
 * Filter expressions of the fuzzer's choice, over records of its choice.
 */
#include <string.h>

#include "base/trace_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct trace_names names = {.ticks_per_s = 1000000000};
    struct trace_record record = {.device = "device"};
    struct trace_filter *filter;
    char text[500];
    if (!len)
        return 0;
    size_t text_len = len - 1 < sizeof(text) - 1 ? len - 1 : sizeof(text) - 1;
    memcpy(text, data + 1, text_len);
    text[text_len] = 0;
    if (trace_filter_create(text, &names, &filter, NULL))
        return 0;
    record.event = data[0] % TRACE_EVENT_COUNT;
    record.address = data[0];
    trace_filter_match(filter, data[0] & 1 ? 0 : -1, &record);
    trace_filter_destroy(filter);
    return 0;
}
