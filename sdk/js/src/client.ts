// The client: sockets, timers and promises around the engine.

import { BinaryCodec } from './codec_binary.js';
import { JsonCodec } from './codec_json.js';
import { Emitter } from './emitter.js';
import { Engine, type EngineOps, type Feed } from './engine.js';
import { SeriatimError } from './errors.js';
import { Keeper } from './keeper.js';
import type { Link, LinkState } from './link.js';
import type { Message, Position } from './message.js';
import { MemoryOutbox, type Outbox } from './outbox.js';
import {
  Entry, type Published, Publisher, type PublisherOps, STORING, tooLarge,
} from './publisher.js';
import { Receiver } from './receiver.js';
import { type Handler, type SubscribeOptions, Subscription } from './subscription.js';
import { findWebSocket, type Socket, type SocketConstructor } from './websocket.js';
import { type Command, type Payload, type Reply, sizeOf } from './wire.js';

/** Called before each attempt to connect; `refresh`: the last token was refused. */
export type TokenSource = (refresh: boolean) => string | Promise<string>;

export interface ClientOptions {
  token?: string | TokenSource;
  /** Who publishes. Without it a new one each time; with an outbox that lasts, the outbox's own. */
  producer?: string | { id: string; epoch?: number };
  /** Where messages are kept until they are acknowledged: memory, if nothing is given. */
  outbox?: Outbox;
  /** How much the outbox may hold: 10,000 messages, 16 MiB. */
  outboxLimits?: { messages?: number; bytes?: number };
  /** A full outbox lets `publish` wait (default), or fail with `outbox_full`. */
  whenFull?: 'wait' | 'error';
  codec?: 'json' | 'binary';
  /** 2: two connections; what one does not bring the other does. */
  redundancy?: number;
  /** 200 and 30,000 ms. */
  backoff?: { baseMs?: number; capMs?: number };
  connectTimeoutMs?: number;
  requestTimeoutMs?: number;
  /** How long an asked server may be silent: 10 s. */
  pongTimeoutMs?: number;
  /** Publishes on their way at a time: 1024 messages, 4 MiB. */
  inflight?: { messages?: number; bytes?: number };
  /** The WebSocket constructor, where the environment has none. */
  WebSocket?: unknown;
}

/** connecting: at least one connection is being made; open: one is there; waiting: until the next
 *  attempt; failed: the server refuses us for good; closed: by close(). */
export type ClientState = 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';

export type ClientEvents = {
  state: { state: ClientState; error?: SeriatimError };
  /** One connection of possibly several. */
  connection: { index: number; state: LinkState; url: string | undefined; error?: SeriatimError;
    retryInMs?: number };
  /** A message is stored, also one that an earlier run has left in the outbox. */
  published: Published & { number: number };
  /** A channel had forgotten the producer: what is pending was numbered anew. `uncertain` of it had
   *  been sent before, and may be stored twice. */
  renumbered: { uncertain: number };
  /** Nothing can be published any more. */
  publisher: { error: SeriatimError };
};

/** A message that is not acknowledged yet. */
export interface Pending {
  channel: string;
  /** The producer's own number of it. */
  number: number;
  key: string | undefined;
  state: 'storing' | 'waiting' | 'sent';
  attempts: number;
  /** How long it has been pending, and when it is sent again if no answer comes. */
  ageMs: number;
  resendInMs: number | undefined;
}

export interface HistoryOptions {
  from?: number;
  limit?: number;
  reverse?: boolean;
}

export interface Digest {
  epoch: string;
  seq: number;
  /** 16 hexadecimal digits. */
  digest: string;
}

export interface History {
  epoch: string;
  earliest: number;
  latest: number;
  messages: Message[];
  more: boolean;
  damaged: { from: number; to: number }[];
}

const STATES = ['storing', 'waiting', 'sent', 'sent'] as const;
const WAITERS_MAX = 10_000; // calls of publish that wait for room
const FLUSH_BYTES = 64 * 1024;
const REMOVE_MS = 50;
const ORPHANS_MS = 30_000;

function checkName(name: unknown, what: string, least: number): void {
  if (typeof name !== 'string' || name.length < least ||
    (least > 0 && /[\u0000-\u001f\u007f-\u009f]/.test(name)) || /\p{Surrogate}/u.test(name)) {
    throw new SeriatimError('bad_request', `${what} is not a name`);
  }
  if (name.length > 85 && sizeOf(name) > 255) {
    throw new SeriatimError('too_large', `${what} is longer than 255 bytes`);
  }
}

/** A JSON server refuses what is none; in a binary frame it would be another number. */
function checkInt(n: number | undefined, what: string, least: number): void {
  if (n !== undefined && !(Number.isSafeInteger(n) && n >= least)) {
    throw new SeriatimError('bad_request', `${what} is not an integer >= ${least}`);
  }
}

function payloadOf(data: unknown): Payload {
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
    const view = data as ArrayBufferView; // a copy of what it shows: it may change
    return new Uint8Array(view.buffer ?? data, view.byteOffset, view.byteLength).slice();
  }
  let why: unknown;
  try {
    const text = JSON.stringify(data);
    if (text !== undefined) return text;
  } catch (error) {
    why = error;
  }
  throw new SeriatimError('bad_request', `data is no JSON value: ${why}`);
}

function urlOf(given: string): string {
  const url = new URL(given);
  url.protocol = url.protocol.replace('http', 'ws');
  if (url.pathname === '/') url.pathname = '/v1/ws';
  return url.href;
}

export class Client extends Emitter<ClientEvents> implements EngineOps, PublisherOps {
  state: ClientState = 'connecting';
  error: SeriatimError | undefined;
  readonly #engine: Engine;
  readonly #outbox: Outbox;
  #keeper: Keeper | undefined;
  #publisher: Publisher | undefined;
  #publisherError: SeriatimError | undefined;
  readonly #room: { messages: number; bytes: number };
  #waiters: Entry[] = [];
  #lastTaken: Entry | undefined;
  #flushers: (() => void)[] = [];
  #sockets: (Socket | undefined)[] = [];
  #corked: number[] = [];
  #flushDue = false;
  #Ws: SocketConstructor | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #last = 0;
  #behind = 0;
  #armDue = false;
  #admitDue = false;
  #removeTimer: ReturnType<typeof setTimeout> | undefined;
  #orphanMs = 500;
  #orphanTimer: ReturnType<typeof setTimeout> | undefined;
  #adopted: Client[] = [];
  #subscriptions = new Map<Feed, Subscription>();
  #unlisten: (() => void)[] = [];
  #started = false;

  readonly #options: ClientOptions;

  constructor(urls: string | readonly string[], options: ClientOptions = {}) {
    super();
    this.#options = options;
    const { producer } = options;
    this.#room = { messages: 10_000, bytes: 16 << 20, ...options.outboxLimits };
    this.#outbox = options.outbox ??
      new MemoryOutbox(typeof producer === 'string' ? { id: producer } : producer);
    this.#engine = new Engine({
      urls: (typeof urls === 'string' ? [urls] : urls.length > 0 ? urls : ['']).map(urlOf),
      redundancy: options.redundancy ?? 1,
      codec: () => (options.codec === 'binary' ? new BinaryCodec() : new JsonCodec()),
      backoff: { baseMs: 200, capMs: 30_000, ...options.backoff },
      openTimeoutMs: options.connectTimeoutMs ?? 10_000,
      pongTimeoutMs: options.pongTimeoutMs ?? 10_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      tokenIsRefreshed: typeof options.token === 'function',
    }, this);
    void this.#begin();
  }

  // ---- starting and ending ------------------------------------------------------------------

  async #begin(): Promise<void> {
    try {
      this.#Ws = await findWebSocket(this.#options.WebSocket);
    } catch (error) {
      this.#stop('failed', error as SeriatimError);
      return;
    }
    try {
      const state = await this.#outbox.open();
      this.#publisher = new Publisher(this, {
        messages: 1024, bytes: 4 << 20, ...this.#options.inflight }, state);
    } catch (error) {
      this.failed(error instanceof SeriatimError ? error
        : new SeriatimError('storage', `the outbox: ${(error as Error).message}`));
    }
    if (this.#isOver) {
      void this.#outbox.close();
      return;
    }
    if (!(this.#outbox instanceof MemoryOutbox)) {
      this.#keeper = new Keeper(this.#outbox, {
        stored: (entries) => this.#stored(entries),
        rewritten: (entries) => this.#act((now) => this.#publisher!.rewritten(entries, now)),
        failed: (error) => this.#publisher!.fail(error),
      });
    }
    this.#started = true;
    this.#listen();
    this.#act((now) => {
      this.#engine.start(now);
      if (this.#publisher !== undefined) this.#engine.usePublisher(this.#publisher, now);
    });
    if (globalThis.navigator?.onLine === false) this.setOnline(false);
    this.#admit();
    void this.#adopt();
  }

  get #isOver(): boolean {
    return this.state === 'closed' || this.state === 'failed';
  }

  /** What ended the client. */
  get #end(): SeriatimError {
    return this.error ?? new SeriatimError('closed', 'the client is closed');
  }

  /** Ends the client. What is not acknowledged stays in an outbox that lasts. */
  async close(): Promise<void> {
    const subscriptions = [...this.#subscriptions.values()];
    this.#stop('closed');
    await Promise.allSettled(subscriptions.map((s) => s.closed)); // their positions are saved
    await Promise.all(this.#adopted.map((c) => c.close()));
    await this.#keeper?.flush();
    if (this.#started) await this.#outbox.close();
  }

  #stop(state: 'closed' | 'failed', error?: SeriatimError): void {
    if (this.#isOver) return;
    const was = this.state;
    this.state = state;
    this.error = error;
    for (const end of this.#unlisten.splice(0)) end();
    for (const subscription of this.#subscriptions.values()) {
      if (error === undefined) subscription.close();
      else subscription.fail(error);
    }
    this.#flushFrames();
    this.#engine.stop(this.#now, error);
    this.failed(this.#end);
    for (const timer of [this.#timer, this.#removeTimer, this.#orphanTimer]) clearTimeout(timer);
    if (was !== state) this.emit('state', { state, error });
  }

  /** Network and page tell what they know. */
  #listen(): void {
    const window = globalThis as unknown as EventTarget & { document?: Document };
    if (window.document === undefined) return;
    const on = (target: EventTarget, name: string, listener: () => void) => {
      target.addEventListener(name, listener);
      this.#unlisten.push(() => target.removeEventListener(name, listener));
    };
    on(window, 'online', () => this.setOnline(true));
    on(window, 'offline', () => this.setOnline(false));
    on(window.document, 'visibilitychange', () => {
      if (window.document!.visibilityState === 'visible') this.wake();
    });
    on(window, 'pageshow', () => this.wake());
  }

  /** For surroundings that know of the network and have no window. */
  setOnline(online: boolean): void {
    if (this.#started) this.#act((now) => this.#engine.setOnline(online, now));
  }

  /** Looks at once whether the connections are still there, and connects where they are not. */
  wake(): void {
    this.setOnline(globalThis.navigator?.onLine ?? true);
  }

  /** Sends what outboxes hold that nobody has any more: those of tabs that were closed. */
  async #adopt(): Promise<void> {
    if (this.#outbox.orphans === undefined || this.#isOver) return;
    const urls = this.#engine.endpoints.all.map((e) => e.url);
    for (const outbox of await this.#outbox.orphans().catch(() => [])) {
      const state = await outbox.open().catch(() => undefined); // another may have it after all
      if (state === undefined) continue;
      if (this.#isOver) {
        await outbox.close();
        return;
      }
      outbox.open = () => Promise.resolve(state);
      const client = new Client(urls, { ...this.#options, outbox, redundancy: 1 });
      this.#adopted.push(client);
      void client.flush().catch(() => {}).then(() => {
        this.#adopted = this.#adopted.filter((c) => c !== client);
        return client.close();
      });
    }
    if (this.#isOver) return;
    this.#orphanTimer = setTimeout(() => void this.#adopt(), this.#orphanMs);
    this.#orphanMs = Math.min(ORPHANS_MS, this.#orphanMs * 2);
  }

  // ---- publishing ---------------------------------------------------------------------------

  /** Publishes a JSON value, or bytes. Resolves when the server has it as safe as it promises;
   *  until then it is kept and sent again. Messages of one client to one channel stay in the order
   *  of these calls. Where the outbox is full it waits. */
  publish(channel: string, data: unknown, options: { key?: string } = {}): Promise<Published> {
    let entry: Entry | undefined;
    const promise: Promise<Published> = new Promise((resolve, reject) => {
      checkName(channel, 'channel', 1);
      if (options.key !== undefined) checkName(options.key, 'key', 0);
      entry = new Entry(channel, options.key, payloadOf(data), resolve, reject);
      this.#offer(entry);
    });
    if (entry !== undefined) entry.promise = promise;
    return promise;
  }

  /** Resolves when everything published so far is in the outbox: no restart can lose it. */
  allStored(): Promise<void> {
    const last = this.#waiters[this.#waiters.length - 1] ?? this.#lastTaken;
    if (this.#publisherError !== undefined) return Promise.reject(this.#publisherError);
    if (last === undefined || (last.ord !== 0 && last.state !== STORING)) {
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const before = last.stored;
      last.stored = (error) => {
        before?.(error);
        if (error === undefined) resolve();
        else reject(error);
      };
    });
  }

  #offer(entry: Entry): void {
    const error = this.#publisherError ?? tooLarge(entry.payload, this.#engine.links[0]!);
    if (error !== undefined) {
      this.#refuse(entry, error);
    } else if (this.#waiters.length === 0 && this.#hasRoom()) {
      this.#take(entry);
    } else if ((this.#publisher !== undefined && this.#options.whenFull === 'error') ||
      this.#waiters.length >= WAITERS_MAX) {
      this.#refuse(entry, new SeriatimError('outbox_full', 'the outbox is full'));
    } else {
      this.#waiters.push(entry);
    }
  }

  #refuse(entry: Entry, error: SeriatimError): void {
    entry.stored?.(error);
    entry.reject?.(error);
  }

  #hasRoom(): boolean {
    const publisher = this.#publisher;
    return publisher !== undefined && this.#started &&
      publisher.count < this.#room.messages && publisher.bytes < this.#room.bytes;
  }

  #take(entry: Entry): void {
    this.#publisher!.take(entry, this.#now);
    this.#lastTaken = entry;
    if (this.#keeper === undefined) this.#stored([entry]);
    else this.#keeper.append(entry);
  }

  #stored(entries: readonly Entry[]): void {
    this.#publisher!.stored(entries);
    this.#act((now) => this.#publisher!.pump(now));
  }

  #admit(): void {
    let taken = 0;
    while (taken < this.#waiters.length && this.#hasRoom()) {
      this.#take(this.#waiters[taken]!);
      taken += 1;
    }
    if (taken > 0) this.#waiters.splice(0, taken);
    // Those called before the outbox was open.
    if (this.#options.whenFull === 'error') for (const w of this.#waiters.splice(0)) this.#offer(w);
    if (this.#waiters.length === 0 && this.#publisher?.count === 0) {
      for (const resolve of this.#flushers.splice(0)) resolve();
    }
  }

  /** Everything that is not acknowledged, oldest first. */
  pending(): Pending[] {
    const now = this.#now;
    return [...(this.#publisher?.pending() ?? [])].map((e) => ({
      channel: e.channel, number: e.number, key: e.key, state: STATES[e.state]!,
      attempts: e.attempts, ageMs: now - e.since,
      resendInMs: e.state === 2 ? Math.max(0, e.sentAt + e.timeout - now) : undefined }));
  }

  /** How often something was sent again. */
  get resent(): number {
    return this.#publisher?.resent ?? 0;
  }

  /** Resolves when everything published so far is acknowledged. */
  flush(): Promise<void> {
    if (this.#publisherError !== undefined) return Promise.reject(this.#publisherError);
    return new Promise((resolve, reject) => {
      this.#flushers.push(() => (this.#publisherError === undefined || this.#publisher?.count === 0
        ? resolve() : reject(this.#publisherError)));
      if (this.#started) this.#admit();
    });
  }

  // ---- PublisherOps -------------------------------------------------------------------------

  rewrite(state: Parameters<PublisherOps['rewrite']>[0]): void {
    if (this.#keeper !== undefined) this.#keeper.rewrite(state);
    else queueMicrotask(() => this.#act((now) => this.#publisher!.rewritten(state.entries, now)));
  }

  remove(entry: Parameters<PublisherOps['remove']>[0]): void {
    if (this.#keeper === undefined) return;
    this.#keeper.remove(entry);
    this.#removeTimer ??= setTimeout(() => {
      this.#removeTimer = undefined;
      void this.#keeper!.flush();
    }, REMOVE_MS);
  }

  told(entry: Entry, published: Published): void {
    if (this.listens('published')) {
      this.emit('published', { ...published, number: entry.number });
    }
  }

  drained(): void {
    if (this.#admitDue || (this.#waiters.length === 0 && this.#flushers.length === 0)) return;
    this.#admitDue = true;
    queueMicrotask(() => {
      this.#admitDue = false;
      this.#admit();
    });
  }

  renumbered(uncertain: number, now: number): void {
    this.emit('renumbered', { uncertain });
    this.#engine.renumbered(now);
  }

  failed(error: SeriatimError): void {
    if (this.#publisherError !== undefined) return;
    this.#publisherError = error;
    if (error.code === 'closed') {
      // Who closes the client without waiting knows; that nobody looks is no fault of theirs.
      for (const entry of [...this.#waiters, ...(this.#publisher?.pending() ?? [])]) {
        entry.promise?.catch(() => {});
      }
    }
    this.#publisher?.fail(error);
    for (const waiter of this.#waiters.splice(0)) this.#refuse(waiter, error);
    for (const resolve of this.#flushers.splice(0)) resolve();
    if (error.code !== 'closed') this.emit('publisher', { error });
  }

  // ---- subscribing --------------------------------------------------------------------------

  /** Every message of the channel from `from` on, in order, to the handler one at a time, or to
   *  `for await`. */
  subscribe(channel: string, options?: SubscribeOptions, handler?: Handler): Subscription;
  subscribe(channel: string, handler: Handler): Subscription;
  subscribe(channel: string, options: SubscribeOptions | Handler = {},
    handler?: Handler): Subscription {
    if (typeof options === 'function') return this.subscribe(channel, {}, options);
    checkName(channel, 'channel', 1);
    const subscription = new Subscription(channel, options, handler, {
      handled: (feed) => this.#act((now) => this.#engine.handled(feed, now)),
      unsubscribe: (feed) => this.#act(() => {
        this.#subscriptions.delete(feed);
        this.#engine.unsubscribe(feed);
      }),
    });
    const load = options.position?.load(channel);
    if (!(load && 'then' in load)) {
      this.#beginSubscription(subscription, options, load);
    } else {
      load.then((position) => this.#beginSubscription(subscription, options, position))
        .catch((error: Error) => subscription.fail(error));
    }
    return subscription;
  }

  #beginSubscription(subscription: Subscription, options: SubscribeOptions,
    position: Position | undefined): void {
    if (this.#isOver) {
      subscription.fail(this.#end);
      return;
    }
    const { whenSlow = 'catch_up', onGap = 'error', window = 1024 } = options;
    if (whenSlow !== 'catch_up' && this.#engine.links.length > 1) {
      throw new SeriatimError('bad_request', 'whenSlow with redundancy');
    }
    const from = position ?? options.from ?? 'latest';
    const { seq, time, epoch = '' } = from as { seq?: number; time?: number; epoch?: unknown };
    checkInt(time ?? seq, 'from', time === undefined ? 1 : 0);
    checkInt(window, 'window', 1);
    if (typeof epoch !== 'string' ||
      (seq === time && from !== 'earliest' && from !== 'latest')) {
      throw new SeriatimError('bad_request', 'from is not a position');
    }
    const receiver = new Receiver(subscription.channel,
      { window, from, stopAtGap: onGap === 'error' });
    this.#act((now) => {
      const feed = this.#engine.subscribe(receiver, whenSlow, now);
      this.#subscriptions.set(feed, subscription);
      subscription.begin(feed);
    });
  }

  arrived(feed: Feed): void {
    this.#subscriptions.get(feed)?.arrived();
  }

  // ---- asking -------------------------------------------------------------------------------

  #request(command: Command & { channel: string }, seq: number | undefined): Promise<Reply> {
    return new Promise((resolve, reject) => {
      checkName(command.channel, 'channel', 1);
      checkInt(seq, 'from', 0);
      if (this.#isOver) throw this.#end;
      this.#act((now) => this.#engine.request(command, now,
        (reply, error) => (reply === undefined ? reject(error) : resolve(reply))));
    });
  }

  /** Up to 1000 messages of a channel at a time; `more` says that there are more. */
  async history(channel: string, options: HistoryOptions = {}): Promise<History> {
    checkInt(options.limit, 'limit', 1);
    const reply = await this.#request({ type: 'history', channel, ...options }, options.from);
    return { more: false, damaged: [], ...reply } as unknown as History;
  }

  /** One number for everything up to message `seq`: equal digests, equal histories. */
  digest(channel: string, seq?: number): Promise<Digest> {
    return this.#request({ type: 'digest', channel, seq }, seq) as Promise<Reply & Digest>;
  }

  // ---- EngineOps ----------------------------------------------------------------------------

  random(): number {
    return Math.random();
  }

  linkChanged(link: Link, now: number, error?: SeriatimError): void {
    this.emit('connection', { index: link.index, state: link.state, url: link.endpoint?.url, error,
      ...(link.state === 'waiting' ? { retryInMs: Math.max(0, link.due - now) } : {}) });
    if (this.#isOver) return;
    const states = new Set(this.#engine.links.map((l) => l.state));
    if (states.size === 1 && states.has('stopped')) {
      this.#stop('failed', error);
      return;
    }
    const state = states.has('ready') ? 'open'
      : states.has('opening') || states.has('greeting') ? 'connecting' : 'waiting';
    if (state === this.state) return;
    this.state = state;
    this.error = state === 'waiting' ? error : undefined;
    this.emit('state', { state, error });
  }

  open(link: Link, url: string, refreshToken: boolean): void {
    const { token } = this.#options;
    let socket: Socket;
    try {
      // The options are for the package ws: small frames gain nothing from compression.
      socket = new this.#Ws!(url, link.codec.subprotocol, { perMessageDeflate: false });
    } catch (error) {
      queueMicrotask(() => this.#act((now) => link.closed(now, 1006, (error as Error).message)));
      return;
    }
    this.#sockets[link.index] = socket;
    this.#corked[link.index] = 0;
    link.codec.take();
    const own = () => this.#sockets[link.index] === socket;
    const asked = (async () => (typeof token === 'function' ? token(refreshToken) : token))();
    asked.catch(() => {});
    if (socket.binaryType === 'blob') socket.binaryType = 'arraybuffer'; // ws has a Buffer
    socket.onopen = () => void asked.then(
      (value) => own() && this.#act((now) => link.opened(now, value)),
      (error: Error) => own() && this.#act((now) => link.lost(now,
        new SeriatimError('unauthorized', `no token: ${error.message}`))));
    const take = (data: string | ArrayBuffer | Uint8Array) => {
      if (own()) this.#act((now) => link.frame(data, now));
    };
    if (socket.on !== undefined) {
      socket.on('message', (data, isBinary) => take(isBinary ? data : data.toString()));
    } else {
      socket.onmessage = (event) => take(event.data);
    }
    socket.onclose = (event) => {
      if (!own()) return;
      this.#sockets[link.index] = undefined;
      this.#act((now) => link.closed(now, event.code ?? 1006, event.reason ?? ''));
    };
    socket.onerror = () => {}; // `close` follows
  }

  shut(link: Link): void {
    const socket = this.#sockets[link.index];
    this.#sockets[link.index] = undefined;
    if (socket === undefined) return;
    try {
      socket.close(1000);
    } catch {
      // it was not open yet
    }
  }

  transmit(link: Link, frame: string | undefined): void {
    const { index } = link;
    const socket = this.#sockets[index];
    if (socket === undefined) return;
    if (frame !== undefined) {
      // Of the package ws: frames of one turn leave in one write.
      if (this.#corked[index] === 0) socket._socket?.cork?.();
      this.#corked[index]! += frame.length;
      socket.send(frame);
    }
    if (this.#corked[index]! + link.codec.pending > FLUSH_BYTES) this.#flushLink(link);
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.#flushFrames());
  }

  #flushFrames(): void {
    this.#flushDue = false;
    for (const link of this.#engine.links) this.#flushLink(link);
  }

  /** What was made in one turn goes at once: units as one frame, text frames in one write. */
  #flushLink(link: Link): void {
    const socket = this.#sockets[link.index];
    if (this.#corked[link.index]! > 0) {
      this.#corked[link.index] = 0;
      socket?._socket?.uncork?.();
    }
    if (link.codec.pending > 0) {
      const whole = link.codec.take();
      socket?.send(whole);
    }
  }

  // ---- time ---------------------------------------------------------------------------------

  /** Never goes back: nothing waits until a clock that was set back is there again. */
  get #now(): number {
    const now = Date.now();
    this.#behind = Math.max(this.#behind, this.#last - now);
    return (this.#last = now + this.#behind);
  }

  /** Lets the engine act, and sees to the timer afterwards. */
  #act(action: (now: number) => void): void {
    action(this.#now);
    if (this.#armDue) return;
    this.#armDue = true;
    queueMicrotask(() => this.#arm());
  }

  #arm(): void {
    this.#armDue = false;
    if (this.#isOver) return;
    const at = this.#engine.deadline();
    // Most deadlines only move on: a timer that is early finds nothing to do.
    if (at === Infinity || (this.#timer !== undefined && this.#timerAt <= at)) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#act((now) => this.#engine.tick(now));
    }, Math.min(Math.max(0, at - this.#now), 2 ** 30));
  }
}
