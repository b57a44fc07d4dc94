// [P 6] the command line at its edges: what data directories `log` takes, options of pub and sub,
// input that is no message, output that nobody takes any more, signals.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { files, flip, overwrite, records } from './lib/faults.mjs';
import { binary, environment, runCli, Server, temporaryDir } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

const cli = (args, options = {}) =>
  runCli(args, { timeoutMs: 20_000, ...options, env: { SERIATIM_URL: server.ws, ...options.env } });

/** Runs it with that standard output; 'closed': a pipe whose reader has left. {code, err} */
async function runInto(args, out) {
  const closed = out === 'closed';
  const child = closed
    ? spawn('/bin/sh', ['-c', '{ sleep 0.2; "$0" "$@"; echo $? >&3; } | true', binary, ...args],
      { env: environment, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
    : spawn(binary, args, { env: environment, stdio: ['ignore', out, 'pipe'] });
  let err = '';
  let status = '';
  child.stderr.on('data', (d) => (err += d));
  child.stdio[3]?.on('data', (d) => (status += d));
  const [code] = await once(child, 'close');
  return { code: closed ? Number(status) : code, err };
}

// ---- log ----------------------------------------------------------------------------------------

/** A data directory of a server that has ended, with segments, indexes and checkpoints. */
async function stoppedData() {
  const own = await Server.start({ flags: ['--partitions', '1', '--segment-bytes', '16KiB'] });
  const c = await Client.connect(own.ws);
  for (let i = 0; i < 60; i++) await c.publish(channelName(), 'x'.repeat(1000));
  await c.close();
  await own.stop();
  return own.data;
}

test('log inspect lists every file with kind and size, for people and for programs', async () => {
  const data = await stoppedData();
  const folder = path.join(data, 'p000');
  fs.writeFileSync(path.join(folder, 'README'), 'hello');
  fs.writeFileSync(path.join(folder, 'notes.txt'), 'hello');
  const names = fs.readdirSync(folder).sort();
  const text = await cli(['log', 'inspect', data]);
  assert.equal(text.code, 0, text.stderr);
  const report = JSON.parse((await cli(['log', 'inspect', '--json', data])).stdout);
  const [partition] = report.partitions;
  assert.deepEqual(partition.files.map((f) => f.name), names);
  for (const { name, kind, bytes } of partition.files) {
    assert.equal(bytes, fs.statSync(path.join(folder, name)).size);
    assert.match(text.stdout.toString(), new RegExp(`${name} +${bytes} bytes  ${kind}\n`));
    const kinds = { '.seg': 'segment', '.idx': 'index', '.ckp': 'checkpoint', '.new': 'prepared' };
    assert.equal(kind, kinds[path.extname(name)] ?? 'other');
  }
  assert.ok(new Set(partition.files.map((f) => f.kind)).size >= 4, text.stdout.toString());
});

test('log verify tells each damage as JSON, and its status is 1', async () => {
  const data = await stoppedData();
  const folder = path.join(data, 'p000');
  const [first] = fs.readdirSync(folder).filter((x) => x.endsWith('.seg')).sort();
  assert.equal((await cli(['log', 'verify', '--json', data])).code, 0);
  const bytes = fs.readFileSync(path.join(folder, first));
  bytes[3000] ^= 1;
  fs.writeFileSync(path.join(folder, first), bytes);
  const run = await cli(['log', 'verify', '--json', data]);
  assert.equal(run.code, 1, run.stderr);
  const { damages } = JSON.parse(run.stdout).partitions[0];
  assert.ok(damages.some((d) => d.file.endsWith(first) && d.at <= 3000 && !d.torn_tail));
});

/** Puts rubbish behind the last record of the newest segment, as a torn write would leave it. */
function tear(data) {
  const newest = files(data, '.seg').at(-1);
  const { at, size } = records(newest).at(-1);
  overwrite(newest, at + size, Buffer.from('half of a record'.repeat(4)));
  return { file: path.basename(newest), at: at + size };
}

test('log tells a torn tail, which is no damage: the next start cuts it off', async () => {
  const data = await stoppedData();
  const { file, at } = tear(data);
  for (const action of ['inspect', 'verify']) {
    const run = await cli(['log', action, data]);
    const out = run.stdout.toString();
    assert.equal(run.code, 0, out + run.stderr);
    assert.match(out, new RegExp(`${file}:${at}: .*, a torn tail: the next start cuts it off`));
    assert.match(out, /; no damage but a torn tail\n$/);
    const json = await cli(['log', action, '--json', data]);
    assert.equal(json.code, 0, json.stderr);
    const { damages } = JSON.parse(json.stdout).partitions[0];
    assert.deepEqual(damages.map((d) => [path.basename(d.file), d.at, d.torn_tail]),
      [[file, at, true]]);
  }
});

test('where records are missing the digests are not known, and log says so', async () => {
  const data = await stoppedData();
  const newest = files(data, '.seg').at(-1); // behind the last checkpoint
  flip(newest, records(newest)[0].at + 60);
  const text = await cli(['log', 'verify', '--digests', data]);
  assert.equal(text.code, 1, text.stdout + text.stderr);
  assert.match(text.stdout.toString(), /digests are not known: records are missing\n/);
  const json = await cli(['log', 'verify', '--digests', '--json', data]);
  assert.equal(json.code, 1);
  assert.equal(JSON.parse(json.stdout).partitions[0].channels, null);
});

test('log names a partition that cannot be read, and what comes before it is told', async () => {
  const own = await Server.start({ flags: ['--partitions', '3'] });
  await own.stop();
  const { data } = own;
  fs.rmSync(path.join(data, 'p001'), { recursive: true });
  const gone = await cli(['log', 'inspect', data]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /\/p001: not found\n/);
  assert.match(gone.stdout.toString(), /^p000: /m);
  assert.doesNotMatch(gone.stdout.toString(), /^p002: /m);
  fs.mkdirSync(path.join(data, 'p001'));
  fs.symlinkSync('nowhere', path.join(data, 'p001', 'a-link'));
  const link = await cli(['log', 'inspect', data]);
  assert.equal(link.code, 1, link.stdout.toString());
  assert.match(link.stderr, /\/p001\/a-link: a symbolic link, which is not followed\n/);
});

test('log inspect lists a file whatever its name is made of', async () => {
  const data = await stoppedData();
  const folder = Buffer.from(path.join(data, 'p000/'));
  const names = [Buffer.from('\xff\xfe.seg', 'latin1'), Buffer.from('a\x1b[31m"\\\n.txt')];
  for (const name of names) fs.writeFileSync(Buffer.concat([folder, name]), 'hello');
  const text = await cli(['log', 'inspect', data]);
  assert.equal(text.code, 0, text.stderr);
  assert.doesNotMatch(text.stdout.toString('latin1'), /\x1b/);
  const json = await cli(['log', 'inspect', '--json', data]);
  assert.equal(json.code, 0, json.stderr);
  const listed = JSON.parse(json.stdout).partitions[0].files.map((f) => f.name);
  assert.equal(listed.length, fs.readdirSync(folder).length);
  assert.ok(listed.includes('a\x1b[31m"\\\n.txt'));
});

test('what cannot be printed is a failure: a full device is named, a reader that left is not',
  async () => {
    const full = fs.openSync('/dev/full', 'w');
    for (const args of [['help'], ['sub', '--help'], ['config', 'docs'], ['version'],
      ['log', 'inspect', await stoppedData()]]) {
      const { code, err } = await runInto(args, full);
      assert.equal(code, 1, args.join(' '));
      assert.match(err, /cannot write to standard output: No space left on device\n/);
      const left = await runInto(args, 'closed');
      assert.equal(left.code, 1, args.join(' '));
      assert.equal(left.err, '');
    }
    fs.closeSync(full);
  });

const good = { format: 1, incarnation: '00000000000000aa', partitions: 1, node: 1 };
for (const [what, meta, says] of [
  ['none', null, /is no data directory that can be read/],
  ['no JSON', '{', /is no data directory that can be read: .*meta\.json:1:\d+/],
  ['a name twice', '{"format":1,"format":1}', /is no data directory that can be read/],
  ['another format', { ...good, format: 2 }, /is not what this version writes/],
  ['no partition', { ...good, partitions: 0 }, /is not what this version writes/],
  ['too many partitions', { ...good, partitions: 257 }, /is not what this version writes/],
  ['a node below 0', { ...good, node: -1 }, /is not what this version writes/],
  ['a node too high', { ...good, node: 1024 }, /is not what this version writes/],
  ['a text for a number', { ...good, node: '1' }, /is not what this version writes/],
  ['an incarnation that is none', { ...good, incarnation: 'x' }, /is not what this version writes/],
  ['no log', good, /./],
]) {
  test(`log inspect, with a meta.json: ${what}`, async () => {
    const data = temporaryDir();
    fs.mkdirSync(data, { recursive: true });
    if (meta !== null) {
      fs.writeFileSync(path.join(data, 'meta.json'),
        typeof meta === 'string' ? meta : JSON.stringify(meta));
    }
    const run = await cli(['log', 'inspect', data]);
    assert.equal(run.code, 1, run.stdout.toString());
    assert.match(run.stderr, says);
  });
}

for (const [args, says] of [
  [['log'], /give `inspect` or `verify`, and the data directory/],
  [['log', 'repair', '.'], /there is no `log repair`/],
  [['log', 'inspect', '--digests', '.'], /--digests goes with `verify`/],
  [['log', 'inspect', '--jsno', '.'], /unknown option '--jsno', did you mean '--json'/],
  [['pub', 'c', '1', '--json', '--string'], /--json and --string exclude one another/],
  [['pub', 'c', '1', '--first', '0'], /--first must be a whole number from 1/],
  [['pub', 'c', '1', '--window', '0'], /--window must be a whole number from 1/],
  [['pub', 'c', '1', '--key', 'x'.repeat(256)], /--key must be a text of 1 to 255 bytes/],
  [['pub', 'c', '1', '--timeout', 'soon'], /--timeout must be a duration/],
  [['sub', 'c', '--window', '0'], /--window must be a whole number from 1 to 1000000/],
  [['sub', 'c', '--when-slow', 'x'],
    /--when-slow must be `catch_up`, `skip` or `conflate`/],
  [['sub', 'c', '--on-gap', 'x'], /--on-gap must be `error` or `reset`/],
  [['sub', 'c', 'd'], /./],
]) {
  test(`seriatim ${args.join(' ').slice(0, 60)} is refused`, async () => {
    const run = await cli(args);
    assert.equal(run.code, 2, run.stderr);
    assert.match(run.stderr, says);
    assert.equal(run.stdout.length, 0);
  });
}

test('log says what is wrong with a path: none, too long', async () => {
  const none = await cli(['log', 'inspect', '/nonexistent/data']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /No such file/);
  const long = await cli(['log', 'inspect', `/${'x/'.repeat(2100)}`]);
  assert.equal(long.code, 1);
  assert.match(long.stderr, /too long a path: '\/x\/x/);
});

// ---- pub and sub --------------------------------------------------------------------------------

test('all options of pub take effect', async () => {
  const channel = channelName();
  const args = ['pub', channel, '--json', '--key', 'k', '--producer', channel, '--epoch', '2',
    '--first', '1', '--window', '2', '--timeout', '10s'];
  assert.equal((await cli(args, { input: '1\n{"a":2}\n"three"' })).code, 0);
  const again = await cli(args, { input: '1\n{"a":2}\n"three"' });
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /3 of 3 messages were there already/);
  const read = await cli(['sub', channel, '--from', 'earliest', '--count', '3', '--window', '1',
    '--on-gap', 'error', '--when-slow', 'conflate', '--json']);
  const messages = read.stdout.toString().trim().split('\n').map((x) => JSON.parse(x));
  assert.deepEqual(messages.map((m) => m.data), [1, { a: 2 }, 'three']);
  assert.ok(messages.every((m) => m.key === 'k'));
});

test('what stands before a line that is no JSON is published, and nothing behind it', async () => {
  const channel = channelName();
  const run = await cli(['pub', channel, '--json'], { input: '1\n2\nthree\n4\n' });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /line 3 is not JSON, as --json asks for/);
  const read = await cli(['sub', channel, '--from', 'earliest', '--count', '2']);
  assert.equal(read.stdout.toString(), '1\n2\n');
  const one = await cli(['pub', channel, 'x y', '--json']);
  assert.equal(one.code, 1);
  assert.match(one.stderr, /DATA is not JSON/);
  const c = await Client.connect(server.ws);
  assert.equal((await c.history(channel)).latest, 2);
  await c.close();
});

test('a line that is longer than 16 MiB ends pub', async () => {
  const run = await cli(['pub', channelName()], { input: `1\n${'x'.repeat(17 * 1024 * 1024)}\n` });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /line 2 is longer than 16 MiB; what stands before it is published/);
});

/** Runs until it says or prints `until`, gets `signal`, and ends: {code, stdout, stderr}. */
async function interrupt(args, until, act, stdio = ['pipe', 'pipe', 'pipe']) {
  const child = spawn(binary, args, { env: { ...environment, SERIATIM_URL: server.ws }, stdio });
  let out = '';
  let err = '';
  const ended = once(child, 'close');
  await new Promise((resolve) => {
    const look = () => (until.test(out + err) ? resolve() : undefined);
    child.stdout.on('data', (d) => { out += d; look(); });
    child.stderr.on('data', (d) => { err += d; look(); });
    if (until.test('')) resolve();
    child.on('close', resolve);
  });
  await act(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code, signal] = await ended;
  clearTimeout(timer);
  return { code, signal, out, err };
}

test('SIGINT ends sub after whole lines, and SIGTERM pub after what is acknowledged', async () => {
  const channel = channelName();
  assert.equal((await cli(['pub', channel, '1'])).code, 0);
  const sub = await interrupt(['sub', channel, '--from', 'earliest'], /1\n/,
    (child) => child.kill('SIGINT'));
  assert.equal(sub.out, '1\n', sub.err);
  assert.notEqual(sub.signal, 'SIGKILL');
  const pub = await interrupt(['pub', channel], /^/, async (child) => {
    child.stdin.write('2\n');
    const c = await Client.connect(server.ws);
    for (let latest = 1; latest < 2; { latest } = await c.history(channel));
    await c.close();
    child.kill('SIGTERM');
  });
  assert.notEqual(pub.signal, 'SIGKILL');
  assert.match(pub.err, /stopped by a signal/);
});

test('sub ends when nobody takes what it prints', async () => {
  const channel = channelName();
  assert.equal((await cli(['pub', channel, '1'])).code, 0);
  const run = await interrupt(['sub', channel, '--from', 'earliest'], /1\n/, async (child) => {
    child.stdout.destroy();
    await cli(['pub', channel, '2']);
  });
  assert.notEqual(run.signal, 'SIGKILL', 'it went on');
});

test('pub names an input that cannot be read, sub an output that is full', async () => {
  const folder = fs.openSync('.', 'r');
  const child = spawn(binary, ['pub', channelName()],
    { env: { ...environment, SERIATIM_URL: server.ws }, stdio: [folder, 'pipe', 'pipe'] });
  let err = '';
  child.stderr.on('data', (d) => (err += d));
  const [code] = await once(child, 'close');
  fs.closeSync(folder);
  assert.equal(code, 1);
  assert.match(err, /cannot read standard input: Is a directory/);

  const channel = channelName();
  assert.equal((await cli(['pub', channel, '1'])).code, 0);
  const full = fs.openSync('/dev/full', 'w');
  const sub = spawn(binary, ['sub', channel, '--from', 'earliest', '--count', '1'],
    { env: { ...environment, SERIATIM_URL: server.ws }, stdio: ['ignore', full, 'pipe'] });
  let said = '';
  sub.stderr.on('data', (d) => (said += d));
  const [status] = await once(sub, 'close');
  fs.closeSync(full);
  assert.equal(status, 1);
  assert.match(said, /No space left on device/);
});

test('a URL that is none is refused with the reason', async () => {
  for (const [url, says] of [['http://x', /is no URL of a server/], ['ws://', /is no URL/],
    ['ws://h:99999/', /is no URL/], ['ws://h:x/', /is no URL/], ['ws://u@h/', /is no URL/],
    ['ws://[::1/', /is no URL/], ['ws://h/a b', /is no URL/]]) {
    const run = await cli(['pub', 'c', '1', '--url', url]);
    assert.equal(run.code, 2, url + run.stderr);
    assert.match(run.stderr, says);
  }
});
