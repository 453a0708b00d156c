#!/bin/sh
# SPDX-License-Identifier: MIT
# What the scripts of the README say where something is missing: each in a copy of scripts/, with programs of
# these names before the real ones.
set -u
root=$1 program=trouble
. "$root/tests/harness.sh"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir "$work/checkout" "$work/bin"
cp -R "$root/scripts" "$work/checkout/"
PATH=$work/bin:$PATH

# fake NAME SCRIPT: a program of that name.
fake() {
    printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

# expect TEST STATUS TEXT COMMAND...: that status, and that text on either output.
expect() {
    test=$1 wanted=$2 text=$3
    shift 3
    status=0
    output=$(cd "$work/checkout" && "$@" 2>&1 </dev/null) || status=$?
    if [ "$status" = "$wanted" ] && echo "$output" | grep -qF -- "$text"; then
        report ok "$test"
    else
        echo "$output"
        report fail "$test" "status $status, not $wanted, or no '$text'"
    fi
}

expect an_unknown_argument_of_boot_is_named 2 'unknown argument --fast' scripts/boot --fast
expect an_unknown_argument_of_test_is_named 2 'unknown argument --fast' scripts/test --fast
expect an_unknown_lane_is_answered_with_the_lanes 2 'unit, threads, native or nested' scripts/test --lane all
expect an_unknown_purpose_is_named 2 'nothing is listed for "tset"' scripts/install-packages tset
expect a_lane_without_a_build_is_not_booted 2 '/build/static has no bin/: make it with cmake --preset static' \
    scripts/nested/run vmm doctor
expect a_build_that_is_not_there_is_named 2 '/nowhere/at/all has no bin/' \
    scripts/nested/run --build /nowhere/at/all vmm doctor

# A lane without a kernel: it gives BEATS signs of life, one in a fifth of a second, and stands still then unless
# it ends with the status 7. Whatever its monitor is asked, it answers the same.
mkdir -p "$work/checkout/build/static/bin" "$work/checkout/build/nested"
: >"$work/checkout/build/nested/base.cpio"
echo 'exit 0' >"$work/checkout/scripts/nested/fetch"
fake cpio 'cat >/dev/null'
# shellcheck disable=SC2016
fake qemu-system-x86_64 '
for word; do
    case $word in
        file,id=beats,path=*) beats=${word##*=} ;;
        file,id=result,path=*) result=${word##*=} ;;
        pipe,id=monitor,path=*) monitor=${word##*=} ;;
    esac
done
exec 3<>"$monitor.in"
for _ in $(seq "$BEATS"); do
    printf . >>"$beats"
    sleep 0.2
done
if [ "$ENDS" ]; then
    echo "exit 7" >"$result"
    exit 0
fi
dd bs=1 count=1 <&3 >/dev/null 2>&1
echo "RIP=0123456789abcdef" >"$monitor.out"
while :; do sleep 0.2; done'
lane() {
    BEATS=$1 ENDS=$2 scripts/nested/run --silence 4 true
}
expect a_lane_that_stands_still_is_ended 124 "no sign of life from the lane's kernel for 4 s (--silence): killed" lane 1 ''
expect what_its_cpus_did_is_shown 0 'RIP=0123456789abcdef' cat build/nested/standstill.log
expect a_lane_that_gives_signs_of_life_is_left_alone 7 '' lane 30 yes
expect a_silence_that_is_no_number_is_named 2 'take a number' scripts/nested/run --silence long true
expect a_silence_without_a_length_is_named 2 '--silence needs a value' scripts/nested/run --silence
rm "$work/bin/cpio" "$work/bin/qemu-system-x86_64"

fake dpkg-query 'exit 1'
fake sudo 'exec "$@"'
fake apt-get 'echo "E: Temporary failure resolving"; exit 100'
expect a_failing_apt_is_shown_with_what_is_missing 1 'still needed: gcc' scripts/install-packages build
expect boot_stops_without_its_packages 1 'apt-get failed' scripts/boot

fake dpkg-query 'echo "install ok installed"'
fake cmake 'echo "cmake version 3.18.4"'
expect an_old_cmake_is_named 1 'cmake 3.18.4 is too old: 3.25 is needed' bash -c '. scripts/lib.sh; build release'
fake cmake 'exit 127'
expect no_cmake_is_said 1 'there is no cmake' bash -c '. scripts/lib.sh; build release'

rm -rf "$work/checkout/build"
: >"$work/checkout/build"
expect a_checkout_that_cannot_be_written_is_said 1 'cannot write to' scripts/boot
finish
