// The pages of sounds in a real browser: upload with the button and by dropping, play, replace, reorder, archive.
import { writeFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { items, onePbx, row, V2 } from './lib/api.js';
import { Browser, wwwDir } from './lib/browser.js';
import { wav, zip } from './lib/sound.js';
import { until } from './lib/wait.js';

const pbx = onePbx(['--web-rate', '0', '--www', wwwDir]);
let browser: Browser;
const page = () => browser.page;
const shots = process.env['AOIDE_SHOTS'];
const shot = async (name: string): Promise<void> => {
  if (shots) await page().screenshot({ path: join(shots, `${name}.png`), fullPage: true });
};
const file = (name: string, data: Buffer): string => {
  mkdirSync(join(pbx().dataDir, 'tmp'), { recursive: true });
  const path = join(pbx().dataDir, 'tmp', name);
  writeFileSync(path, data);
  return path;
};
/** Chooses files as a person does: the button opens the browser's dialog. */
const choose = async (button: string, ...paths: string[]): Promise<void> => {
  const [chooser] = await Promise.all([
    page().waitForEvent('filechooser'),
    page().getByRole('button', { name: button, exact: true }).first().click(),
  ]);
  await chooser.setFiles(paths);
};

beforeAll(async () => {
  browser = await Browser.open(pbx().rest.base);
  await browser.login(`${pbx().facts.admin.username}@${pbx().facts.admin.domain}`, pbx().facts.admin.password);
});
afterAll(async () => {
  expect(browser.complaints).toEqual([]);
  await browser?.close();
});

describe('audio files', () => {
  test('[PLT-30] the menu leads to the list with the predefined files, playable', async () => {
    await page().getByRole('link', { name: 'Audio files' }).click();
    await page().getByRole('heading', { name: 'Audio files', level: 1 }).waitFor();
    await page().getByRole('link', { name: 'builtin/rec-start', exact: true }).waitFor();
    expect(await page().getByText('Ready', { exact: true }).count()).toBe(3);
    await shot('audio-files');
    expect(await browser.accessibilityFaults()).toEqual([]);
  });

  test('[PLT-30] several files are uploaded with the button; the refused one says why', async () => {
    await choose('Choose files', file('Welcome & hello.wav', wav(440, 2, 44100)), file('broken.wav', Buffer.from('nothing')),
      file('night.wav', wav(300, 1)));
    await page().getByRole('alert').getByText('broken.wav').waitFor();
    await page().getByText('is no sound that is known here').waitFor();
    await page().getByRole('link', { name: 'custom/Welcome & hello', exact: true }).waitFor();
    await page().getByRole('link', { name: 'custom/night', exact: true }).waitFor();
    expect(await page().getByRole('link', { name: 'custom/broken', exact: true }).count()).toBe(0);
    await shot('audio-files-uploaded');
    expect(await browser.accessibilityFaults()).toEqual([]);
  });

  test('[PLT-30] a file is dropped onto the page, into another folder', async () => {
    await page().getByRole('textbox', { name: 'Destination folder' }).fill('custom/holidays');
    const data = await page().evaluateHandle((bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.wav', { type: 'audio/wav' }));
      return transfer;
    }, [...wav(500, 0.5)]);
    await page().getByText('or drop files here').dispatchEvent('drop', { dataTransfer: data });
    await page().getByRole('link', { name: 'custom/holidays/dropped', exact: true }).waitFor();
  });

  test('[PLT-30] [CHG-AUD-01] the sound plays in the browser, in the list and in the page of the file', async () => {
    await page().evaluate(() => {
      const started: HTMLAudioElement[] = [];
      (globalThis as unknown as { started: HTMLAudioElement[] }).started = started;
      const play = HTMLAudioElement.prototype.play;
      HTMLAudioElement.prototype.play = function (): Promise<void> {
        started.push(this);
        return play.call(this);
      };
    });
    await page().getByRole('button', { name: 'Play: custom/Welcome & hello' }).click();
    await page().getByRole('button', { name: 'Stop: custom/Welcome & hello' }).waitFor();
    await until('the sound advances', () => page().evaluate(() => {
      const [audio] = (globalThis as unknown as { started: HTMLAudioElement[] }).started;
      return audio !== undefined && audio.currentTime > 0.3 && Math.abs(audio.duration - 2) < 0.1;
    }));
    await page().getByRole('button', { name: 'Stop: custom/Welcome & hello' }).click();
    await page().getByRole('button', { name: 'Play: custom/Welcome & hello' }).waitFor();

    await page().getByRole('link', { name: 'custom/Welcome & hello', exact: true }).click();
    await page().getByRole('heading', { name: 'Content', level: 2 }).waitFor();
    const player = page().locator('audio');
    await player.evaluate((audio: HTMLAudioElement) => audio.play());
    await until('the player advances', () => player.evaluate((audio: HTMLAudioElement) => audio.currentTime > 0.2));
    await shot('audio-file');
    expect(await browser.accessibilityFaults()).toEqual([]);
  });

  test('[PLT-30] download, replace with a bad file and with a good one', async () => {
    const [download] = await Promise.all([page().waitForEvent('download'), page().getByRole('link', { name: 'Download', exact: true }).click()]);
    expect(download.suggestedFilename()).toBe('Welcome & hello.wav');
    expect(readFileSync(await download.path()).subarray(0, 4).toString()).toBe('RIFF');
    await choose('Replace the content', file('bad.mp3', Buffer.alloc(3000, 7)));
    await page().getByRole('alert').getByText('bad.mp3').waitFor();
    await page().getByText('The last upload was refused').waitFor();
    await choose('Replace the content', file('better.wav', wav(440, 3, 16000)));
    await page().getByText('00:03').waitFor();
    expect(await page().getByText('The last upload was refused').count()).toBe(0);
  });

  test('a conversion that takes long is shown, and its end comes by itself', async () => {
    const pid = pbx().childPid('jobs');
    if (!pid) throw new Error('no jobs');
    await browser.goto('/config/audioFile');
    await page().getByRole('link', { name: 'custom/night', exact: true }).waitFor();
    process.kill(pid, 'SIGSTOP');
    try {
      await choose('Choose files', file('slow.wav', wav(300, 1)));
      await page().getByRole('row', { name: /custom\/slow/ }).getByText('Converting').waitFor();
      expect(await page().getByRole('button', { name: 'Play: custom/slow' }).isDisabled()).toBe(true);
      await shot('converting');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await page().getByRole('row', { name: /custom\/slow/ }).getByText('Ready').waitFor();
  });

  test('a file that is in use cannot be deleted; the answer names who uses it', async () => {
    const used = items(await pbx().rest.ok('GET', `${V2}/audioFile?path=custom/night`))[0];
    await pbx().rest.ok('PATCH', `${V2}/audioSettings`, { spy_audio_file: used?.id });
    await browser.goto(`/config/audioFile/${used?.id}`);
    await page().getByRole('heading', { name: 'Content', level: 2 }).waitFor();
    await page().getByRole('button', { name: 'Delete' }).click();
    await page().getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page().getByRole('dialog').getByText('Audio settings').waitFor();
    await page().getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  });
});

describe('music on hold', () => {
  test('[PLT-31] a class is saved, then files are added, ordered and removed', async () => {
    await browser.goto('/config/mohClass');
    await page().getByRole('link', { name: 'Class 1', exact: true }).waitFor();
    await shot('moh-classes');
    await page().getByRole('link', { name: /^Add/ }).click();
    await page().getByLabel('Name').fill('Shop');
    await page().getByRole('button', { name: 'Save' }).click();
    await page().getByText('No file yet.').waitFor();
    await choose('Add music', file('one.wav', wav(300, 2)), file('two.wav', wav(400, 3)), file('no.wav', Buffer.from('x')));
    await page().getByRole('cell', { name: 'two.wav', exact: true }).waitFor();
    await page().getByRole('alert').getByText('no.wav').waitFor();
    await shot('moh-class');
    await page().reload(); // without the message that is fading in
    await page().getByRole('cell', { name: 'two.wav', exact: true }).waitFor();
    expect(await browser.accessibilityFaults()).toEqual([]);
    await page().getByRole('button', { name: 'Move two.wav up' }).click();
    await until('the order is the new one', async () =>
      (await page().locator('tbody tr td:nth-child(2)').allTextContents()).join() === 'two.wav,one.wav');
    await page().getByRole('button', { name: 'Remove one.wav' }).click();
    await until('one file is left', async () => (await page().locator('tbody tr td:nth-child(2)').allTextContents()).join() === 'two.wav');
  });
});

describe('settings and languages', () => {
  test('[PLT-32] the audio settings name language, music and the silent listening file', async () => {
    await browser.goto('/config/audioSettings');
    await page().getByRole('textbox', { name: 'Default music-on-hold class' }).waitFor();
    for (const [name, value] of [['Language of the system prompts', 'Italiano'], ['Default music-on-hold class', 'Default']] as const)
      await until(`${name}: ${value}`, async () => (await page().getByRole('textbox', { name }).inputValue()) === value);
    await shot('audio-settings');
    expect(await browser.accessibilityFaults()).toEqual([]);
  });

  test('[PLT-33] a custom language: prompts are listed, replaced, inherited again, filled from an archive', async () => {
    await browser.goto('/config/language');
    await page().getByRole('link', { name: 'Italiano' }).waitFor();
    await shot('languages');
    const made = row(await pbx().rest.ok('POST', `${V2}/language`, { name: 'Our voice', base: 'us', variant: 'ours' }));
    await browser.goto(`/config/language/${made.id}`);
    await page().getByRole('heading', { name: 'System prompts' }).waitFor();
    await page().getByRole('textbox', { name: 'Search by name or text' }).fill('general/goodbye');
    await choose('Replace: general/goodbye', file('bye.wav', wav(440, 1)));
    await page().getByRole('button', { name: 'Inherit again: general/goodbye' }).waitFor();
    await page().getByRole('button', { name: 'Inherit again: general/goodbye' }).click();
    await page().getByText('Inherited', { exact: true }).first().waitFor();
    await page().getByRole('textbox', { name: 'Search by name or text' }).fill('');
    await choose('Upload an archive (ZIP)', file('voices.zip', zip({ 'voices/general/saved.wav': wav(440, 1), 'notes.txt': Buffer.from('x') })));
    await page().getByText('1 prompt replaced').waitFor();
    await page().getByText('notes.txt').waitFor();
    await page().getByLabel('Only replaced ones').check();
    await page().getByRole('cell', { name: 'general/saved', exact: true }).waitFor();
    await shot('language');
    expect(await browser.accessibilityFaults()).toEqual([]);
  });

  test('the pages speak Italian', async () => {
    await page().evaluate(() => localStorage.setItem('aoide.language', 'it'));
    await pbx().rest.ok('GET', `${V2}/audioSettings`);
    const italian = await Browser.open(pbx().rest.base, 'it-IT');
    try {
      await italian.login(`${pbx().facts.admin.username}@${pbx().facts.admin.domain}`, pbx().facts.admin.password);
      await italian.page.getByRole('link', { name: 'Classi di musica di attesa' }).click();
      await italian.page.getByRole('link', { name: 'Predefinita' }).waitFor();
      await italian.page.getByRole('link', { name: 'File audio' }).click();
      await italian.page.getByText('Carica nuovi file audio').waitFor();
      if (shots) await italian.page.screenshot({ path: join(shots, 'it-audio-files.png'), fullPage: true });
      expect(italian.complaints).toEqual([]);
    } finally {
      await italian.close();
    }
  });
});
