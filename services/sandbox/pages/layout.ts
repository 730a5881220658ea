import { type Html, html } from '../html.ts';

/** A whole page. The banner on each says what this is, so that nobody takes it for the real provider. */
export function layout(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} - Klar sandbox</title>
<link rel="stylesheet" href="/sandbox/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top"><strong>Klar sandbox</strong><span class="badge wait">Test mode: no real money</span>
<a href="/">Overview</a><a href="/mail">Mail</a></header>
<main id="main">
${body}
</main>
</body>
</html>
`.html;
}

/**
 * The headers of a page: nothing from elsewhere, no script at all. Browsers check `form-action` against where a form's
 * answer redirects to as well, so a checkout page names the shop's own origins.
 */
export function pageHeaders(formTargets: readonly (string | null | undefined)[] = []): Record<string, string> {
  const origins = formTargets.map((target) => target && URL.parse(target)?.origin).filter((origin) => origin);
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      "style-src 'self'",
      'img-src data:',
      "frame-src 'self'",
      "base-uri 'none'",
      "frame-ancestors 'self'",
      `form-action ${["'self'", ...new Set(origins)].join(' ')}`,
    ].join('; '),
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
  };
}

/** A page with one message, for what cannot be shown. */
export const messagePage = (title: string, message: Html): string =>
  layout(title, html`<div class="panel"><h1>${title}</h1>${message}</div>`);
