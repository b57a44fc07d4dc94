#include "cli/runtime.h"

#include "cli/cli.h"
#include "wire/json_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* POLLOUT on a pipe promises room for this much, so that such a write does not block. */
#define PIECE_BYTES 4096u
static_assert(PIECE_BYTES <= PIPE_BUF, "as pipe(7) says");

#define FLUSH_AFTER_SIGNAL_MS 1000u

static volatile sig_atomic_t stop_signal;
static sigset_t waiting_mask; /* while waiting: nothing of ours is blocked */

static void on_signal(int number)
{
    stop_signal = number;
}

/* The kernel gives the lowest number that is free: without this the first file that is opened would
 * be standard error, and what is logged would go into it. What takes the places can be neither read
 * (0) nor written (1), so that who wants to is told; what is said on 2 is lost, as was asked for.
 */
bool runtime_descriptors_hold(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    static_assert(STDIN_FILENO == 0 && STDOUT_FILENO == 1 && STDERR_FILENO == 2, "as in modes[]");
    for (int fd = 0; fd < 3; fd++) {
        /* Lower ones are taken: it gets this number. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) {
            return false;
        }
    }
    return true;
}

bool runtime_can_write(const char *path)
{
    struct stat found;
    if (path == NULL || strcmp(path, "-") == 0) {
        return true;
    }
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) {
        return true; /* who reads a pipe would take this for all of it */
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        cli_say("cannot write %s: %s", path, strerror(errno));
        return false;
    }
    (void)close(fd);
    return true;
}

enum rc runtime_channel(const char *command, const char *name)
{
    if (wire_channel_name_valid(bytes_of_text(name))) {
        return RC_OK;
    }
    (void)cli_refuse_text(command,
                          "a channel's name is 1 to 255 bytes of UTF-8 without control characters");
    return RC_USAGE;
}

void runtime_init(void)
{
    sigset_t blocked;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &waiting_mask);
    (void)sigdelset(&waiting_mask, SIGINT);
    (void)sigdelset(&waiting_mask, SIGTERM);
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int runtime_stopped(void)
{
    return stop_signal;
}

uint64_t runtime_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t runtime_now_ms(void)
{
    return runtime_now_ns() / 1000000u;
}

void runtime_stop_waiting(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

uint64_t runtime_random(void)
{
    uint64_t value = 0;
    const ssize_t got = getrandom(&value, sizeof(value), 0);
    ASSERT(got == (ssize_t)sizeof(value)); /* 8 bytes are never cut short */
    return value;
}

void runtime_wait(struct pollfd *fds, nfds_t count, uint64_t deadline_ms)
{
    runtime_wait_ns(fds, count,
                    deadline_ms > UINT64_MAX / 1000000u ? UINT64_MAX : deadline_ms * 1000000u);
}

void runtime_wait_ns(struct pollfd *fds, nfds_t count, uint64_t deadline_ns)
{
    const uint64_t now = runtime_now_ns();
    const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u),
                                     .tv_nsec = (long)(left % 1000000000u)};
    const bool for_ever = deadline_ns == UINT64_MAX;
    if (ppoll(fds, count, for_ever ? NULL : &timeout, &waiting_mask) < 0) {
        for (nfds_t i = 0; i < count; i++) {
            fds[i].revents = 0; /* a signal: nothing is known of them */
        }
    }
}

/* The URL given, else the environment's, else the default; and its text. */
static enum rc find_url(const char *command, const char *given, struct client_url *ret_url,
                        const char **ret_text)
{
    const char *text = given;
    const char *name = "--url";
    if (text == NULL) {
        text = getenv("SERIATIM_URL");
        name = "SERIATIM_URL";
    }
    if (text == NULL || *text == '\0') {
        text = CLIENT_URL_DEFAULT;
    }
    const char *why = NULL;
    *ret_text = text;
    if (client_url_parse(text, ret_url, &why) == RC_OK) {
        return RC_OK;
    }
    (void)cli_refuse_text(command, "%s: '%s' is no URL of a server: %s (such as %s)", name, text,
                          why, CLIENT_URL_DEFAULT);
    return RC_USAGE;
}

enum rc runtime_url(const char *command, const char *given, struct client_url *ret_url)
{
    const char *text;
    return find_url(command, given, ret_url, &text);
}

enum rc runtime_url_text(const char *command, const char *given, const char **ret_text)
{
    struct client_url url;
    return find_url(command, given, &url, ret_text);
}

void runtime_tell_lost(struct runtime_news *news, const char *why)
{
    if (news->out) {
        return;
    }
    news->out = true;
    cli_say("%s; trying again%s", why,
            news->connected ? "" : " (is the server running? `seriatim serve` starts one)");
}

void runtime_tell_ready(struct runtime_news *news)
{
    if (news->out) {
        cli_say("connected%s", news->connected ? " again" : "");
    }
    news->out = false;
    news->connected = true;
}

void output_init(struct output *output)
{
    struct stat stat;
    *output = (struct output){0};
    output->regular = fstat(STDOUT_FILENO, &stat) == 0 && S_ISREG(stat.st_mode);
}

void output_deinit(struct output *output)
{
    buf_deinit(&output->buf);
}

/* Waits until the reader takes something; false: a signal came, and the second after it is over. */
static bool wait_for_reader(uint64_t *give_up_ms)
{
    if (runtime_stopped() != 0 && *give_up_ms == UINT64_MAX) {
        *give_up_ms = runtime_now_ms() + FLUSH_AFTER_SIGNAL_MS;
    }
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    runtime_wait(&fd, 1, *give_up_ms);
    return fd.revents != 0 || runtime_now_ms() < *give_up_ms;
}

enum rc output_flush(struct output *output)
{
    size_t at = 0;
    uint64_t give_up_ms = UINT64_MAX;
    while (at < output->buf.size && !output->failed) {
        size_t size = output->buf.size - at;
        if (!output->regular) {
            size = size < PIECE_BYTES ? size : PIECE_BYTES;
            struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
            if (poll(&fd, 1, 0) == 0) {
                output->failed = !wait_for_reader(&give_up_ms);
                continue;
            }
        }
        const ssize_t written = write(STDOUT_FILENO, output->buf.data + at, size);
        if (written >= 0) {
            at += (size_t)written;
        } else if (errno != EINTR && errno != EAGAIN) {
            output->failed = true;
            if (errno != EPIPE) {
                cli_say("cannot write to standard output: %s", strerror(errno));
            }
        }
    }
    buf_clear(&output->buf);
    return output->failed ? RC_IO : RC_OK;
}
