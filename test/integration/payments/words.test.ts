import assert from 'node:assert/strict';
import { createCourse } from '#domain/learning/index.ts';
import { placeOrder, setPrice } from '#domain/sales/index.ts';
import { actorOf } from '#domain/tenancy/index.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Rig } from './rig.ts';

describe('what is told to the provider', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway();
    rig = await createRig(gateway);
  });
  after(() => rig.close());

  async function requestFor(title: string, email: string) {
    const school = await rig.factory.school();
    const student = await rig.factory.member(school);
    const order = await rig.api.withTenantTx(school.id, async (tx) => {
      const actor = actorOf(student);
      const course = await createCourse(tx, { title, status: 'published', actor });
      await setPrice(tx, { kind: 'course', itemId: course.id, price: { amount: 4900, currency: 'USD' }, actor });
      const buyer = { personId: student.personId, email, name: '' };
      return placeOrder(tx, { buyer, lines: [{ kind: 'course', id: course.id, quantity: 1 }], actor });
    });
    await rig.session({ school, student, order, course: undefined as never });
    const [attempt] = await rig.rows('payment_attempts', school);
    return attempt?.request as { lines: { title: string }[]; email?: string; successUrl: string };
  }

  it('is never a nameless line, nor one of control characters', async () => {
    assert.equal((await requestFor('Two\nlines\u0007', 'a@example.com')).lines[0]?.title, 'Two lines');
    assert.equal((await requestFor('\u0001', 'a@example.com')).lines[0]?.title, 'course');
  });

  it('is an address only where every provider takes it', async () => {
    assert.equal((await requestFor('x', 'a.b+c@example.com')).email, 'a.b+c@example.com');
    for (const odd of ['ü@example.com', 'a@localhost', '"a b"@example.com', 'a@exämple.com']) {
      assert.equal((await requestFor('x', odd)).email, undefined, odd);
    }
  });

  it('leads back to us, wherever the browser goes', async () => {
    assert.match(
      (await requestFor('x', 'a@example.com')).successUrl,
      /^https:\/\/klar\.test\/checkout\/return\?order_id=ord_/,
    );
  });
});
