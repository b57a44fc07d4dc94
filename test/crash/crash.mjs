// Kill -9 at random moments, and a look from outside at what is left.
//
//   node crash.mjs [--kills N] [--seed S] [--plant NAME]    a run; exit 1 on any violation
//   node crash.mjs --canary                                 each planted violation must be found
//
// Goal: I1 to I6 hold through any number of kills. Method: numbered publishers that keep what is
// not acknowledged and send it again, some over two connections at once; subscribers that resume
// after the last seq they saw, one of them slow, one with a window; a server that is killed while
// it works, while it is idle and while it recovers. Everything seen is recorded; checker.mjs
// judges. The seed fixes the plan (not the machine's timing) and is printed.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Client } from '../e2e/lib/client.mjs';
import { Server } from '../e2e/lib/server.mjs';
import { account, History, judge, observation, PLANTS } from './checker.mjs';

const CHANNELS = ['orders', 'prices', 'chat/é'];
const PUBLISHERS = 6;
const SUBSCRIBERS = 4;
const WINDOW = 32; // a publisher's messages under way
const SETTLE_MS = 60_000;
const ROUND = 40; // kills of one server and one account
const SERVE = '--segment-bytes 256KiB --feed-bytes 64KiB --threads 2 --partitions 2';
let serverFlags = SERVE.split(' ');

/** mulberry32: small, seeded, good enough for a plan. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Run {
  constructor(server, seed) {
    this.server = server;
    this.random = random(seed);
    this.history = new History();
    this.publishing = true; // new messages are made
    this.running = true; // clients come back after a loss
  }

  between(low, high) {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  note(text) {
    this.history.notes.push(text);
  }

  /** A connection, as soon as the server takes one; null at the end of the run. */
  async connect(options) {
    for (let pause = 5; this.running; pause = Math.min(pause * 2, 100)) {
      try {
        return await Client.connect(this.server.ws, options);
      } catch {
        await sleep(pause);
      }
    }
    return null;
  }

  /** What a client found wrong with the frames it got. */
  collect(name, client) {
    for (const v of client.violations) this.note(`${name}: ${v}`);
    for (const p of client.pushes) this.note(`${name}: an unexpected ${p.raw}`);
  }
}

// ---- publishers ---------------------------------------------------------------------------------

class Publisher {
  constructor(run, index) {
    this.run = run;
    this.id = `p${index}`;
    this.connections = index % 3 === 2 ? 2 : 1;
    // Per channel: the outbox holds what is sent and not acknowledged, in the order of numbers.
    this.lanes = CHANNELS.map((channel) => ({ channel, next: 1, outbox: new Map() }));
  }

  get done() {
    return !this.run.publishing && this.lanes.every((l) => l.outbox.size === 0);
  }

  make(lane) {
    const n = lane.next;
    lane.next += 1;
    const size = this.run.random() < 0.02 ? this.run.between(10_000, 60_000)
      : this.run.between(0, 200);
    const item = { n, data: [this.id, n, 'x'.repeat(size)] };
    if (this.run.random() < 0.3) item.key = `k${n % 5}`;
    lane.outbox.set(n, item);
  }

  send(client, lane, item) {
    const { history } = this.run;
    const key = `${lane.channel}|${this.id}|${item.n}`;
    history.sent.set(key, (history.sent.get(key) ?? 0) + 1);
    const command = { type: 'publish', channel: lane.channel, data: item.data,
      producer_seq: item.n };
    if (item.key !== undefined) command.key = item.key;
    client.request(command).then((reply) => this.onReply(client, lane, item, reply), () => {});
  }

  onReply(client, lane, item, reply) {
    if (reply.type === 'published') {
      lane.outbox.delete(item.n);
      const { seq, message_id, epoch, duplicate } = reply;
      this.run.history.acked.push({ channel: lane.channel, producer: this.id, n: item.n, seq,
        message_id, epoch, duplicate });
      return;
    }
    // A refusal for the moment: start over from the outbox. Anything else must not happen.
    if (reply.code !== 'unavailable' && !client.restarting) {
      this.run.note(`${this.id}: ${reply.raw}`);
    }
    client.restarting = true;
    client.terminate();
  }

  /** One connection: sends the outbox again in order, then what is new, until it is lost. */
  async talk(leader) {
    const client = await this.run.connect({ producer: { id: this.id, epoch: 1 } });
    if (client === null) return;
    const sentUpTo = new Map(); // lane -> the last number sent here
    while (client.ws.readyState === 1 && !this.done) {
      for (const lane of this.lanes) {
        if (leader && this.run.publishing && lane.outbox.size < WINDOW) this.make(lane);
        const last = sentUpTo.get(lane) ?? 0;
        for (const [n, item] of lane.outbox) {
          if (n <= last) continue;
          this.send(client, lane, item);
          sentUpTo.set(lane, n);
        }
      }
      // A client's own connection breaks, too.
      if (this.run.publishing && this.run.random() < 0.002) break;
      await sleep(this.run.between(1, 6));
    }
    await client.terminate();
    this.run.collect(this.id, client);
  }

  async work() {
    await Promise.all(Array.from({ length: this.connections }, async (_, k) => {
      while (!this.done && this.run.running) await this.talk(k === 0);
    }));
  }
}

// ---- subscribers --------------------------------------------------------------------------------

class Subscriber {
  constructor(run, index) {
    this.run = run;
    this.name = `s${index}`;
    this.slow = index === 1;
    this.window = index === 2 ? 50 : undefined;
    this.streams = new Map();
    for (const channel of CHANNELS) {
      const stream = { observer: this.name, channel, epoch: null, start: 1, messages: [] };
      this.streams.set(channel, stream);
      run.history.streams.push(stream);
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
    const seq = stream.messages.length === 0 ? 1 : stream.messages.at(-1).seq + 1;
    const from = stream.epoch === null ? { seq: 1 } : { epoch: stream.epoch, seq };
    const reply = await client.request({ type: 'subscribe', channel: stream.channel, from,
      window: this.window, onMessage: (frame) => this.onMessage(client, frame) });
    if (reply.type !== 'subscribed') {
      this.run.note(`${this.name}: ${reply.raw}`);
      return;
    }
    if (reply.next !== seq) this.run.note(`${this.name}: asked for ${seq}, got ${reply.raw}`);
    stream.epoch = stream.epoch ?? reply.epoch;
    if (stream.epoch !== reply.epoch) this.run.note(`${this.name}: another epoch, ${reply.raw}`);
  }

  async talk() {
    const client = await this.run.connect();
    if (client === null) return;
    try {
      for (const stream of this.streams.values()) await this.subscribe(client, stream);
      while (client.ws.readyState === 1 && this.run.running) {
        if (this.slow && this.run.publishing) {
          client.ws.pause();
          await sleep(this.run.between(50, 300));
          client.ws.resume();
        }
        if (this.run.publishing && this.run.random() < 0.01) break;
        await sleep(20);
      }
    } catch {
      // lost in mid-subscribe: the next connection goes on
    }
    await client.terminate();
    this.run.collect(this.name, client);
  }

  async work() {
    while (this.run.running) await this.talk();
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

async function readAll(run) {
  const client = await Client.connect(run.server.ws);
  for (const channel of CHANNELS) {
    run.history.finals.push(await readHistory(client, channel, false));
    run.history.finals.push(await readHistory(client, channel, true));
    run.history.finals.push(await readHttp(run.server.http, channel));
  }
  await client.terminate();
  run.collect('reader', client);
}

async function settled(what, done) {
  const deadline = Date.now() + SETTLE_MS;
  while (!done() && Date.now() < deadline) await sleep(20);
  if (!done()) console.log(`not within ${SETTLE_MS} ms: ${what}`);
}

// ---- a run --------------------------------------------------------------------------------------

async function killLoop(run, kills) {
  for (let k = 1; k <= kills; k += 1) {
    await sleep(run.between(20, 700));
    await run.server.kill();
    // Now and then once more while it recovers, wherever it has got to.
    if (run.random() < 0.25) await run.server.restartAndKill(run.between(0, 60));
    const began = Date.now();
    await run.server.restart();
    const slowest = Math.max(run.slowestMs ?? 0, Date.now() - began);
    run.slowestMs = slowest;
    if (process.stdout.isTTY) process.stdout.write(`\rkill ${k}, slowest start ${slowest} ms `);
  }
  if (process.stdout.isTTY) process.stdout.write('\n');
}

async function crashRun(kills, seed) {
  // Small segments and feeds: rolls, sealed indexes, checkpoints and reads from disk all happen.
  const server = await Server.start({ flags: serverFlags });
  const run = new Run(server, seed);
  try {
    const publishers = Array.from({ length: PUBLISHERS }, (_, i) => new Publisher(run, i));
    const subscribers = Array.from({ length: SUBSCRIBERS }, (_, i) => new Subscriber(run, i));
    const working = [...publishers, ...subscribers].map((w) => w.work());
    await killLoop(run, kills);
    await sleep(200);
    run.publishing = false;
    await settled('every message acknowledged', () => publishers.every((p) => p.done));
    await readAll(run);
    const latest = new Map(run.history.finals.map((f) => [f.channel, f.latest]));
    await settled('every subscriber at the end', () => subscribers.every((s) =>
      [...s.streams.values()].every((x) => s.next(x) === latest.get(x.channel) + 1)));
    run.running = false;
    await Promise.all(working);
    const stopped = await server.stop();
    if (stopped.code !== 0) run.note(`SIGTERM ended with ${JSON.stringify(stopped)}`);
  } catch (error) {
    console.log(server.stderr.slice(-4000));
    throw error;
  }
  return run.history;
}

function print(history, result) {
  for (const [name, value] of Object.entries(account(history))) {
    console.log(`${name.padEnd(20)} ${value}`);
  }
  for (const line of result.lines) console.log(line);
  console.log(`checks: ${result.passed} passed, ${result.failed} failed`);
}

async function canary(seed) {
  const history = await crashRun(2, seed);
  const clean = judge(history);
  let [passed, failed] = clean.failed === 0 ? [1, 0] : [0, 1];
  if (clean.failed > 0) console.log(clean.lines.join('\n'));
  for (const [name, [plant, check]] of Object.entries(PLANTS)) {
    const bent = history.clone();
    plant(bent);
    const found = judge(bent).failedNames.some((n) => n.startsWith(check));
    console.log(`${found ? 'found ' : 'MISSED'}  ${name} (${check})`);
    if (found) passed += 1;
    else failed += 1;
  }
  console.log(`checks: ${passed} passed, ${failed} failed`);
  return failed;
}

async function main() {
  const { values } = parseArgs({ options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    plant: { type: 'string' },
    canary: { type: 'boolean', default: false },
    serve: { type: 'string', default: SERVE }, // flags of the server, with spaces between them
  } });
  serverFlags = values.serve.split(' ').filter((flag) => flag !== '');
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed);
  console.log(`seed ${seed}`);
  if (values.canary) return canary(seed);
  const kills = Number(values.kills);
  let failed = 0;
  for (let done = 0; done < kills; done += ROUND) {
    failed += await round(Math.min(ROUND, kills - done), seed + done / ROUND, values.plant);
  }
  return failed;
}

/** A server of its own, and its account: the history of more kills would not fit into memory. */
async function round(kills, seed, plant) {
  const began = Date.now();
  console.log(`round with seed ${seed}`);
  const history = await crashRun(kills, seed);
  if (plant !== undefined) PLANTS[plant][0](history);
  console.log(`${kills} kills in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  const result = judge(history);
  print(history, result);
  return result.failed;
}

process.exit((await main()) === 0 ? 0 : 1);
