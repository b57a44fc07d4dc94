/* Bounds of work and memory that are no settings, in one place, so that tests can make them tiny: a
 * world with a credit of 2 KiB meets what a server with 8 MiB meets once a year.
 *
 * Nobody writes to it but a test or the simulator, before anything runs. What each is for is said
 * where it is used.
 *
 * Thread: any; read only while a server runs.  Memory: none. */
#ifndef BASE_TUNE_H
#define BASE_TUNE_H

#include <stddef.h>
#include <stdint.h>

struct tune {
    /* server */
    size_t credit_bytes;   /* publishes that a reactor has under way to a partition; one larger
                            * publish may always go alone */
    size_t parcel_bytes;   /* a parcel of more leaves before the turn ends */
    size_t feeds_bytes;    /* what the whole of a reactor's feeds may hold */
    size_t tail_bytes;     /* [I11] what one batch may become when it is encoded for those who
                            * follow (of messages of one byte, in a channel with a long name, a
                            * hundredfold); what is beyond is told by number only */
    size_t history_bytes;  /* of the messages in one reply to a history */
    size_t catch_up_bytes; /* one read for a cursor: enough to fill a socket's buffer in a few,
                            * small enough to throw away; and one that takes whole ones gets … */
    size_t flow_bytes;     /* … so much at a time, while the next is read … */
    unsigned flow_chunks;  /* … if so many whole ones go out between two stalls; 1 to 15 */
    size_t out_bytes;      /* what may wait to be sent before no more commands are taken */
    size_t pong_bytes;     /* what may wait to be sent where a ping is answered at once */
    size_t read_bytes;     /* taken from sockets at a time: from one, or of each … */
    size_t part_bytes;     /* … at least so much, of as many as that allows */
    size_t flush_bytes;    /* gathered for one write */
    size_t
        deflate_bytes; /* [I12] compressed for all in one turn: some ms; the rest goes out plain */
    unsigned flush_rounds; /* writes of one connection in one turn */
    unsigned accepts;      /* of one turn */
    unsigned newcomers;    /* sockets of one turn that have not said who they are: so a crowd that
                            * comes at once takes a millisecond or two of each turn */
    unsigned
        waiting_room;    /* newcomers in all; with more, if they crowd, the kernel holds the rest */
    unsigned mails;      /* of one turn */
    size_t slice_bytes;  /* of a checkpoint's state, encoded in one turn: some tenth of a ms */
    unsigned slice_rows; /* of a survey's, looked at in one turn and trimmed by one record */
    unsigned checkpoints;    /* of a partition that wait to be written; 2 to CHECKPOINTS_MAX … */
    size_t checkpoint_bytes; /* … while they hold less than this together */
    unsigned host_reads;     /* of a partition at the reader at a time; more wait, in order */
    /* session */
    unsigned session_reads; /* [I11] of a session, under way or held: enough to keep the socket busy
                             * while the log is read, and a bound on what a client with a thousand
                             * subscriptions can make it hold */
    uint32_t read_count;    /* messages that a cursor asks for at once */
    uint32_t subs_listed;   /* subscriptions of a session that are looked through; more have a map:
                             * a look at so many names costs what a hash and a probe do */
    /* server: of a span, in which a slow subscription gets the newest message of each key */
    uint32_t conflate_count;   /* messages: what is worth a few ms of the reader */
    size_t conflate_bytes;     /* [I12] of their payloads, likewise */
    size_t conflate_key_bytes; /* [I11] of the keys that are remembered meanwhile */
    /* log */
    uint32_t read_places; /* of records, copied for one read; a read that wants more ends early and
                           * is begun anew by its caller */
    /* core */
    uint32_t producer_runs;  /* kept per producer and channel; 2^k up to PRODUCER_RUNS_MAX */
    uint32_t channel_epochs; /* remembered per channel; 2^k up to CHANNEL_EPOCHS_MAX */
    /* sdk */
    size_t intake_bytes;   /* of the ring that publishes go through; 2^k */
    uint32_t staged_count; /* messages that one write of the outbox's file takes … */
    size_t staged_bytes;   /* … and their bytes */
    size_t rewrite_bytes;  /* below, an outbox's file is not written anew */
    size_t pending_bytes;  /* that wait for the socket, before more is encoded */
};

extern struct tune tune;
/* What a server has. */
extern const struct tune tune_default;

#endif
