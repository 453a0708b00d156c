#!/bin/sh
# SPDX-License-Identifier: MIT
# vmm's side of crosscheck.sh: runs what its list says, and prints each run's result lines behind "== NAME". Busybox
# and nothing else, since it also runs in the nested lane.
# usage: crosscheck_vmm.sh LIST VMM GUESTS
set -u
list=$1 vmm=$2 guests=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Two empty disks; the command line says where those by MMIO are.
make_disks() {
    disks='' words=''
    [ "$1" != none ] || return 0
    for n in 0 1; do
        truncate -s 8M "$work/$n.img"
        disks="$disks --disk path=$work/$n.img,queues=4,transport=$1"
        [ "$1" = pci ] || words="$words virtio_mmio.device=4K@0xdff0${n}000:$((16 + n))"
    done
}

# All runs end with a value at the debug-exit port, which is an odd status.
grep -v '^#' "$list" | while read -r name image cpus transport _ cmdline; do
    echo "== $name"
    make_disks "$transport"
    # shellcheck disable=SC2086 # options are words
    timeout 120 "$vmm" run --mem 256M --cpus "$cpus" --cmdline "$cmdline$words" $disks "$guests/$image" \
        </dev/null >"$work/out" 2>"$work/err"
    echo "exit status $?"
    tr -d '\r' <"$work/out" | grep -E '^(1\.\.|ok |not ok |Bail out!)'
    sed 's/^/# /' "$work/err"
done
