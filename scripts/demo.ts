import { randomBytes } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

const HELP = `npm run demo -- [options]

Walks one real purchase through a running system and prints each step with its time:
a school opens, a student buys a course, the provider's webhook pays it, the lessons open.

  --base-url URL   where Klar answers (default: http://127.0.0.1:3000)
  --connect H:P    connect there whatever a URL says, and name its host in the request: for an ingress whose names no
                   DNS knows, e.g. --base-url http://klar.test --connect 127.0.0.1:8080
  --school NAME    name of the school that is opened (default: a new one each time)
  --json           one JSON object a step instead of text
  --help           this text
`;

const { values: options } = parseArgs({
  options: {
    'base-url': { type: 'string', default: 'http://127.0.0.1:3000' },
    connect: { type: 'string' },
    school: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

type Json = Record<string, unknown>;
type Answer<T> = { status: number; body: T; requestId: string };

const write = (line: string) => process.stdout.write(`${line}\n`);
const base = options['base-url'].replace(/\/$/, '');
const run = randomBytes(4).toString('hex');

/** A refusal that ends the walk with its own words instead of a stack. */
class DemoError extends Error {}

async function call<T = Json>(
  method: string,
  path: string,
  input: { token?: string; tenant?: string; body?: unknown; headers?: Record<string, string>; expect: number },
): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: 'application/json', ...input.headers };
  if (input.body !== undefined) headers['content-type'] = 'application/json';
  if (input.token) headers.authorization = `Bearer ${input.token}`;
  if (input.tenant) headers['klar-tenant'] = input.tenant;
  const url = path.startsWith('http') ? path : `${base}${path}`;
  const response = await send(url, {
    method,
    headers,
    body: input.body === undefined ? undefined : JSON.stringify(input.body),
    signal: AbortSignal.timeout(15_000),
  }).catch((error: Error) => {
    throw new DemoError(
      `${method} ${url} could not be reached (${error.message}). Is the system up? Start it with: npm start`,
    );
  });
  const text = await response.text();
  if (response.status !== input.expect) {
    throw new DemoError(
      `${method} ${url} answered ${response.status}, expected ${input.expect}: ${text.slice(0, 400)}`,
    );
  }
  return {
    status: response.status,
    body: (text ? JSON.parse(text) : {}) as T,
    requestId: response.headers.get('x-request-id') ?? '',
  };
}

type Sent = { method: string; headers: Record<string, string>; body: string | undefined; signal: AbortSignal };

/** fetch sets `Host` itself, to what it connects to; under --connect the two differ. */
async function send(address: string, { body, ...init }: Sent): Promise<Response> {
  if (!options.connect) return fetch(address, { ...init, ...(body === undefined ? {} : { body }) });
  const { host, pathname, search } = new URL(address);
  const place = new URL(`http://${options.connect}`);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const to = { host: place.hostname, port: place.port, path: pathname + search };
    const sent = request({ ...init, ...to, headers: { ...init.headers, host } }, resolve);
    sent.once('error', reject);
    sent.end(body);
  });
  const headers = { 'x-request-id': String(answer.headers['x-request-id'] ?? '') };
  return new Response(await readText(answer), { status: answer.statusCode ?? 0, headers });
}

const startedAt = performance.now();
let previous = startedAt;
function step(name: string, detail: string, fields: Json = {}) {
  const now = performance.now();
  const took = Math.round(now - previous);
  previous = now;
  write(
    options.json
      ? JSON.stringify({ step: name, detail, ms: took, ...fields })
      : `${`${took} ms`.padStart(8)}  ${name.padEnd(26)} ${detail}`,
  );
}

/** Asks until `read` gives something, for at most 20 s: the worker pays the order, not this script. */
async function eventually<T>(what: string, read: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (Date.now() > deadline)
      throw new DemoError(
        `${what} did not happen within 20 s. See the worker's log, and: npm run klar -- webhooks list`,
      );
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

async function person(role: string) {
  const email = `${role}-${run}@example.com`;
  const password = `${randomBytes(12).toString('base64url')}aA1!`;
  await call('POST', '/api/auth/register', { body: { email, password, name: `Demo ${role}` }, expect: 201 });
  const login = await call<{ access_token: string }>('POST', '/api/auth/login', {
    body: { email, password },
    expect: 200,
  });
  return { email, token: login.body.access_token };
}

async function main() {
  const ready = await call<{ ok: boolean }>('GET', '/api/ready', { expect: 200 });
  step('system is ready', `ok=${ready.body.ok}`);

  const teacher = await person('teacher');
  step('teacher registered', teacher.email);
  const slug = `demo-${run}`;
  await call('POST', '/api/tenants', {
    token: teacher.token,
    body: { name: options.school ?? `Demo school ${run}`, slug },
    expect: 201,
  });
  step('school opened', slug);

  const asTeacher = { token: teacher.token, tenant: slug };
  const price = { amount: 4900, currency: 'USD' };
  const course = await call<{ id: string }>('POST', '/api/courses', {
    ...asTeacher,
    body: { title: 'Swedish for the curious', description: 'Eight evenings, live.', price, status: 'published' },
    expect: 201,
  });
  for (const title of ['Hej!', 'Fika', 'Klar']) {
    await call('POST', `/api/courses/${course.body.id}/lessons`, {
      ...asTeacher,
      body: { title, content: `Lesson: ${title}` },
      expect: 201,
    });
  }
  await call('POST', '/api/services', {
    ...asTeacher,
    body: {
      title: 'One hour of conversation',
      duration_minutes: 60,
      price: { amount: 2500, currency: 'USD' },
      status: 'published',
    },
    expect: 201,
  });
  step('course and service for sale', `${course.body.id}, 3 lessons, 49.00 USD`);

  const student = await person('student');
  await call('POST', `/api/tenants/${slug}/join`, { token: student.token, body: {}, expect: 201 });
  step('student joined', student.email);
  const asStudent = { token: student.token, tenant: slug };
  const forSale = await call<{ data: unknown[] }>('GET', '/api/courses', { ...asStudent, expect: 200 });
  await call('GET', `/api/courses/${course.body.id}/lessons`, { ...asStudent, expect: 404 });
  step('student sees the catalogue', `${forSale.body.data.length} course, lessons still closed (404)`);

  const order = await call<{ id: string; total: { amount: number; currency: string } }>('POST', '/api/orders', {
    ...asStudent,
    headers: { 'idempotency-key': `demo-${run}` },
    body: { lines: [{ kind: 'course', id: course.body.id, quantity: 1 }] },
    expect: 201,
  });
  step('order placed', `${order.body.id}, ${order.body.total.amount} ${order.body.total.currency}`, {
    request_id: order.requestId,
  });
  const session = await call<{ session_id: string; url?: string }>('POST', '/api/payments/stripe/create-session', {
    ...asStudent,
    body: { order_id: order.body.id, ui_mode: 'hosted_page' },
    expect: 201,
  });
  step('checkout session', session.body.session_id, { url: session.body.url });

  const checkout = new URL(session.body.url ?? '');
  await call('POST', `${checkout.origin}/sandbox/checkout/${session.body.session_id}/pay`, {
    body: { card: '4242424242424242' },
    expect: 200,
  }).catch((error: Error) => {
    throw new DemoError(
      `${error.message}\nThe demo pays by the sandbox's own button; with a real provider open ${session.body.url} and pay there.`,
    );
  });
  step('student paid', 'card 4242 4242 4242 4242 at the sandbox');

  await eventually('the paid order', async () => {
    const current = await call<{ status: string }>('GET', `/api/orders/${order.body.id}`, {
      ...asStudent,
      expect: 200,
    });
    return current.body.status === 'paid' ? true : undefined;
  });
  step('webhook handled', 'order is paid');
  const enrollments = await call<{ data: { course_id: string }[] }>('GET', '/api/enrollments', {
    ...asStudent,
    expect: 200,
  });
  if (!enrollments.body.data.some((row) => row.course_id === course.body.id))
    throw new DemoError('the order is paid but there is no enrollment');
  const lessons = await call<{ data: unknown[] }>('GET', `/api/courses/${course.body.id}/lessons`, {
    ...asStudent,
    expect: 200,
  });
  step('enrolled', `${lessons.body.data.length} lessons open`);

  const stranger = await person('stranger');
  await call('GET', `/api/courses/${course.body.id}`, { token: stranger.token, tenant: slug, expect: 404 });
  step('stranger sees nothing', '404');
  const total = Math.round(performance.now() - startedAt);
  write(options.json ? JSON.stringify({ step: 'done', ms: total }) : `${`${total} ms`.padStart(8)}  done`);
}

if (options.help) {
  write(HELP);
} else {
  await main().catch((error: Error) => {
    process.stderr.write(error instanceof DemoError ? `\nThe demo stopped: ${error.message}\n` : `\n${error.stack}\n`);
    process.exitCode = 1;
  });
}
