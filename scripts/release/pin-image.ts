import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const HELP = `Usage: node scripts/release/pin-image.ts --values FILE --repository NAME --digest sha256:...

Writes an image into the values of a chart before it is packaged: the released chart names the released image. Comments
and everything else stay as they are.
`;

/** The value of `  <key>:` in the block `image:`; a file that has it elsewhere is refused rather than guessed at. */
function set(text: string, key: string, value: string): string {
  const place = new RegExp(`(^image:\\n(?:  .*\\n|\\n)*?  ${key}:) ''$`, 'm');
  if (!place.test(text)) throw new Error(`image.${key} is not there, or not empty`);
  return text.replace(place, `$1 ${value}`);
}

const { values } = parseArgs({
  options: {
    values: { type: 'string' },
    repository: { type: 'string' },
    digest: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});

if (values.help || !values.values || !values.repository || !/^sha256:[0-9a-f]{64}$/.test(values.digest ?? '')) {
  process.stdout.write(HELP);
  process.exitCode = values.help ? 0 : 2;
} else {
  const text = readFileSync(values.values, 'utf8');
  const pinned = set(set(text, 'repository', values.repository), 'digest', values.digest ?? '');
  writeFileSync(values.values, pinned);
  process.stdout.write(`${values.values}: ${values.repository}@${values.digest}\n`);
}
