#include "base/rc.h"

#include "base/assert.h"

static const struct {
    const char *name;
    const char *text;
    enum rc_class class;
} rc_table[RC_COUNT] = {
#define X(n, c, t) [RC_##n] = {.name = #n, .text = t, .class = RC_CLASS_##c},
    RC_LIST(X)
#undef X
};

const char *rc_text(enum rc rc)
{
    ASSERT(rc < RC_COUNT);
    return rc_table[rc].text;
}

const char *rc_name(enum rc rc)
{
    ASSERT(rc < RC_COUNT);
    return rc_table[rc].name;
}

enum rc_class rc_class(enum rc rc)
{
    ASSERT(rc < RC_COUNT);
    return rc_table[rc].class;
}
