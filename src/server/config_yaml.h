/* The YAML file of settings.
 *
 * Every complaint names file, line and column and shows the line with a caret. Scalars are taken
 * by their text, whatever their style; anchors, aliases and further documents are not settings.
 *
 * Thread: start-up.  Memory: none is kept. */
#ifndef SERVER_CONFIG_YAML_H
#define SERVER_CONFIG_YAML_H

#include "server/config.h"

/* A file of settings is short; more than this is some other file. */
#define CONFIG_FILE_BYTES_MAX (1024u * 1024u)

/* Reads `name` into `config`, which has its defaults already.
 * RC_USAGE  at least one complaint was appended to `errors`
 * RC_NOMEM */
MUST_USE enum rc config_yaml_load(const char *name, struct config *config, struct buf *errors);
/* As above, with the text at hand. */
MUST_USE enum rc config_yaml_parse(const char *name, struct bytes text, struct config *config,
                                   struct buf *errors);

#endif
