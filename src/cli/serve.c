/* seriatim serve: settings, then the server. */
#include "cli/cli.h"
#include "server/config.h"
#include "server/server.h"

#include <unistd.h>

int cli_serve(int argc, char **argv)
{
    int status;
    if (cli_wants_help("serve", argc, argv, &status)) {
        return status;
    }
    struct config config;
    struct buf errors = {0};
    const enum rc rc = config_load(argc, argv, environ, &config, &errors);
    if (rc == RC_OK) {
        logger_init(config.log_level, config.log_format, STDERR_FILENO);
        status = server_main(&config);
        config_deinit(&config);
    } else {
        status = rc == RC_USAGE ? cli_refuse("serve", &errors) : cli_fail(rc);
    }
    buf_deinit(&errors);
    return status;
}
