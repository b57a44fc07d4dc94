#include "sdk/tap.h"

#include "sdk/private.h"

void sdk_tap(struct seriatim_client *client, const struct client_tap *tap)
{
    ASSERT(!client->has_thread);
    agent_set_tap(&client->agent, tap);
}

void sdk_cut(struct seriatim_client *client)
{
    ASSERT(!client->has_thread && !sdk_in_turn(client));
    link_cut(client->link, sdk_now_ms(), 0);
    sdk_wake(client);
}

bool sdk_broken(const struct seriatim_client *client)
{
    return link_broken(client->link);
}

bool sdk_offers_digest(const struct seriatim_client *client)
{
    return link_offers_digest(client->link);
}
