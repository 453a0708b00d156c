/* SPDX-License-Identifier: MIT
 *
 * The record of an exit is written when the guest goes on, since only then its length is known. rip comes by
 * the shared page. Where KVM's emulator has written the instruction off already, rip is behind it: the start
 * is found once for each such place, from the bytes before it, and remembered with the code.
 */
#include "vcpu/exit_trace.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/trace_put.h"
#include "base/trace_ring.h"
#include "decoder/insn.h"
#include "vcpu/state.h"

/* A place in the code is known by rip and by whether rip may be behind the instruction, which turns this bit
 * over: the addresses that result are not canonical. */
#define KEY_BEHIND_BIT 62
#define KEY_BEHIND     (1ull << KEY_BEHIND_BIT)

void exit_trace_begin(struct vcpu *vcpu)
{
    vcpu->on_entry |= VCPU_TRACED | VCPU_SYNC;
    if (!vcpu->machine->has_trapped)
        vcpu->on_exit |= VCPU_TRACED;
    vcpu->place_key = 0; /* of an address that is not asked for */
    vcpu->seen = (struct bus_seen){0};
    vcpu->plain_ring = trace_plain_ring();
    vcpu->traced_exits = vcpu->exit_count;
    vcpu->traced_fields = trace_wants(TRACE_EXIT) ? vcpu->machine->sync_fields & KVM_SYNC_X86_REGS : 0;
    const struct trace_record record = {.time = trace_now(), .event = TRACE_ENTRY};
    trace_record(&record);
}

/* Before Linux 4.17 KVM shares no registers: they come by a system call, into their place in the page, which
 * such a KVM leaves alone. */
__attribute__((noinline)) static uint64_t ask_rip(struct vcpu *vcpu)
{
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    if (vcpu->machine->sync_fields & KVM_SYNC_X86_REGS || !trace_wants(TRACE_EXIT) ||
        ioctl(vcpu->fd, KVM_GET_REGS, regs))
        return 0;
    return regs->rip;
}

void exit_trace_left(struct vcpu *vcpu)
{
    vcpu->left_at_ticks = trace_now();
    vcpu->left_rip = vcpu->synced_fields & KVM_SYNC_X86_REGS ? vcpu->run->s.regs.regs.rip : ask_rip(vcpu);
}

/* KVM knows, but for paging that is hidden from it. */
static bool translate(struct vcpu *vcpu, gva_t gva, gpa_t *gpa)
{
    struct kvm_translation walk = {.linear_address = gva};
    struct cpu_state cpu;
    if (vcpu->hides_paging)
        return !vcpu_load_state(vcpu, &cpu, VCPU_SREGS) && vcpu_translate(vcpu, &cpu, (uint32_t)gva, gpa);
    bool is_there = !ioctl(vcpu->fd, KVM_TRANSLATE, &walk) && walk.valid;
    *gpa = walk.physical_address;
    return is_there;
}

size_t vcpu_read_code(struct vcpu *vcpu, gva_t from, uint8_t *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        gpa_t gpa;
        size_t span = PAGE_BYTES - (from + done) % PAGE_BYTES;
        if (span > len - done)
            span = len - done;
        if (!translate(vcpu, from + done, &gpa) ||
            guest_mem_read(vcpu->machine->memory, gpa, bytes + done, span))
            break;
        done += span;
    }
    return done;
}

/* ---- Which instruction was it ---- */

/* Code around rip, and what it means. */
struct place {
    struct kvm_sregs sregs;
    struct insn_mode mode;
    gva_t linear;                    /* of rip */
    uint8_t before[TRACE_BYTES_MAX]; /* the bytes that end at rip, */
    size_t before_len;               /* as many as can be read */
    uint8_t after[TRACE_BYTES_MAX];  /* and those from it on */
    size_t after_len;
    const struct trace_record *exit;
    const struct kvm_regs *regs;
};

static bool load_place(struct vcpu *vcpu, const struct trace_record *exit, struct place *place)
{
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &place->sregs))
        return false;
    const struct kvm_segment *cs = &place->sregs.cs;
    bool is_long = (place->sregs.efer & EFER_LMA) && cs->l;
    place->exit = exit;
    place->regs = &vcpu->run->s.regs.regs;
    place->mode = insn_mode(is_long ? 64 : cs->db ? 32 : 16);
    place->mode.real = !(place->sregs.cr0 & CR0_PE);
    place->linear = vcpu->left_rip + (is_long ? 0 : cs->base);
    place->after_len = vcpu_read_code(vcpu, place->linear, place->after, sizeof(place->after));
    size_t wanted = place->linear < TRACE_BYTES_MAX ? place->linear : TRACE_BYTES_MAX;
    if (vcpu_read_code(vcpu, place->linear - wanted, place->before, wanted) == wanted)
        place->before_len = wanted;
    return true;
}

static bool is_out(const struct insn *insn)
{
    return insn->op == INSN_OP_OUT || insn->op == INSN_OP_OUTS;
}

/* Whether the operand may have led to the access, by the place in its page: the registers are what they were
 * but for those that the instruction itself has changed. */
static bool hits(const struct place *place, const struct insn *insn, const struct insn_operand *operand)
{
    const struct kvm_regs *regs = place->regs;
    const struct kvm_sregs *sregs = &place->sregs;
    const uint64_t gpr[32] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
                              regs->rsi, regs->rdi, regs->r8,  regs->r9,  regs->r10, regs->r11,
                              regs->r12, regs->r13, regs->r14, regs->r15};
    const uint64_t bases[6] = {sregs->es.base, sregs->cs.base, sregs->ss.base,
                               sregs->ds.base, sregs->fs.base, sregs->gs.base};
    struct insn_registers registers = {gpr, bases, regs->rip};
    struct insn_memory memory;
    if (!insn_memory(insn, operand, &memory))
        return false;
    uint64_t address = insn_address(insn, &memory, &registers, 0);
    return (address ^ place->exit->address) % PAGE_BYTES == 0;
}

/* How well an instruction explains the access; 0: not at all. */
static unsigned explains(const struct place *place, const struct insn *insn)
{
    unsigned best = 0;
    if (place->exit->index == KVM_EXIT_IO)
        return is_out(insn) ? 1 + (insn->op == INSN_OP_OUTS) : 0;
    if (insn->attributes & INSN_STACK_WRITE)
        best = 1;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct insn_operand *operand = &insn->operands[i];
        if (operand->kind < INSN_MEM || !(operand->access & INSN_WRITE))
            continue;
        unsigned score = 1 + (operand->size == place->exit->size) + 4 * hits(place, insn, operand);
        if (score > best)
            best = score;
    }
    return best;
}

/* The number of bytes before rip at which the instruction starts, or 0. The longest of the best. */
static unsigned find_start(const struct place *place)
{
    unsigned best = 0, start = 0;
    struct insn insn;
    for (unsigned len = 1; len <= place->before_len; len++) {
        const uint8_t *from = place->before + place->before_len - len;
        if (insn_decode(from, len, place->mode, &insn) != INSN_OK || insn.length != len)
            continue;
        unsigned score = explains(place, &insn);
        if (score && score >= best) {
            best = score;
            start = len;
        }
    }
    return start;
}

/* In a port's case hardware leaves rip on the instruction, and KVM's emulator behind it. */
static bool is_at_out(const struct place *place)
{
    struct insn insn;
    return place->exit->index == KVM_EXIT_IO &&
           insn_decode(place->after, place->after_len, place->mode, &insn) == INSN_OK && is_out(&insn);
}

static void put_bytes(struct trace_record *code, const uint8_t *bytes, size_t len)
{
    struct insn insn;
    code->len = (uint8_t)len;
    memcpy(code->bytes, bytes, len);
    if (insn_decode(bytes, len, insn_mode(code->size), &insn) == INSN_OK)
        code->len = insn.length;
}

/* An exit that KVM's emulator may have finished the instruction of. */
static bool may_be_behind(const struct trace_record *exit)
{
    return (exit->index == KVM_EXIT_IO || exit->index == KVM_EXIT_MMIO) && exit->flags & TRACE_WRITE;
}

static struct trace_record make_code(struct vcpu *vcpu, const struct trace_record *exit, uint64_t key)
{
    struct trace_record code = {
        .time = exit->time, .event = TRACE_CODE, .rip = vcpu->left_rip, .value = key, .address = exit->rip};
    struct place place = {.linear = 0};
    if (!load_place(vcpu, exit, &place))
        return code;
    unsigned back = may_be_behind(exit) && !is_at_out(&place) ? find_start(&place) : 0;
    code.size = place.mode.bits;
    code.rip = vcpu->left_rip - back;
    code.address = place.linear - back;
    if (back)
        put_bytes(&code, place.before + place.before_len - back, back);
    else
        put_bytes(&code, place.after, place.after_len);
    return code;
}

static uint64_t look_up_rip(struct vcpu *vcpu, const struct trace_record *exit, uint64_t key)
{
    uint64_t rip = vcpu->left_rip;
    if (!trace_code_find(key, &rip)) {
        struct trace_record code = make_code(vcpu, exit, key);
        trace_code_add(&code);
        rip = code.rip;
    }
    vcpu->place_key = key;
    vcpu->place_rip = rip;
    return rip;
}

/* Where AMD's KVM puts a vCPU whose state a shutdown has destroyed. */
#define RESET_RIP 0xfff0u

static uint64_t find_rip(struct vcpu *vcpu, const struct trace_record *exit)
{
    if (exit->index == KVM_EXIT_SHUTDOWN && vcpu->left_rip == RESET_RIP)
        return 0;
    uint64_t key = vcpu->left_rip ^ (may_be_behind(exit) ? KEY_BEHIND : 0);
    if (__builtin_expect(key == vcpu->place_key, 1))
        return vcpu->place_rip;
    return vcpu->left_rip ? look_up_rip(vcpu, exit, key) : 0;
}

static inline uint32_t saturate(uint64_t ticks)
{
    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

struct trace_record exit_trace_note(const struct exit_note *note)
{
    const struct exit_access *access = &note->access;
    return (struct trace_record){.event = TRACE_EXIT,
                                 .index = note->reason,
                                 .size = access->size,
                                 .flags = access->is_write ? TRACE_WRITE : 0,
                                 .count = access->count,
                                 .address = note->reason == KVM_EXIT_IO ? access->port : note->address,
                                 .value = access->size ? note->value & size_mask(access->size) : note->value,
                                 .rip = note->rip};
}

static void add_access(struct trace_record *record, const struct bus_seen *seen)
{
    record->len = record->index == KVM_EXIT_IO ? TRACE_PIO : TRACE_MMIO;
    record->device = seen->device;
    record->flags |= seen->device ? 0 : TRACE_MISS;
    record->id = seen->ended - record->time;
}

__attribute__((noinline)) static void flush_all(struct vcpu *vcpu, uint64_t now)
{
    while (vcpu->traced_exits != vcpu->exit_count) {
        struct exit_note *note = &vcpu->history[vcpu->traced_exits++ % VCPU_HISTORY];
        struct trace_record record = exit_trace_note(note);
        record.time = vcpu->left_at_ticks;
        record.duration = saturate(now - vcpu->left_at_ticks);
        record.rip = note->rip = find_rip(vcpu, &record);
        if (vcpu->seen.ended && vcpu->traced_exits == vcpu->exit_count)
            add_access(&record, &vcpu->seen);
        trace_record_exit(&record);
    }
    vcpu->seen = (struct bus_seen){0};
}

/* As flush_all, of an access to a device like the last one: words 1 to 7 of a struct trace_record. */
static inline void put_access(struct vcpu *vcpu, struct exit_note *note, uint64_t *place, uint64_t duration)
{
    const struct bus_seen *seen = &vcpu->seen;
    uint64_t access, event = note->reason == KVM_EXIT_IO ? TRACE_PIO : TRACE_MMIO;
    _Static_assert(sizeof(access) == sizeof(note->access), "is_write, size, port and count in a word");
    memcpy(&access, &note->access, sizeof(access));
    trace_put(place, 1, saturate(duration) | (TRACE_EXIT | (access & 0xffff) << 8 | event << 24) << 32);
    trace_put(place, 2, (uintptr_t)seen->device);
    trace_put(place, 3, note->rip = vcpu->place_rip);
    trace_put(place, 4, note->address);
    trace_put(place, 5, note->value);
    trace_put(place, 6, (access >> 32 << 32) | note->reason);
    trace_put(place, 7, seen->ended - vcpu->left_at_ticks);
}

/* Where one exit is to be recorded, an access to a device from the place of the last, and the thread's only
 * ring has room for it, it is made there. */
static inline void flush(struct vcpu *vcpu)
{
    uint64_t now = trace_now(), left = vcpu->left_at_ticks;
    struct trace_ring *ring = vcpu->plain_ring;
    struct exit_note *note = &vcpu->history[vcpu->traced_exits % VCPU_HISTORY];
    uint64_t key = vcpu->left_rip ^ (uint64_t)note->access.is_write << KEY_BEHIND_BIT;
    if (__builtin_expect(vcpu->traced_exits + 1 != vcpu->exit_count || !vcpu->seen.device ||
                             key != vcpu->place_key || !ring || !trace_has_room(ring),
                         0)) {
        flush_all(vcpu, now);
        return;
    }
    uint64_t *place = trace_begin_put(ring);
    trace_put(place, 0, left);
    put_access(vcpu, note, place, now - left);
    vcpu->traced_exits++;
    vcpu->seen = (struct bus_seen){0};
    trace_end_put(ring);
}

void exit_trace_flush(struct vcpu *vcpu)
{
    flush(vcpu);
}

int exit_trace_enter(struct vcpu *vcpu)
{
    flush(vcpu);
    int result = ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
    exit_trace_left(vcpu);
    return result;
}

void exit_trace_end(struct vcpu *vcpu, enum vcpu_end end)
{
    exit_trace_flush(vcpu);
    if (end != VCPU_KICKED)
        return;
    const struct trace_record record = {
        .time = vcpu->left_at_ticks, .event = TRACE_EXIT, .index = KVM_EXIT_INTR, .rip = vcpu->left_rip};
    trace_record(&record);
}

static uint8_t code_bits(const struct cpu_state *cpu)
{
    if (cpu_is_64bit(cpu))
        return 64;
    return cpu->segments[CPU_CS].attributes & SEGMENT_DB ? 32 : 16;
}

void exit_trace_insn(const struct cpu_state *cpu, uint64_t rip, uint64_t start,
                     const struct step_outcome *outcome)
{
    struct trace_record record = {.time = start,
                                  .duration = saturate(trace_now() - start),
                                  .event = TRACE_INSN,
                                  .size = code_bits(cpu),
                                  .flags = outcome->device_writes ? TRACE_WRITE : 0,
                                  .len = outcome->byte_count,
                                  .rip = rip,
                                  .address = outcome->device_gpa,
                                  .value = outcome->device_reads + outcome->device_writes};
    memcpy(record.bytes, outcome->bytes, sizeof(outcome->bytes));
    trace_record(&record);
}
