/* A program on the C client library, for test/e2e/client_library.test.mjs, which kills it.
 *
 *   sdk_actor publish URL CHANNEL RUN COUNT OUTBOX CODEC    messages {"run":RUN,"n":1…COUNT}
 *       "t N"      number N is in the outbox, on disk
 *       "a SEQ"    one was acknowledged, of this run or of one before
 *       "end"      everything was
 *   sdk_actor subscribe URL CHANNEL COUNT WINDOW CODEC THREAD
 *       "m SEQ DATA"  a message; "g FROM TO"  a gap
 *   sdk_actor history URL CHANNEL CODEC       all of it, by pages of 3, then its digest
 *       "m SEQ DATA"  a message; "h EARLIEST LATEST MORE"  the end of a page; "d SEQ DIGEST"
 *       "e STATUS CODE"  an answer that says no
 *   sdk_actor pending URL OUTBOX      "p CHANNEL NUMBER DATA" for each that waits; nothing is sent
 *
 * Each line is written at once. Status 1 and a word on standard error: it failed. */
#include <inttypes.h>
#include <poll.h>
#include <seriatim/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct actor {
    uint64_t wanted;
    uint64_t count;
    bool over;
    int told[2]; /* a pipe: the end, from the client's thread */
};

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (write(STDOUT_FILENO, line, (size_t)size) != size) {
        exit(1);
    }
}

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

static void on_published(void *user, const struct seriatim_published *p)
{
    (void)user;
    if (p->status != SERIATIM_OK) {
        die(p->text);
    }
    say("a %" PRIu64 "\n", p->seq);
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    (void)user;
    if (connection == SERIATIM_FAILED) {
        die(why);
    }
}

static struct seriatim_client *open_client(struct actor *actor, const char *url, const char *outbox,
                                           const char *codec, bool thread)
{
    const struct seriatim_client_options options = {
        .size = sizeof(options),
        .endpoints = &url,
        .endpoint_count = 1,
        .codec = strcmp(codec, "json") == 0 ? SERIATIM_JSON : SERIATIM_BINARY,
        .outbox = outbox,
        .thread = thread,
        .user = actor,
        .on_published = on_published,
        .on_connection = on_connection,
    };
    struct seriatim_client *client;
    const char *why = NULL;
    const enum seriatim_status status = seriatim_client_new(&options, &client, &why);
    if (status != SERIATIM_OK) {
        die(why == NULL ? seriatim_status_text(status) : why);
    }
    return client;
}

static int publish(char **argv)
{
    struct actor actor = {.over = false};
    struct seriatim_client *client = open_client(&actor, argv[2], argv[6], argv[7], true);
    const uint64_t count = (uint64_t)atoll(argv[5]);
    for (uint64_t n = 1; n <= count; n++) {
        char data[80];
        (void)snprintf(data, sizeof(data), "{\"run\":%s,\"n\":%" PRIu64 "}", argv[4], n);
        const struct seriatim_publish p = {
            .size = sizeof(p), .channel = argv[3], .data = data, .data_size = strlen(data)};
        /* Most go together, and wait for nothing; now and then one waits until all are on disk. */
        const enum seriatim_status status =
            n % 10 == 0 || n == count ? seriatim_publish_wait(client, &p, SERIATIM_FOR_EVER)
                                      : seriatim_publish(client, &p);
        if (status != SERIATIM_OK) {
            die(seriatim_status_text(status));
        }
        if (n % 10 == 0 || n == count) {
            say("t %" PRIu64 "\n", n);
        }
    }
    if (seriatim_client_close(client, 60000) != SERIATIM_OK) {
        die("not everything was acknowledged");
    }
    say("end\n");
    return 0;
}

static void on_message(void *user, const struct seriatim_message *m)
{
    struct actor *actor = user;
    say("m %" PRIu64 " %.*s\n", m->seq, (int)m->data_size, (const char *)m->data);
    if (++actor->count == actor->wanted) {
        actor->over = true;
        if (write(actor->told[1], "", 1) != 1) {
            exit(1);
        }
    }
}

static void on_gap(void *user, const struct seriatim_gap *gap)
{
    (void)user;
    say("g %" PRIu64 " %" PRIu64 "\n", gap->from, gap->to);
}

static int subscribe(char **argv)
{
    struct actor actor = {.wanted = (uint64_t)atoll(argv[4])};
    const bool thread = strcmp(argv[7], "thread") == 0;
    if (pipe(actor.told) != 0) {
        die("no pipe");
    }
    struct seriatim_client *client = open_client(&actor, argv[2], NULL, argv[6], thread);
    const struct seriatim_subscribe ask = {.size = sizeof(ask),
                                           .channel = argv[3],
                                           .from = SERIATIM_EARLIEST,
                                           .window = (uint32_t)atoi(argv[5]),
                                           .user = &actor,
                                           .on_message = on_message,
                                           .on_gap = on_gap};
    if (seriatim_subscribe(client, &ask, NULL) != SERIATIM_OK) {
        die("not subscribed");
    }
    char end;
    if (thread && read(actor.told[0], &end, 1) != 1) {
        die("no end");
    }
    while (!thread && !actor.over) {
        struct pollfd fd = {.fd = seriatim_client_fd(client), .events = POLLIN};
        (void)poll(&fd, 1, -1);
        if (seriatim_client_turn(client) != SERIATIM_OK) {
            die("failed");
        }
    }
    (void)seriatim_client_close(client, 0);
    return 0;
}

static void on_element(void *user, const struct seriatim_message *m)
{
    struct actor *actor = user;
    say("m %" PRIu64 " %.*s\n", m->seq, (int)m->data_size, (const char *)m->data);
    actor->wanted = m->seq + 1;
}

static void on_digest(void *user, const struct seriatim_answer *answer)
{
    struct actor *actor = user;
    if (answer->status == SERIATIM_OK) {
        say("d %" PRIu64 " %016" PRIx64 "\n", answer->seq, answer->digest);
    } else {
        say("e %d %s\n", (int)answer->status, answer->code);
    }
    actor->over = ++actor->count == 2;
}

static struct seriatim_client *asking; /* the client of ask_page(), in callbacks */
static const char *asked;              /* its channel */

static void ask_page(struct actor *actor);

static void on_answer(void *user, const struct seriatim_answer *answer)
{
    say("h %" PRIu64 " %" PRIu64 " %d\n", answer->earliest, answer->latest, answer->more);
    if (answer->more) {
        ask_page(user);
        return;
    }
    struct seriatim_digest digest = {
        .size = sizeof(digest), .channel = asked, .user = user, .on_answer = on_digest};
    if (seriatim_digest(asking, &digest) != SERIATIM_OK) {
        die("not asked");
    }
    digest.seq = answer->latest + 1000;
    if (seriatim_digest(asking, &digest) != SERIATIM_OK) {
        die("not asked");
    }
}

static void ask_page(struct actor *actor)
{
    const struct seriatim_history page = {.size = sizeof(page),
                                          .channel = asked,
                                          .from = actor->wanted,
                                          .limit = 3,
                                          .user = actor,
                                          .on_message = on_element,
                                          .on_answer = on_answer};
    if (seriatim_history(asking, &page) != SERIATIM_OK) {
        die("not asked");
    }
}

static int history(char **argv)
{
    struct actor actor = {.wanted = 1};
    asked = argv[3];
    asking = open_client(&actor, argv[2], NULL, argv[4], false);
    ask_page(&actor);
    while (!actor.over) {
        struct pollfd fd = {.fd = seriatim_client_fd(asking), .events = POLLIN};
        (void)poll(&fd, 1, -1);
        (void)seriatim_client_turn(asking);
    }
    (void)seriatim_client_close(asking, 0);
    return 0;
}

static bool show(void *user, const struct seriatim_pending *p)
{
    (void)user;
    say("p %s %" PRIu64 " %.*s\n", p->channel, p->producer_seq, (int)p->data_size,
        (const char *)p->data);
    return true;
}

static int pending(char **argv)
{
    struct actor actor = {.over = false};
    struct seriatim_client *client = open_client(&actor, argv[2], argv[3], "json", false);
    seriatim_client_pending(client, show, NULL);
    (void)seriatim_client_close(client, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "publish") == 0) {
        return publish(argv);
    }
    if (argc == 8 && strcmp(argv[1], "subscribe") == 0) {
        return subscribe(argv);
    }
    if (argc == 5 && strcmp(argv[1], "history") == 0) {
        return history(argv);
    }
    if (argc == 4 && strcmp(argv[1], "pending") == 0) {
        return pending(argv);
    }
    die("wrong usage: see the head of sdk_actor.c");
}
