/** What runs unattended: the one table that the command line, the chart's CronJobs, all-in-one and the alerts agree on. */

export type Task = {
  /** The command of `klar` that does it. */
  command: string;
  /**
   * Default of the chart and of all-in-one; five fields, in UTC. When somebody is told that it no longer happens follows
   * from it: the alerts wait 1.25 of the longest time between two ticks (`cronjobs.<task>.every` in the chart).
   */
  schedule: string;
  /**
   * What happens to ticks at which nothing ran (suspended, no room, an outage). `skip`: the next run makes up for them,
   * they are recorded as missed. `catch_up`: each is done, oldest first, before the tick of the run.
   */
  missed: 'skip' | 'catch_up';
  /** A run is ended after so many seconds; the pod's activeDeadlineSeconds is a minute more. */
  deadlineS: number;
  /** Its command comes with a later release; nothing schedules it yet. */
  planned?: true;
  /** Settings without which nothing schedules it. */
  needs?: readonly ('BACKUP_URL' | 'RESTORE_VERIFY_DATABASE_URL')[];
};

const MINUTE = 60;
const HOUR = 60 * MINUTE;

export const TASKS = {
  backup: {
    command: 'backup',
    schedule: '30 2 * * *',
    missed: 'skip',
    deadlineS: 2 * HOUR,
    needs: ['BACKUP_URL'],
  },
  'restore-verify': {
    command: 'restore-verify',
    schedule: '0 5 * * *',
    missed: 'skip',
    deadlineS: 3 * HOUR,
    needs: ['BACKUP_URL', 'RESTORE_VERIFY_DATABASE_URL'],
  },
  // After restore-verify: what it proves is what makes older ones removable.
  'backup-prune': {
    command: 'backups prune',
    schedule: '0 7 * * *',
    missed: 'skip',
    deadlineS: HOUR,
    needs: ['BACKUP_URL'],
  },
  cleanup: {
    command: 'cleanup',
    schedule: '15 3 * * *',
    missed: 'skip',
    deadlineS: HOUR,
  },
  // Money and metering: a tick that is left out is a document or a report that is never made.
  invoices: {
    command: 'invoices',
    schedule: '10 0 1 * *',
    missed: 'catch_up',
    deadlineS: 2 * HOUR,
    planned: true,
  },
  'usage-report': {
    command: 'usage-report',
    schedule: '20 * * * *',
    missed: 'catch_up',
    deadlineS: 30 * MINUTE,
    planned: true,
  },
  reminders: {
    command: 'reminders',
    schedule: '0 9 * * *',
    missed: 'skip',
    deadlineS: HOUR,
    planned: true,
  },
  sync: {
    command: 'sync',
    schedule: '*/10 * * * *',
    missed: 'skip',
    deadlineS: 10 * MINUTE,
    planned: true,
  },
  'audit-anchor': {
    command: 'audit anchor',
    schedule: '5 * * * *',
    missed: 'skip',
    deadlineS: 10 * MINUTE,
    planned: true,
  },
  'go-live': {
    command: 'go-live',
    schedule: '0 6 * * *',
    missed: 'skip',
    deadlineS: HOUR,
    planned: true,
  },
} as const satisfies Record<string, Task>;

export type TaskName = keyof typeof TASKS;
export const TASK_NAMES = Object.keys(TASKS) as TaskName[];

export function taskOf(name: TaskName): Task {
  return TASKS[name];
}
