#!/usr/bin/env python3
"""Rejects what the compiler lets pass: an include against the order of the folders (ARCHITECTURE.md), libre
where it has no business, headers that do not compile alone, functions that a header declares and nobody calls,
commands without documentation, and files too long to be read. Prints one line per mistake."""
import collections
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
MAX_LINES = 950 # of a file in src/ and tests/: beyond that it has more than one subject

# Declared for others, called by tests only, and meant so.
UNCALLED = {
    # what services will be written with; proven by unit tests until the first one comes
    'call_language', 'call_play_collect', 'call_ringback_start', 'call_sound_stop', 'inv_reject', 'media_query_stats',
    'media_unbridge', 'recording_error', 'recording_is_over', 'say_date', 'say_duration', 'say_init',
    'say_silence', 'say_spell', 'say_time', 'sip_from_q850', 'snap_audio_by_name', 'snap_volatile_path',
    # a 2xx with an offer arrives at us only when we invite without one, as third party call control does
    'inv_ack',
    # adopting the calls of a switch that is gone: the media process is ready for it
    'media_adopt', 'media_orphans',
    # one interface to two databases is complete for every type of column
    'db_blob', 'db_col_blob', 'db_col_real', 'db_error_constraint', 'db_real', 'db_sql_blob',
    # tests drive the clock and look inside
    'clk_advance_ms', 'clk_drive', 'clk_release', 'fiber_stacks', 'inv_count', 'writer_applied',
}
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


def words(path):
    """How often each identifier stands in the code, and the functions that it declares or defines."""
    text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', ' ', path.read_text(encoding='utf-8'), flags=re.S)
    functions = re.findall(r'^(?!static|typedef|#|\s)[\w\s*]*?\b(\w+)\s*\(', text, flags=re.M)
    return collections.Counter(re.findall(r'\w+', text)), set(functions)


def caller_mistakes():
    """Functions of a header that no other file calls: dead, or better static."""
    files = {p: words(p) for p in sorted(SRC.rglob('*')) if p.suffix in ('.c', '.h', '.inc')}
    tests = set()
    for folder in ('tests', 'bench'):
        for path in (ROOT / folder).rglob('*.[ch]'):
            tests |= set(words(path)[0])

    mistakes = []
    seen = set()
    for header, (_, declared) in files.items():
        for name in sorted(declared if header.suffix == '.h' else ()):
            own = sum(c[name] for p, (c, f) in files.items() if name in f)
            places = sum(name in f for _, f in files.values())
            if any(c[name] > (name in f) for p, (c, f) in files.items() if p.suffix == '.h' or name not in f):
                continue
            if own > places and name in tests:
                continue
            seen.add(name)
            if name not in UNCALLED:
                what = 'should be static' if own > places else 'is called by nobody'
                mistakes.append(f'{header.relative_to(ROOT)}: {name}() {what}')
    mistakes += [f'scripts/check.py: {n} is called; take it off the list' for n in sorted(UNCALLED - seen)]
    return mistakes


def message_mistakes():
    """Commands on the bus that docs/messages.md does not have, and the other way round."""
    used = set()
    for path in SRC.rglob('*.c'):
        used |= set(re.findall(r'"(cmd\.[a-z]+\.[a-z_]+)"', path.read_text(encoding='utf-8')))
    told = set(re.findall(r'`(cmd\.[a-z]+\.[a-z_]+)`', (ROOT / 'docs' / 'messages.md').read_text(encoding='utf-8')))
    used = {s for s in used if not s.endswith('.loglevel')} # each process answers that one
    return [f'docs/messages.md: {s} is missing' for s in sorted(used - told)] + \
           [f'docs/messages.md: {s} does not exist' for s in sorted(told - used)]


def log_mistakes():
    """Modules of logged events that base/log.c does not know, and the other way round."""
    used = set()
    for path in SRC.rglob('*.c'):
        used |= set(re.findall(r'\blog_(?:error|warn|info|debug)\(\s*"([a-z0-9_]+)\.', path.read_text(encoding='utf-8')))
    table = re.search(r'known_modules\[\] =([^;]*);', (SRC / 'base' / 'log.c').read_text(encoding='utf-8')).group(1)
    known = set(re.findall(r'[a-z0-9_]+', table))
    return [f'src/base/log.c: module {m} is missing' for m in sorted(used - known)] + \
           [f'src/base/log.c: module {m} writes no events' for m in sorted(known - used)]


def length_mistakes():
    mistakes = []
    for folder in ('src', 'tests', 'bench'):
        for path in sorted((ROOT / folder).rglob('*.[ch]')):
            lines = len(path.read_text(encoding='utf-8').splitlines())
            if lines > MAX_LINES:
                mistakes.append(f'{path.relative_to(ROOT)}: {lines} lines; divide it by subject')
    return mistakes


def main():
    wholes = [layer_mistakes(), caller_mistakes(), message_mistakes(), log_mistakes(), length_mistakes()]
    n_headers, headers = header_mistakes()
    for mistake in sum(wholes, headers):
        print(mistake)
    failed = len(headers) + sum(1 for mistakes in wholes if mistakes)
    passed = n_headers - len(headers) + sum(1 for mistakes in wholes if not mistakes)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
