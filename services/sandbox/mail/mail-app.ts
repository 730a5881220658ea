import { type Response, Router } from 'express';
import { html } from '../html.ts';
import { messagePage, pageHeaders } from '../pages/layout.ts';
import type { MailRecord } from '../records.ts';
import type { Store } from '../store.ts';
import { mailListPage, mailPage } from './mail-page.ts';

/** The mailbox as pages under /mail and as JSON under /sandbox/mail. */
export function mailApp(store: Store): Router {
  const router = Router();

  /** Newest first; `to` is a whole address or a part of one. */
  const search = (to: unknown): MailRecord[] => {
    const wanted = typeof to === 'string' ? to.toLowerCase() : '';
    return store
      .all('mails')
      .filter((mail) => wanted === '' || mail.to.some((address) => address.includes(wanted)))
      .reverse();
  };
  const show = (response: Response, id: string, present: (mail: MailRecord) => void) => {
    const mail = store.get('mails', id);
    if (mail) return present(mail);
    const page = messagePage('No such mail', html`<p>It was deleted, or the sandbox was reset.</p>`);
    response.status(404).set(pageHeaders()).type('html').send(page);
  };

  router.get('/mail', (request, response) => {
    const to = typeof request.query.to === 'string' ? request.query.to : '';
    response
      .set(pageHeaders())
      .type('html')
      .send(mailListPage(search(to), to));
  });
  router.get('/mail/:id', (request, response) =>
    show(response, request.params.id, (mail) => void response.set(pageHeaders()).type('html').send(mailPage(mail))),
  );
  router.get('/mail/:id/html', (request, response) =>
    show(response, request.params.id, (mail) => {
      // The mail is somebody else's markup: it gets an origin of its own, no script and nothing from the network.
      response
        .set({
          ...pageHeaders(),
          'Content-Security-Policy':
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
        })
        .type('html')
        .send(`<base target="_blank">${mail.html ?? ''}`);
    }),
  );
  router.get('/mail/:id/raw', (request, response) =>
    show(response, request.params.id, (mail) => {
      response.set(pageHeaders()).type('text/plain').send(Buffer.from(mail.raw, 'base64'));
    }),
  );

  router.get('/sandbox/mail', (request, response) => {
    response.json({ data: search(request.query.to).map(({ raw: _raw, ...mail }) => mail) });
  });
  router.get('/sandbox/mail/:id', (request, response) => {
    const mail = store.get('mails', request.params.id);
    if (!mail) return void response.status(404).json({ error: 'no such mail' });
    response.json(mail);
  });
  router.delete('/sandbox/mail', (_request, response) => {
    store.clear(['mails']);
    response.json({ deleted: true });
  });

  return router;
}
