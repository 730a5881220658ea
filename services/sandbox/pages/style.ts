/** The one style sheet of the sandbox's pages; served as a file so that the pages need no inline style. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1a1f36; --soft: #4f566b; --line: #d8dee8; --ground: #f6f8fa; --card: #fff;
  --accent: #3d3bd1; --accent-ink: #fff; --good: #0a6b3d; --bad: #b3093c; --bad-ground: #fff0f3; --wait: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #eef1f8; --soft: #aab2c5; --line: #39415a; --ground: #12151f;
  --card: #1b2030; --accent: #a5a4ff; --accent-ink: #12151f; --good: #6fdba4; --bad: #ff9fb8; --bad-ground: #3a1722;
  --wait: #f2c46d; } }
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--ground); }
body { margin: 0; overflow-wrap: anywhere; }
a { color: var(--accent); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -999px; } .skip:focus { left: .5rem; top: .5rem; background: var(--card); padding: .5rem; }
header.top { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: center; padding: .75rem 1rem;
  border-bottom: 1px solid var(--line); background: var(--card); }
header.top strong { margin-right: auto; }
.badge { display: inline-block; padding: 0 .5rem; border-radius: 999px; border: 1px solid currentColor; font-size: .8125rem;
  white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
main { max-width: 68rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
h1 { font-size: 1.375rem; line-height: 1.25; margin: .25rem 0 1rem; } h2 { font-size: 1.0625rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); } .small { font-size: .875rem; }
code, .mono { font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem; }
.split { display: grid; gap: 1.25rem; } @media (min-width: 52rem) { .split { grid-template-columns: 5fr 6fr; align-items: start; } }
.total { font-size: 2.25rem; font-weight: 650; letter-spacing: -.02em; margin: .25rem 0 1rem; }
ul.lines { list-style: none; margin: 0; padding: 0; } ul.lines li { display: flex; gap: 1rem; justify-content: space-between;
  padding: .625rem 0; border-top: 1px solid var(--line); } ul.lines li span:first-child { overflow-wrap: anywhere; }
ul.lines li span:last-child { flex: none; white-space: nowrap; }
.alert { border: 1px solid var(--bad); background: var(--bad-ground); color: var(--bad); border-radius: 8px;
  padding: .75rem 1rem; margin: 0 0 1rem; }
label { display: block; font-size: .9375rem; font-weight: 550; margin: .875rem 0 .25rem; }
input[type=text], input[type=email], input[type=search], select { width: 100%; font: inherit; color: inherit; padding: .625rem .75rem;
  background: var(--card); border: 1px solid var(--soft); border-radius: 8px; min-height: 2.75rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; }
fieldset { border: 0; padding: 0; margin: 1rem 0 0; } legend { font-weight: 600; padding: 0; }
.choice { display: flex; gap: .625rem; align-items: center; border: 1px solid var(--line); border-radius: 8px; padding: .625rem .75rem;
  margin: .5rem 0 0; font-weight: 500; min-height: 2.75rem; } .choice:has(:checked) { border-color: var(--accent); }
.choice input { width: 1.125rem; height: 1.125rem; accent-color: var(--accent); margin: 0; }
form:has(input[value=klarna]:checked) .card-only, form:has(input[value=paypal]:checked) .card-only { display: none; }
button { font: inherit; font-weight: 600; cursor: pointer; border-radius: 8px; border: 1px solid var(--accent); padding: .625rem 1rem;
  min-height: 2.75rem; background: var(--card); color: var(--accent); }
button.main { width: 100%; margin-top: 1.25rem; background: var(--accent); color: var(--accent-ink); }
.stack { display: grid; gap: .75rem; margin-top: 1.25rem; } .stack button { width: 100%; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; } .row input { flex: 1 1 12rem; width: auto; }
.cards { list-style: none; padding: 0; margin: .5rem 0 0; display: grid; gap: .5rem; }
.cards button { width: 100%; text-align: left; font-weight: 500; } .cards .mono { display: block; color: var(--soft); }
summary { cursor: pointer; padding: .5rem 0; font-weight: 600; } details { margin-top: 1rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; } th, td { text-align: left; padding: .5rem .75rem;
  border-top: 1px solid var(--line); vertical-align: top; } thead th { border-top: 0; color: var(--soft); font-weight: 550; }
td .mono, td.mono { overflow-wrap: normal; white-space: nowrap; }
@media (max-width: 44rem) { thead { position: absolute; left: -999px; } tbody tr { display: block; padding: .5rem .75rem;
  border-top: 1px solid var(--line); } tbody tr:first-child { border-top: 0; } td { display: block; border: 0; padding: .125rem 0; }
  td .mono, td.mono { white-space: normal; overflow-wrap: anywhere; } td.num { text-align: left; font-weight: 600; } }
@media (min-width: 44.01rem) { td.num, th.num { text-align: right; } }
td.num, th.num { white-space: nowrap; } td form { margin: 0; } td button { min-height: 2rem; padding: .125rem .625rem; }
iframe { width: 100%; height: 32rem; border: 1px solid var(--line); border-radius: 8px; background: #fff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: .875rem/1.5 ui-monospace, Menlo, monospace; margin: 0; }
dl.facts { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0; } dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; } ol.mails { list-style: none; margin: 0; padding: 0; }
ol.mails a { display: block; padding: .75rem 1rem; border-top: 1px solid var(--line); color: inherit; text-decoration: none; }
ol.mails li:first-child a { border-top: 0; } ol.mails a:hover strong { text-decoration: underline; }
`;
