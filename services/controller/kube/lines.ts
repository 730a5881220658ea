/** etcd holds 1.5 MiB an object; JSON escapes it to at most six times that. More is not a watch. */
const LINE_MAX = 9 * 1024 * 1024;

/**
 * Splits a stream of text into lines. What follows the last line break is not a line: a stream that breaks off within
 * an event must not give half of it.
 */
export function createLineSplitter(onLine: (line: string) => void, max = LINE_MAX): (chunk: string) => void {
  let parts: string[] = [];
  let held = 0;
  return (chunk) => {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', from)) {
      parts.push(chunk.slice(from, end));
      const line = parts.join('');
      parts = [];
      held = 0;
      from = end + 1;
      if (line !== '') onLine(line);
    }
    held += chunk.length - from;
    if (held > max) throw new Error(`a line of a watch is longer than ${max} characters`);
    if (from < chunk.length) parts.push(chunk.slice(from));
  };
}
