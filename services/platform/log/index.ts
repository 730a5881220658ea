import { createLogger as createWinston, format, transports } from 'winston';
import { currentLogContext } from './context.ts';
import { type LoggedError, tellLoggedError } from './error-hook.ts';
import { createRedactor } from './redact.ts';

export {
  addLogContext,
  currentLogContext,
  currentRequestId,
  type LogContext,
  withLogContext,
} from './context.ts';
export { type LoggedError, onLoggedError } from './error-hook.ts';
export { createRedactor, isSecretKey } from './redact.ts';

export type LogFields = Record<string, unknown>;
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/**
 * One JSON object per line: `time`, `level`, `msg`, `process`, the context's fields, then the line's own.
 * `error` means that somebody should look; an exception goes into the field `error`.
 */
export type Logger = {
  error(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  debug(msg: string, fields?: LogFields): void;
  log(level: LogLevel, msg: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
  /** Resolves when what was logged has been handed to the stream. */
  flush(): Promise<void>;
};

export type LoggerInput = {
  process: string;
  level?: LogLevel | 'silent' | undefined;
  /** Secret values in use now; `settings.meta.secretValues`. */
  redact?: (() => Iterable<string>) | undefined;
  /** Where lines go; stdout when absent. */
  stream?: NodeJS.WritableStream | undefined;
};

export function createLogger(input: LoggerInput): Logger {
  const redact = createRedactor(input.redact);
  const stream = input.stream ?? process.stdout;
  const winston = createWinston({
    level: input.level === 'silent' ? 'error' : (input.level ?? 'info'),
    silent: input.level === 'silent',
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: format.printf((info) => info.line as string),
    transports: [new transports.Stream({ stream, eol: '\n' })],
    exitOnError: false,
  });

  function prepare(msg: string, bound: LogFields, fields: LogFields): LogFields {
    try {
      return redact({ ...bound, ...currentLogContext(), ...fields, msg }) as LogFields;
    } catch {
      // A getter that throws, a revoked proxy: the line matters more than its fields.
      return redact({ ...bound, ...currentLogContext(), msg, fields: '(could not be shown)' }) as LogFields;
    }
  }

  function make(bound: LogFields): Logger {
    function log(level: LogLevel, msg: string, fields: LogFields = {}): void {
      if (!winston.isLevelEnabled(level) || winston.silent) return;
      const safe = prepare(msg, bound, fields);
      const { time: _time, level: _level, msg: safeMsg, ...rest } = safe;
      const line = JSON.stringify({ time: new Date().toISOString(), level, msg: safeMsg, ...rest });
      winston.log({ level, message: '', line });
      if (level === 'error') {
        const { error, ...others } = rest as { error?: LoggedError['error'] };
        tellLoggedError({ msg: String(safeMsg), error, fields: others });
      }
    }
    return {
      log,
      error: (msg, fields) => log('error', msg, fields),
      warn: (msg, fields) => log('warn', msg, fields),
      info: (msg, fields) => log('info', msg, fields),
      debug: (msg, fields) => log('debug', msg, fields),
      child: (fields) => make({ ...bound, ...fields }),
      flush: () =>
        new Promise((resolve) => {
          stream.write('', () => resolve());
        }),
    };
  }
  return make({ process: input.process });
}

/** A logger that says nothing, for tests. */
export function silentLogger(): Logger {
  return createLogger({ process: 'test', level: 'silent' });
}
