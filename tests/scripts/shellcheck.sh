#!/bin/sh
# SPDX-License-Identifier: MIT
# No script of the repository gets a warning from shellcheck.
set -u
root=$1 program=shellcheck
. "$root/tests/harness.sh"
test=no_script_gets_a_warning

need_program shellcheck $test
cd "$root" || exit 2
scripts=$(find . -path './build*' -prune -o -path ./.git -prune -o -type f -exec \
    grep -lE -m 1 '^#!(/bin/(busybox )?(ba)?sh|/usr/bin/env bash)|^# shellcheck shell=' {} + | LC_ALL=C sort)
# One word for each script; no name has a space.
# shellcheck disable=SC2086
if output=$(shellcheck -S warning -x -P SCRIPTDIR $scripts 2>&1); then
    report ok $test
else
    echo "$output"
    report fail $test "$(echo "$output" | sed -n 's/^In \.\/\(.*\):$/\1/p' | tr '\n' ' ')"
fi
finish
