import assert from 'node:assert/strict';
import { parsePolicies } from '#domain/secrets/index.ts';
import { SPEC } from '#platform/config/index.ts';
import { type KubeObject, named, render, SCENARIOS } from './support/helm.ts';

type Rule = { resources: string[]; verbs: string[]; resourceNames?: string[] };
const rulesOf = (objects: KubeObject[]) =>
  objects
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap((role) => (role as unknown as { rules: Rule[] }).rules)
    .filter(({ resources }) => resources.includes('secrets'));
const SECRETS = Object.entries(SPEC).flatMap(([name, row]) => (row.secret ? [name] : []));

for (const scenario of SCENARIOS) {
  describe(`rotation in the chart with ${scenario}-values.yaml`, () => {
    const objects = render(scenario);

    it('has a policy for every secret that there may be, and they are taken', () => {
      const document = named(objects, 'ConfigMap', 'klar-rotation').data?.['rotation.yaml'] ?? '';
      const result = parsePolicies(document, SECRETS);
      assert.ok(result.ok, JSON.stringify(result));
      assert.equal(result.policies.get('AUTH_JWT_KEY')?.kind, 'jwt-key');
      assert.equal(result.policies.get('DATABASE_URL_MIGRATOR')?.kind, 'manual');
    });

    it('lets the controller read and patch one Secret, by name, and no other', () => {
      const rules = rulesOf(objects);
      assert.equal(rules.length, 1);
      assert.deepEqual(rules[0]?.verbs, ['get', 'patch']);
      const [container] = named(objects, 'Deployment', 'klar-controller').spec.template.spec.containers;
      const name = container.env.find((one: { name: string }) => one.name === 'KLAR_SECRET_NAME').value;
      assert.deepEqual(rules[0]?.resourceNames, [name]);
    });

    it('mounts names of generations beside the values, and nothing that waits or is retired', () => {
      const { volumes } = named(objects, 'Deployment', 'klar-api').spec.template.spec;
      const secrets = volumes.find((volume: { name: string }) => volume.name === 'secrets').projected.sources;
      const paths = secrets.flatMap((source: { secret: { items: { key: string; path: string }[] } }) =>
        source.secret.items.map(({ path }) => path),
      );
      assert.ok(paths.includes('AUTH_JWT_KEY/previous_generation'));
      assert.ok(!paths.some((path: string) => /next|retired/.test(path)));
    });
  });
}

describe('rotation in the chart', () => {
  it('switched off, leaves the controller without a right to any Secret', () => {
    const objects = render('demo', { controller: { rotation: { enabled: false } } });
    assert.deepEqual(rulesOf(objects), []);
  });
});
