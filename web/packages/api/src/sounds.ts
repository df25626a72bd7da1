import * as v from 'valibot';
import { check, withQuery, type Http } from './http';

/** How far the conversion of an uploaded sound is; "inherited": a prompt that is the base language's. */
export const soundStates = ['empty', 'converting', 'ready', 'failed', 'inherited'] as const;
export type SoundState = (typeof soundStates)[number];

const sound = {
  state: v.fallback(v.picklist(soundStates), 'empty'),
  playable: v.nullish(v.boolean(), false),
  reason: v.nullish(v.string(), null),
  duration_ms: v.nullish(v.number(), 0),
  source_name: v.nullish(v.string(), null),
  source_format: v.nullish(v.string(), null),
};

const mohFile = v.object({ file: v.number(), name: v.nullish(v.string(), ''), ...sound });
export type MohFile = v.InferOutput<typeof mohFile>;
const mohFiles = v.object({ items: v.array(mohFile) });

const prompt = v.object({ name: v.string(), text: v.nullish(v.string(), ''), replaced: v.boolean(), ...sound });
export type Prompt = v.InferOutput<typeof prompt>;
const prompts = v.object({ items: v.array(prompt) });

const refusal = v.object({ name: v.string(), message: v.string() });
const added = v.object({ added: v.array(v.unknown()), failed: v.array(refusal) });
export type AddedMusic = v.InferOutput<typeof added>;

const archiveReport = v.object({
  matched: v.array(v.object({ file: v.string(), prompt: v.string() })),
  unknown: v.array(v.string()),
  failed: v.nullish(v.array(v.object({ file: v.string(), message: v.string() })), []),
});
export type ArchiveReport = v.InferOutput<typeof archiveReport>;

/** How far a phone is that plays or records an audio file; the last three are ends. */
const phoneTask = v.object({
  task: v.string(),
  id: v.number(),
  state: v.picklist(['ringing', 'playing', 'recording', 'converting', 'done', 'ready', 'failed']),
  message: v.nullish(v.string(), null),
});
export type PhoneTask = v.InferOutput<typeof phoneTask>;
export interface Phone {
  readonly extension: string;
  /** User name; empty: all phones of the extension. */
  readonly account: string;
}

export function phoneTaskIsOver({ state }: PhoneTask): boolean {
  return state === 'done' || state === 'ready' || state === 'failed';
}

export type Progress = (share: number) => void;

const base = '/api/pbx/v2';
/* As every write of the pages: in force when the user applies (BASE-80). */
const saveOnly = { apply: false };

function formWith(files: readonly File[], fields: Readonly<Record<string, string>> = {}): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  for (const file of files) form.append('file', file, file.name);
  return form;
}

/** Uploads and downloads of audio files, music and prompts (PLT-30..33). */
export class SoundApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  /** Address that a player or a download link asks. `version` makes a replaced content a new address. */
  audioUrl(id: number, version = 0): string {
    return withQuery(`${base}/audioFile/${id}/content`, { v: version });
  }

  mohUrl(classId: number, file: number): string {
    return `${base}/mohClass/${classId}/file/${file}/content`;
  }

  promptUrl(languageId: number, name: string): string {
    return `${base}/language/${languageId}/prompt/${name.split('/').map(encodeURIComponent).join('/')}/content`;
  }

  createAudio(file: File, folder: string, onProgress: Progress): Promise<unknown> {
    return this.http.upload('POST', `${base}/audioFile`, formWith([file], folder ? { folder } : {}), { query: saveOnly, onProgress });
  }

  replaceAudio(id: number, file: File, onProgress: Progress): Promise<unknown> {
    return this.http.upload('PUT', `${base}/audioFile/${id}/content`, formWith([file]), { query: saveOnly, onProgress });
  }

  async restoreAudio(id: number): Promise<void> {
    await this.http.request('DELETE', `${base}/audioFile/${id}/content`, { query: saveOnly });
  }

  async playOnPhone(id: number, phone: Phone): Promise<PhoneTask> {
    return this.ring(`${base}/audioFile/${id}/play`, { ...phone });
  }

  async recordAgain(id: number, phone: Phone): Promise<PhoneTask> {
    return this.ring(`${base}/audioFile/${id}/record`, { ...phone });
  }

  async recordNew(file: Phone & { readonly name: string; readonly folder: string }): Promise<PhoneTask> {
    return this.ring(`${base}/audioFile/record`, { ...file });
  }

  phoneTask(task: string, signal: AbortSignal): Promise<PhoneTask> {
    return this.http.get(phoneTask, `${base}/audioFile/phone/${task}`, { signal });
  }

  private async ring(path: string, json: Record<string, string>): Promise<PhoneTask> {
    return check(phoneTask, (await this.http.request('POST', path, { query: saveOnly, json })).body, path);
  }

  async mohFiles(classId: number, signal: AbortSignal): Promise<readonly MohFile[]> {
    return (await this.http.get(mohFiles, `${base}/mohClass/${classId}/file`, { signal })).items;
  }

  async addMusic(classId: number, files: readonly File[], onProgress: Progress): Promise<AddedMusic> {
    const path = `${base}/mohClass/${classId}/file`;
    return check(added, await this.http.upload('POST', path, formWith(files), { query: saveOnly, onProgress }), path);
  }

  async orderMusic(classId: number, files: readonly MohFile[]): Promise<void> {
    const json = { files: files.map(({ file, name }) => ({ file, name })) };
    await this.http.request('PATCH', `${base}/mohClass/${classId}`, { query: saveOnly, json });
  }

  async removeMusic(classId: number, file: number): Promise<void> {
    await this.http.request('DELETE', `${base}/mohClass/${classId}/file/${file}`, { query: saveOnly });
  }

  async prompts(languageId: number, signal: AbortSignal): Promise<readonly Prompt[]> {
    return (await this.http.get(prompts, `${base}/language/${languageId}/prompt`, { signal })).items;
  }

  replacePrompt(languageId: number, name: string, file: File, onProgress: Progress): Promise<unknown> {
    return this.http.upload('PUT', this.promptUrl(languageId, name), formWith([file]), { query: saveOnly, onProgress });
  }

  async inheritPrompt(languageId: number, name: string): Promise<void> {
    await this.http.request('DELETE', this.promptUrl(languageId, name), { query: saveOnly });
  }

  async uploadArchive(languageId: number, file: File, onProgress: Progress): Promise<ArchiveReport> {
    const path = `${base}/language/${languageId}/archive`;
    return check(archiveReport, await this.http.upload('POST', path, formWith([file]), { query: saveOnly, onProgress }), path);
  }
}
