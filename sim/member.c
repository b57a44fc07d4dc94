#include "sim/member.h"

#include "sim/trace.h"

uint64_t member_u64(const struct value *object, const char *name)
{
    const struct value *value = value_member(object, name);
    if (value == NULL || value->type != VALUE_NUMBER) {
        trace_fail("protocol", "no number \"%s\" in an object", name);
    }
    return value->number;
}

const char *member_text(const struct value *object, const char *name)
{
    const char *text = value_text(value_member(object, name));
    if (text == NULL) {
        trace_fail("protocol", "no text \"%s\" in an object", name);
    }
    return text;
}
