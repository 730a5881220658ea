type Listener = (queue: string) => void;

const listeners = new Set<Listener>();

/** Tells the workers of this very process that a job was committed; the others find it when they next poll. */
export function wake(queue: string): void {
  for (const listener of listeners) listener(queue);
}

/** Returns the function that ends the listening. */
export function onWake(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
