#!/bin/sh
# SPDX-License-Identifier: MIT
# Every C file is as clang-format 14 leaves it. Other versions disagree about details, so they are not asked.
set -u
root=$1 program=format
. "$root/tests/harness.sh"
test=every_file_is_formatted

tool=
for name in clang-format-14 clang-format; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
        tool=$name
        break
    fi
done
if [ -z "$tool" ]; then
    report skip $test "there is no clang-format 14"
    finish
fi
cd "$root" || exit 2
if output=$(find . \( -name 'build*' -o -name '.?*' \) -prune -o -name '*.[ch]' -print | LC_ALL=C sort |
    xargs "$tool" --dry-run -Werror 2>&1); then
    report ok $test
else
    echo "$output"
    report fail $test "$(echo "$output" | sed -n 's/^\.\/\([^:]*\):.*/\1/p' | uniq | tr '\n' ' ')"
fi
finish
