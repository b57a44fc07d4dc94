/* Members that an object must have; a broken promise where they are missing.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_MEMBER_H
#define SIM_MEMBER_H

#include "sim/value.h"

uint64_t member_u64(const struct value *object, const char *name);
const char *member_text(const struct value *object, const char *name);

#endif
