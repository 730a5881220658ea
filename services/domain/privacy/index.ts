/** How long what is kept, and the cleanup that holds it. See README.md. */
export { type CleanedTable, type CleanupInput, type CleanupResult, chooseRules, cleanUp } from './cleanup.ts';
export { RETENTION, type Retention, type Rule, retentionOf } from './retention.ts';
