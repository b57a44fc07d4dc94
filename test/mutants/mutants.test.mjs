// The table of planted bugs is true of the source, and its runner can tell what it must.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { parseCatcher, verdictOf } from './catchers.mjs';
import { canary, equivalent, mutants } from './mutants.mjs';
import { choose } from './run.mjs';
import { editsOf, mutate, replaceOnce, root } from './tree.mjs';

const all = [canary, equivalent, ...mutants];

test('each mutant can be planted in the source as it is', () => {
  for (const mutant of all) {
    assert.ok(mutate(root, mutant).size > 0, mutant.name);
  }
});

test('each mutant says what it is, what it breaks and what is to catch it', () => {
  for (const { name, breaks, what, by } of mutants) {
    assert.match(name, /^[a-z][a-z-]+$/);
    assert.match(breaks, /^[IP]\d+( [IP]\d+)*$/, name);
    assert.ok(what.length > 20 && !what.endsWith('.'), name);
    assert.ok(by.length > 0, name);
    by.forEach(parseCatcher);
  }
});

test('no two mutants have one name, or one place and text', () => {
  const names = new Set(all.map((mutant) => mutant.name));
  assert.equal(names.size, all.length);
  const texts = new Set(all.map((mutant) => JSON.stringify(editsOf(mutant))));
  assert.equal(texts.size, all.length);
});

test('only sources of the server are changed, and files that catch are there', () => {
  for (const mutant of all) {
    for (const { file } of editsOf(mutant)) assert.match(file, /^src\/\w+\/\w+\.c$/, mutant.name);
    for (const { kind, what } of mutant.by.map(parseCatcher)) {
      const names = {
        test: (x) => `test/unit/${x.replace('/', '/test_')}.c`,
        tsan: (x) => `test/unit/${x.replace('/', '/test_')}.c`,
        e2e: (x) => `test/e2e/${x.split('/')[0]}.test.mjs`,
      };
      if (names[kind] === undefined) continue;
      assert.ok(fs.existsSync(path.join(root, names[kind](what))), `${mutant.name}: ${what}`);
    }
  }
});

test('there are as many as was set out to be planted', () => {
  assert.ok(mutants.length >= 34, `${mutants.length}`);
  assert.ok(mutants.filter((mutant) => mutant.by[0] === 'sim').length >= 24);
});

test('a text that is not there, or there twice, or not changed, is refused', () => {
  assert.equal(replaceOnce('a b c', 'b', '$&'), 'a $& c');
  assert.throws(() => replaceOnce('a b c', 'd', 'x'), /0 places/);
  assert.throws(() => replaceOnce('a b a', 'a', 'x'), /2 places/);
  assert.throws(() => replaceOnce('a b c', 'b', 'b'), /changes nothing/);
});

test('an unknown catcher is refused', () => {
  for (const bad of ['simulator', 'test', 'sim:1', ':x', 'constructor:x']) {
    assert.throws(() => parseCatcher(bad), /no catcher/, bad);
  }
  assert.deepEqual(parseCatcher('test:log/crash'), { kind: 'test', what: 'log/crash' });
});

test('the verdict of the simulator is its own line, and nothing else is one', () => {
  assert.deepEqual(verdictOf('x\nFAILED seed 17: I1 dense: s1: seq 3\nreplay: y\n'),
    { seed: 17, said: 'I1 dense: s1: seq 3' });
  assert.equal(verdictOf('100 seeds: 0 violations, hash 12\n'), null);
  assert.equal(verdictOf('  12.0 server: FAILED seed 1: x\n'), null);
});

test('rotating takes so many, comes round, and leaves none out', () => {
  const seen = new Set();
  for (let turn = 0; turn < mutants.length; turn += 1) {
    const some = choose(mutants, { names: [], rotate: 3 }, turn);
    assert.equal(new Set(some).size, 3);
    some.forEach((mutant) => seen.add(mutant));
  }
  assert.equal(seen.size, mutants.length);
  assert.equal(choose(mutants, { names: [], rotate: 0 }, 5).length, mutants.length);
  assert.deepEqual(choose(mutants, { names: [mutants[4].name], rotate: 3 }, 5), [mutants[4]]);
});
