/* SPDX-License-Identifier: MIT
 *
 * The text of an instruction, by Capstone, found when it is first wanted.
 */
#include "base/disassembly.h"

#include <stdio.h>

#ifdef VMM_HAVE_CAPSTONE
#include <capstone/capstone.h>
#include <dlfcn.h>
#include <pthread.h>

static struct capstone {
    bool is_there;
    cs_err (*open)(cs_arch arch, cs_mode mode, csh *handle);
    size_t (*disasm)(csh handle, const uint8_t *code, size_t len, uint64_t address, size_t count,
                     cs_insn **insn);
    void (*free)(cs_insn *insn, size_t count);
    csh handles[3]; /* 16, 32, 64 */
} capstone;

static pthread_once_t capstone_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t capstone_lock = PTHREAD_MUTEX_INITIALIZER;

static void capstone_bind(void)
{
#ifdef VMM_CAPSTONE_SONAME
    void *library = dlopen(VMM_CAPSTONE_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    *(void **)&capstone.open = dlsym(library, "cs_open");
    *(void **)&capstone.disasm = dlsym(library, "cs_disasm");
    *(void **)&capstone.free = dlsym(library, "cs_free");
#else
    capstone.open = cs_open;
    capstone.disasm = cs_disasm;
    capstone.free = cs_free;
#endif
    if (!capstone.open || !capstone.disasm || !capstone.free)
        return;
    const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    for (int i = 0; i < 3; i++)
        if (capstone.open(CS_ARCH_X86, modes[i], &capstone.handles[i]) != CS_ERR_OK)
            return;
    capstone.is_there = true;
}

bool disassembly_available(void)
{
    pthread_once(&capstone_once, capstone_bind);
    return capstone.is_there;
}

size_t disassemble(unsigned mode, const uint8_t *bytes, size_t len, uint64_t address, char *text,
                   size_t text_bytes)
{
    if (!disassembly_available()) {
        snprintf(text, text_bytes, "(Capstone is not installed)");
        return 0;
    }
    cs_insn *insn;
    pthread_mutex_lock(&capstone_lock);
    size_t count = capstone.disasm(capstone.handles[mode / 32], bytes, len, address, 1, &insn);
    size_t used = 0;
    if (count) {
        used = insn->size;
        snprintf(text, text_bytes, "%s%s%s", insn->mnemonic, insn->op_str[0] ? " " : "", insn->op_str);
        capstone.free(insn, count);
    } else {
        snprintf(text, text_bytes, "(bad)");
    }
    pthread_mutex_unlock(&capstone_lock);
    return used;
}
#else
bool disassembly_available(void)
{
    return false;
}

size_t disassemble(unsigned mode, const uint8_t *bytes, size_t len, uint64_t address, char *text,
                   size_t text_bytes)
{
    (void)mode, (void)bytes, (void)len, (void)address;
    snprintf(text, text_bytes, "(built without Capstone)");
    return 0;
}
#endif
