// What may catch a planted bug. Each catcher builds what it needs and answers
//   {outcome: 'caught', said, seeds?}   it found something, and this is what it said
//   {outcome: 'escaped', seeds?}        it ran to its end and found nothing
//   {outcome: 'hung', said}             it did not end in its time: no verdict
//   {outcome: 'broken', said}           it could not be built or started
// `hung` is no catch: a test that hangs names nothing.
import { command } from './command.mjs';

const CHUNK = 100; // seeds of one process, so that one that hangs is noticed soon
const CHUNK_SECONDS = 240;
const TEST_SECONDS = 300;
const E2E_SECONDS = 180;
const CRASH_SECONDS = 600;

const broken = (text) =>
  ({ outcome: 'broken', said: text.trim().split('\n').slice(-30).join('\n') });

/** The seed and the text of the simulator's verdict; null: it gave none. */
export function verdictOf(text) {
  const found = /^FAILED seed (\d+): (.*)$/m.exec(text);
  return found === null ? null : { seed: Number(found[1]), said: found[2] };
}

async function simChunk(tree, from, runs) {
  const done = await command('./build/seriatim-sim',
    ['--seed', String(from), '--runs', String(runs)], { cwd: tree.dir, seconds: CHUNK_SECONDS });
  const verdict = verdictOf(done.text);
  if (verdict !== null) return { outcome: 'caught', said: verdict.said, seeds: verdict.seed };
  if (done.timedOut) return { outcome: 'hung', said: `seeds ${from} … ${from + runs - 1}` };
  if (done.status === 0 && /\b0 violations\b/.test(done.text)) return { outcome: 'escaped' };
  return { outcome: 'crashed', said: `ended by ${done.signal ?? `status ${done.status}`}`,
    text: done.text };
}

/** The simulator, seed after seed from 1, to the first violation. */
async function sim(tree, _what, { seeds }) {
  const problem = await tree.build('build', ['seriatim-sim']);
  if (problem !== null) return broken(problem);
  for (let from = 1; from <= seeds; from += CHUNK) {
    const runs = Math.min(CHUNK, seeds - from + 1);
    let result = await simChunk(tree, from, runs);
    if (result.outcome === 'crashed') {
      // It died without a word: the seed is found by running them one by one.
      for (let seed = from; seed < from + runs && result.seeds === undefined; seed += 1) {
        const single = await simChunk(tree, seed, 1);
        if (single.outcome !== 'escaped') result = { ...single, seeds: seed };
      }
      if (result.outcome === 'crashed' && result.seeds === undefined) return broken(result.text);
      if (result.outcome === 'crashed') result.outcome = 'caught';
    }
    if (result.outcome !== 'escaped') return result;
  }
  return { outcome: 'escaped', seeds };
}

/** The line that says most of what failed. */
function reason(text) {
  const lines = text.split(/[\n\r]/).map((line) => line.replace(/^.*\[ {3}LINE {3}\] --- /, '')
    .replace('../', '').trim());
  const telling = [/assertion.*failed|assertion:/i, /WARNING: ThreadSanitizer.*/, /^not ok .*/,
    /error: .*/i, /violation/i, /\[ {2}FAILED {2}\] .*/, /FAILED/];
  for (const pattern of telling) {
    const line = lines.find((x) => pattern.test(x));
    if (line !== undefined) return line.slice(0, 160);
  }
  return (lines.filter(Boolean).at(-1) ?? 'no word').slice(0, 160);
}

async function program(tree, folder, name, env) {
  const test = await tree.test(folder, name);
  const problem = await tree.build(folder, [test.target]);
  if (problem !== null) return broken(problem);
  const [path, ...args] = test.command;
  const done = await command(path, args,
    { cwd: tree.dir, env: { ...test.env, ...env }, seconds: TEST_SECONDS });
  if (done.timedOut) return { outcome: 'hung', said: `${name} after ${TEST_SECONDS} s` };
  if (done.status === 0) return { outcome: 'escaped' };
  // cmocka names the case; what failed in it stands before.
  const failed = /^\[ {2}FAILED {2}\] (\w+)$/m.exec(done.text);
  const why = reason(done.text);
  return { outcome: 'caught', said: failed === null ? why : `${failed[1]}: ${why}` };
}

const test = (tree, name) => program(tree, 'build', name, {});
const tsan = (tree, name) =>
  program(tree, 'build-tsan', name, { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' });

/** So that a test that fails with a server left running ends; not every node has them. */
let limits = null;
async function testLimits() {
  if (limits === null) {
    const { text } = await command('node', ['--help']);
    limits = ['--test-force-exit', '--test-timeout=60000']
      .filter((limit) => text.includes(limit.split('=')[0]));
  }
  return limits;
}

/** A file of test/e2e, or what is in it under a name: `bounds` or `bounds/a slow subscriber`. */
async function e2e(tree, what) {
  const [file, ...pattern] = what.split('/');
  const problem = await tree.build('build', ['seriatim', 'ws-echo', 'test/fault_preload.so',
    'test/clock_preload.so']);
  if (problem !== null) return broken(problem);
  const only = pattern.length === 0 ? [] : ['--test-name-pattern', pattern.join('/')];
  const limited = await testLimits();
  const done = await command('node', ['--test', ...limited, '--test-reporter=tap', ...only,
    `test/e2e/${file}.test.mjs`],
  { cwd: tree.dir, env: { E2E_BINARY: tree.path('build', 'seriatim') }, seconds: E2E_SECONDS });
  if (done.timedOut) return { outcome: 'hung', said: `${file} after ${E2E_SECONDS} s` };
  const ran = Number(/^# pass (\d+)$/m.exec(done.text)?.[1] ?? 0);
  const failed = [...done.text.matchAll(/^ *not ok \d+ - (.*)$/gm)].map((m) => m[1])
    .filter((name) => !name.endsWith('.mjs'));
  if (failed.length > 0) return { outcome: 'caught', said: failed[0].slice(0, 160) };
  return done.status === 0 && ran > 0 ? { outcome: 'escaped' } : broken(done.text);
}

/** The crash test with so many kills. */
async function crash(tree, kills) {
  const problem = await tree.build('build', ['seriatim']);
  if (problem !== null) return broken(problem);
  const done = await command('node', ['test/crash/crash.mjs', '--kills', kills],
    { cwd: tree.dir, env: { E2E_BINARY: tree.path('build', 'seriatim') }, seconds: CRASH_SECONDS });
  if (done.timedOut) return { outcome: 'hung', said: `after ${CRASH_SECONDS} s` };
  if (done.status === 0) return { outcome: 'escaped' };
  return { outcome: 'caught', said: reason(done.text) };
}

const catchers = { sim, test, tsan, e2e, crash };

/** `sim`, `test:log/crash`, `tsan:ring/spsc`, `e2e:bounds`, `crash:20` */
export function parseCatcher(text) {
  const at = text.indexOf(':');
  const kind = at < 0 ? text : text.slice(0, at);
  const what = at < 0 ? '' : text.slice(at + 1);
  if (!Object.hasOwn(catchers, kind) || (kind === 'sim') !== (what === '')) {
    throw new Error(`no catcher ${text}`);
  }
  return { kind, what };
}

export async function tryCatcher(tree, text, options) {
  const { kind, what } = parseCatcher(text);
  return catchers[kind](tree, what, options);
}
