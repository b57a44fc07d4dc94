// Planted bugs of rare paths, mostly where two features meet: repairs and retention, epochs and
// duplicates, conflation and compression, windows and reconnects; part of mutants.mjs.
export const meetings = [
  // ---- loss, and what comes behind it: repairs, producers, epochs
  {
    name: 'trim-behind-a-loss-in-silence',
    breaks: 'P9',
    what: 'a trim that cannot be followed behind a loss changes no epoch',
    file: 'src/core/apply.c',
    find: `        MARK("doubt: a trim behind a loss says nothing");
        return epochs_end(state, record, env);`,
    replace: '        return RC_OK;',
    by: ['test:core/state_apply'],
  },
  {
    name: 'doubt-ended-by-an-earlier-repair',
    breaks: 'P9',
    what: 'the end of an earlier repair also ends what a later one has put in doubt',
    file: 'src/core/apply.c',
    find: '    if (state->in_doubt && doubt->base != 0 && doubt->base != state_base(state)) {',
    replace: '    if (false) {',
    by: ['test:core/state_apply'],
  },
  {
    name: 'second-hole-counts-alone',
    breaks: 'P9',
    what: 'of two holes in the log only the second counts',
    file: 'src/core/apply.c',
    find: 'hole.first_pos < state->doubt_first ? hole.first_pos : state->doubt_first;',
    replace: 'hole.first_pos;',
    by: ['sim', 'test:core/state_apply'],
  },
  {
    name: 'older-epoch-good-for-too-much',
    breaks: 'P7 P9',
    what: 'a second loss leaves the epochs before the last good for as much as they were',
    file: 'src/core/channel.c',
    find: `            more->epochs[i].good_end = good_end;
`,
    replace: '',
    by: ['test:core/doubt'],
  },
  {
    name: 'old-epochs-forgotten',
    breaks: 'P7',
    what: 'no position of an earlier epoch is taken, though all before it has survived',
    file: 'src/core/state.c',
    find: `    if (good_end != 0) {
        return good_end;
    }`,
    replace: '',
    by: ['sim', 'test:core/doubt'],
  },
  {
    name: 'producers-not-resynced',
    breaks: 'I12',
    what: 'behind a loss a producer must go on with a number that it has no more',
    file: 'src/core/channel.c',
    find: `        producer->resync = true;
`,
    replace: '',
    by: ['sim', 'test:core/doubt'],
  },
  {
    name: 'leap-used-up-in-a-doubt',
    breaks: 'I12',
    what: 'the leap that a loss allows is used up by a record that was refused before',
    file: 'src/core/apply.c',
    find: `            channel_producers_resync(channel);
`,
    replace: '',
    by: ['test:core/state_apply'],
  },
  {
    name: 'gap-forgotten-by-a-trim',
    breaks: 'I3 I5',
    what: 'a number that was lost is called a duplicate when what stood before it is trimmed',
    file: 'src/core/producer.c',
    find: '        if (run->seq == 0 || run->seq + count > earliest) {',
    replace: '        if (run->seq + count > earliest) {',
    by: ['test:core/random'],
  },
  {
    name: 'doubt-not-appended-again',
    breaks: 'P9',
    what: 'a doubt whose write has failed is not written again',
    file: 'src/core/partition.c',
    find: `    partition->start_due = partition->start_doubt != 0 ||
                           !settings_equal`,
    replace: '    partition->start_due = !settings_equal',
    by: ['test:core/partition'],
  },
  {
    name: 'losses-forgotten-by-a-failed-start',
    breaks: 'P9',
    what: 'what a repair has lost is forgotten where the disk is full as it is written down',
    file: 'src/server/host_upkeep.c',
    find: '        host_doubt_losses(host); /* also',
    replace: '        host->losses_due = false; /* also',
    by: ['test:server/host'],
  },
  {
    name: 'last-loss-stands',
    breaks: 'P7 P9',
    what: 'of several losses of a channel the last tells how far its epoch is good',
    file: 'src/server/host.c',
    find: '    return x->good_end < y->good_end ? -1 : x->good_end > y->good_end ? 1 : 0;',
    replace: '    return x->good_end > y->good_end ? -1 : x->good_end < y->good_end ? 1 : 0;',
    by: ['test:server/host'],
  },

  // ---- checkpoint, index, retention and repair
  {
    name: 'trim-lost-with-its-batch',
    breaks: 'I3 P13',
    what: 'segments go though the trim for it was in a batch that failed',
    file: 'src/server/host_upkeep.c',
    find: '        survey_end(host, UPKEEP_NONE); /* its trims may be among what was lost */',
    replace: '',
    by: ['sim'],
  },
  {
    name: 'removal-before-a-damaged-checkpoint',
    breaks: 'P18',
    what: 'old segments go though the checkpoint behind them is damaged',
    file: 'src/log/chore.c',
    find: `    if (rc == RC_OK) {
        rc = first_begins(log, chore->segment);
    }`,
    replace: '',
    by: ['test:log/life'],
  },
  {
    name: 'trim-not-synced-before-removal',
    breaks: 'I3 P13',
    what: 'without a sync of its own a trim is not on disk when the segments go',
    file: 'src/log/chore.c',
    find: `    if (rc == RC_OK) {
        rc = sync_newest(log, &listing);
    }`,
    replace: '',
    by: ['test:log/life'],
  },
  {
    name: 'original-outlives-its-segment',
    breaks: 'P18',
    what: 'retention removes a segment and leaves the original that its repair kept',
    file: 'src/log/chore.c',
    find: `    if (found->has_damaged) {
        rc = remove_one`,
    replace: `    if (false) {
        rc = remove_one`,
    by: ['sim', 'test:log/life'],
  },
  {
    name: 'checkpoint-of-another-history',
    breaks: 'I2 P11',
    what: 'a checkpoint is taken though it does not fit its segment',
    file: 'src/log/recover.c',
    find: `        (found->header_whole && (checkpoint.pos != found->header.first_pos ||
                                 checkpoint.hash != found->header.prev_hash))) {`,
    replace: '        false) {',
    by: ['test:log/forged'],
  },
  {
    name: 'index-of-the-holed-segment',
    breaks: 'I2 P18',
    what: 'the index of a segment is used as it was before a hole was made in it',
    file: 'src/log/recover.c',
    find: `    r->holed = r->holed || r->listing.items[item].has_damaged;
`,
    replace: '',
    by: ['sim', 'test:log/damage'],
  },
  {
    name: 'missing-index-not-rebuilt',
    breaks: 'P18',
    what: 'where an index below the checkpoint is missing its messages stay unreadable',
    file: 'src/log/recover.c',
    find: `    if (rc != RC_OK || missing == r->start) {
        return rc;
    }`,
    replace: `    if (rc != RC_OK || missing <= r->start) {
        return rc;
    }`,
    by: ['test:log/damage'],
  },
  {
    name: 'unsynced-not-marked',
    breaks: 'P19',
    what: 'a segment in which something is committed without a sync is not marked as such',
    file: 'src/log/commit.c',
    edits: [
      {
        find: '    const bool must_mark = sync == LOG_SYNC_NONE && !log->committer.marked;',
        replace: '    const bool must_mark = false;',
      },
      {
        find: `    ASSERT_HOT(sync == LOG_SYNC_DATA || log->committer.marked);
`,
        replace: '',
      },
    ],
    by: ['sim'],
  },
  {
    name: 'full-log-never-trimmed',
    breaks: 'I12',
    what: 'a log that is full takes no trim, and so never gets room',
    file: 'src/log/commit.c',
    find: 'rc == RC_NOSPACE && log->committer.left_over == 0 && has_trim_room(log);',
    replace: 'false && has_trim_room(log);',
    by: ['test:log/faults'],
  },

  // ---- reading
  {
    name: 'time-of-the-last',
    breaks: 'P7',
    what: 'from the time of the last message on nothing comes',
    file: 'src/server/host_read.c',
    find: '        channel->last_time_ms < ask->ask.time_ms) {',
    replace: '        channel->last_time_ms <= ask->ask.time_ms) {',
    by: ['sim'],
  },
  {
    name: 'digest-in-front-of-earliest',
    breaks: 'P13',
    what: 'the digest in front of the earliest message is called trimmed',
    file: 'src/server/host_read.c',
    find: '    read->digest_missing = seq + 1 < position->earliest ? "trimmed"',
    replace: '    read->digest_missing = seq < position->earliest ? "trimmed"',
    by: ['sim'],
  },
  {
    name: 'reverse-from-a-segments-first',
    breaks: 'I7',
    what: 'backwards from the first message of a sealed segment it is told to be damaged',
    file: 'src/log/read.c',
    find: '    bool has_row = rc == RC_OK && row.first_seq <= job->next;',
    replace: '    bool has_row = rc == RC_OK && row.first_seq < job->next;',
    by: ['sim'],
  },
  {
    name: 'read-of-the-subscription-before',
    breaks: 'I1 P20',
    what: 'a read for a subscription that has ended goes to the next one of the channel',
    file: 'src/session/deliver.c',
    find: '    const bool ended = sub == NULL || sub->id != read->sub_id;',
    replace: '    const bool ended = sub == NULL || sub->state != SUB_READING;',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'late-read-counts-for-ever',
    breaks: 'I12',
    what: 'a read that comes too late counts as under way for ever',
    file: 'src/session/deliver.c',
    find: `        session->read_count--;
        session->env->ops->wake`,
    replace: '        session->env->ops->wake',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'stalled-keeps-its-chunk',
    breaks: 'I11',
    what: 'a connection that takes nothing keeps what was read for it',
    file: 'src/session/deliver.c',
    find: `            subscription_drop_chunk(sub);
            subscription_move(sub, SUB_BEHIND);
        }
    }
}`,
    replace: `        }
    }
}`,
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'feed-bound-of-all-ignored',
    breaks: 'I11',
    what: 'all feeds together keep as much as they like',
    file: 'src/session/feed.c',
    find: '!list_empty(&table->kept_) && table->bytes_ + size > table->table_bytes_max_',
    replace: 'false',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'conflated-by-the-next-span',
    breaks: 'I7',
    what: 'the message that ends a span, and is not in it, replaces one that is',
    file: 'src/server/conflate.c',
    find: `    if (!has_room(conflate, message)) {
        MARK(`,
    replace: `    if (!has_room(conflate, message)) {
        struct newest *last = map_find(&conflate->by_key_, message->key);
        if (message->has_key && last != NULL) {
            last->seq = message->seq;
        }
        MARK(`,
    by: ['sim', 'test:server/conflate'],
  },
  {
    name: 'skip-to-a-stale-latest',
    breaks: 'I7',
    what: 'one that skips goes on with the message before the newest',
    file: 'src/server/host_read.c',
    find: 'uint64_t seq = skips ? position.latest : read->from;',
    replace: 'uint64_t seq = skips ? position.latest - 1 : read->from;',
    by: ['e2e:slow'],
  },

  // ---- connections, codecs, compression
  {
    name: 'compressed-twin-without-its-steps',
    breaks: 'I1',
    what: 'what is compressed for all does not know what a conflation has left out',
    file: 'src/server/frames.c',
    find: `        .steps = chunk->chunk.steps,
`,
    replace: '',
    by: ['sim'],
  },
  {
    name: 'grown-message-goes-out-plain',
    breaks: 'I2',
    what: 'a message that would grow goes out plain, and the context has it all the same',
    file: 'src/wire/ws_deflate.c',
    find: '    if (size >= payload.size && !deflater_options(deflater)->takeover) {',
    replace: '    if (size >= payload.size) {',
    by: ['sim', 'test:wire/ws_deflate'],
  },
  {
    name: 'own-window-ignored',
    breaks: 'I2',
    what: 'a client that can do with a small window only is sent what needs ours',
    file: 'src/server/compress.c',
    find: `    options.window_bits = agreed->server_bits;
`,
    replace: '',
    by: ['sim'],
  },
  {
    name: 'quiet-ends-a-run-in-silence',
    breaks: 'P20',
    what: 'a quiet publish takes the answers with it that were held back before it',
    file: 'src/session/published.c',
    find: `        MARK("published: not told, as was asked");
`,
    replace: `        if (session->run != NULL) session->run->publishes = 0;
`,
    by: ['test:session/binary'],
  },
  {
    name: 'more-behind-damage',
    breaks: 'P20',
    what: 'a history in binary that tells of damage says that there is more',
    file: 'src/wire/binary_encode.c',
    find: '(history->more ? BINARY_HISTORY_MORE : 0u) | (damaged',
    replace: '(history->more || damaged ? BINARY_HISTORY_MORE : 0u) | (damaged',
    by: ['test:wire/binary'],
  },
  {
    name: 'limit-before-connect',
    breaks: 'I11',
    what: 'before connect a message may be as large as after it',
    file: 'src/server/conn_ws.c',
    find: 'known ? config->limit_frame_bytes : FRAME_BYTES_BEFORE_CONNECT',
    replace: 'config->limit_frame_bytes',
    by: ['e2e:transport/before connect a message'],
  },
  {
    name: 'small-slips-past',
    breaks: 'I12',
    what: 'small publishes slip past a large one that waits for room',
    file: 'src/server/router.c',
    find: '!reactor->unblocking && !list_empty(&reactor->blocked[partition]);',
    replace: 'false;',
    by: ['test:server/conn'],
  },
  {
    name: 'answer-for-nobody-kept',
    breaks: 'I11',
    what: 'an answer that finds nobody leaves the owner sending tails for ever',
    file: 'src/server/router.c',
    find: `        MARK("router: an answer for nobody");
        detach(reactor, ask->ask.codec, ask->answer.channel);`,
    replace: '',
    by: ['sim'],
  },
];
