/* SPDX-License-Identifier: MIT
 *
 * The code cache: a memory file mapped twice, slots found by a hash of the encoding. A slot that is written
 * again may be in the processor's pipeline under its other address, so every write is followed by a
 * serializing instruction (SDM 3A 9.1.3); an encoding that is found costs a comparison.
 */
#include "mmio/simd_code.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"

#define SLOT_BYTES  32
#define SLOT_COUNT  512u
#define CODE_BYTES  (SLOT_BYTES * SLOT_COUNT)
#define RET_OPCODE  0xc3
#define TRAP_OPCODE 0xcc

/* A key of 16 bytes: the encoding, zeroes, and its length in the last byte. 0: the slot is free. */
struct slot_key {
    uint64_t low, high;
};

struct simd_code {
    uint8_t *writable;
    uint8_t *executable;
    struct xsave_layout layout;
    bool host_has[SIMD_ISA_COUNT];
    int8_t guest_has[SIMD_ISA_COUNT];
    struct slot_key keys[SLOT_COUNT];
};

#define FRAME_OFFSET(member, value) _Static_assert(offsetof(struct simd_frame, member) == (value), #member)
FRAME_OFFSET(xsave, 8);
FRAME_OFFSET(components, 16);
FRAME_OFFSET(flags, 24);
FRAME_OFFSET(gpr, 32);
FRAME_OFFSET(host_mxcsr, 160);
FRAME_OFFSET(host_fcw, 164);
FRAME_OFFSET(mxcsr, 168);
FRAME_OFFSET(unmasked, 172);
FRAME_OFFSET(has_avx, 176);
FRAME_OFFSET(has_x87, 180);

static bool cpuid_bit(struct isa_cpuid where)
{
    unsigned regs[4];
    if (!__get_cpuid_count(where.leaf, where.subleaf, &regs[0], &regs[1], &regs[2], &regs[3]))
        return false;
    return regs[where.reg] >> where.bit & 1;
}

static uint64_t class_components(enum insn_class class)
{
    switch (class) {
    case INSN_CLASS_AVX:
        return XCR0_SSE | XCR0_AVX;
    case INSN_CLASS_AVX512:
        return XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    case INSN_CLASS_AMX:
        return ~0ull; /* tiles are not run natively */
    case INSN_CLASS_SSE:
        return XCR0_X87 | XCR0_SSE;
    case INSN_CLASS_GENERAL:
    case INSN_CLASS_X87:
    case INSN_CLASS_MMX:
        break;
    }
    return XCR0_X87;
}

static void find_host_features(struct simd_code *code)
{
    for (unsigned isa = 0; isa < SIMD_ISA_COUNT; isa++) {
        struct isa_cpuid where = isa_cpuid(isa);
        uint64_t components = class_components(isa_class(isa));
        code->host_has[isa] = where.is_known && (code->layout.components & components) == components &&
                              cpuid_bit(where);
        code->guest_has[isa] = -1;
    }
}

/* The same pages twice; the descriptor is not needed after that. */
static int map_code(struct simd_code *code)
{
    int fd = memfd_create("vmm-simd-code", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = ftruncate(fd, CODE_BYTES) ? -errno : 0;
    if (!status) {
        code->writable = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        code->executable = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        if (code->writable == MAP_FAILED || code->executable == MAP_FAILED)
            status = -errno;
    }
    close(fd);
    return status;
}

int simd_code_create(struct simd_code **code, struct vmm_error *error)
{
    struct simd_code *new = calloc(1, sizeof(*new));
    if (!new)
        return error_set(error, -ENOMEM, "no memory for the code cache of a vCPU");
    new->writable = new->executable = MAP_FAILED;
    int status = map_code(new);
    if (status) {
        simd_code_destroy(new);
        return error_set_errno(error, status, "cannot map executable memory for SIMD instructions");
    }
    memset(new->writable, TRAP_OPCODE, CODE_BYTES);
    xsave_layout_host(&new->layout);
    find_host_features(new);
    *code = new;
    return 0;
}

void simd_code_destroy(struct simd_code *code)
{
    if (!code)
        return;
    if (code->writable != MAP_FAILED)
        munmap(code->writable, CODE_BYTES);
    if (code->executable != MAP_FAILED)
        munmap(code->executable, CODE_BYTES);
    free(code);
}

const struct xsave_layout *simd_code_layout(const struct simd_code *code)
{
    return &code->layout;
}

bool simd_host_has(const struct simd_code *code, unsigned isa)
{
    return code->host_has[isa];
}

int simd_guest_has(const struct simd_code *code, unsigned isa)
{
    return code->guest_has[isa];
}

void simd_guest_set(struct simd_code *code, unsigned isa, bool has)
{
    code->guest_has[isa] = has;
}

/* Nothing fetched before it is executed after it. CPUID is a VM exit where this host is a guest itself, but a
 * new encoding is rare; IRET, which is not, does not work in user mode under QEMU's software CPU with SMAP.
 */
static void serialize(void)
{
    unsigned eax, ebx, ecx, edx;
    __cpuid(0, eax, ebx, ecx, edx);
    (void)eax, (void)ebx, (void)ecx, (void)edx;
}

static unsigned key_hash(struct slot_key key)
{
    uint64_t mixed = (key.low ^ key.high * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
    return (unsigned)(mixed >> 40) % SLOT_COUNT;
}

const void *simd_code_get(struct simd_code *code, const uint8_t *bytes, size_t len)
{
    uint8_t padded[16] = {0};
    memcpy(padded, bytes, len);
    padded[15] = (uint8_t)len;
    struct slot_key key = {load_le64(padded), load_le64(padded + 8)};
    unsigned slot = key_hash(key);
    if (code->keys[slot].low != key.low || code->keys[slot].high != key.high) {
        uint8_t *to = code->writable + slot * SLOT_BYTES;
        memcpy(to, bytes, len);
        to[len] = RET_OPCODE;
        code->keys[slot] = key;
        serialize();
    }
    return code->executable + slot * SLOT_BYTES;
}
