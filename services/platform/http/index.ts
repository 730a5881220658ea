export { decodeCursor, encodeCursor, listOf, listQuery, setCursorKey } from './cursor.ts';
export { queryBool, queryInt, text } from './fields.ts';
export type { Access, Answer, HttpTypes, Method, RateClass, RawAnswer, Responses, Route } from './route.ts';
export { routeFor } from './route.ts';
