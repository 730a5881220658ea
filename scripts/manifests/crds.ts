import { readFileSync } from 'node:fs';
import path from 'node:path';
import { goModule } from './modules.ts';

/** Where the kinds come from that are not Kubernetes' own: the modules of their operators, not copies in this repository. */
interface Source {
  module: string;
  version: string;
  folder: string;
  files: readonly string[];
}

const SOURCES: readonly Source[] = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    folder: 'example/prometheus-operator-crd',
    files: ['alertmanagers', 'podmonitors', 'prometheuses', 'prometheusrules', 'servicemonitors'].map(
      (kind) => `monitoring.coreos.com_${kind}.yaml`,
    ),
  },
  {
    module: 'github.com/external-secrets/external-secrets',
    version: 'v1.3.2',
    folder: 'config/crds/bases',
    files: ['clustersecretstores', 'externalsecrets', 'secretstores'].map((kind) => `external-secrets.io_${kind}.yaml`),
  },
  {
    module: 'github.com/kedacore/keda/v2',
    version: 'v2.21.0',
    folder: 'config/crd/bases',
    files: ['scaledobjects', 'triggerauthentications'].map((kind) => `keda.sh_${kind}.yaml`),
  },
  {
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.4.1',
    folder: 'config/crd/standard',
    files: ['gatewayclasses', 'gateways', 'httproutes', 'referencegrants'].map(
      (kind) => `gateway.networking.k8s.io_${kind}.yaml`,
    ),
  },
  {
    module: 'github.com/cloudnative-pg/cloudnative-pg',
    version: 'v1.28.0',
    folder: 'config/crd/bases',
    files: ['backups', 'clusters', 'databases', 'poolers', 'scheduledbackups'].map(
      (kind) => `postgresql.cnpg.io_${kind}.yaml`,
    ),
  },
];

/** The text of each CustomResourceDefinition, by its file name. */
export function readCrds(): Map<string, string> {
  const files = SOURCES.flatMap(({ module, version, folder, files }) => {
    const place = path.join(goModule(module, version), folder);
    return files.map((file) => [file, readFileSync(path.join(place, file), 'utf8')] as const);
  });
  return new Map(files);
}

/** `module version` of every source, for documents and messages. */
export const crdSources = (): string[] => SOURCES.map(({ module, version }) => `${module} ${version}`);
