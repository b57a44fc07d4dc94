// A test that mounts, makes networks and ends things does it in namespaces of its own: processes,
// mounts and networks go with them, whatever happens to the test, kill -9 included.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

const INSIDE = 'TEST_OWN_NAMESPACES';

/** The options of `unshare` that work here, or null. Root needs none but the namespaces. */
function options() {
  const own = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const ways = process.getuid() === 0 ? [own] : [['--user', '--map-root-user', ...own]];
  return ways.find((way) => spawnSync('unshare', [...way, 'true']).status === 0) ?? null;
}

/** True inside. Outside it runs this program again inside and ends with its status, or says why
 *  that is not possible and ends with 0: skipped. */
export async function inOwnNamespaces(name) {
  if (process.env[INSIDE] === '1') {
    // The first process of a namespace gets no signal that it does not ask for.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
    spawnSync('ip', ['link', 'set', 'lo', 'up']);
    return true;
  }
  const way = options();
  if (way === null) {
    skipAll(name, 'this user may not make namespaces of mounts, networks and processes');
  }
  // What it leaves on the disk is in here.
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'seriatim-own-'));
  // Each link of the chain dies with the one before it, however that one ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...way, process.execPath,
    ...process.argv.slice(1)],
  { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1', TMPDIR: temporary } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill('SIGKILL')); // --kill-child: everything inside goes too
  }
  const code = await new Promise((resolve) => child.on('close', resolve));
  fs.rmSync(temporary, { recursive: true, force: true });
  process.exit(code ?? 1);
}

/** Ends the program: nothing of it can be done here. */
export function skipAll(name, why) {
  console.log(`skipped ${name}: ${why}`);
  console.log('checks: 0 passed, 0 failed, 1 skipped');
  process.exit(0);
}

/** Gathers what was checked, as lines and as numbers. */
export class Checks {
  constructor() {
    this.passed = 0;
    this.failed = 0;
    this.skipped = 0;
  }

  check(sentence, good, detail = '') {
    const more = good || !detail ? '' : `: ${detail}`;
    console.log(`${good ? 'ok    ' : 'FAILED'}  ${sentence}${more}`);
    if (good) this.passed += 1;
    else this.failed += 1;
    return good;
  }

  skip(what, why) {
    console.log(`skipped ${what}: ${why}`);
    this.skipped += 1;
  }

  /** The last line, and the exit status. */
  end() {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : '';
    console.log(`checks: ${this.passed} passed, ${this.failed} failed${skipped}`);
    return this.failed === 0 ? 0 : 1;
  }
}
