/** The token of a mail's link. It stands behind `#`, so that no server and no log ever saw it; here it leaves the address bar. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
  history.replaceState(null, '', location.pathname);
  return token;
}

/** Posts JSON; the answer's body, or an Error with what the problem says. */
export async function post(path, body, headers = {}) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text === '' ? {} : JSON.parse(text);
  if (!response.ok) throw new Error(answer.detail ?? 'That did not work. Please try again.');
  return answer;
}

/** Runs `send` on submit and says how it went; the form can be sent again only after a failure. */
export function onSubmit(send, done) {
  const form = document.querySelector('form');
  const output = form.querySelector('output');
  const button = form.querySelector('button');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    output.value = '';
    try {
      await send(Object.fromEntries(new FormData(form)));
      output.value = done;
    } catch (error) {
      output.value = error.message;
      button.disabled = false;
    }
  });
}
