// The planted bugs: one realistic mistake each, and what should catch it.
//
//   name     for the command line
//   breaks   the invariants (I, docs/ARCHITECTURE.md) and properties (P) that it breaks
//   what     the mistake, in a sentence
//   file, find, replace, or several of them as `edits`: exact text, which must stand in the file
//            exactly once; mutants.test.mjs sees to that, so a change of the source that a mutant
//            is about changes this table as well
//   by       what is tried on it, in this order, until something catches it; see catchers.mjs
//   seeds    of the simulator, where 2,000 are not enough
//
// A bug that nobody outside can ever notice is none: where a second line of defence stands behind
// what is taken away, both are taken away, or another bug is planted. What the simulator does not
// have (rings, threads, sockets: see docs/TESTING.md) is left to others from the start.

import { connections } from './connections.mjs';
import { deflate } from './deflate.mjs';
import { library } from './library.mjs';
import { meetings } from './meetings.mjs';
import { slow } from './slow.mjs';

/** The simulator must see this at once. */
export const canary = {
  name: 'canary',
  breaks: 'I2',
  what: 'publishers are told the next message\'s number',
  file: 'src/session/published.c',
  find: '        .seq = result->seq,',
  replace: '        .seq = result->seq + 1,',
  by: ['sim'],
};

/** The same program in other words: nothing may see it. */
export const equivalent = {
  name: 'no bug at all',
  breaks: '-',
  what: 'a condition is turned around',
  file: 'src/session/subscribe.c',
  find: '    if (command->seq > sub->acked) {',
  replace: '    if (sub->acked < command->seq) {',
  by: ['sim', 'test:session/commands'],
};

// ---- durability --------------------------------------------------------------------------------

const durability = [
  {
    name: 'acknowledged-before-the-sync',
    breaks: 'I3 I4',
    what: 'a batch is synced only if something was unsynced before it came',
    file: 'src/log/commit.c',
    find: `    log->committer.dirty = true;
    if (sync == LOG_SYNC_DATA) {`,
    replace: `    const bool was_dirty = log->committer.dirty;
    log->committer.dirty = true;
    if (sync == LOG_SYNC_DATA && was_dirty) {`,
    by: ['sim', 'test:log/crash'],
  },
  {
    name: 'folder-not-synced',
    breaks: 'I3 I4',
    what: 'a new segment\'s name is not synced before what is in it is acknowledged',
    file: 'src/log/commit.c',
    find: '    return rc == RC_OK ? files_sync_dir(&log->storage, log->folder) : rc;',
    replace: '    return rc;',
    by: ['sim', 'test:log/crash'],
  },
  {
    name: 'segment-renamed-before-its-sync',
    breaks: 'I3 I4',
    what: 'a batch that begins a new segment is not synced',
    file: 'src/log/commit.c',
    find: `    *ret_dead = true;
    rc = files_sync(&log->storage, file);`,
    replace: '    *ret_dead = true;',
    by: ['sim', 'test:log/crash'],
  },
  {
    name: 'checkpoint-renamed-before-its-sync',
    breaks: 'I3 P11',
    what: 'a checkpoint gets its name before its bytes are on disk',
    file: 'src/log/checkpoint.c',
    find: `    if (rc == RC_OK) {
        rc = files_sync(storage, file);
    }`,
    replace: '',
    by: ['sim', 'test:log/crash', 'test:log/faults', 'test:log/life'],
  },
  {
    name: 'failed-sync-tried-again',
    breaks: 'I3 P17',
    what: 'a failed fdatasync is called again, and its success believed',
    file: 'src/log/commit.c',
    find: `        rc = log_sync_segment(log, log->committer.file);
        if (rc != RC_OK) {
            (void)take_back`,
    replace: `        rc = log_sync_segment(log, log->committer.file);
        if (rc != RC_OK) {
            rc = log_sync_segment(log, log->committer.file);
        }
        if (rc != RC_OK) {
            (void)take_back`,
    by: ['sim', 'test:log/faults'],
  },
  {
    name: 'applied-though-the-commit-failed',
    breaks: 'I3 I4',
    what: 'what did not fit on the disk is applied, told and answered all the same',
    file: 'src/server/host.c',
    find: '    partition_commit_done(host->partition, host->commit_rc);',
    replace: `    host->commit_rc = host->commit_rc == RC_NOSPACE ? RC_OK : host->commit_rc;
    partition_commit_done(host->partition, host->commit_rc);`,
    by: ['sim', 'e2e:faults'],
  },
  {
    name: 'failed-write-shown-after-a-restart',
    breaks: 'I4 P17',
    what: 'what a failed write left of a refused batch is not taken back',
    file: 'src/log/commit.c',
    find: `        const bool taken = take_back(log, at, at + batch->bytes.size);
        return stop(log, rc, !taken && log->committer.dirty);`,
    replace: `        return stop(log, rc, false);`,
    by: ['sim', 'test:log/faults'],
  },
  {
    name: 'tail-shown-before-it-is-settled',
    breaks: 'I4 P19',
    what: 'a start shows the last batch without writing and syncing it anew',
    file: 'src/log/recover.c',
    find: '        rc = settle_tail(r, log->committer.file, walk->scan.at);',
    replace: '        rc = RC_OK;',
    by: ['sim', 'test:log/crash'],
  },
];

// ---- recovery ----------------------------------------------------------------------------------

const recovery = [
  {
    name: 'torn-tail-accepted',
    breaks: 'I2 P18',
    what: 'what a crash left of a torn batch stays behind the end of the log',
    file: 'src/log/walk.c',
    find: "{'F', T(TORN), N(NONE), EITHER, DECIDE_CUT}",
    replace: "{'F', T(TORN), N(NONE), EITHER, DECIDE_END}",
    by: ['sim', 'test:log/crash', 'test:log/damage'],
  },
  {
    name: 'damage-read-as-the-end',
    breaks: 'I3 P18',
    what: 'a damaged record in the middle ends the log as a torn one does, and all behind it goes',
    file: 'src/log/walk.c',
    find: "{'H', T(BEHIND), N(NONE), SYNCED, DECIDE_DAMAGE}",
    replace: "{'H', T(BEHIND), N(NONE), SYNCED, DECIDE_CUT}",
    by: ['sim', 'test:log/damage'],
  },
  {
    name: 'chain-not-checked',
    breaks: 'I2 P18',
    what: 'a record is taken whatever hash of the one before it bears',
    file: 'src/log/walk.c',
    find: '    if (record->prev_hash != walk->hash) {',
    replace: '    if (record->pos == 0 && record->prev_hash != walk->hash) {',
    by: ['sim', 'test:log/damage'],
  },
  {
    name: 'checksum-of-the-first-record-only',
    breaks: 'I2 P18',
    what: 'in a batch only the first record\'s checksum is looked at',
    file: 'src/log/record.c',
    find: '    if (crc32c(0, covered) != bytes_load_u32(header + AT_CRC)) {',
    replace: `    if (bytes_load_u16(header + AT_BATCH_INDEX) == 0 &&
        crc32c(0, covered) != bytes_load_u32(header + AT_CRC)) {`,
    by: ['sim', 'test:log/record', 'test:log/damage'],
  },
  {
    name: 'checkpoint-taken-late',
    breaks: 'I2 P11',
    what: 'the state is put into the checkpoint when the keeper comes to it, not at the roll',
    file: 'src/server/host_upkeep.c',
    find: '        .state = waiting.state,\n    };',
    replace: `        .state = waiting.state,
    };
    struct buf late = {0};
    pieces_deinit(&host->chore.state);
    (void)!partition_state_encode(host->partition, &late);
    (void)!pieces_append(&host->chore.state, buf_bytes(&late));
    buf_deinit(&late);`,
    by: ['sim'],
  },
  {
    name: 'slice-of-a-changed-channel',
    breaks: 'I2 P11',
    what: 'a channel that changed before its turn in a checkpoint is encoded as it is by then',
    file: 'src/core/capture.c',
    find: '        rc = early_put(capture, channel, to);',
    replace: '        rc = state_encode_channel(channel, to);',
    by: ['sim', 'test:core/capture'],
  },
  {
    name: 'trim-not-seen-by-a-checkpoint',
    breaks: 'I2 P11',
    what: 'a trim changes a channel whose old form a checkpoint under way still needs',
    file: 'src/core/apply.c',
    find: `        state_touch(state, channel);
        MARK_IF(entry.earliest > channel->latest, "retention: a trim empties`,
    replace: `        MARK_IF(entry.earliest > channel->latest, "retention: a trim empties`,
    by: ['sim', 'test:core/capture'],
  },
  {
    name: 'duplicates-forgotten-by-a-checkpoint',
    breaks: 'I5 P11',
    what: 'a checkpoint keeps producers, but one message less of each',
    file: 'src/core/state_codec.c',
    find: '    producer->last = reader_u64(reader);',
    replace: `    producer->last = reader_u64(reader);
    producer->last -= producer->last > 1;`,
    by: ['sim', 'test:core/state_codec'],
  },
  {
    name: 'ticks-of-a-batch-forgotten',
    breaks: 'P25',
    what: 'of a batch only the first message id counts as given when the server starts again',
    file: 'src/core/apply.c',
    find: '    const uint64_t tick_last = work.publish.tick + work.publish.count - 1;',
    replace: '    const uint64_t tick_last = work.publish.tick;',
    by: ['sim', 'test:core/apply', 'test:core/random'],
  },
  {
    name: 'epoch-kept-after-a-loss',
    breaks: 'I2 P9',
    what: 'a channel that may have lost its end in a repair keeps its epoch',
    file: 'src/core/apply.c',
    find: '        const bool lost = doubt->kind == DOUBT_ALL || channel->in_doubt_;',
    replace: '        const bool lost = doubt->kind == DOUBT_ALL;',
    by: ['sim', 'test:core/doubt', 'e2e:damage'],
  },
  {
    name: 'epoch-used-again',
    breaks: 'P9',
    what: 'two losses at the same place give the same new epoch',
    file: 'src/core/channel.c',
    find: '    uint64_t epoch = epoch_next(channel->epoch, pos, salt);',
    replace: '    uint64_t epoch = epoch_next(channel->epoch, pos, 0 * salt);',
    by: ['sim', 'test:core/doubt', 'test:core/apply'],
  },
  {
    name: 'epoch-without-its-seq',
    breaks: 'P7 P9',
    what: 'a position of an earlier epoch is taken wherever in it it lies',
    file: 'src/core/state.c',
    find: '        if (good_end == 0 || seq > good_end) {',
    replace: '        if (good_end == 0) {',
    by: ['sim', 'test:core/doubt', 'test:core/partition'],
  },
];

// ---- producers ---------------------------------------------------------------------------------

const producers = [
  {
    name: 'old-epoch-not-fenced',
    breaks: 'P16',
    what: 'an older incarnation of a producer may go on where it left off',
    file: 'src/core/producer.c',
    find: '    if (publish->producer_epoch < producer->epoch) {',
    replace: '    if (publish->producer_epoch + 1 < producer->epoch) {',
    by: ['sim', 'test:core/random'],
  },
  {
    name: 'overlap-taken-for-a-duplicate',
    breaks: 'I3 I5',
    what: 'a batch that was seen only in part is called a duplicate, and its rest is lost',
    file: 'src/core/producer.c',
    find: '    } else if (number + publish->count <= next) {',
    replace: '    } else if (number < next) {',
    by: ['sim', 'test:core/random'],
  },
  {
    name: 'overlap-stored',
    breaks: 'I5',
    what: 'a batch that was seen only in part is stored whole',
    file: 'src/core/producer.c',
    edits: [
      {
        find: '    if (number == next || (number > next && producer->resync)) {',
        replace: `    if (number == next || (number > next && producer->resync) ||
        (number < next && number + publish->count > next)) {`,
      },
      {
        find: '    ASSERT(number > producer->last); /* I5, I6: last + 1, or ahead after a loss */',
        replace: '',
      },
      {
        find: '    const bool gap = number > producer->last + 1;',
        replace: `    producer->last = number <= producer->last ? number - 1 : producer->last;
    runs_drop(producer, number <= producer->last + 1 ? producer->run_count : 0);
    const bool gap = number > producer->last + 1;`,
      },
    ],
    by: ['sim', 'test:core/random'],
  },
  {
    name: 'number-ahead-stored',
    breaks: 'I6',
    what: 'a number ahead of the next one is stored',
    file: 'src/core/producer.c',
    find: '    if (number == next || (number > next && producer->resync)) {',
    replace: '    if (number >= next) {',
    by: ['sim', 'test:core/random'],
  },
  {
    name: 'duplicate-with-the-wrong-seq',
    breaks: 'I2 I5',
    what: 'a duplicate is answered with the seq that its run of messages began with',
    file: 'src/core/producer.c',
    find: '        const uint64_t seq = run->seq + (number - run->producer_seq);',
    replace: '        const uint64_t seq = run->seq;',
    by: ['sim', 'test:core/random'],
  },
  {
    name: 'producer-forgotten-too-early',
    breaks: 'I5',
    what: 'without an idle time producers are forgotten while one message is left',
    file: 'src/core/apply.c',
    find: '        if (channel->earliest > channel->latest && state->settings',
    replace: '        if (channel->earliest >= channel->latest && state->settings',
    by: ['sim', 'test:core/apply', 'test:core/random'],
  },
  {
    name: 'time-goes-back',
    breaks: 'I2 P26',
    what: 'a message bears the wall clock\'s time also when the clock was set back',
    file: 'src/core/partition.c',
    find: '    const uint64_t time_ms = now_ms > channel->append_time_ms_ ? now_ms : ',
    replace: '    const uint64_t time_ms = now_ms > 0 ? now_ms : ',
    by: ['sim', 'test:core/partition', 'test:core/random'],
  },
];

// ---- retention ---------------------------------------------------------------------------------

const retention = [
  {
    name: 'one-message-too-few-kept',
    breaks: 'I3 P13',
    what: 'retention by count keeps one message less than it is told to',
    file: 'src/core/apply.c',
    find: '        channel->earliest = channel->latest - keep + 1;',
    replace: '        channel->earliest = channel->latest - keep + 2;',
    by: ['sim', 'test:core/apply', 'test:core/random'],
  },
  {
    name: 'trim-one-too-many',
    breaks: 'I3 P13',
    what: 'with old segments the first message behind them is trimmed as well',
    file: 'src/server/host_upkeep.c',
    find: '        return end_seq;',
    replace: '        return end_seq + 1;',
    seeds: 20_000, // it shows only in worlds without crashes, failures and stops
    by: ['sim'],
  },
  {
    name: 'removed-before-the-trim-is-logged',
    breaks: 'I7 P13',
    what: 'old segments go before the command that trims their messages is committed',
    file: 'src/server/host_upkeep.c',
    find: '(host->trim_pos == 0 || partition_applied_pos(host->partition) >',
    replace: '(host->trim_pos == 0 || partition_next_pos(host->partition) >',
    by: ['sim'],
  },
  {
    name: 'gap-swallowed',
    breaks: 'I1 I7',
    what: 'a cursor that retention has overtaken goes on at the earliest message, in silence',
    file: 'src/session/deliver.c',
    find: '    if (read->trimmed) {',
    replace: `    if (read->trimmed && sub->on_gap_reset) {
        sub->cursor = read->position.earliest;
        sub->acked = sub->cursor - 1;
        subscription_move(sub, SUB_BEHIND);
        subscription_wake(sub);
        return RC_OK;
    }
    if (read->trimmed) {`,
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'gap-told-one-short',
    breaks: 'I7',
    what: 'a gap is told without its last message',
    file: 'src/session/deliver.c',
    find: '        .to = end - 1,',
    replace: '        .to = end - 1 - (end - 1 > sub->cursor),',
    by: ['sim', 'test:session/delivery'],
  },
];

// ---- subscribers -------------------------------------------------------------------------------

const subscribers = [
  {
    name: 'resume-one-late',
    breaks: 'I1 P7',
    what: 'a subscription that resumes with epoch and seq begins behind the message it asked for',
    file: 'src/server/host_read.c',
    find: '    case POSITION_OK: give->next = want->seq; break;',
    replace: `    case POSITION_OK:
        give->next = want->seq + (want->has_epoch && want->seq <= give->position.latest);
        break;`,
    by: ['sim', 'e2e:subscribe'],
  },
  {
    name: 'hand-over-repeats-a-frame',
    breaks: 'I1',
    what: 'a frame that a full socket cut in two is sent again after its rest',
    file: 'src/session/deliver.c',
    find: '    advance(slice, frame + 1 - slice->from);',
    replace: '    advance(slice, frame - slice->from);',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'hand-over-skips-what-was-read',
    breaks: 'I1 P7',
    what: 'where a socket stalls, what was read from the log for it counts as sent',
    file: 'src/session/deliver.c',
    find: '            subscription_drop_chunk(sub);',
    replace: `            if (sub->window == 0) {
                sub->cursor = chunk_end_seq(sub->chunk);
            }
            subscription_drop_chunk(sub);`,
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'window-one-too-wide',
    breaks: 'I11',
    what: 'one message more than the window allows is sent',
    file: 'src/session/subscribe.c',
    find: '    sub->window = command->window;',
    replace: '    sub->window = command->window + (command->window > 0);',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'ack-of-what-was-not-sent',
    breaks: 'I11 I13',
    what: 'an acknowledgement of the message that comes next is taken',
    file: 'src/session/subscribe.c',
    find: '    if (command->seq >= sub->cursor) {',
    replace: '    if (command->seq > sub->cursor) {',
    by: ['sim', 'e2e:subscribe/an acknowledgement beyond what was sent'],
  },
  {
    name: 'message-after-unsubscribed',
    breaks: 'P20',
    what: 'a subscription that has something to send stays when it is unsubscribed',
    file: 'src/session/subscribe.c',
    find: `    subscription_end(sub);
    const struct wire_notice notice = {.id = command->id, .channel = command->channel};`,
    replace: `    if (list_empty(&sub->ready_link)) {
        subscription_end(sub);
    }
    const struct wire_notice notice = {.id = command->id, .channel = command->channel};`,
    by: ['sim', 'test:session/commands'],
  },
  {
    name: 'follower-of-nothing-forgotten',
    breaks: 'I1 I12',
    what: 'who follows a channel before its first message hears of none',
    file: 'src/server/host.c',
    find: '    if (topic == NULL && first_seq == 1) {',
    replace: '    if (topic == NULL && first_seq == 0) {',
    by: ['sim', 'e2e:subscribe'],
  },
  {
    name: 'subscribe-does-not-wait',
    breaks: 'P20',
    what: 'subscribe is answered before publishes that were sent before it',
    file: 'src/server/host_read.c',
    find: '    ask->barrier_pos = partition_next_pos(host->partition);',
    replace: '    ask->barrier_pos = 0;',
    by: ['sim', 'e2e:bounds/a subscribe and a history see'],
  },
  {
    name: 'subscribe-waits-for-its-batch',
    breaks: 'P20',
    what: 'a subscribe is answered behind publishes that were sent after it',
    file: 'src/server/host.c',
    find: '    if (!list_empty(&host->asks)) {',
    replace: '    if (host == NULL) {',
    by: ['e2e:bounds/a subscribe sees none'],
  },
  {
    name: 'read-overtakes-the-parcel',
    breaks: 'P20',
    what: 'a history is asked for before the publishes of the same turn are handed over',
    file: 'src/server/router.c',
    find: `{
    parcel_send(reactor, partition);
    mesh_send(&reactor->server->mesh, reactor->index, server_owner_of(reactor->server, partition),`,
    replace: `{
    mesh_send(&reactor->server->mesh, reactor->index, server_owner_of(reactor->server, partition),`,
    by: ['sim', 'e2e:bounds/a subscribe and a history see'],
  },
  {
    name: 'followers-never-detached',
    breaks: 'I11',
    what: 'the owner of a channel goes on sending tails to a reactor where nobody follows it',
    file: 'src/session/feed.c',
    find: '    table->ops_->detach(table->ctx_, feed);',
    replace: '',
    by: ['sim', 'test:session/delivery'],
  },
  {
    name: 'slow-subscriber-buffered',
    breaks: 'I11 P22',
    what: 'a feed keeps all that its slowest follower has not taken yet',
    file: 'src/session/feed.c',
    find: 'feed->bytes_ + size > table->feed_bytes_max_',
    replace: 'feed->bytes_ + size > table->table_bytes_max_',
    by: ['sim', 'test:session/delivery'],
  },
];

// ---- reading -----------------------------------------------------------------------------------

const reading = [
  {
    name: 'index-entry-off-by-one',
    breaks: 'I1 I7',
    what: 'the place of a message that ends its entry is looked for one entry too far',
    file: 'src/log/index.c',
    find: '    return entry->first_seq + entry->count > seq && entry->time_ms >= time_ms;',
    replace: '    return entry->first_seq + entry->count > seq + 1 && entry->time_ms >= time_ms;',
    by: ['sim', 'test:log/life'],
  },
  {
    name: 'more-is-missing',
    breaks: 'I7',
    what: 'a history that ends one message before the last does not say that there is more',
    file: 'src/server/host_read.c',
    find: '                                   : next_up(read) <= read->position.latest;',
    replace: '                                   : next_up(read) < read->position.latest;',
    by: ['sim', 'e2e:history'],
  },
  {
    name: 'reverse-history-off-by-one',
    breaks: 'I7',
    what: 'a history backwards begins one message below the one it was asked for',
    file: 'src/server/host_read.c',
    find: '        if (seq > read->read.seq || seq < read->read.earliest) {',
    replace: '        if (seq >= read->read.seq || seq < read->read.earliest) {',
    by: ['sim', 'e2e:history'],
  },
  {
    name: 'bounds-of-another-moment',
    breaks: 'I7 P13',
    what: 'a history tells the bounds of when it is sent, not those it was read under',
    file: 'src/server/host_read.c',
    find: '    if (read->rc == RC_OK && (read->count > 0 || read->damaged_count > 0)) {',
    replace: `    read->position = partition_position(host->partition, read->channel);
    if (read->rc == RC_OK && (read->count > 0 || read->damaged_count > 0)) {`,
    by: ['sim'],
  },
];

// ---- the server --------------------------------------------------------------------------------

const server = [
  {
    name: 'two-replies-for-one-id',
    breaks: 'P20',
    what: 'where memory runs out in mid batch, what was answered is answered again, as refused',
    file: 'src/core/partition.c',
    find: '        if (i < from || batch->pending[i].channel == NULL) {',
    replace: '        if (batch->pending[i].channel == NULL) {',
    by: ['test:core/partition', 'test:core/random'], // the server ends itself there first
  },
  {
    name: 'credit-lost-with-a-connection',
    breaks: 'I12 P27',
    what: 'room that a publish took is not given back where its connection has gone',
    file: 'src/server/router.c',
    edits: [
      {
        find: '        *used -= entry.size;\n',
        replace: '',
      },
      {
        find: `        if (conn != NULL) {
            conn_on_published(`,
        replace: `        if (conn != NULL) {
            *used -= entry.size;
            conn_on_published(`,
      },
    ],
    by: ['sim'],
  },
  {
    name: 'wake-up-for-room-lost',
    breaks: 'I12',
    what: 'publishes that wait for room are not told when there is some',
    file: 'src/server/router.c',
    find: '    reactor->room_made = true;',
    replace: '',
    by: ['sim', 'e2e:bounds/more under way than there is room'],
  },
  {
    name: 'rest-of-a-message-twice',
    breaks: 'P20',
    what: 'what was taken of a binary message that had to wait is taken again',
    file: 'src/server/conn_ws.c',
    find: '    work->deferred_at = work->deferred.size - rest.size;',
    replace: `    work->deferred_at =
        rest.size == 0 ? work->deferred.size : work->deferred_at;`,
    by: ['sim', 'e2e:binary/more commands than may be under way'],
  },
  {
    name: 'idle-connections-keep-a-buffer',
    breaks: 'I11',
    what: 'a connection keeps the memory of what it has sent',
    file: 'src/server/conn_turn.c',
    find: `        conn_work_rest(conn);
        conn_out_rest(conn);
    }
    list_remove(`,
    replace: `        conn_work_rest(conn);
    }
    list_remove(`,
    by: ['sim'],
  },
  {
    name: 'run-over-a-hole',
    breaks: 'I2 P20',
    what: 'one published answers publishes that do not stand next to one another',
    file: 'src/session/published.c',
    find: ' && result->seq == before->seq + before->count &&',
    replace: ' &&',
    by: ['sim', 'test:session/binary'],
  },
  {
    name: 'detached-from-both-codecs',
    breaks: 'I12',
    what: 'when the last of one codec leaves, those of the other are not told of messages either',
    file: 'src/server/host_read.c',
    find: '        topic->watchers[mail->codec] &= ~(UINT64_C(1) << mail->mail.from);',
    replace: `        topic->watchers[WIRE_JSON] &= ~(UINT64_C(1) << mail->mail.from);
        topic->watchers[WIRE_BINARY] &= ~(UINT64_C(1) << mail->mail.from);`,
    by: ['sim'],
  },
  {
    name: 'bytes-behind-a-command',
    breaks: 'I13',
    what: 'what is left over behind the last field of a binary command is passed over',
    file: 'src/wire/binary_decode.c',
    find: '    if (rc == RC_OK && d->rest.size > 0) {',
    replace: '    if (rc == RC_OK && d->rest.size > UINT16_MAX) {',
    by: ['test:wire/binary', 'e2e:binary/a bad command is refused'],
  },
  {
    name: 'in-flight-one-too-many',
    breaks: 'I11 P22',
    what: 'a connection may have one command more under way than the limit',
    file: 'src/session/session.c',
    find: '           session->inflight_count < session->env->inflight_max &&',
    replace: '           session->inflight_count <= session->env->inflight_max &&',
    by: ['sim', 'test:session/commands', 'test:session/random'],
  },
  {
    name: 'drained-too-early',
    breaks: 'P27',
    what: 'a stop does not wait for publishes that are under way',
    file: 'src/server/reactor.c',
    find: `    if (!reactor->draining || reactor->drained_told || conns_busy(reactor) ||
        !hosts_idle(reactor)) {`,
    replace: '    if (!reactor->draining || reactor->drained_told) {',
    by: ['sim', 'e2e:lifecycle/what is in flight when a drain begins'],
  },
  {
    name: 'never-drained',
    breaks: 'P27',
    what: 'a reactor that was busy when the stop began never says that it is done',
    file: 'src/server/reactor.c',
    find: `        !hosts_idle(reactor)) {
        return;`,
    replace: `        !hosts_idle(reactor)) {
        reactor->drained_told = reactor->draining;
        return;`,
    by: ['sim', 'e2e:lifecycle/SIGTERM'],
  },
  {
    name: 'wall-clock-for-deadlines',
    breaks: 'P26',
    what: 'deadlines are measured by a clock that can be set',
    file: 'src/server/reactor.c',
    edits: [
      {
        find: '    reactor->mono_ms = clock_mono_ns(server->clock) / CLOCK_MS;',
        replace: '    reactor->mono_ms = clock_wall_ms(server->clock);',
      },
      {
        find: '    reactor->mono_ms = clock_mono_ns(reactor->server->clock) / CLOCK_MS;',
        replace: '    reactor->mono_ms = clock_wall_ms(reactor->server->clock);',
      },
    ],
    by: ['sim', 'e2e:clock'],
  },
  {
    name: 'mask-forgotten-between-pieces',
    breaks: 'I13',
    what: 'a payload that comes in pieces is unmasked from the mask\'s first byte each time',
    file: 'src/wire/ws_decode.c',
    find: '    ws_mask(',
    replace: '    decoder->mask_at_ = 0;\n    ws_mask(',
    by: ['sim', 'test:wire/ws_decode'],
  },
];

// ---- threads: the simulator has rings and workers of its own -----------------------------------

const threads = [
  {
    name: 'ring-index-relaxed',
    breaks: 'I2',
    what: 'a ring\'s index is published without a release, so an item may be seen too early',
    file: 'src/ring/spsc.c',
    find: '    atomic_store_explicit(&ring->tail_, tail + 1, memory_order_release);',
    replace: '    atomic_store_explicit(&ring->tail_, tail + 1, memory_order_relaxed);',
    by: ['tsan:ring/spsc'],
  },
  {
    name: 'ring-batch-seen-before-its-items',
    breaks: 'I2',
    what: 'items pushed together can be seen by the other thread before they are written',
    file: 'src/ring/spsc.c',
    find: '        atomic_store_explicit(&ring->tail_, tail + taken, memory_order_release);',
    replace: '        atomic_store_explicit(&ring->tail_, tail + taken, memory_order_relaxed);',
    by: ['tsan:ring/spsc'],
  },
  {
    name: 'ring-slot-reused-while-it-is-read',
    breaks: 'I2',
    what: 'slots popped together are given back to the producer before they have been read',
    file: 'src/ring/spsc.c',
    find: '        atomic_store_explicit(&ring->head_, head + taken, memory_order_release);',
    replace: '        atomic_store_explicit(&ring->head_, head + taken, memory_order_relaxed);',
    by: ['tsan:ring/spsc'],
  },
  {
    name: 'doorbell-without-a-fence',
    breaks: 'I12',
    what: 'a sleeper looks at its rings before others can see that it is about to sleep',
    file: 'src/ring/doorbell.c',
    find: `    /* D1: full fence, pairs with D2: our store before our second look at the rings. */
    atomic_thread_fence(memory_order_seq_cst);`,
    replace: '',
    by: ['test:ring/doorbell'],
  },
  {
    name: 'success-before-it-is-done',
    breaks: 'I4',
    what: 'a worker hands a job back before it has run it',
    file: 'src/io/worker.c',
    find: `    job->run(job);
    const bool pushed = spsc_push(&lane->from, job);
    ASSERT(pushed);`,
    replace: `    const bool pushed = spsc_push(&lane->from, job);
    ASSERT(pushed);
    job->run(job);`,
    by: ['test:io/worker', 'tsan:io/worker'],
  },
  {
    name: 'mail-lost-when-full',
    breaks: 'I1 I12',
    what: 'mail for a reactor whose ring is full is dropped',
    file: 'src/server/mesh.c',
    edits: [
      {
        find: '    const uint32_t room = spsc_room(&pipe->ring, FLUSH_MAILS);',
        replace: '    const uint32_t room = FLUSH_MAILS;',
      },
      {
        find: '    ASSERT(pushed == count);',
        replace: '    (void)pushed;',
      },
    ],
    by: ['test:server/mesh'],
  },
];

export const mutants = [...durability, ...recovery, ...producers, ...retention, ...subscribers,
  ...slow, ...reading, ...server, ...threads, ...connections, ...deflate,
  ...meetings, ...library];
