# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts share: where the repository is, how they speak, and how a preset is built.
# Sourced, by bash; the sourcing script runs with -euo pipefail.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export root

# Scripts that run each other count the seconds from the start of the first.
export VMM_SCRIPT_START=${VMM_SCRIPT_START:-$EPOCHSECONDS}
SECONDS=$((EPOCHSECONDS - VMM_SCRIPT_START))

# A line of progress, with the seconds since the start.
say() {
    printf '[%4d s] %s\n' "$SECONDS" "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Runs a command as root.
as_root() {
    if ((EUID)); then
        sudo "$@"
    else
        "$@"
    fi
}

# Copies a tool's output down to what a person can follow: of the lines that match $1, one every five seconds
# and the last; every other line that matches $2.
thin_out() {
    local last=$SECONDS line pending=
    while IFS= read -r line; do
        if [[ $line =~ $1 ]]; then
            pending=$line
            if ((SECONDS - last >= 5)); then
                say "  $line"
                last=$SECONDS pending=
            fi
        elif [[ $line =~ $2 ]]; then
            printf '%s\n' "$line"
        fi
    done
    if [[ -n $pending ]]; then
        say "  $pending"
    fi
}

# bundle_qemu DIR: QEMU with the libraries and the firmware that it loads, to be taken into the nested lane:
# DIR/qemu-system-x86_64 starts it.
bundle_qemu() {
    local qemu library
    qemu=$(command -v qemu-system-x86_64) || die "there is no qemu-system-x86_64: scripts/install-packages nested"
    mkdir -p "$1/lib" "$1/firmware"
    cp "$qemu" "$1/qemu"
    ldd "$qemu" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ "^/") print $i }' | while read -r library; do
        cp -L "$library" "$1/lib/"
    done
    cp /usr/share/seabios/bios*.bin \
        /usr/share/qemu/{qboot.rom,linuxboot*.bin,multiboot*.bin,pvh.bin,kvmvapic.bin,bios-microvm.bin} \
        "$1/firmware/" 2>/dev/null || true
    cat >"$1/qemu-system-x86_64" <<'END'
#!/bin/sh
exec "${0%/*}/lib/ld-linux-x86-64.so.2" --library-path "${0%/*}/lib" "${0%/*}/qemu" -L "${0%/*}/firmware" "$@"
END
    chmod +x "$1/qemu-system-x86_64"
}

# Everything that is made goes below build/ of the checkout.
need_writable_checkout() {
    mkdir -p "$root/build" 2>/dev/null || true
    [[ -d $root/build && -w $root/build ]] ||
        die "cannot write to $root/build: clone the repository to where you may, or change its owner"
}

# What CMakePresets.json asks for; an older one only says that it does not understand.
need_cmake() {
    local version
    version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
    [[ -n $version ]] || die "there is no cmake: scripts/install-packages build"
    printf '%s\n' 3.25 "$version" | sort -V -C ||
        die "cmake $version is too old: 3.25 is needed, which Debian 12 has (first in PATH is $(command -v cmake))"
}

# build PRESET [TARGET...]: configures and builds; fails with a message. The whole output is in build/PRESET.log.
build() {
    local preset=$1 log="$root/build/$1.log" targets=()
    shift
    if (($#)); then
        targets=(--target "$@")
    fi
    need_writable_checkout
    need_cmake
    say "build: preset $preset"
    # --fresh: a build tree that was moved, or configured by something else, is of no use.
    if ! (cd "$root" && { cmake --preset "$preset" || cmake --fresh --preset "$preset"; }) >"$log" 2>&1; then
        tail -n 20 "$log"
        say "build: cannot configure preset $preset; the whole output: $log"
        return 1
    fi
    if ! (cd "$root" && cmake --build --preset "$preset" -j "$(nproc)" ${targets[@]+"${targets[@]}"} 2>&1) |
        tee -a "$log" | thin_out '^\[[0-9]+/[0-9]+\]' '^([^[n]|n[^i])'; then
        say "build: preset $preset does not build; the whole output: $log"
        return 1
    fi
}
