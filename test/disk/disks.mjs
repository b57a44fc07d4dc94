// Disks that tests may break: forgetfs over FUSE, file systems in a file on a loop device, a small
// tmpfs. All of them are mounted in the test's own namespace of mounts (test/lib/own.mjs).

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { binary, temporaryDir } from '../e2e/lib/server.mjs';

const tools = path.join(path.dirname(binary), 'test', 'disk');

/** Runs a program to its end: {good, text}. */
export function run(program, ...args) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  const text = error?.message ?? `${stdout}${stderr}`.trim();
  return { good: status === 0, text: text.split('\n')[0] };
}

function mustRun(program, ...args) {
  const { good, text } = run(program, ...args);
  if (!good) throw new Error(`${program} ${args.join(' ')}: ${text}`);
}

/** Forgets what was not synced, fails on demand: see forgetfs.c. */
export class ForgetFs {
  /** Why it can't be had here, or null. */
  static missing() {
    if (!fs.existsSync('/dev/fuse')) return 'there is no /dev/fuse';
    if (!fs.existsSync(path.join(tools, 'forgetfs'))) return 'it was built without libfuse 3';
    return null;
  }

  static async start() {
    const disk = new ForgetFs();
    disk.dir = temporaryDir('seriatim-forget-');
    disk.child = spawn(path.join(tools, 'forgetfs'), [disk.dir], { stdio: 'inherit' });
    const control = path.join(disk.dir, '.control');
    for (let waited = 0; !fs.existsSync(control); waited += 10) {
      if (waited > 5000 || disk.child.exitCode !== null) return null;
      await sleep(10);
    }
    disk.control = control;
    disk.forgets = 0;
    return disk;
  }

  command(text) {
    fs.writeFileSync(this.control, text);
  }

  stats() {
    return JSON.parse(fs.readFileSync(this.control, 'utf8'));
  }

  async stop() {
    run('umount', this.dir);
    this.child.kill('SIGTERM');
    if (this.child.exitCode === null) await once(this.child, 'close');
  }
}

/** ext4 or xfs in a file. */
export class LoopDisk {
  /** [disk, null], or [null, why not]. */
  static make(kind, bytes) {
    const disk = new LoopDisk();
    disk.dir = temporaryDir(`seriatim-${kind}-`);
    disk.image = path.join(temporaryDir('seriatim-image-'), 'image');
    fs.writeFileSync(disk.image, '');
    fs.truncateSync(disk.image, bytes);
    const quick = kind === 'ext4' ? ['-q', '-F'] : ['-q', '-f'];
    const made = run(`mkfs.${kind}`, ...quick, disk.image);
    if (!made.good) return [null, `mkfs.${kind}: ${made.text}`];
    const mounted = run('mount', '-o', 'loop', disk.image, disk.dir);
    return mounted.good ? [disk, null] : [null, `mount: ${mounted.text}`];
  }

  /** A power cut, as far as the file system is concerned. */
  shutdown() {
    mustRun(path.join(tools, 'fs_shutdown'), this.dir);
  }

  /** What the machine does when it has come back. */
  async remount() {
    await this.unmount();
    mustRun('mount', '-o', 'loop', this.image, this.dir);
  }

  /** A killed server's last file may be closed a moment after its end. */
  async unmount() {
    for (let tries = 0; tries < 50 && !run('umount', this.dir).good; tries += 1) await sleep(20);
  }
}

/** A tmpfs of a size. */
export class SmallTmpfs {
  static make(bytes) {
    const disk = new SmallTmpfs();
    disk.dir = temporaryDir('seriatim-tmpfs-');
    const mounted = run('mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', disk.dir);
    return mounted.good ? [disk, null] : [null, `mount: ${mounted.text}`];
  }

  async unmount() {
    run('umount', this.dir);
  }
}
