#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the music on hold that Aoide ships, one calm loop per preset class, free of anybody's rights
because this program is its composer. Standard library only; the same bytes on every run.

    python3 share/moh/generate.py share/moh/default.wav
    for n in 1 2 3 4; do python3 share/moh/generate.py share/moh/class$n.wav $n; done
"""
import array
import math
import sys
import wave

RATE = 8000          # what most phones hear; the file stays small
BARS = 12            # of four beats; the end meets the beginning

# Chords as semitones above C3, one per bar; melody per bar: (beat, semitones above C4, beats), sparse,
# so that it does not tire.
MAJ7, MIN7, DOM7 = (0, 4, 7, 11), (0, 3, 7, 10), (0, 4, 7, 10)


def chord(root, kind):
    return tuple(root + k for k in kind)


# One piece per class: seconds per beat, order of the broken chord, partials of its strings, chords, melody.
PIECES = [
    {   # default: I vi IV V, then a walk home; 128 beats a minute, 22.5 s
        'beat_s': 0.46875, 'order': (0, 1, 2, 3, 2, 1, 2, 1), 'strings': (1, .4, .2, .08),
        'chords': [(0, 4, 7, 11), (9, 12, 16, 19), (5, 9, 12, 16), (7, 11, 14, 17)] * 2 + [
            (4, 7, 11, 14), (9, 12, 16, 19), (2, 5, 9, 12), (7, 11, 14, 17)],
        'melody': [
            [(0, 7, 1.5), (2, 4, 1), (3, 2, 1)], [(0, 4, 3)], [(0, 9, 1.5), (2, 7, 1), (3, 5, 1)],
            [(0, 7, 3)], [(0, 12, 1.5), (2, 11, 1), (3, 7, 1)], [(0, 9, 3)],
            [(0, 5, 1.5), (2, 9, 1), (3, 12, 1)], [(0, 11, 3)], [(0, 7, 1.5), (2, 11, 1), (3, 7, 1)],
            [(0, 4, 3)], [(0, 5, 1.5), (2, 4, 1), (3, 2, 1)], [(0, 2, 3)]],
    },
    {   # class1: a slow waltz-like swing around A minor
        'beat_s': 0.6, 'order': (0, 2, 1, 3, 0, 2, 3, 2), 'strings': (1, .2, .3, .05),
        'chords': [chord(r, k) for r, k in (
            (9, MIN7), (5, MAJ7), (0, MAJ7), (7, DOM7), (9, MIN7), (2, MIN7), (4, DOM7), (9, MIN7),
            (5, MAJ7), (7, DOM7), (4, DOM7), (9, MIN7))],
        'melody': [
            [(0, 4, 2), (2, 0, 2)], [(0, -3, 3)], [(0, 4, 2), (2, 7, 2)], [(0, 5, 1), (1, 4, 1), (2, 2, 2)],
            [(0, 4, 3)], [(0, 5, 2), (2, 9, 2)], [(0, 8, 2), (2, 4, 2)], [(0, 9, 4)], [(0, 5, 2), (2, 4, 2)],
            [(0, 2, 3)], [(0, 4, 1), (1, 2, 1), (2, -1, 2)], [(0, -3, 4)]],
    },
    {   # class2: brighter and quicker, in G
        'beat_s': 0.42, 'order': (0, 3, 1, 3, 2, 3, 1, 3), 'strings': (1, .5, .1),
        'chords': [chord(r, k) for r, k in (
            (7, MAJ7), (4, MIN7), (0, MAJ7), (2, DOM7), (7, MAJ7), (9, MIN7), (2, DOM7), (7, MAJ7),
            (4, MIN7), (0, MAJ7), (9, MIN7), (2, DOM7))],
        'melody': [
            [(0, 11, 1), (1, 9, 1), (2, 7, 2)], [(0, 7, 3)], [(0, 4, 1), (1, 7, 1), (2, 12, 2)], [(0, 9, 3)],
            [(0, 11, 1), (1, 14, 1), (2, 11, 2)], [(0, 12, 3)], [(0, 9, 1), (1, 6, 1), (2, 9, 2)],
            [(0, 7, 4)], [(0, 7, 1.5), (2, 11, 2)], [(0, 12, 1.5), (2, 7, 2)], [(0, 9, 1.5), (2, 4, 2)],
            [(0, 6, 3)]],
    },
    {   # class3: wide and slow, hardly a melody, in F
        'beat_s': 0.75, 'order': (0, 1, 2, 3, 3, 2, 1, 0), 'strings': (1, .6, .35, .2, .1),
        'chords': [chord(r, k) for r, k in (
            (5, MAJ7), (5, MAJ7), (2, MIN7), (2, MIN7), (10, MAJ7), (10, MAJ7), (0, DOM7), (0, DOM7),
            (9, MIN7), (2, MIN7), (7, MIN7), (0, DOM7))],
        'melody': [
            [(0, 9, 4)], [], [(0, 5, 4)], [], [(0, 10, 3)], [(0, 9, 3)], [(0, 7, 4)], [], [(0, 12, 3)],
            [(0, 9, 3)], [(0, 10, 2), (2, 5, 2)], [(0, 4, 4)]],
    },
    {   # class4: a walking bossa in D
        'beat_s': 0.5, 'order': (0, 2, 3, 1, 2, 0, 3, 2), 'strings': (1, .15, .25, .05),
        'chords': [chord(r, k) for r, k in (
            (2, MAJ7), (11, MIN7), (4, MIN7), (9, DOM7), (6, MIN7), (11, MIN7), (4, MIN7), (9, DOM7),
            (7, MAJ7), (6, MIN7), (4, MIN7), (9, DOM7))],
        'melody': [
            [(0.5, 9, 1), (2, 6, 1.5)], [(0.5, 6, 1), (2, 2, 1.5)], [(0.5, 7, 1), (2, 4, 1.5)], [(0, 1, 3)],
            [(0.5, 9, 1), (2, 13, 1.5)], [(0.5, 11, 1), (2, 9, 1.5)], [(0.5, 7, 1), (2, 11, 1.5)],
            [(0, 9, 3)], [(0.5, 11, 1), (2, 14, 1.5)], [(0.5, 13, 1), (2, 9, 1.5)],
            [(0.5, 7, 1), (2, 4, 1.5)], [(0, 4, 3)]],
    },
]


def note(out, at_s, hz, length_s, gain, partials, decay_s):
    """Adds a struck or bowed string; what rings past the end wraps to the start of the loop."""
    n = int((length_s + decay_s) * RATE)
    start = int(at_s * RATE)
    for i in range(n):
        t = i / RATE
        attack = min(1.0, t / 0.015)
        release = 1.0 if t < length_s else max(0.0, 1.0 - (t - length_s) / decay_s)
        env = attack * release * math.exp(-t / (decay_s * 1.5))
        sample = 0.0
        for k, level in enumerate(partials, 1):
            if hz * k < RATE * 0.45:
                sample += level * math.sin(2 * math.pi * hz * k * t)
        out[(start + i) % len(out)] += gain * env * sample


def main(path, piece):
    beat_s = piece['beat_s']
    out = [0.0] * int(BARS * 4 * beat_s * RATE)
    for bar, notes in enumerate(piece['chords']):
        at = bar * 4 * beat_s
        note(out, at, 130.81 * 2 ** ((notes[0] % 12) / 12), 1.6, 0.30, (1, .35, .15), 0.9)
        for i, k in enumerate(piece['order']):   # the chord broken in eighths
            note(out, at + i * beat_s / 2, 261.63 * 2 ** (notes[k] / 12) / 2, 0.25, 0.13,
                 piece['strings'], 0.7)
        for beat, semitone, beats in piece['melody'][bar]:
            note(out, at + beat * beat_s, 523.25 * 2 ** (semitone / 12) / 1, beats * beat_s * .8,
                 0.17, (1, .25, .1), 1.2)
    peak = max(abs(x) for x in out)
    level = 0.35 * 32767 / peak     # -9 dBFS: music waits behind speech
    data = array.array('h', (int(x * level) for x in out))
    if sys.byteorder == 'big':
        data.byteswap()
    with wave.open(path, 'wb') as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(RATE)
        f.writeframes(data.tobytes())


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'default.wav',
         PIECES[int(sys.argv[2]) if len(sys.argv) > 2 else 0])
