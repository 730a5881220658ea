/** How a card ends. `refunds` tells what happens to a refund of it. https://docs.stripe.com/testing */
export type CardOutcome =
  | { kind: 'approved'; refunds?: 'pending' | 'fail'; disputed?: true }
  | { kind: 'declined'; code: string; declineCode: string | null; message: string }
  | { kind: 'three_d_secure'; afterwards: 'approved' | 'declined' };

/** A test card: its brand, what it does, and how the checkout page names it. */
export type TestCard = { number: string; brand: string; label: string; outcome: CardOutcome };

/** The refusal that most declined cards give. */
export const DECLINED = 'Your card was declined.';

const declined = (
  number: string,
  label: string,
  code: string,
  declineCode: string | null,
  message: string,
): TestCard => ({
  number,
  brand: 'visa',
  label,
  outcome: { kind: 'declined', code, declineCode, message },
});
const approved = (number: string, brand: string, label: string): TestCard => ({
  number,
  brand,
  label,
  outcome: { kind: 'approved' },
});

/** Stripe's test cards as far as the sandbox plays them. */
export const TEST_CARDS: readonly TestCard[] = [
  approved('4242424242424242', 'visa', 'pays'),
  approved('5555555555554444', 'mastercard', 'pays (Mastercard)'),
  approved('378282246310005', 'amex', 'pays (American Express)'),
  declined('4000000000000002', 'is declined', 'card_declined', 'generic_decline', DECLINED),
  declined(
    '4000000000009995',
    'has insufficient funds',
    'card_declined',
    'insufficient_funds',
    'Your card has insufficient funds.',
  ),
  declined('4000000000009987', 'was lost', 'card_declined', 'lost_card', DECLINED),
  declined('4000000000000069', 'has expired', 'expired_card', null, 'Your card has expired.'),
  declined('4000000000000127', 'fails the CVC check', 'incorrect_cvc', null, "Your card's security code is incorrect."),
  declined(
    '4000000000000119',
    'meets a processing error',
    'processing_error',
    null,
    'An error occurred while processing your card. Try again in a little bit.',
  ),
  {
    number: '4000002500003155',
    brand: 'visa',
    label: 'asks for 3-D Secure',
    outcome: { kind: 'three_d_secure', afterwards: 'approved' },
  },
  {
    number: '4000002760003184',
    brand: 'visa',
    label: 'always asks for 3-D Secure',
    outcome: { kind: 'three_d_secure', afterwards: 'approved' },
  },
  {
    number: '4000008400001629',
    brand: 'visa',
    label: 'asks for 3-D Secure, then is declined',
    outcome: { kind: 'three_d_secure', afterwards: 'declined' },
  },
  {
    number: '4000000000007726',
    brand: 'visa',
    label: 'pays, refunds stay pending for a while',
    outcome: { kind: 'approved', refunds: 'pending' },
  },
  {
    number: '4000000000005126',
    brand: 'visa',
    label: 'pays, refunds fail later',
    outcome: { kind: 'approved', refunds: 'fail' },
  },
  {
    number: '4000000000000259',
    brand: 'visa',
    label: 'pays, then is disputed',
    outcome: { kind: 'approved', disputed: true },
  },
];

/** The ready-made payment methods of test mode that stand for those cards. */
export const TEST_METHODS: Record<string, string> = {
  pm_card_visa: '4242424242424242',
  pm_card_mastercard: '5555555555554444',
  pm_card_amex: '378282246310005',
  pm_card_chargeDeclined: '4000000000000002',
  pm_card_visa_chargeDeclined: '4000000000000002',
  pm_card_visa_chargeDeclinedInsufficientFunds: '4000000000009995',
  pm_card_chargeDeclinedInsufficientFunds: '4000000000009995',
  pm_card_authenticationRequired: '4000002500003155',
  pm_card_threeDSecure2Required: '4000002760003184',
  pm_card_pendingRefund: '4000000000007726',
  pm_card_refundFail: '4000000000005126',
  pm_card_createDispute: '4000000000000259',
};

/** What a typed card number is; refused numbers come back as a declined card with Stripe's words. */
export function cardByNumber(typed: string): TestCard {
  const number = typed.replaceAll(/[\s-]/g, '');
  const found = TEST_CARDS.find((card) => card.number === number);
  if (found) return found;
  if (!/^\d{12,19}$/.test(number) || !luhn(number)) {
    return declined(number, 'is no card', 'incorrect_number', null, 'Your card number is incorrect.');
  }
  return declined(
    number,
    'is no test card',
    'card_declined',
    'test_mode_live_card',
    'Your card was declined. Your request was in test mode, but used a non test card. Use one of the test cards.',
  );
}

function luhn(number: string): boolean {
  let sum = 0;
  for (const [index, digit] of [...number].reverse().entries()) {
    const doubled = Number(digit) * (index % 2 === 1 ? 2 : 1);
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
