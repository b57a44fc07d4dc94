// `seriatim bench`: every load runs against a real server and accounts for each message; a server
// that breaks the order is found out; and what it writes for programs and for people is whole.
// Speeds are nobody's business here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { int } from './lib/binary.mjs';
import { startLiar } from './lib/liar.mjs';
import { binary, environment, freePort, runCli, Server, temporaryDir } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

/** `flags` are for a server of its own. */
async function bench(args, flags = []) {
  const run = await runCli(['bench', ...args, '--json', '-', ...flags]);
  const text = run.stdout.toString();
  return { ...run, told: text === '' ? null : JSON.parse(text) };
}

const short = ['--seconds', '1', '--warmup', '0'];

const codecs = ['json', 'binary'];

/** What must hold of every load that nothing went wrong with. */
function checkWhole({ code, stderr, told }) {
  assert.equal(code, 0, stderr);
  assert.equal(told.failure, '');
  assert.equal(told.account.violations, 0);
  assert.equal(told.adapter, 'seriatim');
  assert.match(told.server, /^seriatim\//);
  assert.match(told.durability, /^(fsync|memory)$/);
  for (const [name, value] of Object.entries(told.figures)) {
    assert.ok(Number.isFinite(value) && value >= 0, `${name} is ${value}`);
  }
  for (const [name, l] of Object.entries(told.latency_ms)) {
    assert.ok(l.p50 <= l.p90 && l.p90 <= l.p99 && l.p99 <= l.p999 && l.p999 <= l.max, name);
  }
  assert.match(stderr, /\n {2}0 violations of order \(/);
}

// ---- each load against a server that keeps its word ---------------------------------------------

for (const codec of codecs) {
  const load = (name, ...args) => bench([name, '--codec', codec, ...args]);
  const here = (name, ...args) => load(name, '--url', server.ws, ...args);

  test(`publish in ${codec}: all that was sent is acknowledged, and is there`, async () => {
    const run = await here('publish', '--server-pid', String(server.pid), '--connections', '5',
      '--channels', '12', ...short);
    checkWhole(run);
    assert.equal(run.told.codec, codec);
    const { account, figures, latency_ms: latency, series } = run.told;
    assert.ok(account.sent > 100);
    assert.equal(account.acknowledged, account.sent);
    assert.ok(figures.acked_per_second > 0 && figures.server_cpu_us_per_message > 0);
    assert.ok(figures.server_rss_mib > 1 && figures.client_cpu_cores > 0);
    assert.ok(latency.publish_acknowledged.count > 0);
    assert.equal(series.seconds.length, series['acknowledged/s'].length);
  });

  test(`publish in ${codec}: in batches, in shared channels`, async () => {
    const run = await here('publish', '--connections', '6', '--channels', '2', '--batch', '25',
      '--inflight', '3', ...short);
    checkWhole(run);
    assert.equal(run.told.account.sent % 25, 0);
    assert.equal(run.told.account.acknowledged, run.told.account.sent);
  });

  test(`publish in ${codec}: an open loop sends what is due, no more`, async () => {
    const run = await here('publish', '--connections', '3', '--rate', '500', '--seconds', '2',
      '--warmup', '0');
    checkWhole(run);
    const { account, latency_ms: latency, measured_seconds: seconds } = run.told;
    /* The schedule begins a moment before the measured time, which a busy machine ends late. */
    const due = 500 * seconds;
    assert.ok(account.sent >= due - 1 && account.sent <= due + 50,
      `${account.sent} of ${due} sent`);
    assert.ok(latency.publish_acknowledged.count >= due - 1);
  });

  test(`publish in ${codec}: without answers everything arrives all the same`, async () => {
    const run = await here('publish', '--connections', '2', '--no-ack', ...short);
    checkWhole(run);
    assert.ok(run.told.account.sent > 100);
    assert.equal(run.told.account.acknowledged, 0);
  });

  /* Headers of each size; in binary one that is moved, and messages that hold one unit or some. */
  for (const payload of codec === 'json' ? [700000] : [32, 32000, 65530, 700000]) {
    test(`publish in ${codec}: messages of ${payload} bytes`, async () => {
      checkWhole(await here('publish', '--connections', '2', '--inflight', '2', '--payload',
        String(payload), ...short));
    });
  }

  for (const [name, extra] of [['saturated', []], ['in lockstep', ['--lockstep']],
    ['at a rate', ['--rate', '40']], ['with large messages', ['--payload', '300000']]]) {
    test(`fanout in ${codec}, ${name}: each subscriber gets each message`, async () => {
      const run = await here('fanout', '--connections', '20', ...extra, ...short);
      checkWhole(run);
      const { account, figures } = run.told;
      assert.ok(account.sent > 5);
      assert.equal(account.delivered, 20 * account.sent);
      assert.ok(figures.bare_send_cpu_us > 0);
    });
  }

  for (const ack of [true, false]) {
    test(`pairs in ${codec}, ${ack ? 'with' : 'without'} answers: one message after the other`,
      async () => {
        const run = await here('pairs', '--connections', '10', ...(ack ? [] : ['--no-ack']),
          ...short);
        checkWhole(run);
        assert.ok(run.told.account.sent > 20);
        assert.equal(run.told.account.delivered, run.told.account.sent);
        assert.equal(run.told.account.acknowledged, ack ? run.told.account.sent : 0);
        assert.ok(run.told.figures.bare_relay_cpu_us > 0);
        assert.ok(run.told.figures.bare_relay_us_p99 >= run.told.figures.bare_relay_us_p50);
      });
  }

  test(`lone in ${codec}: beside what the disk itself takes`, async () => {
    // One message at a time waits for the disk each time, and other tests' servers use it, too.
    const run = await load('lone', '--server', '--seconds', '4', '--warmup', '0');
    checkWhole(run);
    assert.ok(run.told.account.delivered >= 20);
    assert.ok(run.told.latency_ms.bare_fdatasync.count > 5);
    assert.ok(run.told.figures.ratio_to_fdatasync_p50 > 0);
    assert.ok(run.told.figures.bare_syncing_relay_us_p50 > 0);
  });

  test(`idle in ${codec}: so many connections, and what each takes`, async () => {
    const run = await load('idle', '--server', '--connections', '300', '--channels', '7');
    checkWhole(run);
    assert.equal(run.told.figures.connections, 300);
    assert.ok(run.told.figures.server_rss_mib_after > 1);
  });

  test(`resume in ${codec}: all catch up, and the bystander is served`, async () => {
    const run = await here('resume', '--connections', '60', '--channels', '7', '--messages', '30',
      ...short);
    checkWhole(run);
    const { account, latency_ms: latency } = run.told;
    assert.equal(latency.caught_up.count, 60);
    const bystander = account.sent - 7 * 30;
    assert.equal(account.delivered, 60 * 30 + bystander);
    assert.ok(latency.bystander_before.count > 0);
  });

  test(`replay in ${codec}: what was written is read after kill -9, by each`, async () => {
    const run = await load('replay', '--server', '--messages', '6000', '--channels', '3',
      '--batch', '100', '--readers', '2');
    checkWhole(run);
    const { account, figures } = run.told;
    assert.equal(account.sent, 6000);
    assert.equal(account.delivered, 12000);
    assert.ok(figures.ready_ms_after_kill > 0 && figures.log_mib > 0);
  });

  test(`channels in ${codec}: each is there after a restart`, async () => {
    const run = await load('channels', '--server', '--channels', '3000');
    checkWhole(run);
    assert.equal(run.told.account.acknowledged, 3000);
    assert.ok(run.told.figures.ready_ms_after_end > 0);
    assert.ok(run.told.figures.ready_ms_after_kill > 0);
  });
}

test('with one answer for many publishes each is accounted for', async () => {
  const cumulative = ['--codec', 'binary', '--cumulative'];
  const publish = await bench(['publish', '--url', server.ws, '--connections', '3', '--channels',
    '3', '--batch', '2', ...cumulative, ...short]);
  checkWhole(publish);
  assert.equal(publish.told.options.cumulative, true);
  assert.ok(publish.told.account.sent > 100);
  assert.equal(publish.told.account.acknowledged, publish.told.account.sent);
  const fanout = await bench(['fanout', '--url', server.ws, '--connections', '5', ...cumulative,
    ...short]);
  checkWhole(fanout);
  assert.equal(fanout.told.account.acknowledged, fanout.told.account.sent);
});

test('stall: who stops reading gets everything later, in order, and the others now', async () => {
  const run = await bench(['stall', '--server', '--connections', '20', '--channels', '4',
    '--stalled', '8', '--stall-seconds', '2', '--bytes', '40000000', ...short],
  ['--', '--feed-bytes', '64KiB']);
  checkWhole(run);
  const { account, figures } = run.told;
  assert.equal(account.delivered, 5 * account.sent);
  assert.ok(figures.behind_mib > 8 * 5, `${figures.behind_mib} MiB behind`);
  assert.ok(figures.stall_deliveries_per_second > 0 && figures.caught_up_mib_per_second > 0);
  assert.ok(figures.stall_rss_mib < figures.before_rss_mib + 40, JSON.stringify(figures));
});

test('a server of its own takes its durability and flags, and its data is removed', async () => {
  const dir = temporaryDir();
  const args = ['publish', '--server', '--data', dir, '--connections', '2', '--durability',
    'memory', ...short, '--json', '-', '--quiet'];
  const run = await runCli(['bench', ...args, '--', '--partitions', '2']);
  assert.equal(run.code, 0, run.stderr);
  assert.equal(JSON.parse(run.stdout).durability, 'memory');
  assert.deepEqual(fs.readdirSync(dir), []);
  const bad = await runCli(['bench', ...args, '--', '--partitions', 'many']);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /the server ended at once: .*partitions/s);
  assert.deepEqual(fs.readdirSync(dir), []);
  const kept = await runCli(['bench', ...args, '--keep']);
  assert.equal(kept.code, 0);
  assert.equal(fs.readdirSync(dir).length, 1);
});

// ---- a server that does not ---------------------------------------------------------------------

/** A lie told once in all, on the first connection where `when` holds. */
function once_(when, lie) {
  let told = false;
  return () => (text, object) => {
    if (told || !when(object)) return [text];
    told = true;
    return lie(text);
  };
}

function swapOnce() {
  let told = false;
  return () => {
    let held = null;
    return (text, object) => {
      if (held !== null && object.type === 'message') {
        const both = [text, held];
        held = null;
        return both;
      }
      if (!told && object.type === 'message' && object.seq === 5) {
        told = true;
        held = text;
        return [];
      }
      return [text];
    };
  };
}

const message = (seq) => (o) => o.type === 'message' && o.seq === seq;
const published = (seq) => (o) => o.type === 'published' && o.seq === seq;

/** A copy of a unit with what is found replaced by as many bytes. */
function replaced(unit, from, to) {
  const copy = Buffer.from(unit);
  const at = copy.indexOf(from);
  assert.ok(at >= 0 && from.length === to.length);
  to.copy(copy, at);
  return copy;
}

/* Both are one byte, behind what ends in the channel's last digit or the epoch. */
const messageSeq = (u, seq) => replaced(u, Buffer.concat([Buffer.from('0'), int(5)]),
  Buffer.concat([Buffer.from('0'), int(seq)]));
function publishedSeq(unit, seq) {
  const copy = Buffer.from(unit);
  const at = copy.indexOf('-000000') + 7 + 8; // behind the channel, and the epoch
  assert.equal(copy[at], int(5)[0]);
  copy[at] = int(seq)[0];
  return copy;
}

const lieIn = {
  json: {
    payload: (t) => t.replace(/"data":"..../, '"data":"zzzz'),
    seq: (t) => t.replace('"seq":5,', '"seq":6,'),
    answer: (t) => t.replace('"seq":5,', '"seq":7,'),
  },
  binary: {
    payload: (u) => replaced(u, Buffer.from('"000'), Buffer.from('"zzz')),
    seq: (u) => messageSeq(u, 6),
    answer: (u) => publishedSeq(u, 7),
  },
};

// What is said, and the counts that are not zero.
const lies = (codec) => [
  ['a message left out', once_(message(5), () => []), ['gaps']],
  ['a message said twice', once_(message(5), (t) => [t, t]), ['duplicated']],
  ['two messages swapped', swapOnce(), ['gaps', 'out_of_order']],
  ['another payload', once_(message(5), (t) => [lieIn[codec].payload(t)]), ['changed']],
  ['another seq', once_(message(5), (t) => [lieIn[codec].seq(t)]), ['changed']],
  ['an answer said twice', once_(published(5), (t) => [t, t]), ['acks_wrong']],
  ['an answer with another seq', once_(published(5), (t) => [lieIn[codec].answer(t)]),
    ['acks_wrong']],
];

for (const codec of codecs) {
  for (const [name, lie, expected] of lies(codec)) {
    test(`${name} is found in ${codec}`, async () => {
      const liar = await startLiar(server, lie);
      const run = await bench(['fanout', '--url', liar.ws, '--codec', codec, '--connections', '2',
        '--rate', '50', ...short]);
      await liar.stop();
      assert.equal(run.code, 1, run.stderr);
      assert.equal(run.told.failure, '');
      const names = ['lost', 'duplicated', 'out_of_order', 'gaps', 'changed', 'unacknowledged',
        'acks_wrong'];
      assert.deepEqual(names.filter((n) => run.told.account[n] > 0).sort(), [...expected].sort());
      assert.ok(run.told.account.violations > 0);
    });
  }
}

/* A run of which one too many is told: `publishes` and `count`, the last two bytes. */
test('a run that says too much is found', async () => {
  const isRun = (o) => o.type === 'published' && o.publishes > 1 && o.count < 63;
  const liar = await startLiar(server, once_(isRun, (u) => {
    const copy = Buffer.from(u);
    copy[copy.length - 1] += 4;
    copy[copy.length - 2] += 4;
    return [copy];
  }));
  const run = await bench(['publish', '--url', liar.ws, '--codec', 'binary', '--cumulative',
    '--connections', '1', '--channels', '1', '--inflight', '60', ...short]);
  await liar.stop();
  assert.equal(run.code, 1, run.stderr);
  assert.equal(run.told.failure, '');
  assert.ok(run.told.account.acks_wrong > 0);
});

test('what is no unit is a failure', async () => {
  const liar = await startLiar(server, once_(message(5), (u) => [u.subarray(0, u.length - 1)]));
  const run = await bench(['fanout', '--url', liar.ws, '--codec', 'binary', '--connections', '1',
    '--rate', '50', ...short]);
  await liar.stop();
  assert.equal(run.code, 1);
  assert.match(run.told.failure, /a unit that no server may send/);
});

test('a server that goes away is a failure, not a violation', async () => {
  const own = await Server.start();
  const running = bench(['publish', '--url', own.ws, '--connections', '3', '--seconds', '30']);
  await sleep(800);
  await own.kill();
  const run = await running;
  assert.equal(run.code, 1);
  assert.match(run.told.failure, /lost|connect/);
  assert.equal(run.told.account.violations, 0);
  assert.match(run.stderr, /seriatim: (connection \d+ is lost|cannot connect)/);
});

test('a server that refuses is quoted, also where no answer was asked for', async () => {
  const own = await Server.start({ flags: ['--limits-channels', '3'] });
  for (const codec of codecs) {
    const run = await bench(['channels', '--url', own.ws, '--codec', codec, '--channels', '20',
      '--inflight', '1']);
    assert.equal(run.code, 1);
    assert.match(run.told.failure, /limit_exceeded/);
    const quiet = await bench(['publish', '--url', own.ws, '--codec', codec, '--channels', '20',
      '--connections', '1', '--no-ack', ...short]);
    assert.equal(quiet.code, 1);
    assert.match(quiet.told.failure, /limit_exceeded/);
  }
  await own.kill();
});

test('who is no server of ours is quoted by the first line of its answer', async () => {
  const run = await bench(['publish', '--url', `${new URL(server.ws).origin}/nowhere`,
    '--connections', '1', ...short]); // of several any may be answered first
  assert.equal(run.code, 1);
  assert.equal(run.told.failure, 'connection 0: HTTP/1.1 404 Not Found');
  assert.match(run.stderr, /^seriatim: connection 0: HTTP\/1\.1 404 Not Found\n/);
});

test('where nobody listens it fails at once', async () => {
  const run = await bench(['lone', '--url', `ws://127.0.0.1:${await freePort()}/v1/ws`]);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /cannot connect to 127\.0\.0\.1:\d+: Connection refused/);
});

test('a signal cuts the load short, and what was sent is accounted for', async () => {
  const child = spawn(binary, ['bench', 'pairs', '--url', server.ws, '--connections', '4',
    '--seconds', '60', '--json', '-'], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (d) => (stdout += d));
  child.stderr.on('data', (d) => (stderr += d));
  while (!/sent [1-9]/.test(stderr)) await once(child.stderr, 'data');
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /pairs: 1 s, sent \d+, acknowledged \d+ \(\d+\/s\), delivered \d+/);
  assert.match(stderr, /cut short by a signal/);
  const { account } = JSON.parse(stdout);
  assert.ok(account.sent > 0);
  assert.equal(account.delivered, account.sent);
});

// ---- what it writes -----------------------------------------------------------------------------

test('the table goes to standard output, JSON and the page to files', async () => {
  const dir = temporaryDir();
  const json = path.join(dir, 'b.json');
  const html = path.join(dir, 'b.html');
  const run = await runCli(['bench', 'pairs', '--url', server.ws, '--connections', '2', '--quiet',
    '--json', json, '--html', html, ...short]);
  assert.equal(run.code, 0, run.stderr);
  assert.equal(run.stderr, '');
  assert.match(run.stdout.toString(), /round_trips_per_second +\d+/);
  assert.equal(JSON.parse(fs.readFileSync(json)).scenario, 'pairs');
  const page = fs.readFileSync(html, 'utf8');
  assert.match(page, /^<!doctype html>/);
  assert.equal(page.match(/<svg /g).length, 2);
  assert.doesNotMatch(page, /https?:|<script|nan|inf"/);
  const failed = await runCli(['bench', 'pairs', '--url', server.ws, '--connections', '2',
    '--quiet', '--json', path.join(dir, 'not', 'there'), ...short]);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /cannot write .*there: No such file/);
  assert.equal(failed.stdout.length, 0, 'it is known before the load begins');
});

test('a wrong usage ends with status 2 and says what is wrong, all of it', async () => {
  const cases = [
    [[], /which load\? Name one/],
    [['nosuch'], /there is no load 'nosuch'/],
    [['publish', 'extra'], /one load at a time/],
    [['publish', '--rate', '0'], /--rate must be a whole number from 1 to/],
    [['publish', '--payload', '31'], /--payload must be a whole number from 32/],
    [['publish', '--lockstep'], /--lockstep says nothing to publish/],
    [['idle', '--batch', '2', '--no-ack'], /--batch says nothing[^]*--no-ack says nothing/],
    [['fanout', '--lockstep', '--rate', '5'], /--lockstep and --rate exclude one another/],
    [['publish', '--batch', '1000', '--payload', '100000'], /more than a frame may hold/],
    [['publish', '--codec', 'xml'], /--codec must be json or binary; this is 'xml'/],
    [['publish', '--cumulative'], /--cumulative needs --codec binary/],
    [['resume', '--channels', '1000000'], /resume takes 999999 --channels at most/],
    [['pairs', '--codec', 'binary', '--cumulative'], /--cumulative says nothing to pairs/],
    [['publish', '--codec', 'binary', '--cumulative', '--no-ack'],
      /--cumulative and --no-ack exclude one another/],
    [['publish', '--durability', 'some'], /--durability must be fsync, os or memory/],
    [['publish', '--durability', 'os'], /--durability needs --server/],
    [['publish', '--', '--threads', '1'], /flags behind -- needs --server/],
    [['publish', '--server', '--url', 'ws://127.0.0.1:1/'], /no --url, no --server-pid/],
    [['publish', '--prefix', 'a b'], /--prefix must be/],
    [['publish', '--url', 'http://x'], /is no URL of a server/],
    [['publish', '--unknown'], /unknown/],
  ];
  for (const [args, wanted] of cases) {
    const run = await runCli(['bench', ...args]);
    assert.equal(run.code, 2, `${args}: ${run.stderr}`);
    assert.match(run.stderr, wanted);
    assert.match(run.stderr, /Try `seriatim bench --help`/);
  }
  const help = await runCli(['bench', '--help']);
  assert.equal(help.code, 0);
  const loads = ['publish', 'fanout', 'pairs', 'lone', 'idle', 'resume', 'replay', 'channels'];
  for (const load of loads) {
    assert.match(help.stdout.toString(), new RegExp(`^  ${load} `, 'm'));
  }
});
