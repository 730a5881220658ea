import { fail } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { WireAnswer } from './idempotency.ts';
import type { RawAnswer, Route } from './route.ts';

/**
 * A handler's answer as bytes, through the schema of its status: a field that the schema does not name never leaves.
 * @throws KlarError internal when the answer breaks its schema and `strictAnswers` is on
 */
export function toWire(
  route: Route,
  answer: RawAnswer,
  { strictAnswers, log }: { strictAnswers: boolean; log: Logger },
): WireAnswer {
  const headers = answer.headers ?? {};
  const schema = route.responses[answer.status];
  if (schema === null) return { status: answer.status, headers, body: null };
  const result = schema?.safeParse(answer.body);
  if (result?.success) return { status: answer.status, headers, body: JSON.stringify(result.data) };
  const issues = result?.error.issues.slice(0, 10).map(({ path, message }) => ({ path: path.join('.'), message }));
  // The effect is right and only its description is not: a 500 here would turn a typo into an outage.
  if (!strictAnswers) {
    log.error('answer does not have the documented form', { route: route.id, status: answer.status, issues });
    return { status: answer.status, headers, body: JSON.stringify(answer.body ?? null) };
  }
  throw fail.internal('answer_mismatch', 'The answer does not have the documented form.', {
    cause: new Error(`${route.id} ${answer.status}: ${issues ? JSON.stringify(issues) : 'status is not declared'}`),
  });
}
