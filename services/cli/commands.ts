import type { CommandEntry } from './command.ts';

/** Every command of `klar`. A command is a file in commands/; it is loaded only when it runs. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'config check',
    summary: 'Show every setting with its origin, and all that is wrong with them',
    load: async () => (await import('./commands/config.ts')).configCheck,
  },
  {
    name: 'secrets generate',
    summary: 'Make the secrets that a local or compose installation needs; what is there stays',
    load: async () => (await import('./commands/secrets.ts')).secretsGenerate,
  },
  {
    name: 'secrets status',
    summary: 'Show each secret with its age, what is due and what runs; of one, its history',
    load: async () => (await import('./commands/secrets-status.ts')).secretsStatus,
  },
  {
    name: 'rotate',
    summary: 'Rotate a secret, cancel or roll back what runs',
    load: async () => (await import('./commands/rotate.ts')).rotate,
  },
  {
    name: 'roles ensure',
    summary: 'Make the database roles and what they may hold; before migrate or restore, any number of times',
    load: async () => (await import('./commands/roles.ts')).rolesEnsure,
  },
  {
    name: 'migrate',
    summary: 'Bring the database schema and the queues to this version',
    load: async () => (await import('./commands/migrate.ts')).migrateCommand,
  },
  {
    name: 'schema export',
    summary: 'Print the schema of a database as text, for comparing',
    load: async () => (await import('./commands/schema.ts')).schemaExport,
  },
  {
    name: 'schema check',
    summary: 'Compare a database with the committed snapshot and the rules of the catalog',
    load: async () => (await import('./commands/schema.ts')).schemaCheck,
  },
  {
    name: 'admin grant',
    summary: 'Make a person a platform administrator, or change what they may do',
    load: async () => (await import('./commands/admin.ts')).adminGrant,
  },
  {
    name: 'admin revoke',
    summary: 'Take the platform role from a person',
    load: async () => (await import('./commands/admin.ts')).adminRevoke,
  },
  {
    name: 'admin list',
    summary: 'Show the platform administrators',
    load: async () => (await import('./commands/admin.ts')).adminList,
  },
  {
    name: 'webhooks list',
    summary: 'Show stored events, newest first',
    load: async () => (await import('./commands/webhooks.ts')).webhooksList,
  },
  {
    name: 'webhooks show',
    summary: 'Show one stored event',
    load: async () => (await import('./commands/webhooks.ts')).webhooksShow,
  },
  {
    name: 'webhooks replay',
    summary: 'Handle events again that ended well, by id, type or time',
    load: async () => (await import('./commands/webhooks.ts')).webhooksReplay,
  },
  {
    name: 'webhooks redrive',
    summary: 'Handle events again that were given up, by id, type or time',
    load: async () => (await import('./commands/webhooks.ts')).webhooksRedrive,
  },
  {
    name: 'backup',
    summary: 'Make a backup of the database in BACKUP_URL',
    load: async () => (await import('./commands/backup.ts')).backupCommand,
  },
  {
    name: 'backups list',
    summary: 'Show the backups in the store, newest first, and what killed runs left',
    load: async () => (await import('./commands/backups.ts')).backupsList,
  },
  {
    name: 'backups show',
    summary: 'Show what is in a backup, by its manifest',
    load: async () => (await import('./commands/backups.ts')).backupsShow,
  },
  {
    name: 'backups prune',
    summary: 'Remove the backups that BACKUP_RETENTION does not keep and a newer, proven one covers',
    load: async () => (await import('./commands/backups.ts')).backupsPrune,
  },
  {
    name: 'restore-verify',
    summary: 'Prove a backup: restore it beside, compare it, look at it as tenants do, drop it',
    load: async () => (await import('./commands/restore-verify.ts')).restoreVerify,
  },
  {
    name: 'restore',
    summary: 'Restore a backup into an empty database; --dry-run first',
    load: async () => (await import('./commands/restore.ts')).restoreCommand,
  },
  {
    name: 'cleanup',
    summary: 'Delete what the retention rules say is over',
    load: async () => (await import('./commands/cleanup.ts')).cleanup,
  },
  {
    name: 'tasks list',
    summary: 'Show what ran unattended, newest first',
    load: async () => (await import('./commands/tasks.ts')).tasksList,
  },
  {
    name: 'tasks show',
    summary: 'Show one run with its detail, or one task with its last runs',
    load: async () => (await import('./commands/tasks.ts')).tasksShow,
  },
  {
    name: 'flags list',
    summary: 'Show the flags of a document',
    load: async () => (await import('./commands/flags.ts')).flagsList,
  },
  {
    name: 'flags lint',
    summary: 'Check a flag document, and compare it with the code both ways',
    load: async () => (await import('./commands/flags.ts')).flagsLint,
  },
  {
    name: 'flags explain',
    summary: 'Show what a tenant and a person get of a flag, and why',
    load: async () => (await import('./commands/flags.ts')).flagsExplain,
  },
  {
    name: 'flags set',
    summary: 'Turn a flag, in a cluster or in a file',
    load: async () => (await import('./commands/flags-set.ts')).flagsSet,
  },
  {
    name: 'flags stale',
    summary: 'Show the flags that have an end, and which are past it',
    load: async () => (await import('./commands/flags.ts')).flagsStale,
  },
];
