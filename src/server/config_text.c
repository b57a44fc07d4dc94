#include "server/config_text.h"

#include <stdarg.h>

void config_text_add(struct config_text *text, struct bytes bytes)
{
    if (text->rc == RC_OK) {
        text->rc = buf_append(text->to, bytes);
    }
}

void config_text_addf(struct config_text *text, const char *format, ...)
{
    if (text->rc == RC_OK) {
        va_list args;
        va_start(args, format);
        text->rc = buf_append_vformat(text->to, format, args);
        va_end(args);
    }
}

void config_text_add_foreign(struct config_text *text, struct bytes bytes, size_t size_max)
{
    const size_t size = bytes.size < size_max ? bytes.size : size_max;
    for (size_t i = 0; i < size; i++) {
        const uint8_t c = bytes.data[i];
        const bool control = c < 0x20 || c == 0x7F;
        config_text_add(text, control ? BYTES_LITERAL("?") : bytes_of(&bytes.data[i], 1));
    }
    if (size < bytes.size) {
        config_text_add(text, BYTES_LITERAL("..."));
    }
}
