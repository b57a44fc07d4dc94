#include "server/config_yaml.h"

#include "base/mem.h"
#include "server/config_schema.h"
#include "server/config_suggest.h"
#include "server/config_text.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>

#define LINE_SHOWN_MAX 160u
#define PATH_SIZE      160u

struct yaml_source {
    const char *name;
    struct bytes text;
    struct config *config;
    struct config_text errors;
    struct buf why; /* scratch for a refusal */
    enum rc rc;     /* RC_OK, RC_USAGE once something was refused, RC_NOMEM */
};

/* A place in the file: line and column from 0, and how many columns the caret underlines. */
struct yaml_place {
    size_t line;
    size_t column;
    size_t width;
};

static struct yaml_place place_of(struct fy_node *node)
{
    struct yaml_place place = {.width = 1};
    struct fy_token *token = node == NULL ? NULL : fy_node_get_scalar_token(node);
    const struct fy_mark *mark = token == NULL ? NULL : fy_token_start_mark(token);
    if (mark != NULL) {
        place.line = (size_t)mark->line;
        place.column = (size_t)mark->column;
        size_t size = 0;
        (void)fy_node_get_scalar(node, &size);
        place.width = size > 0 ? size : 1;
    }
    return place;
}

/* The line number `line` (from 0) without its end. */
static struct bytes source_line(struct bytes text, size_t line)
{
    size_t start = 0;
    for (; line > 0 && start < text.size; start++) {
        line -= text.data[start] == '\n' ? 1 : 0;
    }
    size_t end = start;
    while (end < text.size && text.data[end] != '\n' && text.data[end] != '\r') {
        end++;
    }
    return bytes_of(text.data + start, end - start);
}

static void show_source(struct yaml_source *source, struct yaml_place place)
{
    const struct bytes line = source_line(source->text, place.line);
    if (place.column >= LINE_SHOWN_MAX || place.column > line.size) {
        return;
    }
    config_text_addf(&source->errors, "%5zu | ", place.line + 1);
    config_text_add_foreign(&source->errors, line, LINE_SHOWN_MAX);
    config_text_addf(&source->errors, "\n      | %*s^", (int)place.column, "");
    for (size_t i = 1; i < place.width && place.column + i < line.size; i++) {
        config_text_addf(&source->errors, "~");
    }
    config_text_addf(&source->errors, "\n");
}

static void complain_head(struct yaml_source *source, struct yaml_place place)
{
    source->rc = source->rc == RC_OK ? RC_USAGE : source->rc;
    config_text_addf(&source->errors, "%s:%zu:%zu: error: ", source->name, place.line + 1,
                     place.column + 1);
}

static void complain(struct yaml_source *source, struct yaml_place place, struct bytes subject,
                     const char *what)
{
    complain_head(source, place);
    if (subject.size > 0) {
        config_text_add_foreign(&source->errors, subject, PATH_SIZE);
        config_text_addf(&source->errors, ": ");
    }
    config_text_addf(&source->errors, "%s\n", what);
    show_source(source, place);
}

/* The nearest name on the same level: a setting's own part of the path, or a group's. */
static const char *nearest_on_level(struct bytes group, struct bytes key)
{
    struct config_suggest suggest = config_suggest_begin(key);
    for (size_t i = 0; i < config_setting_count; i++) {
        const char *path = config_settings[i].path;
        const char *dot = strchr(path, '.');
        const size_t level = dot == NULL ? 0 : (size_t)(dot - path);
        if (bytes_equal(bytes_of(path, level), group)) {
            config_suggest_offer(&suggest, level == 0 ? path : dot + 1);
        }
    }
    static const char *const groups[] = {"limits", "log", "retention"};
    for (size_t i = 0; group.size == 0 && i < sizeof(groups) / sizeof(groups[0]); i++) {
        ASSERT(config_setting_is_group(bytes_of_text(groups[i])));
        config_suggest_offer(&suggest, groups[i]);
    }
    return suggest.best;
}

static void complain_unknown(struct yaml_source *source, struct yaml_place place,
                             struct bytes group, struct bytes key)
{
    complain_head(source, place);
    config_text_addf(&source->errors, "unknown setting '");
    config_text_add_foreign(&source->errors, group, PATH_SIZE);
    config_text_addf(&source->errors, "%s", group.size > 0 ? "." : "");
    config_text_add_foreign(&source->errors, key, PATH_SIZE);
    config_text_addf(&source->errors, "'");
    const char *nearest = nearest_on_level(group, key);
    if (nearest != NULL) {
        config_text_addf(&source->errors, ", did you mean '%s'?", nearest);
    }
    config_text_addf(&source->errors, "\n");
    show_source(source, place);
}

/* Takes the outcome of setting a value; `place` is the value's. */
static void settle(struct yaml_source *source, const struct setting *setting, enum rc rc,
                   struct yaml_place place)
{
    if (rc == RC_OK) {
        source->config->origins[config_setting_index(setting)] = (struct config_origin){
            CONFIG_FROM_FILE, (unsigned)place.line + 1, (unsigned)place.column + 1};
    } else if (rc == RC_BAD) {
        complain_head(source, place);
        config_text_addf(&source->errors, "%s ", setting->path);
        config_text_add(&source->errors, buf_bytes(&source->why));
        config_text_addf(&source->errors, "\n");
        show_source(source, place);
    } else {
        source->rc = rc;
    }
}

static void take_list(struct yaml_source *source, const struct setting *setting,
                      struct yaml_place key, struct fy_node *list)
{
    config_setting_list_clear(setting, source->config);
    settle(source, setting, RC_OK, key);
    void *at = NULL;
    for (struct fy_node *item = fy_node_sequence_iterate(list, &at); item != NULL;
         item = fy_node_sequence_iterate(list, &at)) {
        size_t size = 0;
        const char *text = fy_node_get_scalar(item, &size);
        if (!fy_node_is_scalar(item) || fy_node_is_alias(item) || text == NULL) {
            complain(source, key, bytes_of_text(setting->path), "its items must be texts");
            return;
        }
        buf_clear(&source->why);
        const enum rc rc =
            config_setting_list_add(setting, source->config, bytes_of(text, size), &source->why);
        if (rc != RC_OK) {
            settle(source, setting, rc, place_of(item));
        }
    }
}

static void take_value(struct yaml_source *source, const struct setting *setting,
                       struct yaml_place key, struct fy_node *value)
{
    const struct bytes path = bytes_of_text(setting->path);
    if (value != NULL && setting->type == SETTING_LIST && fy_node_is_sequence(value)) {
        take_list(source, setting, key, value);
        return;
    }
    if (value != NULL && fy_node_is_alias(value)) {
        complain(source, key, path, "anchors and aliases are not understood here");
        return;
    }
    size_t size = 0;
    const char *text = value == NULL ? NULL : fy_node_get_scalar(value, &size);
    if (setting->type == SETTING_LIST) {
        complain(source, key, path, "must be a list, such as ['https://app.example']");
        return;
    }
    if (text == NULL || !fy_node_is_scalar(value) || fy_node_is_null(value)) {
        complain(source, key, path, "needs one value");
        return;
    }
    buf_clear(&source->why);
    settle(source, setting,
           config_setting_set(setting, source->config, bytes_of(text, size), &source->why),
           place_of(value));
}

/* The path of a key: "retention.bytes". False: it is too long to be one. */
static bool join_path(struct bytes group, struct bytes key, char path[static PATH_SIZE],
                      struct bytes *ret_path)
{
    const size_t dot = group.size > 0 ? 1 : 0;
    if (group.size + dot + key.size >= PATH_SIZE) {
        return false;
    }
    bytes_copy(path, group.data, group.size);
    bytes_copy(path + group.size, ".", dot);
    bytes_copy(path + group.size + dot, key.data, key.size);
    *ret_path = bytes_of(path, group.size + dot + key.size);
    return true;
}

/* One `key: value` inside `group` (empty at the top). Returns whether it opens a group. */
static bool take_pair(struct yaml_source *source, struct bytes group, struct fy_node_pair *pair)
{
    struct fy_node *key = fy_node_pair_key(pair);
    struct fy_node *value = fy_node_pair_value(pair);
    const struct yaml_place place = place_of(key);
    size_t size = 0;
    const char *text = key == NULL ? NULL : fy_node_get_scalar(key, &size);
    char path_text[PATH_SIZE];
    struct bytes path;
    if (text == NULL || !join_path(group, bytes_of(text, size), path_text, &path)) {
        complain(source, place, group, "a setting's name must be a short text");
        return false;
    }
    const struct setting *setting = config_setting_find(path);
    const bool dotted = memchr(text, '.', size) != NULL;
    if (setting != NULL && !dotted) {
        take_value(source, setting, place, value);
        return false;
    }
    if (setting != NULL) {
        complain(source, place, path, "levels are nested in YAML, not joined by dots");
        return false;
    }
    if (group.size == 0 && config_setting_is_group(path)) {
        if (value != NULL && fy_node_is_mapping(value)) {
            return true;
        }
        complain(source, place, path, "must hold settings, indented below it");
        return false;
    }
    complain_unknown(source, place, group, bytes_of(text, size));
    return false;
}

static void take_group(struct yaml_source *source, struct fy_node_pair *group_pair)
{
    size_t size = 0;
    const char *text = fy_node_get_scalar(fy_node_pair_key(group_pair), &size);
    struct fy_node *group = fy_node_pair_value(group_pair);
    void *at = NULL;
    for (struct fy_node_pair *pair = fy_node_mapping_iterate(group, &at); pair != NULL;
         pair = fy_node_mapping_iterate(group, &at)) {
        const bool deeper = take_pair(source, bytes_of(text, size), pair);
        ASSERT(!deeper); /* the table has two levels */
    }
}

/* Where it begins, or nearly: only scalars tell their place. */
static struct fy_node *first_of(struct fy_node *root)
{
    void *at = NULL;
    if (fy_node_is_sequence(root)) {
        return fy_node_sequence_iterate(root, &at);
    }
    struct fy_node_pair *pair =
        fy_node_is_mapping(root) ? fy_node_mapping_iterate(root, &at) : NULL;
    return pair == NULL ? root : fy_node_pair_key(pair);
}

static void take_document(struct yaml_source *source, struct fy_node *root)
{
    if (root == NULL || fy_node_is_null(root)) {
        return; /* nothing but comments */
    }
    if (!fy_node_is_mapping(root)) {
        complain(source, place_of(root), (struct bytes){0}, "settings are written 'name: value'");
        return;
    }
    void *at = NULL;
    for (struct fy_node_pair *pair = fy_node_mapping_iterate(root, &at); pair != NULL;
         pair = fy_node_mapping_iterate(root, &at)) {
        if (take_pair(source, (struct bytes){0}, pair)) {
            take_group(source, pair);
        }
    }
}

/* What the parser itself found: it stops at the first. */
static void take_diagnosis(struct yaml_source *source, struct fy_diag *diag)
{
    void *at = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &at);
    struct yaml_place place = {.width = 1};
    if (error != NULL && error->line > 0 && error->column > 0) {
        place.line = (size_t)error->line - 1;
        place.column = (size_t)error->column - 1;
    }
    complain(source, place, (struct bytes){0}, error == NULL ? "this is not YAML" : error->msg);
}

/* Nothing but white space and comments: libfyaml finds no document there and calls it a failure. */
static bool only_comments(struct bytes text)
{
    bool comment = false;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        comment = c == '#' || (comment && c != '\n');
        if (!comment && c != '\n' && c != '\r' && c != ' ') {
            return false;
        }
    }
    return true;
}

/* What libfyaml would print by itself; the collected errors tell it better. */
static void swallow(struct fy_diag *diag, void *user, const char *text, size_t size)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)size;
}

/* Behind the first document: a second one would look like settings and count for nothing. */
static void check_end(struct yaml_source *source, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_document *second = fy_parse_load_document(parser);
    struct fy_node *root = second == NULL ? NULL : fy_document_root(second);
    if (second == NULL && fy_diag_got_error(diag)) {
        take_diagnosis(source, diag);
    } else if (root != NULL && !fy_node_is_null(root)) {
        complain(source, place_of(first_of(root)), (struct bytes){0},
                 "a second document: settings stand in one, without '---' between them");
    }
    fy_parse_document_destroy(parser, second);
}

static void parse_documents(struct yaml_source *source, struct fy_parser *parser,
                            struct fy_diag *diag)
{
    struct fy_document *document = fy_parse_load_document(parser);
    if (document == NULL) {
        take_diagnosis(source, diag);
        return;
    }
    take_document(source, fy_document_root(document));
    check_end(source, parser, diag);
    fy_parse_document_destroy(parser, document);
}

static void parse_source(struct yaml_source *source)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.output_fn = swallow;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (diag == NULL) {
        source->rc = RC_NOMEM;
        return;
    }
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg parse_config = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE, .diag = diag};
    struct fy_parser *parser = fy_parser_create(&parse_config);
    if (parser == NULL ||
        fy_parser_set_string(parser, (const char *)source->text.data, source->text.size) != 0) {
        source->rc = RC_NOMEM;
    } else {
        parse_documents(source, parser, diag);
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
}

enum rc config_yaml_parse(const char *name, struct bytes text, struct config *config,
                          struct buf *errors)
{
    struct yaml_source source = {
        .name = name, .text = text, .config = config, .errors = config_text_to(errors)};
    if (!only_comments(text)) {
        parse_source(&source);
    }
    buf_deinit(&source.why);
    return source.errors.rc == RC_OK ? source.rc : source.errors.rc;
}

static enum rc complain_file(const char *name, const char *what, struct buf *errors)
{
    struct config_text to = config_text_to(errors);
    config_text_addf(&to, "%s: error: %s\n", name, what);
    return to.rc == RC_OK ? RC_USAGE : to.rc;
}

enum rc config_yaml_load(const char *name, struct config *config, struct buf *errors)
{
    FILE *file = fopen(name, "rbe");
    if (file == NULL) {
        return complain_file(name, strerror(errno), errors);
    }
    struct buf text = {0};
    enum rc rc = buf_reserve(&text, CONFIG_FILE_BYTES_MAX + 1);
    if (rc == RC_OK) {
        text.size = fread(text.data, 1, CONFIG_FILE_BYTES_MAX + 1, file);
        if (ferror(file) != 0) {
            rc = complain_file(name, "cannot be read", errors);
        } else if (text.size > CONFIG_FILE_BYTES_MAX) {
            rc = complain_file(name, "is larger than 1 MiB: not a file of settings", errors);
        } else {
            rc = config_yaml_parse(name, buf_bytes(&text), config, errors);
        }
    }
    (void)fclose(file);
    buf_deinit(&text);
    return rc;
}
