/** How the system itself does. See README.md. */
export { readStatusNumbers, type StatusNumbers } from './store.ts';
