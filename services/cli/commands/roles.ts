import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { LoginRole } from '#platform/db/index.ts';
import { ensureRoles, LOGIN_ROLES } from '#platform/db/setup.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT } from '../command.ts';
import { databaseUrl } from './database-url.ts';

/** `klar roles ensure`: makes what is missing, mends what drifted, sets the passwords it is given. */
export const rolesEnsure: Command = {
  options: {
    passwords: {
      type: 'string',
      value: 'folder',
      description: 'Folder with one file per login, named after it (klar_api_a), holding its password',
    },
  },
  notes:
    'Connects as a superuser with DATABASE_URL_SUPERUSER or DATABASE_URL. Passwords also come from the DATABASE_URL_<ROLE> ' +
    'settings that the processes use, so that both cannot differ. The server is sent verifiers, never a password.',
  async run({ options, settings, env, answer }) {
    const superuserUrl = databaseUrl(settings(), ['DATABASE_URL_SUPERUSER', 'DATABASE_URL']);
    const folder = options.passwords as string | undefined;
    const passwords = { ...passwordsOfUrls(env), ...(folder === undefined ? {} : await passwordsOfFolder(folder)) };
    const { changes } = await ensureRoles({ superuserUrl, passwords });
    answer({ changes }, changes.length === 0 ? 'The roles are as they should be.' : changes);
    return EXIT.ok;
  },
};

const isLogin = (name: string): name is LoginRole => (LOGIN_ROLES as string[]).includes(name);

function passwordsOfUrls(env: Record<string, string | undefined>): Partial<Record<LoginRole, string>> {
  const passwords: Partial<Record<LoginRole, string>> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!/^DATABASE_URL_[A-Z]+$/.test(name) || value === undefined || !URL.canParse(value)) continue;
    const { username, password } = new URL(value);
    if (isLogin(username) && password !== '') passwords[username] = decodeURIComponent(password);
  }
  return passwords;
}

async function passwordsOfFolder(folder: string): Promise<Partial<Record<LoginRole, string>>> {
  // A mounted Secret also holds `..data` links.
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  const passwords: Partial<Record<LoginRole, string>> = {};
  for (const name of names) {
    if (!isLogin(name))
      throw fail.invalid('unknown_role', `${path.join(folder, name)}: there is no login role ${name}.`);
    passwords[name] = (await readFile(path.join(folder, name), 'utf8')).trimEnd();
  }
  return passwords;
}
