#!/bin/sh
# SPDX-License-Identifier: MIT
# The guest of task switches prints the same on QEMU's software CPU as in our own emulator (prot32-task.txt, which
# tests/mmio/task_guest_test.c compares). What QEMU 7.2 is known to do otherwise is left out, by name:
#   late_eip     a fault of the new task's segments has the EIP of the old task's instruction
#   trap bit     the T flag of a TSS does nothing
#   ss absent    #NP, where the manuals of both vendors say #SS
# usage: task.sh SOURCE GUESTS
set -u
root=$1 guests=$2 program=guest_task_qemu
. "$root/tests/harness.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_program qemu-system-x86_64 whole_program qemu-system-x86

without_known() {
    sed -e 's/ late_eip=[0-9a-f]*//' -e '/^trap bit:/d' -e '/^ss absent:/d'
}

timeout 60 qemu-system-x86_64 -accel tcg -cpu max -nodefaults -no-reboot -display none -serial stdio -m 16 \
    -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$guests/task32.img" </dev/null >"$work/qemu" 2>&1
status=$?
without_known <"$work/qemu" >"$work/is"
without_known <"$root/tests/guest/prot32-task.txt" >"$work/wanted"
if [ $status = 1 ] && diff -u --label emulator --label qemu "$work/wanted" "$work/is" >"$work/diff"; then
    report ok tasks_like_qemus_software_cpu
else
    cat "$work/diff"
    report fail tasks_like_qemus_software_cpu "status $status: $(tail -n 1 "$work/qemu")"
fi
finish
