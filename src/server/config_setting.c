/* One setting's value: text in, text out, by the row of the table that describes it. */
#include "base/mem.h"
#include "server/config_schema.h"
#include "server/config_suggest.h"
#include "server/config_value.h"

#include <inttypes.h>

#define QUOTED_BYTES_MAX 60u

static void *field_of(const struct setting *setting, struct config *config)
{
    return (uint8_t *)config + setting->field;
}

static const void *field_of_const(const struct setting *setting, const struct config *config)
{
    return (const uint8_t *)config + setting->field;
}

static uint64_t number_of(const struct setting *setting, const struct config *config)
{
    uint64_t value;
    bytes_copy(&value, field_of_const(setting, config), sizeof(value));
    return value;
}

static unsigned choice_of(const struct setting *setting, const struct config *config)
{
    unsigned value;
    bytes_copy(&value, field_of_const(setting, config), sizeof(value));
    ASSERT(value < setting->choice_count);
    return value;
}

static_assert(sizeof(enum config_io) == sizeof(unsigned), "choice_of() reads it so");
static_assert(sizeof(enum config_durability) == sizeof(unsigned), "choice_of() reads it so");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "choice_of() reads it so");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "choice_of() reads it so");

static void print_number(const struct setting *setting, uint64_t value, struct config_text *to)
{
    char text[CONFIG_NUMBER_TEXT_SIZE];
    if (setting->type == SETTING_SIZE) {
        config_format_size(value, text);
        config_text_addf(to, "%s", text);
    } else if (setting->type == SETTING_DURATION) {
        config_format_duration(value, text);
        config_text_addf(to, "%s", text);
    } else {
        config_text_addf(to, "%" PRIu64, value);
    }
}

static void print_choices(const struct setting *setting, struct config_text *to)
{
    for (size_t i = 0; i < setting->choice_count; i++) {
        config_text_addf(to, "%s%s", i == 0 ? "" : ", ", setting->choices[i]);
    }
}

static void print_number_range(const struct setting *setting, const char *what,
                               struct config_text *to)
{
    config_text_addf(to, "%s from ", what);
    print_number(setting, setting->min, to);
    config_text_addf(to, " to ");
    print_number(setting, setting->max, to);
    if (setting->zero != NULL) {
        config_text_addf(to, ", or 0 (%s)", setting->zero);
    }
}

void config_setting_print_range(const struct setting *setting, struct config_text *to)
{
    switch (setting->type) {
    case SETTING_STRING: config_text_addf(to, "a text that is not empty"); return;
    case SETTING_ADDRESS:
        config_text_addf(to, "HOST:PORT, such as 127.0.0.1:8470 or [::1]:8470");
        return;
    case SETTING_NUMBER: print_number_range(setting, "a whole number", to); return;
    case SETTING_SIZE: print_number_range(setting, "a size (512, 64KiB, 16MiB)", to); return;
    case SETTING_DURATION: print_number_range(setting, "a duration (250ms, 10s, 5m)", to); return;
    case SETTING_BOOL: config_text_addf(to, "true or false"); return;
    case SETTING_ENUM:
        config_text_addf(to, "one of ");
        print_choices(setting, to);
        return;
    case SETTING_LIST:
        config_text_addf(to, "a list of web origins (https://app.example, *)");
        return;
    }
    UNREACHABLE();
}

/* RC_BAD, with the reason in `why`. */
static enum rc refuse(const struct setting *setting, struct bytes text, struct buf *why)
{
    struct config_text to = config_text_to(why);
    config_text_addf(&to, "must be ");
    config_setting_print_range(setting, &to);
    config_text_addf(&to, "; this is '");
    config_text_add_foreign(&to, text, QUOTED_BYTES_MAX);
    config_text_addf(&to, "'");

    struct config_suggest suggest = config_suggest_begin(text);
    for (size_t i = 0; i < setting->choice_count; i++) {
        config_suggest_offer(&suggest, setting->choices[i]);
    }
    if (suggest.best != NULL) {
        config_text_addf(&to, ", did you mean '%s'?", suggest.best);
    }
    return to.rc == RC_OK ? RC_BAD : to.rc;
}

static enum rc copy_text(struct bytes text, char **ret_copy)
{
    char *copy = mem_alloc(text.size + 1);
    if (copy == NULL) {
        return RC_NOMEM;
    }
    bytes_copy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *ret_copy = copy;
    return RC_OK;
}

static bool has_control(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

static enum rc set_string(const struct setting *setting, struct config *config, struct bytes text)
{
    char **field = field_of(setting, config);
    if (text.size == 0 || has_control(text)) {
        return RC_BAD;
    }
    char *copy;
    const enum rc rc = copy_text(text, &copy);
    if (rc != RC_OK) {
        return rc;
    }
    mem_free(*field);
    *field = copy;
    return RC_OK;
}

static enum rc set_number(const struct setting *setting, struct config *config, struct bytes text)
{
    uint64_t value = 0;
    enum rc rc;
    if (setting->type == SETTING_SIZE) {
        rc = config_parse_size(text, &value);
    } else if (setting->type == SETTING_DURATION) {
        rc = config_parse_duration(text, &value);
    } else {
        rc = config_parse_count(text, &value);
    }
    const bool in_range = value >= setting->min && value <= setting->max;
    if (rc != RC_OK || !(in_range || (value == 0 && setting->zero != NULL))) {
        return RC_BAD;
    }
    bytes_copy(field_of(setting, config), &value, sizeof(value));
    return RC_OK;
}

static enum rc set_choice(const struct setting *setting, struct config *config, struct bytes text)
{
    for (unsigned i = 0; i < setting->choice_count; i++) {
        if (bytes_equal(text, bytes_of_text(setting->choices[i]))) {
            bytes_copy(field_of(setting, config), &i, sizeof(i));
            return RC_OK;
        }
    }
    return RC_BAD;
}

static enum rc set_list(const struct setting *setting, struct config *config, struct bytes text,
                        struct buf *why)
{
    config_setting_list_clear(setting, config);
    enum rc rc = RC_OK;
    size_t start = 0;
    for (size_t at = 0; at <= text.size && rc == RC_OK && text.size > 0; at++) {
        if (at == text.size || text.data[at] == ',') {
            const struct bytes item = bytes_of(text.data + start, at - start);
            rc = config_setting_list_add(setting, config, item, why);
            start = at + 1;
        }
    }
    return rc;
}

enum rc config_setting_set(const struct setting *setting, struct config *config, struct bytes text,
                           struct buf *why)
{
    enum rc rc = RC_BAD;
    switch (setting->type) {
    case SETTING_STRING: rc = set_string(setting, config, text); break;
    case SETTING_ADDRESS: rc = config_parse_address(text, field_of(setting, config)); break;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_DURATION: rc = set_number(setting, config, text); break;
    case SETTING_BOOL: rc = config_parse_bool(text, field_of(setting, config)); break;
    case SETTING_ENUM: rc = set_choice(setting, config, text); break;
    case SETTING_LIST: return set_list(setting, config, text, why);
    }
    return rc == RC_BAD ? refuse(setting, text, why) : rc;
}

void config_setting_list_clear(const struct setting *setting, struct config *config)
{
    ASSERT(setting->type == SETTING_LIST);
    struct config_list *list = field_of(setting, config);
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i]);
    }
    mem_free(list->items);
    *list = (struct config_list){0};
}

/* scheme://host[:port] in lower case, as browsers send it, or "*". */
static bool origin_ok(struct bytes text)
{
    if (bytes_equal(text, BYTES_LITERAL("*"))) {
        return true;
    }
    const uint8_t *sign = text.size > 0 ? memmem(text.data, text.size, "://", 3) : NULL;
    if (sign == NULL || sign == text.data || sign + 3 == text.data + text.size) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool in_sign = text.data + i >= sign && text.data + i < sign + 3;
        if (c <= 0x20 || c >= 0x7F || c == ',' || c == '"' || (c == '/' && !in_sign) ||
            (c >= 'A' && c <= 'Z')) {
            return false;
        }
    }
    return true;
}

enum rc config_setting_list_add(const struct setting *setting, struct config *config,
                                struct bytes item, struct buf *why)
{
    ASSERT(setting->type == SETTING_LIST);
    struct config_list *list = field_of(setting, config);
    if (!origin_ok(item)) {
        return refuse(setting, item, why);
    }
    char *copy;
    enum rc rc = copy_text(item, &copy);
    if (rc != RC_OK) {
        return rc;
    }
    char **items = mem_realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items == NULL) {
        mem_free(copy);
        return RC_NOMEM;
    }
    items[list->count] = copy;
    list->items = items;
    list->count++;
    return RC_OK;
}

void config_setting_deinit(const struct setting *setting, struct config *config)
{
    if (setting->type == SETTING_STRING) {
        char **field = field_of(setting, config);
        mem_free(*field);
        *field = NULL;
    } else if (setting->type == SETTING_LIST) {
        config_setting_list_clear(setting, config);
    }
}

/* A YAML scalar in single quotes: every text but a line end can stand in them. */
static void print_quoted(const char *text, struct config_text *to)
{
    config_text_addf(to, "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            config_text_addf(to, "''");
        } else {
            config_text_addf(to, "%c", *text);
        }
    }
    config_text_addf(to, "'");
}

/* Without quotes where YAML takes it for the text that it is. */
static void print_string(const char *text, struct config_text *to)
{
    bool plain = (*text >= 'a' && *text <= 'z') || *text == '/' || *text == '.';
    for (const char *at = text; *at != '\0'; at++) {
        const bool alnum =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        plain = plain && (alnum || *at == '/' || *at == '.' || *at == '-' || *at == '_');
    }
    if (plain) {
        config_text_addf(to, "%s", text);
    } else {
        print_quoted(text, to);
    }
}

static void print_list(const struct config_list *list, struct config_text *to)
{
    config_text_addf(to, "[");
    for (size_t i = 0; i < list->count; i++) {
        config_text_addf(to, "%s", i == 0 ? "" : ", ");
        print_quoted(list->items[i], to);
    }
    config_text_addf(to, "]");
}

void config_setting_print(const struct setting *setting, const struct config *config,
                          struct config_text *to)
{
    const void *field = field_of_const(setting, config);
    char address[CONFIG_ADDRESS_TEXT_SIZE];
    switch (setting->type) {
    case SETTING_STRING: print_string(*(char *const *)field, to); return;
    case SETTING_ADDRESS:
        config_address_text(field, address);
        if (address[0] == '[') {
            print_quoted(address, to);
        } else {
            config_text_addf(to, "%s", address);
        }
        return;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_DURATION: print_number(setting, number_of(setting, config), to); return;
    case SETTING_BOOL: config_text_addf(to, "%s", *(const bool *)field ? "true" : "false"); return;
    case SETTING_ENUM:
        config_text_addf(to, "%s", setting->choices[choice_of(setting, config)]);
        return;
    case SETTING_LIST: print_list(field, to); return;
    }
    UNREACHABLE();
}
