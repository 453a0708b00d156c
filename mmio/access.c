/* SPDX-License-Identifier: MIT
 *
 * From segment and offset to host memory or a device (SDM 3A 5.3 to 5.6, chapter 4 by ept/walk).
 */
#include "mmio/access.h"

#include <string.h>

#include "base/bytes.h"
#include "mmio/tlb.h"

static unsigned canonical_bits(const struct step_env *env)
{
    return env->cpu->cr4 & CR4_LA57 ? 57 : 48;
}

bool access_is_canonical(const struct step_env *env, uint64_t address)
{
    unsigned shift = 64 - canonical_bits(env);
    return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

static enum step_result segment_fault(struct step_env *env, unsigned segment)
{
    return env_raise_error(env, segment == CPU_SS ? VECTOR_SS : VECTOR_GP, 0);
}

static bool limit_allows(const struct cpu_segment *segment, uint64_t offset, unsigned len)
{
    uint64_t last = offset + (len - 1);
    bool is_expand_down = (segment->attributes & (SEGMENT_CODE | SEGMENT_EXPAND_DOWN)) == SEGMENT_EXPAND_DOWN;
    if (!is_expand_down)
        return last <= segment->limit;
    uint64_t top = segment->attributes & SEGMENT_DB ? 0xffffffff : 0xffff;
    return offset > segment->limit && last <= top;
}

static bool type_allows(const struct cpu_segment *segment, unsigned flags)
{
    if (!(segment->attributes & SEGMENT_PRESENT))
        return false;
    bool is_code = segment->attributes & SEGMENT_CODE;
    if (flags & ACCESS_WRITE)
        return !is_code && (segment->attributes & SEGMENT_WRITABLE);
    return !is_code || (segment->attributes & SEGMENT_WRITABLE) || (flags & ACCESS_FETCH);
}

enum step_result access_linearize(struct step_env *env, struct access *access)
{
    const struct cpu_segment *segment = &env->cpu->segments[access->segment];
    if (env->is_64bit) {
        access->gva = access->offset;
        if (access->segment >= CPU_FS)
            access->gva += segment->base;
        if (!access_is_canonical(env, access->gva) ||
            !access_is_canonical(env, access->gva + (access->len - 1)))
            return segment_fault(env, access->segment);
    } else {
        if (cpu_is_protected(env->cpu) && !type_allows(segment, access->flags))
            return segment_fault(env, access->segment);
        if (!limit_allows(segment, access->offset, access->len))
            return segment_fault(env, access->segment);
        access->gva = (uint32_t)(segment->base + access->offset);
    }
    return STEP_DONE;
}

/* SDM 3A 18.2: L and R/W fields of DR7, the address compared by the bits above the length. */
static void check_breakpoints(struct step_env *env, const struct access *access)
{
    uint64_t dr7 = env->cpu->dr7;
    for (unsigned i = 0; i < 4; i++) {
        unsigned type = dr7 >> (16 + 4 * i) & 3;
        bool matches = type == 3 || (type == 1 && (access->flags & ACCESS_WRITE));
        if (!(dr7 >> (2 * i) & 3) || !matches)
            continue;
        static const uint8_t lengths[] = {1, 2, 8, 4};
        unsigned len = lengths[dr7 >> (18 + 4 * i) & 3];
        uint64_t base = env->cpu->dr[i] & ~(uint64_t)(len - 1);
        if (base - access->gva < access->len || access->gva - base < len)
            env->dr6 |= 1u << i;
    }
}

void access_find_ram(const struct step_env *env, gpa_t gpa, unsigned len, struct access_piece *piece)
{
    size_t count;
    const struct memory_range *range = guest_memory_ranges(env->machine->memory, &count);
    piece->from = piece->to = NULL;
    for (; count; count--, range++) {
        uint64_t offset = gpa - range->gpa;
        if (offset >= range->len || len > range->len - offset)
            continue;
        piece->from = range->hva + offset;
        piece->to = range->read_only ? NULL : range->hva + offset;
        return;
    }
}

/* Keeps what holds for the whole page: not where a device inside the kernel has a part of it. */
static void tlb_fill(const struct step_env *env, gva_t gva, unsigned flags, const struct access_piece *piece,
                     const struct walk_trail *trail)
{
    const struct step_ops *ops = env->machine->ops;
    unsigned offset = (unsigned)(gva & (PAGE_BYTES - 1));
    gpa_t page = piece->gpa - offset;
    if ((flags & ACCESS_SYSTEM) ||
        (!piece->to && ops->is_kernel_device && ops->is_kernel_device(env->machine->owner, page, PAGE_BYTES)))
        return;
    unsigned index = tlb_index(gva);
    struct tlb_entry *entry = &env->tlb->entries[index];
    struct walk_trail *kept = &env->tlb->trails[index];
    /* what was allowed by other entries is not allowed by these */
    bool is_same = entry->page == gva >> 12 && entry->session == env->tlb->session &&
                   entry->generation == env->tlb->generation && tlb_same_trail(kept, trail);
    uint8_t allowed = is_same ? entry->allowed : 0;
    *entry = (struct tlb_entry){.page = gva >> 12,
                                .gpa = page,
                                .from = piece->from ? piece->from - offset : NULL,
                                .to = piece->to ? piece->to - offset : NULL,
                                .session = env->tlb->session,
                                .generation = env->tlb->generation,
                                .allowed = (uint8_t)(allowed | tlb_need(flags))};
    *kept = *trail;
    tlb_expect(env->tlb, index, flags);
}

static bool is_kernel_device(const struct step_env *env, const struct access_piece *piece)
{
    const struct step_ops *ops = env->machine->ops;
    return ops->is_kernel_device && ops->is_kernel_device(env->machine->owner, piece->gpa, piece->len);
}

static unsigned walk_flags(const struct step_env *env, unsigned flags)
{
    unsigned walk = 0;
    if (flags & ACCESS_WRITE)
        walk |= WALK_WRITE;
    if (flags & ACCESS_FETCH)
        walk |= WALK_FETCH;
    if (flags & ACCESS_SYSTEM)
        walk |= WALK_IMPLICIT;
    else if (env->cpu->cpl == 3)
        walk |= WALK_USER;
    return walk;
}

static enum step_result page_fault(struct step_env *env, gva_t gva, uint32_t error_code)
{
    env->outcome->event.cr2 = gva;
    return env_raise_error(env, VECTOR_PF, error_code);
}

bool access_checks_alignment(const struct step_env *env)
{
    return env->cpu->cpl == 3 && (env->cpu->cr0 & CR0_AM) && (env->cpu->rflags & FLAG_AC);
}

static enum step_result leave_to_kernel(struct step_env *env, gva_t gva, const struct access_piece *piece)
{
    struct step_outcome *outcome = env->outcome;
    outcome->kernel_gva = gva;
    outcome->kernel_gpa = piece->gpa;
    outcome->kernel_len = (uint8_t)piece->len;
    outcome->kernel_segment = env->insn.segment;
    return env_unsupported(env, "a device inside the kernel");
}

/* One page of the access: where it goes, or #PF. */
static enum step_result prepare_piece(struct step_env *env, const struct access *access, gva_t gva,
                                      struct access_piece *piece)
{
    struct walk_result result;
    if (env->tlb && tlb_find(env->tlb, gva, access->flags, piece))
        return STEP_DONE;
    if (!walk_gva(&env->walk, gva, walk_flags(env, access->flags), &result))
        return page_fault(env, gva, result.error_code);
    piece->gpa = result.gpa;
    access_find_ram(env, piece->gpa, piece->len, piece);
    if (!piece->to && (!piece->from || (access->flags & ACCESS_WRITE)) && is_kernel_device(env, piece))
        return leave_to_kernel(env, gva, piece);
    if (env->tlb)
        tlb_fill(env, gva, access->flags, piece, &result.trail);
    return STEP_DONE;
}

/* On one page whose translation is known, and nothing else to look at. */
static inline bool prepare_known(struct step_env *env, struct access *access)
{
    struct access_piece *piece = &access->pieces[0];
    if (!env->tlb || (env->cpu->dr7 & DR7_ACTIVE) ||
        (access->gva & (PAGE_BYTES - 1)) + access->len > PAGE_BYTES ||
        (access->align > 1 && (access->gva & (access->align - 1))) ||
        !tlb_find(env->tlb, access->gva, access->flags, piece))
        return false;
    piece->len = access->len;
    access->piece_count = 1;
    return true;
}

enum step_result access_prepare_linear(struct step_env *env, struct access *access)
{
    if (prepare_known(env, access))
        return STEP_DONE;
    if (access->align > 1 && (access->gva & (access->align - 1)) && access_checks_alignment(env) &&
        !(access->flags & ACCESS_SYSTEM))
        return env_raise_error(env, VECTOR_AC, 0);
    unsigned len = access->len;
    bool is_wide = env->is_64bit || ((access->flags & ACCESS_SYSTEM) && cpu_is_long(env->cpu));
    access->piece_count = 0;
    for (gva_t gva = access->gva; len;) {
        struct access_piece *piece = &access->pieces[access->piece_count];
        unsigned to_end = PAGE_BYTES - (unsigned)(gva & (PAGE_BYTES - 1));
        piece->len = len < to_end ? len : to_end;
        TRY(prepare_piece(env, access, gva, piece));
        access->piece_count++;
        gva += piece->len;
        if (!is_wide)
            gva = (uint32_t)gva;
        len -= piece->len;
    }
    if (__builtin_expect(env->cpu->dr7 & DR7_ACTIVE, 0) && !(access->flags & (ACCESS_SYSTEM | ACCESS_FETCH)))
        check_breakpoints(env, access);
    return STEP_DONE;
}

enum step_result access_prepare(struct step_env *env, struct access *access)
{
    TRY(access_linearize(env, access));
    if ((access->flags & ACCESS_EXACT) && (access->gva & (access->len - 1)))
        return env_gp(env);
    return access_prepare_linear(env, access);
}

/* The next chunk of a device access: the largest power of two that is left, up to 8. */
static unsigned chunk_size(unsigned len)
{
    return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

uint64_t access_device_read(struct step_env *env, gpa_t gpa, unsigned size)
{
    const struct step_machine *machine = env->machine;
    env->outcome->device_reads++;
    env->outcome->device_gpa = gpa;
    for (unsigned i = 0; machine->replay && i < machine->replay->count; i++) {
        struct step_replayed_read *read = &machine->replay->reads[i];
        if (read->gpa != gpa || read->size != size)
            continue;
        read->size = 0;
        return read->value;
    }
    return bus_read(machine->bus, gpa, size);
}

static void device_read(struct step_env *env, const struct access_piece *piece, uint8_t *to)
{
    for (unsigned at = 0, size; at < piece->len; at += size) {
        size = chunk_size(piece->len - at);
        store_le(to + at, access_device_read(env, piece->gpa + at, size), size);
    }
}

void access_device_write(struct step_env *env, gpa_t gpa, unsigned size, uint64_t value)
{
    bus_write(env->machine->bus, gpa, size, value);
    env->outcome->device_writes++;
    env->outcome->device_gpa = gpa;
}

static void device_write(struct step_env *env, const struct access_piece *piece, const uint8_t *from)
{
    for (unsigned at = 0, size; at < piece->len; at += size) {
        size = chunk_size(piece->len - at);
        access_device_write(env, piece->gpa + at, size, load_le(from + at, size));
    }
    env->outcome->device_gpa = piece->gpa;
}

/* A copy that is one machine access where the width allows: another vCPU must not see half a value. */
static void copy_whole(void *to, const void *from, unsigned len)
{
    switch (len) {
    case 1:
        memcpy(to, from, 1);
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    default:
        memcpy(to, from, len);
    }
}

static void ram_written(const struct step_env *env, gpa_t gpa, unsigned len)
{
    const struct step_ops *ops = env->machine->ops;
    if (ops->ram_written)
        ops->ram_written(env->machine->owner, gpa, len);
}

void access_ram_write(struct step_env *env, uint8_t *to, gpa_t gpa, unsigned size, uint64_t value)
{
    copy_whole(to, &value, size);
    ram_written(env, gpa, size);
}

void access_read(struct step_env *env, const struct access *access, void *to)
{
    uint8_t *at = to;
    for (unsigned i = 0; i < access->piece_count; at += access->pieces[i++].len) {
        const struct access_piece *piece = &access->pieces[i];
        if (piece->from)
            copy_whole(at, piece->from, piece->len);
        else
            device_read(env, piece, at);
    }
}

void access_write(struct step_env *env, const struct access *access, const void *from)
{
    const uint8_t *at = from;
    for (unsigned i = 0; i < access->piece_count; at += access->pieces[i++].len) {
        const struct access_piece *piece = &access->pieces[i];
        if (piece->to) {
            copy_whole(piece->to, at, piece->len);
            ram_written(env, piece->gpa, piece->len);
        } else {
            device_write(env, piece, at);
        }
    }
}

uint64_t access_read_value(struct step_env *env, const struct access *access)
{
    uint64_t value = 0;
    access_read(env, access, &value);
    return value;
}

void access_write_value(struct step_env *env, const struct access *access, uint64_t value)
{
    access_write(env, access, &value);
}

static bool is_atomic_in_ram(const struct access *access)
{
    const struct access_piece *piece = &access->pieces[0];
    return access->piece_count == 1 && piece->to && (piece->len < 16 || !((uintptr_t)piece->to & 15));
}

void access_lock(struct step_env *env, const struct access *access)
{
    if (env->bus_locked || !env->machine->bus_lock || is_atomic_in_ram(access))
        return;
    pthread_mutex_lock(env->machine->bus_lock);
    env->bus_locked = true;
}

/* The processor's own LOCK CMPXCHG, which also does unaligned ones; C's atomics must not. */
#define HOST_EXCHANGE(type, to, old, value)                                                 \
    do {                                                                                    \
        type expected_, value_;                                                             \
        memcpy(&expected_, (old), sizeof(type));                                            \
        memcpy(&value_, (value), sizeof(type));                                             \
        __asm__ __volatile__("lock cmpxchg %[value], %[memory]"                             \
                             : "=@ccz"(done), [memory] "+m"(*(type *)(to)), "+a"(expected_) \
                             : [value] "q"(value_)                                          \
                             : "memory");                                                   \
    } while (0)

__attribute__((no_sanitize("alignment"))) static bool host_exchange(void *to, const void *old,
                                                                    const void *value, unsigned len)
{
    bool done = false;
    switch (len) {
    case 1:
        HOST_EXCHANGE(uint8_t, to, old, value);
        break;
    case 2:
        HOST_EXCHANGE(uint16_t, to, old, value);
        break;
    case 4:
        HOST_EXCHANGE(uint32_t, to, old, value);
        break;
    case 8:
        HOST_EXCHANGE(uint64_t, to, old, value);
        break;
    default: {
        uint64_t low = load_le64(old), high = load_le64((const uint8_t *)old + 8);
        __asm__ __volatile__("lock cmpxchg16b %[memory]"
                             : "=@ccz"(done), [memory] "+m"(*(uint8_t(*)[16])to), "+a"(low), "+d"(high)
                             : "b"(load_le64(value)), "c"(load_le64((const uint8_t *)value + 8))
                             : "memory");
    }
    }
    return done;
}

bool access_exchange(struct step_env *env, const struct access *access, const void *old, const void *value)
{
    if (!is_atomic_in_ram(access)) {
        access_write(env, access, value);
        return true;
    }
    const struct access_piece *piece = &access->pieces[0];
    if (!host_exchange(piece->to, old, value, piece->len))
        return false;
    ram_written(env, piece->gpa, piece->len);
    return true;
}
