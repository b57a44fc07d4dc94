// A file that names the process that has something. Node has no flock(2): the file is made by
// link(2), which only one can win, and a process that is no more loses it.

import fs from 'node:fs';

import { SeriatimError } from '../errors.js';
import { randomId } from '../outbox.js';

const held = new Set<string>();

/** A process's id is used again; together with when it began (where that can be read) it is not. */
function beganAt(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')')).split(' ')[20] ?? '';
  } catch {
    return '';
  }
}

function isAlive(text: string): boolean {
  const [pid, began, mark] = text.split(' ');
  if (Number(pid) === process.pid) return held.has(mark ?? '');
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const now = beganAt(Number(pid));
  return now === '' || began === '' || now === began;
}

export class FileLock {
  private constructor(private readonly path: string, private readonly mark: string) {}

  static take(path: string): FileLock {
    const mark = randomId();
    const own = `${path}.${mark}`;
    fs.writeFileSync(own, `${process.pid} ${beganAt(process.pid)} ${mark}`);
    try {
      for (let attempt = 0; attempt < 10; attempt += 1) {
        if (FileLock.link(own, path)) {
          held.add(mark);
          return new FileLock(path, mark);
        }
        FileLock.takeAway(path);
      }
      throw new SeriatimError('locked', `${path}: others take it all the time`);
    } finally {
      fs.rmSync(own, { force: true });
    }
  }

  private static link(own: string, path: string): boolean {
    try {
      fs.linkSync(own, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  /** Removes the file of a process that is no more; looks again at what it has moved. */
  private static takeAway(path: string): void {
    const aside = `${path}.${randomId()}`;
    try {
      const text = fs.readFileSync(path, 'utf8');
      if (isAlive(text)) throw new SeriatimError('locked', `${path}: in use by process ${text}`);
      fs.renameSync(path, aside);
      if (isAlive(fs.readFileSync(aside, 'utf8'))) FileLock.link(aside, path);
      fs.rmSync(aside, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  give(): void {
    if (!held.delete(this.mark)) return;
    fs.rmSync(this.path, { force: true });
  }
}
