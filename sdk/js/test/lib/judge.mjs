// Judges what handlers got: nothing lost, nothing repeated, nothing out of order.

import assert from 'node:assert/strict';

/** What one handler got of a channel: dense from `first`, one history. */
export class Seen {
  constructor(name) {
    this.name = name;
    this.messages = [];
  }

  take(m) {
    const last = this.messages[this.messages.length - 1];
    if (last !== undefined) {
      assert.equal(m.seq, last.seq + 1, `${this.name}: ${m.seq} behind ${last.seq}`);
    }
    this.messages.push({ seq: m.seq, id: m.id, data: m.data });
  }
}

/** `sent`: what each writer has published, as the last number of {w, n} with n = 1, 2, 3 … */
export function assertComplete(seen, sent) {
  const next = new Map();
  for (const { data: { w, n }, seq } of seen.messages) {
    assert.equal(n, next.get(w) ?? 1, `${seen.name}: seq ${seq} has number ${n} of ${w}`);
    next.set(w, n + 1);
  }
  for (const [w, count] of sent) {
    assert.equal((next.get(w) ?? 1) - 1, count, `${seen.name}: messages of ${w}`);
  }
}

export async function untilAsync(condition, what = 'end', ms = 20_000, everyMs = 10) {
  const end = Date.now() + ms;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`no ${what} within ${ms} ms`);
    await new Promise((r) => setTimeout(r, everyMs));
  }
}

export const until = (condition, what, ms) =>
  untilAsync(() => Promise.resolve(condition()), what, ms);
