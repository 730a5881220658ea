/** A school to look at, made through the public HTTP API like anybody's; a restart finds what is there. */
export type Demo = {
  school: string;
  teacher: { email: string; password: string };
  student: { email: string; password: string };
  /** What could not be done, e.g. because a login was changed by hand. */
  note?: string;
};

const SCHOOL = 'demo';
const COURSE = {
  title: 'Swedish for the curious',
  description: 'Eight evenings: from hej to klar.',
  price: { amount: 4900, currency: 'USD' },
  status: 'published',
};
const LESSONS = ['Hej! Greetings and names', 'Fika: ordering a coffee', 'Klar: being ready'];
const SERVICE = {
  title: 'One hour of conversation',
  duration_minutes: 60,
  price: { amount: 2500, currency: 'USD' },
  status: 'published',
};

class Refused extends Error {}

type Answer = { status: number; body: Record<string, unknown> };
type Call = (
  method: string,
  path: string,
  options?: { token?: string; tenant?: string; body?: unknown },
) => Promise<Answer>;

/** @param password of both logins; made per installation, as a password in the source would be everybody's. */
export async function seedDemo(base: string, password: string): Promise<Demo> {
  const call = caller(base);
  const teacher = { email: 'teacher@demo.test', password };
  const student = { email: 'student@demo.test', password };
  const demo: Demo = { school: SCHOOL, teacher, student };
  try {
    const [teacherToken, studentToken] = await Promise.all([
      enter(call, { ...teacher, name: 'Tove Teacher' }),
      enter(call, { ...student, name: 'Stina Student' }),
    ]);
    await want(
      call('POST', '/api/tenants', { token: teacherToken, body: { name: 'Demo school', slug: SCHOOL } }),
      [201, 409],
    );
    const asTeacher = { token: teacherToken, tenant: SCHOOL };
    await Promise.all([
      want(call('POST', `/api/tenants/${SCHOOL}/join`, { token: studentToken, body: {} }), [200, 201, 409]),
      stock(call, asTeacher),
    ]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    demo.note = `The demo school is not as it was made: ${error.message}`;
  }
  return demo;
}

/** Logs in, registering first where that person does not exist yet. */
async function enter(call: Call, person: { email: string; password: string; name: string }): Promise<string> {
  const { email, password } = person;
  let login = await call('POST', '/api/auth/login', { body: { email, password } });
  if (login.status !== 200) {
    await want(call('POST', '/api/auth/register', { body: person }), [201, 409]);
    login = await want(call('POST', '/api/auth/login', { body: { email, password } }), [200]);
  }
  return String(login.body.access_token);
}

async function stock(call: Call, as: { token: string; tenant: string }): Promise<void> {
  const courses = await want(call('GET', '/api/courses', as), [200]);
  let course = (courses.body.data as { id: string; title: string }[]).find(({ title }) => title === COURSE.title);
  if (!course) {
    const made = await want(call('POST', '/api/courses', { ...as, body: COURSE }), [201]);
    course = { id: String(made.body.id), title: COURSE.title };
  }
  // A start that was killed between course and lessons is completed by the next one.
  const lessons = await want(call('GET', `/api/courses/${course.id}/lessons`, as), [200]);
  const there = (lessons.body.data as { title: string }[]).map(({ title }) => title);
  for (const title of LESSONS.filter((lesson) => !there.includes(lesson))) {
    await want(
      call('POST', `/api/courses/${course.id}/lessons`, { ...as, body: { title, content: `${title}. Välkommen!` } }),
      [201],
    );
  }
  const services = await want(call('GET', '/api/services', as), [200]);
  if (!(services.body.data as { title: string }[]).some(({ title }) => title === SERVICE.title)) {
    await want(call('POST', '/api/services', { ...as, body: SERVICE }), [201]);
  }
}

async function want(answer: Promise<Answer>, statuses: number[]): Promise<Answer> {
  const got = await answer;
  if (!statuses.includes(got.status))
    throw new Refused(`${got.status} ${got.body.code ?? ''} ${got.body.detail ?? ''}`.trim());
  return got;
}

function caller(base: string): Call {
  return async (method, path, { token, tenant, body } = {}) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(tenant ? { 'klar-tenant': tenant } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : {} };
  };
}
