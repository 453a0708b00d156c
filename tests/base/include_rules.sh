#!/bin/sh
# SPDX-License-Identifier: MIT
# Reads every #include of the tree and checks it against docs/architecture.md, "Who may include whom".
# Includes are written from the root. bench/ and tests/ may include anything; guest/ only itself.
set -eu
cd "${1:-.}"
log() {
    echo "$1"
    if [ -n "${VMM_TEST_LOG:-}" ]; then echo "$1" >> "$VMM_TEST_LOG"; fi
}
bad=$(find base decoder ept mmio devices vcpu boot vmm include guest -name '*.[chS]' -o -name '*.def' | sort |
    xargs awk '
    function allowed(from, to) {
        if (to ~ "^" from "/" && from != "vmm/cli") return 1
        if (from == "include") return 0
        if (from == "base") return to == "include/libvmm.h"
        if (from == "decoder" || from == "ept") return to ~ /^base\//
        if (from == "mmio") return to ~ /^(base|ept|decoder)\//
        if (from == "devices") return to ~ /^(base|ept)\// || to == "mmio/bus.h"
        if (from == "vcpu") return to ~ /^(base|ept|mmio)\// || to == "decoder/insn.h"
        if (from == "boot") return to ~ /^(base|ept)\//
        if (from == "vmm/cli") return to ~ /^(base|vmm\/cli)\// || to == "include/libvmm.h" || \
            (FILENAME ~ /^vmm\/cli\/decode/ && to ~ /^decoder\//) || \
            (FILENAME ~ /^vmm\/cli\/bench/ && to ~ /^bench\//)
        if (from == "vmm") return to ~ /^(base|ept|mmio|devices|vcpu|boot)\// || to == "include/libvmm.h"
        return 0
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        to = $0; sub(/^[^"]*"/, "", to); sub(/".*/, "", to)
        from = FILENAME; sub(/\/.*/, "", from)
        if (FILENAME ~ /^vmm\/cli\//) from = "vmm/cli"
        if (!allowed(from, to)) printf "%s:%d: %s may not include \"%s\"\n", FILENAME, FNR, from, to
    }')
if [ -n "$bad" ]; then
    echo "$bad"
    log "fail include_rules every_include_follows_the_design - $(echo "$bad" | head -n 1)"
    exit 1
fi
log "ok include_rules every_include_follows_the_design"
