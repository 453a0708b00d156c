# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What tests written as scripts have in common; see tests/harness.h for the lines. Sourced, after setting `program`.

# report ok|fail|skip TEST [REASON]
report() {
    report_line="$1 ${program:?} $2${3:+ - $3}"
    echo "$report_line"
    if [ -n "${VMM_TEST_LOG:-}" ]; then
        echo "$report_line" >>"$VMM_TEST_LOG"
    fi
    if [ "$1" = fail ]; then
        test_failed=1
    fi
}

# need_program NAME TEST [PACKAGE]: ends here, the test skipped, where there is no such program.
need_program() {
    command -v "$1" >/dev/null && return
    report skip "$2" "there is no $1${3:+ (Debian package $3)}"
    finish
}

# The exit status of the program.
finish() {
    exit "${test_failed:-0}"
}
