/* Publishes ten messages, subscribes to them from the beginning, and prints what comes.
 *
 *     cc hello.c $(pkg-config --cflags --libs seriatim) -o hello
 *     ./hello ws://127.0.0.1:8470
 */
#include <inttypes.h>
#include <poll.h>
#include <seriatim/client.h>
#include <stdio.h>
#include <string.h>

static int received;
static int acknowledged;

static void on_message(void *user, const struct seriatim_message *m)
{
    (void)user;
    printf("%" PRIu64 " %.*s\n", m->seq, (int)m->data_size, (const char *)m->data);
    received++;
}

static void on_published(void *user, const struct seriatim_published *p)
{
    (void)user;
    if (p->status != SERIATIM_OK) {
        fprintf(stderr, "not published: %s %s\n", seriatim_status_text(p->status), p->text);
    }
    acknowledged++;
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    (void)user;
    if (connection == SERIATIM_CONNECTING || connection == SERIATIM_FAILED) {
        fprintf(stderr, "%s\n", why);
    }
}

int main(int argc, char **argv)
{
    const char *endpoints[] = {argc > 1 ? argv[1] : "ws://127.0.0.1:8470"};
    const struct seriatim_client_options options = {
        .size = sizeof(options),
        .endpoints = endpoints,
        .endpoint_count = 1,
        .on_published = on_published,
        .on_connection = on_connection,
    };
    struct seriatim_client *client;
    const char *why = NULL;
    if (seriatim_client_new(&options, &client, &why) != SERIATIM_OK) {
        fprintf(stderr, "%s\n", why != NULL ? why : "no client");
        return 1;
    }
    const struct seriatim_subscribe subscribe = {.size = sizeof(subscribe),
                                                 .channel = "hello",
                                                 .from = SERIATIM_EARLIEST,
                                                 .window = 100,
                                                 .on_message = on_message};
    if (seriatim_subscribe(client, &subscribe, NULL) != SERIATIM_OK) {
        return 1;
    }
    for (int i = 0; i < 10; i++) {
        char text[32];
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        const struct seriatim_publish publish = {
            .size = sizeof(publish), .channel = "hello", .data = text, .data_size = strlen(text)};
        if (seriatim_publish(client, &publish) != SERIATIM_OK) {
            return 1;
        }
    }
    /* One descriptor for poll(2), among whatever else the program waits for. */
    while (received < 10 || acknowledged < 10) {
        struct pollfd fd = {.fd = seriatim_client_fd(client), .events = POLLIN};
        if (poll(&fd, 1, 10000) <= 0 || seriatim_client_turn(client) != SERIATIM_OK) {
            return 1;
        }
    }
    return seriatim_client_close(client, 1000) == SERIATIM_OK ? 0 : 1;
}
