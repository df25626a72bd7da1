#!/bin/sh
# Runs every fuzz target for FUZZ_SECONDS (default 30), as many at a time as there are cores. Each begins with what
# was found before (tests/fuzz/seeds, see scripts/fuzz-seeds.sh) and with tests/fuzz/corpus. New inputs are kept in
# build/fuzz-corpus; a crash leaves its input in build/fuzz-crashes: make it a test. FUZZ_SEED makes a run like the
# one before it; without, each goes another way.
set -u
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-30}
jobs=${FUZZ_JOBS:-$(nproc)}

if [ ! -f build/fuzz/build.ninja ]; then
	CC=clang meson setup build/fuzz -Dfuzz=true || exit 1
fi
ninja -C build/fuzz --quiet || exit 1

targets=$(sed -n "/^fuzz_targets/,/]/s/^ *'\([a-z0-9_]*\)'.*/\1/p" tests/fuzz/meson.build)
mkdir -p build/fuzz-crashes build/fuzz-logs

fuzz_one() {
	mkdir -p "build/fuzz-corpus/$1"
	[ ! -f "tests/fuzz/seeds/$1.tar.gz" ] || tar -xzf "tests/fuzz/seeds/$1.tar.gz" -C build/fuzz-corpus
	seeds=
	[ -d "tests/fuzz/corpus/$1" ] && seeds="tests/fuzz/corpus/$1"
	"build/fuzz/tests/fuzz/fuzz_$1" "build/fuzz-corpus/$1" $seeds -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" \
		-timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
		-artifact_prefix="build/fuzz-crashes/$1-" >"build/fuzz-logs/$1.log" 2>&1
	echo $? >"build/fuzz-logs/$1.status"
}

n=0
for target in $targets; do
	fuzz_one "$target" &
	n=$((n + 1))
	if [ $((n % jobs)) = 0 ]; then
		wait
	fi
done
wait

passed=0
failed=0
for target in $targets; do
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz-logs/$target.log")
	if [ "$(cat "build/fuzz-logs/$target.status")" = 0 ]; then
		passed=$((passed + 1))
		echo "$target: $runs inputs, no crash"
	else
		failed=$((failed + 1))
		grep -vE '^#[0-9]+\s' "build/fuzz-logs/$target.log" | tail -n 60
		echo "$target: FAILED"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
