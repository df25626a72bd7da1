#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes default.wav, the music on hold that Aoide ships: a calm loop, free of anybody's rights
because this program is its composer. Standard library only; the same bytes on every run.

    python3 share/moh/generate.py share/moh/default.wav
"""
import array
import math
import sys
import wave

RATE = 8000          # what most phones hear; the file stays small
BEAT_S = 0.46875     # 128 beats a minute
BARS = 12            # of four beats: 22.5 s, and the end meets the beginning

# Chords as semitones above C3, one per bar: I vi IV V, then a walk home.
CHORDS = [(0, 4, 7, 11), (9, 12, 16, 19), (5, 9, 12, 16), (7, 11, 14, 17)] * 2 + [
    (4, 7, 11, 14), (9, 12, 16, 19), (2, 5, 9, 12), (7, 11, 14, 17)]
# Melody per bar: (beat, semitones above C4, beats); sparse, so that it does not tire.
MELODY = [
    [(0, 7, 1.5), (2, 4, 1), (3, 2, 1)], [(0, 4, 3)], [(0, 9, 1.5), (2, 7, 1), (3, 5, 1)], [(0, 7, 3)],
    [(0, 12, 1.5), (2, 11, 1), (3, 7, 1)], [(0, 9, 3)], [(0, 5, 1.5), (2, 9, 1), (3, 12, 1)], [(0, 11, 3)],
    [(0, 7, 1.5), (2, 11, 1), (3, 7, 1)], [(0, 4, 3)], [(0, 5, 1.5), (2, 4, 1), (3, 2, 1)], [(0, 2, 3)],
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


def main(path):
    out = [0.0] * int(BARS * 4 * BEAT_S * RATE)
    for bar, chord in enumerate(CHORDS):
        at = bar * 4 * BEAT_S
        note(out, at, 130.81 * 2 ** ((chord[0] % 12) / 12), 1.6, 0.30, (1, .35, .15), 0.9)
        # Broken chord in eighths, up and down.
        order = [0, 1, 2, 3, 2, 1, 2, 1]
        for i, k in enumerate(order):
            note(out, at + i * BEAT_S / 2, 261.63 * 2 ** (chord[k] / 12) / 2, 0.25, 0.13,
                 (1, .4, .2, .08), 0.7)
        for beat, semitone, beats in MELODY[bar]:
            note(out, at + beat * BEAT_S, 523.25 * 2 ** (semitone / 12) / 1, beats * BEAT_S * .8,
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
    main(sys.argv[1] if len(sys.argv) > 1 else 'default.wav')
