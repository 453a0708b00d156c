/* SPDX-License-Identifier: MIT
 *
 * Finds the executable sections of an ELF file. The file is trusted no further than its own size.
 */
#include "tests/decoder/corpus.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"

const char *const corpus_paths[] = {
    "/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
    LIBRARIES "libLLVM-14.so.1",
    LIBRARIES "libx264.so.164",
    LIBRARIES "libx265.so.199",
    LIBRARIES "libdav1d.so.6",
    LIBRARIES "libaom.so.3",
    LIBRARIES "libSvtAv1Enc.so.1",
    LIBRARIES "openblas-pthread/libopenblas.so.0",
    LIBRARIES "libcrypto.so.3",
    LIBRARIES "libgnutls.so.30",
    LIBRARIES "libnettle.so.8",
    LIBRARIES "libhogweed.so.6",
    LIBRARIES "libgcrypt.so.20",
    LIBRARIES "libc.so.6",
    LIBRARIES "libm.so.6",
    LIBRARIES "libstdc++.so.6",
    "/usr/bin/python3.11",
    "/usr/bin/qemu-system-x86_64",
    NULL,
};

static int map_file(struct corpus_file *file, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || status.st_size < (off_t)sizeof(Elf64_Ehdr)) {
        close(fd);
        return -ENOEXEC;
    }
    file->map_bytes = (size_t)status.st_size;
    file->map = mmap(NULL, file->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return file->map == MAP_FAILED ? -errno : 0;
}

static void add_section(struct corpus_file *file, const Elf64_Shdr *section, const Elf64_Shdr *names)
{
    size_t at = names->sh_offset + section->sh_name;
    if (section->sh_type != SHT_PROGBITS || !(section->sh_flags & SHF_EXECINSTR) ||
        section->sh_offset > file->map_bytes || section->sh_size > file->map_bytes - section->sh_offset ||
        file->count == CORPUS_SECTIONS_MAX)
        return;
    file->sections[file->count].bytes = file->map + section->sh_offset;
    file->sections[file->count].len = section->sh_size;
    if (at < file->map_bytes)
        snprintf(file->sections[file->count].name, sizeof(file->sections[0].name), "%.*s",
                 (int)(file->map_bytes - at < 23 ? file->map_bytes - at : 23), (const char *)file->map + at);
    file->count++;
}

int corpus_open(struct corpus_file *file, const char *path)
{
    memset(file, 0, sizeof(*file));
    int result = map_file(file, path);
    if (result < 0)
        return result;
    Elf64_Ehdr header;
    memcpy(&header, file->map, sizeof(header));
    bool is_known = !memcmp(header.e_ident, ELFMAG, SELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS64 &&
                    header.e_machine == EM_X86_64 && header.e_shentsize == sizeof(Elf64_Shdr) &&
                    header.e_shoff <= file->map_bytes && header.e_shstrndx < header.e_shnum &&
                    header.e_shnum * sizeof(Elf64_Shdr) <= file->map_bytes - header.e_shoff;
    if (!is_known) {
        corpus_close(file);
        return -ENOEXEC;
    }
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file->map + header.e_shoff);
    for (unsigned i = 0; i < header.e_shnum; i++)
        add_section(file, &sections[i], &sections[header.e_shstrndx]);
    return 0;
}

void corpus_close(struct corpus_file *file)
{
    munmap(file->map, file->map_bytes);
    memset(file, 0, sizeof(*file));
}
