// Packs the built files once, so that the server sends them as they are (.br, .gz beside the file).
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const packable = /\.(js|css|html|svg|json)$/;
const smallestBytes = 1024;

for (const entry of readdirSync(process.argv[2], { recursive: true })) {
  const path = join(process.argv[2], String(entry));
  if (!packable.test(path) || statSync(path).size < smallestBytes) continue;
  const bytes = readFileSync(path);
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
}
