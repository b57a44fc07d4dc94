// How long to wait: before connecting again, and before sending again.

export interface BackoffOptions {
  /** The first wait is a random time up to this, the next one up to twice that, and so on. */
  baseMs: number;
  /** No wait is longer. */
  capMs: number;
}

/** Exponential backoff with full jitter: `drawn` is a random number from 0 up to 1. */
export function backoffMs(options: BackoffOptions, attempt: number, drawn: number): number {
  const whole = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return Math.floor(whole * drawn);
}

export const RESEND_FIRST_MS = 1000;
export const RESEND_CAP_MS = 30_000;

/** The time that a message sent `attempts` times waits for its answer: 1 s, 2 s, 4 s … up to 30 s,
 *  and up to a quarter more, so that many clients do not repeat at once. */
export function resendMs(attempts: number, drawn: number): number {
  const whole = Math.min(RESEND_CAP_MS, RESEND_FIRST_MS * 2 ** Math.max(0, attempts - 1));
  return Math.floor(whole * (1 + drawn / 4));
}
