/* SPDX-License-Identifier: MIT
 *
 * Runs the three decoders over the same bytes, files what they disagree in, and reports.
 */
#include "tests/decoder/crosscheck.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What makes two disagreements look alike. */
static uint64_t key_of(const struct sample *sample, enum rival rival, unsigned fields)
{
    const struct anatomy *anatomy = &sample->anatomy;
    uint64_t key = 1 | (uint64_t)fields << 1 | (uint64_t)rival << 14 | (uint64_t)(sample->mode == 64) << 15;
    key |= (uint64_t)anatomy->opcode << 16 | (uint64_t)anatomy->map << 24 | (uint64_t)anatomy->encoding << 29;
    return key | (uint64_t)anatomy->pp << 31 | (uint64_t)sample->ours.status << 33 |
           (uint64_t)sample->rivals[rival].status << 35;
}

static void add_bucket(struct crosscheck *check, const struct bucket *from)
{
    uint64_t slot = from->key * 0x9e3779b97f4a7c15ull >> 32;
    for (unsigned probe = 0; probe < CROSSCHECK_BUCKETS; probe++) {
        struct bucket *bucket = &check->buckets[(slot + probe) % CROSSCHECK_BUCKETS];
        if (bucket->key && bucket->key != from->key)
            continue;
        uint64_t count = bucket->count + from->count;
        if (!bucket->key)
            *bucket = *from;
        bucket->count = count;
        return;
    }
}

static void keep_unexplained(struct crosscheck *check, const struct sample *sample, enum rival rival,
                             unsigned fields)
{
    struct bucket bucket = {.key = key_of(sample, rival, fields),
                            .count = 1,
                            .len = (uint8_t)sample->len,
                            .mode = (uint8_t)sample->mode,
                            .vendor = (uint8_t)sample->vendor,
                            .rival = (uint8_t)rival,
                            .fields = fields};
    memcpy(bucket.bytes, sample->bytes, sample->len);
    check->unexplained++;
    add_bucket(check, &bucket);
}

static bool is_known(const struct known_class *known, const struct sample *sample, enum rival rival,
                     unsigned fields)
{
    if (!(known->rivals >> rival & 1) || !(known->fields & fields))
        return false;
    if (known->needs_other) {
        enum rival other = rival == RIVAL_ZYDIS ? RIVAL_CAPSTONE : RIVAL_ZYDIS;
        struct view ours = sample->ours, theirs = sample->rivals[other];
        /* Of an invalid instruction it does not matter in which words each says so. */
        if (ours.status != VIEW_OK && theirs.status != VIEW_OK)
            theirs.status = ours.status;
        if (view_compare(&ours, &theirs) & (known->fields | VIEW_STATUS))
            return false;
    }
    return known->applies(sample);
}

static void file_disagreement(struct crosscheck *check, const struct sample *sample, enum rival rival,
                              unsigned fields)
{
    for (unsigned i = 0; i < known_class_count && fields; i++) {
        if (!is_known(&known_classes[i], sample, rival, fields))
            continue;
        check->by_class[i][rival]++;
        fields &= ~known_classes[i].fields;
    }
    if (fields)
        keep_unexplained(check, sample, rival, fields);
}

unsigned crosscheck_bytes(struct crosscheck *check, const uint8_t *bytes, size_t len, int mode,
                          enum view_vendor vendor)
{
    struct sample sample = {.bytes = bytes, .len = len < 15 ? len : 15, .mode = mode, .vendor = vendor};
    view_ours(&sample.ours, bytes, sample.len, mode, vendor);
    view_zydis(&sample.rivals[RIVAL_ZYDIS], bytes, sample.len, mode, vendor);
    view_capstone(&sample.rivals[RIVAL_CAPSTONE], bytes, sample.len, mode);
    check->compared++;
    check->valid += sample.ours.status == VIEW_OK;
    /* Capstone has one answer for everything that is not an instruction. */
    struct view for_capstone = sample.ours;
    if (for_capstone.status != VIEW_OK)
        for_capstone.status = VIEW_INVALID;
    unsigned fields[RIVAL_COUNT] = {view_compare(&sample.ours, &sample.rivals[RIVAL_ZYDIS]),
                                    view_compare(&for_capstone, &sample.rivals[RIVAL_CAPSTONE])};
    if (fields[0] | fields[1])
        anatomy_read(&sample.anatomy, bytes, sample.len, mode);
    for (unsigned rival = 0; rival < RIVAL_COUNT; rival++) {
        if (fields[rival])
            file_disagreement(check, &sample, rival, fields[rival]);
        else
            check->agreed[rival]++;
    }
    return sample.ours.status == VIEW_OK ? sample.ours.length : 0;
}

static void print_bucket(const struct bucket *bucket, FILE *out)
{
    static const char *const names[] = {"zydis", "capstone"};
    char fields[160], text[300];
    struct view view;
    fprintf(out, "%8" PRIu64 " %s: %s, mode %u%s:", bucket->count, names[bucket->rival],
            view_print_fields(bucket->fields, fields, sizeof(fields)), bucket->mode,
            bucket->vendor == VIEW_AMD ? " amd" : "");
    for (unsigned i = 0; i < bucket->len; i++)
        fprintf(out, " %02x", bucket->bytes[i]);
    view_ours(&view, bucket->bytes, bucket->len, bucket->mode, bucket->vendor);
    fprintf(out, "\n           ours:     %s\n", view_print(&view, text, sizeof(text)));
    view_zydis(&view, bucket->bytes, bucket->len, bucket->mode, bucket->vendor);
    fprintf(out, "           zydis:    %s\n", view_print(&view, text, sizeof(text)));
    view_capstone(&view, bucket->bytes, bucket->len, bucket->mode);
    fprintf(out, "           capstone: %s\n", view_print(&view, text, sizeof(text)));
}

static int by_count(const void *a, const void *b)
{
    uint64_t first = ((const struct bucket *)a)->count, second = ((const struct bucket *)b)->count;
    return first < second ? 1 : first > second ? -1 : 0;
}

uint64_t crosscheck_report(struct crosscheck *check, FILE *out)
{
    static const char *const who[] = {"ours", "rival", "either"};
    static const char *const names[] = {"zydis", "capstone"};
    const char *wanted = getenv("VMM_TEST_EXAMPLES");
    unsigned long examples = wanted ? strtoul(wanted, NULL, 0) : 25;
    fprintf(out,
            "# compared %" PRIu64 " (%" PRIu64 " valid), same as zydis %" PRIu64 ", same as capstone %" PRIu64
            ", unexplained %" PRIu64 "\n",
            check->compared, check->valid, check->agreed[RIVAL_ZYDIS], check->agreed[RIVAL_CAPSTONE],
            check->unexplained);
    for (unsigned i = 0; i < known_class_count; i++)
        for (unsigned rival = 0; rival < RIVAL_COUNT; rival++)
            if (check->by_class[i][rival])
                fprintf(out, "# %9" PRIu64 " %-8s right: %-6s %s: %s\n", check->by_class[i][rival],
                        names[rival], who[known_classes[i].right], known_classes[i].name,
                        known_classes[i].why);
    qsort(check->buckets, CROSSCHECK_BUCKETS, sizeof(check->buckets[0]), by_count);
    for (unsigned i = 0; i < CROSSCHECK_BUCKETS && i < examples && check->buckets[i].count; i++)
        print_bucket(&check->buckets[i], out);
    return check->unexplained;
}
