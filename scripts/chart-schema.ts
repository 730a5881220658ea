import { type ChartSetting, chartSettings } from './chart-settings.ts';

export type Schema = Record<string, unknown>;

/** An object that takes these names and no other. The list is in the message when another one is written. */
export function object(properties: Record<string, Schema>, more: Schema = {}): Schema {
  return {
    type: 'object',
    additionalProperties: false,
    properties,
    propertyNames: { enum: Object.keys(properties) },
    ...more,
  };
}

export const text: Schema = { type: 'string' };
export const flag: Schema = { type: 'boolean' };
export const list = (items: Schema): Schema => ({ type: 'array', items });
export const integer = (minimum: number, maximum?: number): Schema => ({
  type: 'integer',
  minimum,
  ...(maximum === undefined ? {} : { maximum }),
});
export const like = (pattern: string, more: Schema = {}): Schema => ({ type: 'string', pattern, ...more });
export const oneOf = (...values: string[]): Schema => ({ type: 'string', enum: values });
/** Names are given by whoever runs the cluster. */
export const labels: Schema = { type: 'object', additionalProperties: text };
/** What Kubernetes itself checks, and what grows with its versions. */
export const affinity: Schema = { type: 'object' };

export const name = like('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$', { maxLength: 253 });
export const nameOrNone = like('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$', { maxLength: 253 });
export const secretKey = like('^[A-Za-z0-9._-]+$');
export const hostName = like('^(\\*\\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$', {
  maxLength: 253,
});
export const quantity: Schema = {
  type: ['string', 'number'],
  pattern: '^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$',
};
export const size = like('^[1-9][0-9]*(\\.[0-9]+)?(Mi|Gi|Ti|M|G|T)$');
const amounts = object({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity });
export const resources = object({ requests: amounts, limits: amounts });
export const tolerations = list(
  object({
    key: text,
    operator: oneOf('Exists', 'Equal'),
    value: text,
    effect: oneOf('NoSchedule', 'PreferNoSchedule', 'NoExecute'),
    tolerationSeconds: integer(0),
  }),
);

const ADDRESS = '[0-9a-fA-F:.]+(/[0-9]{1,3})?';
const ORIGIN = '\\*|https?://[^/@\\s,*]+';

/** A setting as YAML writes it: lists are lists and numbers are numbers; the templates make the text of them. */
function settingSchema({ row }: ChartSetting): Schema {
  const description = row.description;
  if (row.secret) return { ...text, description: `Secret, refused here: ${description}` };
  const facts = row as unknown as { type: string; min?: number; max?: number; schemes?: readonly string[] };
  const shape = (): Schema => {
    switch (facts.type) {
      case 'port':
        return integer(0, 65_535);
      case 'integer':
        return integer(facts.min ?? 0, facts.max);
      case 'true|false':
        return flag;
      case 'origins':
        return list(like(`^(${ORIGIN})$`));
      case 'networks':
        return list(like(`^${ADDRESS}$`));
      case 'json':
        return list(
          object(
            {
              issuer: like('^https?://[^@\\s]+$'),
              audience: { type: ['string', 'array'], items: text },
              jwks_uri: like('^https?://[^@\\s]+$'),
              algorithms: list(text),
            },
            { required: ['issuer', 'audience'] },
          ),
        );
      case 'url':
        // No name and password: a setting is readable to everybody who may read a ConfigMap.
        return like(`^(${(facts.schemes ?? ['https?']).join('|')})://[^@\\s]+$`);
      case 'text':
        return like('\\S');
      default:
        return oneOf(...facts.type.split('|'));
    }
  };
  return { ...shape(), description };
}

/** `config`: every setting that is no secret. Secrets have a place too, so that the template can say where they belong. */
export function configSchema(): Schema {
  const known = chartSettings('config').map((setting) => [setting.name, settingSchema(setting)] as const);
  const secrets = chartSettings('secrets').map((setting) => [setting.name, settingSchema(setting)] as const);
  return object(Object.fromEntries([...known, ...secrets]), {
    propertyNames: { enum: known.map(([key]) => key).concat(secrets.map(([key]) => key)) },
  });
}

/** Secret settings by name, each with this schema. */
export function bySecret(schema: Schema): Schema {
  return object(Object.fromEntries(chartSettings('secrets').map((setting) => [setting.name, schema])));
}
