// A long mixed load: memory, descriptors and latency must stay where they are.
//
//   node soak.mjs [--minutes N] [--seed S]      exit 1 when something is not flat, or wrong
//
// Goal: no leak of memory, descriptors or threads, no latency that grows, whatever clients do.
// Method: crowd.mjs on a server with little history and short-lived producers, so that everything
// that may grow has come to its bound when the warm-up ends; a sample a second; slope.mjs judges.

import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Server, temporaryDir } from '../e2e/lib/server.mjs';
import { Checks } from '../lib/own.mjs';
import { Crowd } from './crowd.mjs';
import { flatness, steady } from './slope.mjs';

const MIB = 2 ** 20;
const FLAGS = ['--threads', '2', '--partitions', '2', '--segment-bytes', '256KiB',
  '--retention-bytes', '4MiB', '--feed-bytes', '16KiB', '--producer-expiry', '5s',
  '--head-timeout', '2s', '--message-timeout', '2s', '--connect-timeout', '2s'];
const SAMPLE_MS = 1000;
const WARM_UP = 0.25; // of the time
const WARM_UP_MS_MIN = 30_000; // until the oldest message has gone
const MINUTES_MIN = 1;
const RSS = { perHour: MIB, least: MIB };
const DESCRIPTORS = { perHour: 0, least: 3 };
const LATENCY = { factor: 2, least: 10 };
const ROWS = 12;

const checks = new Checks();

const percentile = (values, part) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * part)] ?? null;
};

/** What is open in the server: {all, sockets}. Segments are kept open for readers, as many as there
 *  are of them. */
function descriptorsOf(server) {
  const folder = `/proc/${server.pid}/fd`;
  const open = fs.readdirSync(folder).map((fd) => {
    try {
      return fs.readlinkSync(`${folder}/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  });
  return { all: open.length, sockets: open.filter((to) => to.startsWith('socket:')).length };
}

/** How long the machine itself takes to get a little to its disk: what latency is measured by. */
async function yardstick(file) {
  const began = performance.now();
  await file.write(Buffer.alloc(4096, 1), 0, 4096, 0);
  await file.datasync();
  return performance.now() - began;
}

function sampleOf(server, crowd, began) {
  const status = fs.readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
  const sample = {
    hours: (Date.now() - began) / 3_600_000,
    rss: number('VmRSS') * 1024,
    threads: number('Threads'),
    descriptors: descriptorsOf(server).all,
    delivery: percentile(crowd.delivery, 0.99),
    round: percentile(crowd.round, 0.99),
    ...crowd.counts,
  };
  crowd.delivery = [];
  crowd.round = [];
  return sample;
}

function printTable(samples) {
  console.log('  minute  RSS MiB  descr.  threads  publish p99 ms  delivery p99 ms  published'
    + '  delivered');
  for (let i = 1; i <= ROWS; i += 1) {
    const s = samples[Math.ceil((samples.length * i) / ROWS) - 1];
    const cells = [[(s.hours * 60).toFixed(1), 8], [(s.rss / MIB).toFixed(1), 9],
      [s.descriptors, 8], [s.threads, 9], [s.round?.toFixed(1), 16], [s.delivery?.toFixed(1), 17],
      [s.published, 11], [s.delivered, 11]];
    console.log(cells.map(([text, width]) => `${text}`.padStart(width)).join(''));
  }
}

function judgeSamples(samples) {
  const series = (name) => samples.filter((s) => s[name] !== null)
    .map((s) => ({ x: s.hours, y: s[name] }));
  const rss = flatness(series('rss'), RSS);
  const mib = (bytes) => (bytes / MIB).toFixed(2);
  checks.check(`memory is flat: ${mib(rss.perHour)} MiB an hour, grown by ${mib(rss.growth)} of`
    + ` ${mib(rss.allowed)} MiB allowed`, rss.good);
  const open = flatness(series('descriptors'), DESCRIPTORS);
  checks.check(`descriptors are flat: grown by ${open.growth.toFixed(1)} of`
    + ` ${open.allowed.toFixed(1)} allowed`, open.good);
  const threads = new Set(samples.map((s) => s.threads));
  checks.check(`threads stay as many: ${[...threads].join()}`, threads.size === 1);
  const machine = steady(series('machine'), LATENCY);
  const slower = Math.max(1, machine.last / machine.first);
  for (const [name, title] of [['round', 'publish'], ['delivery', 'delivery']]) {
    const { good, first, last } = steady(series(name),
      { ...LATENCY, factor: LATENCY.factor * slower });
    checks.check(`the p99 of ${title} is flat: ${first.toFixed(1)} ms in the first quarter,`
      + ` ${last.toFixed(1)} ms in the last (the machine: ${machine.first.toFixed(1)} and`
      + ` ${machine.last.toFixed(1)} ms)`, good);
  }
}

async function soak(server, ms, seed) {
  const before = descriptorsOf(server);
  const crowd = new Crowd(server, seed);
  const began = Date.now();
  const samples = [];
  const file = await fs.promises.open(`${temporaryDir('seriatim-yardstick-')}/file`, 'w');
  crowd.start();
  while (Date.now() - began < ms && server.child.exitCode === null) {
    await sleep(SAMPLE_MS);
    const machine = await yardstick(file);
    samples.push({ ...sampleOf(server, crowd, began), machine });
  }
  await file.close();
  await crowd.stop();
  await sleep(6000); // every time-out, of what was left half done and of idle HTTP connections
  const after = descriptorsOf(server);
  printTable(samples);
  console.log(Object.entries(crowd.counts).map(([name, n]) => `${n} ${name}`).join(', '));
  const warm = Math.max(ms * WARM_UP, WARM_UP_MS_MIN) / 3_600_000;
  judgeSamples(samples.filter((s) => s.hours > warm));
  checks.check(`without clients no socket is left: ${before.sockets} before, ${after.sockets}`
    + ' after', after.sockets <= before.sockets);
  checks.check('retention has overtaken slow readers, and they were told', crowd.counts.gaps > 0);
  checks.check('no client has found anything wrong', crowd.violations.length === 0,
    `${crowd.violations.length}: ${crowd.violations.slice(0, 5).join('\n')}`);
}

async function main() {
  const { values } = parseArgs({ options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string' },
  } });
  if (!(Number(values.minutes) >= MINUTES_MIN)) {
    console.log(`at least ${MINUTES_MIN} minute: something must be left after the warm-up`);
    return 2;
  }
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  console.log(`seed ${seed}, ${values.minutes} minutes`);
  const server = await Server.start({ flags: FLAGS });
  await soak(server, Number(values.minutes) * 60_000, seed);
  const { code } = await server.stop();
  checks.check('the server ends in order', code === 0, server.stderr.slice(-2000));
  return checks.end();
}

process.exit(await main());
