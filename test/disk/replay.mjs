// What a power cut could have left of a disk, block by block.
//
// ext4 lies on a loop device on a file that logs each write and flush (blocklog.c). After a load
// the disk is built again as it was at some moment: all that was flushed by then, and of what was
// written after that flush any part. Each such disk is mounted, a server recovers on it, and must
// hold whatever had been acknowledged or seen by that moment.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CHECKS, judge } from '../crash/checker.mjs';
import { Load } from '../crash/load.mjs';
import { binary, Server, temporaryDir } from '../e2e/lib/server.mjs';
import { ForgetFs, run } from './disks.mjs';

const DISK_BYTES = 64 * 2 ** 20;
const LOAD_MS = 1500;
const LOOK_MS = 20; // how often it is noted what has been acknowledged by when
const ENTRY = 24;
const SECTOR = 512;
const FLAGS = ['--segment-bytes', '64KiB', '--feed-bytes', '64KiB', '--threads', '2',
  '--partitions', '2'];

// What a moment in the middle can't have: an end.
const NOT_YET = ['I1 complete', 'liveness'];
const NAMES = Object.keys(CHECKS).filter((name) => !NOT_YET.some((n) => name.startsWith(n)));

const blocklog = path.join(path.dirname(binary), 'test', 'disk', 'blocklog');

/** The disk that logs, with ext4 on it: {dir, log, stop()}, or a text: why not. */
async function loggingDisk() {
  const missing = ForgetFs.missing();
  if (missing !== null) return missing;
  const [file, dir] = [temporaryDir('seriatim-blocks-'), temporaryDir('seriatim-ext4-')];
  const log = path.join(temporaryDir('seriatim-log-'), 'log');
  const child = spawn(blocklog, [file, `${DISK_BYTES}`, log], { stdio: 'inherit' });
  const image = path.join(file, 'disk');
  for (let waited = 0; !fs.existsSync(image); waited += 10) {
    if (waited > 5000 || child.exitCode !== null) return 'it could not be mounted';
    await sleep(10);
  }
  const stop = async () => {
    run('umount', dir);
    run('umount', file);
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'close');
  };
  for (const command of [['mkfs.ext4', '-q', '-F', image], ['mount', '-o', 'loop', image, dir]]) {
    const { good, text } = run(...command);
    if (!good) {
      await stop();
      return `${command[0]}: ${text}`;
    }
  }
  return { dir, log, stop };
}

// ---- the load, and what was known when ----------------------------------------------------------

/** {history, looks, begin, end}: each look says what had happened before the log had that size. */
async function recordedLoad(disk, seed) {
  const server = await Server.start({ data: `${disk.dir}/data`, flags: FLAGS });
  const load = new Load(server, seed);
  const { history } = load;
  const size = () => fs.statSync(disk.log).size;
  const begin = size();
  const looks = [];
  load.start();
  for (const stopAt = Date.now() + LOAD_MS; Date.now() < stopAt;) {
    const [acked, seen] = [history.acked.length, history.streams.map((s) => s.messages.length)];
    looks.push({ acked, seen, at: size() });
    await sleep(LOOK_MS);
  }
  const end = size();
  await server.kill();
  load.running = false;
  await Promise.all(load.working);
  return { history, looks, begin, end };
}

/** What is certain at that place of the log, as a history to be judged. */
function knownAt({ history, looks }, at) {
  const look = looks.findLast((l) => l.at <= at);
  const known = history.clone();
  known.acked.length = look?.acked ?? 0;
  known.streams.forEach((s, i) => (s.messages.length = look?.seen[i] ?? 0));
  known.streams = known.streams.filter((s) => s.epoch !== null && s.messages.length > 0);
  known.notes = [];
  return known;
}

// ---- disks out of the log -----------------------------------------------------------------------

/** The entries of the log: {flush, at, data, end}; `end` is their end in the log. */
function entriesOf(log) {
  const bytes = fs.readFileSync(log);
  const entries = [];
  for (let place = 0; place + ENTRY <= bytes.length;) {
    const [kind, at, size] = [0, 8, 16].map((x) => Number(bytes.readBigUInt64LE(place + x)));
    const end = place + ENTRY + size;
    entries.push({ flush: kind === 1, at, data: bytes.subarray(place + ENTRY, end), end });
    place = end;
  }
  return entries;
}

/** Some of an entry's sectors. */
function applyInPart(disk, { at, data }, load) {
  for (let from = 0; from < data.length; from += SECTOR) {
    if (load.random() < 0.5) data.copy(disk, at + from, from, from + SECTOR);
  }
}

/** Where in the log the states are taken, in its order: half of them anywhere, half of them where
 *  much has been written after the flush. */
function flushesOf(entries, { begin, end }, count, load) {
  const all = entries.map((e, i) => (e.flush && e.end > begin && e.end <= end ? i : -1))
    .filter((i) => i >= 0);
  return Array.from({ length: count }, (_, k) => {
    const from = Math.floor((all.length * k) / count);
    const to = Math.max(from, Math.floor((all.length * (k + 1)) / count) - 1);
    if (k % 2 === 0) return all[load.between(from, to)];
    let most = from;
    for (let i = from; i <= to; i += 1) {
      if (all[i + 1] - all[i] > all[most + 1] - all[most]) most = i;
    }
    return all[most];
  });
}

/** Disks at moments of the log, in its order: {disk, at, late}. `late` entries came after
 *  the last flush; some of them have got there, whole or in part. */
function* disksOf(entries, record, count, load) {
  const disk = Buffer.alloc(DISK_BYTES);
  let applied = 0;
  for (const [k, flush] of flushesOf(entries, record, count, load).entries()) {
    for (; applied <= flush; applied += 1) {
      const { flush: isFlush, at, data } = entries[applied];
      if (!isFlush) data.copy(disk, at);
    }
    const next = entries.findIndex((e, i) => i > flush && e.flush);
    const late = k % 2 === 0 ? [] : entries.slice(flush + 1, next < 0 ? entries.length : next);
    const state = Buffer.from(disk);
    for (const entry of late) {
      const how = load.random();
      if (how < 0.4) entry.data.copy(state, entry.at);
      else if (how < 0.6) applyInPart(state, entry, load);
    }
    yield { disk: state, at: entries[flush].end, late: late.length };
  }
}

// ---- recovering ---------------------------------------------------------------------------------

/** What the recovered server holds, judged by what was known: the violations. */
async function recovered(image, dir, known, seed) {
  const mounted = run('mount', '-o', 'loop', image, dir);
  if (!mounted.good) return [`ext4 did not recover: ${mounted.text}`];
  let server = null;
  try {
    server = await Server.start({ data: `${dir}/data`, flags: FLAGS });
    const reader = new Load(server, seed);
    await reader.readAll();
    known.finals = reader.history.finals;
    // A channel that had no message yet may get another epoch.
    known.finals = known.finals.filter((f) => f.latest > 0 || known.acked.some((a) =>
      a.channel === f.channel));
    const result = judge(known, NAMES);
    return result.failed === 0 ? [] : result.lines.filter((l) => !l.startsWith('ok'));
  } catch (error) {
    return [error.message];
  } finally {
    if (server !== null) await server.kill();
    for (let tries = 0; tries < 50 && !run('umount', dir).good; tries += 1) await sleep(20);
  }
}

/** `count` states of a disk, judged into `checks`. */
export async function replay(checks, count, seed) {
  const made = await loggingDisk();
  if (typeof made === 'string') {
    checks.skip('states of a disk out of its log', made);
    return;
  }
  const record = await recordedLoad(made, seed);
  await made.stop();
  const entries = entriesOf(made.log);
  const image = path.join(temporaryDir('seriatim-image-'), 'image');
  const dir = temporaryDir('seriatim-state-');
  const reader = new Load(null, seed);
  let [states, late, least, most] = [0, 0, Infinity, 0];
  const violations = [];
  for (const state of disksOf(entries, record, count, reader)) {
    fs.writeFileSync(image, state.disk);
    const known = knownAt(record, state.at);
    const found = await recovered(image, dir, known, seed);
    violations.push(...found.map((v) => `state ${states}, log ${state.at}: ${v}`));
    if (states === 0) {
      // The judge, judged: this disk can't hold what was acknowledged later.
      const all = await recovered(image, dir, knownAt(record, record.end), seed);
      checks.check('a disk of the beginning does not pass for one of the end', all.length > 0);
    }
    states += 1;
    late += state.late;
    least = Math.min(least, known.acked.length);
    most = Math.max(most, known.acked.length);
  }
  const flushes = entries.filter((e) => e.flush).length;
  console.log(`block log: ${entries.length - flushes} writes, ${flushes} flushes; ${late} writes in`
    + ` part; ${least} to ${most} messages acknowledged by then`);
  checks.check(`${states} states of a disk: what was acknowledged or seen by then is there`,
    violations.length === 0, violations.slice(0, 10).join('\n'));
  checks.check('the states differ in what was acknowledged, and some have unflushed writes',
    most > least && late > 0);
}
