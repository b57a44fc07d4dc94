/* Loading: defaults, then file, variables and flags, each over what came before. */
#include "server/config.h"

#include "base/mem.h"
#include "server/config_args.h"
#include "server/config_schema.h"
#include "server/config_suggest.h"
#include "server/config_text.h"
#include "server/config_yaml.h"

#include <inttypes.h>

#define VARIABLE_PREFIX "SERIATIM_"

/* Variables of the same prefix that other parts of the program read. */
static const char *const other_variables[] = {"SERIATIM_CONFIG", "SERIATIM_URL"};
#define OTHER_VARIABLE_COUNT (sizeof(other_variables) / sizeof(other_variables[0]))

struct loading {
    struct config *config;
    struct config_text errors;
    struct buf *errors_buf;
    struct buf why;
    const char **flags; /* by row of the table: the text given, NULL: none */
    const char *file;
    bool refused;
};

enum rc config_defaults(struct config *ret_config)
{
    struct config config = {0};
    struct buf why = {0};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < config_setting_count && rc == RC_OK; i++) {
        const struct setting *setting = &config_settings[i];
        rc = config_setting_set(setting, &config, bytes_of_text(setting->initial), &why);
        ASSERT(rc != RC_BAD);
    }
    buf_deinit(&why);
    if (rc != RC_OK) {
        config_deinit(&config);
        return rc;
    }
    *ret_config = config;
    return RC_OK;
}

void config_deinit(struct config *config)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        config_setting_deinit(&config_settings[i], config);
    }
    mem_free(config->file);
    config->file = NULL;
}

/* Sets one value that was written as text under `name` (a flag or a variable). */
static enum rc take_text(struct loading *loading, const struct setting *setting, const char *dashes,
                         const char *name, const char *text, enum config_source source)
{
    buf_clear(&loading->why);
    const enum rc rc =
        config_setting_set(setting, loading->config, bytes_of_text(text), &loading->why);
    if (rc == RC_OK) {
        loading->config->origins[config_setting_index(setting)] =
            (struct config_origin){.source = source};
        return RC_OK;
    }
    if (rc != RC_BAD) {
        return rc;
    }
    loading->refused = true;
    config_text_addf(&loading->errors, "%s%s: error: ", dashes, name);
    config_text_add(&loading->errors, buf_bytes(&loading->why));
    config_text_addf(&loading->errors, "\n");
    return loading->errors.rc;
}

/* ---- flags --------------------------------------------------------------------------------- */

static enum rc on_flag(void *ctx, size_t index, const char *value)
{
    struct loading *loading = ctx;
    if (index == config_setting_count) {
        loading->file = value;
    } else {
        loading->flags[index] = value == NULL ? "true" : value;
    }
    return RC_OK;
}

/* Gathers the flags; their values are taken last, since they win. */
static enum rc gather_flags(struct loading *loading, int argc, char **argv)
{
    char names[CONFIG_SETTINGS_MAX][SETTING_NAME_SIZE];
    struct args_option options[CONFIG_SETTINGS_MAX + 1];
    for (size_t i = 0; i < config_setting_count; i++) {
        config_setting_flag(&config_settings[i], names[i]);
        const bool is_bool = config_settings[i].type == SETTING_BOOL;
        options[i] = (struct args_option){names[i], is_bool ? ARGS_OPTIONAL : ARGS_REQUIRED};
    }
    options[config_setting_count] = (struct args_option){"config", ARGS_REQUIRED};
    const struct args_use use = {options, config_setting_count + 1, on_flag, loading};

    int operands = 0;
    const enum rc rc = args_parse(argc, argv, &use, loading->errors_buf, &operands);
    if (rc != RC_OK && rc != RC_USAGE) {
        return rc;
    }
    loading->refused = loading->refused || rc == RC_USAGE;
    /* The value of an unknown option looks like an operand: one complaint is enough. */
    for (int i = operands; i < argc && rc == RC_OK; i++) {
        loading->refused = true;
        config_text_addf(&loading->errors, "error: unexpected argument '");
        config_text_add_foreign(&loading->errors, bytes_of_text(argv[i]), 60);
        config_text_addf(&loading->errors, "'; settings are given as --name VALUE\n");
    }
    return loading->errors.rc;
}

static enum rc take_flags(struct loading *loading)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (loading->flags[i] == NULL) {
            continue;
        }
        char name[SETTING_NAME_SIZE];
        config_setting_flag(&config_settings[i], name);
        const enum rc rc = take_text(loading, &config_settings[i], "--", name, loading->flags[i],
                                     CONFIG_FROM_FLAG);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* ---- variables ----------------------------------------------------------------------------- */

static bool variable_is_other(struct bytes name)
{
    for (size_t i = 0; i < OTHER_VARIABLE_COUNT; i++) {
        if (bytes_equal(name, bytes_of_text(other_variables[i]))) {
            return true;
        }
    }
    return false;
}

static void complain_variable(struct loading *loading, struct bytes name)
{
    char names[CONFIG_SETTINGS_MAX][SETTING_NAME_SIZE];
    struct config_suggest suggest = config_suggest_begin(name);
    for (size_t i = 0; i < config_setting_count; i++) {
        config_setting_variable(&config_settings[i], names[i]);
        config_suggest_offer(&suggest, names[i]);
    }
    loading->refused = true;
    config_text_add_foreign(&loading->errors, name, SETTING_NAME_SIZE);
    config_text_addf(&loading->errors, ": error: there is no such setting");
    if (suggest.best != NULL) {
        config_text_addf(&loading->errors, ", did you mean '%s'?", suggest.best);
    }
    config_text_addf(&loading->errors, "\n");
}

/* One NAME=value of ours; an empty value is as good as none. */
static enum rc take_variable(struct loading *loading, struct bytes name, const char *value)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        char wanted[SETTING_NAME_SIZE];
        config_setting_variable(&config_settings[i], wanted);
        if (!bytes_equal(name, bytes_of_text(wanted))) {
            continue;
        }
        return *value == '\0' ? RC_OK
                              : take_text(loading, &config_settings[i], "", wanted, value,
                                          CONFIG_FROM_ENVIRONMENT);
    }
    if (!variable_is_other(name)) {
        complain_variable(loading, name);
    }
    return loading->errors.rc;
}

static enum rc take_variables(struct loading *loading, char *const *environment)
{
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL ||
            strncmp(*environment, VARIABLE_PREFIX, sizeof(VARIABLE_PREFIX) - 1) != 0) {
            continue;
        }
        const struct bytes name = bytes_of(*environment, (size_t)(equals - *environment));
        const enum rc rc = take_variable(loading, name, equals + 1);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static enum rc take_file(struct loading *loading, char *const *environment)
{
    static const char variable[] = "SERIATIM_CONFIG=";
    for (; loading->file == NULL && *environment != NULL; environment++) {
        const bool named = strncmp(*environment, variable, sizeof(variable) - 1) == 0;
        if (named && (*environment)[sizeof(variable) - 1] != '\0') {
            loading->file = *environment + sizeof(variable) - 1;
        }
    }
    if (loading->file == NULL) {
        return RC_OK;
    }
    loading->config->file = mem_strdup(loading->file);
    if (loading->config->file == NULL) {
        return RC_NOMEM;
    }
    const enum rc rc = config_yaml_load(loading->file, loading->config, loading->errors_buf);
    loading->refused = loading->refused || rc == RC_USAGE;
    return rc == RC_USAGE ? RC_OK : rc;
}

/* ---- all ----------------------------------------------------------------------------------- */

/* What no row can say alone. */
static enum rc check_together(struct loading *loading)
{
    const struct config *config = loading->config;
    if (config->limit_frame_bytes < config->limit_message_bytes) {
        loading->refused = true;
        config_text_addf(&loading->errors,
                         "error: limits.frame_bytes (%" PRIu64 ") must not be less than "
                         "limits.message_bytes (%" PRIu64 "): a frame holds a message\n",
                         config->limit_frame_bytes, config->limit_message_bytes);
    }
    if (config->pong_timeout_ms <= config->ping_interval_ms) {
        loading->refused = true;
        config_text_addf(&loading->errors,
                         "error: pong_timeout (%" PRIu64 "ms) must be more than ping_interval "
                         "(%" PRIu64 "ms): a ping needs time to be answered\n",
                         config->pong_timeout_ms, config->ping_interval_ms);
    }
    return loading->errors.rc;
}

static enum rc load_all(struct loading *loading, int argc, char **argv, char *const *environment)
{
    enum rc rc = gather_flags(loading, argc, argv);
    if (rc == RC_OK) {
        rc = take_file(loading, environment);
    }
    if (rc == RC_OK) {
        rc = take_variables(loading, environment);
    }
    if (rc == RC_OK) {
        rc = take_flags(loading);
    }
    if (rc == RC_OK) {
        rc = check_together(loading);
    }
    return rc == RC_OK && loading->refused ? RC_USAGE : rc;
}

enum rc config_load(int argc, char **argv, char *const *environment, struct config *ret_config,
                    struct buf *errors)
{
    struct config config;
    enum rc rc = config_defaults(&config);
    if (rc != RC_OK) {
        return rc;
    }
    const char *flags[CONFIG_SETTINGS_MAX] = {0};
    struct loading loading = {
        .config = &config, .errors = config_text_to(errors), .errors_buf = errors, .flags = flags};
    rc = load_all(&loading, argc, argv, environment);
    buf_deinit(&loading.why);
    if (rc != RC_OK) {
        config_deinit(&config);
        ASSERT(rc != RC_USAGE || errors->size > 0);
        return rc;
    }
    *ret_config = config;
    return RC_OK;
}
