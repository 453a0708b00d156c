/* SPDX-License-Identifier: MIT
 *
 * A 16-bit selector picks an item, and reads of the data port return its bytes one after the other, zeros
 * past its end. An item is a number, which is made when it is selected, a file, or a range of guest memory.
 * Facts: QEMU, docs/specs/fw_cfg.rst.
 *
 *   offset 0, 16-bit write   selects an item and goes back to its start
 *   offset 1, 8-bit read     its next byte
 *   offset 4, 32-bit write   the upper half, big-endian, of a DMA request's address
 *   offset 8, 32-bit write   the lower half, which starts the request; reads of both say "QEMU CFG"
 */
#include "devices/fwcfg/fwcfg.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    ITEM_SIGNATURE = 0x00,
    ITEM_ID = 0x01,
    ITEM_UUID = 0x02,
    ITEM_RAM_BYTES = 0x03,
    ITEM_NO_GRAPHIC = 0x04,
    ITEM_CPU_COUNT = 0x05,
    ITEM_KERNEL_ADDRESS = 0x07,
    ITEM_KERNEL_SIZE = 0x08,
    ITEM_INITRD_ADDRESS = 0x0a,
    ITEM_INITRD_SIZE = 0x0b,
    ITEM_CPU_COUNT_MAX = 0x0f,
    ITEM_KERNEL_ENTRY = 0x10,
    ITEM_KERNEL_DATA = 0x11,
    ITEM_INITRD_DATA = 0x12,
    ITEM_CMDLINE_ADDRESS = 0x13,
    ITEM_CMDLINE_SIZE = 0x14,
    ITEM_CMDLINE_DATA = 0x15,
    ITEM_FILE_DIR = 0x19,
    ITEM_FILE_FIRST = 0x20,
};

#define ID_TRADITIONAL    1u /* the interface with two ports */
#define ID_DMA            2u
#define FWCFG_DATA_OFFSET 1
#define FWCFG_DMA_OFFSET  4
#define FWCFG_PORT_COUNT  12
#define SELECT_WRITE      0x4000u /* of the selector: to write the item, which none lets */
#define DMA_SIGNATURE     "QEMU CFG"

/* Of a DMA request's control field. */
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };

/* A request in guest memory, big-endian. */
struct dma_request {
    uint32_t control, len;
    uint64_t address;
};

/* An entry of the directory, big-endian; in front of all is their count, 32 bits. */
struct dir_entry {
    uint32_t len;
    uint16_t item;
    uint16_t reserved;
    char name[FWCFG_NAME_BYTES];
};

_Static_assert(sizeof(struct dma_request) == 16 && sizeof(struct dir_entry) == 64, "the layouts are an ABI");

struct fwcfg_file {
    uint8_t *bytes;
    size_t len;
};

/* The item that is selected: `len` bytes, in our memory or in the guest's. */
struct selection {
    const uint8_t *bytes; /* NULL: at `gpa` */
    gpa_t gpa;
    uint64_t len, at;
    uint8_t number[16];
};

struct fwcfg {
    struct bus_region region;
    struct lock lock;
    struct fwcfg_config config;
    struct fwcfg_image image;
    struct selection selected;
    uint32_t dma_high;
    unsigned file_count;
    struct fwcfg_file files[FWCFG_FILE_LIMIT];
    struct {
        uint32_t count;
        struct dir_entry entries[FWCFG_FILE_LIMIT];
    } directory;
};

static void select_number(struct selection *selected, uint64_t value, unsigned size)
{
    store_le64(selected->number, value);
    selected->bytes = selected->number;
    selected->len = size;
}

static void select_bytes(struct selection *selected, const void *bytes, uint64_t len)
{
    selected->bytes = bytes;
    selected->len = len;
}

static void select_range(struct selection *selected, const struct fwcfg_range *range)
{
    selected->bytes = NULL;
    selected->gpa = range->gpa;
    selected->len = range->len;
}

static void select_file(struct fwcfg *fwcfg, unsigned index)
{
    if (index < fwcfg->file_count)
        select_bytes(&fwcfg->selected, fwcfg->files[index].bytes, fwcfg->files[index].len);
}

/* The items about the image. */
static void select_image(struct fwcfg *fwcfg, uint16_t item)
{
    const struct fwcfg_image *image = &fwcfg->image;
    struct selection *selected = &fwcfg->selected;
    switch (item) {
    case ITEM_KERNEL_ADDRESS:
        select_number(selected, image->kernel.gpa, 4);
        break;
    case ITEM_KERNEL_SIZE:
        select_number(selected, image->kernel.len, 4);
        break;
    case ITEM_KERNEL_ENTRY:
        select_number(selected, image->entry, 4);
        break;
    case ITEM_KERNEL_DATA:
        select_range(selected, &image->kernel);
        break;
    case ITEM_INITRD_ADDRESS:
        select_number(selected, image->initrd.gpa, 4);
        break;
    case ITEM_INITRD_SIZE:
        select_number(selected, image->initrd.len, 4);
        break;
    case ITEM_INITRD_DATA:
        select_range(selected, &image->initrd);
        break;
    case ITEM_CMDLINE_ADDRESS:
        select_number(selected, image->cmdline.gpa, 4);
        break;
    case ITEM_CMDLINE_SIZE: /* with its final 0 */
        select_number(selected, image->cmdline.len + 1, 4);
        break;
    case ITEM_CMDLINE_DATA:
        select_range(selected, &image->cmdline);
        break;
    }
}

/* What is not named here has no bytes, which reads as zeros: items that are not set, and unknown ones. */
static void fwcfg_select(struct fwcfg *fwcfg, uint16_t item)
{
    struct selection *selected = &fwcfg->selected;
    *selected = (struct selection){.bytes = selected->number};
    item &= ~SELECT_WRITE;
    switch (item) {
    case ITEM_SIGNATURE:
        select_bytes(selected, "QEMU", 4);
        break;
    case ITEM_ID:
        select_number(selected, ID_TRADITIONAL | (fwcfg->config.memory ? ID_DMA : 0), 4);
        break;
    case ITEM_RAM_BYTES:
        select_number(selected, fwcfg->config.ram_bytes, 8);
        break;
    case ITEM_NO_GRAPHIC:
        select_number(selected, 1, 2);
        break;
    case ITEM_CPU_COUNT:
        select_number(selected, fwcfg->config.cpu_count, 2);
        break;
    case ITEM_CPU_COUNT_MAX:
        select_number(selected, fwcfg->config.cpu_count_max, 2);
        break;
    case ITEM_FILE_DIR:
        select_bytes(selected, &fwcfg->directory,
                     sizeof(uint32_t) + fwcfg->file_count * sizeof(struct dir_entry));
        break;
    default:
        if (item >= ITEM_FILE_FIRST)
            select_file(fwcfg, item - ITEM_FILE_FIRST);
        else
            select_image(fwcfg, item);
    }
}

/* The next `len` bytes, of which those past the item's end, or where guest memory has gone, are 0. */
static void take(struct fwcfg *fwcfg, uint8_t *to, uint64_t len)
{
    struct selection *selected = &fwcfg->selected;
    uint64_t left = selected->len - selected->at;
    uint64_t count = left < len ? left : len;
    memset(to, 0, len);
    if (selected->bytes)
        memcpy(to, selected->bytes + selected->at, count);
    else if (count && fwcfg->config.memory)
        guest_mem_read(fwcfg->config.memory, selected->gpa + selected->at, to, count);
    selected->at += count;
}

/* The answer is false where the guest's buffer is not its memory. */
static bool dma_read(struct fwcfg *fwcfg, gpa_t gpa, uint64_t len)
{
    uint8_t bytes[1024];
    if (len && !guest_mem_is_ram(fwcfg->config.memory, gpa, len))
        return false;
    while (len) {
        uint64_t count = len < sizeof(bytes) ? len : sizeof(bytes);
        take(fwcfg, bytes, count);
        if (guest_mem_write(fwcfg->config.memory, gpa, bytes, count))
            return false;
        gpa += count;
        len -= count;
    }
    return true;
}

/* What came of it goes back into the control field. */
static void dma_run(struct fwcfg *fwcfg, gpa_t gpa)
{
    struct dma_request request;
    if (guest_mem_read(fwcfg->config.memory, gpa, &request, sizeof(request)))
        return;
    uint32_t control = be32toh(request.control), len = be32toh(request.len);
    bool is_done = true;
    if (control & DMA_SELECT)
        fwcfg_select(fwcfg, (uint16_t)(control >> 16));
    if (control & DMA_READ) {
        is_done = dma_read(fwcfg, be64toh(request.address), len);
    } else if (control & DMA_WRITE) {
        is_done = false;
    } else if (control & DMA_SKIP) {
        uint64_t left = fwcfg->selected.len - fwcfg->selected.at;
        fwcfg->selected.at += len < left ? len : left;
    }
    request.control = htobe32(is_done ? 0 : DMA_ERROR);
    guest_mem_write(fwcfg->config.memory, gpa, &request.control, sizeof(request.control));
}

static uint64_t fwcfg_read(void *device, uint64_t offset, unsigned size)
{
    struct fwcfg *fwcfg = device;
    uint8_t byte;
    if (fwcfg->config.memory && offset >= FWCFG_DMA_OFFSET)
        return load_le(&DMA_SIGNATURE[offset - FWCFG_DMA_OFFSET], size);
    if (offset != FWCFG_DATA_OFFSET || size != 1)
        return UINT64_MAX;
    take(fwcfg, &byte, 1);
    return byte;
}

static void fwcfg_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct fwcfg *fwcfg = device;
    if (offset == 0 && size == 2)
        fwcfg_select(fwcfg, (uint16_t)value);
    if (!fwcfg->config.memory || size != 4)
        return;
    if (offset == FWCFG_DMA_OFFSET) {
        fwcfg->dma_high = be32toh((uint32_t)value);
    } else if (offset == FWCFG_DMA_OFFSET + 4) {
        gpa_t gpa = (uint64_t)fwcfg->dma_high << 32 | be32toh((uint32_t)value);
        fwcfg->dma_high = 0;
        dma_run(fwcfg, gpa);
    }
}

static const struct bus_ops fwcfg_ops = {.read = fwcfg_read, .write = fwcfg_write};

int fwcfg_create(const struct fwcfg_config *config, struct fwcfg **out, struct vmm_error *error)
{
    struct fwcfg *fwcfg = calloc(1, sizeof(*fwcfg));
    if (!fwcfg)
        return error_set(error, -ENOMEM, "fwcfg: out of memory");
    fwcfg->config = *config;
    if (!config->cpu_count)
        fwcfg->config.cpu_count = 1;
    if (!config->cpu_count_max)
        fwcfg->config.cpu_count_max = fwcfg->config.cpu_count;
    fwcfg_select(fwcfg, ITEM_SIGNATURE);
    fwcfg->region = (struct bus_region){.name = "fwcfg",
                                        .base = FWCFG_PORT,
                                        .len = FWCFG_PORT_COUNT,
                                        .size_min = 1,
                                        .size_max = 4,
                                        .ops = &fwcfg_ops,
                                        .device = fwcfg,
                                        .lock = &fwcfg->lock};
    *out = fwcfg;
    return 0;
}

void fwcfg_destroy(struct fwcfg *fwcfg)
{
    if (!fwcfg)
        return;
    for (unsigned i = 0; i < fwcfg->file_count; i++)
        free(fwcfg->files[i].bytes);
    free(fwcfg);
}

struct bus_region *fwcfg_region(struct fwcfg *fwcfg)
{
    return &fwcfg->region;
}

void fwcfg_set_image(struct fwcfg *fwcfg, const struct fwcfg_image *image)
{
    fwcfg->image = *image;
}

static int check_file(const struct fwcfg *fwcfg, const char *name, size_t len, struct vmm_error *error)
{
    if (!*name || strlen(name) >= FWCFG_NAME_BYTES)
        return error_set(error, -EINVAL, "fw_cfg: the file name '%s' has %zu bytes: 1 to %d are possible",
                         name, strlen(name), FWCFG_NAME_BYTES - 1);
    if (len > UINT32_MAX)
        return error_set(error, -EFBIG, "fw_cfg: the file '%s' has %zu bytes: less than 4 GiB are possible",
                         name, len);
    for (unsigned i = 0; i < fwcfg->file_count; i++)
        if (strcmp(fwcfg->directory.entries[i].name, name) == 0)
            return error_set(error, -EEXIST, "fw_cfg: there is a file '%s' already", name);
    if (fwcfg->file_count == FWCFG_FILE_LIMIT)
        return error_set(error, -ENOSPC, "fw_cfg: '%s' is one file too many: %d are possible", name,
                         FWCFG_FILE_LIMIT);
    return 0;
}

int fwcfg_add_file(struct fwcfg *fwcfg, const char *name, const void *bytes, size_t len,
                   struct vmm_error *error)
{
    int result = check_file(fwcfg, name, len, error);
    if (result)
        return result;
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        return error_set(error, -ENOMEM, "fw_cfg: out of memory for '%s'", name);
    if (len)
        memcpy(copy, bytes, len);
    unsigned index = fwcfg->file_count++;
    struct dir_entry *entry = &fwcfg->directory.entries[index];
    fwcfg->files[index] = (struct fwcfg_file){.bytes = copy, .len = len};
    *entry = (struct dir_entry){.len = htobe32((uint32_t)len),
                                .item = htobe16((uint16_t)(ITEM_FILE_FIRST + index))};
    memcpy(entry->name, name, strlen(name));
    fwcfg->directory.count = htobe32(fwcfg->file_count);
    return 0;
}
