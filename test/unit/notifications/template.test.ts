import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isAddress, TEMPLATES, type TemplateName, type TemplateVariables } from '#domain/notifications/index.ts';
import { placeholders, render, type Template, TemplateError } from '../../../services/domain/notifications/template.ts';

/** One value per variable; `satisfies` keeps it complete. */
const SAMPLES = {
  'auth.verify_email': { name: 'Anna', url: 'https://k.test/v', valid_hours: 24 },
  'auth.reset_password': { name: 'Anna', url: 'https://k.test/r', valid_minutes: 60 },
  'auth.email_taken': { name: 'Anna', url: 'https://k.test/l' },
  'tenancy.invitation': { school: 'School', role: 'teacher', url: 'https://k.test/i', valid_days: 7 },
  'orders.receipt': {
    name: 'Anna',
    school: 'School',
    order_id: 'ord_1',
    paid_at: 'today',
    lines: 'a\nb',
    total: '49.00 USD',
  },
  'payments.duplicate_refunded': { name: 'Anna', school: 'School', order_id: 'ord_1', amount: '49.00 USD' },
} satisfies TemplateVariables;
const NAMES = Object.keys(TEMPLATES) as TemplateName[];
const template = (part: Partial<Template>): Template => ({ subject: 's', text: 't', html: 'h', secret: [], ...part });

describe('notifications: templates', () => {
  for (const name of NAMES) {
    it(`${name} uses exactly its variables, and all of them in text and HTML`, () => {
      const variables = Object.keys(SAMPLES[name]).sort();
      assert.deepEqual([...placeholders(TEMPLATES[name])].sort(), variables);
      for (const part of ['text', 'html'] as const) {
        const used = placeholders(template({ subject: '', text: '', html: '', [part]: TEMPLATES[name][part] }));
        assert.deepEqual([...used].sort(), variables, part);
      }
      const { subject, text, html } = render(TEMPLATES[name], SAMPLES[name]);
      for (const part of [subject, text, html]) assert.ok(!/\{\{|\}\}|undefined|\[object/.test(part));
    });

    it(`${name} fails for each missing variable`, () => {
      for (const missing of Object.keys(SAMPLES[name])) {
        const data = Object.fromEntries(Object.entries(SAMPLES[name]).filter(([key]) => key !== missing));
        assert.throws(() => render(TEMPLATES[name], data), TemplateError, missing);
      }
    });

    it(`${name} marks every link that logs somebody in or lets somebody in as secret`, () => {
      const carriesToken = name !== 'auth.email_taken' && 'url' in SAMPLES[name];
      assert.deepEqual(TEMPLATES[name].secret, carriesToken ? ['url'] : []);
    });
  }

  it('escapes every value in HTML and none in text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        if (/[^\P{Cc}\n\t]/u.test(value)) return;
        const { text, html } = render(template({ text: '[{{a}}]', html: '[{{a}}]' }), { a: value });
        assert.equal(text, `[${value}]`);
        assert.ok(!/[<>"']/.test(html));
        assert.ok(!/&(?!(amp|lt|gt|quot|#39);)/.test(html));
      }),
    );
  });

  it('does not fill placeholders that a value brings along', () => {
    const { text } = render(template({ text: '{{a}} {{b}}' }), { a: '{{b}}', b: 'secret' });
    assert.equal(text, '{{b}} secret');
    assert.equal(render(template({ text: '{{a}}' }), { a: '$& $1 $$' }).text, '$& $1 $$');
  });

  it('fills nothing from a prototype', () => {
    for (const name of ['constructor', 'valueof', 'isprototypeof']) {
      assert.throws(() => render(template({ text: `{{${name}}}` }), {}), TemplateError, name);
    }
    assert.throws(() => render(template({ text: '{{a}}' }), Object.create({ a: 'inherited' })), TemplateError);
  });

  it('refuses control characters, line breaks in the subject and addresses that are no web address', () => {
    assert.throws(() => render(template({ text: '{{a}}' }), { a: 'x\r\ny' }), TemplateError);
    assert.throws(() => render(template({ subject: '{{a}}' }), { a: 'x\nBcc: y' }), TemplateError);
    assert.throws(() => render(template({ subject: '{{a}}' }), { a: 'x\u2028y' }), TemplateError);
    for (const url of ['javascript:alert(1)', 'data:text/html,x', '/relative', 'https://', 'file:///etc/passwd']) {
      assert.throws(() => render(template({ html: '{{url}}' }), { url }), TemplateError, url);
    }
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => render(template({ text: '{{a}}' }), { a: number }), TemplateError);
    }
  });
});

describe('notifications: addresses', () => {
  it('accepts what people have and nothing that could be two or a header', () => {
    for (const good of [
      'a@b.c',
      'anna.b+tag@mail.example.com',
      'ännä@exämple.se',
      "o'brien@example.com",
      'x@localhost',
      `${'a'.repeat(64)}@${'b'.repeat(63)}.se`,
    ]) {
      assert.ok(isAddress(good), good);
    }
    for (const bad of [
      '',
      '@',
      'a@',
      '@b',
      'a b@c.d',
      'a@b.c ',
      'a@b@c',
      'a..b@c.d',
      '.a@b.c',
      'a@b..c',
      'a@b.c\n',
      'a,b@c.d',
      '"a"@b.c',
      '<a@b.c>',
      'a@[1.2.3.4]',
      // What no mail server takes: RFC 5321 allows 64 bytes before the @, RFC 1035 63 a label, in the letters of DNS.
      `${'a'.repeat(65)}@b.se`,
      `${'ä'.repeat(33)}@b.se`,
      `a@${'b'.repeat(64)}.se`,
      `a@${'ä'.repeat(60)}.se`,
      `a@${'b.'.repeat(126)}se`,
      'a@-b.se',
      'a@b-.se',
      'a@b_c.se',
      'a@b!.se',
    ]) {
      assert.ok(!isAddress(bad), bad);
    }
  });
});
