// The real server behind a faulty wire, judged from outside.
//
//   node net.mjs [--seconds N] [--seed S] [--only NAME,…]     exit 1 on any violation
//
// Goal: I1 to I7 hold whatever the network does, everything arrives once it is good again, and a
// client whose own wire is good does not notice. Method: two networks with a TUN device in each and
// a program between them (bridge.c) that delays, loses, doubles, reorders, cuts, forges resets; the
// crash test's clients in one, the server in the other, with a calm client beside it. Every
// scenario must prove that its faults have happened.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { account, judge, printBriefly } from '../crash/checker.mjs';
import { Load } from '../crash/load.mjs';
import { Server } from '../e2e/lib/server.mjs';
import { Checks, inOwnNamespaces, skipAll } from '../lib/own.mjs';
import { FAR, Wire } from './wire.mjs';

const TITLE = 'the network between clients and server';
// Both ends look soon whether the other one is still there.
const FLAGS = ['--segment-bytes', '256KiB', '--feed-bytes', '64KiB', '--threads', '2',
  '--partitions', '2', '--ping-interval', '500ms', '--pong-timeout', '2s'];
const SILENCE_MS = 2000;
const SETTLE_MS = 30_000;
const QUIET_MS = 1500; // before the faults: what the calm client takes for usual
const CALM_FACTOR = 5; // P23: its p99 under faults, by its p99 before
const CALM_MS = 400; // or this, whichever is more: two cores are shared with the load itself

const checks = new Checks();
const total = { scenarios: 0, acked: 0, delivered: 0, violations: 0 };

/** For `ms` the wire is so, then good. */
const steady = (settings) => async (wire, load, ms) => {
  wire.set(settings);
  await sleep(ms);
};

/** Comes and goes. */
const inTurns = (settings) => async (wire, load, ms) => {
  for (const end = Date.now() + ms; Date.now() < end;) {
    wire.set(settings);
    await sleep(load.between(200, 1500));
    wire.set();
    await sleep(load.between(100, 500));
  }
};

/** A subscriber stops reading, for so long that its window closes. */
async function stopReading(wire, load, ms) {
  wire.set();
  load.stopReadingMs = ms / 3;
  await sleep(ms);
}

/** Anything of everything, changing all the time. */
async function everything(wire, load, ms) {
  load.stopReadingMs = 500;
  for (const end = Date.now() + ms; Date.now() < end;) {
    const cut = load.random() < 0.15 ? ['both', 'to_far', 'to_near'][load.between(0, 2)] : null;
    wire.set([`delay=0-${load.between(0, 100)}`, `loss=${load.between(0, 100)}`,
      `dup=${load.between(0, 100)}`, `reorder=${load.between(0, 200)}`,
      `hole=${load.between(1, 3)}`, `reset=${load.between(1, 3)}`,
      ...(cut === null ? [] : [`cut=${cut}`])].join(' '));
    await sleep(load.between(100, 800));
  }
}

/** name -> [what the wire does meanwhile, the counters that must have moved]. */
const SCENARIOS = {
  'delay of 0 to 200 ms': [steady('delay=0-200'), ['delayed']],
  'every fifth packet lost': [steady('loss=200'), ['lost']],
  'packets doubled': [steady('dup=200 delay=1-5'), ['doubled']],
  'packets overtaking': [steady('reorder=300 delay=1-5'), ['overtaken']],
  partition: [inTurns('cut=both'), ['cut']],
  'nothing gets to the server': [inTurns('cut=to_far'), ['cut']],
  'nothing gets to the clients': [inTurns('cut=to_near'), ['cut']],
  'half-open connections': [steady('hole=3'), ['holes']],
  'connections reset': [steady('reset=5'), ['resets']],
  'zero window': [stopReading, ['zero_windows']],
  'narrow link': [steady('rate=300000'), ['crowded']],
  everything: [everything, ['lost', 'doubled', 'overtaken', 'holes', 'resets']],
};

/** A client beside the server. */
class Calm {
  constructor(wire, server) {
    const [program, ...under] = wire.far;
    const script = fileURLToPath(new URL('calm.mjs', import.meta.url));
    this.child = spawn(program, [...under, process.execPath, script, server.ws],
      { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.child.stdout });
  }

  /** The figures since the last call. */
  async window() {
    const line = once(this.lines, 'line');
    this.child.stdin.write('\n');
    return JSON.parse((await line)[0]);
  }

  async end() {
    this.child.stdin.end();
    await once(this.child, 'close');
  }
}

function checkCalm(name, before, during, ms) {
  const most = Math.max(CALM_FACTOR * before.p99, CALM_MS);
  checks.check(`${name}: a client with a good wire has a p99 of ${during.p99} ms, ${before.p99} ms`
    + ` before (${during.count} messages)`,
  during.p99 !== null && during.p99 <= most && during.count > ms / 100, JSON.stringify(during));
  checks.check(`${name}: and each of its messages in order`, during.violations.length === 0,
    during.violations.join());
}

function count(history) {
  const result = judge(history);
  printBriefly(history, result);
  checks.passed += result.passed;
  checks.failed += result.failed;
  const { acked, delivered } = account(history);
  total.scenarios += 1;
  total.acked += acked;
  total.delivered += delivered;
  total.violations += result.violations;
}

async function play(name, wire, seed, ms) {
  console.log(`${name}, seed ${seed}`);
  const [harm, counters] = SCENARIOS[name];
  wire.set();
  const server = await Server.start({ host: FAR, under: wire.far, flags: FLAGS });
  const load = new Load(server, seed, { silenceMs: SILENCE_MS, settleMs: SETTLE_MS });
  const calm = new Calm(wire, server);
  load.start();
  await sleep(QUIET_MS / 3);
  await calm.window(); // its start
  await sleep(QUIET_MS);
  const [quiet, before] = [await calm.window(), await wire.stats()];
  await harm(wire, load, ms);
  const [during, after] = [await calm.window(), await wire.stats()];
  wire.set();
  count(await load.finish());
  const moved = counters.map((c) => `${after[c] - before[c]} ${c}`).join(', ');
  checks.check(`${name}: it has happened (${after.packets - before.packets} packets`
    + `${moved && `, ${moved}`})`, counters.every((c) => after[c] > before[c]));
  checkCalm(name, quiet, during, ms);
  await calm.end();
  const { code } = await server.stop();
  checks.check(`${name}: the server ends in order`, code === 0, server.stderr.slice(-2000));
}

async function main() {
  const { values } = parseArgs({ options: {
    seconds: { type: 'string', default: '6' },
    seed: { type: 'string' },
    only: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
  } });
  const chosen = values.only.split(',');
  const unknown = chosen.filter((name) => SCENARIOS[name] === undefined);
  if (unknown.length > 0) {
    console.log(`no such scenario: ${unknown.join(', ')}; there are:`);
    for (const name of Object.keys(SCENARIOS)) console.log(`  ${name}`);
    return 2;
  }
  await inOwnNamespaces(TITLE);
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const [wire, why] = await Wire.make(seed);
  if (wire === null) skipAll(TITLE, why);
  // A reader that stops shall be noticed before megabytes have been swallowed.
  fs.writeFileSync('/proc/sys/net/ipv4/tcp_rmem', '4096 65536 131072');
  for (const name of chosen) {
    await play(name, wire, seed, Number(values.seconds) * 1000);
  }
  await wire.close();
  console.log(`account: ${total.scenarios} scenarios, ${total.acked} acknowledged,`
    + ` ${total.delivered} delivered, ${total.violations} violations`);
  return checks.end();
}

process.exit(await main());
