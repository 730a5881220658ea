import { z } from 'zod';
import { fail, KINDS, type KlarError } from '#platform/errors/index.ts';

/** RFC 9457. `code` is stable and for programs, `detail` is for people and may change. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: { path: string; message: string }[];
}

/** As `Problem`, for answers that the api documents. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string(),
    code: z.string().regex(/^[a-z][a-z0-9_]*$/),
    request_id: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

export interface Failure {
  status: number;
  problem: Problem;
  headers: Record<string, string>;
}

/** The one place where an error becomes an answer. */
export function toFailure(error: KlarError, requestId: string): Failure {
  const { status, title } = KINDS[error.kind];
  const { errors, retryAfterS, members, headers } = error.extra;
  return {
    status,
    headers: {
      ...(status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
      ...headers,
      ...(retryAfterS === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterS))) }),
    },
    problem: {
      type: `urn:klar:problem:${error.code}`,
      title,
      status,
      detail: error.detail,
      code: error.code,
      request_id: requestId,
      ...(errors === undefined ? {} : { errors }),
      ...members,
    },
  };
}

/** A zod error with its paths, `place` first (`body.lines.0.quantity`). Messages name rules, never the value sent. */
export function invalidRequest(error: z.ZodError, place: string): KlarError {
  const errors = error.issues.slice(0, 20).map((issue) => ({
    path: [place, ...issue.path.map(String)].join('.').slice(0, 200),
    message: issue.message.slice(0, 300),
  }));
  return fail.invalid('invalid_request', 'The request does not have the documented form.', errors);
}
