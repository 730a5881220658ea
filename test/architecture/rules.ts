import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';

/** A source file: its path from the repository root, and its text. */
export type Source = { readonly path: string; readonly text: string };

/** One breach of an import rule, ready to print. */
export type Violation = { readonly path: string; readonly rule: string; readonly detail: string };

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Every TypeScript file below `root/services`. */
export function readSources(root: string): Source[] {
  return readdirSync(join(root, 'services'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const path = join('services', name).split(sep).join('/');
      return { path, text: readFileSync(join(root, path), 'utf8') };
    });
}

/** What a file imports, relative ones resolved to a path from the repository root. */
export function importsOf(source: Source): string[] {
  const found = [...source.text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? '');
  return found.map((specifier) => {
    if (specifier.startsWith('.')) return posix.join(dirname(source.path).split(sep).join('/'), specifier);
    if (specifier.startsWith('#platform/')) return `services/platform/${specifier.slice('#platform/'.length)}`;
    if (specifier.startsWith('#domain/')) return `services/domain/${specifier.slice('#domain/'.length)}`;
    return specifier;
  });
}

const part = (path: string, index: number) => path.split('/')[index] ?? '';
const isLocal = (path: string) => path.startsWith('services/');
/** `platform`, or `domain/<module>`, or the process's folder. */
const area = (path: string) => (part(path, 1) === 'domain' ? `domain/${part(path, 2)}` : part(path, 1));
const isPackage = (specifier: string, name: string) => specifier === name || specifier.startsWith(`${name}/`);

type Rule = (path: string, target: string) => string | undefined;

/** Who may import what (design section 3). Each rule answers with the breach it sees, or nothing. */
const RULES: Record<string, Rule> = {
  'platform knows no domain and no process': (path, target) =>
    area(path) === 'platform' && isLocal(target) && area(target) !== 'platform' ? target : undefined,
  'a module is entered through its index.ts': (path, target) =>
    isLocal(target) &&
    area(target).startsWith('domain/') &&
    area(path) !== area(target) &&
    !target.endsWith('/index.ts')
      ? target
      : undefined,
  'domain imports platform and domain only': (path, target) =>
    area(path).startsWith('domain/') && isLocal(target) && !/^(platform|domain\/)/.test(area(target))
      ? target
      : undefined,
  'a process never imports another process': (path, target) => {
    const from = area(path);
    if (from === 'platform' || from.startsWith('domain/') || from === 'all-in-one' || !isLocal(target))
      return undefined;
    return /^(platform|domain\/)/.test(area(target)) || area(target) === from ? undefined : target;
  },
  "the controller's kube/ knows no domain": (path, target) =>
    path.startsWith('services/controller/kube/') &&
    isLocal(target) &&
    !/^services\/(controller\/kube|platform)\//.test(target)
      ? target
      : undefined,
  'express only in platform/http and an app.ts': (path, target) =>
    (isPackage(target, 'express') || isPackage(target, 'helmet') || isPackage(target, 'express-rate-limit')) &&
    !path.startsWith('services/platform/http/') &&
    !/(^|[/-])app\.ts$/.test(path)
      ? target
      : undefined,
  'pg only in platform/db': (path, target) =>
    isPackage(target, 'pg') && !path.startsWith('services/platform/db/') ? target : undefined,
};

/** Every breach of the import rules, cycles between modules included. */
export function importViolations(sources: readonly Source[]): Violation[] {
  const violations: Violation[] = [];
  const edges = new Map<string, Set<string>>();
  for (const source of sources) {
    for (const target of importsOf(source)) {
      for (const [rule, check] of Object.entries(RULES)) {
        const detail = check(source.path, target);
        if (detail) violations.push({ path: source.path, rule, detail });
      }
      if (
        area(source.path).startsWith('domain/') &&
        area(target).startsWith('domain/') &&
        area(source.path) !== area(target)
      ) {
        edges.set(area(source.path), (edges.get(area(source.path)) ?? new Set()).add(area(target)));
      }
    }
  }
  return [...violations, ...cycles(edges)];
}

function cycles(edges: Map<string, Set<string>>): Violation[] {
  const found: Violation[] = [];
  const visit = (node: string, trail: string[]) => {
    if (trail.includes(node)) {
      const loop = [...trail.slice(trail.indexOf(node)), node];
      // One report a cycle: the one that starts at its smallest name.
      if (loop[0] === [...loop].sort()[0]) {
        found.push({ path: node, rule: 'domain modules have no cycles', detail: loop.join(' -> ') });
      }
      return;
    }
    for (const next of edges.get(node) ?? []) visit(next, [...trail, node]);
  };
  for (const node of edges.keys()) visit(node, []);
  return found;
}

/** Rules about the text of a file rather than about its imports. */
export function textViolations(sources: readonly Source[]): Violation[] {
  const violations: Violation[] = [];
  for (const { path, text } of sources) {
    const add = (rule: string, detail: string) => violations.push({ path, rule, detail });
    if (/\bprocess\.env\b/.test(text) && !path.startsWith('services/platform/config/')) {
      add('process.env is read only in platform/config', 'process.env');
    }
    const name = posix.basename(path, '.ts');
    if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?$/.test(name)) add('files are kebab-case', name);
    if (/^export default\b/m.test(text)) add('no default exports', 'export default');
    if (/^\s*(export\s+)?(const\s+)?enum\s/m.test(text)) add('no enums', 'enum');
    const isStore = path.endsWith('/store.ts') || /\/store\/[^/]+\.ts$/.test(path);
    if (path.startsWith('services/domain/') && !isStore && /\bstatement(<[^(]*>)?\(/.test(text)) {
      add('SQL of a module lives in its store.ts', 'statement(');
    }
  }
  return violations;
}

/** Tables that more than one module's store names (design section 3: every table is named in exactly one store). */
export function tableViolations(sources: readonly Source[]): Violation[] {
  const owners = new Map<string, Set<string>>();
  for (const { path, text } of sources) {
    if (!path.startsWith('services/domain/') || !/\/store(\/|\.ts)/.test(path)) continue;
    for (const match of text.matchAll(
      /\b(?:from|join|into|update|delete from)\s+((?:app|inbox|routing|ops|auth)\.[a-z_]+)\b(?!\s*\()/gi,
    )) {
      const table = (match[1] ?? '').toLowerCase();
      owners.set(table, (owners.get(table) ?? new Set()).add(area(path)));
    }
  }
  return [...owners]
    .filter(([, modules]) => modules.size > 1)
    .map(([table, modules]) => ({
      path: table,
      rule: 'a table is named by one module only',
      detail: [...modules].sort().join(', '),
    }));
}

/** Path of a file from the repository root, for messages. */
export const fromRoot = (root: string, path: string) => relative(root, path);
