// Where a subscription goes on after a restart.

import type { Position } from './message.js';

/** Keeps the position of each channel: the first message that has not been handled. */
export interface PositionStore {
  load(channel: string): Promise<Position | undefined> | Position | undefined;
  save(channel: string, position: Position): Promise<void> | void;
}

/** Positions in a page's localStorage (or its like), under names that begin with `prefix`. */
export class StoragePositions implements PositionStore {
  constructor(private readonly prefix: string,
    private readonly storage: Pick<Storage, 'getItem' | 'setItem'> = localStorage) {}

  load(channel: string): Position | undefined {
    const text = this.storage.getItem(this.prefix + channel);
    return text === null ? undefined : JSON.parse(text) as Position;
  }

  save(channel: string, position: Position): void {
    this.storage.setItem(this.prefix + channel, JSON.stringify(position));
  }
}
