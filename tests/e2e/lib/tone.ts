import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Sound = { rate: number; samples: Float32Array };

/** A 16-bit PCM WAV, also one that is still being written (its header then says nothing useful). */
export function readWav(path: string): Sound {
  const data = readFileSync(path);
  let rate = 8000;
  let channels = 1;
  // linphone writes its header at the end of the call: until then 8 kHz, mono, after 44 octets of nothing.
  const hasHeader = data.toString('latin1', 0, 4) === 'RIFF';
  let at = hasHeader ? 12 : 44;
  while (hasHeader && at + 8 <= data.length) {
    const id = data.toString('latin1', at, at + 4);
    const size = data.readUInt32LE(at + 4);
    if (id === 'fmt ') {
      channels = data.readUInt16LE(at + 10);
      rate = data.readUInt32LE(at + 12);
    }
    if (id === 'data') {
      at += 8;
      break;
    }
    at += 8 + size + (size % 2);
  }
  const n = Math.max(0, Math.floor((data.length - at) / 2 / channels));
  const samples = new Float32Array(n);
  for (let i = 0; i < n; i++) samples[i] = data.readInt16LE(at + i * 2 * channels) / 32768;
  return { rate, samples };
}

/** Power of one frequency relative to all power in the window (0..1; a pure tone gives about 1). */
export function toneShare(sound: Sound, hz: number, fromS = 0, toS = Infinity): number {
  const first = Math.floor(fromS * sound.rate);
  const last = Math.min(sound.samples.length, Math.floor(toS * sound.rate));
  const coefficient = 2 * Math.cos((2 * Math.PI * hz) / sound.rate);
  const block = Math.floor(sound.rate / 10);
  let share = 0;
  let blocks = 0;
  for (let start = first; start + block <= last; start += block) {
    let s1 = 0;
    let s2 = 0;
    let power = 0;
    for (let i = start; i < start + block; i++) {
      const x = sound.samples[i] ?? 0;
      const s0 = x + coefficient * s1 - s2;
      s2 = s1;
      s1 = s0;
      power += x * x;
    }
    if (power / block < 1e-6) continue; // silence says nothing
    const tone = (2 * (s1 * s1 + s2 * s2 - coefficient * s1 * s2)) / block;
    share += tone / power;
    blocks++;
  }
  return blocks ? share / blocks : 0;
}

export function level(sound: Sound, fromS = 0, toS = Infinity): number {
  const first = Math.floor(fromS * sound.rate);
  const last = Math.min(sound.samples.length, Math.floor(toS * sound.rate));
  let power = 0;
  for (let i = first; i < last; i++) power += (sound.samples[i] ?? 0) ** 2;
  return last > first ? Math.sqrt(power / (last - first)) : 0;
}

/** The recordings of one direction in a phone's folder, newest last. */
export function recordings(dir: string, side: 'enc' | 'dec'): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith(`-${side}.wav`))
    .sort()
    .map((name) => join(dir, name));
}

/** A WAV of one tone: 16 bits, mono, 8 kHz. */
export function writeTone(path: string, hz: number, seconds: number, rate = 8000): void {
  const n = rate * seconds;
  const data = Buffer.alloc(44 + 2 * n);
  data.write('RIFF', 0);
  data.writeUInt32LE(36 + 2 * n, 4);
  data.write('WAVEfmt ', 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(1, 22);
  data.writeUInt32LE(rate, 24);
  data.writeUInt32LE(2 * rate, 28);
  data.writeUInt16LE(2, 32);
  data.writeUInt16LE(16, 34);
  data.write('data', 36);
  data.writeUInt32LE(2 * n, 40);
  for (let i = 0; i < n; i++) data.writeInt16LE(Math.round(12_000 * Math.sin((2 * Math.PI * hz * i) / rate)), 44 + 2 * i);
  writeFileSync(path, data);
}
