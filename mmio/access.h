/* SPDX-License-Identifier: MIT
 *
 * An instruction's accesses to memory: segmentation, alignment, the page walk, and then RAM by its host
 * address or a device through the bus. Checking and doing are two steps, so that an instruction first
 * prepares all its accesses and touches a device only when nothing can fail any more.
 *
 *     struct access access = {.segment = CPU_SS, .offset = rsp, .len = 8, .flags = ACCESS_READ};
 *     TRY(access_prepare(env, &access));     every #GP, #SS, #AC, #PF; sets A and D bits
 *     access_read(env, &access, buffer);     cannot fail
 */
#ifndef MMIO_ACCESS_H
#define MMIO_ACCESS_H

#include "mmio/env.h"

enum access_flags {
    ACCESS_READ = 1,
    ACCESS_WRITE = 2,  /* both: a read-modify-write, checked as a write */
    ACCESS_SYSTEM = 4, /* descriptor tables and TSS: supervisor whatever the CPL */
    ACCESS_EXACT = 8,  /* #GP(0) where the address is no multiple of `len` (MOVAPS and the like) */
    ACCESS_FETCH = 16, /* of code: only by the fetch itself */
};

/* Fills gva and the pieces from segment, offset, len, flags and align: len is 1 to 12 KiB. */
enum step_result access_prepare(struct step_env *env, struct access *access);

/* The same from a linear address: for system structures, and for what has been through segmentation. */
enum step_result access_prepare_linear(struct step_env *env, struct access *access);

/* The segment's checks and base alone. */
enum step_result access_linearize(struct step_env *env, struct access *access);

/* Whether #AC is on: CR0.AM, EFLAGS.AC and CPL 3. */
bool access_checks_alignment(const struct step_env *env);

/* For 48 or, with CR4.LA57, 57 bits. */
bool access_is_canonical(const struct step_env *env, uint64_t address);

/* A prepared access: all its bytes, low address first. Devices see 8, 4, 2, 1 bytes, RAM one access where the
 * width is a power of two up to 8. */
void access_read(struct step_env *env, const struct access *access, void *to);
void access_write(struct step_env *env, const struct access *access, const void *from);

/* Up to 8 bytes as a value. */
uint64_t access_read_value(struct step_env *env, const struct access *access);
void access_write_value(struct step_env *env, const struct access *access, uint64_t value);

/* For a LOCKed read-modify-write: writes `value` if the memory still holds `old`, else returns false, and the
 * instruction starts again from the read. `len` is that of the access: 1, 2, 4, 8 or 16 bytes. Without
 * LOCK in the instruction (or XCHG) call access_write. */
bool access_exchange(struct step_env *env, const struct access *access, const void *old, const void *value);

/* Whether no single atomic operation of the host can do this LOCKed access. The bus lock is then taken, until
 * the end of the instruction. */
void access_lock(struct step_env *env, const struct access *access);

/* One access of a device, counted in the outcome; a read that was made for this instruction before is not
 * made again (struct step_replay). */
uint64_t access_device_read(struct step_env *env, gpa_t gpa, unsigned size);
void access_device_write(struct step_env *env, gpa_t gpa, unsigned size, uint64_t value);

/* A value of 1, 2, 4 or 8 bytes into RAM, in one machine access. */
void access_ram_write(struct step_env *env, uint8_t *to, gpa_t gpa, unsigned size, uint64_t value);

/* Where guest-physical memory is RAM: `to` only where the guest may write it. */
void access_find_ram(const struct step_env *env, gpa_t gpa, unsigned len, struct access_piece *piece);

#endif
