/* A naive server for loads: no limits, no log, one thread that never waits. It takes in all that
 * has come, answers, and hands each message to who is subscribed.
 *
 * It may be told to keep silent, to hang up, or to forget; it counts commands for that.
 *
 * Thread: one.  Memory: fake_close() frees. */
#ifndef TEST_BENCH_FAKE_H
#define TEST_BENCH_FAKE_H

#include <stdbool.h>
#include <stdint.h>

struct fake_manners {
    uint64_t silent_from; /* the command from which on nothing is answered or sent; 0: none */
    uint64_t hangs_up_at; /* the command at which it closes the connection; 0: none */
    uint64_t forgets_at;  /* the message that is acknowledged and not kept; 0: none */
    uint64_t doubles_at;  /* the message that is kept twice; 0: none */
    uint64_t hides_at;    /* the message that is kept, and that no subscriber gets; 0: none */
    bool never_upgrades;  /* takes connections, says nothing */
};

/* Listens at 127.0.0.1; `port` 0: at a free one. Returns which. `file` not NULL: messages are kept
 * there, and those that are there already are had. */
uint16_t fake_open(uint16_t port, const char *file);
void fake_close(void);
/* From now on; the commands and messages that it counts begin anew. */
void fake_behave(const struct fake_manners *manners);
uint64_t fake_commands(void);
/* Ends all connections, forgets all messages. */
void fake_reset(void);
/* Does what can be done now. False: there was nothing to do. */
bool fake_turn(void);
/* Until something comes. */
void fake_wait(void);

#endif
