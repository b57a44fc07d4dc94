/* CRC-32C (Castagnoli), as in iSCSI: reflected, polynomial 0x1EDC6F41, check value 0xE3069283.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/bytes.h"

/* The checksum of `bytes`, going on from `crc` (0 for a first piece). */
uint32_t crc32c(uint32_t crc, struct bytes bytes);
/* The portable way, whatever the processor can do: the oracle of the tests. */
uint32_t crc32c_portable(uint32_t crc, struct bytes bytes);

#endif
