/* The table of settings, told to people: YAML, Markdown, help. */
#include "server/config.h"
#include "server/config_schema.h"
#include "server/config_text.h"

#include <stdio.h>

#define WRAP_COLUMNS 98u

void config_address_text(const struct config_address *address,
                         char text[static CONFIG_ADDRESS_TEXT_SIZE])
{
    const bool ipv6 = strchr(address->host, ':') != NULL;
    (void)snprintf(text, CONFIG_ADDRESS_TEXT_SIZE, ipv6 ? "[%s]:%u" : "%s:%u", address->host,
                   (unsigned)address->port);
}

const char *config_durability_text(enum config_durability durability)
{
    switch (durability) {
    case DURABILITY_FSYNC: return "fsync";
    case DURABILITY_OS: return "os";
    case DURABILITY_MEMORY: return "memory";
    case DURABILITY_COUNT: break;
    }
    UNREACHABLE();
}

/* Words of `text` in lines that begin with `lead`; ends with a line end. */
static void print_wrapped(struct config_text *to, const char *lead, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        const size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > WRAP_COLUMNS) {
            config_text_addf(to, "\n");
            column = 0;
        }
        config_text_addf(to, "%s%.*s", column == 0 ? lead : " ", (int)word, text);
        column += (column == 0 ? strlen(lead) : 1) + word;
        text += word;
        text += strspn(text, " ");
    }
    config_text_addf(to, "\n");
}

/* The level of a path: 0 for "data", 9 for "retention.bytes". */
static size_t group_size(const char *path)
{
    const char *dot = strchr(path, '.');
    return dot == NULL ? 0 : (size_t)(dot - path);
}

/* Opens a level where the row before was not in it. */
static void print_group(struct config_text *to, size_t index)
{
    const char *path = config_settings[index].path;
    const size_t size = group_size(path);
    const char *before = index == 0 ? "" : config_settings[index - 1].path;
    const bool same = group_size(before) == size && strncmp(before, path, size) == 0;
    if (size > 0 && !same) {
        config_text_addf(to, "%.*s:\n", (int)size, path);
    }
}

static const char *own_name(const struct setting *setting)
{
    const size_t size = group_size(setting->path);
    return setting->path + (size > 0 ? size + 1 : 0);
}

enum rc config_print_default(struct buf *to_buf)
{
    struct config config;
    enum rc rc = config_defaults(&config);
    if (rc != RC_OK) {
        return rc;
    }
    struct config_text to = config_text_to(to_buf);
    config_text_addf(&to, "# Settings of seriatim, with their defaults. Flags win over SERIATIM_* "
                          "variables, these over this file.\n");
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        const bool nested = group_size(setting->path) > 0;
        const char *lead = nested ? "  # " : "# ";
        config_text_addf(&to, "\n");
        print_group(&to, i);
        print_wrapped(&to, lead, setting->doc);
        struct buf range_buf = {0};
        struct config_text range = config_text_to(&range_buf);
        config_setting_print_range(setting, &range);
        config_text_addf(&to, "%s%.*s\n", lead, (int)range_buf.size,
                         range_buf.data == NULL ? "" : (char *)range_buf.data);
        to.rc = to.rc == RC_OK ? range.rc : to.rc;
        buf_deinit(&range_buf);
        config_text_addf(&to, "%s%s: ", nested ? "  " : "", own_name(setting));
        config_setting_print(setting, &config, &to);
        config_text_addf(&to, "\n");
    }
    config_deinit(&config);
    return to.rc;
}

static void print_docs_row(struct config_text *to, const struct setting *setting,
                           const struct config *config)
{
    char flag[SETTING_NAME_SIZE];
    char variable[SETTING_NAME_SIZE];
    config_setting_flag(setting, flag);
    config_setting_variable(setting, variable);
    config_text_addf(to, "| `%s` | `", setting->path);
    config_setting_print(setting, config, to);
    config_text_addf(to, "` | ");
    config_setting_print_range(setting, to);
    config_text_addf(to, " | %s | `--%s` | `%s` |\n", setting->doc, flag, variable);
}

enum rc config_print_docs(struct buf *to_buf)
{
    struct config config;
    enum rc rc = config_defaults(&config);
    if (rc != RC_OK) {
        return rc;
    }
    struct config_text to = config_text_to(to_buf);
    config_text_addf(
        &to,
        "# Settings\n\n"
        "Made by `seriatim config docs`; do not edit.\n\n"
        "Flags of `seriatim serve` win over variables, these over the YAML file named by "
        "`--config FILE` or\n`SERIATIM_CONFIG`, that over the defaults. An empty variable counts "
        "as not set. In YAML the levels of a\nname are nested:\n\n"
        "```yaml\nlisten: 127.0.0.1:8470\nretention:\n  age: 7d\n  bytes: 10GiB\n```\n\n"
        "Sizes take `KiB`, `MiB`, `GiB`, `TiB` or nothing (bytes); durations `ms`, `s`, `m`, `h`, "
        "`d`. What is not a\nsetting, or not a value for it, is refused, all of it at once, with "
        "exit status 2.\n\n"
        "* `seriatim config check` tells whether the settings are good\n"
        "* `seriatim config show --sources` tells each value in force and where it comes from\n"
        "* `seriatim config default` prints a commented file to start from\n\n"
        "| setting | default | values | what it does | flag | variable |\n"
        "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < config_setting_count; i++) {
        print_docs_row(&to, &config_settings[i], &config);
    }
    config_deinit(&config);
    return to.rc;
}

static void print_origin(struct config_text *to, const struct config *config, size_t index)
{
    char name[SETTING_NAME_SIZE];
    const struct config_origin *origin = &config->origins[index];
    switch (origin->source) {
    case CONFIG_FROM_DEFAULT: config_text_addf(to, " # default"); return;
    case CONFIG_FROM_FILE:
        config_text_addf(to, " # %s:%u:%u", config->file == NULL ? "file" : config->file,
                         origin->line, origin->column);
        return;
    case CONFIG_FROM_ENVIRONMENT:
        config_setting_variable(&config_settings[index], name);
        config_text_addf(to, " # %s", name);
        return;
    case CONFIG_FROM_FLAG:
        config_setting_flag(&config_settings[index], name);
        config_text_addf(to, " # --%s", name);
        return;
    }
    UNREACHABLE();
}

enum rc config_print_effective(struct buf *to_buf, const struct config *config, bool sources)
{
    struct config_text to = config_text_to(to_buf);
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        print_group(&to, i);
        config_text_addf(&to, "%s%s: ", group_size(setting->path) > 0 ? "  " : "",
                         own_name(setting));
        config_setting_print(setting, config, &to);
        if (sources) {
            print_origin(&to, config, i);
        }
        config_text_addf(&to, "\n");
    }
    return to.rc;
}

enum rc config_print_flags(struct buf *to_buf)
{
    struct config config;
    enum rc rc = config_defaults(&config);
    if (rc != RC_OK) {
        return rc;
    }
    struct config_text to = config_text_to(to_buf);
    config_text_addf(&to, "  --config FILE\n        Settings as YAML; flags and SERIATIM_* "
                          "variables win over it.\n");
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        char flag[SETTING_NAME_SIZE];
        config_setting_flag(setting, flag);
        const char *value = config_setting_placeholder(setting);
        if (setting->type == SETTING_BOOL) {
            config_text_addf(&to, "  --%s[=%s]  (default ", flag, value);
        } else {
            config_text_addf(&to, "  --%s %s  (default ", flag, value);
        }
        config_setting_print(setting, &config, &to);
        config_text_addf(&to, ")\n");
        print_wrapped(&to, "        ", setting->doc);
    }
    config_deinit(&config);
    return to.rc;
}
