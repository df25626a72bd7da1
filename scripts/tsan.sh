#!/bin/sh
# Runs the unit tests of media and bus under the thread sanitizer. A report of the sanitizer fails, and so does a program that
# does not come to its end; a test that is merely too slow under it does not: the same tests are judged by the step
# before, at full speed.
set -u
cd "$(dirname "$0")/.."
reports=$PWD/build/tsan-reports

if [ ! -f build/tsan/build.ninja ]; then
	CC=gcc meson setup build/tsan -Db_sanitize=thread || exit 1
fi
programs=$(ninja -C build/tsan -t targets all | sed -n 's/^\(tests\/unit\/unit_[a-z]*_[a-z0-9_]*\): .*/\1/p' | grep -E '/unit_(media|bus)_')
# shellcheck disable=SC2086 # names without spaces
ninja -C build/tsan --quiet $programs || exit 1

rm -rf "$reports"
mkdir -p "$reports"
# The media process is forked out of a test that may have threads already: die_after_fork.
TSAN_OPTIONS="log_path=$reports/report die_after_fork=0 exitcode=66 history_size=4" \
	meson test -C build/tsan --no-rebuild --suite media --suite bus --num-processes "${TEST_JOBS:-$(nproc)}" --timeout-multiplier 3

log=build/tsan/meson-logs/testlog
passed=$(grep -c '^\[==========\] [0-9]* test(s) run\.' $log.txt)
failed=0
for program in $programs; do
	failed=$((failed + 1))
done
failed=$((failed - passed))
[ $failed = 0 ] || grep -hE '"result": "(FAIL|TIMEOUT|ERROR)"' $log.json | cut -c1-300
for report in "$reports"/*; do
	[ -s "$report" ] || continue
	failed=$((failed + 1))
	head -n 100 "$report"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
