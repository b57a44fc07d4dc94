/* Shuts the file system down that a path lies on, as a power cut would: nothing that is not on the
 * disk yet gets there, the journal included; every later write and sync fails with EIO.
 *
 *   fs_shutdown PATH
 *
 * Thread: one.  Memory: none. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Of ext4 and xfs alike; in the kernel's headers only since 6.17. */
#define SHUTDOWN              _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOG_FLUSH 2u

int main(int count, char **arguments)
{
    if (count != 2) {
        (void)fputs("usage: fs_shutdown PATH\n", stderr);
        return 2;
    }
    const int fd = open(arguments[1], O_RDONLY | O_CLOEXEC);
    uint32_t how = SHUTDOWN_NO_LOG_FLUSH;
    if (fd < 0 || ioctl(fd, SHUTDOWN, &how) != 0) {
        perror(arguments[1]);
        return 1;
    }
    (void)close(fd);
    return 0;
}
