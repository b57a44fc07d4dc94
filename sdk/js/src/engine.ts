// The client without sockets, timers and promises: connections, publisher and subscriptions, fed
// with events and the time. What it wants done goes through `EngineOps`; deadline() says when to
// call tick() at the latest. So a test can drive it through any order of events.

import type { BackoffOptions } from './backoff.js';
import { Endpoint, Endpoints } from './endpoints.js';
import { errorOf, isRetryable, SeriatimError } from './errors.js';
import { Link, type LinkOps } from './link.js';
import type { Message } from './message.js';
import type { Publisher } from './publisher.js';
import { Attachment, Receiver } from './receiver.js';
import type { Codec, Command, Reply, WhenSlow } from './wire.js';

export interface EngineOptions {
  urls: readonly string[];
  redundancy: number;
  codec: () => Codec;
  backoff: BackoffOptions;
  openTimeoutMs: number;
  pongTimeoutMs: number;
  requestTimeoutMs: number;
  tokenIsRefreshed: boolean;
}

export interface EngineOps {
  open(link: Link, url: string, refreshToken: boolean): void;
  transmit(link: Link, frame: string | undefined): void;
  shut(link: Link): void;
  random(): number;
  linkChanged(link: Link, now: number, error?: SeriatimError): void;
  /** A subscription has something for its handler, or another state. */
  arrived(feed: Feed): void;
}

/** A subscription: its window, and what each connection has of it. */
export class Feed {
  readonly attachments: Attachment[];
  ended = false;
  filling = false;

  constructor(readonly receiver: Receiver, readonly whenSlow: WhenSlow, links: number) {
    this.attachments = Array.from({ length: links }, () => new Attachment());
  }

  get live(): boolean {
    return this.attachments.some((a) => a.on);
  }
}

/** A question with one answer; asked again where the connection is lost before it came. */
class Request {
  link: Link | undefined;
  id = 0;

  constructor(readonly command: Command, readonly deadline: number,
    readonly settle: (reply: Reply | undefined, error: SeriatimError | undefined) => void) {}
}

export class Engine implements LinkOps {
  readonly links: Link[];
  readonly endpoints: Endpoints;
  publisher: Publisher | undefined;
  readonly #feeds = new Map<string, Feed>();
  readonly #requests = new Set<Request>();
  /** Those with a connection on which to subscribe later. */
  readonly #late = new Set<Feed>();

  readonly #options: EngineOptions;
  readonly #ops: EngineOps;

  constructor(options: EngineOptions, ops: EngineOps) {
    this.#options = options;
    this.#ops = ops;
    this.endpoints = new Endpoints(options.urls, ops.random());
    this.links = Array.from({ length: options.redundancy }, (_, i) => new Link(i, this,
      { ...options, codec: options.codec(), endpoints: this.endpoints }));
  }

  // ---- time ---------------------------------------------------------------------------------

  start(now: number): void {
    for (const link of this.links) link.start(now);
    this.tick(now);
  }

  deadline(): number {
    let at = this.publisher?.deadline() ?? Infinity;
    for (const link of this.links) at = Math.min(at, link.deadline());
    for (const request of this.#requests) at = Math.min(at, request.deadline);
    for (const feed of this.#late) {
      for (const a of feed.attachments) if (a.notBefore !== 0) at = Math.min(at, a.notBefore);
    }
    return at;
  }

  tick(now: number): void {
    for (const link of this.links) link.tick(now);
    this.publisher?.tick(now);
    for (const request of this.#requests) {
      if (now < request.deadline) continue;
      this.#requests.delete(request);
      request.settle(undefined, new SeriatimError('timeout', 'no answer in time'));
    }
    for (const feed of this.#late) {
      this.#attach(feed, now);
      if (feed.ended || feed.attachments.every((a) => a.notBefore === 0)) this.#late.delete(feed);
    }
  }

  setOnline(online: boolean, now: number): void {
    for (const link of this.links) link.setOnline(online, now);
    this.tick(now);
  }

  stop(now: number, error?: SeriatimError): void {
    for (const link of this.links) link.stop(now, error);
    const why = error ?? new SeriatimError('closed', 'the client is closed');
    for (const request of this.#requests) request.settle(undefined, why);
    this.#requests.clear();
    for (const feed of [...this.#feeds.values()]) this.#endFeed(feed, error);
  }

  // ---- publishing ---------------------------------------------------------------------------

  usePublisher(publisher: Publisher, now: number): void {
    this.publisher = publisher;
    this.#choosePublishing(now);
  }

  /** The connection that publishes stays until it is lost. */
  #choosePublishing(now: number): void {
    const { publisher } = this;
    if (publisher === undefined || publisher.link?.ready) return;
    publisher.use(this.links.find((l) => l.ready), now);
  }

  /** Connections carry the producer's epoch: with another one they begin anew. */
  renumbered(now: number): void {
    for (const link of this.links) link.restart(now);
    this.tick(now);
  }

  // ---- requests -----------------------------------------------------------------------------

  request(command: Command, now: number,
    settle: (reply: Reply | undefined, error: SeriatimError | undefined) => void): void {
    const request = new Request(command, now + this.#options.requestTimeoutMs, settle);
    this.#requests.add(request);
    this.#ask(request);
  }

  #ask(request: Request): void {
    const link = this.links.find((l) => l.ready);
    request.link = link;
    if (link === undefined) return;
    request.id = link.takeId();
    link.send(request.command, request.id);
  }

  // ---- subscriptions ------------------------------------------------------------------------

  subscribe(receiver: Receiver, whenSlow: WhenSlow, now: number): Feed {
    if (this.#feeds.has(receiver.channel)) {
      throw new SeriatimError('already_subscribed',
        `subscribed to ${receiver.channel} already`);
    }
    const feed = new Feed(receiver, whenSlow, this.links.length);
    this.#feeds.set(receiver.channel, feed);
    this.#attach(feed, now);
    return feed;
  }

  /** Subscribes on each connection that is ready; while no position is known, on one only. */
  #attach(feed: Feed, now: number): void {
    for (const link of this.links) {
      const a = feed.attachments[link.index]!;
      if (!link.ready || a.on || a.asked !== 0 || now < a.notBefore || feed.ended) continue;
      a.notBefore = 0;
      const { receiver } = feed;
      if (!receiver.known && feed.attachments.some((x) => x.asked !== 0)) continue;
      a.asked = link.takeId();
      link.send({ type: 'subscribe', channel: receiver.channel, from: receiver.from,
        window: receiver.options.window, when_slow: feed.whenSlow,
        on_gap: receiver.options.stopAtGap ? 'error' : 'reset' }, a.asked);
    }
  }

  unsubscribe(feed: Feed): void {
    if (feed.ended) return;
    for (const link of this.links) {
      const a = feed.attachments[link.index]!;
      if (link.ready && (a.on || a.asked !== 0)) {
        link.send({ type: 'unsubscribe', channel: feed.receiver.channel }, 0);
      }
    }
    this.#endFeed(feed, undefined);
  }

  #endFeed(feed: Feed, error: SeriatimError | undefined): void {
    if (error !== undefined) feed.receiver.fail(error);
    feed.ended = true;
    if (this.#feeds.get(feed.receiver.channel) === feed) this.#feeds.delete(feed.receiver.channel);
    this.#ops.arrived(feed);
  }

  /** The handler is done with something: what may be acknowledged is. */
  handled(feed: Feed, now: number): void {
    const { receiver } = feed;
    const every = Math.max(1, receiver.options.window >> 1);
    for (const link of this.links) {
      const a = feed.attachments[link.index]!;
      const seq = Math.min(receiver.handled, a.last);
      if (a.on && link.ready && seq - a.acked >= every) {
        a.acked = seq;
        link.send({ type: 'ack', channel: receiver.channel, seq }, 0);
      }
    }
    if (!feed.filling) this.#fill(feed, now);
  }

  /** Asks for what is missing before messages that came early. */
  #fill(feed: Feed, now: number): void {
    const missing = feed.receiver.missing();
    if (missing === undefined || feed.filling || feed.ended) return;
    feed.filling = true;
    this.request({ type: 'history', channel: feed.receiver.channel, from: missing.from,
      limit: missing.limit }, now, (reply, error) => {
      feed.filling = false;
      if (feed.ended || error?.code === 'closed') return;
      const before = feed.receiver.expected;
      const good = reply !== undefined && feed.receiver.history(reply);
      if (!good || feed.receiver.expected === before) {
        this.#reattach(feed, now);
      } else {
        this.#fill(feed, now);
      }
      this.#after(feed);
    });
  }

  /** Begins again from what is handled, on every connection. */
  #reattach(feed: Feed, now: number): void {
    for (const link of this.links) {
      const a = feed.attachments[link.index]!;
      if (!a.on || !link.ready) continue;
      link.send({ type: 'unsubscribe', channel: feed.receiver.channel }, 0);
      a.on = false;
      a.notBefore = now + 1000; // nothing that hurries: the server has shown a hole
      this.#late.add(feed);
    }
  }

  #after(feed: Feed): void {
    if (feed.receiver.error !== undefined && !feed.ended) this.unsubscribe(feed);
    this.#ops.arrived(feed);
  }

  // ---- what connections tell ----------------------------------------------------------------

  open(link: Link, url: string, refreshToken: boolean): void {
    this.#ops.open(link, url, refreshToken);
  }

  transmit(link: Link, frame: string | undefined): void {
    this.#ops.transmit(link, frame);
  }

  shut(link: Link): void {
    this.#ops.shut(link);
  }

  random(): number {
    return this.#ops.random();
  }

  busy(link: Link): ReadonlySet<Endpoint> {
    const busy = new Set<Endpoint>();
    for (const other of this.links) {
      if (other !== link && other.state !== 'waiting' && other.endpoint) busy.add(other.endpoint);
    }
    return busy;
  }

  producer(): { id: string; epoch: number } | undefined {
    return this.publisher?.producer;
  }

  changed(link: Link, now: number, error?: SeriatimError): void {
    if (link.state === 'ready') {
      for (const request of this.#requests) if (request.link === undefined) this.#ask(request);
      for (const feed of this.#feeds.values()) this.#attach(feed, now);
    } else if (link.state === 'waiting' || link.state === 'stopped') {
      for (const feed of this.#feeds.values()) {
        feed.attachments[link.index] = new Attachment();
      }
      for (const request of this.#requests) if (request.link === link) this.#ask(request);
    }
    this.#choosePublishing(now);
    if (link.state === 'waiting' || link.state === 'stopped') {
      for (const feed of this.#feeds.values()) {
        this.#attach(feed, now);
        this.#ops.arrived(feed);
      }
    }
    this.#ops.linkChanged(link, now, error);
  }

  message(link: Link, message: Message, now: number): void {
    const feed = this.#feeds.get(message.channel);
    if (feed === undefined) return;
    const a = feed.attachments[link.index]!;
    if (!a.on) return; // of a subscription that has ended
    feed.receiver.message(a, message);
    if (feed.receiver.queued > 0) this.#ops.arrived(feed);
    this.#fill(feed, now);
  }

  published(link: Link, reply: Reply, now: number): void {
    this.publisher?.published(link, reply, now);
  }

  reply(link: Link, reply: Reply, now: number): void {
    if (reply.id !== undefined && this.#answered(link, reply, now)) return;
    const feed = this.#feeds.get(reply.channel!);
    const a = feed?.attachments[link.index];
    if (feed === undefined || !a?.on) return;
    if (reply.type === 'gap') {
      feed.receiver.gap(a, reply);
    } else if (reply.type === 'reset') {
      feed.receiver.reset(a, reply);
    } else if (reply.type === 'unsubscribed') {
      this.#endedByServer(feed, a, reply, now);
    } else {
      return;
    }
    this.#fill(feed, now);
    this.#after(feed);
  }

  #answered(link: Link, reply: Reply, now: number): boolean {
    if (reply.type === 'error' && this.publisher?.refused(link, reply, now)) return true;
    for (const request of this.#requests) {
      if (request.link === link && request.id === reply.id) {
        this.#requests.delete(request);
        if (reply.type === 'error') request.settle(undefined, errorOf(reply));
        else request.settle(reply, undefined);
        return true;
      }
    }
    for (const feed of this.#feeds.values()) {
      const a = feed.attachments[link.index]!;
      if (a.asked === reply.id) {
        this.#subscribeAnswered(feed, a, reply, now);
        return true;
      }
    }
    return reply.type !== 'unsubscribed';
  }

  #subscribeAnswered(feed: Feed, a: Attachment, reply: Reply, now: number): void {
    a.asked = 0;
    if (reply.type === 'subscribed') {
      feed.receiver.subscribed(a, reply);
      for (const link of this.links) if (link.ready) this.#attach(feed, now);
      this.#after(feed);
    } else if (isRetryable(reply)) {
      this.#later(feed, a, Number(reply.retry_after_ms) || 1000, now);
    } else {
      feed.receiver.fail(errorOf(reply));
      this.#after(feed);
    }
  }

  #later(feed: Feed, a: Attachment, waitMs: number, now: number): void {
    const wait = Math.min(30_000, waitMs * 2 ** Math.min(a.refusals, 5));
    a.refusals += 1;
    a.notBefore = now + wait * (1 + this.#ops.random() / 4);
    this.#late.add(feed);
  }

  #endedByServer(feed: Feed, a: Attachment, reply: Reply, now: number): void {
    a.on = false;
    if (reply.reason === 'gap') {
      feed.receiver.fail(new SeriatimError('gap',
        `messages ${reply.from} to ${reply.to} are gone`, reply));
    } else {
      this.#later(feed, a, 1000, now);
    }
  }
}
