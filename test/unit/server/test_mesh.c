/* server/mesh: mail between endpoints arrives in order, through full rings and sleep, and is freed
 * when it never arrives.
 * Method: the mail is MAIL_DETACH, whose partition and channel carry a number here. */
#include "server/mesh.h"

#include "base/mem.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ENDPOINTS   3u
#define DEADLINE_MS 20000

static struct mail *letter_new(uint32_t number)
{
    struct mail_channel *letter = mail_new(MAIL_DETACH, sizeof(*letter), (struct bytes){0}, NULL);
    if (letter != NULL) {
        letter->partition = number;
    }
    return letter == NULL ? NULL : &letter->mail;
}

static void send(struct mesh *mesh, unsigned from, unsigned to, uint32_t number)
{
    struct mail *mail = letter_new(number);
    assert_non_null(mail);
    mesh_send(mesh, from, to, mail);
}

/* Receives one and checks it. */
static void expect(struct mesh *mesh, unsigned self, unsigned from, uint32_t number)
{
    assert_true(mesh_ready(mesh, self));
    struct mail *mail = mesh_receive(mesh, self);
    assert_non_null(mail);
    assert_int_equal(mail->from, from);
    assert_int_equal(((struct mail_channel *)mail)->partition, number);
    mail_free(mail);
}

static void mail_leaves_with_the_flush(void **state)
{
    (void)state;
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    send(&mesh, 0, 1, 7);
    assert_false(mesh_ready(&mesh, 1));
    assert_null(mesh_receive(&mesh, 1));
    assert_false(mesh_flush(&mesh, 0));
    expect(&mesh, 1, 0, 7);
    assert_false(mesh_ready(&mesh, 1));
    assert_false(mesh_ready(&mesh, 2));
    assert_null(mesh_receive(&mesh, 2));
    assert_false(mesh_flush(&mesh, 0)); /* nothing to do is no trouble */
    mesh_deinit(&mesh);
}

static void own_mail_needs_no_flush(void **state)
{
    (void)state;
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    send(&mesh, 1, 1, 3);
    send(&mesh, 1, 1, 4);
    expect(&mesh, 1, 1, 3);
    expect(&mesh, 1, 1, 4);
    assert_null(mesh_receive(&mesh, 1));
    mesh_deinit(&mesh);
}

/* [I12] nobody who always has another one keeps the others' waiting: neither another endpoint, nor
 * the receiver itself. */
static void senders_take_turns(void **state)
{
    (void)state;
    enum { ROUNDS = 50 };
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (unsigned from = 0; from < ENDPOINTS; from++) {
            send(&mesh, from, 1, i);
        }
    }
    for (unsigned from = 0; from < ENDPOINTS; from++) {
        assert_false(mesh_flush(&mesh, from));
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (unsigned from = 0; from < ENDPOINTS; from++) {
            expect(&mesh, 1, from, i);
        }
    }
    assert_null(mesh_receive(&mesh, 1));
    mesh_deinit(&mesh);
}

static void what_a_full_ring_does_not_take_waits_in_order(void **state)
{
    (void)state;
    struct mesh mesh;
    const uint32_t count = 3 * MESH_RING_SLOTS + 10;
    uint32_t received = 0;
    unsigned flushes = 0;
    assert_int_equal(mesh_init(&mesh, 2), RC_OK);
    for (uint32_t i = 0; i < count; i++) {
        send(&mesh, 0, 1, i);
    }
    bool left = true;
    while (left) {
        left = mesh_flush(&mesh, 0);
        flushes++;
        if (left) {
            send(&mesh, 0, 1, count + flushes - 1); /* behind what waits */
        }
        while (mesh_ready(&mesh, 1)) {
            expect(&mesh, 1, 0, received++);
        }
    }
    assert_int_equal(flushes, 4);
    assert_int_equal(received, count + 3);
    mesh_deinit(&mesh);
}

static void one_full_ring_holds_up_no_other(void **state)
{
    (void)state;
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    for (uint32_t i = 0; i <= MESH_RING_SLOTS; i++) {
        send(&mesh, 0, 1, i);
    }
    send(&mesh, 0, 2, 99);
    assert_true(mesh_flush(&mesh, 0));
    expect(&mesh, 2, 0, 99);
    mesh_deinit(&mesh); /* and frees the rest, in the ring and before it */
}

static bool is_woken(struct mesh *mesh, unsigned self)
{
    struct pollfd wait = {.fd = mesh->endpoints[self].wake_fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

static void only_who_sleeps_is_woken_and_once(void **state)
{
    (void)state;
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, 2), RC_OK);
    send(&mesh, 0, 1, 1);
    assert_false(mesh_flush(&mesh, 0));
    assert_false(is_woken(&mesh, 1));
    expect(&mesh, 1, 0, 1);
    doorbell_arm(&mesh.endpoints[1].bell);
    assert_false(mesh_ready(&mesh, 1));
    assert_false(mesh_flush(&mesh, 0)); /* nothing sent, nobody woken */
    assert_false(is_woken(&mesh, 1));
    send(&mesh, 0, 1, 2);
    assert_false(mesh_flush(&mesh, 0));
    assert_true(is_woken(&mesh, 1));
    doorbell_disarm(&mesh.endpoints[1].bell);
    mesh_drain_wake(&mesh, 1);
    assert_false(is_woken(&mesh, 1));
    mesh_drain_wake(&mesh, 1); /* twice does not block */
    expect(&mesh, 1, 0, 2);
    mesh_deinit(&mesh);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define LETTERS 30000u

/* Each sends LETTERS to each endpoint, itself too, and receives as many from each. */
struct post {
    struct mesh *mesh;
    unsigned self;
    pthread_t thread;
    uint32_t next[ENDPOINTS]; /* expected from each */
    unsigned wrong;
    unsigned sleeps;
    bool late;
};

static uint32_t post_receive(struct post *post)
{
    uint32_t count = 0;
    struct mail *mail;
    while ((mail = mesh_receive(post->mesh, post->self)) != NULL) {
        const uint32_t number = ((struct mail_channel *)mail)->partition;
        post->wrong += number == post->next[mail->from]++ ? 0 : 1;
        mail_free(mail);
        count++;
    }
    return count;
}

static void post_sleep(struct post *post, int timeout_ms)
{
    struct mesh_endpoint *endpoint = &post->mesh->endpoints[post->self];
    doorbell_arm(&endpoint->bell);
    if (!mesh_ready(post->mesh, post->self)) {
        struct pollfd wait = {.fd = endpoint->wake_fd, .events = POLLIN};
        post->sleeps++;
        post->late = poll(&wait, 1, timeout_ms) == 0 && timeout_ms == DEADLINE_MS;
        mesh_drain_wake(post->mesh, post->self);
    }
    doorbell_disarm(&endpoint->bell);
}

static void *post_main(void *arg)
{
    struct post *post = arg;
    uint32_t sent = 0;
    uint32_t received = 0;
    bool left = false;
    while ((sent < LETTERS || left || received < ENDPOINTS * LETTERS) && !post->late) {
        for (unsigned burst = 0; burst < 100 && sent < LETTERS && !left; burst++, sent++) {
            for (unsigned to = 0; to < ENDPOINTS; to++) {
                struct mail *mail = letter_new(sent);
                if (mail != NULL) {
                    mesh_send(post->mesh, post->self, to, mail);
                }
            }
        }
        left = mesh_flush(post->mesh, post->self);
        const uint32_t count = post_receive(post);
        received += count;
        if (received == ENDPOINTS * LETTERS && sent == LETTERS && !left) {
            break; /* nobody has anything to ring for */
        }
        if (count == 0 && (left || sent == LETTERS)) {
            /* A full ring rings no bell when it empties: look again soon. */
            post_sleep(post, left ? 1 : DEADLINE_MS);
        }
    }
    return NULL;
}

static void three_threads_write_to_each_other_in_order(void **state)
{
    (void)state;
    static struct post posts[ENDPOINTS];
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        posts[i] = (struct post){.mesh = &mesh, .self = i};
    }
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        assert_int_equal(pthread_create(&posts[i].thread, NULL, post_main, &posts[i]), 0);
    }
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        assert_int_equal(pthread_join(posts[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        assert_int_equal(posts[i].wrong, 0);
        assert_false(posts[i].late);
        for (unsigned from = 0; from < ENDPOINTS; from++) {
            assert_int_equal(posts[i].next[from], LETTERS);
        }
    }
    mesh_deinit(&mesh);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void mail_that_never_arrives_is_freed(void **state)
{
    (void)state;
    struct mesh mesh;
    assert_int_equal(mesh_init(&mesh, ENDPOINTS), RC_OK);
    send(&mesh, 0, 0, 1);
    send(&mesh, 0, 1, 2);
    assert_false(mesh_flush(&mesh, 0));
    send(&mesh, 0, 1, 3);
    struct mail_parcel *parcel = mail_new(MAIL_PARCEL, sizeof(*parcel), (struct bytes){0}, NULL);
    assert_non_null(parcel);
    assert_int_equal(buf_append(&parcel->bytes, BYTES_LITERAL("what it owns")), RC_OK);
    mesh_send(&mesh, 2, 1, &parcel->mail);
    mesh_deinit(&mesh); /* the leak checker tells */
    assert_null(mesh.pipes);
}

static void every_failing_allocation_of_the_start_is_told(void **state)
{
    (void)state;
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct mesh mesh;
        mem_fault_set(k, 0);
        const enum rc rc = mesh_init(&mesh, ENDPOINTS);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            mesh_deinit(&mesh);
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        refused++;
    }
    assert_int_equal(refused, 2 + ENDPOINTS * ENDPOINTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_leaves_with_the_flush),
        cmocka_unit_test(own_mail_needs_no_flush),
        cmocka_unit_test(senders_take_turns),
        cmocka_unit_test(what_a_full_ring_does_not_take_waits_in_order),
        cmocka_unit_test(one_full_ring_holds_up_no_other),
        cmocka_unit_test(only_who_sleeps_is_woken_and_once),
        cmocka_unit_test(three_threads_write_to_each_other_in_order),
        cmocka_unit_test(mail_that_never_arrives_is_freed),
        cmocka_unit_test(every_failing_allocation_of_the_start_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
