const BYTEA_OID = 17;

/**
 * A `bytea[]` parameter in PostgreSQL's binary array format. The driver's text form would send every byte as two hex
 * digits and escape it again inside the array.
 */
export function byteaArray(items: readonly Uint8Array[]): Buffer {
  const size = items.reduce((sum, item) => sum + 4 + item.byteLength, items.length === 0 ? 12 : 20);
  const buffer = Buffer.allocUnsafe(size);
  // Dimensions, flag "has nulls", element type; then length and lower bound of the one dimension.
  let at = buffer.writeInt32BE(items.length === 0 ? 0 : 1, 0);
  at = buffer.writeInt32BE(0, at);
  at = buffer.writeInt32BE(BYTEA_OID, at);
  if (items.length === 0) return buffer;
  at = buffer.writeInt32BE(items.length, at);
  at = buffer.writeInt32BE(1, at);
  for (const item of items) {
    at = buffer.writeInt32BE(item.byteLength, at);
    buffer.set(item, at);
    at += item.byteLength;
  }
  return buffer;
}
