// Sound files as people have them, and the forms they are sent in.

/** A sine tone as a WAV file: 16-bit PCM. */
export function wav(hz: number, seconds: number, rate = 8000, channels = 1): Buffer {
  const frames = Math.round(seconds * rate);
  const file = Buffer.alloc(44 + frames * channels * 2);
  file.write('RIFF', 0);
  file.writeUInt32LE(file.length - 8, 4);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(channels, 22);
  file.writeUInt32LE(rate, 24);
  file.writeUInt32LE(rate * channels * 2, 28);
  file.writeUInt16LE(channels * 2, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(file.length - 44, 40);
  for (let i = 0; i < frames * channels; i++) {
    const at = Math.floor(i / channels) / rate;
    file.writeInt16LE(Math.round(12000 * Math.sin(2 * Math.PI * hz * at)), 44 + 2 * i);
  }
  return file;
}

/** What a stored WAV says of itself: our store is mono, 16-bit PCM. */
export function wavFacts(file: Buffer): { rate: number; channels: number; bits: number; seconds: number } {
  const rate = file.readUInt32LE(24);
  return { rate, channels: file.readUInt16LE(22), bits: file.readUInt16LE(34), seconds: file.readUInt32LE(40) / 2 / rate };
}

/** The frequency that a 16-bit mono WAV holds, by its zero crossings. */
export function wavHz(file: Buffer): number {
  const rate = file.readUInt32LE(24);
  let crossings = 0;
  const n = (file.length - 44) / 2;
  const from = Math.floor(n / 4);
  const to = Math.floor((n * 3) / 4);
  for (let i = from; i < to; i++) {
    if (file.readInt16LE(44 + 2 * i) < 0 && file.readInt16LE(46 + 2 * i) >= 0) crossings++;
  }
  return (crossings * rate) / (to - from);
}

export type FormPart = { name: string; value: string } | { name: string; fileName: string; data: Buffer };

/** multipart/form-data as browsers send it. */
export function form(parts: FormPart[]): { body: Buffer; type: string } {
  const boundary = '----AoideFormBoundary7MA4YWxkTrZu0gW';
  const pieces: Buffer[] = [];
  for (const part of parts) {
    const file = 'data' in part ? `; filename="${part.fileName.replaceAll('"', '%22')}"\r\nContent-Type: audio/wav` : '';
    pieces.push(Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${part.name}"${file}\r\n\r\n`));
    pieces.push('data' in part ? part.data : Buffer.from(part.value), Buffer.from('\r\n'));
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return { body: Buffer.concat(pieces), type: `multipart/form-data; boundary=${boundary}` };
}

const crcTable = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

function crc32(data: Buffer): number {
  let c = 0xffffffff;
  for (const byte of data) c = ((crcTable[(c ^ byte) & 0xff] ?? 0) ^ (c >>> 8)) >>> 0;
  return (c ^ 0xffffffff) >>> 0;
}

/** A ZIP of stored (uncompressed) files. */
export function zip(files: Record<string, Buffer>): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const path = Buffer.from(name);
    const head = Buffer.alloc(30);
    head.writeUInt32LE(0x04034b50, 0);
    head.writeUInt16LE(20, 4);
    head.writeUInt32LE(crc32(data), 14);
    head.writeUInt32LE(data.length, 18);
    head.writeUInt32LE(data.length, 22);
    head.writeUInt16LE(path.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(0x031e, 4);
    head.copy(entry, 6, 4, 30);
    entry.writeUInt32LE((0o100644 << 16) >>> 0, 38);
    entry.writeUInt32LE(at, 42);
    bodies.push(head, path, data);
    directory.push(entry, path);
    at += head.length + path.length + data.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...bodies, listing, end]);
}
