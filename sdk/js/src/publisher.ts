// Publishing: every message gets its producer's number when it is taken, is kept until the server
// has answered, and is sent as often as that takes, in order.
//
//   STORING --stored--> OPEN --sent--> SENT --published--> DONE
//                        ^              |
//                        +--------------+  the connection is gone, it took too long, or "not now"
//
// The number goes into the outbox before it goes on the wire: a number that was sent and forgotten
// would be given to another message, and that one would be taken for a repetition of the first.
//
// * A refusal that time cures ("not now") and all that follow from it (`out_of_sequence`,
//   `producer_unknown` behind an older message that is still open) rewind: when every answer has
//   come, all that is left is sent again from the oldest.
// * A refusal for good (`too_large`, …) fails its own message. Its number was not used, so those
//   behind it in the channel move down by one, in the outbox first.
// * `producer_unknown` for the oldest of a channel: the channel has forgotten us. What may be
//   stored under the old numbers elsewhere is settled first; then we take a higher epoch and number
//   anew.
// * `producer_fenced`: somebody else is us now. Nothing more is sent.

import { RESEND_CAP_MS, resendMs } from './backoff.js';
import { errorOf, isRetryable, SeriatimError } from './errors.js';
import type { Link } from './link.js';
import { type Payload, type Reply, sizeOf } from './wire.js';

/** What the server would refuse. For a frame that is much too long it would hang up. */
export function tooLarge(payload: Payload, link: Link): SeriatimError | undefined {
  const limit = link.limits.message_bytes ?? Infinity;
  if (payload.length * 3 <= limit) return undefined;
  const size = typeof payload === 'string' ? sizeOf(payload) : payload.length;
  return size <= limit ? undefined
    : new SeriatimError('too_large', `a payload of ${size} bytes; the server takes ${limit}`);
}

/** What `publish` resolves with. */
export interface Published {
  channel: string;
  /** The message's number in the channel; undefined where the server no longer knows it. */
  seq: number | undefined;
  epoch: string;
  /** It had been stored already when it was sent again. */
  duplicate: boolean;
}

export interface Producer {
  id: string;
  epoch: number;
}

/** A message as an outbox keeps it. */
export interface StoredEntry {
  /** Rises from entry to entry: the order of sending, and the name for remove(). */
  ord: number;
  channel: string;
  number: number;
  key: string | undefined;
  payload: Payload;
}

/** All that an outbox holds. */
export interface OutboxState {
  producer: Producer;
  /** The next number of each channel. */
  next: Map<string, number>;
  /** In the order of `ord`. */
  entries: StoredEntry[];
}

export const STORING = 0;
export const OPEN = 1;
export const SENT = 2;
export const DONE = 3;

export class Entry implements StoredEntry {
  ord = 0;
  number = 0;
  state = STORING;
  attempts = 0;
  sentAt = 0;
  timeout = 0;
  /** Sent on a connection that has ended: stored or not, nobody knows. */
  maybe = false;
  since = 0;
  readonly size: number;
  stored: ((error: SeriatimError | undefined) => void) | undefined = undefined;
  promise: Promise<Published> | undefined = undefined;

  constructor(readonly channel: string, readonly key: string | undefined,
    readonly payload: Payload,
    public resolve: ((published: Published) => void) | undefined,
    public reject: ((error: SeriatimError) => void) | undefined) {
    this.size = payload.length + channel.length + 64;
  }
}

export interface PublisherOps {
  random(): number;
  /** Puts all into the outbox in place of what is there, then calls publisher.rewritten(). */
  rewrite(state: OutboxState): void;
  remove(entry: Entry): void;
  /** The server has stored it. */
  told(entry: Entry, published: Published): void;
  /** There is room again; nothing may be taken before this returns. */
  drained(): void;
  /** The producer's epoch is another: connections start anew. `uncertain` messages may have been
   *  stored before the channel forgot the producer. */
  renumbered(uncertain: number, now: number): void;
  failed(error: SeriatimError): void;
}

/** How much may be on its way. */
export interface PublisherOptions {
  messages: number;
  bytes: number;
}

export class Publisher {
  producer: Producer;
  link: Link | undefined;
  error: SeriatimError | undefined;
  /** Kept: all that is not DONE. */
  count = 0;
  bytes = 0;
  inflight = 0;
  resent = 0;
  #inflightBytes = 0;
  #next: Map<string, number>;
  #queue: Entry[] = [];
  #head = 0;
  #cursor = 0;
  #ord = 1;
  #asked = new Map<number, Entry>();
  #rewind = false;
  #pauseUntil = 0;
  #refusals = 0;
  #forgotten: Set<string> | undefined; // channels that know us no more
  #gone = new Set<Entry>(); // refused for good: those behind move down
  #rewriting = false;

  readonly #ops: PublisherOps;
  readonly #options: PublisherOptions;

  constructor(ops: PublisherOps, options: PublisherOptions,
    state: OutboxState) {
    this.#ops = ops;
    this.#options = options;
    this.producer = state.producer;
    this.#next = new Map(state.next);
    for (const kept of state.entries) {
      const entry = new Entry(kept.channel, kept.key, kept.payload, undefined, undefined);
      entry.ord = kept.ord;
      entry.number = kept.number;
      entry.state = OPEN;
      entry.maybe = true;
      this.#queue.push(entry);
      this.#ord = kept.ord + 1;
      this.count += 1;
      this.bytes += entry.size;
    }
  }

  // ---- taking and storing -------------------------------------------------------------------

  /** Numbers a message. Whoever calls this puts it into the outbox, then calls stored(). */
  take(entry: Entry, now: number): void {
    const number = this.#next.get(entry.channel) ?? 1;
    this.#next.set(entry.channel, number + 1);
    entry.number = number;
    entry.ord = this.#ord;
    this.#ord += 1;
    entry.since = now;
    this.#queue.push(entry);
    this.count += 1;
    this.bytes += entry.size;
  }

  stored(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.state !== STORING) continue;
      entry.state = OPEN;
      entry.stored?.(undefined);
      entry.stored = undefined;
    }
  }

  /** Everything that is not answered, oldest first. */
  * pending(): Generator<Entry> {
    for (let i = this.#head; i < this.#queue.length; i += 1) {
      if (this.#queue[i]!.state !== DONE) yield this.#queue[i]!;
    }
  }

  #finish(entry: Entry): void {
    entry.state = DONE;
    this.count -= 1;
    this.bytes -= entry.size;
    while (this.#queue[this.#head]?.state === DONE) this.#head += 1;
    if (this.#cursor < this.#head) this.#cursor = this.#head;
    if (this.#head > 4096 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#cursor -= this.#head;
      this.#head = 0;
    }
    this.#ops.remove(entry);
    this.#ops.drained();
  }

  /** Nothing is sent any more; who waits is told. */
  fail(error: SeriatimError): void {
    if (this.error !== undefined) return;
    this.error = error;
    for (const entry of this.pending()) {
      entry.stored?.(error);
      entry.reject?.(error);
      entry.resolve = entry.reject = entry.stored = undefined;
    }
    this.#ops.failed(error);
  }

  // ---- sending ------------------------------------------------------------------------------

  /** `link` is ready and carries the messages from now on; undefined: none is there. */
  use(link: Link | undefined, now: number): void {
    if (link === this.link) return;
    this.link = link;
    this.#asked.clear();
    for (const entry of this.pending()) {
      if (entry.state === SENT) {
        entry.state = OPEN;
        entry.maybe = true;
      }
    }
    this.inflight = this.#inflightBytes = 0;
    this.#cursor = this.#head;
    this.pump(now);
  }

  pump(now: number): void {
    const link = this.link;
    if (link === undefined || this.error !== undefined || this.#rewriting) return;
    if (this.#rewind && !this.#rewound(now)) return;
    const { messages, bytes } = this.#options;
    while (this.#cursor < this.#queue.length && this.inflight < messages &&
      this.#inflightBytes < bytes && !this.#rewind) {
      const entry = this.#queue[this.#cursor]!;
      if (entry.state === STORING) break;
      this.#cursor += 1;
      if (entry.state === OPEN && this.#maySend(entry)) this.#send(link, entry, now);
    }
    const isSettled = this.inflight === 0 && this.#cursor === this.#queue.length;
    if (this.#forgotten !== undefined && isSettled) {
      this.#raiseEpoch(now);
    }
  }

  #maySend(entry: Entry): boolean {
    return this.#forgotten === undefined || (entry.maybe && !this.#forgotten.has(entry.channel));
  }

  #send(link: Link, entry: Entry, now: number): void {
    const error = tooLarge(entry.payload, link);
    if (error !== undefined) {
      this.#refuseForGood(entry, error);
      return;
    }
    const id = link.takeId();
    entry.state = SENT;
    this.resent += entry.attempts > 0 ? 1 : 0;
    entry.attempts += 1;
    entry.sentAt = now;
    entry.timeout = resendMs(entry.attempts, this.#ops.random());
    this.inflight += 1;
    this.#inflightBytes += entry.size;
    this.#asked.set(id, entry);
    link.publish(id, entry.channel, entry.number, entry.key, entry.payload);
  }

  /** All answers are there and the pause is over: from the oldest again. */
  #rewound(now: number): boolean {
    if (this.inflight > 0 || now < this.#pauseUntil) return false;
    this.#rewind = false;
    this.#cursor = this.#head;
    if (this.#gone.size > 0) this.#moveDown();
    return !this.#rewriting;
  }

  // ---- time ---------------------------------------------------------------------------------

  deadline(): number {
    if (this.link === undefined || this.error !== undefined || this.#rewriting) return Infinity;
    if (this.#rewind && this.inflight === 0) return this.#pauseUntil;
    const oldest = this.#oldestSent();
    return oldest === undefined ? Infinity : oldest.sentAt + oldest.timeout;
  }

  #oldestSent(): Entry | undefined {
    if (this.inflight === 0) return undefined;
    for (let i = this.#head; i < this.#cursor; i += 1) {
      if (this.#queue[i]!.state === SENT) return this.#queue[i];
    }
    return undefined;
  }

  tick(now: number): void {
    if (this.link === undefined || now < this.deadline()) return;
    if (this.inflight > 0) {
      this.link.probe(now, RESEND_CAP_MS / 3);
      for (let i = this.#head; i < this.#cursor; i += 1) {
        const entry = this.#queue[i]!;
        if (entry.state === SENT && now >= entry.sentAt + entry.timeout) this.#reopen(entry, true);
      }
      if (!this.#rewind) this.#cursor = this.#head;
    }
    this.pump(now);
  }

  #reopen(entry: Entry, maybe: boolean): void {
    entry.state = OPEN;
    entry.maybe ||= maybe;
    this.inflight -= 1;
    this.#inflightBytes -= entry.size;
  }

  // ---- answers ------------------------------------------------------------------------------

  published(link: Link, reply: Reply, now: number): void {
    if (link !== this.link || reply.id === undefined) return;
    const count = reply.publishes ?? 1;
    for (let i = 0; i < count; i += 1) {
      const entry = this.#asked.get(reply.id + i);
      this.#asked.delete(reply.id + i);
      if (entry !== undefined && entry.state !== DONE) {
        this.#done(entry, reply.seq === undefined ? undefined : reply.seq + i, reply);
      }
    }
    this.#refusals = this.#rewind ? this.#refusals : 0;
    this.pump(now);
  }

  #done(entry: Entry, seq: number | undefined, reply: Reply): void {
    if (entry.state === SENT) {
      this.inflight -= 1;
      this.#inflightBytes -= entry.size;
    }
    this.#finish(entry);
    const published = { channel: entry.channel, seq, epoch: reply.epoch,
      duplicate: reply.duplicate === true };
    entry.resolve?.(published);
    this.#ops.told(entry, published);
  }

  /** True: the error was an answer to one of ours. */
  refused(link: Link, reply: Reply, now: number): boolean {
    const entry = link === this.link ? this.#asked.get(reply.id ?? 0) : undefined;
    if (entry === undefined) return false;
    this.#asked.delete(reply.id!);
    if (entry.state !== SENT) return true; // answered, or on its way again under another id
    this.#reopen(entry, reply.code === 'internal');
    const sequence = reply.code === 'out_of_sequence' || reply.code === 'producer_unknown';
    if (reply.code === 'producer_fenced') {
      this.fail(errorOf(reply));
    } else if (sequence && this.#olderIsOpen(entry)) {
      this.#rewind = true;
    } else if (sequence) {
      this.#forgotten = (this.#forgotten ?? new Set()).add(entry.channel);
      this.#rewind = true;
    } else if (isRetryable(reply)) {
      this.#pause(reply, now);
    } else {
      this.#refuseForGood(entry, errorOf(reply));
    }
    this.pump(now);
    return true;
  }

  #olderIsOpen(entry: Entry): boolean {
    for (let i = this.#head; this.#queue[i] !== entry; i += 1) {
      const older = this.#queue[i]!;
      if (older.channel === entry.channel && (older.state !== DONE || this.#gone.has(older))) {
        return true;
      }
    }
    return false;
  }

  #pause(reply: Reply, now: number): void {
    const asked = Number(reply.retry_after_ms) || resendMs(this.#refusals + 1, 0);
    const wait = Math.min(asked, 60_000) * (1 + this.#ops.random() / 4);
    this.#pauseUntil = Math.max(this.#pauseUntil, now + wait);
    this.#refusals += 1;
    this.#rewind = true;
  }

  #refuseForGood(entry: Entry, error: SeriatimError): void {
    this.#gone.add(entry);
    this.#rewind = true;
    entry.reject?.(error);
    entry.resolve = entry.reject = undefined;
  }

  // ---- numbering anew -----------------------------------------------------------------------

  /** Those behind a message that was refused for good take its number. */
  #moveDown(): void {
    const less = new Map<string, number>();
    for (const entry of [...this.pending()]) {
      const by = less.get(entry.channel) ?? 0;
      if (this.#gone.has(entry)) {
        less.set(entry.channel, by + 1);
        this.#finish(entry);
      } else {
        entry.number -= by;
      }
    }
    for (const [channel, by] of less) this.#next.set(channel, this.#next.get(channel)! - by);
    this.#gone.clear();
    this.#rewrite();
  }

  /** [P 5] a higher epoch, numbers from 1. */
  #raiseEpoch(now: number): void {
    let uncertain = 0;
    const next = new Map<string, number>();
    for (const entry of this.pending()) {
      uncertain += entry.maybe ? 1 : 0;
      entry.maybe = false;
      entry.number = next.get(entry.channel) ?? 1;
      next.set(entry.channel, entry.number + 1);
    }
    this.#forgotten = undefined;
    this.#next = next;
    this.producer = { id: this.producer.id, epoch: this.producer.epoch + 1 };
    this.#rewrite();
    this.#ops.renumbered(uncertain, now);
  }

  #rewrite(): void {
    this.#rewriting = true;
    const entries = [...this.pending()];
    this.#ops.rewrite({ producer: this.producer, next: this.#next, entries });
  }

  /** `entries` are in the outbox with their new numbers. */
  rewritten(entries: readonly StoredEntry[], now: number): void {
    this.#rewriting = false;
    this.stored(entries as readonly Entry[]);
    this.pump(now);
  }
}
