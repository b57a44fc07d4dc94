/* Which boot of the machine this is.
 *
 * Thread: any.  Memory: none. */
#ifndef IO_BOOT_H
#define IO_BOOT_H

#include <stddef.h>

/* A text that differs from boot to boot; empty where nobody knows. */
void boot_id(char *to, size_t size);

#endif
