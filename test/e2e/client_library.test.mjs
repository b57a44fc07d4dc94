// The C client library: as it is installed, and through kill -9 of the server and of itself.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { channelName, Client } from './lib/client.mjs';
import { binary, freePort, Server, temporaryDir } from './lib/server.mjs';

const build = path.dirname(binary);
const root = path.resolve(import.meta.dirname, '../..');
const actor = path.join(build, 'sdk-actor');

function must(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: 60_000, ...options });
  assert.equal(done.status, 0, `${command} ${args.join(' ')}: ${done.stderr}${done.stdout}`);
  return done.stdout.trim();
}

/** The actor at work: its lines as they come. */
class Actor {
  constructor(...args) {
    this.lines = [];
    this.errors = '';
    this.process = spawn(actor, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
    let rest = '';
    this.process.stdout.on('data', (piece) => {
      const all = (rest + piece).split('\n');
      rest = all.pop();
      this.lines.push(...all);
    });
    this.process.stderr.on('data', (piece) => { this.errors += piece; });
    this.ended = new Promise((resolve) => {
      this.process.on('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Waits until there are so many lines that begin so, or it has ended. */
  async until(prefix, count) {
    let over = false;
    this.ended.then(() => { over = true; });
    while (!over && this.lines.filter((x) => x.startsWith(prefix)).length < count) await sleep(2);
  }

  kill() {
    this.process.kill('SIGKILL');
    return this.ended;
  }
}

test('what is installed is enough to build and run the example, shared and static', async () => {
  const tree = temporaryDir();
  must('meson', ['install', '-C', build, '--no-rebuild', '--quiet', '--destdir', tree]);
  const find = (name) => must('find', [tree, '-name', name]).split('\n')[0];
  const library = path.dirname(find('libseriatim.so.0'));
  const env = {
    ...process.env,
    PKG_CONFIG_PATH: path.dirname(find('seriatim.pc')),
    PKG_CONFIG_SYSROOT_DIR: tree,
    LD_LIBRARY_PATH: library,
  };
  const flags = (...more) =>
    must('pkg-config', [...more, '--cflags', '--libs', 'seriatim'], { env }).split(/\s+/);
  const source = path.join(root, 'examples/c/hello.c');
  const warnings = ['-std=c11', '-D_POSIX_C_SOURCE=200809L', '-Wall', '-Wextra', '-Werror'];
  const shared = path.join(tree, 'hello');
  must('cc', [...warnings, source, ...flags(), '-o', shared], { env });
  const fixed = path.join(tree, 'hello-static');
  const objects = flags('--static').map((x) =>
    (x === '-lseriatim' ? path.join(library, 'libseriatim.a') : x));
  must('cc', [...warnings, source, ...objects, '-o', fixed], { env });
  const needed = must('readelf', ['-d', shared]);
  assert.match(needed, /libseriatim\.so\.0\]/);
  assert.doesNotMatch(must('readelf', ['-d', fixed]), /libseriatim/);
  // Nothing else is seen of it.
  for (const name of ['libseriatim.so.0', 'libseriatim.a']) {
    const file = path.join(library, name);
    const names = must('nm', [file.endsWith('.a') ? '-g' : '-D', '--defined-only', file])
      .split('\n').map((x) => x.split(' ')[2]).filter(Boolean);
    assert.ok(names.length > 10);
    assert.deepEqual(names.filter((x) => !x.startsWith('seriatim_')), []);
  }
  const server = await Server.start();
  for (const program of [shared, fixed]) {
    const lines = must(program, [server.ws], { env }).split('\n');
    assert.deepEqual(lines.slice(0, 10),
      Array.from({ length: 10 }, (_, i) => `${i + 1} {"n":${i}}`));
  }
  await server.stop();
});

test('the header is good C++', () => {
  const code = '#include <seriatim/client.h>\n'
    + 'int main() { return seriatim_status_text(SERIATIM_OK) == 0; }\n';
  const done = spawnSync('c++', ['-std=c++17', '-Wall', '-Wextra', '-Werror', '-fsyntax-only',
    `-I${path.join(root, 'include')}`, '-x', 'c++', '-'], { input: code, encoding: 'utf8' });
  if (done.error?.code !== 'ENOENT') assert.equal(done.status, 0, done.stderr);
});

for (const codec of ['binary', 'json']) {
  test(`kill -9 of server and client: all of it, once and in order, in ${codec}`, async () => {
    const server = await Server.start();
    const channel = channelName();
    const outbox = path.join(temporaryDir(), 'outbox');
    const runs = 8;
    const count = 4000;
    const taken = [];
    // They follow through all of it; each server that is killed cuts them off.
    const followers = ['thread', 'poll'].map((how, i) =>
      new Actor('subscribe', server.ws, channel, 1_000_000, i * 50, codec, how));
    for (let run = 1; run <= runs; run += 1) {
      const publisher = new Actor('publish', server.ws, channel, run, count, outbox, codec);
      await publisher.until('t ', run === runs ? 1e9 : 20 + 40 * run);
      if (run % 3 === 0) {
        await server.kill();
        await sleep(50 * (run % 2));
      }
      if (run < runs) await publisher.kill();
      const { code } = await publisher.ended;
      if (run % 3 === 0) await server.restart();
      const last = publisher.lines.filter((x) => x.startsWith('t ')).pop();
      taken.push(last === undefined ? 0 : Number(last.slice(2)));
      assert.equal(publisher.errors, '');
      if (run === runs) assert.deepEqual([code, publisher.lines.pop()], [0, 'end']);
    }
    const reader = await Client.connect(server.ws);
    const messages = [];
    for (let from = 1, more = true; more;) {
      const page = await reader.history(channel, { from, limit: 1000 });
      messages.push(...page.messages);
      more = page.more === true;
      from = messages.length + 1;
    }
    await reader.close();
    const seen = Array.from({ length: runs + 1 }, () => 0);
    let highest = 0;
    for (const { data, seq } of messages) {
      assert.equal(data.n, seen[data.run] + 1, `seq ${seq}: ${JSON.stringify(data)}`);
      assert.ok(data.run >= highest, `run ${data.run} behind ${highest}`);
      highest = data.run;
      seen[data.run] = data.n;
    }
    taken.forEach((n, i) => assert.ok(seen[i + 1] >= n, `run ${i + 1}: ${seen[i + 1]} < ${n}`));
    for (const follower of followers) {
      await follower.until('m ', messages.length);
      await follower.kill();
      assert.equal(follower.errors, '');
      assert.deepEqual(follower.lines,
        messages.map(({ data, seq }) => `m ${seq} ${JSON.stringify(data)}`));
    }
    await server.stop();
  });
}

test('history comes by pages, and the digest of it is the server\'s', async () => {
  const server = await Server.start();
  const channel = channelName();
  const client = await Client.connect(server.ws);
  for (let n = 1; n <= 8; n += 1) await client.publish(channel, { n });
  await client.close();
  const digest = await (await fetch(`${server.http}/v1/channels/${channel}/digest`)).json();
  const message = (n) => `m ${n} {"n":${n}}`;
  const wanted = [1, 2, 3].map(message).concat('h 1 8 1', [4, 5, 6].map(message), 'h 1 8 1',
    [7, 8].map(message), 'h 1 8 0', `d 8 ${digest.digest}`, 'e 14 gap');
  for (const codec of ['binary', 'json']) {
    const reader = new Actor('history', server.ws, channel, codec);
    assert.equal((await reader.ended).code, 0, reader.errors);
    assert.deepEqual(reader.lines, wanted, codec);
  }
  await server.stop();
});

test('what waits in the outbox is listed, kept without a server, and sent later', async () => {
  const port = await freePort();
  const url = `ws://127.0.0.1:${port}/v1/ws`;
  const outbox = path.join(temporaryDir(), 'outbox');
  const first = new Actor('publish', url, 'later', 1, 30, outbox, 'json');
  await first.until('t 30', 1);
  const second = new Actor('publish', url, 'later', 2, 1, outbox, 'json');
  assert.equal((await second.ended).code, 1);
  assert.match(second.errors, /another process uses the outbox/);
  await first.kill();
  const list = new Actor('pending', url, outbox);
  assert.equal((await list.ended).code, 0, list.errors);
  assert.deepEqual(list.lines,
    Array.from({ length: 30 }, (_, i) => `p later ${i + 1} {"run":1,"n":${i + 1}}`));
  const server = await Server.start({ port });
  const third = new Actor('publish', url, 'later', 3, 1, outbox, 'binary');
  assert.equal((await third.ended).code, 0, third.errors);
  assert.deepEqual(third.lines.filter((x) => x.startsWith('a ')),
    Array.from({ length: 31 }, (_, i) => `a ${i + 1}`));
  await server.stop();
});

test('an outbox that is damaged where it was on disk is refused', async () => {
  const server = await Server.start();
  const outbox = path.join(temporaryDir(), 'outbox');
  const good = new Actor('publish', server.ws, 'c', 1, 30, outbox, 'json');
  assert.equal((await good.ended).code, 0, good.errors);
  const file = path.join(outbox, 'outbox');
  const bytes = fs.readFileSync(file);
  bytes[30] ^= 1;
  fs.writeFileSync(file, bytes);
  const bad = new Actor('publish', server.ws, 'c', 2, 1, outbox, 'json');
  assert.equal((await bad.ended).code, 1);
  assert.match(bad.errors, /damage/);
  await server.stop();
});
