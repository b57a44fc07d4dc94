// The client's state machines in a simulated world: a naive server, a network that delays and cuts,
// and a clock that only this file moves. A seed decides everything.

import { JsonCodec } from '../../dist/codec_json.js';
import { Engine } from '../../dist/engine.js';
import { Entry, Publisher } from '../../dist/publisher.js';
import { Receiver } from '../../dist/receiver.js';

export function prng(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What the protocol says, and nothing else. */
export class NaiveServer {
  channels = new Map();
  refuse = () => undefined; // (command) -> an error instead of what it asks for
  drop = () => false; // (message) -> it is lost on its way: no honest network does that

  channel(name) {
    if (!this.channels.has(name)) {
      this.channels.set(name, { epoch: 'e1', messages: [], first: 1, producers: new Map(),
        epochs: [] });
    }
    return this.channels.get(name);
  }

  /** A repair: what stands from `seq` on is gone, and the history has another name. */
  loseFrom(name, seq, epoch) {
    const c = this.channel(name);
    c.epochs.push({ epoch: c.epoch, next: seq });
    c.messages = c.messages.filter((m) => m.seq < seq);
    c.producers.clear();
    for (const m of c.messages) c.producers.set(m.producer, { epoch: m.pe, last: m.producer_seq });
    c.epoch = epoch;
  }

  handle(connection, text) {
    const c = JSON.parse(text);
    const reply = (r) => connection.push({ ...r, ...(c.id === undefined ? {} : { id: c.id }) });
    const error = this.refuse(c);
    if (error !== undefined) reply({ type: 'error', message: 'no', ...error });
    else this[c.type](connection, c, reply);
  }

  connect(connection, c, reply) {
    connection.producer = c.producer;
    reply({ type: 'connected', ping_ms: 25_000, limits: { message_bytes: 1 << 20 } });
  }

  ping(_, c, reply) {
    reply({ type: 'pong' });
  }

  publish(connection, c, reply) {
    const channel = this.channel(c.channel);
    const { id, epoch } = connection.producer;
    const known = channel.producers.get(id);
    const last = known !== undefined && known.epoch === epoch ? known.last : 0;
    const base = { type: 'published', channel: c.channel, epoch: channel.epoch };
    const fail = (code, more) => reply({ type: 'error', code, message: code, ...more });
    if (known !== undefined && known.epoch > epoch) return fail('producer_fenced');
    if (c.producer_seq <= last) {
      const first = channel.messages.find((m) => m.producer === id && m.pe === epoch &&
        m.producer_seq === c.producer_seq);
      return reply({ ...base, seq: first?.seq, duplicate: true });
    }
    if (c.producer_seq !== last + 1) {
      return fail(last === 0 ? 'producer_unknown' : 'out_of_sequence', { expected: last + 1 });
    }
    if (c.data.bad) return fail('too_large');
    channel.producers.set(id, { epoch, last: c.producer_seq });
    const seq = (channel.messages.at(-1)?.seq ?? channel.first - 1) + 1;
    const message = { seq, message_id: `${channel.epoch}-${seq}-${id}-${c.producer_seq}`, time: 0,
      producer: id, producer_seq: c.producer_seq, pe: epoch, data: c.data };
    channel.messages.push(message);
    reply({ ...base, seq });
    for (const other of connection.all) other.serve(c.channel);
    return undefined;
  }

  subscribe(connection, c, reply) {
    const channel = this.channel(c.channel);
    const latest = channel.messages.at(-1)?.seq ?? 0;
    const earliest = channel.messages[0]?.seq ?? 1;
    let next = c.from === 'earliest' ? earliest : latest + 1;
    let reason;
    if (typeof c.from === 'object') {
      next = c.from.seq;
      const old = channel.epochs.find((e) => e.epoch === c.from.epoch);
      if (c.from.epoch !== undefined && c.from.epoch !== channel.epoch &&
        (old === undefined || next > old.next)) reason = 'epoch';
      else if (next > latest + 1) reason = 'ahead';
      else if (next < earliest) reason = 'trimmed';
    }
    if (reason !== undefined && c.on_gap !== 'reset') {
      reply({ type: 'error', code: 'gap', message: 'gap', reason, earliest, latest });
      return;
    }
    if (reason !== undefined) next = reason === 'ahead' ? latest + 1 : earliest;
    connection.subs.set(c.channel,
      { next, acked: next - 1, window: c.window, epoch: channel.epoch });
    reply({ type: 'subscribed', channel: c.channel, epoch: channel.epoch, next, earliest, latest,
      ...(reason === undefined ? {} : { reset: { reason } }) });
    connection.serve(c.channel);
  }

  ack(connection, c) {
    const sub = connection.subs.get(c.channel);
    if (sub === undefined) return;
    // Only where the history has changed meanwhile may an acknowledgement be of what is gone.
    if (c.seq >= sub.next && this.channel(c.channel).epochs.length === 0) {
      throw new Error(`acknowledged ${c.seq}, sent up to ${sub.next - 1}`);
    }
    if (c.seq >= sub.next) return;
    sub.acked = Math.max(sub.acked, c.seq);
    connection.serve(c.channel);
  }

  unsubscribe(connection, c, reply) {
    connection.subs.delete(c.channel);
    reply({ type: 'unsubscribed', channel: c.channel });
  }

  history(connection, c, reply) {
    const channel = this.channel(c.channel);
    const messages = channel.messages.filter((m) => m.seq >= (c.from ?? 1))
      .slice(0, c.limit ?? 100);
    reply({ type: 'history', channel: c.channel, epoch: channel.epoch,
      earliest: channel.messages[0]?.seq ?? 1, latest: channel.messages.at(-1)?.seq ?? 0,
      messages });
  }
}

class Connection {
  subs = new Map();
  open = true;
  silent = false;
  lastIn = 0;
  lastOut = 0;

  constructor(world, link) {
    this.world = world;
    this.link = link;
    this.all = world.connections;
  }

  /** To the client, behind what is on its way. */
  push(reply) {
    const { world } = this;
    if (reply.type === 'message' && world.server.drop(reply)) return;
    const text = JSON.stringify(reply);
    this.lastOut = Math.max(this.lastOut, world.now + world.latency());
    world.at(this.lastOut, () => {
      if (this.open && !this.silent) this.link.frame(text, world.now);
    });
  }

  receive(text) {
    const { world } = this;
    this.lastIn = Math.max(this.lastIn, world.now + world.latency());
    world.at(this.lastIn, () => {
      // What has left the client may still arrive after a cut.
      if (!this.silent && !world.down && (this.open || world.random() < 0.5)) {
        world.server.handle(this, text);
      }
    });
  }

  serve(name) {
    const sub = this.subs.get(name);
    if (sub === undefined || !this.open) return;
    const channel = this.world.server.channel(name);
    if (sub.epoch !== channel.epoch) {
      const { next } = channel.epochs.at(-1);
      sub.epoch = channel.epoch;
      if (sub.next > next) {
        sub.next = next;
        sub.acked = Math.min(sub.acked, next - 1);
      }
      this.push({ type: 'reset', channel: name, epoch: channel.epoch, reason: 'epoch',
        next: sub.next });
    }
    for (const m of channel.messages) {
      if (m.seq !== sub.next || sub.next - sub.acked > sub.window) continue;
      sub.next += 1;
      this.push({ type: 'message', channel: name, ...m });
    }
  }
}

export class World {
  now = 1_000_000;
  connections = new Set();
  server = new NaiveServer();
  down = false;
  delayMs = 20;
  refused = 0; // attempts to connect that failed
  urls = ['ws://a', 'ws://b'];
  #events = [];
  #order = 0;

  constructor(seed) {
    this.random = prng(seed);
  }

  latency() {
    return 1 + this.random() * this.delayMs;
  }

  at(time, run) {
    this.#events.push({ time, order: this.#order += 1, run });
  }

  cut(connection) {
    connection.open = false;
    this.connections.delete(connection);
    connection.client?.closed(connection);
  }

  /** Moves the clock from event to event, up to `until` or until nothing is left to do. */
  run(until, clients, isDone = () => false) {
    for (let steps = 0; steps < 2_000_000; steps += 1) {
      if (isDone()) return true;
      let next;
      for (const e of this.#events) {
        if (next === undefined || e.time < next.time ||
          (e.time === next.time && e.order < next.order)) next = e;
      }
      const due = Math.min(...clients.map((c) => c.engine.deadline()));
      const time = Math.min(next?.time ?? Infinity, Math.max(due, this.now));
      if (time > until) {
        this.now = until;
        return isDone();
      }
      this.now = Math.max(this.now, time);
      if (next !== undefined && next.time <= time) {
        this.#events.splice(this.#events.indexOf(next), 1);
        next.run();
      } else {
        for (const c of clients) c.engine.tick(this.now);
      }
    }
    throw new Error('the world spins');
  }
}

/** Engine, publisher and a handler for each channel, as client.ts has them, without promises. */
export class SimClient {
  sockets = new Map();
  published = [];
  failures = [];
  seen = new Map();
  gaps = [];
  refreshes = [];

  constructor(world, name, options = {}) {
    this.world = world;
    this.engine = new Engine({ urls: world.urls, redundancy: 1, codec: () => new JsonCodec(),
      backoff: { baseMs: 100, capMs: 2000 }, openTimeoutMs: 5000, pongTimeoutMs: 5000,
      requestTimeoutMs: 10_000, tokenIsRefreshed: false, ...options }, this);
    this.publisher = new Publisher(this, { messages: options.inflight ?? 20,
      bytes: 1 << 20 }, options.outbox ?? { producer: { id: name, epoch: 1 },
      next: new Map(), entries: [] });
    this.engine.start(world.now);
    this.engine.usePublisher(this.publisher, world.now);
  }

  publish(channel, data) {
    const entry = new Entry(channel, undefined, JSON.stringify(data), undefined,
      (error) => this.failures.push({ data, code: error.code }));
    this.publisher.take(entry, this.world.now);
    // The outbox takes its time.
    this.world.at(this.world.now + this.world.random() * 5, () => {
      this.publisher.stored([entry]);
      this.publisher.pump(this.world.now);
    });
  }

  subscribe(channel, options = {}) {
    const receiver = new Receiver(channel, { from: 'earliest', window: 8, stopAtGap: false,
      ...options });
    this.seen.set(channel, []);
    const feed = this.engine.subscribe(receiver, 'catch_up', this.world.now);
    this.arrived(feed);
    return feed;
  }

  arrived(feed) {
    const { receiver } = feed;
    if (feed.busy || feed.ended) return;
    const item = receiver.take();
    if (item === undefined) return;
    feed.busy = true;
    const slow = this.world.random() < 0.2 ? this.world.random() * 50 : 0;
    this.world.at(this.world.now + slow, () => {
      if (item.reason !== undefined) this.gaps.push(item);
      this.seen.get(receiver.channel).push(item);
      receiver.done(item);
      feed.busy = false;
      this.engine.handled(feed, this.world.now);
      this.arrived(feed);
    });
  }

  // ---- EngineOps, PublisherOps --------------------------------------------------------------

  open(link, url, refreshToken) {
    const { world } = this;
    this.refreshes.push(refreshToken);
    const connection = new Connection(world, link);
    connection.client = this;
    this.sockets.set(link, connection);
    world.connections.add(connection);
    world.at(world.now + world.latency(), () => {
      if (this.sockets.get(link) !== connection) return;
      if (world.down || world.isDown?.(link.endpoint.url)) {
        world.refused += 1;
        world.cut(connection);
      } else {
        link.opened(world.now, undefined);
      }
    });
  }

  closed(connection) {
    if (this.sockets.get(connection.link) !== connection) return;
    this.sockets.delete(connection.link);
    connection.link.closed(this.world.now, 1006, '');
  }

  transmit(link, text) {
    this.sockets.get(link)?.receive(text);
  }

  shut(link) {
    const connection = this.sockets.get(link);
    this.sockets.delete(link);
    if (connection === undefined) return;
    connection.open = false;
    this.world.connections.delete(connection);
  }

  random() {
    return this.world.random();
  }

  linkChanged() {}

  remove() {}

  told(entry, published) {
    this.published.push({ data: JSON.parse(entry.payload), ...published });
  }

  drained() {}

  rewrite(state) {
    const { world } = this;
    world.at(world.now + 3, () => this.publisher.rewritten(state.entries, world.now));
  }

  renumbered(uncertain, now) {
    this.uncertain = (this.uncertain ?? 0) + uncertain;
    this.engine.renumbered(now);
  }

  failed(error) {
    this.error = error;
  }
}
