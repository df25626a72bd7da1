import * as v from 'valibot';
import { check, type Http } from './http';

/* Registrations and calls as docs/messages.md describes them. */

const text = v.nullish(v.string(), '');

export const registrationSchema = v.object({
  account_id: v.number(),
  tenant_id: v.nullish(v.number(), 0),
  username: v.string(),
  extension: text,
  extension_name: text,
  contact: text,
  source: text,
  transport: text,
  user_agent: text,
  registered_at: text,
  expires_at: text,
  rtt_ms: v.nullish(v.number(), null),
});
export type Registration = v.InferOutput<typeof registrationSchema>;

const legSchema = v.object({
  id: v.nullish(v.union([v.string(), v.number()]), ''),
  direction: text,
  account: text,
  extension: text,
  state: text,
  codec: text,
  remote: text,
  callid: text,
});
export type CallLeg = v.InferOutput<typeof legSchema>;

export const callStates = ['new', 'ringing', 'answered', 'held'] as const;
export type CallStateName = (typeof callStates)[number];

export const callSchema = v.object({
  linkedid: v.string(),
  tenant_id: v.nullish(v.number(), 0),
  state: v.fallback(v.picklist(callStates), 'new'),
  caller: text,
  caller_name: text,
  called: text,
  called_name: text,
  src_account: text,
  dst_account: text,
  started_at: text,
  answered_at: text,
  legs: v.nullish(v.array(legSchema), []),
});
export type Call = v.InferOutput<typeof callSchema>;

const itemsOf = <S extends v.GenericSchema>(item: S): v.GenericSchema<unknown, v.InferOutput<S>[]> =>
  v.pipe(
    v.union([v.array(item), v.object({ items: v.array(item) })]),
    v.transform((body) => (Array.isArray(body) ? body : body.items)),
  );

/* The dashboard (PUB-03): each value is shown when it is there. */
const count = v.nullish(v.number(), null);
const dashboardSchema = v.object({
  productVersion: text,
  firmwareVersion: text,
  serialNumber: text,
  time: text,
  uptime_s: count,
  calls: count,
  extensions: count,
  accounts: count,
  load: v.nullish(v.array(v.number()), []),
  disk: v.nullish(v.object({ total_mb: v.number(), free_mb: v.number() }), null),
  services: v.nullish(v.array(v.object({ name: v.string(), state: v.string() })), []),
});
export type Dashboard = v.InferOutput<typeof dashboardSchema>;

export class LiveApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  async registrations(signal?: AbortSignal): Promise<readonly Registration[]> {
    const path = '/api/pbx/v2/state/registration';
    const { body } = await this.http.request('GET', path, signal ? { signal } : {});
    return check(itemsOf(registrationSchema), body, path);
  }

  async calls(signal?: AbortSignal): Promise<readonly Call[]> {
    const path = '/api/pbx/v2/phoneService/calls';
    const { body } = await this.http.request('GET', path, signal ? { signal } : {});
    return check(itemsOf(callSchema), body, path);
  }

  async hangup(linkedid: string): Promise<void> {
    await this.http.request('DELETE', `/api/pbx/v2/phoneService/call/${encodeURIComponent(linkedid)}`);
  }

  async dashboard(signal?: AbortSignal): Promise<Dashboard> {
    return this.http.get(dashboardSchema, '/rest/dashboard', signal ? { signal } : {});
  }
}
