import { z } from 'zod';
import type { Client, TokenPair } from '#domain/identity/index.ts';
import { type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import {
  emailField as email,
  nameField,
  newPasswordField as newPassword,
  passwordField as password,
} from '../fields.ts';
import { personalRoutes } from './identity-personal.ts';

const code = text({ min: 6, max: 16 });

const tokens = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  /** Seconds. */
  expires_in: z.number().int(),
  refresh_token: z.string(),
});

/** RFC 6749 section 5.1: an answer with tokens is kept by no cache. */
const tokenAnswer = (pair: TokenPair) => ({
  status: 200 as const,
  headers: { 'Cache-Control': 'no-store' },
  body: {
    access_token: pair.accessToken,
    token_type: 'Bearer' as const,
    expires_in: pair.expiresIn,
    refresh_token: pair.refreshToken,
  },
});

export const clientOf = (input: { ip: string; headers: { 'user-agent'?: string | undefined } }): Client => ({
  ip: input.ip,
  userAgent: input.headers['user-agent'] ?? '',
});

const LOGIN_ERRORS = [
  'invalid_credentials',
  'second_factor_required',
  'invalid_code',
  'login_locked',
  'second_factor_locked',
  'login_busy',
];

/** Registration, login and everything a person does with their account. */
export function identityRoutes(deps: ApiDeps): Route[] {
  const { identity } = deps;
  return [
    route({
      id: 'identity.register',
      method: 'POST',
      path: '/api/auth/register',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Registers a person and mails a link that verifies the address',
      audit: 'people.register',
      body: z.object({ email, password: newPassword, name: nameField }),
      responses: { 201: z.object({ user: z.object({ id: z.string(), email: z.string(), name: z.string() }) }) },
      errors: ['email_taken', 'invalid_email', 'weak_password', 'login_busy'],
      handle: async ({ body, signal }) => ({
        status: 201,
        body: { user: await identity.register({ ...body, signal }) },
      }),
    }),
    route({
      id: 'identity.login',
      method: 'POST',
      path: '/api/auth/login',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Logs in with e-mail and password',
      description:
        'With a second factor on and no `code`, the answer is 401 `second_factor_required` with a `challenge` for ' +
        '`POST /api/auth/login/second-factor`.',
      audit: 'sessions.login',
      body: z.object({ email, password, code: code.optional() }),
      responses: { 200: tokens },
      errors: LOGIN_ERRORS,
      handle: async ({ body, signal, ip, headers }) =>
        tokenAnswer(await identity.login({ ...body, client: clientOf({ ip, headers }), signal })),
    }),
    route({
      id: 'identity.login_second_factor',
      method: 'POST',
      path: '/api/auth/login/second-factor',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Finishes a login with a code of the authenticator or a backup code',
      audit: 'sessions.login',
      body: z.object({ challenge: text({ max: 512 }), code }),
      responses: { 200: tokens },
      errors: LOGIN_ERRORS,
      handle: async ({ body, signal, ip, headers }) =>
        tokenAnswer(await identity.loginSecondFactor({ ...body, client: clientOf({ ip, headers }), signal })),
    }),
    route({
      id: 'identity.refresh',
      method: 'POST',
      path: '/api/auth/refresh',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Exchanges a refresh token for a new pair',
      description:
        'Each refresh token works once. The previous one works once more within 30 s and gives the same next token; ' +
        'used again later it ends the session.',
      audit: null,
      auditReason: 'A refresh changes nothing anybody has to know of; a reused token is recorded as sessions.reuse.',
      body: z.object({ refresh_token: text({ max: 256 }) }),
      responses: { 200: tokens },
      errors: ['invalid_refresh_token', 'session_expired', 'refresh_token_superseded', 'refresh_token_reused'],
      handle: async ({ body, signal, ip, headers }) =>
        tokenAnswer(
          await identity.refresh({ refreshToken: body.refresh_token, client: clientOf({ ip, headers }), signal }),
        ),
    }),
    route({
      id: 'identity.verify_email',
      method: 'POST',
      path: '/api/auth/verify-email',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Verifies an address with the token of the mail',
      audit: 'people.verify_email',
      body: z.object({ token: text({ max: 1024 }) }),
      responses: { 204: null },
      errors: ['link_invalid'],
      handle: async ({ body }) => {
        await identity.verifyEmail(body.token);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.forgot_password',
      method: 'POST',
      path: '/api/auth/password/forgot',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Asks for a mail with a link that sets a new password',
      description: 'The same answer whether or not the address has an account.',
      audit: 'people.request_password_reset',
      body: z.object({ email }),
      responses: { 202: z.object({ accepted: z.literal(true) }) },
      handle: async ({ body }) => {
        await identity.forgotPassword(body.email);
        return { status: 202, body: { accepted: true as const } };
      },
    }),
    route({
      id: 'identity.reset_password',
      method: 'POST',
      path: '/api/auth/password/reset',
      access: { kind: 'public' },
      rateClass: 'auth',
      summary: 'Sets a new password with the token of the mail; ends all sessions',
      audit: 'people.reset_password',
      body: z.object({ token: text({ max: 256 }), password: newPassword }),
      responses: { 204: null },
      errors: ['link_invalid', 'weak_password', 'login_busy'],
      handle: async ({ body, signal }) => {
        await identity.resetPassword({ ...body, signal });
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.jwks',
      method: 'GET',
      path: '/api/auth/jwks',
      access: { kind: 'public' },
      rateClass: 'read',
      summary: 'Public keys of the access tokens (RFC 7517)',
      responses: { 200: z.object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string() })) }) },
      handle: async () => ({
        status: 200,
        headers: { 'Cache-Control': 'public, max-age=60' },
        body: { keys: identity.jwks().keys.map((key) => ({ ...key, kty: key.kty ?? 'OKP', kid: key.kid ?? '' })) },
      }),
    }),
    ...personalRoutes(deps),
  ];
}
