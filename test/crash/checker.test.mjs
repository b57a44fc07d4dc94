// The judge of the crash test, judged: a history that is right passes, and each planted violation
// is found by the check that is named after it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { account, CHECKS, History, judge, observation, PLANTS } from './checker.mjs';

/** Two channels, two producers, three observers, everything acknowledged, one retry. */
function goodHistory() {
  const history = new History();
  let id = 1000;
  for (const channel of ['a', 'b']) {
    const messages = [];
    for (let seq = 1; seq <= 40; seq += 1) {
      const producer = `p${seq % 2}`;
      const producer_seq = Math.ceil(seq / 2);
      const message_id = String((id += 1));
      messages.push(observation({ seq, message_id, time: seq, producer, producer_seq, data: seq }));
      history.sent.set(`${channel}|${producer}|${producer_seq}`, 1);
      history.acked.push({ channel, producer, n: producer_seq, seq, message_id, epoch: 'e' });
    }
    history.sent.set(`${channel}|p0|3`, 2);
    history.acked.push({ channel, producer: 'p0', n: 3, seq: 6, epoch: 'e', duplicate: true });
    for (const [observer, start] of [['s0', 1], ['s1', 1], ['s2', 17]]) {
      history.streams.push({ observer, channel, epoch: 'e', start,
        messages: messages.slice(start - 1) });
    }
    for (const way of ['history', 'reverse', 'http']) {
      history.finals.push({ way, channel, epoch: 'e', earliest: 1, latest: 40,
        messages: [...messages] });
    }
  }
  return history;
}

test('a history that is right passes every check', () => {
  const result = judge(goodHistory());
  assert.equal(result.failed, 0, result.lines.join('\n'));
  assert.equal(result.passed, Object.keys(CHECKS).length);
});

test('the account of a history that is right has no loss', () => {
  const numbers = account(goodHistory());
  assert.equal(numbers.sent, 80);
  assert.equal(numbers.attempts, 82);
  assert.equal(numbers.acked, 80);
  assert.deepEqual(
    [numbers.indeterminate, numbers.lost, numbers.duplicated, numbers['out of order']],
    [0, 0, 0, 0]);
});

for (const [name, [plant, check]] of Object.entries(PLANTS)) {
  test(`a planted ${name} is found by ${check}`, () => {
    const history = goodHistory();
    plant(history);
    const { failedNames } = judge(history);
    assert.ok(failedNames.some((n) => n.startsWith(check)), `failed were: ${failedNames}`);
  });
}

test('every check has a plant that it finds', () => {
  const planted = Object.values(PLANTS).map(([, check]) => check);
  for (const name of Object.keys(CHECKS)) {
    assert.ok(planted.some((check) => name.startsWith(check)), name);
  }
});

test('a clone can be bent without bending its origin', () => {
  const history = goodHistory();
  for (const [plant] of Object.values(PLANTS)) plant(history.clone());
  assert.equal(judge(history).failed, 0);
});
