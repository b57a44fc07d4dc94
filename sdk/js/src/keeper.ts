// Between publisher and outbox: one operation at a time, and everything that came meanwhile is the
// next one (a group commit). Where the outbox answers at once, so does this.

import { SeriatimError } from './errors.js';
import type { Outbox } from './outbox.js';
import type { Entry, OutboxState, StoredEntry } from './publisher.js';

const REMOVE_AT_ONCE = 256;

export interface KeeperOps {
  stored(entries: readonly Entry[]): void;
  rewritten(entries: readonly StoredEntry[]): void;
  failed(error: SeriatimError): void;
}

export class Keeper {
  #appending: Entry[] = [];
  #removing: StoredEntry[] = [];
  #rewriting: OutboxState | undefined;
  #running = false;
  #error: SeriatimError | undefined;
  #idle: (() => void)[] = [];

  readonly #outbox: Outbox;
  readonly #ops: KeeperOps;

  constructor(outbox: Outbox, ops: KeeperOps) {
    this.#outbox = outbox;
    this.#ops = ops;
  }

  append(entry: Entry): void {
    this.#appending.push(entry);
    this.#run();
  }

  /** Whatever waits to be written is in `state`, with its new number. */
  rewrite(state: OutboxState): void {
    this.#appending = [];
    this.#removing = [];
    this.#rewriting = state;
    this.#run();
  }

  remove(entry: StoredEntry): void {
    this.#removing.push(entry);
    if (this.#removing.length >= REMOVE_AT_ONCE) this.#run();
  }

  /** Carries out what was put off. */
  flush(): Promise<void> {
    this.#run();
    return this.#running ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  #run(): void {
    if (this.#running || this.#error !== undefined) return;
    for (;;) {
      let work: Promise<void> | void;
      let then: () => void;
      try {
        const next = this.#next();
        if (next === undefined) break;
        [work, then] = next;
      } catch (error) {
        this.#fail(error);
        return;
      }
      if (work === undefined) {
        then();
        continue;
      }
      this.#running = true;
      work.then(() => {
        this.#running = false;
        then();
        this.#run();
        this.#rest();
      }, (error) => {
        this.#running = false;
        this.#fail(error);
      });
      return;
    }
    this.#rest();
  }

  #rest(): void {
    if (this.#running) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): [Promise<void> | void, () => void] | undefined {
    const state = this.#rewriting;
    const appending = this.#appending;
    const removing = this.#removing;
    if (state !== undefined) {
      this.#rewriting = undefined;
      return [this.#outbox.rewrite(state), () => this.#ops.rewritten(state.entries)];
    }
    if (appending.length > 0) {
      this.#appending = [];
      return [this.#outbox.append(appending), () => this.#ops.stored(appending)];
    }
    if (removing.length > 0) {
      this.#removing = [];
      return [this.#outbox.remove(removing), () => {}];
    }
    return undefined;
  }

  #fail(error: unknown): void {
    this.#error = error instanceof SeriatimError ? error
      : new SeriatimError('storage', `the outbox: ${(error as Error)?.message}`);
    this.#ops.failed(this.#error);
    this.#rest();
  }
}
