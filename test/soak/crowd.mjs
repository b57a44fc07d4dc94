// The clients of the soak test: steady ones that check every message, and a crowd that comes and
// goes, is slow, asks for history, sends rubbish. What they find wrong is in `violations`.

import { setTimeout as sleep } from 'node:timers/promises';

import { random } from '../crash/load.mjs';
import { Client } from '../e2e/lib/client.mjs';
import { exchange, frame, upgradeHead, wsExchange } from '../e2e/lib/raw.mjs';

const STEADY = ['orders', 'prices', 'chat/é'];
const OTHERS = Array.from({ length: 20 }, (_, i) => `room-${i}`); // a fixed set: no growth of ours
const TICK_MS = 10; // of a steady publisher
const BURST = 3; // messages in each
const PAUSE_MS = 50; // between two acts of the crowd

export class Crowd {
  constructor(server, seed) {
    this.server = server;
    this.random = random(seed);
    this.running = true;
    this.violations = [];
    this.counts = { published: 0, delivered: 0, connections: 0, http: 0, hostile: 0, gaps: 0 };
    this.delivery = []; // ms from publish to push, since the last sample
    this.round = []; // ms from publish to published
    this.latest = new Map(); // channel -> the last seq acknowledged
    this.steady = new Map(); // `${channel}` -> subscriptions that must reach it
  }

  between(low, high) {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  pick(list) {
    return list[this.between(0, list.length - 1)];
  }

  async connect(options) {
    this.counts.connections += 1;
    return Client.connect(this.server.ws, options);
  }

  collect(client) {
    this.violations.push(...client.violations);
    client.violations = [];
  }

  start() {
    this.working = [
      ...STEADY.map((channel, i) => this.publisher(channel, i)),
      ...STEADY.map((channel) => this.subscriber(channel)),
      ...[0, 1, 2].map(() => this.repeat(() => this.visitor())),
      ...['visitor-1', 'visitor-2'].map((id) => this.repeat(() => this.producer(id))),
      this.repeat(() => this.slowReader()),
      this.repeat(() => this.slowReader(10)),
      this.repeat(() => this.http()),
      this.repeat(() => this.hostile()),
    ];
  }

  /** An act of the crowd, again and again; one that throws is a violation. */
  async repeat(act) {
    while (this.running) {
      try {
        await act();
      } catch (error) {
        this.violations.push(`${act}: ${error.stack}`);
      }
      await sleep(PAUSE_MS);
    }
  }

  // ---- steady ones --------------------------------------------------------------------------

  async publisher(channel, index) {
    const client = await this.connect({ producer: { id: `steady-${index}`, epoch: 1 } });
    for (let n = 1; this.running; n += 1) {
      if (n % BURST === 0) await sleep(TICK_MS);
      const began = performance.now();
      const data = { at: began, fill: 'x'.repeat(this.between(0, 400)) };
      client.publish(channel, data, { producer_seq: n }).then(({ seq }) => {
        this.round.push(performance.now() - began);
        this.latest.set(channel, seq);
        this.counts.published += 1;
      }, (error) => this.violations.push(`publish: ${error.message}`));
    }
    await client.barrier();
    await sleep(500); // what is under way
    this.collect(client);
    await client.terminate();
  }

  async subscriber(channel) {
    const client = await this.connect();
    const place = { next: null };
    this.steady.set(channel, place);
    await client.request({ type: 'subscribe', channel, from: 'earliest', onMessage: (m) => {
      place.next = m.seq + 1;
      this.counts.delivered += 1;
      if (m.data.at !== undefined) this.delivery.push(performance.now() - m.data.at);
    } });
    while (this.running || place.next !== (this.latest.get(channel) ?? 0) + 1) {
      if (!this.running && Date.now() > this.deadline) {
        this.violations.push(`${channel}: next ${place.next}, latest ${this.latest.get(channel)}`);
        break;
      }
      await sleep(50);
    }
    for (const push of client.pushes) this.violations.push(`steady: ${push.raw}`);
    this.collect(client);
    await client.terminate();
  }

  // ---- the crowd ----------------------------------------------------------------------------

  /** Subscribes to some channels from somewhere, stays a while, leaves in one way or another. */
  async visitor() {
    const client = await this.connect();
    const from = ['earliest', 'latest', { seq: 1 }, { time: Date.now() - 2000 }];
    for (const channel of [this.pick(STEADY), this.pick(OTHERS), this.pick(OTHERS)]) {
      const window = this.random() < 0.3 ? 100 : undefined;
      await client.request({ type: 'subscribe', channel, from: this.pick(from), on_gap: 'reset',
        window, onMessage: () => (this.counts.delivered += 1) }); // twice the same is refused
    }
    await sleep(this.between(0, 1500));
    this.counts.gaps += client.pushes.filter((p) => p.type === 'gap').length;
    const how = this.between(0, 2);
    if (how === 0) await client.request({ type: 'unsubscribe', channel: this.pick(STEADY) });
    this.collect(client);
    if (how === 1) await client.close();
    else await client.terminate();
  }

  /** A producer's new incarnation. (A new producer would be remembered for ever: the server keeps
   *  the number of each, so that nothing is stored twice.) */
  async producer(id) {
    this.epoch = (this.epoch ?? 0) + 1;
    const client = await this.connect({ producer: { id, epoch: this.epoch } });
    const channel = this.pick(OTHERS);
    for (let n = 1; n <= 4; n += 2) {
      const batch = [{ data: n, key: `k${n}` }, { data: 'y'.repeat(this.between(0, 5000)) }];
      const command = { type: 'publish', channel, batch, producer_seq: n };
      await client.expect('published', command);
      const again = await client.expect('published', command);
      if (again.duplicate !== true) this.violations.push(`stored twice: ${again.raw}`);
      this.counts.published += 2;
    }
    this.collect(client);
    await client.terminate();
  }

  /** One does not read for a while, one reads and acknowledges late: retention runs over it, and
   *  it is told so. */
  async slowReader(window) {
    const client = await this.connect();
    const channel = this.pick(STEADY);
    let seen = 0;
    await client.request({ type: 'subscribe', channel, from: 'earliest', on_gap: 'reset', window,
      onMessage: (m) => {
        seen = m.seq;
        this.counts.delivered += 1;
      } });
    for (let i = 0; i < 4 && this.running; i += 1) {
      if (window === undefined) client.ws.pause();
      for (let waited = 0; waited < 4000 && this.running; waited += 50) await sleep(50);
      client.ws.resume();
      await client.barrier(); // what was sent has been read
      if (window !== undefined && seen > 0) {
        client.sendText(JSON.stringify({ type: 'ack', channel, seq: seen }));
      }
      await sleep(this.between(10, 300));
    }
    this.counts.gaps += client.pushes.filter((p) => p.type === 'gap').length;
    this.collect(client);
    await client.terminate();
  }

  async http() {
    const base = `${this.server.http}/v1`;
    const name = encodeURIComponent(this.pick(STEADY));
    const body = JSON.stringify({ channel: this.pick(OTHERS), data: 'over HTTP' });
    const headers = { 'content-type': 'application/json' };
    const asked = [
      fetch(`${base}/publish`, { method: 'POST', headers, body }),
      fetch(`${base}/channels/${name}/messages?limit=100&reverse=true`),
      fetch(`${this.server.http}/readyz`),
    ];
    for (const answer of await Promise.all(asked)) {
      await answer.arrayBuffer();
      if (answer.status !== 200) this.violations.push(`${answer.url}: ${answer.status}`);
      this.counts.http += 1;
    }
    const missing = await fetch(`${base}/nothing/here`);
    await missing.arrayBuffer();
    if (missing.status !== 404) this.violations.push(`${missing.url}: ${missing.status}`);
  }

  /** Bytes that no client should send; what they are answered with is tested elsewhere. */
  async hostile() {
    const { port } = this.server;
    const huge = frame(1, Buffer.alloc(0), { declared: 2 ** 40, lengthBytes: 8 });
    const acts = [
      () => exchange(port, Buffer.from('\0\x01rubbish\r\n\r\n'), { ms: 300 }),
      () => exchange(port, upgradeHead(port).slice(0, 40), { ms: 200 }),
      () => exchange(port, upgradeHead(port, { fields: { 'X-Long': 'a'.repeat(20_000) } }),
        { ms: 300 }),
      () => wsExchange(port, [huge], { ms: 300 }),
      () => wsExchange(port, [frame(1, 'not JSON')], { ms: 300 }),
      () => wsExchange(port, [frame(1, '{"type":"publish"}')], { ms: 300 }),
      () => wsExchange(port, [frame(1, 'half', { fin: false })], { ms: 200 }),
      () => wsExchange(port, [frame(3, 'x')], { ms: 300 }),
      () => wsExchange(port, [frame(9, Buffer.alloc(200))], { ms: 300 }),
      () => wsExchange(port, [frame(1, Buffer.from([0xff, 0xfe]))], { ms: 300 }),
      () => wsExchange(port, [frame(1, '{}', { mask: false })], { ms: 300 }),
    ];
    await this.pick(acts)();
    this.counts.hostile += 1;
  }

  async stop() {
    this.running = false;
    this.deadline = Date.now() + 10_000;
    await Promise.all(this.working);
  }
}
