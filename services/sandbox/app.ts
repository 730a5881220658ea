import express, { type ErrorRequestHandler, type Express } from 'express';
import { checkoutApp } from './checkout/checkout-app.ts';
import { type ControlInput, controlApp } from './control/control-app.ts';
import { homePage } from './home/home-page.ts';
import { mailApp } from './mail/mail-app.ts';
import { pageHeaders } from './pages/layout.ts';
import { stripeApp } from './stripe/stripe-app.ts';

export type SandboxAppInput = ControlInput & {
  secretKeys: () => readonly string[];
  rateLimitPerSecond: number;
  smtpUrl: () => string;
  webhookUrl: () => string | undefined;
};

/** Everything the sandbox serves over HTTP. */
export function createSandboxApp(input: SandboxAppInput): Express {
  const { world, faults } = input;
  const { log } = world;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(stripeApp(input));
  app.use(controlApp(input));
  app.use(checkoutApp(world));
  app.use(mailApp(world.store));
  app.get('/', (_request, response) => {
    const facts = { smtpUrl: input.smtpUrl(), webhookUrl: input.webhookUrl(), faults: faults.list().length };
    response.set(pageHeaders()).type('html').send(homePage(world, facts));
  });
  const onError: ErrorRequestHandler = (error, request, response, _next) => {
    const status = Number(error?.status) || 500;
    if (status >= 500)
      log.error('sandbox: a page failed', { path: request.path, error: String(error?.stack ?? error) });
    response.status(status).json({ error: status >= 500 ? 'the sandbox failed; see its log' : String(error?.message) });
  };
  app.use(onError);
  return app;
}
