/* A wall clock that is set while the server runs, put between it and the C library with LD_PRELOAD.
 *
 * FAULT_CLOCK names a file with a whole number of milliseconds, which may be negative: by so much
 * CLOCK_REALTIME is wrong. No other clock is touched.
 *
 * Thread: any.  Memory: none. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t shift_ms(void)
{
    const char *name = getenv("FAULT_CLOCK");
    char text[32] = "";
    const int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t size = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    int64_t value = 0;
    for (ssize_t i = text[0] == '-' ? 1 : 0; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
        value = value * 10 + (text[i] - '0');
    }
    return text[0] == '-' ? -value : value;
}

int clock_gettime(clockid_t id, struct timespec *to)
{
    const int rc = (int)syscall(SYS_clock_gettime, id, to);
    if (rc == 0 && id == CLOCK_REALTIME) {
        const int64_t all_ms = (int64_t)to->tv_sec * 1000 + to->tv_nsec / 1000000 + shift_ms();
        to->tv_sec = (time_t)(all_ms / 1000);
        to->tv_nsec = (long)(all_ms % 1000) * 1000000;
    }
    return rc;
}
