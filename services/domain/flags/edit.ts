import { parseDocument as parseYaml, stringify } from 'yaml';
import type { LiveFlags } from './envelope.ts';

/** YAML is for people; above this size the document's parser takes JSON only. */
const YAML_MAX = 30 * 1024;

/** A live set as a document that people go on with: the key of the source ConfigMap, and the text. */
export function readableDocument({ version, document }: LiveFlags): { key: 'flags.yaml' | 'flags.json'; text: string } {
  const yaml = `# Made again from version ${version}, which was live.\n${stringify(JSON.parse(document), { aliasDuplicateObjects: false })}...\n`;
  return Buffer.byteLength(yaml) <= YAML_MAX
    ? { key: 'flags.yaml', text: yaml }
    : { key: 'flags.json', text: document };
}

export type Turn = {
  flag: string;
  variant: string;
  /** Takes the targeting away, so that nobody is left out. */
  everybody: boolean;
};

/**
 * The document with one flag turned: its default variant, and ENABLED. Comments and the order of a YAML document stay.
 * The text must be one that `compileFlags` takes and has this flag.
 */
export function turnFlag(text: string, { flag, variant, everybody }: Turn): string {
  if (text.trimStart().startsWith('{')) {
    const document = JSON.parse(text) as { flags: Record<string, Record<string, unknown>> };
    const turned = document.flags[flag] as Record<string, unknown>;
    turned.defaultVariant = variant;
    turned.state = 'ENABLED';
    if (everybody) delete turned.targeting;
    return `${JSON.stringify(document, null, 2)}\n`;
  }
  const document = parseYaml(text);
  document.setIn(['flags', flag, 'defaultVariant'], variant);
  document.setIn(['flags', flag, 'state'], 'ENABLED');
  if (everybody) document.deleteIn(['flags', flag, 'targeting']);
  const written = document.toString({ lineWidth: 0 });
  return /^\.\.\.\s*$/m.test(written) ? written : `${written.trimEnd()}\n...\n`;
}
