/* SPDX-License-Identifier: MIT
 *
 * A 16-bit selector picks an item, and reads of the data port return its bytes one after the other, zeros
 * past its end. Items are built when they are selected: none is longer than 16 bytes. Facts: QEMU,
 * docs/specs/fw_cfg.rst.
 *
 *   offset 0, 16-bit write  selects an item and goes back to its start
 *   offset 1, 8-bit read    its next byte
 */
#include "devices/fwcfg/fwcfg.h"

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
    ITEM_CPU_COUNT_MAX = 0x0f,
    ITEM_FILE_DIR = 0x19,
};

#define ITEM_BYTES        16
#define ID_TRADITIONAL    1u /* the interface with two ports; bit 1 would be DMA */
#define FWCFG_DATA_OFFSET 1

struct fwcfg {
    struct bus_region region;
    pthread_mutex_t lock;
    uint64_t ram_bytes;
    uint16_t cpu_count, cpu_count_max;
    uint8_t item[ITEM_BYTES]; /* the one selected, with zeros behind it */
    unsigned at;              /* its next byte; ITEM_BYTES: past the end */
};

static void fwcfg_select(struct fwcfg *fwcfg, uint16_t item)
{
    memset(fwcfg->item, 0, sizeof(fwcfg->item));
    fwcfg->at = 0;
    switch (item) {
    case ITEM_SIGNATURE:
        memcpy(fwcfg->item, "QEMU", 4);
        break;
    case ITEM_ID:
        store_le32(fwcfg->item, ID_TRADITIONAL);
        break;
    case ITEM_RAM_BYTES:
        store_le64(fwcfg->item, fwcfg->ram_bytes);
        break;
    case ITEM_NO_GRAPHIC:
        store_le16(fwcfg->item, 1);
        break;
    case ITEM_CPU_COUNT:
        store_le16(fwcfg->item, fwcfg->cpu_count);
        break;
    case ITEM_CPU_COUNT_MAX:
        store_le16(fwcfg->item, fwcfg->cpu_count_max);
        break;
    case ITEM_UUID:     /* not set: zeros */
    case ITEM_FILE_DIR: /* a count of files, big-endian: none */
        break;
    }
}

static uint64_t fwcfg_read(void *device, uint64_t offset, unsigned size)
{
    struct fwcfg *fwcfg = device;
    if (offset != FWCFG_DATA_OFFSET || size != 1)
        return UINT64_MAX;
    return fwcfg->at < ITEM_BYTES ? fwcfg->item[fwcfg->at++] : 0;
}

static void fwcfg_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == 0 && size == 2)
        fwcfg_select(device, (uint16_t)value);
}

static const struct bus_ops fwcfg_ops = {.read = fwcfg_read, .write = fwcfg_write};

int fwcfg_create(const struct fwcfg_config *config, struct fwcfg **out, struct vmm_error *error)
{
    struct fwcfg *fwcfg = calloc(1, sizeof(*fwcfg));
    if (!fwcfg)
        return error_set(error, -ENOMEM, "fwcfg: out of memory");
    pthread_mutex_init(&fwcfg->lock, NULL);
    fwcfg->ram_bytes = config->ram_bytes;
    fwcfg->cpu_count = (uint16_t)(config->cpu_count ? config->cpu_count : 1);
    fwcfg->cpu_count_max = (uint16_t)(config->cpu_count_max ? config->cpu_count_max : fwcfg->cpu_count);
    fwcfg_select(fwcfg, ITEM_SIGNATURE);
    fwcfg->region = (struct bus_region){.name = "fwcfg",
                                        .base = FWCFG_PORT,
                                        .len = 2,
                                        .size_min = 1,
                                        .size_max = 2,
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
    pthread_mutex_destroy(&fwcfg->lock);
    free(fwcfg);
}

struct bus_region *fwcfg_region(struct fwcfg *fwcfg)
{
    return &fwcfg->region;
}
