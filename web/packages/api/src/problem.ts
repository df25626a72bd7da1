import * as v from 'valibot';

/** One error of one field (RFC 9457 document, D-227). */
export interface FieldProblem {
  readonly field: string;
  readonly code: string;
  readonly message: string;
}

const problemSchema = v.object({
  title: v.optional(v.string(), ''),
  detail: v.optional(v.string(), ''),
  code: v.optional(v.string(), ''),
  errors: v.optional(
    v.array(
      v.object({
        field: v.optional(v.nullable(v.string()), ''),
        code: v.optional(v.string(), ''),
        message: v.optional(v.string(), ''),
      }),
    ),
    [],
  ),
});

/**
 * Why a request did not do what it should. `status` 0: the server was not reached; -1: it answered
 * something that its contract does not allow.
 */
export class ApiError extends Error {
  readonly status: number;
  readonly title: string;
  readonly code: string;
  readonly errors: readonly FieldProblem[];
  readonly retryAfterS: number | null;

  constructor(
    status: number,
    title: string,
    detail: string,
    code = '',
    errors: readonly FieldProblem[] = [],
    retryAfterS: number | null = null,
  ) {
    super(detail || title);
    this.name = 'ApiError';
    this.status = status;
    this.title = title;
    this.code = code;
    this.errors = errors;
    this.retryAfterS = retryAfterS;
  }
}

/** Reads the body of an answer that is not a success; a body that is no problem document is not shown. */
export function apiError(status: number, body: unknown, retryAfter: string | null): ApiError {
  const parsed = v.safeParse(problemSchema, body);
  const seconds = retryAfter === null ? NaN : Number(retryAfter);
  const wait = Number.isFinite(seconds) && seconds >= 0 ? Math.ceil(seconds) : null;
  if (!parsed.success) return new ApiError(status, `HTTP ${status}`, '', '', [], wait);
  const { title, detail, code, errors } = parsed.output;
  return new ApiError(
    status,
    title || `HTTP ${status}`,
    detail,
    code,
    errors.map((e) => ({ field: e.field ?? '', code: e.code, message: e.message })),
    wait,
  );
}
