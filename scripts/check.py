#!/usr/bin/env python3
"""Rejects what the compiler lets pass: an include against the order of the folders (ARCHITECTURE.md), libre
where it has no business, and headers that do not compile alone. Prints one line per mistake."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / 'src'

# A folder may include from itself and from the folders before it.
ORDER = ['base', 'db', 'bus', 'schema', 'audio', 'entities', 'snapshot', 'sip', 'media', 'call',
         'services', 'switch', 'web', 'jobs', 'app']
STRANGERS = {('sip', 'media'), ('media', 'sip')}
MAY_USE_LIBRE = {'base', 'sip', 'media', 'call', 'services', 'switch'}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def includes(path):
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def layer_mistakes():
    mistakes = []
    for path in sorted(SRC.rglob('*')):
        if path.suffix not in ('.c', '.h', '.inc') or path.parent == SRC:
            continue
        folder = path.relative_to(SRC).parts[0]
        for number, kind, name in includes(path):
            where = f'{path.relative_to(ROOT)}:{number}'
            if folder not in ORDER:
                mistakes.append(f'{where}: folder {folder} has no place in the order')
                break
            if kind == '<' and (name == 're.h' or name.startswith('re/')):
                if path != SRC / 'base' / 're.h':
                    mistakes.append(f'{where}: <{name}> enters through base/re.h only')
                continue
            other = name.split('/')[0]
            if kind != '"' or other not in ORDER or '/' not in name:
                continue
            if ORDER.index(other) > ORDER.index(folder):
                mistakes.append(f'{where}: {folder} must not know {other} ({name})')
            if (folder, other) in STRANGERS:
                mistakes.append(f'{where}: {folder} and {other} do not know each other ({name})')
            if name == 'base/re.h' and folder not in MAY_USE_LIBRE:
                mistakes.append(f'{where}: {folder} must not use libre; base/mem.h has the memory')
    return mistakes


def compile_alone(header, flags, scratch):
    name = str(header.relative_to(SRC))
    source = pathlib.Path(scratch) / (name.replace('/', '_') + '.c')
    source.write_text(f'#include "{name}"\nextern int aoide_nothing;\n', encoding='utf-8')
    result = subprocess.run(['gcc', '-std=gnu17', '-D_GNU_SOURCE', '-DAOIDE_VERSION="x"', '-Wall',
                             '-Wextra', '-Werror', '-fsyntax-only', f'-I{SRC}', *flags, str(source)],
                            capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    first = next((l for l in result.stderr.splitlines() if 'error' in l), result.stderr[:200])
    return f'src/{name}: does not compile alone: {first}'


def header_mistakes():
    flags = subprocess.run(['pkg-config', '--cflags', 'libre', 'jansson', 'libsodium', 'sqlite3',
                            'libpq', 'libwebsockets', 'expat', 'openssl'],
                           capture_output=True, text=True, check=True).stdout.split()
    flags = [f.replace('-I', '-isystem', 1) if f.startswith('-I') else f for f in flags]
    headers = sorted(SRC.rglob('*.h'))
    with tempfile.TemporaryDirectory() as scratch, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda h: compile_alone(h, flags, scratch), headers)
        return len(headers), [m for m in found if m]


def main():
    layers = layer_mistakes()
    n_headers, headers = header_mistakes()
    for mistake in layers + headers:
        print(mistake)
    failed = len(headers) + (1 if layers else 0)
    passed = n_headers - len(headers) + (0 if layers else 1)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
