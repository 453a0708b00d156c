#!/bin/sh
# SPDX-License-Identifier: MIT
# The tiny kernel's result lines are the same under vmm and under QEMU, for the same image and command line
# (crosscheck.list). vmm runs on this machine's KVM, or in the nested lane where VMM is "nested"; QEMU on its software
# CPU, and on KVM where that works for it.
# usage: crosscheck.sh SOURCE VMM GUESTS; shows the difference where there is one.
set -u
root=$1 vmm=$2 guests=$3 program=guest_crosscheck
. "$root/tests/harness.sh"
list=$root/tests/guest/crosscheck.list
limit=60
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# All of vmm's runs at once: a lane boots once.
run_vmm() {
    if [ "$vmm" = nested ]; then
        "$root/scripts/nested/run" --icount --file "$list" --file "$root/tests/guest/crosscheck_vmm.sh" \
            sh crosscheck_vmm.sh crosscheck.list vmm . </dev/null
    else
        sh "$root/tests/guest/crosscheck_vmm.sh" "$list" "$vmm" "$guests"
    fi 2>&1 | tr -d '\r' >"$work/vmm.out"
}

# What run_vmm got for a name.
vmm_results() {
    awk -v name="$1" '$1 == "==" { mine = $2 == name } mine && !/^(==|#)/' "$work/vmm.out"
}

# Two empty disks on this machine type; microvm has eight places for devices by MMIO, the last of which is taken first.
make_disks() {
    disks='' words='' device=virtio-blk-pci,disable-legacy=on
    [ "$1" != none ] || return 0
    if [ "$1" = mmio ]; then
        disks='-M microvm,ioapic2=off,pic=off,pit=on,x-option-roms=on,auto-kernel-cmdline=off'
        disks="$disks -global virtio-mmio.force-legacy=false"
        device=virtio-blk-device
        for n in 0 1 2 3 4 5 6 7; do
            words="$words virtio_mmio.device=512@0xfeb00$(printf %x $((n * 2)))00:$((16 + n))"
        done
    fi
    for n in 0 1; do
        truncate -s 8M "$work/qemu$n.img"
        disks="$disks -drive file=$work/qemu$n.img,format=raw,if=none,id=d$n"
        disks="$disks -device $device,drive=d$n,packed=on,num-queues=4"
    done
}

# run_qemu IMAGE CPUS DISKS COMMAND-LINE OPTION...
run_qemu() {
    make_disks "$3"
    qemu_image=$1 qemu_cpus=$2 qemu_cmdline=$4$words
    shift 4
    # shellcheck disable=SC2086 # options are words
    timeout "$limit" qemu-system-x86_64 "$@" -nodefaults -display none -no-reboot -serial stdio \
        -device isa-debug-exit,iobase=0xf4,iosize=4 -m 256 -smp "$qemu_cpus" -kernel "$guests/$qemu_image" \
        $disks -append "$qemu_cmdline" </dev/null >"$work/qemu.out" 2>"$work/qemu.err"
    echo "exit status $?" >"$work/qemu.tap"
    tr -d '\r' <"$work/qemu.out" | grep -E '^(1\.\.|ok |not ok |Bail out!)' >>"$work/qemu.tap"
}

# compare TEST NAME QEMU'S-NAME: what run_qemu got, with vmm's lines.
compare() {
    vmm_results "$2" >"$work/vmm.tap"
    if ! grep -qE '^(1\.\.|Bail out!)' "$work/vmm.tap"; then
        report fail "$1" "vmm run gave no results: $(tail -n 1 "$work/vmm.out")"
    elif diff -u --label "vmm run" --label "qemu $3" "$work/vmm.tap" "$work/qemu.tap" >"$work/diff"; then
        report ok "$1"
    else
        cat "$work/diff"
        report fail "$1" "the results differ: $(grep -m 1 '^[-+][^-+]' "$work/diff")"
    fi
}

# Whether QEMU gets as far as the kernel's first line on KVM. -cpu host fails on some nested KVMs.
find_qemu_kvm() {
    qemu_cpu=''
    [ "$vmm" != nested ] || return 0
    limit=20
    for cpu in host qemu64; do
        run_qemu guest.img 1 none list -accel kvm -cpu "$cpu"
        if grep -q '^# vmm tiny kernel' "$work/qemu.out"; then
            qemu_cpu=$cpu
            break
        fi
    done
    limit=60
}

# check NAME IMAGE CPUS DISKS KVM COMMAND-LINE
check() {
    run_qemu "$2" "$3" "$4" "$6" -accel tcg -cpu max
    compare "$1_like_qemus_software_cpu" "$1" "-accel tcg"
    if [ "$5" != kvm ] || [ "$vmm" = nested ]; then
        return
    elif [ -n "$qemu_cpu" ]; then
        run_qemu "$2" "$3" "$4" "$6" -accel kvm -cpu "$qemu_cpu"
        compare "$1_like_qemu_on_kvm" "$1" "-accel kvm"
    else
        report skip "$1_like_qemu_on_kvm" "QEMU does not run on this KVM: $(tail -n 1 "$work/qemu.err")"
    fi
}

if [ "$vmm" != nested ] && ! "$root/scripts/kvm-usable" >"$work/reason" 2>&1; then
    report skip whole_program "$(tail -n 1 "$work/reason")"
    finish
fi
need_program qemu-system-x86_64 whole_program qemu-system-x86

run_vmm
find_qemu_kvm
grep -v '^#' "$list" >"$work/list"
while read -r name image cpus transport kvm cmdline; do
    check "$name" "$image" "$cpus" "$transport" "$kvm" "$cmdline"
done <"$work/list"
finish
