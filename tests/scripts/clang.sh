#!/bin/sh
# SPDX-License-Identifier: MIT
# Clang, where it is installed, has no warning about any C file of the library and the program.
# usage: clang.sh SOURCE_ROOT BUILD_DIR
set -u
root=$1 commands=$2/compile_commands.json program=clang
. "$root/tests/harness.sh"
test=no_file_gets_a_warning
quiet=-Wno-gnu-variable-sized-type-not-at-end

need_program clang $test
# As CMake would have it for clang: GCC's own options go, and what CMakeLists.txt switches off is off.
if output=$(sed -n 's/^ *"command": "\(.*\)",\{0,1\}$/\1/p' "$commands" | sed 's/\\\(["\\]\)/\1/g' |
    grep -E -- "-c $root/(base|boot|bench|decoder|devices|ept|mmio|vcpu|vmm)/[^ ]*\.c\$" |
    sed -E "s/^.*(gcc|cc|clang)(-[0-9]+)? /clang -fsyntax-only -Werror $quiet /; s/ -o [^ ]+\.o / /
        s/ -fsanitize=[^ ]+//; s/ -(fno-sanitize-recover=all|Wno-tsan|fno-reorder-blocks-and-partition)//g" | sort -u |
    tr '\n' '\0' | xargs -0 -r -n 1 -P "$(nproc)" sh -c 2>&1); then
    report ok $test
else
    echo "$output"
    report fail $test "$(echo "$output" | sed -n 's/: error: .*//p' | head -n 5 | tr '\n' ' ')"
fi
finish
