#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/tally: no program can crash, hang or do nothing, and still count as passed.
set -u
root=$1 program=tally
. "$root/tests/harness.sh"

# expect TEST LOG RESULT: what the tally makes of a log.
expect() {
    result=$(printf '%b' "$2" | "$root/scripts/tally" -)
    if [ "$result" = "$(printf '%b' "$3")" ]; then
        report ok "$1"
    else
        report fail "$1" "expected \"$3\", found \"$result\""
    fi
}

expect results_pass_through \
    'run a\nok a t1\nskip a t2 - no reason\nend a 0\n' \
    'ok a t1\nskip a t2 - no reason'
expect a_failure_is_counted_once \
    'run a\nfail a t1 - file.c:1: wrong\nend a 1\n' \
    'fail a t1 - file.c:1: wrong'
expect a_crash_without_a_line_fails \
    'run a\nend a "Exception: SegFault"\n' \
    'fail a whole_program - ended with status "Exception: SegFault", with no failed test'
expect a_crash_after_the_last_line_fails \
    'run a\nok a t1\nend a 139\n' \
    'ok a t1\nfail a whole_program - ended with status 139, with no failed test'
expect a_program_that_never_ended_fails \
    'run a\nok a t1\nrun b\nok b t1\nend b 0\n' \
    'ok a t1\nok b t1\nfail a whole_program - did not end'
expect a_program_that_ran_nothing_fails \
    'run a\nend a 0\n' \
    'fail a whole_program - reported no test'
expect an_unreadable_line_fails \
    'run a\nok a t1\nokk\nend a 0\n' \
    'ok a t1\nfail runner log_is_readable - -:3: not a result line: okk'
expect carriage_returns_do_not_matter \
    'run a\r\nok a t1\r\nend a 0\r\n' \
    'ok a t1'
finish
