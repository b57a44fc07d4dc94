// The load that the tests of the real thing share (crash, disk, net): publishers that number what
// they send and keep it until it is acknowledged, subscribers that resume after the last message
// they saw, and in the end every way to read. Whatever happens meanwhile is the test's affair.
// Everything seen is recorded; checker.mjs judges. A seed fixes the plan, not the timing.

import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../e2e/lib/client.mjs';
import { History, observation } from './checker.mjs';

export const CHANNELS = ['orders', 'prices', 'chat/é'];
const PUBLISHERS = 6;
const SUBSCRIBERS = 4;
const WINDOW = 32; // a publisher's publishes under way in one channel
const BATCH_MAX = 12;
const REFUSED_MS = 50; // after `unavailable`: the disk is not there at once
const SETTLE_MS = 60_000;

/** mulberry32: small, seeded, good enough for a plan. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

// ---- publishers ---------------------------------------------------------------------------------

class Publisher {
  constructor(load, index) {
    this.load = load;
    this.id = `p${index}`;
    this.connections = index % 3 === 2 ? 2 : 1;
    // Per channel: the outbox holds what is sent and not acknowledged, in the order of numbers. A
    // batch is sent again as it was: one that overlaps another only in part is refused.
    this.lanes = CHANNELS.map((channel) => ({ channel, next: 1, outbox: new Map() }));
  }

  get done() {
    return !this.load.publishing && this.lanes.every((l) => l.outbox.size === 0);
  }

  message(n) {
    const { load } = this;
    const big = load.random() < 0.01;
    const size = big ? load.between(10_000, 60_000) : load.between(0, 200);
    const message = { data: [this.id, n, 'x'.repeat(size)] };
    if (load.random() < 0.3) message.key = `k${n % 5}`;
    return message;
  }

  make(lane) {
    const { load } = this;
    const count = load.random() < 0.35 ? load.between(2, BATCH_MAX) : 1;
    const messages = Array.from({ length: count }, (_, i) => this.message(lane.next + i));
    lane.outbox.set(lane.next, { n: lane.next, messages });
    lane.next += count;
  }

  send(client, lane, { n, messages }) {
    const { sent } = this.load.history;
    messages.forEach((_, i) => {
      const key = `${lane.channel}|${this.id}|${n + i}`;
      sent.set(key, (sent.get(key) ?? 0) + 1);
    });
    const what = messages.length === 1 ? messages[0] : { batch: messages };
    const command = { type: 'publish', channel: lane.channel, producer_seq: n, ...what };
    client.request(command).then((reply) => {
      this.onReply(client, lane, n, messages.length, reply);
    }, () => {}); // lost with its connection: it stays in the outbox
  }

  onReply(client, lane, n, count, reply) {
    if (reply.type === 'published') {
      lane.outbox.delete(n);
      const { seq, message_id, epoch, duplicate } = reply;
      if ((reply.count ?? 1) !== count) this.load.note(`${this.id}: ${count} sent, ${reply.raw}`);
      for (let i = 0; i < count; i += 1) {
        this.load.history.acked.push({ channel: lane.channel, producer: this.id, n: n + i,
          seq: seq + i, message_id: i === 0 ? message_id : undefined, epoch, duplicate });
      }
      return;
    }
    // A refusal for the moment: start over from the outbox. Anything else must not happen.
    if (reply.code === 'unavailable') {
      this.load.refusals += 1;
      client.refused = true;
    } else if (!client.restarting) {
      this.load.note(`${this.id}: ${reply.raw}`);
    }
    client.restarting = true;
    client.terminate();
  }

  /** One connection: sends the outbox again in order, then what is new, until it is lost. */
  async talk(leader) {
    const { load } = this;
    const client = await load.connect({ producer: { id: this.id, epoch: 1 } });
    if (client === null) return;
    const sentUpTo = new Map(); // lane -> the last number sent here
    while (client.ws.readyState === 1 && !this.done) {
      for (const lane of this.lanes) {
        if (leader && load.publishing && lane.outbox.size < WINDOW) this.make(lane);
        const last = sentUpTo.get(lane) ?? 0;
        for (const [n, publish] of lane.outbox) {
          if (n <= last) continue;
          this.send(client, lane, publish);
          sentUpTo.set(lane, n);
        }
      }
      // A client's own connection breaks, too.
      if (load.publishing && load.random() < 0.002) break;
      await sleep(load.between(1, 6));
    }
    await client.terminate();
    load.collect(this.id, client);
    if (client.refused) await sleep(REFUSED_MS);
  }

  async work() {
    await Promise.all(Array.from({ length: this.connections }, async (_, k) => {
      while (!this.done && this.load.running) await this.talk(k === 0);
    }));
  }
}

// ---- subscribers --------------------------------------------------------------------------------

class Subscriber {
  constructor(load, index) {
    this.load = load;
    this.name = `s${index}`;
    this.slow = index === 1;
    this.window = index === 2 ? 50 : undefined;
    this.streams = new Map();
    for (const channel of CHANNELS) {
      const stream = { observer: this.name, channel, epoch: null, start: 1, messages: [] };
      this.streams.set(channel, stream);
      load.history.streams.push(stream);
    }
  }

  next(stream) {
    return stream.start + stream.messages.length;
  }

  onMessage(client, frame) {
    const stream = this.streams.get(frame.channel);
    stream.messages.push(observation(frame));
    if (this.window !== undefined && frame.seq % 10 === 0) {
      client.sendText(JSON.stringify({ type: 'ack', channel: frame.channel, seq: frame.seq }));
    }
  }

  async subscribe(client, stream) {
    const { load } = this;
    const seq = stream.messages.length === 0 ? 1 : stream.messages.at(-1).seq + 1;
    const from = stream.epoch === null ? { seq: 1 } : { epoch: stream.epoch, seq };
    const reply = await client.request({ type: 'subscribe', channel: stream.channel, from,
      window: this.window, onMessage: (frame) => this.onMessage(client, frame) });
    if (reply.type !== 'subscribed') {
      // A disk that fails may refuse a read for the moment; nothing else is in order.
      if (reply.code !== 'unavailable') load.note(`${this.name}: ${reply.raw}`);
      client.terminate();
      await sleep(REFUSED_MS);
      return;
    }
    if (reply.next !== seq) load.note(`${this.name}: asked for ${seq}, got ${reply.raw}`);
    stream.epoch = stream.epoch ?? reply.epoch;
    if (stream.epoch !== reply.epoch) load.note(`${this.name}: another epoch, ${reply.raw}`);
  }

  async talk() {
    const { load } = this;
    const client = await load.connect();
    if (client === null) return;
    try {
      for (const stream of this.streams.values()) await this.subscribe(client, stream);
      while (client.ws.readyState === 1 && load.running) {
        if (this.slow && load.publishing) {
          client.ws.pause();
          await sleep(load.between(50, 300) + load.stopReadingMs);
          client.ws.resume();
        }
        if (load.publishing && load.random() < 0.01) break;
        if (client.pushes.some((p) => load.isFailedRead(p))) break;
        await sleep(20);
      }
    } catch {
      // lost in mid-subscribe: the next connection goes on
    }
    await client.terminate();
    load.collect(this.name, client);
  }

  async work() {
    while (this.load.running) await this.talk();
  }
}

// ---- the end: every way to read -----------------------------------------------------------------

async function readHistory(client, channel, reverse) {
  const messages = [];
  let from;
  for (;;) {
    const reply = await client.history(channel, { from, limit: 1000, reverse });
    messages.push(...reply.messages.map(observation));
    if (reply.more !== true) {
      const { epoch, earliest, latest } = reply;
      if (reverse) messages.reverse();
      return { way: reverse ? 'reverse' : 'history', channel, epoch, earliest, latest, messages };
    }
    from = messages.at(-1).seq + (reverse ? -1 : 1);
  }
}

async function readHttp(base, channel) {
  const messages = [];
  let from = 1;
  for (;;) {
    const path = `/v1/channels/${encodeURIComponent(channel)}/messages?limit=1000&from=${from}`;
    const reply = await (await fetch(base + path)).json();
    messages.push(...reply.messages.map(observation));
    if (reply.more !== true) {
      const { epoch, earliest, latest } = reply;
      return { way: 'http', channel, epoch, earliest, latest, messages };
    }
    from = messages.at(-1).seq + 1;
  }
}

async function settled(what, done, ms) {
  const deadline = Date.now() + ms;
  while (!done() && Date.now() < deadline) await sleep(20);
  if (!done()) console.log(`not within ${ms} ms: ${what}`);
  return done();
}

// ---- the load -----------------------------------------------------------------------------------

export class Load {
  /** `silenceMs`: a connection on which nothing, not even a ping, has come for so long is given up
   *  (0: never), as any client must that cannot trust its network. `readsMayFail`: a subscription
   *  may end with `unavailable`, for its disk fails; the subscriber comes again. */
  constructor(server, seed, { silenceMs = 0, settleMs = SETTLE_MS, readsMayFail = false } = {}) {
    this.server = server;
    this.random = random(seed);
    this.history = new History();
    this.publishing = true; // new messages are made
    this.running = true; // clients come back after a loss
    this.refusals = 0; // publishes answered `unavailable`
    this.stopReadingMs = 0; // how much longer the slow subscriber does not read
    this.silenceMs = silenceMs;
    this.readsMayFail = readsMayFail;
    this.settleMs = settleMs;
    this.publishers = Array.from({ length: PUBLISHERS }, (_, i) => new Publisher(this, i));
    this.subscribers = Array.from({ length: SUBSCRIBERS }, (_, i) => new Subscriber(this, i));
  }

  between(low, high) {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  note(text) {
    this.history.notes.push(text);
  }

  start() {
    this.working = [...this.publishers, ...this.subscribers].map((w) => w.work());
  }

  /** Gives a connection up when it has been silent for too long. */
  #watch(client) {
    let heard = Date.now();
    for (const event of ['message', 'ping', 'pong']) {
      client.ws.on(event, () => (heard = Date.now()));
    }
    const timer = setInterval(() => {
      // What we do not read is no silence of theirs.
      if (client.ws.isPaused) heard = Date.now();
      if (Date.now() - heard > this.silenceMs) client.terminate();
    }, this.silenceMs / 4);
    client.ws.on('close', () => clearInterval(timer));
  }

  /** A connection, as soon as the server takes one; null at the end of the run. */
  async connect({ producer } = {}) {
    const handshakeTimeout = this.silenceMs || undefined;
    for (let pause = 5; this.running; pause = Math.min(pause * 2, 100)) {
      try {
        const client = await Client.open(this.server.ws, { handshakeTimeout });
        if (this.silenceMs > 0) this.#watch(client);
        client.connected = await client.request({ type: 'connect', producer });
        return client;
      } catch {
        await sleep(pause);
      }
    }
    return null;
  }

  /** What a client found wrong with the frames it got. */
  collect(name, client) {
    for (const v of client.violations) this.note(`${name}: ${v}`);
    for (const p of client.pushes) {
      if (!this.isFailedRead(p)) this.note(`${name}: an unexpected ${p.raw}`);
    }
  }

  isFailedRead({ type, reason, code }) {
    const ended = type === 'unsubscribed' && reason === 'unavailable';
    // An acknowledgement that was under way when the subscription ended.
    return this.readsMayFail && (ended || (type === 'error' && code === 'not_subscribed'));
  }

  async readAll() {
    const client = await Client.connect(this.server.ws);
    for (const channel of CHANNELS) {
      this.history.finals.push(await readHistory(client, channel, false));
      this.history.finals.push(await readHistory(client, channel, true));
      this.history.finals.push(await readHttp(this.server.http, channel));
    }
    await client.terminate();
    this.collect('reader', client);
  }

  /** The faults are over: every message must be acknowledged, every subscriber come to the end. */
  async finish() {
    this.publishing = false;
    this.stopReadingMs = 0;
    await settled('every message acknowledged', () => this.publishers.every((p) => p.done),
      this.settleMs);
    await this.readAll();
    const latest = new Map(this.history.finals.map((f) => [f.channel, f.latest]));
    await settled('every subscriber at the end', () => this.subscribers.every((s) =>
      [...s.streams.values()].every((x) => s.next(x) === latest.get(x.channel) + 1)),
    this.settleMs);
    this.running = false;
    await Promise.all(this.working);
    return this.history;
  }
}
