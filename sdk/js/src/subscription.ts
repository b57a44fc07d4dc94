// A subscription as the application has it: messages handed on one at a time, in order, each when
// the one before is done.

import { Emitter } from './emitter.js';
import type { Feed } from './engine.js';
import { SeriatimError } from './errors.js';
import type { Gap, Message, Position } from './message.js';
import type { PositionStore } from './position.js';
import { isGap, type Item, type Receiver } from './receiver.js';
import type { From, WhenSlow } from './wire.js';

export type Handler = (message: Message) => unknown;

export interface SubscribeOptions {
  /** Where to begin: `latest` (default), `earliest`, `{seq}`, `{epoch, seq}` or `{time}`. */
  from?: From;
  /** How many messages may be on their way or wait for the handler; 1024. */
  window?: number;
  /** What a hole in the history does: `error` (default) ends the subscription with an error `gap`,
   *  `continue` goes on behind it with an event `gap`; a function is called in its place, and the
   *  subscription goes on when it is done. */
  onGap?: 'error' | 'continue' | ((gap: Gap) => unknown);
  whenSlow?: WhenSlow;
  /** Keeps the position: wins over `from` where it has one. */
  position?: PositionStore;
}

/** opening: not subscribed (any more); catching_up: history comes; live: nothing older is missing;
 *  closed: by close(); failed: see `error`. */
export type SubscriptionState = 'opening' | 'catching_up' | 'live' | 'closed' | 'failed';

export type SubscriptionEvents = {
  state: { state: SubscriptionState; error?: SeriatimError | Error };
  gap: Gap;
};

export interface SubscriptionOps {
  handled(feed: Feed): void;
  unsubscribe(feed: Feed): void;
}

export class Subscription extends Emitter<SubscriptionEvents> implements AsyncIterable<Message> {
  state: SubscriptionState = 'opening';
  error: Error | undefined;
  /** Resolves after close(), when the position is saved; rejects when it has failed. */
  readonly closed: Promise<void>;
  #feed: Feed | undefined;
  #busy = false;
  #waiting: ((message: Message | undefined) => void)[] = []; // next() of the iterator
  #endClosed!: { resolve: () => void; reject: (error: Error) => void };
  #saving: Promise<void> | undefined;
  #saved = 0;

  readonly #options: SubscribeOptions;
  readonly #handler: Handler | undefined;
  readonly #ops: SubscriptionOps;

  constructor(readonly channel: string, options: SubscribeOptions,
    handler: Handler | undefined, ops: SubscriptionOps) {
    super();
    this.#options = options;
    this.#handler = handler;
    this.#ops = ops;
    this.closed = new Promise((resolve, reject) => (this.#endClosed = { resolve, reject }));
    this.closed.catch(() => {}); // who does not look is not to be ended by it
  }

  /** The first message that has not been handled: as `from`, where to go on. */
  get position(): Position | undefined {
    return this.#feed?.receiver.position;
  }

  /** What came again and was dropped, what was taken from history to fill holes. */
  get stats(): { dropped: number; filled: number; queued: number } {
    const r = this.#feed?.receiver;
    return { dropped: r?.dropped ?? 0, filled: r?.filled ?? 0, queued: r?.queued ?? 0 };
  }

  /** Ends it: no message is handed on any more. */
  close(): void {
    this.#end('closed');
  }

  /** For the client: it is known to the connections now. */
  begin(feed: Feed): void {
    if (this.ended) {
      this.#ops.unsubscribe(feed);
      return;
    }
    this.#feed = feed;
    this.arrived();
  }

  fail(error: Error): void {
    this.#end('failed', error);
  }

  get ended(): boolean {
    return this.state === 'closed' || this.state === 'failed';
  }

  #end(state: 'closed' | 'failed', error?: Error): void {
    if (this.ended) return;
    this.error = error;
    if (this.#feed !== undefined) this.#ops.unsubscribe(this.#feed);
    if (error === undefined) void this.#close();
    else this.#endClosed.reject(error);
    this.#move(state);
    for (const give of this.#waiting.splice(0)) give(undefined);
  }

  async #close(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving;
    this.#endClosed.resolve();
  }

  #move(state: SubscriptionState): void {
    if (state === this.state) return;
    this.state = state;
    this.emit('state', { state, error: this.error });
  }

  // ---- handing on ---------------------------------------------------------------------------

  /** For the client: something has come, or the connections have changed. */
  arrived(): void {
    if (this.#feed === undefined || this.ended) return;
    if (this.#busy) return; // done() comes back here
    this.#handOn(this.#feed.receiver);
    this.#updateState(this.#feed);
  }

  #updateState(feed: Feed): void {
    if (this.ended) return;
    const { receiver } = feed;
    if (feed.ended && receiver.error === undefined) this.close();
    else if (!feed.live) this.#move('opening');
    else if (receiver.expected <= receiver.latest) this.#move('catching_up');
    else this.#move('live');
  }

  #handOn(receiver: Receiver): void {
    while (!this.ended) {
      if (this.#handler === undefined && this.#waiting.length === 0) break;
      const item = receiver.take();
      if (item === undefined) break;
      if (this.#hand(item, receiver)) return;
    }
    if (receiver.error !== undefined && receiver.queued === 0) this.fail(receiver.error);
  }

  /** True: it takes time; the rest follows then. */
  #hand(item: Item, receiver: Receiver): boolean {
    let result: unknown;
    try {
      result = isGap(item) ? this.#tellGap(item) : this.#give(item);
    } catch (error) {
      this.fail(error as Error);
      return true;
    }
    if (typeof (result as Promise<unknown> | undefined)?.then !== 'function') {
      this.#done(item, receiver);
      return false;
    }
    this.#busy = true;
    (result as Promise<unknown>).then(() => {
      this.#busy = false;
      this.#done(item, receiver);
      this.arrived();
    }, (error: Error) => {
      this.#busy = false;
      this.fail(error);
    });
    return true;
  }

  #give(message: Message): unknown {
    if (this.#handler !== undefined) return this.#handler(message);
    this.#waiting.shift()!(message);
    // It is handled when the loop asks for the next one, which it may have done.
    if (this.#waiting.length > 0) return undefined;
    return new Promise<void>((resolve) => (this.#release = resolve));
  }

  #release: (() => void) | undefined;

  #tellGap(gap: Gap): unknown {
    const { onGap = 'error' } = this.#options;
    const asked = gap.reason === 'slow' || gap.reason === 'conflated';
    if (onGap === 'error' && !asked) {
      throw new SeriatimError('gap', `the history has a hole (${gap.reason})`, { ...gap });
    }
    this.emit('gap', gap);
    return typeof onGap === 'function' ? onGap(gap) : undefined;
  }

  #done(item: Item, receiver: Receiver): void {
    receiver.done(item);
    if (this.#options.position !== undefined) this.#save();
    if (!this.ended) this.#ops.handled(this.#feed!);
  }

  // ---- the position -------------------------------------------------------------------------

  /** One save at a time; what is handled meanwhile is in the next one. */
  #save(): void {
    const position = this.position;
    if (this.#saving !== undefined || position === undefined) return;
    this.#saved = position.seq;
    try {
      const result = this.#options.position!.save(this.channel, position);
      if (result === undefined) return;
      this.#saving = result.then(() => {
        this.#saving = undefined;
        if (this.position!.seq !== this.#saved) this.#save();
      }, (error: Error) => {
        this.#saving = undefined;
        this.fail(error);
      });
    } catch (error) {
      this.fail(error as Error);
    }
  }

  // ---- for await ----------------------------------------------------------------------------

  [Symbol.asyncIterator](): AsyncIterator<Message, void> {
    if (this.#handler !== undefined) {
      throw new SeriatimError('bad_request', 'a subscription with a handler cannot be iterated');
    }
    return {
      next: () => this.#nextMessage(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #nextMessage(): Promise<IteratorResult<Message, void>> {
    return new Promise((resolve, reject) => {
      const give = (message: Message | undefined) => {
        if (message !== undefined) resolve({ done: false, value: message });
        else if (this.state === 'failed') reject(this.error!);
        else resolve({ done: true, value: undefined });
      };
      if (this.ended) {
        give(undefined);
        return;
      }
      this.#waiting.push(give);
      const release = this.#release;
      this.#release = undefined;
      if (release !== undefined) release();
      else this.arrived();
    });
  }
}
