export { type PersonPrincipal, probeToken } from './access-token.ts';
export { EMAIL_PATTERN } from './email.ts';
export { createIdentity, type Identity, type IdentityInput, type Person } from './identity.ts';
export type { Client, TokenPair } from './kernel.ts';
export { MAX_PASSWORD, MIN_PASSWORD, PASSWORD_PATTERN } from './password.ts';
export type { RegisteredPerson, RegisterInput } from './registration.ts';
export type { SecondFactorSetup } from './second-factor.ts';
export type { SessionView } from './sessions.ts';
