/* SPDX-License-Identifier: MIT
 *
 * Fetching an instruction's bytes through the code segment and the page tables, as many as the decoder asks
 * for, and decoding them. A byte that the decoder does not need causes no fault.
 */
#include <string.h>

#include "mmio/access.h"
#include "mmio/execute.h"

static void read_code(struct step_env *env, const struct access_piece *piece, uint8_t *to)
{
    if (piece->from) {
        memcpy(to, piece->from, piece->len);
        return;
    }
    for (unsigned i = 0; i < piece->len; i++)
        to[i] = (uint8_t)bus_read(env->machine->bus, piece->gpa + i, 1);
}

/* More bytes of the instruction, as far as its page and the code segment go. The fault of the next byte
 * counts only when the decoder has asked for it. */
static enum step_result fetch_more(struct step_env *env, unsigned *len)
{
    const struct cpu_segment *cs = &env->cpu->segments[CPU_CS];
    struct access access = {
        .segment = CPU_CS, .offset = env->cpu->rip + *len, .len = 1, .flags = ACCESS_READ | ACCESS_FETCH};
    TRY(access_linearize(env, &access));
    unsigned wanted = STEP_INSN_BYTES_MAX - *len;
    unsigned on_page = PAGE_BYTES - (unsigned)(access.gva & (PAGE_BYTES - 1));
    if (wanted > on_page)
        wanted = on_page;
    if (!env->is_64bit && wanted - 1 > cs->limit - access.offset)
        wanted = (unsigned)(cs->limit - access.offset) + 1;
    access.len = (uint16_t)wanted;
    TRY(access_prepare_linear(env, &access));
    read_code(env, &access.pieces[0], env->outcome->bytes + *len);
    *len += wanted;
    return STEP_DONE;
}

struct insn_mode execute_mode(const struct step_env *env)
{
    const struct cpu_state *cpu = env->cpu;
    bool is_wide = cpu->segments[CPU_CS].attributes & SEGMENT_DB;
    return (struct insn_mode){.bits = env->is_64bit ? 64
                                      : is_wide     ? 32
                                                    : 16,
                              .real = !cpu_is_protected(cpu),
                              .vendor = env->machine->vendor_amd ? INSN_AMD : INSN_INTEL,
                              .features = INSN_FEATURES_DEFAULT};
}

enum step_result execute_fetch(struct step_env *env, const uint8_t *hint, unsigned hint_len)
{
    struct step_outcome *outcome = env->outcome;
    unsigned len = hint_len < STEP_INSN_BYTES_MAX ? hint_len : STEP_INSN_BYTES_MAX;
    struct insn_mode mode = execute_mode(env);
    if (hint && len)
        memcpy(outcome->bytes, hint, len);
    else
        TRY(fetch_more(env, &len));
    for (;;) {
        enum insn_status status = insn_decode(outcome->bytes, len, mode, &env->insn);
        outcome->byte_count = (uint8_t)len;
        switch (status) {
        case INSN_OK:
            outcome->byte_count = env->insn.length;
            env->next_rip = env->cpu->rip + env->insn.length;
            if (!env->is_64bit)
                env->next_rip = (uint32_t)env->next_rip;
            return STEP_DONE;
        case INSN_NEED_BYTES:
            if (len < STEP_INSN_BYTES_MAX) {
                TRY(fetch_more(env, &len));
                break;
            }
            return env_gp(env);
        case INSN_INVALID:
            return env_raise(env, VECTOR_UD);
        case INSN_TOO_LONG:
            return env_gp(env);
        }
    }
}
