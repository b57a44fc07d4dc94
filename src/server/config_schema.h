/* The one table of settings: name, type, default, range and a sentence of documentation.
 *
 * Flags, variables, the YAML file, its checks, `config default`, docs/CONFIG.md and the help of
 * `serve` are all made from it: a new setting is one row here and one field in struct config.
 *
 * Thread: any (constant).  Memory: the values belong to struct config. */
#ifndef SERVER_CONFIG_SCHEMA_H
#define SERVER_CONFIG_SCHEMA_H

#include "base/bytes.h"
#include "base/rc.h"
#include "server/config.h"
#include "server/config_text.h"

enum setting_type {
    SETTING_STRING,   /* char * */
    SETTING_ADDRESS,  /* struct config_address */
    SETTING_NUMBER,   /* uint64_t */
    SETTING_SIZE,     /* uint64_t, bytes */
    SETTING_DURATION, /* uint64_t, milliseconds */
    SETTING_BOOL,     /* bool */
    SETTING_ENUM,     /* an enum whose values index `choices` */
    SETTING_LIST,     /* struct config_list */
};

struct setting {
    const char *path; /* levels joined by '.' */
    enum setting_type type;
    const char *initial; /* the default, as text; a list's is empty */
    uint64_t min;        /* NUMBER, SIZE, DURATION; 0 is always allowed where `zero` is set */
    uint64_t max;
    const char *zero; /* what 0 means, or NULL */
    const char *const *choices;
    size_t choice_count;
    size_t field; /* offset in struct config */
    const char *doc;
};

extern const struct setting config_settings[];
extern const size_t config_setting_count;

/* The row with that path, or NULL. */
const struct setting *config_setting_find(struct bytes path);
size_t config_setting_index(const struct setting *setting);
/* Whether some setting lies below the level `name` ("retention"). */
bool config_setting_is_group(struct bytes name);

#define SETTING_NAME_SIZE 64u
/* "--retention-bytes" without the dashes in front; "SERIATIM_RETENTION__BYTES". */
void config_setting_flag(const struct setting *setting, char name[static SETTING_NAME_SIZE]);
void config_setting_variable(const struct setting *setting, char name[static SETTING_NAME_SIZE]);
/* What stands for the value in help: "HOST:PORT", "SIZE", … */
const char *config_setting_placeholder(const struct setting *setting);

/* Parses `text` into its field. A list is replaced by the items between the commas.
 * RC_BAD    refused: `why` has got a sentence that begins with "must"; the old value stays
 * RC_NOMEM */
MUST_USE enum rc config_setting_set(const struct setting *setting, struct config *config,
                                    struct bytes text, struct buf *why);
/* SETTING_LIST: empties; appends one item. RC_BAD and RC_NOMEM as above. */
void config_setting_list_clear(const struct setting *setting, struct config *config);
MUST_USE enum rc config_setting_list_add(const struct setting *setting, struct config *config,
                                         struct bytes item, struct buf *why);
/* Frees a string or list. */
void config_setting_deinit(const struct setting *setting, struct config *config);

/* Appends the value as YAML. */
void config_setting_print(const struct setting *setting, const struct config *config,
                          struct config_text *to);
/* What values there are, in words: "a size from 4KiB to 1GiB, such as …". */
void config_setting_print_range(const struct setting *setting, struct config_text *to);

#endif
