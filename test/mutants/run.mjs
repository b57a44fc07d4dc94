#!/usr/bin/env node
// Plants bugs, one at a time, and tells what catches each: who checks the checkers.
//
// The tree is copied into a folder of its own and built there once. For each mutant of mutants.mjs
// the copy is changed, built again, and its catchers are tried in their order until one finds
// something: mostly the simulator first, seed after seed from 1. Two mutants are tried always and
// first, to check this program itself: the canary, which the simulator must catch at once, and one
// that changes nothing, which nothing may catch.
//
// Ends with a table and `checks: N passed, N failed`; status 1 if one escapes, hangs its catcher,
// or cannot be planted or built.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { parseCatcher, tryCatcher } from './catchers.mjs';
import { canary, equivalent, mutants } from './mutants.mjs';
import { root, Tree } from './tree.mjs';

const usage = `usage: test/mutants/run.mjs [options] [NAME …]
  NAME …           these mutants only
  --rotate N       N of them, others with every commit
  --seeds N        seeds of the simulator for each (2000)
  --jobs N         so many copies of the tree, side by side (1)
  --committed      plant in what is committed, not in the files as they lie there
  --scratch DIR    where the copies are made and kept; else a folder that goes at the end
  --markdown FILE  the table, for docs/TESTING.md
  --list           what there is`;

const CANARY_SEEDS = 3;
const SAID_MAX = 100;

function options() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: {
      rotate: { type: 'string', default: '0' },
      seeds: { type: 'string', default: '2000' },
      jobs: { type: 'string', default: '1' },
      committed: { type: 'boolean', default: false },
      scratch: { type: 'string' },
      markdown: { type: 'string' },
      list: { type: 'boolean', default: false },
    } });
    const numbers = [values.rotate, values.seeds, values.jobs].map(Number);
    if (numbers.some((n) => !Number.isInteger(n) || n < 0) || numbers[1] < 1 || numbers[2] < 1) {
      throw new Error('a number is wanted');
    }
    const unknown = positionals.filter((name) => !mutants.some((m) => m.name === name));
    if (unknown.length > 0) throw new Error(`no mutant ${unknown.join(', ')}`);
    const [rotate, seeds, jobs] = numbers;
    return { ...values, rotate, seeds, jobs, names: positionals };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}\n`);
    process.exit(2);
  }
}

/** A number that changes with each commit; where there is none, with each day. */
function turn() {
  try {
    const head = execFileSync('git', ['-C', root, 'rev-parse', 'HEAD'], { stdio: 'pipe' });
    return Number.parseInt(head.toString().slice(0, 8), 16);
  } catch {
    return Math.floor(Date.now() / 86_400_000);
  }
}

export function choose(all, { names, rotate }, number) {
  if (names.length > 0) return all.filter((mutant) => names.includes(mutant.name));
  if (rotate === 0 || rotate >= all.length) return all;
  return Array.from({ length: rotate }, (_, i) => all[(number + i) % all.length]);
}

/** Tries a mutant's catchers in order. */
async function attempt(tree, mutant, seeds) {
  const began = Date.now();
  let last = { outcome: 'escaped' };
  const tried = [];
  try {
    await tree.with(mutant, async () => {
      for (const by of mutant.by) {
        last = { by, ...await tryCatcher(tree, by, { seeds: mutant.seeds ?? seeds }) };
        tried.push(`${by}: ${last.outcome}`);
        if (last.outcome === 'caught' || last.outcome === 'broken') return;
      }
    });
  } catch (error) {
    last = { outcome: 'broken', said: error.message };
  }
  return { mutant, ...last, tried, seconds: (Date.now() - began) / 1000 };
}

/** A catcher's name without the pattern of an end-to-end test. */
const shortly = (by) => (by.startsWith('e2e:') ? by.split('/')[0] : by);

function line(result) {
  const { mutant, outcome, by, said = '', seeds, seconds } = result;
  const where = outcome === 'caught' ? shortly(by) : outcome.toUpperCase();
  const after = by === 'sim' && seeds !== undefined ? `seed ${seeds}` : '';
  return `${mutant.name.padEnd(44)} ${mutant.breaks.padEnd(12)} ${where.padEnd(22)} `
    + `${after.padEnd(10)} ${seconds.toFixed(0).padStart(4)} s  ${said.slice(0, SAID_MAX)}`;
}

function markdown(results) {
  const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = results.map(({ mutant, outcome, by, seeds, said = '' }) => {
    const caught = outcome !== 'caught' ? `**${outcome}**`
      : by === 'sim' ? `simulator, seed ${seeds}` : `\`${shortly(by)}\``;
    return `| ${cell(mutant.what)} | ${cell(mutant.breaks)} | ${caught} | `
      + `${cell(said.slice(0, SAID_MAX))} |`;
  });
  return ['| planted bug | breaks | caught by | what it said |', '|---|---|---|---|', ...rows, '']
    .join('\n');
}

/** Whether this program can tell a bug from none. With all the seeds: what the tree itself shows
 * would be taken for the work of each mutant. */
async function selfCheck(tree, seeds) {
  const first = await attempt(tree, canary, CANARY_SEEDS);
  const seen = first.outcome === 'caught' && first.by === 'sim';
  console.log(seen ? line(first)
    : `the canary was not seen: ${first.outcome} ${first.said ?? ''}`);
  const second = await attempt(tree, equivalent, seeds);
  const quiet = second.outcome === 'escaped';
  console.log(quiet ? `${equivalent.name.padEnd(44)} nothing is said of it, as it should be`
    : `what changes nothing was taken for a bug: ${second.outcome} ${second.said ?? ''}`);
  return [seen, quiet];
}

async function main(opts) {
  os.setPriority(10);
  const chosen = choose(mutants, opts, turn());
  [canary, equivalent, ...chosen].forEach((mutant) => mutant.by.forEach(parseCatcher));
  const scratch = opts.scratch === undefined
    ? fs.mkdtempSync(path.join(os.tmpdir(), 'seriatim-mutants-')) : path.resolve(opts.scratch);
  if (opts.scratch === undefined) {
    process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));
  }
  const count = Math.min(opts.jobs, chosen.length);
  const jobs = Math.max(1, Math.floor(os.cpus().length / count));
  const trees = Array.from({ length: count }, (_, i) =>
    new Tree(path.join(scratch, `tree-${i}`), jobs));
  for (const tree of trees) tree.fill(opts.committed);

  const checks = await selfCheck(trees[0], opts.seeds);
  if (checks.includes(false)) {
    console.log('nothing can be said of the others');
    const good = checks.filter(Boolean).length;
    console.log(`checks: ${good} passed, ${checks.length - good} failed`);
    return 1;
  }
  const results = [];
  let next = 0;
  await Promise.all(trees.map(async (tree) => {
    while (next < chosen.length) {
      const at = next;
      next += 1;
      results[at] = await attempt(tree, chosen[at], opts.seeds);
      console.log(line(results[at]));
    }
  }));

  const bad = results.filter((result) => result.outcome !== 'caught');
  for (const { mutant, outcome, tried, said = '' } of bad) {
    console.log(`\n${mutant.name}: ${outcome}. ${mutant.what}\n  ${tried.join('; ')}\n${said}`);
  }
  if (opts.markdown !== undefined) fs.writeFileSync(opts.markdown, markdown(results));
  const bySim = results.filter((r) => r.outcome === 'caught' && r.by === 'sim').length;
  console.log(`\n${results.length - bad.length} of ${results.length} planted bugs caught,`
    + ` ${bySim} of them by the simulator`);
  const failed = bad.length;
  console.log(`checks: ${results.length + checks.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

const started = process.argv[1] === undefined ? '' : fs.realpathSync(process.argv[1]);
if (started === fileURLToPath(import.meta.url)) {
  const opts = options();
  if (opts.list) {
    for (const { name, breaks, what, by } of mutants) {
      console.log(`${name.padEnd(44)} ${breaks.padEnd(12)} ${by.join(', ')}\n    ${what}`);
    }
  } else {
    process.exit(await main(opts));
  }
}
