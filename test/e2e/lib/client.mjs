// A client that trusts nothing: it knows the protocol page only and checks every frame it gets.
// What is wrong is gathered in `violations`; close() fails the test if there is any.

import assert from 'node:assert/strict';
import { WebSocket } from 'ws';

import { BinarySocket } from './binary.mjs';

const REPLY_MS = 15_000;

const isText = (x) => typeof x === 'string' && x.length > 0;
const isSeq = (x) => Number.isSafeInteger(x) && x >= 1;
const isCount = (x) => Number.isSafeInteger(x) && x >= 0;
const isObject = (x) => typeof x === 'object' && x !== null && !Array.isArray(x);
const optional = (check) => (x) => x === undefined || check(x);

const CODES = new Set([
  'bad_request', 'unauthorized', 'forbidden', 'gap', 'already_subscribed', 'not_subscribed',
  'out_of_sequence', 'producer_unknown', 'producer_fenced', 'too_large', 'rate_limited',
  'limit_exceeded', 'unavailable', 'internal',
]);

export const MESSAGE_SHAPE = {
  seq: isSeq,
  message_id: isText,
  time: isSeq,
  key: optional((x) => typeof x === 'string'),
  producer: optional(isText),
  producer_seq: optional(isSeq),
};

// What each frame from the server must have: member -> check.
const SHAPES = {
  connected: {
    connection: isText, namespace: isText, node: isCount,
    server: (x) => /^seriatim\/\d+\.\d+\.\d+/.test(x), ping_ms: isSeq,
    durability: (x) => ['fsync', 'os', 'memory'].includes(x), features: Array.isArray,
    limits: (x) => isObject(x) && isSeq(x.message_bytes), time: isSeq,
  },
  published: {
    channel: isText, seq: optional(isSeq), message_id: optional(isText), epoch: isText,
    count: optional(isSeq), duplicate: optional((x) => x === true),
  },
  subscribed: {
    channel: isText, epoch: isText, next: isSeq, earliest: isCount, latest: isCount,
    reset: optional((x) => isObject(x) && ['trimmed', 'epoch', 'ahead'].includes(x.reason)),
  },
  message: { channel: isText, ...MESSAGE_SHAPE },
  unsubscribed: { channel: isText, reason: optional(isText) },
  history: {
    channel: isText, epoch: isText, earliest: isCount, latest: isCount, messages: Array.isArray,
    more: optional((x) => x === true || x === false),
  },
  digest: {
    channel: isText, epoch: isText, seq: isCount,
    digest: (x) => typeof x === 'string' && /^[0-9a-f]{16}$/.test(x),
  },
  pong: {},
  goaway: { reason: isText, reconnect_after_ms: isCount },
  gap: { channel: isText, from: isSeq, to: isSeq, reason: isText },
  reset: { channel: isText, epoch: isText, reason: isText, next: isSeq },
  error: { code: (x) => CODES.has(x), message: isText },
};

export function checkShape(frame, shape) {
  const wrong = [];
  for (const [member, check] of Object.entries(shape)) {
    if (!check(frame[member])) wrong.push(`${member} = ${JSON.stringify(frame[member])}`);
  }
  return wrong;
}

/** One subscription as its client sees it: what came, and what must come next. */
export class Subscription {
  constructor(reply) {
    this.channel = reply.channel;
    this.epoch = reply.epoch;
    this.next = reply.next;
    this.reply = reply;
    this.messages = []; // {…frame, raw}
    this.taken = 0;
    this.ended = null; // the unsubscribed frame
    this.waiters = [];
    this.onMessage = null; // set by who wants each message at once, from the first on
  }

  wake() {
    this.waiters.splice(0).forEach((resolve) => resolve());
  }
}

export class Client {
  constructor(ws) {
    this.ws = ws;
    this.nextId = 1;
    this.pending = new Map(); // id -> {command, resolve, reject}
    this.subscriptions = new Map(); // channel -> Subscription
    this.pushes = []; // goaway, gap, reset, unsubscribed without id, error without id
    this.violations = [];
    this.published = new Map(); // channel -> ids of publishes under way, in the order sent
    this.waiters = [];
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.closeCode = code;
        for (const p of this.pending.values()) p.reject(new Error(`closed with ${code}`));
        this.pending.clear();
        for (const s of this.subscriptions.values()) s.wake();
        this.#wake();
        resolve({ code, reason: reason.toString() });
      });
    });
    ws.on('error', (error) => (this.error = error));
    ws.on('message', (data, isBinary) => this.#onFrame(data.toString(), isBinary));
  }

  /** A WebSocket that is open, without `connect`. */
  static async open(url, { protocols = ['seriatim.v1.json'], binary = false, ...options } = {}) {
    const all = { perMessageDeflate: false, ...options };
    const ws = binary ? new BinarySocket(url, all) : new WebSocket(url, protocols, all);
    const client = new Client(ws);
    await new Promise((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
    });
    return client;
  }

  /** Open and connected. */
  static async connect(url, { producer, cumulative, ...options } = {}) {
    const client = await Client.open(url, options);
    const command = { type: 'connect' };
    if (cumulative) command.cumulative = true; // binary only
    if (producer !== undefined) command.producer = producer;
    client.connected = await client.request(command);
    return client;
  }

  violation(text) {
    this.violations.push(text);
  }

  #wake() {
    this.waiters.splice(0).forEach((resolve) => resolve());
  }

  #onFrame(text, isBinary) {
    if (isBinary) {
      this.violation('a binary frame on a JSON connection');
      return;
    }
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.violation(`not JSON: ${text.slice(0, 200)}`);
      return;
    }
    const shape = SHAPES[frame.type];
    if (shape === undefined) {
      this.violation(`unknown type: ${text.slice(0, 200)}`);
      return;
    }
    for (const wrong of checkShape(frame, shape)) this.violation(`${frame.type}: ${wrong}`);
    Object.defineProperty(frame, 'raw', { value: text }); // not enumerable: not compared
    if (frame.type === 'message') this.#onMessage(frame);
    else if (frame.id !== undefined) this.#onReply(frame);
    else this.#onPush(frame);
    this.#wake();
  }

  #onReply(frame) {
    const pending = this.pending.get(frame.id);
    if (pending === undefined) {
      this.violation(`a reply to id ${frame.id}, which is not open: ${frame.raw.slice(0, 200)}`);
      return;
    }
    this.pending.delete(frame.id);
    if (pending.command.type === 'publish') {
      const open = this.published.get(pending.command.channel);
      const at = open.indexOf(frame.id);
      open.splice(at, 1);
      // [P 2]: published replies for one channel come in order; refusals may overtake.
      const earlier = open.slice(0, at).filter((id) => this.pending.has(id));
      if (frame.type === 'published' && earlier.length > 0) {
        this.overtaken = this.overtaken ?? [];
        this.overtaken.push({ channel: frame.channel, id: frame.id, earlier });
      }
      if (frame.type === 'published') this.#checkOvertaken(frame);
    }
    if (frame.type === 'subscribed') {
      const subscription = new Subscription(frame);
      subscription.onMessage = pending.command.onMessage ?? null;
      this.subscriptions.set(frame.channel, subscription);
    }
    if (frame.type === 'unsubscribed') this.#onUnsubscribed(frame);
    pending.resolve(frame);
  }

  /** A `published` that comes after one sent later on the same channel is a violation. */
  #checkOvertaken(frame) {
    for (const o of this.overtaken ?? []) {
      if (o.channel === frame.channel && o.earlier.includes(frame.id)) {
        this.violation(`published of id ${frame.id} came after that of id ${o.id}`);
      }
    }
  }

  #onMessage(frame) {
    const subscription = this.subscriptions.get(frame.channel);
    if (subscription === undefined || subscription.ended !== null) {
      this.violation(`a message of ${frame.channel}, which is not subscribed to`);
      return;
    }
    if (frame.seq !== subscription.next) {
      this.violation(`${frame.channel}: seq ${frame.seq}, expected ${subscription.next}`);
    }
    const isBytes = typeof frame.data_base64 === 'string';
    if ((frame.data !== undefined) === isBytes) {
      this.violation(`a message needs one of data, data_base64: ${frame.raw.slice(0, 200)}`);
    }
    subscription.next = frame.seq + 1;
    if (subscription.onMessage !== null) {
      subscription.onMessage(frame); // the caller keeps it, or not
      return;
    }
    subscription.messages.push(frame);
    subscription.wake();
  }

  #onUnsubscribed(frame) {
    const subscription = this.subscriptions.get(frame.channel);
    if (subscription === undefined) {
      this.violation(`unsubscribed from ${frame.channel}, which was not subscribed to`);
      return;
    }
    subscription.ended = frame;
    subscription.wake();
  }

  #onPush(frame) {
    const subscription = this.subscriptions.get(frame.channel);
    if (frame.type === 'gap') {
      if (subscription?.next !== frame.from) {
        this.violation(`gap from ${frame.from}, expected ${subscription?.next}`);
      }
      if (subscription) subscription.next = frame.to + 1;
    }
    if (frame.type === 'reset' && subscription) {
      subscription.next = frame.next;
      subscription.epoch = frame.epoch;
    }
    if (frame.type === 'unsubscribed') this.#onUnsubscribed(frame);
    this.pushes.push(frame);
  }

  sendText(text) {
    this.ws.send(text);
  }

  /** Sends a command with the next id and resolves with its reply, error or not. */
  request(command, text) {
    const id = command.id ?? this.nextId++;
    const whole = { ...command, id }; // functions in it are ours: JSON leaves them out
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no reply to ${JSON.stringify(whole).slice(0, 200)}`));
      }, REPLY_MS);
      const done = (f) => (x) => {
        clearTimeout(timer);
        f(x);
      };
      this.pending.set(id, { command: whole, resolve: done(resolve), reject: done(reject) });
      if (whole.type === 'publish') {
        const open = this.published.get(whole.channel) ?? [];
        open.push(id);
        this.published.set(whole.channel, open);
      }
      this.ws.send(text ? text(id) : JSON.stringify(whole));
    });
  }

  /** As request(), and the reply must be of the type asked for. */
  async expect(type, command) {
    const reply = await this.request(command);
    assert.equal(reply.type, type, `${JSON.stringify(command).slice(0, 300)} -> ${reply.raw}`);
    return reply;
  }

  async expectError(code, command) {
    const reply = await this.expect('error', command);
    assert.equal(reply.code, code, reply.raw);
    return reply;
  }

  publish(channel, data, more = {}) {
    return this.expect('published', { type: 'publish', channel, data, ...more });
  }

  /** Publishes the raw JSON text as the payload. */
  async publishRaw(channel, raw) {
    const name = JSON.stringify(channel);
    const reply = await this.request({ type: 'publish', channel }, (id) =>
      `{"type":"publish","id":${id},"channel":${name},"data":${raw}}`);
    assert.equal(reply.type, 'published', reply.raw);
    return reply;
  }

  async subscribe(channel, from, more = {}) {
    const command = { type: 'subscribe', channel, ...more };
    if (from !== undefined) command.from = from;
    await this.expect('subscribed', command);
    return this.subscriptions.get(channel);
  }

  history(channel, more = {}) {
    return this.expect('history', { type: 'history', channel, ...more });
  }

  /** The digest of a channel, of message `seq` or the newest. */
  digest(channel, more = {}) {
    return this.expect('digest', { type: 'digest', channel, ...more });
  }

  /** The next `count` messages of a subscription. */
  async take(subscription, count, timeoutMs = REPLY_MS) {
    const deadline = Date.now() + timeoutMs;
    while (subscription.messages.length - subscription.taken < count) {
      const left = deadline - Date.now();
      if (left <= 0 || subscription.ended || this.ws.readyState !== WebSocket.OPEN) {
        const got = subscription.messages.length - subscription.taken;
        throw new Error(`${subscription.channel}: ${got} of ${count} messages came`);
      }
      await wait(subscription.waiters, left);
    }
    const from = subscription.taken;
    subscription.taken += count;
    return subscription.messages.slice(from, from + count);
  }

  /** The first push that `match` likes; it is taken off. */
  async push(match, timeoutMs = REPLY_MS) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const at = this.pushes.findIndex(match);
      if (at >= 0) return this.pushes.splice(at, 1)[0];
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no such push; had ${JSON.stringify(this.pushes)}`);
      await wait(this.waiters, left);
    }
  }

  /** A ping and its pong: whatever was sent before it has been read by the server. */
  async barrier() {
    await this.expect('pong', { type: 'ping' });
  }

  /** Whatever the server does, the connection ends with that code within the time. */
  async expectClose(code, timeoutMs = REPLY_MS) {
    const timer = new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`not closed within ${timeoutMs} ms`)), timeoutMs).unref();
    });
    const closed = await Promise.race([this.closed, timer]);
    assert.equal(closed.code, code, `closed with ${closed.code} ${closed.reason}`);
    return closed;
  }

  check() {
    assert.deepEqual(this.violations, []);
  }

  async close() {
    this.ws.close(1000);
    const closed = await Promise.race([
      this.closed,
      new Promise((resolve) => setTimeout(resolve, 5000, { code: 'never' }).unref()),
    ]);
    this.check();
    return closed;
  }

  terminate() {
    this.ws.terminate();
    return this.closed;
  }
}

function wait(waiters, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    waiters.push(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

let channelCount = 0;
/** A channel name that no other test has. */
export function channelName(prefix = 'c') {
  channelCount += 1;
  return `${prefix}-${process.pid}-${channelCount}`;
}
