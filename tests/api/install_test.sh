#!/bin/sh
# SPDX-License-Identifier: MIT
# What `cmake --install` gives: everything in its place, a hardened program, a library that exports only its
# interface, and headers and pkg-config file that a C and a C++ program outside of this tree can be built with.
# usage: install_test.sh SOURCE_ROOT BUILD_DIR
set -u
root=$1 build=$2 program=install
. "$root/tests/harness.sh"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# expect TEST REASON: passes when the command before it left no complaint in $found.
expect() {
    if [ -z "$found" ]; then
        report ok "$1"
    else
        report fail "$1" "$2: $(echo "$found" | head -n 5 | tr '\n' ' ')"
    fi
}

if ! output=$(DESTDIR="$stage" cmake --install "$build" 2>&1); then
    echo "$output"
    report fail destdir_install "cmake --install failed"
    finish
fi
prefix=$stage$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
lib=$(dirname "$(find "$prefix" -name libvmm.so)")

found=
for file in bin/vmm include/libvmm.h share/man/man1/vmm.1 "${lib#"$prefix/"}/libvmm.a" \
    "${lib#"$prefix/"}/pkgconfig/libvmm.pc"; do
    [ -s "$prefix/$file" ] || found="$found $file"
done
for file in "$root"/docs/*.md; do
    cmp -s "$file" "$prefix/share/doc/vmm/${file##*/}" || found="$found ${file##*/}"
done
expect everything_is_in_its_place "missing or empty"

found=$(find "$stage" -type f ! -path "$prefix/bin/vmm" ! -name libvmm.a ! -name 'libvmm.so.*' ! -name libvmm.h \
    ! -name vmm.1 ! -name libvmm.pc ! -path "$prefix/share/doc/vmm/*.md")
expect nothing_else_is_installed "also installed"

found=$(grep -rl "$build" "$stage")
expect nothing_names_the_build_tree "these name $build"

hardening() {
    readelf -hW "$1" | grep -q 'Type: *DYN' || echo "not position-independent"
    readelf -lW "$1" | grep -q GNU_RELRO || echo "no RELRO segment"
    readelf -dW "$1" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || echo "no BIND_NOW, so RELRO is not full"
    readelf -dW "$1" | grep -E 'RPATH|RUNPATH|TEXTREL'
    readelf -lW "$1" | grep 'GNU_STACK.*RWE'
}
found=$(hardening "$prefix/bin/vmm"; readelf -dW "$prefix/bin/vmm" | grep -q 'FLAGS_1.*PIE' || echo "no PIE flag")
expect the_program_is_hardened "bin/vmm"
found=$(hardening "$lib/libvmm.so")
expect the_shared_library_is_hardened "libvmm.so"

nm -D --defined-only "$lib/libvmm.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    LC_ALL=C sort >"$stage/exported"
grep -v '^typedef' "$root/include/libvmm.h" | grep -oE '\bvmm_[a-z_]+\(' | tr -d '(' | LC_ALL=C sort -u >"$stage/declared"
found=$(LC_ALL=C comm -3 "$stage/exported" "$stage/declared")
expect exports_are_the_declared_functions "not both declared and exported"
found=$(nm -g --defined-only "$lib/libvmm.a" | awk 'NF == 3 && $3 !~ /^vmm_/ { print $3 }')
expect the_archive_has_no_other_global_names "libvmm.a defines"

found=
for command in run doctor decode 'bench exits' 'bench blk' 'trace report' 'trace convert'; do
    for option in $("$prefix/bin/vmm" $command --help | grep -oE -e '--[a-z][a-z-]+'); do
        sed 's/\\-/-/g' "$prefix/share/man/man1/vmm.1" | grep -qe "$option" || found="$found $command $option"
    done
done
expect the_manual_names_every_option "not in vmm.1"

found=$({
    "$prefix/bin/vmm" trace --help
    cat "$prefix/include/libvmm.h" "$prefix/share/man/man1/vmm.1"
} | grep -oE '[a-z]+\.md' | sort -u | while read -r file; do
    [ -s "$prefix/share/doc/vmm/$file" ] || echo "$file"
done)
expect documents_that_are_named_are_installed "not in share/doc/vmm"

if command -v man >/dev/null; then
    found=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l "$prefix/share/man/man1/vmm.1" 2>&1 >/dev/null)
    expect the_manual_is_formatted_without_a_warning "vmm.1"
else
    report skip the_manual_is_formatted_without_a_warning "there is no man"
fi

found=$(cmake --install "$build" --prefix "$stage/moved" >/dev/null 2>&1 || echo "cmake --install --prefix failed"
    real=$(realpath "$(PKG_CONFIG_PATH="$stage/moved${lib#"$prefix"}/pkgconfig" \
        pkg-config --variable=includedir libvmm)")
    [ "$real" = "$(realpath "$stage/moved/include")" ] || echo "includedir is $real")
expect the_pkg_config_file_follows_another_prefix "libvmm.pc"

# consume TEST COMPILER LANGUAGE_OPTIONS PKG_CONFIG_OPTION...: builds the consumer and runs it.
consume() {
    test=$1 compiler=$2 language=$3
    shift 3
    if ! command -v "$compiler" >/dev/null; then
        report skip "$test" "there is no $compiler"
        return
    fi
    flags=$(PKG_CONFIG_PATH="$lib/pkgconfig" pkg-config --cflags --libs "$@" libvmm)
    # shellcheck disable=SC2086
    found=$("$compiler" $language -Wall -Wextra -Wno-missing-field-initializers -Werror -o "$stage/consumer" \
        "$root/tests/api/consumer.c" $flags 2>&1 && LD_LIBRARY_PATH="$lib" "$stage/consumer" 2>&1 >/dev/null ||
        echo "exit status $?")
    expect "$test" "$compiler"
}
consume a_c_program_links_the_shared_library "${CC:-cc}" '-std=c11'
consume a_cxx_program_links_the_shared_library "${CXX:-c++}" '-std=c++11 -x c++'
rm -f "$lib"/libvmm.so*
consume a_c_program_links_the_archive "${CC:-cc}" '-std=c11' --static
finish
