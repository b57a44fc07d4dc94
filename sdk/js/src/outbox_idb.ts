// An outbox in IndexedDB: a reload or a crash of the page loses nothing and repeats nothing.
//
// A database has slots, each with a producer of its own, its numbers and its messages. A page takes
// the first slot that nobody has, so two tabs never share a producer. Where there are Web Locks, a
// slot belongs to who holds its lock, which ends with the page; else to who has renewed a lease
// within 10 s. Who has a slot is written into it as well, and looked at in the very transaction
// that writes: a page that was frozen while another took its slot over cannot give out a number
// twice.
//
//   slots    slot                 -> {slot, producer, holder, until}
//   next     [slot, channel]      -> the next number
//   entries  [slot, ord]          -> {slot, ord, channel, number, key, payload}

import { SeriatimError } from './errors.js';
import { type Outbox, randomId } from './outbox.js';
import type { OutboxState, StoredEntry } from './publisher.js';

export interface IndexedDbOptions {
  /** `strict` waits until the disk has it, and so survives a power failure; `relaxed` (default)
   *  survives a crash of the page or the browser. */
  durability?: 'strict' | 'relaxed';
  indexedDB?: IDBFactory;
  /** null: there are none, use leases. */
  locks?: LockManager | null;
  leaseMs?: number;
}

interface Slot {
  slot: number;
  producer: { id: string; epoch: number };
  holder: string;
  until: number;
}

const STORES = ['slots', 'next', 'entries'];
const SLOTS_MAX = 1000;
const RELOAD_MS = 1000;

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const all = (slot: number) => IDBKeyRange.bound([slot], [slot, []]);

export class IndexedDbOutbox implements Outbox {
  #db: IDBDatabase | undefined;
  #slot = -1;
  readonly #holder = randomId();
  #release: (() => void) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Pages that give the same name share the database, each with its own slot. */
  readonly #name: string;
  readonly #options: IndexedDbOptions;
  readonly #only: number | undefined;

  constructor(name = 'seriatim', options: IndexedDbOptions = {},
    only?: number) {
    this.#name = name;
    this.#options = options;
    this.#only = only;
  }

  // ---- opening ------------------------------------------------------------------------------

  async open(): Promise<OutboxState> {
    this.#db = await this.#openDatabase();
    // A page that is reloaded takes its own slot again, for which it waits while the old one ends:
    // so what it publishes stands behind what it had published.
    const own = this.#only ?? this.#tab?.getItem(this.#key);
    if (own != null && await this.#take(Number(own), this.#only === undefined)) return this.#load();
    for (let slot = 0; slot < SLOTS_MAX && this.#only === undefined; slot += 1) {
      if (await this.#take(slot, false)) return this.#load();
    }
    this.#db.close();
    throw new SeriatimError('locked', 'another page has it');
  }

  /** What only this tab has. */
  get #tab(): Storage | undefined {
    try {
      return globalThis.sessionStorage;
    } catch {
      return undefined; // storage is blocked
    }
  }

  get #key(): string {
    return `seriatim:${this.#name}`;
  }

  #openDatabase(): Promise<IDBDatabase> {
    const request = (this.#options.indexedDB ?? indexedDB).open(this.#key, 1);
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore('slots', { keyPath: 'slot' });
      db.createObjectStore('next');
      db.createObjectStore('entries', { keyPath: ['slot', 'ord'] });
    };
    return result(request);
  }

  get #locks(): LockManager | null {
    const { locks } = this.#options;
    return locks === undefined ? globalThis.navigator?.locks ?? null : locks;
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? 10_000;
  }

  /** True: the slot is ours until close(). */
  async #take(slot: number, patient: boolean): Promise<boolean> {
    if (this.#locks !== null && !await this.#lock(slot, patient)) return false;
    if (await this.#enter(slot)) {
      this.#slot = slot;
      if (this.#only === undefined) this.#tab?.setItem(this.#key, String(slot));
      return true;
    }
    this.#release?.();
    return false;
  }

  #lock(slot: number, patient: boolean): Promise<boolean> {
    const options = patient ? { signal: AbortSignal.timeout(RELOAD_MS) } : { ifAvailable: true };
    return new Promise((resolve) => {
      this.#locks!.request(`${this.#key}:${slot}`, options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise<void>((free) => (this.#release = free));
      }).catch(() => resolve(false));
    });
  }

  /** Writes us into the slot; false: another one's lease is good. */
  async #enter(slot: number): Promise<boolean> {
    const tx = this.#transaction();
    const slots = tx.objectStore('slots');
    const found = await result(slots.get(slot)) as Slot | undefined;
    const free = this.#locks !== null || found === undefined || found.until < Date.now();
    if (free) {
      slots.put({ slot, producer: found?.producer ?? { id: randomId(), epoch: 1 },
        holder: this.#holder, until: Date.now() + this.#leaseMs });
    }
    await this.#end(tx);
    if (free && this.#locks === null) {
      this.#timer = setInterval(() => void this.#renew().catch(() => {}), this.#leaseMs / 4);
    }
    return free;
  }

  async #renew(): Promise<void> {
    await this.#write((tx, slot) => {
      slot.until = Date.now() + this.#leaseMs;
      tx.objectStore('slots').put(slot);
    });
  }

  async #load(): Promise<OutboxState> {
    const tx = this.#db!.transaction(STORES);
    const slot = await result(tx.objectStore('slots').get(this.#slot)) as Slot;
    const keys = await result(tx.objectStore('next').getAllKeys(all(this.#slot)));
    const numbers = await result(tx.objectStore('next').getAll(all(this.#slot)));
    const entries = await result(tx.objectStore('entries').getAll(all(this.#slot)));
    return { producer: slot.producer, entries: entries as StoredEntry[],
      next: new Map(keys.map((key, i) => [(key as [number, string])[1], numbers[i] as number])) };
  }

  // ---- writing ------------------------------------------------------------------------------

  #transaction(): IDBTransaction {
    return this.#db!.transaction(STORES, 'readwrite',
      { durability: this.#options.durability ?? 'relaxed' });
  }

  #end(tx: IDBTransaction): Promise<void> {
    return new Promise((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(new SeriatimError('storage',
        `the outbox cannot be written: ${tx.error?.message}`));
    });
  }

  /** A transaction that is ours: it ends without a trace where another has the slot. */
  async #write(change: (tx: IDBTransaction, slot: Slot) => void): Promise<void> {
    const tx = this.#transaction();
    const ended = this.#end(tx);
    let lost = false;
    const request = tx.objectStore('slots').get(this.#slot) as IDBRequest<Slot>;
    request.onsuccess = () => {
      lost = request.result?.holder !== this.#holder;
      if (lost) tx.abort();
      else change(tx, request.result);
    };
    await ended.catch((error: Error) => {
      throw lost ? new SeriatimError('locked', 'another page has it') : error;
    });
  }

  #put(tx: IDBTransaction, e: StoredEntry): void {
    const { ord, channel, number, key, payload } = e;
    tx.objectStore('entries').put({ slot: this.#slot, ord, channel, number, key, payload });
  }

  append(entries: readonly StoredEntry[]): Promise<void> {
    return this.#write((tx) => {
      const next = new Map<string, number>();
      for (const e of entries) {
        this.#put(tx, e);
        next.set(e.channel, e.number + 1);
      }
      for (const [channel, n] of next) tx.objectStore('next').put(n, [this.#slot, channel]);
    });
  }

  remove(entries: readonly StoredEntry[]): Promise<void> {
    return this.#write((tx) => {
      for (const e of entries) tx.objectStore('entries').delete([this.#slot, e.ord]);
    });
  }

  rewrite(state: OutboxState): Promise<void> {
    return this.#write((tx, slot) => {
      slot.producer = state.producer;
      tx.objectStore('slots').put(slot);
      tx.objectStore('next').delete(all(this.#slot));
      tx.objectStore('entries').delete(all(this.#slot));
      for (const [channel, n] of state.next) tx.objectStore('next').put(n, [this.#slot, channel]);
      for (const e of state.entries) this.#put(tx, e);
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#db === undefined) return;
    if (this.#slot >= 0 && this.#locks === null) {
      await this.#write((tx, slot) => {
        slot.until = 0;
        tx.objectStore('slots').put(slot);
      }).catch(() => {});
    }
    this.#db.close();
    this.#release?.();
  }

  // ---- what others have left ----------------------------------------------------------------

  async orphans(): Promise<Outbox[]> {
    if (this.#only !== undefined) return [];
    const tx = this.#db!.transaction(STORES);
    const slots = await result(tx.objectStore('slots').getAll()) as Slot[];
    const found: Outbox[] = [];
    for (const { slot, until } of slots) {
      const count = await result(tx.objectStore('entries').count(all(slot)));
      const free = this.#locks !== null || until < Date.now();
      if (slot !== this.#slot && count > 0 && free) {
        found.push(new IndexedDbOutbox(this.#name, this.#options, slot));
      }
    }
    return found; // who opens one finds out whether somebody has it
  }
}
