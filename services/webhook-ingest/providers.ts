import type { Provider } from './verify/provider.ts';
import { stripe } from './verify/stripe.ts';

/** The one table of providers. A row here and its secret in `main.ts` is all that a new provider needs. */
export const PROVIDERS: readonly Provider[] = [stripe];

const byPath = new Map(PROVIDERS.map((provider) => [provider.path, provider]));

/** The provider whose webhooks arrive at this path. */
export const providerAt = (path: string): Provider | undefined => byPath.get(path);
