/* Every bound of the program that is not a setting, with its unit and its reason.
 *
 * Settings (server/config) have their own ranges; where one of them is bounded by a constant, the
 * constant is here.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <assert.h>

#define KIB (1024u)
#define MIB (1024u * KIB)

#define CACHE_LINE 64 /* bytes; x86-64 and most arm64 */

/* Names. [P 2]: channel names are 1 to 255 bytes; keys and producer ids follow suit, so that each
 * length fits a byte in a record. */
#define CHANNEL_NAME_BYTES_MAX 255u
#define KEY_BYTES_MAX          255u
#define PRODUCER_ID_BYTES_MAX  255u

/* [P 2] Integers on the wire are exact in a double: 2^53 - 1. */
#define WIRE_INTEGER_MAX 9007199254740991u

/* [P 3] publish: a batch holds 1 to 1000 messages; history gives 1 to 1000 and 1 MiB a reply. */
#define BATCH_MESSAGES_MAX   1000u
#define HISTORY_MESSAGES_MAX 1000u
#define HISTORY_BYTES_MAX    MIB

/* One message's data: 1 MiB by default, a setting up to this. */
#define MESSAGE_BYTES_DEFAULT MIB
#define MESSAGE_BYTES_MAX     (16u * MIB)

/* A frame may hold a batch: several messages and their names. Before `connect` a client is nobody,
 * and gets room for a token (8 KiB) and little else. */
#define FRAME_BYTES_DEFAULT        (4u * MIB)
#define FRAME_BYTES_MAX            (64u * MIB)
#define FRAME_BYTES_BEFORE_CONNECT (16u * KIB)

/* HTTP/1.1 head, from the security checklist: 16 KiB and 100 fields. */
#define HTTP_HEAD_BYTES_MAX (16u * KIB)
#define HTTP_FIELDS_MAX     100u

/* JSON nesting: enough for any payload made by hand or machine, and no stack at stake (the scanner
 * keeps one bit a level). */
#define JSON_DEPTH_MAX 512u

/* Messages that a subscription may have unacknowledged ([P 3] window). */
#define WINDOW_MAX 1000000u

static_assert(FRAME_BYTES_DEFAULT <= FRAME_BYTES_MAX, "the default is a legal setting");
static_assert(MESSAGE_BYTES_DEFAULT <= MESSAGE_BYTES_MAX, "the default is a legal setting");

#endif
