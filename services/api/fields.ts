import { z } from 'zod';
import { NAME_MAX, NAME_PATTERN } from '#domain/tenancy/index.ts';

/** A display name, of a school or a key. */
export const nameField = z.string().min(1).max(NAME_MAX).regex(NAME_PATTERN);
