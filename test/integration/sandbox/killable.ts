import { join } from 'node:path';
import { startSandbox } from '../../../services/sandbox/main.ts';
import { SECRET_KEY, WEBHOOK_SECRET } from './start-sandbox.ts';

/** A sandbox in a process of its own, for the test that kills it: `killable.ts <folder> <webhook url>`. */
const [folder = '', webhookUrl = ''] = process.argv.slice(2);
const sandbox = await startSandbox({
  profile: 'test',
  port: 0,
  smtpPort: 0,
  webhookUrl,
  webhookSecret: () => WEBHOOK_SECRET,
  stripeSecretKey: SECRET_KEY,
  stateFile: join(folder, 'sandbox.json'),
  clock: { now: () => new Date() },
  log: { info() {}, warn() {}, error() {} },
});
process.stdout.write(`${sandbox.url}\n`);
