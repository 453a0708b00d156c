/* SPDX-License-Identifier: MIT
 *
 * KVM's own count of a vCPU's exits, those that it deals with itself included (KVM_GET_STATS_FD, Linux 5.14).
 */
#ifndef BENCH_KVM_STAT_H
#define BENCH_KVM_STAT_H

#include <stdint.h>
#include <sys/types.h>

struct kvm_stat {
    int fd; /* -1: not to be had */
    off_t offset;
};

/* `name` as the kernel has it: "exits". */
struct kvm_stat kvm_stat_open(int vcpu_fd, const char *name);
void kvm_stat_close(struct kvm_stat *stat);

/* Negative: not known. Any thread. */
double kvm_stat_read(const struct kvm_stat *stat);

#endif
