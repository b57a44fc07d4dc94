// Power cuts, failing and full disks under the real server, judged from outside.
//
//   node disk.mjs [--rounds N] [--seed S] [--only PART,…]      exit 1 on any violation
//                               PART: forget ext4 xfs full-tmpfs full-ext4 replay
//   node disk.mjs --canary        a disk whose syncs lie must be found out
//
// Goal: I1 to I7 hold on a disk that keeps what was synced and nothing else, and that fails; after
// a full disk the server accepts again by itself. Method: the crash test's load and judge; a file
// system of our own that forgets (forgetfs.c), and the kernel's ext4 and xfs, shut down without a
// flush. Everything is mounted in a namespace of its own and goes with it.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { account, judge, printBriefly } from '../crash/checker.mjs';
import { Load } from '../crash/load.mjs';
import { Server } from '../e2e/lib/server.mjs';
import { Checks, inOwnNamespaces } from '../lib/own.mjs';
import { ForgetFs, LoopDisk } from './disks.mjs';
import { fullExt4, fullTmpfs } from './full.mjs';
import { replay } from './replay.mjs';

const EIO = 5;
const ENOSPC = 28;
const FLAGS = ['--segment-bytes', '64KiB', '--feed-bytes', '64KiB', '--threads', '2',
  '--partitions', '2'];
const ACCOUNT = 20; // rounds of one server and one account: more would not fit into memory
const IMAGE_BYTES = 320 * 2 ** 20; // xfs takes no less than 300 MiB

const CANARY_MS = 3000; // a history that is broken does not come to its end

const checks = new Checks();
const total = { rounds: 0, acked: 0, delivered: 0, violations: 0 };

// ---- one account on any disk --------------------------------------------------------------------

/** Load on a server whose data folder's name begins with `dir`; `step(server, load, k)` does the
 *  harm of round k. */
async function judged(name, dir, seed, rounds, step, settleMs) {
  const server = await Server.start({ data: `${dir}data`, flags: FLAGS });
  const load = new Load(server, seed, { settleMs, readsMayFail: true });
  try {
    load.start();
    for (let k = 0; k < rounds; k += 1) {
      await sleep(load.between(50, 500));
      await step(server, load, k);
    }
    await sleep(200);
    const history = await load.finish();
    const stopped = await server.stop();
    if (stopped.code !== 0) load.note(`SIGTERM ended with ${JSON.stringify(stopped)}`);
    return history;
  } catch (error) {
    console.log(`${name}: seed ${seed}\n${server.stderr.slice(-4000)}`);
    throw error;
  }
}

/** Judges and adds up. */
function count(history, rounds = 0) {
  const result = judge(history);
  printBriefly(history, result);
  checks.passed += result.passed;
  checks.failed += result.failed;
  const { acked, delivered } = account(history);
  total.rounds += rounds;
  total.acked += acked;
  total.delivered += delivered;
  total.violations += result.violations;
}

// ---- forgetfs -----------------------------------------------------------------------------------

/** Waits until `done` or the time is over, and says which. */
async function soon(done, ms) {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (done()) return true;
    await sleep(5);
  }
  return done();
}

/** What stood unsynced goes: all of it (certainly the first time), or any part. */
function forget(disk, load) {
  const all = disk.forgets === 0 || load.random() < 0.33;
  disk.forgets += 1;
  disk.command(`forget ${all ? 0 : load.between(1, 2 ** 31)}`);
}

async function cutAndRestart(disk, server, load) {
  await server.kill();
  forget(disk, load);
  await server.restart();
}

/** A call fails; whatever the server makes of it, a power cut follows. */
function failing(call, times) {
  return async (disk, server, load) => {
    const { hits } = disk.stats();
    disk.command(`fail ${call} ${load.between(0, 10)} ${times} ${EIO}`);
    const hit = await soon(() => disk.stats().hits > hits, 2000);
    await sleep(load.between(0, 200));
    if (server.child.exitCode !== null) load.note(`a failed ${call} has ended the server`);
    await cutAndRestart(disk, server, load);
    return hit;
  };
}

/** A power cut that the disk makes by itself, at a place and not at a time. */
function cutting(how, most) {
  return async (disk, server, load) => {
    disk.command(`${how} ${load.between(0, most)}`);
    const hit = await soon(() => disk.stats().cut, 2000);
    await sleep(load.between(0, 30));
    await cutAndRestart(disk, server, load);
    return hit;
  };
}

/** name -> what happens in such a round; true: it did happen. */
const CUTS = {
  'power cut at the n-th sync': cutting('cutsync', 40),
  'power cut at the n-th change': cutting('cut', 60),
};

const HARMS = {
  ...CUTS,
  'failed sync': failing('sync', 1),
  'power cut at any moment': async (disk, server, load) => {
    await cutAndRestart(disk, server, load);
    return true;
  },
  'power cut while recovering': async (disk, server, load) => {
    await server.kill();
    forget(disk, load);
    disk.command(`cut ${load.between(0, 12)}`);
    await server.restartAndKill(load.between(20, 120));
    const { cut } = disk.stats();
    forget(disk, load);
    await server.restart();
    return cut;
  },
  'failed syncs': failing('sync', 0),
  'failed write': failing('write', 1),
  'failed reads': failing('read', 0),
  'failed folder sync': failing('syncdir', 1),
  'failed creation': failing('create', 1),
  'failed rename': failing('rename', 1),
  'no space for a while': async (disk, server, load) => {
    const { hits } = disk.stats();
    disk.command(`fail write 0 0 ${ENOSPC}`);
    const hit = await soon(() => disk.stats().hits > hits, 2000);
    await sleep(load.between(0, 300));
    disk.command('heal');
    const before = load.history.acked.length;
    if (!await soon(() => load.history.acked.length > before + 100, 15_000)) {
      load.note('room again, and nothing is accepted');
    }
    return hit;
  },
};

/** Every other round is a cut at a place, the rest goes through everything else. */
function harmOfRound(n) {
  const cuts = Object.keys(CUTS);
  const others = Object.keys(HARMS).filter((name) => !cuts.includes(name));
  const half = Math.floor(n / 2);
  return n % 2 === 0 ? cuts[half % cuts.length] : others[half % others.length];
}

async function forgetting(rounds, seed) {
  const missing = ForgetFs.missing();
  const disk = missing === null ? await ForgetFs.start() : null;
  if (disk === null) {
    checks.skip('the file system that forgets', missing ?? 'it could not be mounted');
    return;
  }
  const names = Object.keys(HARMS);
  const happened = new Map(names.map((n) => [n, 0]));
  for (let done = 0; done < rounds; done += ACCOUNT) {
    const some = Math.min(ACCOUNT, rounds - done);
    console.log(`forgetfs: ${some} rounds with seed ${seed + done}`);
    const history = await judged('forgetfs', `${disk.dir}/${done}-`, seed + done, some,
      async (server, load, k) => {
        const name = harmOfRound(done + k);
        if (await HARMS[name](disk, server, load)) happened.set(name, happened.get(name) + 1);
      });
    count(history, some);
  }
  const stats = disk.stats();
  for (const [name, times] of happened) console.log(`${String(times).padStart(6)}  ${name}`);
  checks.check(`the disk has forgotten data (${stats.forgotten_sectors} sectors) and names`
    + ` (${stats.forgotten_names})`,
  stats.forgotten_sectors > 0 && (stats.forgotten_names > 0 || rounds < 2 * names.length));
  await disk.stop();
}

/** A disk that lies about its syncs: the judge must find what is gone. */
async function canary(seed) {
  const missing = ForgetFs.missing();
  const disk = missing === null ? await ForgetFs.start() : null;
  if (disk === null) {
    checks.skip('the file system that forgets', missing ?? 'it could not be mounted');
    return;
  }
  const history = await judged('canary', `${disk.dir}/`, seed, 1, async (server) => {
    disk.command('lie 1');
    await sleep(300);
    await server.kill();
    disk.command('forget 0');
    disk.command('lie 0');
    await server.restart();
  }, CANARY_MS);
  const { failedNames, violations } = judge(history);
  checks.check(`syncs that lie are found out (${violations} violations)`,
    failedNames.some((n) => n.startsWith('I3')), failedNames.join());
  await disk.stop();
}

// ---- the kernel's file systems ------------------------------------------------------------------

async function shutDown(kind, rounds, seed) {
  const [disk, why] = LoopDisk.make(kind, IMAGE_BYTES);
  if (disk === null) {
    checks.skip(`power cuts of ${kind}`, why);
    return;
  }
  for (let done = 0; done < rounds; done += ACCOUNT) {
    const some = Math.min(ACCOUNT, rounds - done);
    console.log(`${kind}: ${some} power cuts with seed ${seed + done}`);
    const history = await judged(kind, `${disk.dir}/${done}-`, seed + done, some,
      async (server, load) => {
        disk.shutdown();
        await sleep(load.between(0, 50)); // the server meets a disk that is gone
        if (server.child.exitCode !== null) load.note('a lost disk has ended the server');
        await server.kill();
        await disk.remount();
        await server.restart();
      });
    count(history, some);
  }
  await disk.unmount();
}

// ---- all ----------------------------------------------------------------------------------------

async function main() {
  const { values } = parseArgs({ options: {
    rounds: { type: 'string', default: '40' },
    seed: { type: 'string' },
    only: { type: 'string', default: 'forget,ext4,xfs,full-tmpfs,full-ext4,replay' },
    canary: { type: 'boolean', default: false },
  } });
  await inOwnNamespaces('disks that forget, fail and fill up');
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const rounds = Number(values.rounds);
  console.log(`seed ${seed}`);
  if (values.canary) {
    await canary(seed);
    return checks.end();
  }
  const parts = {
    forget: () => forgetting(rounds, seed),
    ext4: () => shutDown('ext4', rounds, seed),
    xfs: () => shutDown('xfs', rounds, seed),
    'full-tmpfs': () => fullTmpfs(checks, count, seed),
    'full-ext4': () => fullExt4(checks, count, seed),
    replay: () => replay(checks, rounds, seed),
  };
  const chosen = values.only.split(',');
  const unknown = chosen.filter((name) => parts[name] === undefined);
  if (unknown.length > 0) {
    console.log(`no such part: ${unknown.join(', ')}; there are: ${Object.keys(parts).join(', ')}`);
    return 2;
  }
  for (const name of chosen) await parts[name]();
  console.log(`account: ${total.rounds} rounds, ${total.acked} acknowledged,`
    + ` ${total.delivered} delivered, ${total.violations} violations`);
  return checks.end();
}

process.exit(await main());
