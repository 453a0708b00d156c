/* SPDX-License-Identifier: MIT
 *
 * The format is that of KVM's API, 4.132: a header, descriptors of one length with their names behind, and
 * the data as 64-bit numbers.
 */
#include "bench/kvm_stat.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME_LIMIT 128u

struct kvm_stat kvm_stat_open(int vcpu_fd, const char *name)
{
    struct kvm_stats_header header;
    struct {
        struct kvm_stats_desc fixed;
        char name[NAME_LIMIT];
    } entry;
    struct kvm_stat stat = {.fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, NULL)};
    if (stat.fd < 0)
        return stat;
    if (pread(stat.fd, &header, sizeof(header), 0) == sizeof(header) && header.name_size < NAME_LIMIT) {
        size_t len = sizeof(entry.fixed) + header.name_size;
        for (uint32_t i = 0; i < header.num_desc; i++) {
            memset(&entry, 0, sizeof(entry));
            if (pread(stat.fd, &entry, len, header.desc_offset + (off_t)(i * len)) != (ssize_t)len)
                break;
            stat.offset = header.data_offset + entry.fixed.offset;
            if (strcmp((char *)&entry + sizeof(entry.fixed), name) == 0)
                return stat;
        }
    }
    kvm_stat_close(&stat);
    return stat;
}

void kvm_stat_close(struct kvm_stat *stat)
{
    if (stat->fd >= 0)
        close(stat->fd);
    stat->fd = -1;
}

double kvm_stat_read(const struct kvm_stat *stat)
{
    uint64_t value;
    if (stat->fd < 0 || pread(stat->fd, &value, sizeof(value), stat->offset) != sizeof(value))
        return -1;
    return (double)value;
}
