#include "server/mail.h"

#include "base/mem.h"
#include "io/socket.h"

void *mail_new(enum mail_kind kind, size_t size, struct bytes channel, struct bytes *ret_channel)
{
    ASSERT(size >= sizeof(struct mail));
    struct mail *mail = mem_calloc(1, size + channel.size);
    if (mail == NULL) {
        return NULL;
    }
    mail->kind = kind;
    list_init(&mail->link);
    if (ret_channel != NULL) {
        uint8_t *copy = (uint8_t *)mail + size;
        bytes_copy(copy, channel.data, channel.size);
        *ret_channel = bytes_of(copy, channel.size);
    }
    return mail;
}

static void free_read(struct mail_read *read)
{
    shared_chunk_unref(read->chunk);
    buf_deinit(&read->elements);
    buf_deinit(&read->encode);
    conflate_deinit(&read->conflate);
}

void mail_free(struct mail *mail)
{
    if (mail == NULL) {
        return;
    }
    switch (mail->kind) {
    case MAIL_CONNECTION:
    case MAIL_GONE: socket_close(((struct mail_connection *)mail)->fd); break;
    case MAIL_PARCEL: buf_deinit(&((struct mail_parcel *)mail)->bytes); break;
    case MAIL_REPLIES: buf_deinit(&((struct mail_replies *)mail)->bytes); break;
    case MAIL_TAIL: shared_chunk_unref(((struct mail_tail *)mail)->chunk); break;
    case MAIL_READ:
    case MAIL_READ_DONE: free_read((struct mail_read *)mail); break;
    case MAIL_ASK:
    case MAIL_ANSWER:
    case MAIL_DETACH:
    case MAIL_DRAIN:
    case MAIL_CLOSE:
    case MAIL_STOP:
    case MAIL_DRAINED: break;
    }
    mem_free(mail);
}

struct session_digest mail_digest(const struct mail_read *read)
{
    ASSERT(read->purpose == READ_DIGEST);
    return (struct session_digest){
        .id = read->id,
        .channel = read->channel,
        .rc = read->rc,
        .missing = read->digest_missing,
        .position = read->position,
        .seq = read->digest_seq,
        .digest = read->digest,
    };
}
