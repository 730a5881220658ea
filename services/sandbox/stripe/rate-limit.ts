/** A token bucket: `perSecond` calls a second with a burst of as many. Time is monotonic, in milliseconds. */
export function createRateLimit(perSecond: number, nowMs: () => number = () => performance.now()): () => boolean {
  let tokens = perSecond;
  let at = nowMs();
  return () => {
    const now = nowMs();
    tokens = Math.min(perSecond, tokens + ((now - at) / 1000) * perSecond);
    at = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
