/* SPDX-License-Identifier: MIT
 *
 * Sums the sections of ELF files that end up in memory. Files are the build's own or the distribution's.
 */
#include "bench/decoder_size.h"

#include <ar.h>
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_counted(const char *name)
{
    static const char *const prefixes[] = {".text", ".rodata", ".data", ".bss"};
    for (unsigned i = 0; i < 4; i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

static uint64_t size_of_image(const uint8_t *image, size_t len)
{
    Elf64_Ehdr header;
    uint64_t total = 0;
    if (len < sizeof(header))
        return 0;
    memcpy(&header, image, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_shoff > len || header.e_shnum * sizeof(Elf64_Shdr) > len - header.e_shoff ||
        header.e_shstrndx >= header.e_shnum)
        return 0;
    /* Members of an archive are only two-aligned: copy the headers out. */
    Elf64_Shdr section, names;
    const uint8_t *table = image + header.e_shoff;
    memcpy(&names, table + header.e_shstrndx * sizeof(names), sizeof(names));
    for (unsigned i = 0; i < header.e_shnum; i++) {
        memcpy(&section, table + i * sizeof(section), sizeof(section));
        if (section.sh_flags & SHF_ALLOC && names.sh_offset + section.sh_name < len &&
            is_counted((const char *)image + names.sh_offset + section.sh_name))
            total += section.sh_size;
    }
    return total;
}

static uint8_t *map_file(const char *path, size_t *len)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *map = MAP_FAILED;
    if (!fstat(fd, &status) && status.st_size > 0)
        map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    *len = (size_t)status.st_size;
    return map == MAP_FAILED ? NULL : map;
}

uint64_t size_of_elf(const char *path)
{
    size_t len;
    uint8_t *map = map_file(path, &len);
    uint64_t size = map ? size_of_image(map, len) : 0;
    if (map)
        munmap(map, len);
    return size;
}

static bool is_named(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strstr(name, *names))
            return true;
    return false;
}

uint64_t size_of_archive(const char *path, const char *const *names)
{
    size_t len, member_len;
    uint8_t *map = map_file(path, &len);
    uint64_t total = 0;
    for (size_t at = SARMAG; map && at + sizeof(struct ar_hdr) <= len; at += member_len + (member_len & 1)) {
        struct ar_hdr header;
        char name[sizeof(header.ar_name) + 1] = {0}, size[sizeof(header.ar_size) + 1] = {0};
        memcpy(&header, map + at, sizeof(header));
        memcpy(name, header.ar_name, sizeof(header.ar_name));
        memcpy(size, header.ar_size, sizeof(header.ar_size));
        at += sizeof(header);
        member_len = strtoul(size, NULL, 10);
        if (member_len > len - at)
            break;
        if (is_named(name, names))
            total += size_of_image(map + at, member_len);
    }
    if (map)
        munmap(map, len);
    return total;
}
