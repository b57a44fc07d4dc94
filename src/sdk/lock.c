/* Two mutexes where one would do: whoever wants in waits for `next`, with which the thread that
 * turns comes back to the end of the queue. A single one it would take again before anybody woke.
 */
#include "sdk/private.h"

static _Thread_local const struct seriatim_client *inside;

bool sdk_in_turn(const struct seriatim_client *client)
{
    return inside == client;
}

void sdk_lock(struct seriatim_client *client)
{
    if (!sdk_in_turn(client)) {
        (void)pthread_mutex_lock(&client->next);
        (void)pthread_mutex_lock(&client->turning);
        (void)pthread_mutex_unlock(&client->next);
    }
}

void sdk_unlock(struct seriatim_client *client)
{
    if (!sdk_in_turn(client)) {
        (void)pthread_mutex_unlock(&client->turning);
    }
}

void sdk_turn_begin(struct seriatim_client *client)
{
    ASSERT(!sdk_in_turn(client)); /* never from a callback */
    sdk_lock(client);
    inside = client;
}

void sdk_turn_end(struct seriatim_client *client)
{
    ASSERT(sdk_in_turn(client));
    inside = NULL;
    sdk_unlock(client);
}
