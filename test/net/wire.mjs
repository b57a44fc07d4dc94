// Two networks and the faulty wire between them (bridge.c): clients stand in the near one, which is
// this program's own, servers in the far one.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { binary } from '../e2e/lib/server.mjs';

const bridge = path.join(path.dirname(binary), 'test', 'net', 'bridge');
export const NEAR = '10.77.0.1';
export const FAR = '10.77.0.2';

export class Wire {
  /** [wire, null], or [null, why there is none]. */
  static async make(seed) {
    if (!fs.existsSync('/dev/net/tun')) return [null, 'there is no /dev/net/tun'];
    const wire = new Wire();
    wire.child = spawn(bridge, [`${seed}`], { stdio: ['pipe', 'pipe', 'inherit'] });
    wire.ended = new Promise((resolve) => wire.child.on('close', resolve));
    wire.child.on('error', () => {}); // told by `ended`
    wire.lines = createInterface({ input: wire.child.stdout });
    const first = await Promise.race([once(wire.lines, 'line'), wire.ended]);
    const ready = /^ready (\d+)$/.exec(Array.isArray(first) ? first[0] : '');
    if (ready === null) return [null, 'the bridge could not make a TUN device and a network'];
    const network = `/proc/${wire.child.pid}/fd/${ready[1]}`;
    wire.far = ['nsenter', `--net=${network}`];
    const why = wire.#address([], NEAR) ?? wire.#address(wire.far, FAR);
    return why === null ? [wire, null] : [null, why];
  }

  #address(under, address) {
    const commands = [['addr', 'add', `${address}/24`, 'dev', 'wire0'],
      ['link', 'set', 'wire0', 'up'], ['link', 'set', 'lo', 'up']];
    for (const command of commands) {
      const [program, ...args] = [...under, 'ip', ...command];
      const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      if (status !== 0) return `${program}: ${error?.message ?? stderr.trim()}`;
    }
    return null;
  }

  /** How the wire is from now on: see bridge.c. Nothing: a good wire. */
  set(text = '') {
    this.child.stdin.write(`${text}\n`);
  }

  async stats() {
    const line = once(this.lines, 'line');
    this.child.stdin.write('stats\n');
    return JSON.parse((await line)[0]);
  }

  async close() {
    this.child.stdin.end();
    await this.ended;
  }
}
