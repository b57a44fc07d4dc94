// Where messages are kept until they are acknowledged.

import type { OutboxState, StoredEntry } from './publisher.js';

/** Calls come one at a time, each after the one before has ended, but for close(). */
export interface Outbox {
  /** Takes possession, and gives what is kept. Fails with `locked` where another has it. */
  open(): Promise<OutboxState>;
  /** Resolves when the entries are as safe as this outbox makes them; keeps all or none. */
  append(entries: readonly StoredEntry[]): Promise<void> | void;
  /** These are acknowledged. What is not carried out is harmless: they are sent again. */
  remove(entries: readonly StoredEntry[]): Promise<void> | void;
  /** In place of everything that is kept, all or nothing. */
  rewrite(state: OutboxState): Promise<void> | void;
  close(): Promise<void> | void;
  /** Outboxes that nobody has any more and that still hold messages. */
  orphans?(): Promise<Outbox[]>;
}

/** 128 bits that nobody else has. */
export function randomId(): string {
  // Node 18 has no global crypto; unique is enough, it is no secret.
  const words = globalThis.crypto?.getRandomValues(new Uint32Array(4)) ??
    [1, 2, 3, 4].map(() => Math.random() * 2 ** 32);
  return Array.from(words, (w) => Math.floor(w).toString(16).padStart(8, '0')).join('');
}

/** Keeps nothing through a restart: a new producer each time, or a higher epoch of a named one. */
export class MemoryOutbox implements Outbox {
  constructor(private readonly producer?: { id: string; epoch?: number }) {}

  open(): Promise<OutboxState> {
    const producer = this.producer === undefined ? { id: randomId(), epoch: 1 }
      : { id: this.producer.id, epoch: this.producer.epoch ?? Date.now() };
    return Promise.resolve({ producer, next: new Map(), entries: [] });
  }

  append(): void {}

  remove(): void {}

  rewrite(): void {}

  close(): void {}
}
