#include "wire/ws_extension.h"

#include "wire/http_list.h"

/* Takes a token off `text`, and the white space behind it. */
static bool token_take(struct bytes *text, struct bytes *ret_token)
{
    ASSERT_HOT(text->size == 0 || text->data != NULL);
    size_t size = 0;
    while (size < text->size && http_token_valid(bytes_of(text->data + size, 1))) {
        size++;
    }
    ASSERT(size <= text->size);
    *ret_token = bytes_of(text->data, size);
    *text = http_trim(bytes_of(text->data + size, text->size - size));
    return size > 0;
}

/* Takes that byte off `text`, and the white space behind it, if it is next. */
static bool byte_take(struct bytes *text, uint8_t byte)
{
    ASSERT_HOT(text->size == 0 || text->data != NULL);
    ASSERT(byte != ' ' && byte != '\t');
    if (text->size == 0 || text->data[0] != byte) {
        return false;
    }
    *text = http_trim(bytes_of(text->data + 1, text->size - 1));
    return true;
}

bool ws_extension_name(struct bytes *text, struct bytes *ret_name)
{
    ASSERT_HOT(text->size == 0 || text->data != NULL);
    ASSERT(ret_name != NULL);
    return token_take(text, ret_name);
}

/* ";" token [ "=" ( token | quoted token ) ] */
bool ws_extension_parameter(struct bytes *text, struct ws_parameter *ret_parameter)
{
    ASSERT_HOT(text->size == 0 || text->data != NULL);
    ASSERT(ret_parameter != NULL);
    struct bytes rest = *text;
    struct ws_parameter parameter = {0};
    bool good = byte_take(&rest, ';') && token_take(&rest, &parameter.name);
    if (good && byte_take(&rest, '=')) {
        const bool quoted = byte_take(&rest, '"');
        good = token_take(&rest, &parameter.value) && (!quoted || byte_take(&rest, '"'));
    }
    if (good) {
        *text = rest;
        *ret_parameter = parameter;
    }
    return good;
}

/* token *( ";" token [ "=" ( token | quoted token ) ] ) */
static bool extension_valid(struct bytes text)
{
    ASSERT_HOT(text.size > 0);
    struct bytes name;
    struct ws_parameter parameter;
    const bool good = ws_extension_name(&text, &name);
    ASSERT_HOT(good == (name.size > 0));
    while (good && ws_extension_parameter(&text, &parameter)) {
    }
    return good && text.size == 0;
}

/* What is in quotes must be a token, so no comma hides there. */
bool ws_extensions_valid(struct bytes list)
{
    ASSERT_HOT(list.size == 0 || list.data != NULL);
    size_t count = 0;
    struct bytes extension;
    while (http_list_next(&list, &extension)) {
        ASSERT_HOT(extension.size > 0);
        if (!extension_valid(extension)) {
            return false;
        }
        count++;
    }
    return count > 0;
}
