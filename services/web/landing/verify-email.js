import { onSubmit, post, takeToken } from './form.js';

const token = takeToken();
onSubmit(() => post('/api/auth/verify-email', { token }), 'Your address is confirmed.');
