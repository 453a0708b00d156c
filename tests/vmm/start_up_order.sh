#!/bin/sh
# SPDX-License-Identifier: MIT
# vmm/cli/start_up_order: the linker passes over names that are not there, so a function that was renamed would
# silently go back to where it was.
set -u
root=$1 program=start_up_order
. "$root/tests/harness.sh"
cd "$root" || exit 1

missing=
for name in $(grep '^[a-z]' vmm/cli/start_up_order); do
    # MACHINE_DESTROYER(cmos) is where destroy_cmos is defined.
    grep -qrE "(^|[ *])$name\(|^MACHINE_DESTROYER\(${name#destroy_}\)" base vmm boot ept vcpu devices mmio \
        --include='*.[ch]' || missing="$missing $name"
done
if [ -z "$missing" ]; then
    report ok every_name_is_a_functions
else
    report fail every_name_is_a_functions "not there:$missing: scripts/count-start --order"
fi

missing=
for name in main cmd_run vmm_create vmm_load vmm_run vcpu_run vmm_destroy; do
    grep -qx "$name" vmm/cli/start_up_order || missing="$missing $name"
done
if [ -z "$missing" ]; then
    report ok the_way_of_a_start_is_in_it
else
    report fail the_way_of_a_start_is_in_it "not in it:$missing: scripts/count-start --order"
fi
finish
