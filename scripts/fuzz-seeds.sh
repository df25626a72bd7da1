#!/bin/sh
# Keeps what fuzzing has found: of tests/fuzz/seeds, tests/fuzz/corpus and build/fuzz-corpus the fewest inputs that
# reach all that they reach together, one archive per target. After `make fuzz` or a change of a target; the
# archives are committed.
set -eu
cd "$(dirname "$0")/.."
targets=${*:-$(sed -n "/^fuzz_targets/,/]/s/^ *'\([a-z0-9_]*\)'.*/\1/p" tests/fuzz/meson.build)}

for target in $targets; do
	seeds=tests/fuzz/seeds/$target.tar.gz
	few=build/fuzz-seeds/$target
	corpus=tests/fuzz/corpus/$target
	mkdir -p "build/fuzz-corpus/$target" tests/fuzz/seeds
	[ ! -f "$seeds" ] || tar -xzf "$seeds" -C build/fuzz-corpus
	[ -d "$corpus" ] || corpus=
	rm -rf "$few"
	mkdir -p "$few"
	"build/fuzz/tests/fuzz/fuzz_$target" -set_cover_merge=1 "$few" $corpus "build/fuzz-corpus/$target" >"$few.log" 2>&1
	tar --sort=name --mtime=2026-01-01 --owner=0 --group=0 --numeric-owner -cf - \
		-C build/fuzz-seeds "$target" | gzip -9n >"$seeds"
	echo "$target: $(find "$few" -type f | wc -l) inputs, $(wc -c <"$seeds") bytes"
done
