import { onSubmit, post, takeToken } from './form.js';

const token = takeToken();
onSubmit(
  ({ password }) => post('/api/auth/password/reset', { token, password }),
  'Your new password is set. Log in with it.',
);
