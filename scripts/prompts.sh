#!/bin/sh
# Speaks share/prompts/prompts.csv with espeak-ng into share/prompts/{it,us}/<name>.wav: mono, 8 kHz,
# G.711 u-law in a WAV (half the size of 16 bit, and what most calls carry anyway), silence cut off,
# about -20 dBFS. Needs the Debian packages espeak-ng, sox and python3. The same texts give the same files.
#
#   scripts/prompts.sh            everything
#   scripts/prompts.sh park/ echo only names that begin so
set -eu
cd "$(dirname "$0")/../share/prompts"

for tool in espeak-ng sox python3; do
	command -v $tool >/dev/null || { echo "$tool is missing: apt-get install espeak-ng sox python3" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8 work

# One prompt: language, name, text. Two passes: the level is measured on what is left after the cut.
cat >"$work/one" <<'ONE'
#!/bin/sh
set -eu
lang=$1 name=$2 text=$3
out=$lang/$name.wav
tmp=$work/$lang-$(printf %s "$name" | tr / _)
mkdir -p "$(dirname "$out")"
case $text in
@beep)
	sox -R -n -r 8000 -c 1 -b 16 "$tmp.cut.wav" synth 0.35 sine 1000 fade t 0.01 0.35 0.01 ;;
@silence\ *)
	exec sox -D -n -r 8000 -c 1 -e u-law "$out" trim 0 "$(python3 -c "print(${text#@silence }/1000)")" ;;
*)
	case $lang in it) voice=it speed=150 ;; us) voice=en-us speed=150 ;; esac
	printf %s "$text" | espeak-ng -v $voice -s $speed -p 45 -w "$tmp.wav" --stdin
	sox -R "$tmp.wav" "$tmp.cut.wav" rate -h 8000 \
		silence 1 0.01 -55d reverse silence 1 0.01 -55d reverse pad 0.02 0.04 ;;
esac
level=$(sox "$tmp.cut.wav" -n stats 2>&1 | awk '/^RMS lev dB/ { print $4 }')
peak=$(sox "$tmp.cut.wav" -n stats 2>&1 | awk '/^Pk lev dB/ { print $4 }')
# Never so loud that a peak would be cut.
gain=$(python3 -c "print(min(-20 - ($level), -1 - ($peak)))")
sox -R "$tmp.cut.wav" -e u-law "$out" gain "$gain"
rm -f "$tmp.wav" "$tmp.cut.wav"
ONE
chmod +x "$work/one"

python3 - "$@" <<'LIST' | xargs -0 -n 3 -P "$(nproc)" "$work/one"
import csv, sys
for row in csv.DictReader(open('prompts.csv', encoding='utf-8')):
    if len(sys.argv) > 1 and not any(row['name'].startswith(p) for p in sys.argv[1:]):
        continue
    for lang, column in (('it', 'it'), ('us', 'en')):
        sys.stdout.write('\0'.join((lang, row['name'], row[column])) + '\0')
LIST

for lang in it us; do
	printf '%s: %s files, %s bytes\n' $lang "$(find $lang -name '*.wav' | wc -l)" \
		"$(find $lang -name '*.wav' -printf '%s\n' | awk '{ n += $1 } END { print n }')"
done
