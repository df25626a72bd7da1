#!/bin/sh
# Builds the programs below bench/ and measures with them: bench.sh [PIECE ...]; bench/run.mjs names the
# pieces, docs/benchmarks.md explains them.
set -eu
cd "$(dirname "$0")/.."
# Only these: the tests of the same build take longer than some of the measuring.
programs=$(for source in bench/bench_*.c; do basename "$source" .c | sed 's|^|bench/|'; done)
# shellcheck disable=SC2086 # one word per program
ninja -C build/release --quiet aoide $programs
exec bench/run.mjs build/release "$@"
