type Node = string | Node[];

/**
 * One spelling for one condition. PostgreSQL keeps `((a AND b) AND c)` as it was written in a migration and prints it
 * so; read back from a dump it is `(a AND b AND c)`. A group that stands alone between ANDs (or ORs) and holds nothing
 * but the same connective is dissolved; every other bracket stays, as does that of a sub-select. Text with unbalanced brackets stays as it is.
 */
export function flattenConditions(text: string): string {
  return text
    .split('\n')
    .map((line) => (line.includes('((') && /\b(AND|OR)\b/.test(line) ? flattenLine(line) : line))
    .join('\n');
}

function flattenLine(line: string): string {
  const root: Node[] = [];
  const open: Node[][] = [root];
  // A quoted text or name is one token: brackets in it are none.
  for (const [token] of line.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\s+|[^\s()'"]+|['"]/g)) {
    const top = open.at(-1);
    if (top === undefined) return line;
    if (token === '(') {
      const group: Node[] = [];
      top.push(group);
      open.push(group);
    } else if (token === ')') {
      if (open.pop() === undefined) return line;
    } else top.push(token);
  }
  return open.length === 1 ? print(flatten(root)) : line;
}

function flatten(nodes: Node[]): Node[] {
  const inner = nodes.map((node) => (typeof node === 'string' ? node : flatten(node)));
  const words = inner.filter((node) => typeof node !== 'string' || node.trim() !== '');
  return inner.flatMap((node): Node[] => {
    if (typeof node === 'string') return [node];
    const at = words.indexOf(node);
    const [before, after] = [words[at - 1], words[at + 1]];
    const connective = before ?? after;
    const alone = (side: Node | undefined) => side === undefined || side === connective;
    const joins = (connective === 'AND' || connective === 'OR') && alone(before) && alone(after);
    // What follows a sub-select's WHERE is its own: `(select .. where p AND r) AND q` is not `select .. where p AND r AND q`.
    const query = /^(select|with|values)$/i.test(
      String(node.find((one) => typeof one === 'string' && one.trim() !== '')),
    );
    return joins && !query && connectives(node).every((word) => word === connective) && connectives(node).length > 0
      ? node
      : [node];
  });
}

const connectives = (nodes: Node[]) => nodes.filter((node) => node === 'AND' || node === 'OR');

const print = (nodes: Node[]): string =>
  nodes.map((node) => (typeof node === 'string' ? node : `(${print(node)})`)).join('');
