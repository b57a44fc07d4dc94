// `seriatim verify`: silent about a server that keeps its word, also one that is killed under it;
// and each lie is found and called by its name.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startLiar } from './lib/liar.mjs';
import { binary, environment, freePort, runCli, Server, temporaryDir } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

/** Runs it to its end: {code, stderr, account}. */
async function verify(url, args) {
  const run = await runCli(['verify', '--url', url, '--json', '-', ...args]);
  const text = run.stdout.toString();
  return { ...run, account: text === '' ? null : JSON.parse(text) };
}

const small = ['--rate', '5000', '--messages', '2000', '--channels', '3', '--producers', '2'];

// ---- a server that keeps its word ---------------------------------------------------------------

test('a server that keeps its word is not accused, and everything is accounted for', async () => {
  const { code, stderr, account } = await verify(server.ws, [...small, '--batch', '7',
    '--restart-subscribers', '100', '--restart-producers', '200', '--window', '50']);
  assert.equal(code, 0, stderr);
  assert.equal(account.end, 'whole');
  assert.equal(account.sent, 2000);
  assert.equal(account.acknowledged, 2000);
  assert.equal(account.delivered, 2 * 2000);
  assert.equal(account.received, account.delivered);
  assert.equal(account.read_back, 2000);
  assert.equal(account.channels_read_back, 3);
  assert.equal(account.digests_compared, 9);
  assert.equal(account.violations_total, 0);
  assert.ok(account.restarts > 10, `${account.restarts} restarts`);
  assert.equal(account.publish_published_ms.count, 2000);
  assert.equal(account.publish_delivered_ms.count, 4000);
  const { count, stored, not_stored: absent, never_answered: open } = account.indeterminate;
  assert.equal(stored + absent, count);
  assert.equal(open, 0);
  assert.ok(Object.values(account.violations).every((n) => n === 0));
  assert.match(stderr, /\n0 violations\n$/);
});

test('it goes on through kill -9 and restart of the server, and loses nothing', async () => {
  const own = await Server.start();
  const child = spawn(binary, ['verify', '--url', own.ws, '--json', '-', '--rate', '3000',
    '--seconds', '6', '--restart-subscribers', '300', '--patience', '30'],
  { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (d) => (stdout += d));
  child.stderr.on('data', (d) => (stderr += d));
  const ended = once(child, 'close');
  for (let kill = 0; kill < 3; kill++) {
    await sleep(1300);
    await own.kill();
    await sleep(100);
    await own.restart();
  }
  const [code] = await ended;
  const account = JSON.parse(stdout);
  assert.equal(code, 0, stderr);
  assert.equal(account.acknowledged, 18000);
  assert.equal(account.read_back, 18000);
  assert.equal(account.delivered, 36000);
  assert.ok(account.reconnects >= 15 && account.reconnects <= 3 * 20,
    `${account.reconnects} reconnects`);
  assert.ok(account.indeterminate.count > 0, 'nothing was under way at any kill');
  await own.kill();
});

test('a signal cuts the load short, and what was sent is checked to the end', async () => {
  const child = spawn(binary, ['verify', '--url', server.ws, '--json', '-', '--seconds', '60'],
    { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  child.stdout.on('data', (d) => (stdout += d));
  await once(child.stderr, 'data'); // the first line of progress
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  const account = JSON.parse(stdout);
  assert.equal(code, 0);
  assert.equal(account.end, 'stopped');
  assert.ok(account.sent > 0 && account.sent < 60_000);
  assert.equal(account.read_back, account.sent);
});

test('retention is told as announced gaps, and tolerated where asked for', async () => {
  const own = await Server.start({ flags: ['--retention-messages', '100'] });
  const args = [...small, '--restart-subscribers', '0', '--keep-going'];
  const strict = await verify(own.ws, args);
  assert.equal(strict.code, 1, strict.stderr);
  assert.ok(strict.account.violations.gap_announced > 0);
  const tolerant = await verify(own.ws, [...args, '--tolerate', 'gap']);
  assert.equal(tolerant.code, 0, tolerant.stderr);
  assert.equal(tolerant.account.violations_total, 0);
  assert.ok(tolerant.account.violations.gap_announced > 0);
  await own.kill();
});

// ---- a server that does not ---------------------------------------------------------------------

/** Changes a text and nothing around it: payloads are written with escapes of their own. */
function changed(text, pattern, by) {
  const other = text.replace(pattern, by);
  assert.notEqual(other, text, `${pattern} is not in ${text}`);
  return other;
}

/** Where the elements of a history reply begin. */
const elements = (text) => [...text.matchAll(/\{"seq":/g)].map((m) => m.index);

/** A lie told once in all, on the first connection where `when` holds. */
function once_(when, lie) {
  let told = false;
  return () => (text, object) => {
    if (told || !when(object)) return [text];
    told = true;
    return lie(text, object);
  };
}

const isMessage = (o) => o.type === 'message' && o.seq === 100;

/** Holds a message back until the next one has been said. */
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
      if (!told && isMessage(object)) {
        told = true;
        held = text;
        return [];
      }
      return [text];
    };
  };
}

const lies = [
  ['a message left out', 'gap_unannounced', once_(isMessage, () => [])],
  ['a message said twice', 'duplicated', once_(isMessage, (t) => [t, t])],
  ['two messages swapped', 'out_of_order', swapOnce()],
  ['a byte of the payload changed', 'payload_changed',
    once_(isMessage,
      (t) => [changed(t, /"f":"((\\u[0-9a-f]{4})+|\\.|[^])/iu, '"f":"~')])],
  ['another key', 'payload_changed',
    once_((o) => o.type === 'message' && 'key' in o, (t) => [changed(t, /,"key":"[^"]*"/, '')])],
  ['another time for one subscriber', 'inconsistent',
    once_(isMessage, (t) => [changed(t, /"time":(\d+)/, (_, n) => `"time":${Number(n) + 1}`)])],
  ['another message_id for one subscriber', 'inconsistent',
    once_(isMessage, (t) => [changed(t, /"message_id":"/, '"message_id":"1')])],
  ['a published with another seq', 'ack_mismatch',
    once_((o) => o.type === 'published' && o.seq === 100,
      (t) => [changed(t, '"seq":100', '"seq":101')]), null],
  ['a message of a producer that is none', 'unexpected',
    once_(isMessage, (t) => [changed(t, /"producer":"[^"]*"/, '"producer":"somebody"')])],
  ['a number that was seen before', 'stored_twice',
    once_(isMessage, (t, o) => [changed(t, `"producer_seq":${o.producer_seq}`,
      `"producer_seq":${o.producer_seq - 1}`)]), 'payload_changed'],
  ['a duplicate of what was sent once', 'numbering_refused',
    once_((o) => o.type === 'published' && o.seq === 100,
      (t) => [changed(t, /\}$/, ',"duplicate":true}')])],
  ['the own next number refused', 'numbering_refused',
    once_((o) => o.type === 'published' && o.seq === 1, (t, o) => [JSON.stringify({
      type: 'error', id: o.id, code: 'out_of_sequence', message: 'no', expected: 9 })])],
  ['an answer to nothing', 'protocol',
    once_((o) => o.type === 'published' && o.seq === 100,
      (t) => [t, changed(t, /"id":/, '"id":1000')])],
  ['an answer left out', 'protocol',
    once_((o) => o.type === 'published' && o.seq === 100, () => [])],
  // Nothing is behind it that could be answered in its place: it is said again after a second.
  ['the last answer left out', 'protocol',
    once_((o) => o.type === 'published' && o.seq === 667, () => [])],
  ['a refusal of what was stored', 'numbering_refused',
    once_((o) => o.type === 'published' && o.seq === 667, (t, o) => [JSON.stringify({
      type: 'error', id: o.id, code: 'unavailable', message: 'nothing was stored' })])],
  ['an error to what was answered', 'protocol',
    once_((o) => o.type === 'subscribed', (t, o) => [t, JSON.stringify({
      type: 'error', id: o.id, code: 'internal', message: 'so' })])],
  ['a second answer to a question', 'protocol', once_((o) => o.type === 'history', (t) => [t, t])],
  ['an ack refused though the subscription goes on', 'protocol',
    once_(isMessage, (t) => [t, JSON.stringify({
      type: 'error', code: 'not_subscribed', message: 'so' })])],
  ['something that is no JSON', 'protocol', once_(isMessage, (t) => [t.slice(1)])],
  ['a gap without end', 'gap_announced',
    once_(isMessage, (t, o) => [JSON.stringify({
      type: 'gap', channel: o.channel, from: o.seq, to: 2 ** 53 - 2, reason: 'trimmed' })])],
  ['a gap told where there is none', 'gap_announced',
    once_(isMessage, (t, o) => [JSON.stringify({
      type: 'gap', channel: o.channel, from: o.seq, to: o.seq, reason: 'trimmed' })])],
  ['a gap that begins elsewhere', 'protocol',
    once_(isMessage, (t, o) => [JSON.stringify({
      type: 'gap', channel: o.channel, from: o.seq + 5, to: o.seq + 6, reason: 'trimmed' }), t])],
  ['an epoch that another subscriber does not have', 'history_changed',
    once_((o) => o.type === 'subscribed', (t) => [changed(t, /"epoch":"/, '"epoch":"x')])],
  ['another epoch', 'history_changed',
    once_((o) => o.type === 'published' && o.seq === 100,
      (t) => [changed(t, /"epoch":"/, '"epoch":"x')])],
  ['a hole in the history', 'gap_unannounced',
    once_((o) => o.type === 'history' && o.messages.length > 10,
      (t) => [t.slice(0, elements(t)[5]) + t.slice(elements(t)[6])])],
  ['a history without its end', 'lost_postfix',
    once_((o) => o.type === 'history' && o.messages.length > 10,
      (t) => [`${t.slice(0, elements(t)[10] - 1)}]}`])],
  ['another digest', 'digest_mismatch',
    once_((o) => o.type === 'digest',
      (t) => [changed(t, /"digest":"(.)/, (_, c) => `"digest":"${c === '0' ? '1' : '0'}`)])],
];

// The first thing that is said of it is its name, unless a fourth entry says otherwise; null: it
// shows in several ways, and which is first depends on what comes next.
for (const [what, name, lie, first = name] of lies) {
  test(`${what} is found: ${name}`, async () => {
    const liar = await startLiar(server, lie);
    const { code, stderr, account } = await verify(liar.ws,
      [...small, '--restart-subscribers', '0', '--patience', '20']);
    await liar.stop();
    assert.equal(code, 1, stderr);
    assert.ok(account.violations[name] > 0, stderr);
    if (first !== null) assert.equal(account.examples[0].name, first, stderr);
    assert.match(stderr, new RegExp(name));
    assert.notEqual(account.end, 'refused', stderr);
  });
}

// ---- what the library would put right -----------------------------------------------------------

/** Runs with --keep-going, one subscriber a channel, and no restarts but those asked for. */
async function keepGoing(lie, ...args) {
  const liar = await startLiar(server, lie);
  const run = await verify(liar.ws, [...small, '--restart-subscribers', '0', '--keep-going',
    '--subscribers', '1', '--patience', '20', ...args]);
  await liar.stop();
  assert.equal(run.code, 1, run.stderr);
  assert.equal(run.account.end, 'whole', run.stderr);
  assert.equal(run.account.sent, 2000, run.stderr);
  assert.equal(run.account.acknowledged, 2000, run.stderr);
  return run;
}

/** The violations that were counted. */
const counted = ({ violations }) =>
  Object.fromEntries(Object.entries(violations).filter(([, n]) => n > 0));

for (const restarts of ['0', '150']) {
  test(`what is left out is not healed by a client that fills the hole, ${restarts} ms`,
    async () => {
      const told = new Set();
      const { account, stderr } = await keepGoing(() => (text, o) => {
        if (o.type !== 'message' || o.seq % 200 !== 0 || told.has(o.channel + o.seq)) return [text];
        told.add(o.channel + o.seq);
        return [];
      }, '--rate', '2000', '--restart-subscribers', restarts);
      // What was held back right before a cut was not skipped: it is asked for and comes.
      const lost = account.violations.gap_unannounced;
      assert.ok(restarts === '0' ? lost === told.size && lost >= 6 : lost > 0 && lost <= told.size,
        `${lost} of ${told.size}`);
      assert.deepEqual(counted(account), { gap_unannounced: lost, lost_middle: lost }, stderr);
      assert.equal(account.delivered, 2000 - lost);
    });
}

test('a hole that the history has as well is told, and what follows it is judged', async () => {
  // To the subscribers it is missing; the reader of history, who asks for all from 1, is spared.
  const { account, stderr } = await keepGoing(() => {
    let reader = false;
    return (text, o) => {
      if (o.type === 'history') {
        reader = reader || o.messages[0]?.seq === 1;
        const at = reader ? -1 : o.messages.findIndex((m) => m.seq === 300);
        if (at < 0) return [text];
        return [JSON.stringify({ ...o, messages: o.messages.filter((m) => m.seq !== 300) })];
      }
      return o.type === 'message' && o.seq === 300 ? [] : [text];
    };
  });
  assert.deepEqual(counted(account), { gap_unannounced: 3, lost_middle: 3 }, stderr);
  assert.equal(account.delivered, 1997);
  assert.equal(account.read_back, 2000);
});

const breaches = [
  ['an answer to nothing', 'protocol', (o) => o.type === 'published' && o.seq === 100,
    (t) => [t, changed(t, /"id":/, '"id":1000')]],
  ['a published for another channel', 'protocol', (o) => o.type === 'published' && o.seq === 100,
    (t, o) => [t.replace(o.channel, o.channel.replace(/\d$/, (n) => (Number(n) + 1) % 3))]],
  ['a refusal of nothing', 'protocol', (o) => o.type === 'published' && o.seq === 100,
    (t) => [t, JSON.stringify({ type: 'error', id: 99999, code: 'internal', message: 'so' })]],
  ['a subscribed at another seq', 'protocol', (o) => o.type === 'subscribed' && o.next > 1,
    (t) => [changed(t, /"next":\d+/, '"next":1')], '--restart-subscribers', '100'],
];

// The library ends a connection for good at these; the checker has named them, and goes on.
for (const [what, name, when, lie, ...args] of breaches) {
  test(`--keep-going goes on behind ${what}`, async () => {
    const { account, stderr } = await keepGoing(once_(when, lie), '--rate', '2000', ...args);
    assert.equal(account.violations[name], 1, stderr);
    assert.equal(account.violations.lost_middle + account.violations.lost_postfix, 0, stderr);
    assert.equal(account.delivered, 2000, stderr);
    assert.equal(account.read_back, 2000, stderr);
  });
}

test('a subscription that the server ends by itself is taken up again', async () => {
  const liar = await startLiar(server, once_(isMessage, (t, o) => [t, JSON.stringify({
    type: 'unsubscribed', channel: o.channel, reason: 'unavailable' })]));
  const { code, account, stderr } = await verify(liar.ws, [...small, '--restart-subscribers', '0']);
  await liar.stop();
  // The real server knows nothing of it, and goes on pushing what nobody wants any more.
  assert.equal(code, 1, stderr);
  assert.ok(account.violations.protocol > 0, stderr);
  assert.match(account.examples[0].text, /was not asked for/);
});

const binaryLies = [
  ['a message left out', 'gap_unannounced', once_(isMessage, () => [])],
  ['a message said twice', 'duplicated', once_(isMessage, (u) => [u, u])],
  ['two messages swapped', 'out_of_order', swapOnce()],
  ['a byte of the payload changed', 'payload_changed', once_(isMessage, (u) => {
    const other = Buffer.from(u);
    other[other.length - 3] ^= 1;
    return [other];
  })],
  ['something that is no unit', 'protocol', once_(isMessage, () => [Buffer.from([3 << 2, 0x90])])],
  ['an answer said twice', 'protocol', once_((o) => o.type === 'published', (u) => [u, u])],
];

for (const [what, name, lie] of binaryLies) {
  test(`in binary, ${what} is found: ${name}`, async () => {
    const liar = await startLiar(server, lie);
    const { code, stderr, account } = await verify(liar.ws,
      [...small, '--restart-subscribers', '0', '--codec', 'binary', '--patience', '20']);
    await liar.stop();
    assert.equal(code, 1, stderr);
    assert.equal(account.examples[0].name, name, stderr);
  });
}

test('in binary, a server that keeps its word is not accused', async () => {
  const { code, stderr, account } = await verify(server.ws, [...small, '--batch', '7', '--codec',
    'binary', '--restart-subscribers', '100', '--restart-producers', '200', '--window', '50']);
  assert.equal(code, 0, stderr);
  assert.equal(account.codec, 'binary');
  assert.equal(account.delivered, 4000);
  assert.equal(account.digests_compared, 9);
});

test('messages acknowledged and withheld from all are a lost postfix', async () => {
  const liar = await startLiar(server, () => (text, object) => (
    object.type === 'message' && object.seq > 600 ? [] : [text]));
  const { code, stderr, account } = await verify(liar.ws,
    [...small, '--restart-subscribers', '0', '--patience', '2']);
  await liar.stop();
  assert.equal(code, 1, stderr);
  assert.equal(account.end, 'stalled', stderr);
  assert.equal(account.lost, 2000 - 3 * 600);
  assert.equal(account.violations.lost_postfix, account.lost);
});

test('a publish that is never answered is told at the end', async () => {
  // As if the first of two copies had not come at all: the second one is stored, and not the first.
  let left = null;
  const liar = await startLiar(server, () => (text, object) => {
    if (object.type !== 'published' || object.seq !== 667) return [text];
    left ??= object.channel;
    if (left !== object.channel) return [text];
    return object.duplicate ? [changed(text, ',"duplicate":true', '')] : [];
  });
  const { code, stderr, account } = await verify(liar.ws,
    [...small, '--restart-subscribers', '0', '--keep-going', '--patience', '3']);
  await liar.stop();
  assert.equal(code, 1, stderr);
  assert.equal(account.acknowledged, 2000, stderr);
  assert.equal(account.read_back, 2000, stderr);
  assert.equal(account.end, 'stalled', stderr);
  assert.equal(account.violations.protocol, 1, stderr);
  assert.equal(account.violations_total, 1, stderr);
  assert.match(account.examples[0].text, /never answered/);
});

test('--keep-going counts all that is wrong', async () => {
  const liar = await startLiar(server, () => (text, object) => (
    object.type === 'message' && object.seq % 50 === 0 ? [text, text] : [text]));
  const { code, stderr, account } = await verify(liar.ws,
    [...small, '--restart-subscribers', '0', '--keep-going', '--subscribers', '1']);
  await liar.stop();
  assert.equal(code, 1, stderr);
  assert.equal(account.end, 'whole');
  assert.equal(account.violations.duplicated, 13 + 13 + 13);
  assert.equal(account.violations_total, 39);
  assert.equal(account.delivered, 2000);
  assert.equal(account.received, 2039);
});

// ---- a server that is not there, and wrong usage ------------------------------------------------

test('a server that is away for too long is no violation, but a failure', async () => {
  const { code, stderr, account } = await verify(`ws://127.0.0.1:${await freePort()}/v1/ws`,
    [...small, '--patience', '3']);
  assert.equal(code, 1);
  assert.match(stderr, /^connecting: 2 s, .* 0 violations; cannot connect to .*refused$/m);
  assert.equal(account.end, 'away');
  assert.equal(account.violations_total, 0);
  assert.match(stderr, /gave up: the server was away for more than 3 s \(cannot connect/);
});

test('a prefix that was used before is refused', async () => {
  const prefix = `again-${process.pid}`;
  const args = ['--messages', '100', '--prefix', prefix];
  const first = await verify(server.ws, args);
  assert.equal(first.code, 0, first.stderr);
  const second = await verify(server.ws, args);
  assert.equal(second.code, 1);
  assert.equal(second.account.end, 'refused');
  assert.match(second.stderr, /hold messages already: take another --prefix/);
});

test('--json writes a file, and says when it cannot', async () => {
  const file = path.join(temporaryDir(), 'account.json');
  const good = await runCli(['verify', '--url', server.ws, '--messages', '50', '--json', file]);
  assert.equal(good.code, 0, good.stderr);
  assert.equal(good.stdout.length, 0);
  assert.equal(JSON.parse(fs.readFileSync(file, 'utf8')).read_back, 50);
  const bad = await runCli(['verify', '--url', server.ws, '--messages', '50', '--json',
    path.join(file, 'not-a-folder')]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^seriatim: cannot write .*not-a-folder: Not a directory\n$/, 'at once');
});

test('wrong usage is told option by option', async () => {
  const cases = [
    [['--rate', '0'], /--rate must be a whole number from 1 to/],
    [['--size', '10'], /--size must be a whole number from 64 to/],
    [['--seconds', '5', '--messages', '5'], /exclude one another/],
    [['--tolerate', 'all'], /--tolerate must be `gap` or `epoch`/],
    [['--prefix', 'a b'], /--prefix must be 1 to 100 letters/],
    [['--channels', '1000', '--subscribers', '60'], /together must be at most/],
    [['--rate', '1000000', '--seconds', '1000000'], /more than 4000000000 messages/],
    [['--codec', 'xml'], /--codec must be json or binary/],
    [['orders'], /no arguments but options/],
    [['--url', 'http://x'], /is no URL of a server/],
    [['--rat', '5'], /rat/],
  ];
  for (const [args, wanted] of cases) {
    const run = await runCli(['verify', ...args]);
    assert.equal(run.code, 2, run.stderr);
    assert.match(run.stderr, wanted);
    assert.match(run.stderr, /Try `seriatim verify --help`/);
  }
  const help = await runCli(['verify', '--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout.toString(), /^Usage: seriatim verify/);
});
