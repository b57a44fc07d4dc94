// Every failure that the client tells has a code: those of the protocol as they came, and its own.

/** Codes of the server (docs/PROTOCOL.md, section 10) and of the client itself. */
export type ErrorCode =
  | 'bad_request' | 'unauthorized' | 'gap' | 'already_subscribed' | 'not_subscribed'
  | 'out_of_sequence' | 'producer_unknown' | 'producer_fenced' | 'forbidden' | 'too_large'
  | 'limit_exceeded' | 'rate_limited' | 'unavailable' | 'internal'
  /** The client was closed before an answer came. */
  | 'closed'
  /** No answer within the time that was given. */
  | 'timeout'
  /** The outbox has no room, and nobody may wait any more. */
  | 'outbox_full'
  /** The outbox could not be read or written; the client publishes no more. */
  | 'storage'
  /** Another tab or process owns the outbox. */
  | 'locked'
  /** The server cannot be spoken to: a broken reply, or no WebSocket in this environment. */
  | 'protocol';

export class SeriatimError extends Error {
  override readonly name = 'SeriatimError';

  /** `detail` is the server's error object where there is one. */
  constructor(readonly code: ErrorCode, message: string,
    readonly detail: Readonly<Record<string, unknown>> = {}) {
    super(message);
  }
}

/** The error that an error object of the server stands for. */
export function errorOf(reply: { [name: string]: unknown }): SeriatimError {
  return new SeriatimError(String(reply.code) as ErrorCode, String(reply.message ?? reply.code),
    reply);
}

/** Whether waiting helps: nothing was stored, and the same command may be sent again. */
export function isRetryable(reply: { [name: string]: unknown }): boolean {
  return reply.retry_after_ms !== undefined ||
    /^(unavailable|internal|rate_limited)$/.test(String(reply.code));
}
