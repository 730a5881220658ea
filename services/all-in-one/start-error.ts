import { MigrationError } from '#platform/db/setup.ts';

/** Why the system could not start, and the way out for the person who reads it. */
export class StartError extends Error {
  readonly code: string;
  readonly remedy: string;
  constructor(code: string, message: string, remedy: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'StartError';
    this.code = code;
    this.remedy = remedy;
  }
}

/** Turns a full disk, wherever it was met, into its answer; other errors pass. */
export function asStartError(error: unknown, dataDir: string): unknown {
  const text = error instanceof Error ? `${(error as NodeJS.ErrnoException).code} ${error.message}` : String(error);
  if (/ENOSPC|No space left on device|could not extend file|\b53100\b/.test(text) && !(error instanceof StartError)) {
    return new StartError(
      'disk_full',
      `The disk that holds ${dataDir} is full.`,
      'Free some space (about 200 MB are needed) and start again; nothing committed is lost. KLAR_DATA_DIR=/other/disk/klar keeps the data elsewhere.',
      error,
    );
  }
  if (/EACCES|EROFS/.test(text) && text.includes(dataDir)) {
    return new StartError(
      'data_dir_not_writable',
      `${dataDir} cannot be written.`,
      'Give yourself the right to write there, or keep the data elsewhere: KLAR_DATA_DIR=/other/place/klar npm start',
      error,
    );
  }
  if (error instanceof MigrationError) {
    return new StartError(
      'schema_differs',
      error.message,
      'When the data may go, start over with: npm start -- --fresh',
      error,
    );
  }
  return error;
}
