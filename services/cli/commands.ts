import type { CommandEntry } from './command.ts';

/** Every command of `klar`. A command is a file in commands/; it is loaded only when it runs. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'config check',
    summary: 'Show every setting with its origin, and all that is wrong with them',
    load: async () => (await import('./commands/config.ts')).configCheck,
  },
];
