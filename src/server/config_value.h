/* The texts of numbers, sizes, durations and addresses, both ways.
 *
 * What is formatted can be parsed again and gives the same value.
 *
 * Thread: any.  Memory: none. */
#ifndef SERVER_CONFIG_VALUE_H
#define SERVER_CONFIG_VALUE_H

#include "base/bytes.h"
#include "base/rc.h"
#include "server/config.h"

#define CONFIG_NUMBER_TEXT_SIZE 32u

/* Decimal digits only, no sign, no leading zero but in "0". RC_BAD, also where it overflows */
MUST_USE enum rc config_parse_count(struct bytes text, uint64_t *ret_count);
/* Bytes: a number and one of nothing, B, KiB, MiB, GiB, TiB. RC_BAD */
MUST_USE enum rc config_parse_size(struct bytes text, uint64_t *ret_bytes);
/* Milliseconds: a number and one of ms, s, m, h, d; "0" alone too. RC_BAD */
MUST_USE enum rc config_parse_duration(struct bytes text, uint64_t *ret_ms);
/* "true" or "false". RC_BAD */
MUST_USE enum rc config_parse_bool(struct bytes text, bool *ret_bool);
/* HOST:PORT or [IPv6]:PORT. RC_BAD */
MUST_USE enum rc config_parse_address(struct bytes text, struct config_address *ret_address);

void config_format_size(uint64_t bytes, char text[static CONFIG_NUMBER_TEXT_SIZE]);
void config_format_duration(uint64_t ms, char text[static CONFIG_NUMBER_TEXT_SIZE]);

#endif
