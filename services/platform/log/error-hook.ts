export type LoggedError = {
  msg: string;
  /** The exception of the field `error`, redacted. */
  error?: { name?: string; message?: string; stack?: string } | undefined;
  /** The other fields of the line, redacted. */
  fields: Record<string, unknown>;
};

const listeners = new Set<(logged: LoggedError) => void>();

/** Hears every line of level `error`, as it went into the log. Returns how to stop. */
export function onLoggedError(listener: (logged: LoggedError) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function tellLoggedError(logged: LoggedError): void {
  for (const listener of listeners) {
    try {
      listener(logged);
    } catch {
      // A reporter that fails must not take the line, or the request, with it.
    }
  }
}
