/* seriatim config: check, show, default, docs. */
#include "cli/cli.h"
#include "server/config.h"
#include "server/config_suggest.h"

#include <unistd.h>

static const char *const actions[] = {"check", "show", "default", "docs"};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

/* Takes every --sources out of argv; the settings' own parser does not know it. */
static bool take_sources(int *argc, char **argv)
{
    bool found = false;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--sources") == 0) {
            found = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return found;
}

/* check and show: both load as `serve` does. `argv[0]` is the action. */
static int load_and_show(int argc, char **argv, bool show)
{
    const bool sources = show && take_sources(&argc, argv);
    struct config config;
    struct buf text = {0};
    const enum rc rc = config_load(argc, argv, environ, &config, &text);
    if (rc != RC_OK) {
        const int status = rc == RC_USAGE ? cli_refuse("config", &text) : cli_fail(rc);
        buf_deinit(&text);
        return status;
    }
    enum rc shown = RC_OK;
    if (show) {
        shown = config_print_effective(&text, &config, sources);
    } else {
        shown = buf_append(&text, BYTES_LITERAL("the settings are good\n"));
    }
    config_deinit(&config);
    return cli_print_buf(shown, &text);
}

static int refuse_action(const char *typed)
{
    struct config_suggest suggest = config_suggest_begin(bytes_of_text(typed));
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        config_suggest_offer(&suggest, actions[i]);
    }
    if (suggest.best != NULL) {
        return cli_refuse_text("config", "there is no `config %s`, did you mean '%s'?", typed,
                               suggest.best);
    }
    return cli_refuse_text("config", "there is no `config %s`", typed);
}

int cli_config(int argc, char **argv)
{
    int status;
    if (cli_wants_help("config", argc, argv, &status)) {
        return status;
    }
    if (argc < 2) {
        return cli_refuse_text("config", "which one: check, show, default or docs?");
    }
    const char *action = argv[1];
    if (strcmp(action, "check") == 0 || strcmp(action, "show") == 0) {
        return load_and_show(argc - 1, argv + 1, strcmp(action, "show") == 0);
    }
    const bool is_default = strcmp(action, "default") == 0;
    if (!is_default && strcmp(action, "docs") != 0) {
        return refuse_action(action);
    }
    if (argc > 2) {
        return cli_refuse_text("config", "unexpected argument '%s'", argv[2]);
    }
    struct buf text = {0};
    const enum rc rc = is_default ? config_print_default(&text) : config_print_docs(&text);
    return cli_print_buf(rc, &text);
}
