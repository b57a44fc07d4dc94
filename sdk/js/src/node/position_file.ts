// Positions in a folder, one file a channel, replaced as a whole.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';

import type { Position } from '../message.js';
import type { PositionStore } from '../position.js';

export class FilePositions implements PositionStore {
  private made = false;

  constructor(private readonly folder: string) {}

  /** Any name makes a good file name so. */
  private path(channel: string): string {
    return join(this.folder, `${createHash('sha256').update(channel).digest('hex')}.json`);
  }

  load(channel: string): Position | undefined {
    try {
      const { epoch, seq } = JSON.parse(fs.readFileSync(this.path(channel), 'utf8'));
      return { epoch, seq };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Survives a crash of the process. */
  save(channel: string, position: Position): void {
    if (!this.made) fs.mkdirSync(this.folder, { recursive: true });
    this.made = true;
    const path = this.path(channel);
    fs.writeFileSync(`${path}.new`, JSON.stringify({ channel, ...position }));
    fs.renameSync(`${path}.new`, path);
  }
}
