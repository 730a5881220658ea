import { createWriteStream } from 'node:fs';
import { Writable } from 'node:stream';

/**
 * Where log lines go: always into the file, and on stdout too where no person sits in front of it (a container, CI),
 * as JSON lines would bury the card that a person reads. Warnings and errors reach the person in one short line.
 */
export function createLogOutput(
  file: string,
  terminal: NodeJS.WriteStream,
): { stream: Writable; close(): Promise<void> } {
  const disk = createWriteStream(file, { flags: 'a', mode: 0o600 });
  disk.on('error', () => {}); // a full disk must not end the process that could still answer
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      const text = chunk.toString();
      if (!disk.destroyed) disk.write(text);
      if (!terminal.isTTY) terminal.write(text);
      else if (text.includes('"level":"error"') || text.includes('"level":"warn"')) terminal.write(short(text));
      done();
    },
  });
  return { stream, close: () => new Promise((resolve) => disk.end(() => resolve())) };
}

function short(line: string): string {
  try {
    const { level, process, msg, error } = JSON.parse(line);
    return `  ${level} ${process}: ${msg}${error?.message ? ` (${error.message})` : ''}\n`;
  } catch {
    return line;
  }
}
