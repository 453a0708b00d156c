/* SPDX-License-Identifier: MIT
 *
 * Saving and loading the vector state as a whole: FXSAVE, the XSAVE family (SDM 1, chapter 13), MXCSR. An
 * area in guest memory is written and read by ranges, each of which is prepared before the first is touched;
 * the bytes between them belong to the guest.
 */
#include "mmio/simd.h"

#include <string.h>

#include "base/bytes.h"

#define MSR_IA32_XSS 0xda0
#define RANGES_MAX   (XSAVE_COMPONENTS + 4)

/* A part of the area: `image` is where it lies in the vCPU's own area. */
struct state_range {
    uint32_t offset, image, len;
};

struct state_ranges {
    unsigned count;
    struct state_range ranges[RANGES_MAX];
    struct access accesses[RANGES_MAX];
};

static void range_add(struct state_ranges *list, uint32_t offset, uint32_t image, uint32_t len)
{
    if (len)
        list->ranges[list->count++] = (struct state_range){offset, image, len};
}

static enum step_result ranges_prepare(struct step_env *env, const struct simd_operand *operand,
                                       struct state_ranges *list, unsigned flags)
{
    for (unsigned i = 0; i < list->count; i++) {
        list->accesses[i] = (struct access){.offset = operand->offset + list->ranges[i].offset,
                                            .len = (uint16_t)list->ranges[i].len,
                                            .segment = operand->memory.segment,
                                            .flags = (uint8_t)flags};
        TRY(access_prepare(env, &list->accesses[i]));
    }
    return STEP_DONE;
}

static void ranges_write(struct step_env *env, const struct state_ranges *list, const uint8_t *image)
{
    for (unsigned i = 0; i < list->count; i++)
        access_write(env, &list->accesses[i], image + list->ranges[i].image);
}

static void ranges_read(struct step_env *env, const struct state_ranges *list, uint8_t *image)
{
    for (unsigned i = 0; i < list->count; i++)
        access_read(env, &list->accesses[i], image + list->ranges[i].image);
}

/* The area's alignment, and that all of what every form of it has can be reached, before anything else. */
static enum step_result check_area(struct step_env *env, const struct simd_operand *operand, unsigned len,
                                   unsigned flags)
{
    struct access access = {.offset = operand->offset,
                            .len = (uint16_t)len,
                            .segment = operand->memory.segment,
                            .flags = (uint8_t)flags};
    TRY(access_linearize(env, &access));
    bool is_fxsave = len == XSAVE_HEADER;
    if (is_fxsave && (flags & ACCESS_WRITE) && (access.gva & 15) && access_checks_alignment(env))
        return env_raise_error(env, VECTOR_AC, 0);
    if (access.gva & (is_fxsave ? 15 : 63))
        return env_gp(env);
    return access_prepare(env, &access);
}

/* Without REX.W the pointers are 32 bits and a selector; CPUs that we follow do not keep selectors. */
static void cut_pointers(const struct step_env *env, uint8_t *image)
{
    if (env->insn.rex & INSN_REX_W)
        return;
    store_le32(image + XSAVE_FIP + 4, 0);
    store_le32(image + XSAVE_FDP + 4, 0);
}

static bool is_mxcsr_valid(const struct step_env *env, uint32_t mxcsr)
{
    return !(mxcsr & ~simd_layout(env)->mxcsr_mask);
}

static unsigned xmm_count(const struct step_env *env)
{
    return env->is_64bit ? 16 : 8;
}

static void add_fxsave_ranges(const struct step_env *env, struct state_ranges *list)
{
    bool is_fast = (env->cpu->efer & EFER_FFXSR) && env->is_64bit && env->cpu->cpl == 0;
    range_add(list, 0, 0, 24);
    if (env->cpu->cr4 & CR4_OSFXSR)
        range_add(list, XSAVE_MXCSR, XSAVE_MXCSR, 8);
    range_add(list, XSAVE_ST, XSAVE_ST, 128);
    if ((env->cpu->cr4 & CR4_OSFXSR) && !is_fast)
        range_add(list, XSAVE_XMM, XSAVE_XMM, 16 * xmm_count(env));
}

static enum step_result fxsave(struct step_env *env, const struct simd_operand *operand)
{
    struct state_ranges list = {0};
    uint8_t image[XSAVE_HEADER];
    TRY(check_area(env, operand, XSAVE_HEADER, ACCESS_WRITE));
    add_fxsave_ranges(env, &list);
    TRY(ranges_prepare(env, operand, &list, ACCESS_WRITE));
    memcpy(image, simd_area(env), sizeof(image));
    store_le32(image + XSAVE_MXCSR_MASK, simd_layout(env)->mxcsr_mask);
    cut_pointers(env, image);
    ranges_write(env, &list, image);
    return STEP_DONE;
}

static enum step_result fxrstor(struct step_env *env, const struct simd_operand *operand)
{
    struct state_ranges list = {0};
    uint8_t image[XSAVE_HEADER];
    TRY(check_area(env, operand, XSAVE_HEADER, ACCESS_READ));
    add_fxsave_ranges(env, &list);
    TRY(ranges_prepare(env, operand, &list, ACCESS_READ));
    memcpy(image, simd_area(env), sizeof(image));
    ranges_read(env, &list, image);
    if (!is_mxcsr_valid(env, load_le32(image + XSAVE_MXCSR)))
        return env_gp(env);
    cut_pointers(env, image);
    xsave_x87_summarize(image);
    store_le32(image + XSAVE_MXCSR_MASK, simd_layout(env)->mxcsr_mask);
    memcpy(simd_area(env), image, XSAVE_XMM + 256);
    return STEP_DONE;
}

/* How much of a component there is: outside 64-bit mode only the first eight registers. */
static uint32_t component_len(const struct step_env *env, unsigned i)
{
    uint32_t len = simd_layout(env)->len[i];
    if (env->is_64bit)
        return len;
    return i == 7 ? 0 : i == 1 || i == 2 || i == 6 ? len / 2 : len;
}

static bool is_all(const uint8_t *bytes, uint32_t len, uint8_t value)
{
    for (uint32_t i = 0; i < len; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* XINUSE: the components that are not in their initial state. */
static uint64_t components_in_use(const struct step_env *env)
{
    const uint8_t *area = simd_area(env);
    const struct xsave_layout *layout = simd_layout(env);
    uint64_t in_use = 0;
    if (load_le16(area) != FCW_DEFAULT || !is_all(area + 2, 22, 0) || !is_all(area + XSAVE_ST, 128, 0))
        in_use |= XCR0_X87;
    if (!is_all(area + XSAVE_XMM, 256, 0))
        in_use |= XCR0_SSE;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if ((layout->components >> i & 1) && !is_all(area + layout->offset[i], layout->len[i], 0))
            in_use |= 1ull << i;
    return in_use;
}

struct xsave_request {
    struct simd_operand operand;
    uint64_t components; /* the requested-feature bitmap */
    uint64_t header[8];
};

static enum step_result xsave_request(struct step_env *env, struct xsave_request *request, bool is_supervisor,
                                      unsigned flags)
{
    const struct cpu_state *cpu = env->cpu;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return env_raise(env, VECTOR_UD);
    if (is_supervisor && cpu->cpl)
        return env_gp(env);
    request->components = (cpu->gpr[CPU_RDX] << 32 | (uint32_t)cpu->gpr[CPU_RAX]);
    uint64_t xss = 0;
    if (is_supervisor && env->machine->ops->msr_read &&
        env->machine->ops->msr_read(env->machine->owner, MSR_IA32_XSS, &xss) && (xss & request->components))
        return env_unsupported(env, "XSAVES of supervisor state");
    request->components &= env_xcr0(env);
    if (request->components & ~simd_layout(env)->components)
        return env_unsupported(env, "XSAVE of state that this host does not have");
    return check_area(env, &request->operand, XSAVE_EXTENDED, flags);
}

/* Components 0 and 1 and MXCSR, which lie at the same place in both forms. */
static void add_legacy_ranges(const struct step_env *env, struct state_ranges *list, uint64_t components,
                              bool has_mxcsr)
{
    if (components & XCR0_X87) {
        range_add(list, 0, 0, 24);
        range_add(list, XSAVE_ST, XSAVE_ST, 128);
    }
    if (has_mxcsr)
        range_add(list, XSAVE_MXCSR, XSAVE_MXCSR, 8);
    if (components & XCR0_SSE)
        range_add(list, XSAVE_XMM, XSAVE_XMM, component_len(env, 1));
}

/* `packed`: the XCOMP_BV of the compacted form, 0 for the standard form. */
static void add_extended_ranges(const struct step_env *env, struct state_ranges *list, uint64_t components,
                                uint64_t packed)
{
    const struct xsave_layout *layout = simd_layout(env);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if (components >> i & 1)
            range_add(list, packed ? xsave_compact_offset(layout, packed, i) : layout->offset[i],
                      layout->offset[i], component_len(env, i));
}

static enum step_result prepare_header(struct step_env *env, const struct xsave_request *request,
                                       unsigned len, unsigned flags, struct access *access)
{
    *access = (struct access){.offset = request->operand.offset + XSAVE_HEADER,
                              .len = (uint16_t)len,
                              .segment = request->operand.memory.segment,
                              .flags = (uint8_t)flags};
    return access_prepare(env, access);
}

static void sync_pkru(struct step_env *env)
{
    const struct xsave_layout *layout = simd_layout(env);
    if (layout->components & XCR0_PKRU)
        store_le64(simd_area(env) + layout->offset[9], env->cpu->pkru);
}

static enum step_result xsave(struct step_env *env, struct xsave_request *request)
{
    unsigned op = env->insn.op;
    bool is_packed = op == INSN_OP_XSAVEC || op == INSN_OP_XSAVES;
    TRY(xsave_request(env, request, op == INSN_OP_XSAVES, ACCESS_WRITE));
    sync_pkru(env);
    uint64_t wanted = request->components;
    uint64_t in_use = components_in_use(env);
    uint32_t mxcsr = load_le32(simd_area(env) + XSAVE_MXCSR);
    if (is_packed && mxcsr != MXCSR_DEFAULT)
        in_use |= XCR0_SSE;
    uint64_t written = op == INSN_OP_XSAVE ? wanted : wanted & in_use;
    uint64_t packed = is_packed ? wanted | XSAVE_COMPACTED : 0;
    bool has_mxcsr = is_packed ? written & XCR0_SSE : wanted & (XCR0_SSE | XCR0_AVX);
    struct state_ranges list = {0};
    struct access header;
    add_legacy_ranges(env, &list, written, has_mxcsr);
    add_extended_ranges(env, &list, written, packed);
    TRY(prepare_header(env, request, is_packed ? 16 : 8, ACCESS_READ | ACCESS_WRITE, &header));
    TRY(ranges_prepare(env, &request->operand, &list, ACCESS_WRITE));
    uint64_t fields[2] = {wanted & in_use, packed};
    if (!is_packed) {
        access_read(env, &header, fields);
        fields[0] = (fields[0] & ~wanted) | (wanted & in_use);
    }
    uint8_t *area = simd_area(env);
    uint8_t pointers[16];
    memcpy(pointers, area + XSAVE_FIP, sizeof(pointers));
    cut_pointers(env, area);
    store_le32(area + XSAVE_MXCSR_MASK, simd_layout(env)->mxcsr_mask);
    ranges_write(env, &list, area);
    memcpy(area + XSAVE_FIP, pointers, sizeof(pointers));
    access_write(env, &header, fields);
    return STEP_DONE;
}

/* SDM 1 13.8.2 and 13.12: what the header may say. */
static bool is_header_valid(struct step_env *env, const struct xsave_request *request)
{
    uint64_t present = request->header[0], packed = request->header[1];
    uint64_t xcr0 = env_xcr0(env);
    if (packed & XSAVE_COMPACTED)
        return !(packed & ~XSAVE_COMPACTED & ~xcr0) && !(present & ~packed) &&
               is_all((const uint8_t *)&request->header[2], 48, 0);
    return env->insn.op != INSN_OP_XRSTORS && !packed && !request->header[2] && !(present & ~xcr0);
}

/* The components in `components` become initial, by way of XSTATE_BV. */
static void initialize(struct step_env *env, uint64_t components)
{
    uint8_t *area = simd_area(env);
    const struct xsave_layout *layout = simd_layout(env);
    uint64_t narrow = env->is_64bit ? 0 : XCR0_SSE | XCR0_AVX | XCR0_ZMM_HIGH;
    for (unsigned i = 1; i < XSAVE_COMPONENTS; i++)
        if ((components & narrow) >> i & 1)
            memset(area + layout->offset[i], 0, component_len(env, i));
    if (narrow)
        components &= ~(narrow | XCR0_ZMM16);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
        if (components >> i & 1)
            memset(area + layout->offset[i], 0, layout->len[i]);
    store_le64(area + XSAVE_HEADER, load_le64(area + XSAVE_HEADER) & ~(components & 3));
    xsave_expand(area, layout, 3);
}

static void load_mxcsr(struct step_env *env, uint8_t *image, bool from_memory)
{
    store_le32(simd_area(env) + XSAVE_MXCSR, from_memory ? load_le32(image + XSAVE_MXCSR) : MXCSR_DEFAULT);
}

static enum step_result xrstor(struct step_env *env, struct xsave_request *request)
{
    TRY(xsave_request(env, request, env->insn.op == INSN_OP_XRSTORS, ACCESS_READ));
    struct access header;
    TRY(prepare_header(env, request, sizeof(request->header), ACCESS_READ, &header));
    access_read(env, &header, request->header);
    if (!is_header_valid(env, request))
        return env_gp(env);
    uint64_t wanted = request->components, loaded = wanted & request->header[0];
    uint64_t packed = request->header[1];
    bool has_mxcsr = packed ? loaded & XCR0_SSE : wanted & (XCR0_SSE | XCR0_AVX);
    struct state_ranges list = {0};
    add_legacy_ranges(env, &list, loaded, has_mxcsr);
    add_extended_ranges(env, &list, loaded, packed);
    TRY(ranges_prepare(env, &request->operand, &list, ACCESS_READ));
    uint32_t len = simd_layout(env)->len_standard;
    uint8_t image[XSAVE_IMAGE_MAX];
    if (len > sizeof(image))
        return env_unsupported(env, "an XSAVE area larger than any known");
    memcpy(image, simd_area(env), len);
    ranges_read(env, &list, image);
    if (has_mxcsr && !is_mxcsr_valid(env, load_le32(image + XSAVE_MXCSR)))
        return env_gp(env);
    if (loaded & XCR0_X87) {
        cut_pointers(env, image);
        xsave_x87_summarize(image);
    }
    uint64_t present = load_le64(simd_area(env) + XSAVE_HEADER) | loaded;
    memcpy(simd_area(env), image, len);
    store_le64(simd_area(env) + XSAVE_HEADER, present);
    store_le32(simd_area(env) + XSAVE_MXCSR_MASK, simd_layout(env)->mxcsr_mask);
    if (has_mxcsr || (packed && (wanted & XCR0_SSE)))
        load_mxcsr(env, image, has_mxcsr);
    initialize(env, wanted & ~loaded);
    if (wanted & XCR0_PKRU)
        env->cpu->pkru = load_le32(simd_area(env) + simd_layout(env)->offset[9]);
    return STEP_DONE;
}

static enum step_result move_mxcsr(struct step_env *env, const struct simd_operand *operand, bool is_load)
{
    struct simd_accesses accesses;
    uint8_t bytes[4];
    TRY(simd_prepare(env, operand, 0xf, is_load ? ACCESS_READ : ACCESS_WRITE, &accesses));
    if (!is_load) {
        simd_write(env, &accesses, simd_area(env) + XSAVE_MXCSR);
        return STEP_DONE;
    }
    simd_read(env, &accesses, bytes);
    if (!is_mxcsr_valid(env, load_le32(bytes)))
        return env_gp(env);
    memcpy(simd_area(env) + XSAVE_MXCSR, bytes, 4);
    return STEP_DONE;
}

enum step_result simd_state(struct step_env *env)
{
    struct xsave_request request = {0};
    if (!simd_operand(env, &request.operand))
        return env_unsupported(env, "an instruction that saves state without a memory operand");
    switch (env->insn.op) {
    case INSN_OP_FXSAVE:
        return fxsave(env, &request.operand);
    case INSN_OP_FXRSTOR:
        return fxrstor(env, &request.operand);
    case INSN_OP_LDMXCSR:
    case INSN_OP_STMXCSR:
        return move_mxcsr(env, &request.operand, env->insn.op == INSN_OP_LDMXCSR);
    case INSN_OP_XRSTOR:
    case INSN_OP_XRSTORS:
        return xrstor(env, &request);
    default:
        return xsave(env, &request);
    }
}
