import { z } from 'zod';
import type { SessionView } from '#domain/identity/index.ts';
import { fail } from '#platform/errors/index.ts';
import { decodeCursor, encodeCursor, listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { isId } from '#platform/ids/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { newPasswordField as newPassword, passwordField as password } from '../fields.ts';

const session = z.object({
  id: z.string(),
  ip: z.string(),
  user_agent: z.string(),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  /** The one this request was made with. */
  current: z.boolean(),
});

const sessionView = (row: SessionView) => ({
  id: row.id,
  ip: row.ip,
  user_agent: row.userAgent,
  created_at: row.createdAt.toISOString(),
  last_used_at: row.lastUsedAt.toISOString(),
  expires_at: row.expiresAt.toISOString(),
  current: row.current,
});

const PASSWORD_ERRORS = ['wrong_password', 'no_password', 'login_locked', 'login_busy'];
const NO_STORE = { 'Cache-Control': 'no-store' };
const CURSOR = 'identity.sessions';

/** What a logged-in person does with their own account: sessions, password, second factor. */
export function personalRoutes({ identity }: ApiDeps): Route[] {
  const access = { kind: 'person' } as const;
  return [
    route({
      id: 'identity.logout',
      method: 'POST',
      path: '/api/auth/logout',
      access,
      rateClass: 'auth',
      summary: 'Ends this session',
      audit: 'sessions.logout',
      responses: { 204: null },
      handle: async ({ principal }) => {
        await identity.logout(principal);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.logout_everywhere',
      method: 'POST',
      path: '/api/auth/logout-all',
      access,
      rateClass: 'auth',
      summary: 'Ends every session of this person; refused everywhere within 5 s',
      audit: 'sessions.logout_all',
      responses: { 204: null },
      handle: async ({ principal }) => {
        await identity.logoutEverywhere(principal);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.list_sessions',
      method: 'GET',
      path: '/api/auth/sessions',
      access,
      rateClass: 'read',
      summary: 'Lists the sessions of this person, newest first',
      query: z.object(listQuery),
      responses: { 200: listOf(session) },
      handle: async ({ principal, query }) => {
        const [before] = query.cursor === undefined ? [] : decodeCursor(query.cursor, CURSOR);
        const rows = await identity.listSessions(principal, {
          limit: query.limit + 1,
          ...(before === undefined ? {} : { before: String(before) }),
        });
        const page = rows.slice(0, query.limit);
        const last = page.at(-1);
        return {
          status: 200,
          body: {
            data: page.map(sessionView),
            next_cursor: rows.length > page.length && last !== undefined ? encodeCursor([last.id], CURSOR) : null,
          },
        };
      },
    }),
    route({
      id: 'identity.end_session',
      method: 'DELETE',
      path: '/api/auth/sessions/:id',
      access,
      rateClass: 'auth',
      summary: 'Ends one session of this person',
      audit: 'sessions.logout',
      params: z.object({ id: text({ max: 64 }) }),
      responses: { 204: null },
      handle: async ({ principal, params }) => {
        if (!isId('ses', params.id)) throw fail.notFound();
        await identity.endSession(principal, params.id);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.request_verification',
      method: 'POST',
      path: '/api/auth/verify-email/request',
      access,
      rateClass: 'auth',
      summary: 'Mails the link that verifies the address again',
      audit: null,
      auditReason: 'Only a mail to the person themself; verifying is recorded as people.verify_email.',
      responses: { 202: z.object({ accepted: z.literal(true) }) },
      errors: ['too_many_mails'],
      handle: async ({ principal }) => {
        await identity.requestVerification(principal);
        return { status: 202, body: { accepted: true as const } };
      },
    }),
    route({
      id: 'identity.change_password',
      method: 'POST',
      path: '/api/auth/password/change',
      access,
      rateClass: 'auth',
      summary: 'Sets a new password; ends the other sessions',
      audit: 'people.change_password',
      body: z.object({ current_password: password, new_password: newPassword }),
      responses: { 204: null },
      errors: ['weak_password', ...PASSWORD_ERRORS],
      handle: async ({ principal, body, signal }) => {
        await identity.changePassword(principal, {
          currentPassword: body.current_password,
          newPassword: body.new_password,
          signal,
        });
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.enable_second_factor',
      method: 'POST',
      path: '/api/auth/two-factor/enable',
      access,
      rateClass: 'auth',
      summary: 'Begins a second factor: a secret for an authenticator, and backup codes, shown once',
      audit: null,
      auditReason: 'Nothing is on until the first code; that is recorded as second_factor.enable.',
      body: z.object({ password }),
      responses: { 200: z.object({ totp_uri: z.string(), backup_codes: z.array(z.string()) }) },
      errors: ['second_factor_already_on', ...PASSWORD_ERRORS],
      handle: async ({ principal, body }) => {
        const setup = await identity.enableSecondFactor(principal, body.password);
        return { status: 200, headers: NO_STORE, body: { totp_uri: setup.totpUri, backup_codes: setup.backupCodes } };
      },
    }),
    route({
      id: 'identity.confirm_second_factor',
      method: 'POST',
      path: '/api/auth/two-factor/confirm',
      access,
      rateClass: 'auth',
      summary: 'Switches the second factor on with a first code',
      audit: 'second_factor.enable',
      body: z.object({ code: text({ min: 6, max: 16 }) }),
      responses: { 204: null },
      errors: ['second_factor_not_pending', 'wrong_code'],
      handle: async ({ principal, body }) => {
        await identity.confirmSecondFactor(principal, body.code);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.disable_second_factor',
      method: 'POST',
      path: '/api/auth/two-factor/disable',
      access,
      rateClass: 'auth',
      summary: 'Switches the second factor off',
      audit: 'second_factor.disable',
      body: z.object({ password }),
      responses: { 204: null },
      errors: PASSWORD_ERRORS,
      handle: async ({ principal, body }) => {
        await identity.disableSecondFactor(principal, body.password);
        return { status: 204 };
      },
    }),
    route({
      id: 'identity.renew_backup_codes',
      method: 'POST',
      path: '/api/auth/two-factor/backup-codes',
      access,
      rateClass: 'auth',
      summary: 'Makes new backup codes; the old ones stop working',
      audit: 'second_factor.renew_codes',
      body: z.object({ password }),
      responses: { 200: z.object({ backup_codes: z.array(z.string()) }) },
      errors: ['second_factor_off', ...PASSWORD_ERRORS],
      handle: async ({ principal, body }) => ({
        status: 200,
        headers: NO_STORE,
        body: { backup_codes: await identity.renewBackupCodes(principal, body.password) },
      }),
    }),
  ];
}
