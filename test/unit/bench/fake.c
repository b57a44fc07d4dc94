#include "fake.h"

#include "base/mem.h"
#include "wire/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS         256u
#define CHANNELS      64u
#define CONN_CHANNELS 64u

/* One message after the other: a size, whether it is bytes, the payload. */
struct channel {
    struct buf name;
    struct buf messages;
    uint64_t count;
};

struct conn {
    int fd; /* 0: none */
    bool open;
    enum wire_codec codec;
    struct ws_decoder decoder;
    struct wire_scratch scratch;
    struct buf in;
    struct buf out;
    bool subscribed[CHANNELS];
};

static struct {
    int listener;
    int file;
    struct fake_manners manners;
    uint64_t commands;
    uint64_t messages;
    struct channel channels[CHANNELS];
    size_t channel_count;
    struct conn conns[CONNS];
} fake;

static void must(bool good)
{
    ASSERT(good);
}

/* ---- what it keeps ------------------------------------------------------------------------- */

static struct channel *channel_of(struct bytes name)
{
    for (size_t i = 0; i < fake.channel_count; i++) {
        if (bytes_equal(buf_bytes(&fake.channels[i].name), name)) {
            return &fake.channels[i];
        }
    }
    must(fake.channel_count < CHANNELS);
    struct channel *channel = &fake.channels[fake.channel_count++];
    *channel = (struct channel){0};
    must(buf_append(&channel->name, name) == RC_OK);
    return channel;
}

struct kept {
    uint32_t size;
    uint32_t is_bytes;
};

static void keep(struct channel *channel, struct bytes data, bool is_bytes)
{
    const struct kept head = {(uint32_t)data.size, is_bytes};
    must(buf_append(&channel->messages, bytes_of(&head, sizeof(head))) == RC_OK);
    must(buf_append(&channel->messages, data) == RC_OK);
    channel->count++;
}

/* In the file each has its channel's name in front. */
static void keep_in_file(const struct channel *channel, struct bytes data, bool is_bytes)
{
    const struct kept head[2] = {{(uint32_t)channel->name.size, 0},
                                 {(uint32_t)data.size, is_bytes}};
    struct buf line = {0};
    must(buf_append(&line, bytes_of(head, sizeof(head))) == RC_OK);
    must(buf_append(&line, buf_bytes(&channel->name)) == RC_OK);
    must(buf_append(&line, data) == RC_OK);
    must(write(fake.file, line.data, line.size) == (ssize_t)line.size);
    buf_deinit(&line);
}

static void read_file(void)
{
    struct kept head[2];
    while (read(fake.file, head, sizeof(head)) == (ssize_t)sizeof(head)) {
        struct buf line = {0};
        const size_t size = head[0].size + head[1].size;
        must(buf_reserve(&line, size) == RC_OK);
        must(read(fake.file, line.data, size) == (ssize_t)size);
        keep(channel_of(bytes_of(line.data, head[0].size)),
             bytes_of(line.data + head[0].size, head[1].size), head[1].is_bytes != 0);
        buf_deinit(&line);
    }
}

/* ---- connections --------------------------------------------------------------------------- */

static void hang_up(struct conn *conn)
{
    (void)close(conn->fd);
    ws_decoder_deinit(&conn->decoder);
    wire_scratch_deinit(&conn->scratch);
    buf_deinit(&conn->in);
    buf_deinit(&conn->out);
    *conn = (struct conn){0};
}

static void take_in(int fd)
{
    size_t i = 0;
    while (i < CONNS && fake.conns[i].fd != 0) {
        i++;
    }
    must(i < CONNS);
    const int on = 1; /* else what it says waits for what the other end has to say */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct conn *conn = &fake.conns[i];
    *conn = (struct conn){.fd = fd};
    ws_decoder_init(&conn->decoder, WS_SERVER);
    wire_scratch_init(&conn->scratch);
}

static bool is_silent(void)
{
    return fake.manners.silent_from != 0 && fake.commands >= fake.manners.silent_from;
}

static void say(struct conn *conn, struct buf *text)
{
    if (!is_silent()) {
        must(ws_frame_append(&conn->out, codec_opcode(conn->codec), buf_bytes(text)) == RC_OK);
    }
    buf_deinit(text);
}

static void say_message(struct conn *conn, const struct channel *channel, uint64_t seq,
                        struct bytes data, bool is_bytes)
{
    struct buf scratch = {0};
    const struct wire_message message = {.channel = buf_bytes(&channel->name),
                                         .seq = seq,
                                         .message_id = seq,
                                         .time_ms = 1,
                                         .data = data,
                                         .is_bytes = is_bytes};
    if (!is_silent()) {
        must(codec_encode_message_frame(conn->codec, &conn->out, &message, &scratch) == RC_OK);
    }
    buf_deinit(&scratch);
}

/* ---- commands ------------------------------------------------------------------------------ */

static void on_publish(struct conn *conn, const struct wire_command *command)
{
    struct channel *channel = channel_of(command->channel);
    const uint64_t first = channel->count + 1;
    uint64_t told = first;
    for (uint32_t i = 0; i < command->item_count; i++) {
        const struct wire_item *item = &command->items[i];
        const uint64_t nth = ++fake.messages;
        if (nth == fake.manners.forgets_at) {
            continue;
        }
        keep(channel, item->data, item->is_bytes);
        if (nth == fake.manners.doubles_at) {
            keep(channel, item->data, item->is_bytes);
        }
        if (fake.file >= 0) {
            keep_in_file(channel, item->data, item->is_bytes);
        }
        for (size_t k = 0; k < CONNS && nth != fake.manners.hides_at; k++) {
            if (fake.conns[k].subscribed[channel - fake.channels]) {
                say_message(&fake.conns[k], channel, told, item->data, item->is_bytes);
            }
        }
        told++;
    }
    if (command->quiet) {
        return;
    }
    struct buf text = {0};
    const struct wire_published published = {.id = command->id,
                                             .channel = command->channel,
                                             .has_seq = true,
                                             .seq = first,
                                             .is_batch = command->is_batch,
                                             .count = command->item_count,
                                             .message_id = first,
                                             .epoch = 1};
    must(codec_encode_published(conn->codec, &text, &published) == RC_OK);
    say(conn, &text);
}

static void on_subscribe(struct conn *conn, const struct wire_command *command)
{
    const struct channel *channel = channel_of(command->channel);
    struct buf text = {0};
    const uint64_t next = command->from == WIRE_FROM_LATEST     ? channel->count + 1
                          : command->from == WIRE_FROM_EARLIEST ? 1
                                                                : command->seq;
    const struct wire_subscribed subscribed = {.id = command->id,
                                               .channel = command->channel,
                                               .epoch = 1,
                                               .next = next,
                                               .earliest = 1,
                                               .latest = channel->count};
    must(codec_encode_subscribed(conn->codec, &text, &subscribed) == RC_OK);
    say(conn, &text);
    conn->subscribed[channel - fake.channels] = true;
    size_t at = 0;
    for (uint64_t seq = 1; seq <= channel->count; seq++) {
        struct kept head;
        bytes_copy(&head, channel->messages.data + at, sizeof(head));
        at += sizeof(head);
        if (seq >= next) {
            say_message(conn, channel, seq, bytes_of(channel->messages.data + at, head.size),
                        head.is_bytes != 0);
        }
        at += head.size;
    }
}

static void on_connect(struct conn *conn, const struct wire_command *command)
{
    struct buf text = {0};
    const struct wire_connected connected = {.id = command->id,
                                             .connection = 1,
                                             .namespace_name = "default",
                                             .ping_ms = 25000,
                                             .durability = "memory",
                                             .message_bytes = 1u << 20,
                                             .frame_bytes = 1u << 20,
                                             .batch_messages = 1000,
                                             .subscriptions = 1000,
                                             .time_ms = 1};
    must(codec_encode_connected(conn->codec, &text, &connected) == RC_OK);
    say(conn, &text);
}

/* False: it hangs up. */
static bool on_command(struct conn *conn, const struct wire_command *command)
{
    if (++fake.commands == fake.manners.hangs_up_at) {
        return false;
    }
    if (command->type == WIRE_CONNECT) {
        on_connect(conn, command);
    } else if (command->type == WIRE_SUBSCRIBE) {
        on_subscribe(conn, command);
    } else {
        must(command->type == WIRE_PUBLISH);
        on_publish(conn, command);
    }
    return true;
}

static bool on_text(struct conn *conn, struct bytes text)
{
    static const struct wire_limits limits = {.message_bytes = 1u << 20};
    bool good = true;
    do {
        struct wire_command command;
        struct wire_error error;
        must(codec_command_decode(conn->codec, &text, &limits, &conn->scratch, &command, &error) ==
             RC_OK);
        good = on_command(conn, &command);
    } while (good && conn->codec == WIRE_BINARY && text.size > 0);
    return good;
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void answer_request(struct conn *conn, struct bytes head)
{
    static const char ready[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    if (memmem(head.data, head.size, "Upgrade", 7) == NULL) {
        must(buf_append(&conn->out, bytes_of_text(ready)) == RC_OK);
        return;
    }
    const bool binary = memmem(head.data, head.size, "seriatim.v1.binary", 18) != NULL;
    conn->codec = binary ? WIRE_BINARY : WIRE_JSON;
    conn->open = true;
    must(buf_append(&conn->out, bytes_of_text(upgrade)) == RC_OK);
}

/* False: it hangs up. */
static bool take_frames(struct conn *conn)
{
    static const struct ws_limits limits = {.message_bytes = 64u << 20};
    for (;;) {
        struct ws_event event;
        size_t used = 0;
        ws_decoder_feed(&conn->decoder, &limits, conn->in.data, conn->in.size, &used, &event);
        bool good = true;
        if (event.type == WS_EVENT_MESSAGE) {
            good = on_text(conn, event.payload);
        }
        buf_consume(&conn->in, used);
        if (event.type == WS_EVENT_NONE || !good) {
            return good;
        }
    }
}

static bool take(struct conn *conn)
{
    if (!conn->open) {
        const uint8_t *end = memmem(conn->in.data, conn->in.size, "\r\n\r\n", 4);
        if (end == NULL || fake.manners.never_upgrades) {
            return true;
        }
        const size_t size = (size_t)(end - conn->in.data) + 4;
        answer_request(conn, bytes_of(conn->in.data, size));
        buf_consume(&conn->in, size);
    }
    return conn->in.size == 0 || take_frames(conn);
}

/* Whether something came, or it ended. */
static bool receive(struct conn *conn)
{
    must(buf_reserve(&conn->in, 65536) == RC_OK);
    const ssize_t got = recv(conn->fd, conn->in.data + conn->in.size, 65536, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
        return false;
    }
    conn->in.size += got > 0 ? (size_t)got : 0;
    if (got <= 0 || !take(conn)) {
        hang_up(conn);
    }
    return true;
}

static bool flush(struct conn *conn)
{
    if (conn->out.size == 0) {
        return false;
    }
    const ssize_t sent =
        send(conn->fd, conn->out.data, conn->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        buf_consume(&conn->out, (size_t)sent);
    }
    return sent > 0;
}

bool fake_turn(void)
{
    bool moved = false;
    for (int fd; (fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; moved = true) {
        take_in(fd);
    }
    for (size_t i = 0; i < CONNS; i++) {
        if (fake.conns[i].fd != 0) {
            moved = receive(&fake.conns[i]) || moved;
        }
    }
    for (size_t i = 0; i < CONNS; i++) {
        moved = flush(&fake.conns[i]) || moved;
    }
    return moved;
}

void fake_wait(void)
{
    struct pollfd fds[CONNS + 1] = {{.fd = fake.listener, .events = POLLIN}};
    nfds_t count = 1;
    for (size_t i = 0; i < CONNS; i++) {
        if (fake.conns[i].fd != 0) {
            const short out = fake.conns[i].out.size > 0 ? POLLOUT : 0;
            fds[count++] = (struct pollfd){.fd = fake.conns[i].fd, .events = (short)(POLLIN | out)};
        }
    }
    (void)poll(fds, count, -1);
}

/* ---- its life ------------------------------------------------------------------------------ */

uint16_t fake_open(uint16_t port, const char *file)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const int on = 1;
    fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fake.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    must(bind(fake.listener, (struct sockaddr *)&address, size) == 0);
    must(listen(fake.listener, CONNS) == 0);
    must(getsockname(fake.listener, (struct sockaddr *)&address, &size) == 0);
    fake.file = file == NULL ? -1 : open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(file == NULL || fake.file >= 0);
    read_file();
    return ntohs(address.sin_port);
}

void fake_behave(const struct fake_manners *manners)
{
    fake.manners = *manners;
    fake.commands = 0;
    fake.messages = 0;
}

uint64_t fake_commands(void)
{
    return fake.commands;
}

void fake_reset(void)
{
    for (size_t i = 0; i < CONNS; i++) {
        if (fake.conns[i].fd != 0) {
            hang_up(&fake.conns[i]);
        }
    }
    for (int fd; (fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        (void)close(fd);
    }
    for (size_t i = 0; i < fake.channel_count; i++) {
        buf_deinit(&fake.channels[i].name);
        buf_deinit(&fake.channels[i].messages);
    }
    fake.channel_count = 0;
}

void fake_close(void)
{
    fake_reset();
    (void)close(fake.listener);
}
