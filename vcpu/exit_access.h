/* SPDX-License-Identifier: MIT
 *
 * The short way from an exit to a device, inline where the vCPU's loop is: nearly all exits are one access,
 * and each of these instructions is executed for each of them. What the loop keeps in registers is saved once
 * for all. Values in the shared page are KVM's, not the guest's, but what they mean is the guest's.
 *
 * Threads: the vCPU's own.
 */
#ifndef VCPU_EXIT_ACCESS_H
#define VCPU_EXIT_ACCESS_H

#include "base/bytes.h"
#include "base/trace.h"
#include "mmio/bus_exit.h"
#include "vcpu/vcpu.h"

/* The note of this exit; what it says beside the reason is what another has left there. */
static inline struct exit_note *exit_next_note(struct vcpu *vcpu, uint32_t reason)
{
    uint64_t *count = &vcpu->reason_counts[reason < VCPU_REASON_LIMIT ? reason : VCPU_REASON_LIMIT - 1];
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED); /* for machine_mark on another thread */
    struct exit_note *note = &vcpu->history[vcpu->exit_count++ % VCPU_HISTORY];
    note->reason = reason;
    return note;
}

/* An access to a port, or `count` of them. */
static inline struct exit_note *exit_note_port(struct vcpu *vcpu, struct exit_access *access)
{
    _Static_assert(KVM_EXIT_IO_IN == 0 && KVM_EXIT_IO_OUT == 1, "the direction is `is_write`");
    memcpy(access, &vcpu->run->io, sizeof(*access));
    struct exit_note *note = exit_next_note(vcpu, KVM_EXIT_IO);
    note->access = *access;
    return note;
}

/* An access to memory that KVM has decoded: of 1 to 8 bytes, inside one page. */
static inline struct exit_note *exit_note_memory(struct vcpu *vcpu, struct exit_access *access)
{
    const struct kvm_run *run = vcpu->run;
    *access = (struct exit_access){
        .is_write = run->mmio.is_write, .size = (uint8_t)run->mmio.len, .count = 1};
    struct exit_note *note = exit_next_note(vcpu, KVM_EXIT_MMIO);
    note->access = *access;
    note->address = run->mmio.phys_addr;
    return note;
}

static inline uint8_t *exit_port_data(struct vcpu *vcpu)
{
    return (uint8_t *)vcpu->run + vcpu->run->io.data_offset;
}

/* INS or OUTS, with REP: KVM hands over up to a page of elements. */
void exit_port_string(struct vcpu *vcpu, struct exit_note *note);

static inline void exit_port(struct vcpu *vcpu)
{
    struct exit_access access;
    struct exit_note *note = exit_note_port(vcpu, &access);
    uint8_t *data = exit_port_data(vcpu);
    struct bus *ports = vcpu->machine->ports;
    if (__builtin_expect(access.count != 1, 0)) {
        exit_port_string(vcpu, note);
    } else if (access.is_write) {
        note->value = load_le32(data);
        bus_write_port(ports, access.port, access.size, note->value);
    } else {
        note->value = bus_read_port(ports, access.port, access.size);
        /* KVM takes `size` bytes of it; the page goes on behind them. */
        store_le32(data, (uint32_t)note->value);
    }
}

static inline void exit_memory(struct vcpu *vcpu)
{
    struct exit_access access;
    struct exit_note *note = exit_note_memory(vcpu, &access);
    struct bus *bus = vcpu->machine->memory_bus;
    uint8_t *data = vcpu->run->mmio.data;
    if (access.is_write) {
        note->value = load_le64(data);
        bus_write_memory(bus, note->address, access.size, note->value);
    } else {
        note->value = bus_read_memory(bus, note->address, access.size);
        store_le64(data, note->value);
    }
}

/* The same with what the trace records of it. */
bool exit_is_access_traced(struct vcpu *vcpu);

/* Handles an exit that is an access and no more is to be done about. False: vcpu_handle_exit has to. */
static inline bool exit_is_access(struct vcpu *vcpu, int result)
{
    uint32_t reason = vcpu->run->exit_reason;
    if (__builtin_expect(result, 0))
        return false;
    if (__builtin_expect(vcpu->on_exit, 0))
        return vcpu->on_exit == VCPU_TRACED && exit_is_access_traced(vcpu);
    if (__builtin_expect(reason == KVM_EXIT_IO, 1)) {
        TRACE_PROBE3(exit, vcpu->index, KVM_EXIT_IO, 0);
        exit_port(vcpu);
    } else if (__builtin_expect(reason == KVM_EXIT_MMIO, 1)) {
        TRACE_PROBE3(exit, vcpu->index, KVM_EXIT_MMIO, 0);
        exit_memory(vcpu);
    } else {
        return false;
    }
    return true;
}

#endif
