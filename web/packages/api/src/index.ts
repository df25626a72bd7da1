import { CdrApi } from './cdr';
import { ConfigApi } from './config';
import { EntityApi } from './entities';
import { Http, type HttpOptions } from './http';
import { LiveApi } from './live';
import { SessionApi } from './session';
import { SoundApi } from './sounds';

/** The REST API as the web pages use it: the public one, nothing else. */
export class Api {
  readonly http: Http;
  readonly session: SessionApi;
  readonly entities: EntityApi;
  readonly config: ConfigApi;
  readonly live: LiveApi;
  readonly cdr: CdrApi;
  readonly sounds: SoundApi;

  constructor(options: HttpOptions) {
    this.http = new Http(options);
    this.session = new SessionApi(this.http);
    this.entities = new EntityApi(this.http);
    this.config = new ConfigApi(this.http);
    this.live = new LiveApi(this.http);
    this.cdr = new CdrApi(this.http);
    this.sounds = new SoundApi(this.http);
  }
}

export * from './cdr';
export * from './config';
export { madeSecrets, rowId, rowOverrides, rowTitle } from './entities';
export type { Created, ImportError, ImportMode, ImportReport, ListQuery, Loaded, MadeSecret, Page, Row } from './entities';
export * from './events';
export type { HttpOptions } from './http';
export * from './json';
export * from './live';
export { ApiError, type FieldProblem } from './problem';
export * from './schema';
export * from './sounds';
export { may, type Level, type Session } from './session';
