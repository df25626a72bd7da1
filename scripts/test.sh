#!/bin/sh
# Everything that `make test` runs, in the order in which failures are cheapest to find. A step that fails does not
# keep the others from running. Each runner's own closing lines are shown, on failure what went wrong; the last line
# counts all of them, the one before it names the steps that failed.
set -u
cd "$(dirname "$0")/.."

out=build/test-output
mkdir -p "$out"
passed=0
failed=0
failures=
# So many of the end-to-end tests may pass only when tried again (docs/decisions/0113).
SECOND_TRIES=3
step_began=
began=$(date +%s)
# Whatever the tests start inherits this, and is found by it at the end.
export AOIDE_TEST_RUN="run-$$-$began"

# count NAME STATUS PASSED FAILED: adds up; a runner that failed without counting a failure counts as one.
count() {
	passed=$((passed + $3))
	failed=$((failed + $4))
	if [ "$2" != 0 ] && [ "$4" = 0 ]; then
		failed=$((failed + 1))
	fi
	if [ "$2" != 0 ] || [ "$4" != 0 ]; then
		failures="$failures $1"
		echo "FAILED: $1 (whole output: $out/$1.log)"
	fi
}

# number FILE REGEX: the sum of the numbers that the first group of the regex finds, colours removed.
number() {
	sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1" | sed -nE "s/$2/\\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

took() {
	[ -z "$step_began" ] || echo "-- $(($(date +%s) - step_began)) s"
	step_began=
}

step() {
	took
	echo
	echo "== $1"
	step_began=$(date +%s)
}

run() { # NAME COMMAND...: output into a file
	name=$1
	shift
	"$@" >"$out/$name.log" 2>&1
}

# unit_failures FILE: in few lines which tests failed and where; one failure is often followed by pages of leaks.
unit_failures() {
	grep -E '^ *[0-9]+/[0-9]+ .* (FAIL|TIMEOUT|ERROR) ' "$1"
	awk '/^test: /{ program = $0 } /^\[ RUN/{ run = $0 }
		/^\[  (FAILED|ERROR ) |^\[   LINE|ERROR: [A-Za-z]*Sanitizer|runtime error:/{
			if (program) { print ""; print program; program = "" } print }
		/TIMEOUT/{ if (run) print "the last test that began: " run }' "$1" | cut -c1-240 | head -n 120
}

step "layers and headers"
run check scripts/check.py
status=$?
[ $status = 0 ] && tail -n 1 "$out/check.log" || cat "$out/check.log"
count check $status "$(number "$out/check.log" '^([0-9]+) passed.*')" "$(number "$out/check.log" '.* ([0-9]+) failed$')"

step "unit tests (gcc, address and undefined behaviour sanitizers)"
if [ ! -f build/test/build.ninja ]; then
	CC=gcc run setup-test meson setup build/test -Db_sanitize=address,undefined ||
		cat "$out/setup-test.log"
fi
run build-test ninja -C build/test --quiet
status=$?
if [ $status != 0 ]; then
	tail -n 60 "$out/build-test.log"
	count build-test $status 0 0
else
	# A program that hangs is ended after its time (tests/unit/meson.build), here three times as long: others may
	# use the machine. Its output ends with the test that hung.
	run unit meson test -C build/test --print-errorlogs --no-rebuild --timeout-multiplier 3 \
		--num-processes "${TEST_JOBS:-$(nproc)}"
	status=$?
	if [ $status != 0 ]; then
		unit_failures "$out/unit.log"
		sed -n '/^=====/,$p' "$out/unit.log" | tail -n 200
	fi
	grep -E '^(Ok|Fail|Timeout|Skipped): ' "$out/unit.log"
	log=build/test/meson-logs/testlog.txt
	# Each cmocka program counts its own tests; a program without them (a corpus) counts as one.
	p=$(number "$log" '^\[  PASSED  \] ([0-9]+) test.*')
	f=$(number "$log" '^\[  FAILED  \] ([0-9]+) test.*')
	c=$(grep -cE '^[0-9]+ inputs replayed$' "$log")
	count unit $status $((p + c)) "$f"
fi

step "threads of the media process and the bus (gcc, thread sanitizer)"
run tsan scripts/tsan.sh
status=$?
[ $status = 0 ] && tail -n 1 "$out/tsan.log" || tail -n 120 "$out/tsan.log"
count tsan $status "$(number "$out/tsan.log" '^([0-9]+) passed.*')" "$(number "$out/tsan.log" '.* ([0-9]+) failed$')"

step "fuzzing, ${FUZZ_SECONDS:-30} s each (clang builds everything)"
# From the same beginning on the same way each time (docs/decisions/0111): `make fuzz` seeks elsewhere.
FUZZ_SECONDS=${FUZZ_SECONDS:-30} FUZZ_SEED=${FUZZ_SEED:-1} run fuzz scripts/fuzz.sh
status=$?
if [ $status = 0 ]; then tail -n 20 "$out/fuzz.log"; else tail -n 120 "$out/fuzz.log"; fi
count fuzz $status "$(number "$out/fuzz.log" '^([0-9]+) passed.*')" "$(number "$out/fuzz.log" '.* ([0-9]+) failed$')"

# npm_tests NAME FOLDER: vitest closes with "Tests  3 failed | 20 passed (23)", node with "pass 20".
npm_tests() {
	step "$3"
	(cd "$2" && npm test --silent) >"$out/$1.log" 2>&1
	status=$?
	[ $status = 0 ] || tail -n 150 "$out/$1.log"
	sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$out/$1.log" |
		grep -E '^ *(Test Files|Tests) +[0-9]|^(# |ℹ )(tests|pass|fail) [0-9]+'
	p=$(($(number "$out/$1.log" '^ *Tests +([0-9]+) passed.*') +
		$(number "$out/$1.log" '^ *Tests +[0-9]+ failed \| ([0-9]+) passed.*') +
		$(number "$out/$1.log" '^[^a-z]*pass ([0-9]+)$')))
	f=$(($(number "$out/$1.log" '^ *Tests +([0-9]+) failed.*') + $(number "$out/$1.log" '^[^a-z]*fail ([0-9]+)$')))
	count "$1" $status "$p" "$f"
}

if [ -f web/package.json ]; then
	npm_tests web web "web pages"
fi
if [ -f tests/e2e/package.json ]; then
	# npm writes the hidden lock file last: older than ours, or not there, means packages of another time.
	if [ ! tests/e2e/node_modules/.package-lock.json -nt tests/e2e/package-lock.json ]; then
		(cd tests/e2e && npm ci --no-audit --no-fund --loglevel=error) >"$out/e2e-deps.log" 2>&1 ||
			cat "$out/e2e-deps.log"
	fi
	npm_tests e2e tests/e2e "end to end, with real phones and browsers"
	again=$(grep -c '^second try: ' "$out/e2e.log")
	grep -A 1 '^second try: ' "$out/e2e.log" | cut -c1-240
	echo "$again passed at their second try, at most $SECOND_TRIES may"
	count second-tries 0 0 $((again > SECOND_TRIES ? again : 0))
fi

# left_running: pids of what this run started and did not end; grep itself is gone when it is looked at.
left_running() {
	for pid in $(grep -lsz "^AOIDE_TEST_RUN=$AOIDE_TEST_RUN\$" /proc/[0-9]*/environ | tr -dc '0-9\n'); do
		[ ! -d "/proc/$pid" ] || echo "$pid"
	done
}

step "nothing is left running"
for _ in 1 2 3 4 5 6 7 8 9 10; do # a browser takes a moment to end
	left=$(left_running)
	[ -n "$left" ] || break
	sleep 1
done
n=0
: >"$out/leftovers.log"
for pid in $left; do
	echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline")" >>"$out/leftovers.log"
	kill "$pid"
	n=$((n + 1))
done
cut -c1-160 "$out/leftovers.log"
echo "$n processes left"
count leftovers 0 0 $n

took
echo
echo "$((($(date +%s) - began) / 60)) min in all"
[ -z "$failures" ] || echo "failed:$failures"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
