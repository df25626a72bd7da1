#!/bin/sh
# Runs bench/run (a script or program that prints a table and writes bench/results.json) against the
# release build.
set -eu
cd "$(dirname "$0")/.."
ninja -C build/release --quiet
for runner in bench/run.sh bench/run.py bench/run.mjs; do
	if [ -x "$runner" ]; then
		exec "$runner" build/release
	fi
done
echo "bench/run.sh, run.py or run.mjs is missing" >&2
exit 1
