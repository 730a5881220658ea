import assert from 'node:assert/strict';
import { parsePolicies } from '#domain/secrets/index.ts';
import { SPEC } from '#platform/config/index.ts';
import { type KubeObject, named, pods, render, SCENARIOS } from './support/helm.ts';

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

    it('has what a rotation changes in that Secret alone, and nothing else in it where there is a second one', () => {
      const result = parsePolicies(named(objects, 'ConfigMap', 'klar-rotation').data?.['rotation.yaml'] ?? '', SECRETS);
      assert.ok(result.ok);
      const [container] = named(objects, 'Deployment', 'klar-controller').spec.template.spec.containers;
      const main = container.env.find((one: { name: string }) => one.name === 'KLAR_SECRET_NAME').value;
      const second = main === 'klar-generated' ? 'klar-generated-fixed' : main;
      let compared = 0;
      for (const { spec } of pods(objects)) {
        for (const volume of spec.volumes ?? []) {
          for (const { secret } of volume.projected?.sources ?? []) {
            if (secret?.name !== main && secret?.name !== second) continue;
            for (const { key } of secret.items as { key: string }[]) {
              const name = key.split('.')[0] ?? '';
              const kind: string | undefined = result.policies.get(name)?.kind;
              const rotates: boolean = kind !== undefined && kind !== 'manual';
              assert.equal(secret.name, rotates ? main : second, key);
              compared += 1;
            }
          }
        }
      }
      assert.ok(compared > 20, `${compared} keys`);
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
  it('makes two Secrets in the demo, and takes two where the values name a second one', () => {
    const demo = render('demo', { pgbouncer: { enabled: true, image: 'pgbouncer' } });
    const keys = (name: string) => Object.keys(named(demo, 'Secret', name).data ?? {});
    for (const key of ['DATABASE_URL_MIGRATOR', 'AUTH_SECRET', 'STRIPE_SECRET_KEY', 'SMTP_URL', 'userlist.txt']) {
      assert.ok(keys('klar-generated-fixed').includes(key) && !keys('klar-generated').includes(key), key);
    }
    for (const key of ['DATABASE_URL_API', 'ADMIN_TOKEN', 'AUTH_JWT_KEY']) {
      assert.ok(keys('klar-generated').includes(key), key);
    }
    const two = render('production-small', { secrets: { fixedSecret: 'klar-fixed' } });
    assert.deepEqual(rulesOf(two)[0]?.resourceNames, ['klar-secrets']);
    const { volumes } = named(two, 'Deployment', 'klar-api').spec.template.spec;
    const { sources } = volumes.find((volume: { name: string }) => volume.name === 'secrets').projected;
    const names = sources.map((one: { secret: { name: string } }) => one.secret.name);
    assert.deepEqual(names.sort(), ['klar-fixed', 'klar-secrets']);
  });

  it('lets the controller try what it makes: at PgBouncer, at the sandbox, in LiveKit’s key file', () => {
    const pgbouncer = { enabled: true, image: 'pgbouncer' };
    const rotation = { livekitKeyClaim: 'livekit-keys' };
    const on = render('demo', { pgbouncer, controller: { rotation } });
    const off = render('demo', { pgbouncer, controller: { rotation: { ...rotation, enabled: false } } });
    type Peer = { podSelector?: { matchLabels: Record<string, string> } };
    const meets = (objects: KubeObject[], from: string, to: string, port: number) => {
      const component = (peer: Peer) => peer.podSelector?.matchLabels['app.kubernetes.io/component'];
      const allows = (rules: { to?: Peer[]; from?: Peer[]; ports: { port: number }[] }[], other: string) =>
        (rules ?? []).some(
          (rule) =>
            (rule.to ?? rule.from ?? []).some((peer) => component(peer) === other) &&
            rule.ports.some((one) => one.port === port),
        );
      const policy = (name: string) => named(objects, 'NetworkPolicy', `klar-${name}`).spec;
      return [allows(policy(from).egress, to), allows(policy(to).ingress, from)];
    };
    for (const [to, port] of [
      ['pgbouncer', 6432],
      ['sandbox', 3900],
    ] as const) {
      assert.deepEqual(meets(on, 'controller', to, port), [true, true], to);
      assert.deepEqual(meets(off, 'controller', to, port), [false, false], to);
    }
    const controller = (objects: KubeObject[]) => JSON.stringify(named(objects, 'Deployment', 'klar-controller').spec);
    assert.match(controller(on), /"LIVEKIT_KEY_FILE","value":"\/etc\/klar\/livekit\/keys.yaml"/);
    assert.match(controller(on), /"persistentVolumeClaim":\{"claimName":"livekit-keys"\}/);
    assert.match(controller(on), /\{"name":"livekit-keys","mountPath":"\/etc\/klar\/livekit"\}/);
    assert.doesNotMatch(controller(off), /livekit-keys/);
  });

  it('switched off, leaves the controller without a right to any Secret', () => {
    const objects = render('demo', { controller: { rotation: { enabled: false } } });
    assert.deepEqual(rulesOf(objects), []);
  });
});
