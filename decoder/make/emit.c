/* SPDX-License-Identifier: MIT
 *
 * Writes the tables as C.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder/make/make.h"

const char *mnemonics[4096];
unsigned mnemonic_count;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Numbers the mnemonics in the order of the alphabet. */
static void mnemonics_number(void)
{
    static const char *names[ROWS_MAX];
    for (unsigned i = 0; i < row_count; i++)
        names[i] = rows[i].mnemonic;
    qsort(names, row_count, sizeof(names[0]), by_name);
    mnemonics[mnemonic_count++] = "";
    for (unsigned i = 0; i < row_count; i++) {
        if (strcmp(names[i], mnemonics[mnemonic_count - 1]) != 0)
            mnemonics[mnemonic_count++] = names[i];
    }
    for (unsigned i = 0; i < row_count; i++) {
        const char *name = rows[i].mnemonic;
        const char **found = bsearch(&name, mnemonics, mnemonic_count, sizeof(name), by_name);
        rows[i].mnemonic_id = (unsigned)(found - mnemonics);
    }
}

static FILE *open_output(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    fprintf(file, "/* Made from the opcode rows by decoder/make; not to be edited. */\n");
    return file;
}

static void close_output(FILE *file, const char *path)
{
    if (fclose(file)) {
        perror(path);
        exit(1);
    }
}

/* All names in one string; a name that another ends with shares its end. */
static unsigned name_offsets(char *pool, uint16_t *offsets)
{
    unsigned len = 0;
    for (size_t want = 32; want > 0; want--) {
        for (unsigned i = 1; i < mnemonic_count; i++) {
            char lower[32] = {0};
            if (strlen(mnemonics[i]) != want)
                continue;
            for (size_t c = 0; c < want; c++)
                lower[c] = (char)tolower((unsigned char)mnemonics[i][c]);
            char *found = len ? memmem(pool, len, lower, want + 1) : NULL;
            offsets[i] = (uint16_t)(found ? (unsigned)(found - pool) : len);
            if (!found) {
                memcpy(pool + len, lower, want + 1);
                len += (unsigned)want + 1;
            }
        }
    }
    return len;
}

static void emit_names(FILE *file)
{
    static char pool[65536];
    static uint16_t offsets[4096];
    unsigned len = name_offsets(pool, offsets);
    fprintf(file, "static const uint16_t name_offsets[%u] = {", mnemonic_count);
    for (unsigned i = 0; i < mnemonic_count; i++)
        fprintf(file, "%u,", i ? offsets[i] : len - 1);
    fprintf(file, "};\nstatic const char names[] =");
    for (unsigned at = 0; at < len; at += (unsigned)strlen(pool + at) + 1)
        fprintf(file, "\n\"%s\\0\"", pool + at);
    fprintf(file, ";\n");
}

static void emit_nodes(FILE *file)
{
    fprintf(file, "const uint16_t decoder_nodes[%u] = {", node_count);
    for (unsigned i = 0; i < node_count; i++)
        fprintf(file, "%s%u,", i % 16 ? "" : "\n", nodes[i]);
    fprintf(file, "};\nconst struct space decoder_spaces[SPACE_COUNT] = {");
    for (unsigned i = 0; i < SPACE_COUNT; i++)
        fprintf(file, "{%u,%u,%u},", spaces[i].base, spaces[i].first, spaces[i].last);
    fprintf(file, "};\n");
}

static void emit_leaves(FILE *file)
{
    fprintf(file, "const struct leaf decoder_leaves[%u] = {\n", leaf_count);
    for (unsigned i = 0; i < leaf_count; i++) {
        const struct leaf *leaf = &leaves[i];
        fprintf(file, "{%u,%u,%u,%u,%u,%u},\n", leaf->mnemonic, leaf->op, leaf->isa, leaf->flags, leaf->form,
                leaf->shape);
    }
    fprintf(file, "};\nconst struct mvex_row decoder_mvex[%u] = {\n", mvex_count + 1);
    for (unsigned i = 0; i < mvex_count; i++)
        fprintf(file, "{%u,%u,%u,%u},\n", mvex_rows[i].opcode, mvex_rows[i].key, mvex_rows[i].mnemonic,
                mvex_rows[i].shape);
    fprintf(file, "};\nconst uint32_t decoder_shapes[%u] = {", shape_word_count);
    for (unsigned i = 0; i < shape_word_count; i++)
        fprintf(file, "%s%uu,", i % 8 ? "" : "\n", shape_words[i]);
    fprintf(file, "};\n");
}

static void emit_tables(const char *path)
{
    FILE *file = open_output(path);
    emit_nodes(file);
    emit_leaves(file);
    close_output(file, path);
}

static void emit_names_file(const char *path)
{
    FILE *file = open_output(path);
    emit_names(file);
    fprintf(file, "static const struct insn_flags flag_sets[%u] = {\n", flag_set_count);
    for (unsigned i = 0; i < flag_set_count; i++)
        fprintf(file, "{%uu,%uu,%uu},\n", flag_sets[i][0], flag_sets[i][1], flag_sets[i][2]);
    fprintf(file, "};\n");
    close_output(file, path);
}

static void emit_mnemonics(const char *path)
{
    FILE *file = open_output(path);
    fprintf(file, "#ifndef DECODER_MNEMONIC_H\n#define DECODER_MNEMONIC_H\nenum insn_mnemonic {\n");
    for (unsigned i = 1; i < mnemonic_count; i++)
        fprintf(file, "MNEMONIC_%s = %u,\n", mnemonics[i], i);
    fprintf(file, "MNEMONIC_COUNT = %u,\n};\n#endif\n", mnemonic_count);
    close_output(file, path);
}

/* For tests: every row's text and limits, in the order of the files. */
/* The rows with the values that each accepts of every property, for the tests. */
static void emit_rows(const char *path)
{
    static const enum dimension dims[] = {DIM_PREFIX, DIM_REG,  DIM_MOD,     DIM_RM, DIM_W,   DIM_LENGTH,
                                          DIM_LONG,   DIM_SIZE, DIM_ADDRESS, DIM_B,  DIM_AMD, DIM_ND};
    FILE *file = open_output(path);
    for (unsigned i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        unsigned on = 0, off = 0;
        for (unsigned bit = 0; bit < DIM_COUNT - DIM_FEATURE; bit++) {
            on |= (row->set[DIM_FEATURE + bit] & 2u) >> 1 << bit;
            off |= (row->set[DIM_FEATURE + bit] & 1u) << bit;
        }
        fprintf(file, "ROW(\"%s\", \"%s\", %u, 0x%02x", row->text, mnemonics[row->mnemonic_id], row->space,
                row->opcode);
        for (size_t dim = 0; dim < ARRAY_COUNT(dims); dim++)
            fprintf(file, ", %u", row->set[dims[dim]]);
        fprintf(file, ", %u, %u)\n", on, off);
    }
    close_output(file, path);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s TABLES NAMES MNEMONICS ROWS\n", argv[0]);
        return 2;
    }
    flag_set_count = 1; /* set 0: none */
    rows_parse();
    mnemonics_number();
    tree_build();
    emit_tables(argv[1]);
    emit_names_file(argv[2]);
    emit_mnemonics(argv[3]);
    emit_rows(argv[4]);
    return 0;
}
