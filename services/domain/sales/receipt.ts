import { formatMoney, type Money } from './money.ts';

/**
 * Text that may stand in a mail and its subject. What a teacher typed into a title must never make a receipt
 * unrenderable: the receipt is written in the transaction that records the money.
 */
export function plainLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
}

/** One line of text per order line: `2 x One hour of conversation: 50.00 USD`. */
export function receiptLines(lines: readonly { title: string; quantity: number; total: Money }[]): string {
  return lines.map((line) => `${line.quantity} x ${plainLine(line.title)}: ${formatMoney(line.total)}`).join('\n');
}

/** `2026-01-31 14:05 UTC`: the reader's own zone is not known. */
export function receiptTime(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
