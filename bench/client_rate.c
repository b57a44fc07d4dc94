/* What the C client library does in a second: how many messages it publishes, from any number of
 * threads, until all of them are acknowledged; and how many it receives, from the beginning of the
 * same channel, through the callback.
 *
 *     build/bench/client_rate [URL [MESSAGES [BYTES [THREADS [OUTBOX]]]]]
 *
 * It prints the rate by the clock, and by the processor time that the client's side took: on a
 * machine where the server has the same cores, the second one is the library's own. */
#include "base/bytes.h"

#include <inttypes.h>
#include <pthread.h>
#include <seriatim/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define THREADS_MAX 64u
#define BYTES_MAX   65536u

struct load {
    struct seriatim_client *client;
    const char *channel;
    uint64_t messages; /* of each thread */
    size_t bytes;
};

struct counts {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    uint64_t wanted;
    uint64_t count;
    uint64_t failed;
    uint64_t next; /* seq */
};

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void count_one(struct counts *counts, bool good)
{
    counts->failed += good ? 0 : 1;
    if (++counts->count == counts->wanted) {
        (void)pthread_mutex_lock(&counts->mutex);
        (void)pthread_cond_signal(&counts->done);
        (void)pthread_mutex_unlock(&counts->mutex);
    }
}

static void on_published(void *user, const struct seriatim_published *published)
{
    count_one(user, published->status == SERIATIM_OK);
}

static void on_message(void *user, const struct seriatim_message *message)
{
    struct counts *counts = user;
    const bool dense = message->seq == counts->next++;
    count_one(counts, dense);
}

static void *publish(void *ctx)
{
    const struct load *load = ctx;
    uint8_t data[BYTES_MAX];
    bytes_zero(data, sizeof(data));
    for (uint64_t i = 0; i < load->messages; i++) {
        bytes_store_u64(data, i);
        const struct seriatim_publish p = {.size = sizeof(p),
                                           .channel = load->channel,
                                           .data = data,
                                           .data_size = load->bytes,
                                           .bytes = true};
        enum seriatim_status status = seriatim_publish(load->client, &p);
        if (status == SERIATIM_FULL) {
            status = seriatim_publish_wait(load->client, &p, SERIATIM_FOR_EVER);
        }
        if (status != SERIATIM_OK) {
            (void)fprintf(stderr, "%s\n", seriatim_status_text(status));
            exit(1);
        }
    }
    return NULL;
}

static void wait_all(struct counts *counts)
{
    (void)pthread_mutex_lock(&counts->mutex);
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 120;
    int error = 0;
    while (counts->count < counts->wanted && error == 0) {
        error = pthread_cond_timedwait(&counts->done, &counts->mutex, &end);
    }
    (void)pthread_mutex_unlock(&counts->mutex);
    if (counts->count < counts->wanted || counts->failed > 0) {
        (void)fprintf(stderr, "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " of them wrong\n",
                      counts->count, counts->wanted, counts->failed);
        exit(1);
    }
}

static void report(const char *what, uint64_t count, double wall, double cpu)
{
    (void)printf("%s: %" PRIu64 " messages, %.0f a second by the clock, %.0f a second of processor "
                 "time\n",
                 what, count, (double)count / wall, (double)count / cpu);
}

static struct seriatim_client *open_client(const char *url, const char *outbox,
                                           struct counts *counts)
{
    const struct seriatim_client_options options = {.size = sizeof(options),
                                                    .endpoints = &url,
                                                    .endpoint_count = 1,
                                                    .outbox = outbox,
                                                    .thread = true,
                                                    .user = counts,
                                                    .on_published = on_published};
    struct seriatim_client *client;
    const char *why = NULL;
    const enum seriatim_status status = seriatim_client_new(&options, &client, &why);
    if (status != SERIATIM_OK) {
        (void)fprintf(stderr, "%s\n", why == NULL ? seriatim_status_text(status) : why);
        exit(1);
    }
    return client;
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9' && value <= max; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    if (*text != '\0' || value == 0 || value > max) {
        (void)fprintf(stderr, "a number from 1 to %" PRIu64 " is needed\n", max);
        exit(2);
    }
    return value;
}

static void measure_publish(struct load *load, unsigned threads, const char *url,
                            const char *outbox)
{
    struct counts counts = {.wanted = load->messages * threads};
    pthread_t ids[THREADS_MAX];
    (void)pthread_mutex_init(&counts.mutex, NULL);
    (void)pthread_cond_init(&counts.done, NULL);
    load->client = open_client(url, outbox, &counts);
    const double wall = seconds_of(CLOCK_MONOTONIC);
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, publish, load) != 0) {
            exit(1);
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
    }
    wait_all(&counts);
    report("published", counts.wanted, seconds_of(CLOCK_MONOTONIC) - wall,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    (void)seriatim_client_close(load->client, 0);
}

static void measure_receive(const struct load *load, uint64_t wanted, const char *url)
{
    struct counts counts = {.wanted = wanted, .next = 1};
    (void)pthread_mutex_init(&counts.mutex, NULL);
    (void)pthread_cond_init(&counts.done, NULL);
    struct seriatim_client *client = open_client(url, NULL, &counts);
    const struct seriatim_subscribe subscribe = {.size = sizeof(subscribe),
                                                 .channel = load->channel,
                                                 .from = SERIATIM_EARLIEST,
                                                 .user = &counts,
                                                 .on_message = on_message};
    const double wall = seconds_of(CLOCK_MONOTONIC);
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    if (seriatim_subscribe(client, &subscribe, NULL) != SERIATIM_OK) {
        exit(1);
    }
    wait_all(&counts);
    report("received", wanted, seconds_of(CLOCK_MONOTONIC) - wall,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    (void)seriatim_client_close(client, 0);
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "ws://127.0.0.1:8470";
    const uint64_t messages = argc > 2 ? number(argv[2], 100000000) : 1000000;
    const size_t bytes = argc > 3 ? number(argv[3], BYTES_MAX) : 100;
    const unsigned threads = argc > 4 ? (unsigned)number(argv[4], THREADS_MAX) : 1;
    char channel[40];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(channel, sizeof(channel), "rate-%lld", (long long)now.tv_sec);
    struct load load = {
        .channel = channel, .messages = messages / threads, .bytes = bytes < 8 ? 8 : bytes};
    measure_publish(&load, threads, url, argc > 5 ? argv[5] : NULL);
    measure_receive(&load, load.messages * threads, url);
    return 0;
}
