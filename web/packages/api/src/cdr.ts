import * as v from 'valibot';
import { pageSchema, type Page } from './entities';
import type { Http } from './http';

/* The call register: PLT-59 rows with the PLT-60 path of the call. */

const text = v.pipe(
  v.nullish(v.union([v.string(), v.number(), v.boolean()]), ''),
  v.transform((value) => (value === true ? '1' : value === false ? '0' : String(value))),
);

export const detailFields = [
  'detail_source_num', 'detail_anonymous', 'detail_destination_type', 'detail_destination_id',
  'detail_destination_name', 'detail_destination_num', 'detail_enter_datetime', 'detail_enqueue_datetime',
  'detail_answer_datetime', 'detail_exit_datetime', 'detail_exit_cause', 'detail_answered_by',
  'detail_waiting_time', 'detail_mapped_source_num', 'detail_mapped_dst_num', 'detail_account_code',
] as const;
export type DetailField = (typeof detailFields)[number];

export const cdrFields = [
  'unique_id', 'source_type', 'destination_type', 'status', 'start_datetime', 'channel_up_datetime',
  'answer_datetime', 'answered_by', 'end_datetime', 'caller', 'caller_name', 'anonymous', 'called',
  'called_name', 'gateway_name', 'account_code', 'duration', 'bill_secs', 'src_peer_name', 'src_ip_port',
] as const;
export type CdrField = (typeof cdrFields)[number];

type TextSchema = typeof text;
function texts<K extends string>(names: readonly K[]): Record<K, TextSchema> {
  const entries: [K, TextSchema][] = names.map((name) => [name, text]);
  // Object.fromEntries forgets the literal keys.
  return Object.fromEntries(entries) as Record<K, TextSchema>;
}

const detailSchema = v.object(texts(detailFields));
const cdrSchema = v.object({
  ...texts(cdrFields),
  details: v.nullish(v.array(detailSchema), []),
});
export type CdrDetail = v.InferOutput<typeof detailSchema>;
export type Cdr = v.InferOutput<typeof cdrSchema>;

export interface CdrQuery {
  readonly page: number;
  readonly pageSize: number;
  readonly q?: string;
  /** Month of the end of the call (D-209). */
  readonly year: number;
  readonly month: number;
}

function firstOf(year: number, month: number): string {
  return `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-01 00:00:00`;
}

export class CdrApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  list(query: CdrQuery, signal?: AbortSignal): Promise<Page<Cdr>> {
    return this.http.get(pageSchema(cdrSchema), '/api/pbx/v2/cdr', {
      query: {
        page: query.page,
        page_size: query.pageSize,
        q: query.q,
        from: firstOf(query.year, query.month),
        to: query.month === 12 ? firstOf(query.year + 1, 1) : firstOf(query.year, query.month + 1),
      },
      ...(signal ? { signal } : {}),
    });
  }

  /** A whole month as CSV (PUB-04, PUB-05). */
  download(url: string): Promise<Blob> {
    return this.http.download(url, 'text/csv');
  }
}
