import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export const ROOT = path.resolve(import.meta.dirname, '../..');

/** The part of a service that compose.yaml uses, with variables put in and YAML's merges done. */
export interface Service {
  image: string;
  build?: { context: string; args: Record<string, string> };
  user: string;
  entrypoint?: string[];
  command?: string[];
  environment: Record<string, string>;
  volumes: string[];
  tmpfs: string[];
  networks: string[];
  ports: string[];
  profiles: string[];
  restart?: string;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
}

export interface Composition {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
  networks: Record<string, { internal?: boolean } | null>;
}

/** Reads compose.yaml as `docker compose` does with these variables. */
export function readComposition(variables: Record<string, string> = {}): Composition {
  const text = readFileSync(path.join(ROOT, 'compose.yaml'), 'utf8');
  const document = interpolate(parse(text, { merge: true }), variables) as Composition;
  for (const service of Object.values(document.services)) {
    for (const key of ['volumes', 'tmpfs', 'networks', 'ports', 'profiles'] as const) service[key] ??= [];
    service.environment ??= {};
  }
  return document;
}

function interpolate(value: unknown, variables: Record<string, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => interpolate(item, variables));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, interpolate(item, variables)]));
  }
  if (typeof value !== 'string') return value;
  return value.replace(/\$\$|\$\{(\w+)(?::-([^}]*))?\}/g, (match, name?: string, fallback?: string) =>
    match === '$$' ? '$' : (variables[name ?? ''] ?? fallback ?? ''),
  );
}

/** `volume:/path[:ro]`, split. */
export function mounts(service: Service): { volume: string; target: string; readOnly: boolean }[] {
  return service.volumes.map((text) => {
    const [volume = '', target = '', mode] = text.split(':');
    return { volume, target, readOnly: mode === 'ro' };
  });
}

/** `127.0.0.1:host:container`, split. */
export function published(service: Service): { address: string; host: number; container: number }[] {
  return service.ports.map((text) => {
    const [address = '', host, container] = text.split(':');
    return { address, host: Number(host), container: Number(container) };
  });
}

/** Names of other services that stand as hosts in a text, with the port; no user with a password that begins with a digit. */
const HOSTS = /(?<=\/\/|@)([a-z][a-z-]*):(\d+)(?![\w@])/g;

/**
 * The composition on this machine without an engine: volumes are folders below `folder`, services listen on loopback
 * ports. `ports` gives the host's port of a service's port; it is asked for the service's own ports too.
 */
export function onLoopback(
  composition: Composition,
  folder: string,
  ports: (service: string, port: number) => number,
): (name: string, text: string) => string {
  return (name, text) => {
    const service = composition.services[name];
    if (!service) throw new Error(`compose.yaml has no service ${name}`);
    const paths = [
      ...mounts(service).map(({ volume, target }) => [target, path.join(folder, 'volumes', volume)] as const),
      ...service.tmpfs.map((entry) => {
        const target = entry.split(':')[0] ?? '';
        return [target, path.join(folder, 'tmpfs', name, target)] as const;
      }),
    ];
    const moved = paths.reduce((result, [target, place]) => result.replaceAll(target, place), text);
    return moved
      .replace(HOSTS, (match, host: string, port: string) => {
        const other = composition.services[host];
        if (!other) return match;
        if (!other.networks.some((network) => service.networks.includes(network))) {
          throw new Error(`${name} names ${host}, and shares no network with it`);
        }
        return `127.0.0.1:${ports(host, Number(port))}`;
      })
      .replace(/127\.0\.0\.1:(9090|3900)\//g, (_, port: string) => `127.0.0.1:${ports(name, Number(port))}/`);
  };
}
