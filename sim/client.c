#include "sim/client.h"

#include "sim/machine.h"
#include "sim/numbers.h"
#include "sim/trace.h"

#define CLIENTS_MAX  32u
#define WEB_PRODUCER 16u /* producers from here on have no numbers */

struct plan clients_plan;
bool clients_calm;

static struct client *all[CLIENTS_MAX];
static unsigned count;

static void add(struct client *client)
{
    ASSERT(count < CLIENTS_MAX);
    client->next_us = sim_now_us + sim_below(200000);
    all[count++] = client;
}

void clients_begin(const struct plan *plan)
{
    clients_plan = *plan;
    clients_calm = false;
    count = 0;
    for (unsigned i = 0; i < plan->publishers; i++) {
        add(publisher_open(count, i));
    }
    for (unsigned i = 0; i < plan->subscribers; i++) {
        add(subscriber_open(count, false));
    }
    for (unsigned i = 0; i < plan->readers; i++) {
        add(reader_open(count));
    }
    for (unsigned i = 0; i < plan->web_publishers; i++) {
        add(web_open(count, WEB_PRODUCER + i));
    }
    for (unsigned i = 0; i < plan->hostiles; i++) {
        add(hostile_open(count));
    }
    machines_begin(plan);
    for (unsigned i = 0; i < plan->libraries; i++) {
        add(library_open(count, LIBRARY_PRODUCER + i));
    }
}

void clients_end(void)
{
    while (count > 0) {
        count--;
        all[count]->ops->close(all[count]);
    }
}

void clients_calm_down(void)
{
    clients_calm = true;
    machines_calm();
    add(subscriber_open(count, true));
    add(reader_open(count));
    for (unsigned i = 0; i < count; i++) {
        all[i]->next_us = sim_now_us;
    }
}

bool clients_ready(void)
{
    return clients_next_us() <= sim_now_us;
}

uint64_t clients_next_us(void)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        next = all[i]->next_us < next ? all[i]->next_us : next;
    }
    return next;
}

/* When all is calm nobody dawdles, and who is done looks up now and then. */
static uint64_t think_us(const struct client *client)
{
    if (!clients_calm) {
        return clients_plan.think_us;
    }
    if (client->ops->settled(client)) {
        return 500000;
    }
    return 10000;
}

void clients_step(void)
{
    const unsigned turn = (unsigned)sim_below(count);
    for (unsigned i = 0; i < count; i++) {
        struct client *client = all[(i + turn) % count];
        if (client->next_us <= sim_now_us) {
            client->next_us = sim_now_us + 1 + sim_below(think_us(client));
            client->ops->act(client);
            return;
        }
    }
}

bool clients_settled(unsigned *ret_number)
{
    for (unsigned i = 0; i < count; i++) {
        if (!all[i]->ops->settled(all[i])) {
            *ret_number = i;
            return false;
        }
    }
    return true;
}
