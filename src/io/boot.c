#include "io/boot.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

void boot_id(char *to, size_t size)
{
    to[0] = '\0';
    const int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const ssize_t count = read(fd, to, size - 1);
        to[count > 0 ? count : 0] = '\0';
        (void)close(fd);
    }
    to[strcspn(to, "\n")] = '\0';
}
