#!/bin/sh
# SPDX-License-Identifier: MIT
# The tiny kernel's result lines are the same under vmm and under QEMU, for the same image and command line.
# QEMU runs it on its software CPU, and on KVM where that works for it.
# usage: crosscheck.sh SOURCE VMM GUESTS; shows the difference where there is one.
set -u
root=$1 vmm=$2 guests=$3 program=guest_crosscheck
. "$root/tests/harness.sh"
limit=60
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The lines that count, from a serial line's output.
results() {
    tr -d '\r' | grep -E '^(1\.\.|ok |not ok |Bail out!)'
}

# Two empty disks for each, where `disks` says so.
make_disks() {
    vmm_disks='' qemu_disks=''
    [ -n "${disks-}" ] || return 0
    for n in 1 2; do
        truncate -s 8M "$work/vmm$n.img" "$work/qemu$n.img"
        vmm_disks="$vmm_disks --disk path=$work/vmm$n.img,queues=4"
        qemu_disks="$qemu_disks -drive file=$work/qemu$n.img,format=raw,if=none,id=d$n"
        qemu_disks="$qemu_disks -device virtio-blk-pci,drive=d$n,disable-legacy=on,packed=on,num-queues=4"
    done
}

# All runs end with a value at the debug-exit port, which is an odd status.
run_vmm() {
    make_disks
    # shellcheck disable=SC2086 # options are words
    timeout "$limit" "$vmm" run --mem 256M --cpus "$cpus" --cmdline "$cmdline" $vmm_disks "$guests/$image" \
        </dev/null >"$work/vmm.out" 2>"$work/vmm.err"
    echo "exit status $?" >"$work/vmm.tap"
    results <"$work/vmm.out" >>"$work/vmm.tap"
}

run_qemu() {
    # shellcheck disable=SC2086 # the accelerator's options are words
    timeout "$limit" qemu-system-x86_64 $1 -nodefaults -display none -no-reboot -serial stdio \
        -device isa-debug-exit,iobase=0xf4,iosize=4 -m 256 -smp "$cpus" -kernel "$guests/$image" \
        $qemu_disks -append "$cmdline" </dev/null >"$work/qemu.out" 2>"$work/qemu.err"
    echo "exit status $?" >"$work/qemu.tap"
    results <"$work/qemu.out" >>"$work/qemu.tap"
}

# compare TEST QEMU-OPTIONS, with vmm's lines at hand.
compare() {
    run_qemu "$2"
    if ! grep -q '^1\.\.' "$work/vmm.tap" && ! grep -q '^Bail out!' "$work/vmm.tap"; then
        report fail "$1" "vmm run gave no results: $(tail -n 1 "$work/vmm.err")"
    elif diff -u --label "vmm run" --label "qemu $2" "$work/vmm.tap" "$work/qemu.tap" >"$work/diff"; then
        report ok "$1"
    else
        cat "$work/diff"
        report fail "$1" "the results differ: $(grep -m 1 '^[-+][^-+]' "$work/diff")"
    fi
}

# Whether QEMU gets as far as the kernel's first line on KVM. -cpu host fails on some nested KVMs.
find_qemu_kvm() {
    image=guest.img cpus=1 cmdline=list limit=20
    for cpu in host qemu64; do
        run_qemu "-accel kvm -cpu $cpu"
        if grep -q '^# vmm tiny kernel' "$work/qemu.out"; then
            qemu_kvm="-accel kvm -cpu $cpu"
            break
        fi
    done
    limit=60
}

if ! "$root/scripts/kvm-usable" >"$work/reason" 2>&1; then
    report skip whole_program "$(tail -n 1 "$work/reason")"
    finish
elif ! command -v qemu-system-x86_64 >/dev/null; then
    report skip whole_program "there is no qemu-system-x86_64 (Debian package qemu-system-x86)"
    finish
fi

qemu_kvm='' qemu_disks=''
find_qemu_kvm

# check NAME IMAGE CPUS COMMAND-LINE [kvm]: against QEMU on KVM, too, whose firmware alone may take seconds there.
check() {
    image=$2 cpus=$3 cmdline=$4
    run_vmm
    compare "$1_like_qemus_software_cpu" "-accel tcg -cpu max"
    if [ -z "${5-}" ]; then
        return
    elif [ -n "$qemu_kvm" ]; then
        compare "$1_like_qemu_on_kvm" "$qemu_kvm"
    else
        report skip "$1_like_qemu_on_kvm" "QEMU does not run on this KVM: $(tail -n 1 "$work/qemu.err")"
    fi
}

check one_cpu guest.img 1 '' kvm
check two_cpus guest.img 2 'all' kvm
check pvh guest-pvh.img 2 'x2apic'
check named_tests guest.img 1 'tests=pf-not-present,mem-pages user-exit'
check failed_test guest.img 1 'fail port-byte'
disks=2
check disks guest.img 2 'tests=disk-size,disk-requests,disk-zeroes,disk-split,disk-packed,disk-msix,disk-flood,disk-smp,disk-several,disk-reset' kvm
disks=
check unknown_word guest.img 1 'no-such-test'
finish
