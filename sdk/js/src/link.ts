// One connection: opened, kept, given up, opened again. It does no I/O and reads no clock: sockets
// are told to it, and what it wants done goes through `LinkOps`.
//
//            attempt        socket open      connected
//   WAITING --------> OPENING --------> GREETING --------> READY
//      ^                 |                  |                |
//      |  backoff, goaway, retry_after_ms   |                |
//      +-----------------+------------------+----------------+
//      |
//      +--> STOPPED (closed, or refused for good)
//
// While it is READY something must come within `ping_ms`, else it asks with `ping`; no answer
// within 10 s, and the connection is dead. A page that becomes visible or a network that comes back
// asks at once, with less patience.

import { backoffMs, type BackoffOptions } from './backoff.js';
import type { Endpoint, Endpoints } from './endpoints.js';
import { errorOf, isRetryable, SeriatimError } from './errors.js';
import type { Message } from './message.js';
import type { Codec, Command, ConnectCommand, Payload, Reply, Sink } from './wire.js';

export type LinkState = 'waiting' | 'opening' | 'greeting' | 'ready' | 'stopped';

export interface LinkOps {
  /** Opens a socket; later link.opened() or link.closed() is called. */
  open(link: Link, url: string, refreshToken: boolean): void;
  /** Sends a text frame; undefined: what the codec's take() gives, soon. */
  transmit(link: Link, frame: string | undefined): void;
  /** Closes the socket; nothing more is told of it. */
  shut(link: Link): void;
  random(): number;
  /** Endpoints that other connections use. */
  busy(link: Link): ReadonlySet<Endpoint>;
  producer(): { id: string; epoch: number } | undefined;
  changed(link: Link, now: number, error?: SeriatimError): void;
  message(link: Link, message: Message, now: number): void;
  published(link: Link, reply: Reply, now: number): void;
  reply(link: Link, reply: Reply, now: number): void;
}

export interface LinkOptions {
  codec: Codec;
  endpoints: Endpoints;
  backoff: BackoffOptions;
  openTimeoutMs: number;
  pongTimeoutMs: number;
  /** A token is asked for anew at each attempt: `unauthorized` is worth another one. */
  tokenIsRefreshed: boolean;
}

const STABLE_MS = 3000;
const PROBE_MS = 3000;
const OFFLINE_MS = 30_000;
const PING_MS_DEFAULT = 25_000;
const WAIT_MS_MAX = 120_000; // what a server may ask for

export class Link implements Sink {
  state: LinkState = 'waiting';
  endpoint: Endpoint | undefined;
  /** WAITING: the next attempt. */
  due = Infinity;
  why: SeriatimError | undefined;
  /** What `connected` has said. */
  limits: { message_bytes?: number; frame_bytes?: number } = {};
  #attempt = 0;
  #openedAt = 0;
  #readyAt = 0;
  #heard = 0;
  #pingMs = PING_MS_DEFAULT;
  #pingDue = 0; // 0: no ping is out
  #nextId = 1;
  #online = true;
  #refused = false;
  #leaving = false; // a goaway has come
  #now = 0;

  readonly #ops: LinkOps;
  readonly #options: LinkOptions;

  constructor(readonly index: number, ops: LinkOps,
    options: LinkOptions) {
    this.#ops = ops;
    this.#options = options;
  }

  get codec(): Codec {
    return this.#options.codec;
  }

  get ready(): boolean {
    return this.state === 'ready';
  }

  start(now: number): void {
    this.due = now;
  }

  // ---- time ---------------------------------------------------------------------------------

  deadline(): number {
    if (this.state === 'waiting') return this.due;
    if (this.ready) return this.#pingDue || this.#heard + this.#pingMs;
    return this.state === 'stopped' ? Infinity : this.#openedAt + this.#options.openTimeoutMs;
  }

  tick(now: number): void {
    if (now < this.deadline()) return;
    if (this.state === 'waiting') {
      this.#tryNow(now);
    } else if (this.ready && this.#pingDue === 0) {
      this.probe(now, this.#options.pongTimeoutMs);
    } else {
      this.lost(now, new SeriatimError('timeout',
        this.ready ? 'no answer to ping' : 'no answer in time'));
    }
  }

  #tryNow(now: number): void {
    const { endpoint, at } = this.#options.endpoints.pick(now, this.#ops.busy(this));
    if (at > now) {
      this.due = at;
      return;
    }
    this.endpoint = endpoint;
    this.#openedAt = now;
    this.#leaving = false;
    this.#move('opening', now);
    this.#ops.open(this, endpoint.url, this.#refused);
  }

  /** Asks whether the other side is still there. */
  probe(now: number, patienceMs = PROBE_MS): void {
    if (this.state !== 'ready') return;
    if (this.#pingDue === 0) this.send({ type: 'ping' }, this.takeId());
    const due = now + patienceMs;
    this.#pingDue = this.#pingDue === 0 ? due : Math.min(this.#pingDue, due);
  }

  /** What the surroundings say of the network. It may be wrong, so attempts go on, slowly. */
  setOnline(online: boolean, now: number): void {
    this.#online = online;
    if (this.state === 'waiting') {
      this.due = online ? Math.min(this.due, now) : Math.max(this.due, now + OFFLINE_MS);
    } else {
      this.probe(now);
    }
  }

  // ---- the socket ---------------------------------------------------------------------------

  opened(now: number, token: string | undefined): void {
    if (this.state !== 'opening') return;
    this.#heard = now;
    this.#nextId = 1;
    this.#move('greeting', now);
    const connect: ConnectCommand = { type: 'connect' };
    const producer = this.#ops.producer();
    if (producer !== undefined) connect.producer = { id: producer.id, epoch: producer.epoch };
    if (token !== undefined) connect.token = token;
    this.send(connect, this.takeId());
  }

  frame(frame: string | ArrayBuffer | Uint8Array, now: number): void {
    if (this.state !== 'ready' && this.state !== 'greeting') return;
    this.#heard = now;
    this.#pingDue = 0;
    this.#now = now;
    try {
      this.#options.codec.decode(frame, this);
    } catch (e) {
      if (e instanceof SeriatimError) throw e;
      this.lost(now, new SeriatimError('protocol', `a bad frame: ${(e as Error).message}`));
    }
  }

  /** The socket has ended, or could not be opened. */
  closed(now: number, code: number, reason: string): void {
    if (this.state === 'stopped' || this.state === 'waiting') return;
    this.#refused = code === 4401;
    this.lost(now, new SeriatimError('unavailable',
      `the connection has ended (${code}) ${reason}`));
  }

  /** `due` as the server wants it, where it has said so. */
  lost(now: number, error: SeriatimError): void {
    if (this.state === 'stopped' || this.state === 'waiting') return;
    const endpoint = this.endpoint!;
    const held = this.state === 'ready' ? now - this.#readyAt : 0;
    this.#options.endpoints.held(endpoint, held);
    if (held >= STABLE_MS) this.#attempt = 0;
    if (!this.#leaving) this.#options.endpoints.failed(endpoint, now);
    this.#ops.shut(this);
    // Each address once before the wait grows.
    const round = Math.floor(this.#attempt / this.#options.endpoints.all.length);
    this.#attempt += 1;
    this.due = now + backoffMs(this.#options.backoff, round, this.#ops.random());
    if (!this.#online) this.due = Math.max(this.due, now + OFFLINE_MS);
    this.#pingDue = 0;
    this.why = error;
    this.#move('waiting', now, error);
  }

  /** Connects again at once: with another epoch of the producer. */
  restart(now: number): void {
    if (this.state === 'stopped' || this.state === 'waiting') return;
    this.#ops.shut(this);
    this.due = now;
    this.#pingDue = 0;
    this.#move('waiting', now);
  }

  stop(now: number, error?: SeriatimError): void {
    if (this.state === 'stopped') return;
    if (this.state !== 'waiting') this.#ops.shut(this);
    this.why = error;
    this.#move('stopped', now, error);
  }

  #move(state: LinkState, now: number, error?: SeriatimError): void {
    this.state = state;
    this.#ops.changed(this, now, error);
  }

  // ---- sending ------------------------------------------------------------------------------

  takeId(): number {
    return this.#nextId++;
  }

  send(command: Command, id: number): void {
    this.#ops.transmit(this, this.#options.codec.command(command, id));
  }

  publish(id: number, channel: string, number: number, key: string | undefined,
    payload: Payload): void {
    this.#ops.transmit(this, this.#options.codec.publish(id, channel, number, key, payload));
  }

  // ---- what comes ---------------------------------------------------------------------------

  message(message: Message): void {
    if (this.state === 'ready') this.#ops.message(this, message, this.#now);
  }

  published(reply: Reply): void {
    if (this.state === 'ready') this.#ops.published(this, reply, this.#now);
  }

  reply(reply: Reply): void {
    if (reply.type === 'goaway') {
      this.#goaway(reply);
    } else if (this.state === 'greeting') {
      this.#greeted(reply);
    } else if (this.state === 'ready') {
      this.#ops.reply(this, reply, this.#now);
    }
  }

  /** The server is about to close; where there are other addresses we do not wait for it. */
  #goaway(reply: Reply): void {
    const wait = Math.min(WAIT_MS_MAX, Number(reply.reconnect_after_ms) || 0);
    this.#leaving = true;
    this.#options.endpoints.holdOff(this.endpoint!, this.#now + wait);
    const { at } = this.#options.endpoints.pick(this.#now, this.#ops.busy(this));
    if (at <= this.#now) {
      this.lost(this.#now, new SeriatimError('unavailable', 'the server goes away'));
    }
  }

  #greeted(reply: Reply): void {
    if (reply.type === 'connected') {
      const ping = Number(reply.ping_ms);
      this.#pingMs = ping >= 100 && ping <= 3_600_000 ? ping : PING_MS_DEFAULT;
      this.limits = reply.limits ?? {};
      this.#readyAt = this.#now;
      this.#refused = false;
      this.why = undefined;
      this.#options.endpoints.connected(this.endpoint!);
      this.#move('ready', this.#now);
      return;
    }
    if (reply.type !== 'error') return;
    const error = errorOf(reply);
    if (isRetryable(reply) || reply.code === 'limit_exceeded') {
      const wait = Math.min(WAIT_MS_MAX, Number(reply.retry_after_ms) || 0);
      this.#options.endpoints.holdOff(this.endpoint!, this.#now + wait);
      this.lost(this.#now, error);
    } else if (error.code === 'unauthorized' && this.#options.tokenIsRefreshed) {
      this.#refused = true;
      this.lost(this.#now, error);
    } else {
      this.stop(this.#now, error);
    }
  }
}
