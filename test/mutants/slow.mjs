// Planted bugs in what becomes of slow subscribers; part of mutants.mjs.
export const slow = [
  {
    name: 'slow-before-it-has-begun',
    breaks: 'I7',
    what: 'one that skips when it is slow may skip also what stood there when it began',
    file: 'src/session/subscribe.c',
    find: '    sub->tail_seq = answer->position.latest + 1;',
    replace: '    sub->tail_seq = answer->next;',
    by: ['sim', 'test:session/delivery', 'e2e:slow'],
  },
  {
    name: 'gap-not-acknowledged',
    breaks: 'I12',
    what: 'what a slow subscription is told to be left out takes room in its window',
    file: 'src/session/deliver.c',
    find: '            sub->acked = last > sub->acked ? last : sub->acked;',
    replace: '            sub->acked += last > sub->acked + sub->window ? last - sub->acked : 0;',
    by: ['sim', 'test:session/delivery', 'e2e:slow'],
  },
  {
    name: 'conflated-without-a-key',
    breaks: 'I7',
    what: 'of the messages without a key only the last of a span is sent',
    file: 'src/server/conflate.c',
    find: '    ASSERT(message->seq < conflate->next_);\n    if (!message->has_key) {\n' +
      '        return true;',
    replace: '    ASSERT(message->seq < conflate->next_);\n    if (!message->has_key) {\n' +
      '        return message->seq + 1 == conflate->next_;',
    by: ['sim', 'test:server/conflate', 'e2e:slow'],
  },
  {
    name: 'span-read-to-its-middle',
    breaks: 'I7',
    what: 'the newest of each key are found in the first of the reads that a span takes, and the ' +
      'last of these messages is not read',
    file: 'src/server/host_read.c',
    find: '        read->looking ? read->position.latest : conflate_next(&read->conflate) - 1;',
    replace: '        read->looking ? read->position.latest : conflate_next(&read->conflate) - 2;',
    by: ['sim', 'e2e:slow'],
  },
];
