// A disk that fills up under load and gets room again, also across a kill while it is full; and one
// that gets it by retention alone.

import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { Load } from '../crash/load.mjs';
import { Server } from '../e2e/lib/server.mjs';
import { LoopDisk, SmallTmpfs } from './disks.mjs';

const DISK_BYTES = 64 * 2 ** 20;
const LEFT_BYTES = 3 * 2 ** 20; // what the ballast leaves for the load to fill
const FLAGS = ['--segment-bytes', '256KiB', '--feed-bytes', '64KiB', '--threads', '2',
  '--partitions', '2'];
const TIMES = 3;
const WAIT_MS = 20_000;

/** Fills the disk up to what is to be left. */
function ballast(dir) {
  const { bavail, bsize } = fs.statfsSync(dir);
  const size = Math.max(0, bavail * bsize - LEFT_BYTES);
  fs.writeFileSync(`${dir}/ballast`, Buffer.alloc(size, 1));
}

async function until(done) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    if (await done()) return true;
    await sleep(20);
  }
  return false;
}

async function isReady(server) {
  const answer = await fetch(`${server.http}/readyz`);
  await answer.text();
  return answer.status === 200;
}

async function fill(checks, kind, disk, server, load, k) {
  ballast(disk.dir);
  const { refusals } = load;
  checks.check(`${kind}: a full disk is answered with unavailable (${k})`,
    await until(() => load.refusals > refusals + 20));
  // It may find room for one more segment: then it goes on, and is full a little later.
  checks.check(`${kind}: a server with a full disk does not call itself ready (${k})`,
    await until(async () => !await isReady(server)));
  const read = await fetch(`${server.http}/v1/channels/orders/messages?limit=1`);
  const { messages } = await read.json();
  checks.check(`${kind}: reads go on while the disk is full (${k})`, messages?.length === 1);
}

async function fillAndFree(checks, kind, disk, server, load) {
  load.start();
  for (let k = 1; k <= TIMES; k += 1) {
    await sleep(300);
    await fill(checks, kind, disk, server, load, k);
    const killed = k === 2;
    if (killed) await server.kill(); // full, and gone
    const before = load.history.acked.length;
    fs.rmSync(`${disk.dir}/ballast`);
    if (killed) await server.restart();
    checks.check(`${kind}: with room again it accepts by itself (${k})`,
      await until(() => load.history.acked.length > before + 200));
  }
}

async function fullOn(checks, count, kind, [disk, why], seed) {
  if (disk === null) {
    checks.skip(`a full ${kind}`, why);
    return;
  }
  console.log(`full ${kind} with seed ${seed}`);
  const server = await Server.start({ data: `${disk.dir}/data`, flags: FLAGS });
  const load = new Load(server, seed);
  try {
    await fillAndFree(checks, kind, disk, server, load);
    count(await load.finish());
    await server.stop();
    fs.rmSync(`${disk.dir}/data`, { recursive: true });
    for (const how of kind === 'tmpfs' ? ['age', 'messages'] : ['bytes']) {
      await trimmedOn(checks, kind, disk, how);
    }
  } catch (error) {
    console.log(server.stderr.slice(-4000));
    throw error;
  }
  await disk.unmount();
}

// ---- room by retention --------------------------------------------------------------------------

const filler = 'x'.repeat(60_000);
const MORE = 20;

async function publish(server, n, channel = 'orders') {
  const response = await fetch(`${server.http}/v1/publish`, { method: 'POST',
    body: JSON.stringify({ channel, data: [n, filler] }) });
  const { seq } = await response.json();
  return { status: response.status, seq };
}

/** Publishes until the log is full: {last, status}, of the last message taken and the refusal. */
async function publishAll(server) {
  for (let last = 0; ; last += 1) {
    const { status } = await publish(server, last + 1);
    if (status !== 200) return { last, status };
  }
}

/** The messages from the oldest that is kept: all are there, in order, with what was published.
 *  Retention may go on meanwhile. */
async function isWhole(server, last) {
  const page = async (from) => {
    const answer = await fetch(`${server.http}/v1/channels/orders/messages?from=${from}&limit=20`);
    return answer.json();
  };
  let next = 0;
  let first = 0;
  for (let some = await page(1); some.messages.length > 0; some = await page(next)) {
    if (some.earliest > next) next = first = some.earliest;
    for (const { seq, data } of some.messages) {
      if (seq !== next || (seq <= last && data[0] !== seq)) return 0;
      next += 1;
    }
  }
  return next > last ? first : 0;
}

const less = {
  bytes: ['--retention-bytes', '16MiB'],
  messages: ['--retention-messages', '50', '--segment-bytes', '16MiB'],
};

/** `how` gives room: by age the log waits for it; by bytes or messages the operator starts it with
 *  less, and by messages with larger segments, so that the newest one is not written ahead. */
async function trimmedOn(checks, kind, disk, how) {
  const flags = ['--segment-bytes', '1MiB', '--partitions', '1'];
  const data = `${disk.dir}/${how}`;
  const age = how === 'age' ? ['--retention-age', '4s'] : [];
  const server = await Server.start({ data, flags: [...flags, ...age] });
  const { last, status } = await publishAll(server);
  checks.check(`${kind}: a log that fills the disk says unavailable (${how})`,
    status === 503 && last > 400, `${status} behind ${last}`);
  if (how !== 'age') {
    await server.stop();
    await server.restart([...flags, ...less[how]]);
  }
  // More than fits into what is left of a segment; nobody writes to the channel that is over.
  let more = 1;
  let taken = await publish(server, 1, 'other');
  for (const end = Date.now() + WAIT_MS; Date.now() < end && more < MORE;) {
    if (taken.status === 200) more += 1;
    else await sleep(100);
    taken = await publish(server, more, 'other');
  }
  checks.check(`${kind}: it goes on as if it had not been full (${how})`, more === MORE, `${more}`);
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    taken = await publish(server, last + 1);
    if (taken.status === 200) break;
    await sleep(100);
  }
  checks.check(`${kind}: retention makes room on a full disk (${how})`,
    taken.status === 200 && taken.seq === last + 1, JSON.stringify(taken));
  const first = await isWhole(server, last);
  checks.check(`${kind}: what it has kept is whole (${how})`, first > 1, `from ${first}`);
  await server.stop();
  fs.rmSync(data, { recursive: true });
}

/** `count(history)` judges and adds up. */
export function fullTmpfs(checks, count, seed) {
  return fullOn(checks, count, 'tmpfs', SmallTmpfs.make(DISK_BYTES), seed);
}

export function fullExt4(checks, count, seed) {
  return fullOn(checks, count, 'ext4', LoopDisk.make('ext4', DISK_BYTES), seed);
}
