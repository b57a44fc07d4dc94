// The vectors of test/vectors/client.json: what any client does with what a server sends.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';

import { JsonCodec } from '../dist/codec_json.js';
import { SeriatimError } from '../dist/errors.js';
import { Entry, Publisher } from '../dist/publisher.js';
import { Attachment, Receiver } from '../dist/receiver.js';

const vectors = JSON.parse(fs.readFileSync(
  new URL('../../../test/vectors/client.json', import.meta.url)));

/** Puts a frame, as text, through the codec into the receive window. */
function feed(receiver, at, frame) {
  new JsonCodec().decode(JSON.stringify(frame), {
    message: (m) => receiver.message(at, m),
    published: () => assert.fail('no publish here'),
    reply: (r) => receiver[r.type](...(r.type === 'history' ? [r] : [at, r])),
  });
}

function handle(receiver) {
  const items = [];
  for (let item = receiver.take(); item !== undefined; item = receiver.take()) {
    receiver.done(item);
    items.push(item.reason === undefined ? item.seq
      : { reason: item.reason, from: item.from, to: item.to });
  }
  return items;
}

for (const { name, window, on_gap: onGap, steps } of vectors.receive) {
  test(`receive: ${name}`, () => {
    const receiver = new Receiver('a', { from: 'earliest', window, stopAtGap: onGap === 'error' });
    let at = new Attachment();
    for (const step of steps) {
      if (step.frame !== undefined) feed(receiver, at, step.frame);
      if (step.handler !== undefined) assert.deepEqual(handle(receiver), step.handler);
      if (step.missing !== undefined) assert.deepEqual(receiver.missing() ?? null, step.missing);
      if (step.position !== undefined) assert.deepEqual(receiver.position, step.position);
      if (step.error !== undefined) assert.equal(receiver.error.code, step.error);
      if (step.reconnect !== undefined) {
        assert.deepEqual(receiver.from, step.reconnect.from);
        at = new Attachment();
      }
    }
  });
}

class Wire {
  sent = [];
  now = 0;
  #ids = 0;

  constructor() {
    this.publisher = new Publisher(this, { messages: 100, bytes: 1e6 },
      { producer: { id: 'p', epoch: 1 }, next: new Map(), entries: [] });
    this.reconnect();
  }

  reconnect() {
    this.publisher.use(undefined, this.now);
    this.byNumber = new Map();
    const publish = (id, channel, number) => {
      this.sent.push(number);
      this.byNumber.set(number, id);
    };
    this.link = { limits: {}, takeId: () => this.#ids += 1, probe() {}, publish };
    this.publisher.use(this.link, this.now);
  }

  publish(count) {
    for (let i = 0; i < count; i += 1) {
      const entry = new Entry('a', undefined, '1', undefined, undefined);
      this.publisher.take(entry, this.now);
      this.publisher.stored([entry]);
    }
    this.publisher.pump(this.now);
  }

  step(step) {
    const id = this.byNumber.get(step.published ?? step.duplicate ?? step.error);
    if (step.publish !== undefined) this.publish(step.publish);
    if (step.published !== undefined || step.duplicate !== undefined) {
      this.publisher.published(this.link, { type: 'published', id, seq: 1, epoch: 'e',
        duplicate: step.duplicate !== undefined }, this.now);
    }
    if (step.error !== undefined) {
      assert.ok(this.publisher.refused(this.link, { ...step, type: 'error', id }, this.now));
    }
    if (step.reconnect) this.reconnect();
    if (step.wait !== undefined) {
      this.now += step.wait;
      this.publisher.tick(this.now);
    }
    if (step.sent !== undefined) assert.deepEqual(this.sent.splice(0), step.sent);
    if (step.pending !== undefined) {
      assert.deepEqual([...this.publisher.pending()].map((e) => e.number), step.pending);
    }
    if (step.epoch !== undefined) assert.equal(this.publisher.producer.epoch, step.epoch);
    if (step.failed !== undefined) assert.equal(this.error.code, step.failed);
  }

  random() {
    return 0.99;
  }

  rewrite(state) {
    queueMicrotask(() => this.publisher.rewritten(state.entries, this.now));
  }

  failed(error) {
    assert.ok(error instanceof SeriatimError);
    this.error = error;
  }

  remove() {}

  told() {}

  drained() {}

  renumbered() {}
}

for (const { name, steps } of vectors.publish) {
  test(`publish: ${name}`, async () => {
    const wire = new Wire();
    for (const step of steps) {
      wire.step(step);
      await null; // the outbox answers
    }
  });
}
