import { EMAIL_PATTERN, MAX_PASSWORD, MIN_PASSWORD, PASSWORD_PATTERN } from '#domain/identity/index.ts';
import { ADDRESS_MAX } from '#domain/notifications/index.ts';
import { NAME_MAX, NAME_PATTERN } from '#domain/tenancy/index.ts';
import { text } from '#platform/http/index.ts';

/** A display name, of a person, a school or a key. */
export const nameField = text({ max: NAME_MAX, pattern: NAME_PATTERN });

/** The address of an account. */
export const emailField = text({ min: 6, max: ADDRESS_MAX, pattern: EMAIL_PATTERN });

/** Of an existing account: compared, never judged. */
export const passwordField = text({ max: MAX_PASSWORD });

export const newPasswordField = text({ min: MIN_PASSWORD, max: MAX_PASSWORD, pattern: PASSWORD_PATTERN });
