import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { crdSources, readCrds } from './manifests/crds.ts';
import { renderRules } from './manifests/render.ts';
import { writeSchemas } from './manifests/schemas.ts';

const HELP = `Usage: npm run manifests -- crds [--apply] [--out FOLDER]
       npm run manifests -- schemas --out FOLDER
       npm run -s manifests -- rules [--values FILE]

What \`npm run test:manifests\` compares the chart and k8s/ with, and what is made from the chart.

  crds           the CustomResourceDefinitions of the optional objects, from the Go modules of their operators:
${crdSources()
  .map((source) => `                 ${source}`)
  .join('\n')}
    --apply      into the cluster that KUBECONFIG names
  schemas        JSON schemas for kubeconform, of Kubernetes' own kinds and of those above
  rules          the chart's alerts for a Prometheus without its operator, with the values of an installation

  --out FOLDER   where the files go
  --help         this text
`;

const { values: options, positionals } = parseArgs({
  options: {
    apply: { type: 'boolean', default: false },
    out: { type: 'string' },
    values: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
  allowPositionals: true,
});

async function crds(): Promise<number> {
  const found = readCrds();
  if (options.out) {
    await mkdir(options.out, { recursive: true });
    for (const [file, text] of found) await writeFile(path.join(options.out, file), text);
    process.stdout.write(`${found.size} files in ${options.out}\n`);
  }
  if (options.apply) {
    // Server-side: the larger ones do not fit into the annotation that a plain apply leaves.
    const args = ['apply', '--server-side', '--force-conflicts', '--filename=-'];
    const input = [...found.values()].join('\n---\n');
    execFileSync('kubectl', args, { input, stdio: ['pipe', 'inherit', 'inherit'] });
    execFileSync('kubectl', ['wait', '--for=condition=Established', '--timeout=60s', '--filename=-'], {
      input,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
  }
  if (!options.out && !options.apply) process.stdout.write([...found.values()].join('\n---\n'));
  return 0;
}

async function main(): Promise<number> {
  const [command] = positionals;
  if (options.help || !['crds', 'schemas', 'rules'].includes(command ?? '')) {
    process.stdout.write(HELP);
    return options.help ? 0 : 2;
  }
  if (command === 'crds') return crds();
  if (command === 'rules') {
    process.stdout.write(renderRules(options.values));
    return 0;
  }
  if (!options.out) throw new Error('schemas needs --out FOLDER');
  process.stdout.write(`${await writeSchemas(options.out)} schemas in ${options.out}\n`);
  return 0;
}

process.exitCode = await main();
