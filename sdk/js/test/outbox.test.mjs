// Outboxes: what is kept survives, what is damaged is told, and two never share one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';

import { IndexedDbOutbox } from '../dist/index.js';
import { Keeper } from '../dist/keeper.js';
import { FileOutbox, FilePositions } from '../dist/node/index.js';
import { crc32 } from '../dist/node/crc32.js';

globalThis.IDBKeyRange ??= IDBKeyRange;
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'seriatim-outbox-'));
after(() => fs.rmSync(dir, { recursive: true, force: true }));
let names = 0;
const newPath = () => path.join(dir, `outbox-${names += 1}`);

const entry = (ord, channel, number, payload = `{"n":${number}}`, key = undefined) =>
  ({ ord, channel, number, key, payload });
const plain = (state) => ({ ...state, next: Object.fromEntries(state.next),
  entries: state.entries.map(({ ord, channel, number, key, payload }) =>
    [ord, channel, number, key, typeof payload === 'string' ? payload : [...payload]]) });

/** One Web Locks manager, as all pages of a browser share one. */
function lockManager() {
  const held = new Set();
  return { request: async (name, { ifAvailable }, run) => {
    assert.equal(ifAvailable, true);
    if (held.has(name)) return run(null);
    held.add(name);
    try {
      return await run({ name });
    } finally {
      held.delete(name);
    }
  } };
}

const kinds = {
  file: () => {
    const where = newPath();
    return () => new FileOutbox(where);
  },
  'file without fsync': () => {
    const where = newPath();
    return () => new FileOutbox(where, { fsync: false });
  },
  'IndexedDB with locks': () => {
    const options = { indexedDB: new IDBFactory(), locks: lockManager() };
    return () => new IndexedDbOutbox('test', options);
  },
  'IndexedDB with leases': () => {
    const options = { indexedDB: new IDBFactory(), locks: null, leaseMs: 200 };
    return () => new IndexedDbOutbox('test', options);
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: what was appended is there again, with its producer and numbers`, async () => {
    const open = make();
    const first = open();
    const empty = await first.open();
    assert.match(empty.producer.id, /^[0-9a-f]{32}$/);
    assert.equal(empty.producer.epoch, 1);
    assert.deepEqual(plain(empty).entries, []);
    await first.append([entry(1, 'a', 1), entry(2, 'ü', 1, new Uint8Array([0, 255]), 'k')]);
    await first.append([entry(3, 'a', 2)]);
    await first.remove([entry(1, 'a', 1)]);
    await first.close();
    const second = open();
    const state = await second.open();
    assert.deepEqual(state.producer, empty.producer);
    assert.deepEqual(plain(state).entries, [[2, 'ü', 1, 'k', [0, 255]],
      [3, 'a', 2, undefined, '{"n":2}']]);
    assert.deepEqual(plain(state).next, { a: 3, ü: 2 });
    await second.remove(state.entries);
    await second.rewrite({ producer: { id: state.producer.id, epoch: 2 },
      next: new Map([['a', 8]]), entries: [entry(9, 'a', 7)] });
    await second.close();
    const third = open();
    const last = plain(await third.open());
    assert.deepEqual(last, { producer: { id: state.producer.id, epoch: 2 }, next: { a: 8 },
      entries: [[9, 'a', 7, undefined, '{"n":7}']] });
    await third.close();
  });
}

test('file: one has the outbox, in one process; of a dead one it is taken over', async () => {
  const where = newPath();
  const one = new FileOutbox(where);
  await one.open();
  await assert.rejects(new FileOutbox(where).open(), { code: 'locked' });
  const script = `import { FileOutbox } from ${JSON.stringify(new URL('../dist/node/index.js',
    import.meta.url).href)};
    const outbox = new FileOutbox(${JSON.stringify(where)});
    await outbox.open().then(() => { console.log('open'); process.kill(process.pid, 'SIGKILL'); },
      (e) => console.log(e.code));`;
  const run = () => spawnSync(process.execPath, ['--input-type=module', '-e', script],
    { encoding: 'utf8' });
  assert.equal(run().stdout, 'locked\n');
  await one.close();
  const killed = run();
  assert.deepEqual([killed.stdout, killed.signal], ['open\n', 'SIGKILL']);
  assert.ok(fs.existsSync(`${where}.lock`));
  const again = new FileOutbox(where);
  await again.open();
  await again.close();
  assert.deepEqual(fs.readdirSync(dir).filter((n) => n.startsWith(`${path.basename(where)}.`)), []);
});

test('file: cut anywhere, the end is cut away and what stands before it is kept', async () => {
  const where = newPath();
  const outbox = new FileOutbox(where);
  await outbox.open();
  const begin = fs.statSync(where).size;
  const ends = [begin];
  for (let n = 1; n <= 4; n += 1) {
    await outbox.append([entry(n, 'a', n, 'x'.repeat(n * 10))]);
    ends.push(fs.statSync(where).size);
  }
  await outbox.close();
  const whole = fs.readFileSync(where);
  for (let size = begin; size <= whole.length; size += 1) {
    fs.writeFileSync(where, whole.subarray(0, size));
    const cut = new FileOutbox(where, { fsync: false });
    const state = await cut.open();
    const complete = ends.filter((end) => end <= size).length - 1;
    assert.equal(state.entries.length, complete, `cut at ${size}`);
    await cut.close();
  }
});

test('file: a bit that has flipped before good records is damage, and told', async () => {
  const where = newPath();
  const outbox = new FileOutbox(where);
  await outbox.open();
  for (let n = 1; n <= 3; n += 1) await outbox.append([entry(n, 'a', n)]);
  await outbox.close();
  const whole = fs.readFileSync(where);
  let last = 0;
  for (let at = 0; at < whole.length; at += 8 + whole.readUInt32LE(at)) last = at;
  for (let at = 0; at < last; at += 3) {
    const bad = Buffer.from(whole);
    bad[at] ^= 1 << (at % 8);
    fs.writeFileSync(where, bad);
    await assert.rejects(new FileOutbox(where).open(), { code: 'storage' }, `byte ${at}`);
    assert.deepEqual(fs.readFileSync(where), bad, 'it is left as it is');
  }
});

test('file: another file than an outbox is left alone', async () => {
  const where = newPath();
  fs.writeFileSync(where, 'This is a diary.');
  await assert.rejects(new FileOutbox(where).open(), { code: 'storage' });
  assert.equal(fs.readFileSync(where, 'utf8'), 'This is a diary.');
});

test('file: it does not grow for ever', async () => {
  const where = newPath();
  const outbox = new FileOutbox(where, { fsync: false });
  await outbox.open();
  for (let n = 1; n <= 600; n += 1) {
    const e = entry(n, 'a', n, 'x'.repeat(10_000));
    await outbox.append([e]);
    await outbox.remove([e]);
  }
  assert.ok(fs.statSync(where).size < 2 << 20, `${fs.statSync(where).size} bytes`);
  await outbox.close();
  const again = new FileOutbox(where);
  assert.deepEqual(plain(await again.open()).next, { a: 601 });
  await again.close();
});

test('the checksum is CRC-32', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
});

for (const locks of [true, false]) {
  test(`IndexedDB ${locks ? 'with locks' : 'with leases'}: each page has a producer of its own`,
    async () => {
      const options = { indexedDB: new IDBFactory(), locks: locks ? lockManager() : null,
        leaseMs: 300 };
      const make = () => new IndexedDbOutbox('tabs', options);
      const pages = [make(), make(), make()];
      const states = [];
      for (const page of pages) states.push(await page.open());
      const ids = states.map((s) => s.producer.id);
      assert.equal(new Set(ids).size, 3);
      await pages[1].append([entry(1, 'a', 1)]);
      assert.deepEqual((await pages[0].orphans()).length, locks ? 1 : 0);
      await pages[1].close();
      // What the closed page has left is found, and only one can have it.
      const [orphan] = await pages[0].orphans();
      const left = await orphan.open();
      assert.equal(left.producer.id, ids[1]);
      assert.deepEqual(plain(left).entries, [[1, 'a', 1, undefined, '{"n":1}']]);
      const [twice] = await pages[2].orphans().then((all) => (all.length > 0 ? all : [orphan]));
      if (twice !== orphan) await assert.rejects(twice.open(), { code: 'locked' });
      await orphan.remove(left.entries);
      await orphan.close();
      assert.deepEqual(await pages[0].orphans(), []);
      const again = make();
      assert.equal((await again.open()).producer.id, ids[1], 'the first free slot');
      for (const page of [pages[0], pages[2], again]) await page.close();
    });
}

test('IndexedDB: a page that was frozen past its lease cannot write any more', async () => {
  const options = { indexedDB: new IDBFactory(), locks: null, leaseMs: 100 };
  const frozen = new IndexedDbOutbox('frozen', options);
  const before = await frozen.open();
  await frozen.append([entry(1, 'a', 1)]);
  const real = Date.now;
  Date.now = () => real() + 10_000;
  const other = new IndexedDbOutbox('frozen', options);
  const state = await other.open();
  Date.now = real;
  assert.equal(state.producer.id, before.producer.id);
  await assert.rejects(frozen.append([entry(2, 'a', 2)]), { code: 'locked' });
  await other.append([entry(2, 'a', 2, '"mine"')]);
  await frozen.close();
  await other.close();
  const last = new IndexedDbOutbox('frozen', options);
  await sleep(120);
  assert.deepEqual(plain(await last.open()).entries.map((e) => e[4]), ['{"n":1}', '"mine"']);
  await last.close();
});

test('one operation at a time, and what came meanwhile goes together', async () => {
  const calls = [];
  let go;
  const slow = (name) => (x) => {
    calls.push(`${name} ${(Array.isArray(x) ? x : x.entries).length}`);
    return new Promise((resolve) => (go = resolve));
  };
  const told = [];
  const keeper = new Keeper({ append: slow('append'), remove: slow('remove'),
    rewrite: slow('rewrite') }, {
    stored: (e) => told.push(`stored ${e.length}`),
    rewritten: (e) => told.push(`rewritten ${e.length}`), failed: (e) => told.push(e.code) });
  keeper.append(entry(1, 'a', 1));
  for (const n of [2, 3, 4]) keeper.append(entry(n, 'a', n));
  keeper.remove(entry(1, 'a', 1));
  assert.deepEqual(calls, ['append 1']);
  go();
  await sleep(1);
  assert.deepEqual([calls, told], [['append 1', 'append 3'], ['stored 1']]);
  keeper.append(entry(5, 'a', 5));
  keeper.rewrite({ entries: [entry(5, 'a', 1)] });
  go();
  await sleep(1);
  assert.deepEqual(calls, ['append 1', 'append 3', 'rewrite 1'], 'it replaces what waited');
  go();
  await sleep(1);
  assert.deepEqual(told, ['stored 1', 'stored 3', 'rewritten 1']);
});

test('an outbox that fails ends publishing with `storage`', async () => {
  const told = [];
  const keeper = new Keeper({ append: () => Promise.reject(new Error('disk full')) },
    { stored: () => told.push('stored'), failed: (e) => told.push(e.code, e.message) });
  keeper.append(entry(1, 'a', 1));
  keeper.append(entry(2, 'a', 2));
  await sleep(1);
  assert.deepEqual(told, ['storage', 'the outbox: disk full']);
});

test('positions in files, of channels with any name', () => {
  const positions = new FilePositions(path.join(dir, 'positions'));
  for (const channel of ['a', 'a/../b', 'ü😀', 'x'.repeat(255)]) {
    assert.equal(positions.load(channel), undefined);
    positions.save(channel, { epoch: 'e', seq: channel.length });
    assert.deepEqual(positions.load(channel), { epoch: 'e', seq: channel.length });
  }
});
