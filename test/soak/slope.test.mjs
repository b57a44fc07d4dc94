// The soak test's judgement, judged: series with and without a planted leak.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { random } from '../crash/load.mjs';
import { flatness, median, slope, steady } from './slope.mjs';

const MIB = 2 ** 20;
const RULE = { perHour: MIB, least: MIB / 4 };

/** An hour of samples, one a second. */
function hour(y, seconds = 3600) {
  const dice = random(7);
  return Array.from({ length: seconds }, (_, s) => ({ x: s / 3600, y: y(s / 3600, dice()) }));
}

test('the median of an even count lies between the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([9, 1, 5]), 5);
});

test('the slope of a line is its slope, whatever one outlier does', () => {
  const points = Array.from({ length: 20 }, (_, x) => ({ x, y: 3 * x + 1 }));
  points[10].y = 1e6;
  assert.ok(Math.abs(slope(points) - 3) < 1e-9);
});

test('noise around one level is flat', () => {
  assert.ok(flatness(hour((_, dice) => 30 * MIB + dice * 2 * MIB), RULE).good);
});

test('peaks that go away are flat', () => {
  const points = hour((x, dice) => 30 * MIB + (dice < 0.1 ? 40 * MIB : 0));
  assert.ok(flatness(points, RULE).good);
});

test('a leak of 3 MiB an hour is found in noise of 1 MiB', () => {
  const found = flatness(hour((x, dice) => 30 * MIB + x * 3 * MIB + dice * MIB), RULE);
  assert.ok(!found.good, JSON.stringify(found));
  assert.ok(Math.abs(found.perHour - 3 * MIB) < MIB / 2);
});

test('a leak of 100 MiB an hour is found within two minutes', () => {
  const points = hour((x, dice) => 30 * MIB + x * 100 * MIB + dice * MIB / 2, 120);
  assert.ok(!flatness(points, RULE).good);
});

test('steps that stay are found', () => {
  const points = hour((x) => 30 * MIB + Math.floor(x * 6) * MIB);
  assert.ok(!flatness(points, RULE).good);
});

test('one descriptor that is lost every minute is found', () => {
  const points = hour((x, dice) => 40 + Math.floor(x * 60) + Math.floor(dice * 8));
  assert.ok(!flatness(points, { perHour: 0, least: 2 }).good);
});

test('too few samples are not flat: nothing is known', () => {
  assert.ok(!flatness(hour(() => 1, 5), RULE).good);
  assert.ok(!steady(hour(() => 1, 5), { factor: 2, least: 1 }).good);
});

test('a latency that triples is not steady, one that trembles is', () => {
  const rule = { factor: 2, least: 5 };
  assert.ok(!steady(hour((x) => 10 + 30 * x), rule).good);
  assert.ok(steady(hour((x, dice) => 10 + 5 * dice), rule).good);
});
