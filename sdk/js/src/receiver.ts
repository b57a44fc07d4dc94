// One subscription's receive window: what comes, from one connection or several, becomes a dense
// sequence with every hole told by name.
//
//          handled          expected                     handled + window
//   ----------|---------------|------------------------------|--------------> seq
//    handled  |  queued: in   |  early: kept, the hole       |  too early: dropped, and fetched
//    by the   |  order, wait  |  before it is filled from    |  later
//    handler  |  for handler  |  `history`                   |
//
// (`expected` is TCP's rcv_nxt, the window its rcv_wnd, `early` the buffer of what is out of
// order.) What lies before `expected` is a repetition and dropped. After a reconnect a connection
// subscribes from handled + 1 with the whole window: so what is held is bounded by the window
// however often it reconnects, and what is queued already comes again and is dropped.
//
// If the history changes (another epoch), what is queued of the old one is forgotten: it may be
// something else under the same numbers now.

import { SeriatimError } from './errors.js';
import type { Gap, Message, Position } from './message.js';
import type { From, Reply } from './wire.js';

export type Item = Message | Gap;

export const isGap = (item: Item): item is Gap => 'reason' in item;

/** What one connection has of a subscription. */
export class Attachment {
  /** The id of `subscribe` while it is not answered; 0: it is. */
  asked = 0;
  on = false;
  epoch = '';
  /** The last number that came on it, and the last one acknowledged. */
  last = 0;
  acked = 0;
  /** Not to be subscribed before. */
  notBefore = 0;
  refusals = 0;
}

export interface ReceiverOptions {
  from: From;
  window: number;
  /** Holes end the subscription; otherwise they are told and it goes on. */
  stopAtGap: boolean;
}

export class Receiver {
  epoch = '';
  /** Everything before is handled. */
  handled = 0;
  /** The next number to be queued. */
  expected = 0;
  /** The position is known: `subscribed` has come, or it was given. */
  known = false;
  /** The latest number that `subscribed` has told: up to there it catches up. */
  latest = 0;
  error: SeriatimError | undefined;
  dropped = 0; // repetitions
  filled = 0; // taken from history
  #highest = 0;
  #queue: Item[] = [];
  #head = 0;
  #current: Item | undefined;
  /** Handled under an older epoch that may have ended before it: it is told apart by its id. */
  #doubtful: Message | undefined;
  #early = new Map<number, Message>();

  constructor(readonly channel: string, readonly options: ReceiverOptions) {
    const { from } = options;
    if (typeof from === 'object' && 'seq' in from && from.epoch !== undefined) {
      this.epoch = from.epoch;
      this.handled = from.seq - 1;
      this.expected = from.seq;
      this.known = true;
    }
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }

  /** Where a connection has to begin. */
  get from(): From {
    return this.position ?? this.options.from;
  }

  /** Where another client would go on: the first message that is not handled. */
  get position(): Position | undefined {
    return this.known ? { epoch: this.epoch, seq: this.handled + 1 } : undefined;
  }

  // ---- to the handler -----------------------------------------------------------------------

  /** What the handler gets next; then done() says that it has been handled. */
  take(): Item | undefined {
    if (this.#head === this.#queue.length) return undefined;
    const item = this.#queue[this.#head]!;
    this.#queue[this.#head] = undefined as never;
    this.#head += 1;
    if (this.#head === this.#queue.length) {
      this.#queue.length = this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#current = item;
    return item;
  }

  done(item: Item): void {
    if (this.#current !== item) return; // the history has changed under it
    this.#current = undefined;
    this.handled = isGap(item) ? item.next - 1 : item.seq;
  }

  // ---- from connections ---------------------------------------------------------------------

  subscribed(at: Attachment, reply: Reply): void {
    at.asked = 0;
    at.on = true;
    at.refusals = 0;
    at.epoch = reply.epoch;
    at.last = at.acked = reply.next - 1;
    this.latest = Math.max(this.latest, reply.latest);
    const { reset } = reply;
    if (!this.known) {
      this.known = true;
      this.epoch = reply.epoch;
      this.expected = this.handled + 1;
      this.#begin(reply.next, reset?.reason);
    } else if (reset !== undefined && reset.reason !== 'trimmed') {
      this.#changeHistory(reply.epoch, reply.next, reset.reason);
    } else {
      if (reply.epoch !== this.epoch) this.#renameHistory(reply.epoch);
      if (reply.next > this.expected) this.#hole(this.expected, reply.next - 1, 'trimmed');
    }
  }

  /** The first position, when none was known. */
  #begin(next: number, reason: string | undefined): void {
    const { from } = this.options;
    const wanted = typeof from === 'object' && 'seq' in from ? from.seq : next;
    this.handled = next - 1;
    this.expected = next;
    if (reason !== undefined) this.#tell(reason, wanted, next - 1);
  }

  message(at: Attachment, message: Message): void {
    const { seq } = message;
    if (seq > at.last) at.last = seq;
    if (at.epoch !== this.epoch) return; // a connection that has not heard of the new history yet
    if (seq === this.expected) {
      if (this.#doubtful !== undefined && this.#isHandled(message)) return;
      message.epoch = this.epoch;
      this.#queue.push(message);
      this.expected = seq + 1;
      if (this.#early.size > 0) this.#drainEarly();
    } else if (seq < this.expected) {
      this.dropped += 1;
    } else {
      this.#keepEarly(message);
    }
  }

  /** Whether the first message under a new epoch is the one that the handler has had. */
  #isHandled(message: Message): boolean {
    const { seq, id } = this.#doubtful!;
    this.#doubtful = undefined;
    if (seq === message.seq && id === message.id) {
      this.expected = seq + 1;
      this.dropped += 1;
      return true;
    }
    if (seq === message.seq) this.#tell('epoch', seq, seq - 1);
    return false;
  }

  #keepEarly(message: Message): void {
    this.#highest = Math.max(this.#highest, message.seq);
    if (message.seq <= this.handled + this.options.window) this.#early.set(message.seq, message);
  }

  #drainEarly(): void {
    for (;;) {
      const message = this.#early.get(this.expected);
      if (message === undefined) return;
      this.#early.delete(this.expected);
      message.epoch = this.epoch;
      this.#queue.push(message);
      this.expected += 1;
    }
  }

  gap(at: Attachment, reply: Reply): void {
    at.last = Math.max(at.last, reply.to);
    at.acked = Math.max(at.acked, reply.to);
    if (at.epoch !== this.epoch || reply.to < this.expected) return;
    if (reply.from > this.expected) {
      this.#highest = Math.max(this.#highest, reply.to); // history will tell the rest
      return;
    }
    this.#hole(this.expected, reply.to, reply.reason);
  }

  reset(at: Attachment, reply: Reply): void {
    at.epoch = reply.epoch;
    at.last = reply.next - 1;
    at.acked = Math.min(at.acked, at.last);
    if (reply.epoch !== this.epoch) this.#changeHistory(reply.epoch, reply.next, reply.reason);
  }

  // ---- holes --------------------------------------------------------------------------------

  #hole(from: number, to: number, reason: string): void {
    if (this.options.stopAtGap && (reason === 'trimmed' || reason === 'damaged')) {
      this.fail(new SeriatimError('gap', `messages ${from} to ${to} are gone (${reason})`,
        { reason, from, to, epoch: this.epoch }));
      return;
    }
    this.#tell(reason, from, to);
    this.expected = to + 1;
    for (const seq of this.#early.keys()) if (seq <= to) this.#early.delete(seq);
    this.#drainEarly();
  }

  #tell(reason: string, from: number, to: number): void {
    this.#queue.push({ channel: this.channel, reason, from, to, epoch: this.epoch, next: to + 1 });
  }

  /** The messages that are missing before what came early. */
  missing(): { from: number; limit: number } | undefined {
    if (this.error !== undefined || this.#highest < this.expected) return undefined;
    let first = this.#highest;
    for (const seq of this.#early.keys()) first = Math.min(first, seq - 1);
    const room = this.handled + this.options.window - this.expected + 1;
    const limit = Math.min(first - this.expected + 1, room, 1000);
    return limit > 0 ? { from: this.expected, limit } : undefined;
  }

  /** The answer to what missing() has asked for. False: ask a connection from the start. */
  history(reply: Reply): boolean {
    if (reply.epoch !== this.epoch) return false;
    if (reply.earliest > this.expected) this.#hole(this.expected, reply.earliest - 1, 'trimmed');
    for (const range of reply.damaged ?? []) {
      if (range.from > this.expected) this.#fillUpTo(reply.messages, range.from);
      if (range.from <= this.expected && range.to >= this.expected) {
        this.#hole(this.expected, range.to, 'damaged');
      }
    }
    this.#fillUpTo(reply.messages, Infinity);
    return true;
  }

  #fillUpTo(messages: readonly Message[], end: number): void {
    for (const message of messages) {
      if (message.seq !== this.expected || message.seq >= end) continue;
      message.epoch = this.epoch;
      this.#queue.push(message);
      this.expected += 1;
      this.filled += 1;
    }
    this.#drainEarly();
  }

  // ---- another history ----------------------------------------------------------------------

  /** Everything up to our position has survived under another name. */
  #renameHistory(epoch: string): void {
    this.epoch = epoch;
    this.#forget(this.handled + 1);
    if (this.#current !== undefined && isGap(this.#current)) this.expected = this.#current.next;
    else this.#doubtful = this.#current;
  }

  #nextOf(item: Item): number {
    return isGap(item) ? item.next : item.seq + 1;
  }

  #forget(next: number): void {
    this.#queue = [];
    this.#head = 0;
    this.#early.clear();
    this.#highest = 0;
    this.#doubtful = undefined;
    this.expected = next;
  }

  #changeHistory(epoch: string, next: number, reason: string): void {
    const from = this.expected;
    // What is queued before the change is the same in both.
    const kept = this.#queue.slice(this.#head).filter((i) => this.#nextOf(i) <= next);
    this.#forget(next);
    this.epoch = epoch;
    const current = this.#current;
    if (current !== undefined && this.#nextOf(current) > next) this.#current = undefined;
    this.#queue.push(...kept);
    this.#tell(reason, from, next - 1);
    if (kept.length === 0 && this.handled >= next) this.handled = next - 1;
  }

  fail(error: SeriatimError): void {
    this.error ??= error;
  }
}
