const ANSWER_MS = 10_000;

export type ProbeAnswer = { status: number; code: string };

/** One request to our own public interface, as a client would send it. @throws when nobody answers, or it is overloaded */
export async function probe(
  url: string,
  request: { method?: string; headers?: Record<string, string>; body?: string },
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  const response = await fetch(url, { ...request, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) });
  const body = (await response.json().catch(() => ({}))) as { code?: unknown };
  // Not an answer about the secret: it is asked again.
  if (response.status >= 500 || response.status === 429)
    throw new Error(`${new URL(url).pathname} answers ${response.status}`);
  return { status: response.status, code: typeof body.code === 'string' ? body.code : '' };
}
