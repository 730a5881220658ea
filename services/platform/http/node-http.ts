/**
 * `node:http` as CommonJS gets it. An `import` of it reads every export to make the bindings, `WebSocket` among them,
 * and with that loads all of undici: 15 MiB and 40 ms that a process without `fetch` does not need.
 */
export const { createServer } = process.getBuiltinModule('node:http');
