import { onSubmit, post, takeToken } from './form.js';

const token = takeToken();
onSubmit(async (credentials) => {
  const { access_token } = await post('/api/auth/login', credentials);
  await post(`/api/invitations/${encodeURIComponent(token)}/accept`, {}, { authorization: `Bearer ${access_token}` });
}, 'Welcome. You are a member now.');
