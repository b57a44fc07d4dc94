// Judges a recorded history: what was sent, what was acknowledged, what each observer saw.
//
// It knows the protocol page only. Each check is named after the invariant that it proves
// (I1 dense … I6 producer FIFO) and gives its violations as sentences; none means it held.

import { createHash } from 'node:crypto';

/** Everything that happened, from outside. Keys are text, so that a clone is cheap. */
export class History {
  constructor() {
    this.sent = new Map(); // "channel|producer|n" -> how often it was sent
    this.acked = []; // {channel, producer, n, seq, message_id, epoch, duplicate}
    this.streams = []; // {observer, channel, epoch, start, messages: [{seq, print, …}]}
    this.finals = []; // {way, channel, epoch, earliest, latest, messages}
    this.notes = []; // what no run should see at all: resets, gaps, refusals
  }

  clone() {
    const copy = new History();
    copy.sent = new Map(this.sent);
    copy.acked = this.acked.map((a) => ({ ...a }));
    copy.streams = this.streams.map((s) => ({ ...s, messages: [...s.messages] }));
    copy.finals = this.finals.map((f) => ({ ...f, messages: [...f.messages] }));
    copy.notes = [...this.notes];
    return copy;
  }
}

const PRINT_MAX = 160; // the rest of a long one stands for itself as a hash

/** What must be the same for every observer of a (channel, epoch, seq). */
export function observation(message) {
  const { seq, message_id, time, key, producer, producer_seq, data, data_base64 } = message;
  const all = JSON.stringify([message_id, time, key, producer, producer_seq, data, data_base64]);
  const print = all.length <= PRINT_MAX ? all
    : `${all.slice(0, PRINT_MAX)}… ${createHash('sha256').update(all).digest('base64')}`;
  return { seq, message_id, producer, producer_seq, print };
}

const sentKey = (channel, producer, n) => `${channel}|${producer}|${n}`;

/** The final forward read of each channel: what the server holds in the end. */
function kept(history) {
  const byChannel = new Map();
  for (const f of history.finals) if (f.way === 'history') byChannel.set(f.channel, f);
  return byChannel;
}

function* dense(history) {
  for (const s of history.streams) {
    let next = s.start;
    for (const m of s.messages) {
      if (m.seq !== next) {
        yield `${s.observer} ${s.channel}: got ${m.seq}, expected ${next}`;
      }
      next = m.seq + 1;
    }
  }
  for (const f of history.finals) {
    let next = f.earliest;
    for (const m of f.messages) {
      if (m.seq !== next) yield `${f.way} ${f.channel}: got ${m.seq}, expected ${next}`;
      next = m.seq + 1;
    }
    if (next !== f.latest + 1) yield `${f.way} ${f.channel}: ends at ${next - 1} of ${f.latest}`;
  }
}

function* complete(history) {
  for (const s of history.streams) {
    const end = kept(history).get(s.channel)?.latest;
    if (s.start + s.messages.length !== end + 1) {
      yield `${s.observer} ${s.channel}: ${s.messages.length} from ${s.start}, latest is ${end}`;
    }
  }
}

function* agreement(history) {
  const first = new Map();
  for (const s of [...history.streams, ...history.finals]) {
    for (const m of s.messages) {
      const place = `${s.channel}|${s.epoch}|${m.seq}`;
      const print = first.get(place);
      if (print === undefined) first.set(place, m.print);
      else if (print !== m.print) yield `${place}: ${print} and ${m.print}`;
    }
  }
}

function* ackedIsKept(history) {
  const places = new Map();
  for (const f of kept(history).values()) {
    for (const m of f.messages) places.set(`${f.channel}|${f.epoch}|${m.seq}`, m);
  }
  for (const a of history.acked) {
    const m = places.get(`${a.channel}|${a.epoch}|${a.seq}`);
    const what = `${a.channel}: ${a.producer} ${a.n}, acknowledged at ${a.seq}`;
    if (m === undefined) yield `${what}, is gone`;
    else if (m.producer !== a.producer || m.producer_seq !== a.n) {
      yield `${what}, there stands ${m.producer} ${m.producer_seq}`;
    } else if (a.message_id !== undefined && a.message_id !== m.message_id) {
      yield `${what} as ${a.message_id}, stands as ${m.message_id}`;
    }
  }
}

function* noPhantom(history) {
  const places = new Map();
  for (const f of kept(history).values()) {
    for (const m of f.messages) places.set(`${f.channel}|${f.epoch}|${m.seq}`, m.print);
  }
  for (const s of history.streams) {
    for (const m of s.messages) {
      if (places.get(`${s.channel}|${s.epoch}|${m.seq}`) !== m.print) {
        yield `${s.observer} saw ${s.channel} ${m.seq} ${m.print}, which is gone`;
      }
    }
  }
  for (const f of kept(history).values()) {
    for (const m of f.messages) {
      if (!history.sent.has(sentKey(f.channel, m.producer, m.producer_seq))) {
        yield `${f.channel} ${m.seq}: ${m.print} was never sent`;
      }
    }
  }
}

function* once(history) {
  for (const f of kept(history).values()) {
    const seen = new Map();
    for (const m of f.messages) {
      const key = sentKey(f.channel, m.producer, m.producer_seq);
      if (seen.has(key)) yield `${key} stands at ${seen.get(key)} and at ${m.seq}`;
      seen.set(key, m.seq);
    }
  }
}

function* producerFifo(history) {
  for (const f of kept(history).values()) {
    const last = new Map();
    for (const m of f.messages) {
      const before = last.get(m.producer) ?? 0;
      if (m.producer_seq !== before + 1) {
        yield `${f.channel} ${m.seq}: ${m.producer} ${m.producer_seq} stands after ${before}`;
      }
      last.set(m.producer, m.producer_seq);
    }
  }
}

function* oneEpoch(history) {
  const epochs = new Map();
  for (const s of [...history.streams, ...history.finals, ...history.acked]) {
    const before = epochs.get(s.channel) ?? s.epoch;
    if (before !== s.epoch) yield `${s.channel}: epoch ${before} became ${s.epoch}`;
    epochs.set(s.channel, s.epoch);
  }
}

function* everythingArrived(history) {
  const acked = new Set(history.acked.map((a) => sentKey(a.channel, a.producer, a.n)));
  for (const key of history.sent.keys()) {
    if (!acked.has(key)) yield `${key} was sent again and again and never acknowledged`;
  }
}

function* risingIds(history) {
  for (const f of kept(history).values()) {
    let before = 0n;
    for (const m of f.messages) {
      const id = BigInt(m.message_id);
      if (id <= before) yield `${f.channel} ${m.seq}: id ${id} after ${before}`;
      before = id;
    }
  }
}

function* nothingOdd(history) {
  yield* history.notes;
}

export const CHECKS = {
  'I1 dense: every observer sees consecutive seqs': dense,
  'I1 complete: every subscriber has come to the end': complete,
  'I2 agreement: one message at each (channel, epoch, seq)': agreement,
  'I3 acked is kept: at its seq, with its id': ackedIsKept,
  'I4 no phantom: nothing seen is missing, nothing stands that was not sent': noPhantom,
  'I5 once: each producer number stands once': once,
  'I6 producer FIFO: numbers stand in their order, without a hole': producerFifo,
  'epoch: a kill loses nothing, so no history changes its name': oneEpoch,
  'liveness: everything that was sent is acknowledged in the end': everythingArrived,
  'ids: message ids rise through restarts': risingIds,
  'protocol: no frame, refusal or notice that should not be': nothingOdd,
};

const SHOWN_MAX = 5;

/** {passed, failed, violations, lines, failedNames}: each check, and its first violations. */
export function judge(history, names = Object.keys(CHECKS)) {
  const result = { passed: 0, failed: 0, violations: 0, lines: [], failedNames: [] };
  for (const name of names) {
    const violations = [...CHECKS[name](history)];
    if (violations.length === 0) {
      result.passed += 1;
      result.lines.push(`ok      ${name}`);
      continue;
    }
    result.failed += 1;
    result.violations += violations.length;
    result.failedNames.push(name);
    result.lines.push(`FAILED  ${name}: ${violations.length} violations`);
    for (const v of violations.slice(0, SHOWN_MAX)) result.lines.push(`        ${v.slice(0, 400)}`);
  }
  return result;
}

/** What happened, in numbers. */
export function account(history) {
  const attempts = [...history.sent.values()].reduce((a, b) => a + b, 0);
  const acked = new Set(history.acked.map((a) => sentKey(a.channel, a.producer, a.n)));
  const lost = [...ackedIsKept(history)].length;
  return {
    sent: history.sent.size,
    attempts,
    acked: acked.size,
    'acked as duplicates': history.acked.filter((a) => a.duplicate).length,
    indeterminate: history.sent.size - acked.size,
    delivered: history.streams.reduce((n, s) => n + s.messages.length, 0),
    lost,
    duplicated: [...once(history)].length,
    'out of order': [...dense(history)].length + [...producerFifo(history)].length,
  };
}

/** The account and the judgement, as a page. */
export function printAccount(history, result) {
  for (const [name, value] of Object.entries(account(history))) {
    console.log(`${name.padEnd(20)} ${value}`);
  }
  for (const line of result.lines) console.log(line);
  console.log(`this account: ${result.passed} passed, ${result.failed} failed`);
}

/** As printAccount(), in one line where nothing is wrong. */
export function printBriefly(history, result) {
  const numbers = Object.entries(account(history)).map(([name, value]) => `${value} ${name}`);
  console.log(`        ${numbers.join(', ')}`);
  for (const line of result.lines) if (!line.startsWith('ok')) console.log(line);
  console.log(`${result.failed === 0 ? 'ok    ' : 'FAILED'}  this account:`
    + ` ${result.passed} checks passed, ${result.failed} failed`);
}

// ---- planted violations: each must be found -----------------------------------------------------

function middle(list) {
  return Math.floor(list.length / 2);
}

const replaceAt = (list, at, change) => list.splice(at, 1, { ...list[at], ...change });

/** name -> [what it does to a history, the check that must fail]. */
export const PLANTS = {
  gap: [(h) => h.streams[0].messages.splice(middle(h.streams[0].messages), 1), 'I1 dense'],
  repeat: [(h) => {
    const { messages } = h.streams[0];
    messages.splice(middle(messages), 0, messages[middle(messages)]);
  }, 'I1 dense'],
  swap: [(h) => {
    const { messages } = h.streams[0];
    const at = middle(messages);
    [messages[at], messages[at + 1]] = [messages[at + 1], messages[at]];
  }, 'I1 dense'],
  cut: [(h) => h.streams[0].messages.pop(), 'I1 complete'],
  disagreement: [(h) => {
    const { messages } = h.streams[0];
    replaceAt(messages, middle(messages), { print: '"other bytes"' });
  }, 'I2 agreement'],
  'disagreement of HTTP': [(h) => {
    const { messages } = h.finals.find((f) => f.way === 'http');
    replaceAt(messages, middle(messages), { print: '"other bytes"' });
  }, 'I2 agreement'],
  'acked and gone': [(h) => {
    const f = h.finals.find((x) => x.way === 'history');
    f.messages.pop();
    f.latest -= 1;
  }, 'I3 acked'],
  'acked at another seq': [(h) => replaceAt(h.acked, middle(h.acked), { seq: 1e9 }), 'I3 acked'],
  'another id': [(h) => {
    const at = h.acked.findIndex((a) => a.message_id !== undefined);
    replaceAt(h.acked, at, { message_id: 'planted' });
  }, 'I3 acked'],
  phantom: [(h) => {
    const { messages } = h.streams[0];
    const { seq } = messages.at(-1);
    messages.push({ seq: seq + 1, message_id: '9', print: '"phantom"' });
  }, 'I4 no phantom'],
  'never sent': [(h) => h.sent.delete([...h.sent.keys()][0]), 'I4 no phantom'],
  twice: [(h) => {
    const f = h.finals.find((x) => x.way === 'history');
    f.messages.push({ ...f.messages[0], seq: f.latest + 1 });
    f.latest += 1;
  }, 'I5 once'],
  'out of order': [(h) => {
    const f = h.finals.find((x) => x.way === 'history');
    const at = middle(f.messages);
    const { producer } = f.messages[at];
    const other = f.messages.findIndex((m, i) => i > at && m.producer === producer);
    const [a, b] = [f.messages[at].producer_seq, f.messages[other].producer_seq];
    replaceAt(f.messages, at, { producer_seq: b });
    replaceAt(f.messages, other, { producer_seq: a });
  }, 'I6 producer FIFO'],
  'another epoch': [(h) => {
    h.streams[0].epoch = 'other';
  }, 'epoch'],
  unanswered: [(h) => h.sent.set(sentKey(h.finals[0].channel, 'p0', 1e9), 1), 'liveness'],
  'an id that falls': [(h) => {
    const f = h.finals.find((x) => x.way === 'history');
    replaceAt(f.messages, middle(f.messages), { message_id: '1' });
  }, 'ids'],
  'a refusal': [(h) => h.notes.push('p0: out_of_sequence'), 'protocol'],
};
