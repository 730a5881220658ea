import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Environment } from '#platform/config/index.ts';
import type { LoginRole } from '#platform/db/index.ts';
import { ensureDatabase, ensureRoles, LOGIN_ROLES } from '#platform/db/setup.ts';
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
    'create-database': { type: 'boolean', description: 'Make the database of the URL first, where it is not there' },
  },
  notes:
    'Connects as a superuser with DATABASE_URL_SUPERUSER or DATABASE_URL. Passwords also come from the DATABASE_URL_<ROLE> ' +
    'or DATABASE_URL_<ROLE>_FILE settings that the processes use, or from $KLAR_SECRETS_DIR/DATABASE_URL_<ROLE>/current, so that ' +
    'both cannot differ. The server is sent verifiers, never a password.',
  async run({ options, settings, env, answer }) {
    const given = settings();
    const superuserUrl = databaseUrl(given, ['DATABASE_URL_SUPERUSER', 'DATABASE_URL']);
    const folder = options.passwords as string | undefined;
    const passwords = {
      ...(await passwordsOfSecrets(given.KLAR_SECRETS_DIR)),
      ...(await passwordsOfUrls(env)),
      ...(folder === undefined ? {} : await passwordsOfFolder(folder)),
    };
    const made = options['create-database'] === true ? await createDatabase(superuserUrl) : [];
    const { changes: roles } = await ensureRoles({ superuserUrl, passwords });
    const changes = [...made, ...roles];
    answer({ changes }, changes.length === 0 ? 'The roles are as they should be.' : changes);
    return EXIT.ok;
  },
};

/** From the database that every server has, as nobody can connect to one that is not there. */
async function createDatabase(superuserUrl: string): Promise<string[]> {
  const url = new URL(superuserUrl);
  const name = decodeURIComponent(url.pathname.slice(1));
  url.pathname = '/postgres';
  const { made } = await ensureDatabase(url.href, name);
  return made ? [`create database ${name}`] : [];
}

const isLogin = (name: string): name is LoginRole => (LOGIN_ROLES as string[]).includes(name);

async function passwordsOfUrls(env: Environment): Promise<Partial<Record<LoginRole, string>>> {
  const urls: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!/^DATABASE_URL_[A-Z]+(_FILE)?$/.test(name) || !value) continue;
    urls.push(name.endsWith('_FILE') ? await urlOfFile(name, value) : value);
  }
  return passwordsIn(urls);
}

async function passwordsOfSecrets(folder: string): Promise<Partial<Record<LoginRole, string>>> {
  const names = await readdir(folder).catch(() => []);
  const files = names
    .filter((name) => /^DATABASE_URL_[A-Z]+$/.test(name))
    .map((name) => path.join(folder, name, 'current'));
  return passwordsIn(await Promise.all(files.map((file) => urlOfFile(file, file))));
}

function passwordsIn(urls: string[]): Partial<Record<LoginRole, string>> {
  const passwords: Partial<Record<LoginRole, string>> = {};
  for (const url of urls) {
    if (!URL.canParse(url)) continue;
    const { username, password } = new URL(url);
    if (isLogin(username) && password !== '') passwords[username] = decodeURIComponent(password);
  }
  return passwords;
}

async function urlOfFile(name: string, file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause) => {
    throw fail.invalid('password_unreadable', `${name}: ${file} cannot be read.`, undefined, { cause });
  });
  return text.trim();
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
