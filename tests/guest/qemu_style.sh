#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernel in the style of those written for QEMU passes on QEMU itself, by its software CPU: what it asks for is
# what QEMU gives. tests/vmm/qemu_compat_test.c runs it on ours with the same options.
# usage: qemu_style.sh SOURCE GUESTS
set -u
root=$1 guests=$2 program=guest_qemu_style
. "$root/tests/harness.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_program qemu-system-x86_64 whole_program qemu-system-x86
printf 'INITRD!\n' >"$work/initrd"

# check TEST COMMAND-LINE OPTION...
check() {
    name=$1 cmdline=$2
    shift 2
    timeout 120 qemu-system-x86_64 -accel tcg -nodefaults -no-reboot -display none -serial stdio -device pc-testdev \
        -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$guests/qemu32.img" -append "$cmdline" "$@" \
        </dev/null >"$work/out" 2>&1
    if [ $? = 1 ] && grep -q '^all passed' "$work/out"; then
        report ok "$name"
    else
        report fail "$name" "$(grep -v '^ok' "$work/out" | tail -n 1)"
    fi
}

check one_cpu 'cpus=1 mem=128' -smp 1
check with_a_module_and_a_file 'cpus=3 mem=256 module file' -smp 3 -m 256 -initrd "$work/initrd" \
    -fw_cfg name=opt/test/file,string=text
finish
