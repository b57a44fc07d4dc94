#include "server/datadir.h"

#include "base/mem.h"
#include "io/boot.h"
#include "log/files.h"
#include "log/record.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define META           "meta.json"
#define META_NEW       "meta.json.new"
#define RUNNING        "RUNNING"
#define DOUBT          "DOUBT"
#define DOUBT_OLD      "DOUBT.old"
#define FILE_BYTES_MAX 4096u
#define MARK_SIZE      128u

/* A small file as text with a NUL. */
static enum rc read_file(const struct storage *storage, const char *name,
                         char to[static FILE_BYTES_MAX])
{
    struct storage_file *file;
    enum rc rc = storage->ops->open(storage->ctx, name, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    size_t size = 0;
    rc = storage->ops->read(storage->ctx, file, to, FILE_BYTES_MAX - 1, 0, &size);
    to[rc == RC_OK ? size : 0] = '\0';
    storage->ops->close(storage->ctx, file);
    return rc;
}

/* Whole or not at all: written under another name, synced, renamed, the folder synced. */
static enum rc write_file(const struct storage *storage, const char *name, const char *name_new,
                          struct bytes text)
{
    struct storage_file *file;
    enum rc rc = storage->ops->remove(storage->ctx, name_new);
    if (rc != RC_OK && rc != RC_NOT_FOUND) {
        return rc;
    }
    rc = storage->ops->open(storage->ctx, name_new, STORAGE_CREATE, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = storage->ops->write(storage->ctx, file, text, 0);
    if (rc == RC_OK) {
        rc = storage->ops->sync_data(storage->ctx, file);
    }
    storage->ops->close(storage->ctx, file);
    if (rc == RC_OK) {
        rc = storage->ops->rename(storage->ctx, name_new, name);
    }
    return rc == RC_OK ? storage->ops->sync_dir(storage->ctx, "") : rc;
}

static bool hex_parse(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t count = 0;
    for (; text[count] != '\0'; count++) {
        const char c = text[count];
        const bool digit = c >= '0' && c <= '9';
        if (count == 16 || (!digit && (c < 'a' || c > 'f'))) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *ret_value = value;
    return count == 16;
}

static enum rc meta_parse(const char *text, const struct config *config, struct datadir *ret_dir,
                          char *why, size_t why_size)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    json_int_t format = 0; /* as wide as jansson reads: a number cut short may look right */
    json_int_t partitions = 0;
    json_int_t node = 0;
    const char *incarnation = "";
    enum rc rc = RC_OK;
    if (root == NULL || json_unpack(root, "{s:I,s:s,s:I,s:I}", "format", &format, "incarnation",
                                    &incarnation, "partitions", &partitions, "node", &node) != 0) {
        (void)snprintf(why, why_size, "%s is not what this server writes", META);
        rc = RC_CORRUPT;
    } else if (format != 1 || partitions < 1 || partitions > 256 ||
               !hex_parse(incarnation, &ret_dir->incarnation)) {
        (void)snprintf(why, why_size, "%s has a format or values of another version", META);
        rc = RC_CORRUPT;
    } else if (node != (json_int_t)config->node) {
        (void)snprintf(why, why_size,
                       "the data directory belongs to node %lld, the setting node is %lld",
                       (long long)node, (long long)config->node);
        rc = RC_USAGE;
    } else {
        ret_dir->partitions = (unsigned)partitions;
    }
    json_decref(root);
    return rc;
}

void datadir_folder(unsigned number, char to[static DATADIR_FOLDER_SIZE])
{
    ASSERT(number < 1000);
    (void)snprintf(to, DATADIR_FOLDER_SIZE, "p%03u", number % 1000);
}

/* Whether a name is that of a partition's folder; the first one found is kept. */
static void find_partition(void *ctx, const char *entry)
{
    char *found = ctx;
    const bool digits =
        entry[0] == 'p' && strlen(entry) == 4 && strspn(entry + 1, "0123456789") == 3;
    if (digits && (found[0] == '\0' || strcmp(entry, found) < 0)) {
        (void)snprintf(found, DATADIR_FOLDER_SIZE, "%s", entry);
    }
}

/* The identity is on disk before the first partition is. Where it is missing and a partition is not
 * it has been lost, and one of our own making would only lead away from what helps. */
static enum rc refuse_orphans(const struct storage *storage, char *why, size_t why_size)
{
    char found[DATADIR_FOLDER_SIZE] = "";
    const enum rc rc = storage->ops->list(storage->ctx, "", find_partition, found);
    if (rc != RC_OK || found[0] == '\0') {
        return rc;
    }
    (void)snprintf(why, why_size, "%s is missing, but %s is there: put it back", META, found);
    return RC_CORRUPT;
}

static enum rc meta_make(const struct storage *storage, const struct config *config,
                         uint64_t incarnation, struct datadir *ret_dir)
{
    char text[FILE_BYTES_MAX];
    *ret_dir = (struct datadir){
        .incarnation = incarnation,
        .partitions = (unsigned)config->partitions,
        .fresh = true,
    };
    const int size =
        snprintf(text, sizeof(text),
                 "{\"format\":1,\"incarnation\":\"%016llx\",\"partitions\":%u,\"node\":%u}\n",
                 (unsigned long long)incarnation, ret_dir->partitions, (unsigned)config->node);
    return write_file(storage, META, META_NEW, bytes_of(text, (size_t)size));
}

enum rc datadir_open(const struct storage *storage, const struct config *config,
                     uint64_t incarnation, struct datadir *ret_dir, char *why, size_t why_size)
{
    char text[FILE_BYTES_MAX];
    struct datadir dir = {0};
    enum rc rc = read_file(storage, META, text);
    if (rc == RC_OK) {
        rc = meta_parse(text, config, &dir, why, why_size);
    } else if (rc == RC_NOT_FOUND) {
        rc = refuse_orphans(storage, why, why_size);
        if (rc == RC_OK) {
            rc = meta_make(storage, config, incarnation, &dir);
        }
    }
    if (rc == RC_OK) {
        *ret_dir = dir;
    }
    return rc;
}

/* A power loss lies between two boots of the machine. */
static void mark_text(const struct config *config, char *to, size_t size)
{
    char boot[64];
    boot_id(boot, sizeof(boot));
    (void)snprintf(to, size, "%s %s\n", config_durability_text(config->durability), boot);
}

static bool mark_is_synced(const char *text)
{
    return strncmp(text, "fsync ", 6) == 0;
}

/* What was written without a sync survives the end of a process, not of the machine. */
static bool mark_is_unclean(const struct config *config, const char *before)
{
    char now[MARK_SIZE];
    mark_text(config, now, sizeof(now));
    const char *before_boot = strchr(before, ' ');
    const char *now_boot = strchr(now, ' ');
    const bool told = strlen(now_boot) > 2; /* otherwise nobody knows which boot it is */
    return !mark_is_synced(before) &&
           (before_boot == NULL || !told || strcmp(before_boot, now_boot) != 0);
}

/* A doubt of the run before gets a name of its own: what this run has to add is told apart. */
static enum rc doubt_take(const struct storage *storage, bool *ret_doubt)
{
    struct storage_file *file;
    enum rc rc = storage->ops->rename(storage->ctx, DOUBT, DOUBT_OLD);
    if (rc == RC_OK || rc == RC_NOT_FOUND) {
        rc = storage->ops->open(storage->ctx, DOUBT_OLD, STORAGE_READ, &file);
    }
    *ret_doubt = rc == RC_OK;
    if (rc == RC_OK) {
        storage->ops->close(storage->ctx, file);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

struct survey {
    bool segments; /* there is what a start has made */
    bool used;     /* and what came later */
};

static void survey_file(void *ctx, const char *entry)
{
    struct survey *survey = ctx;
    uint64_t number = 0;
    const char *suffix = NULL;
    if (!log_name_parse(entry, &number, &suffix)) {
        return;
    }
    const bool segment = strcmp(suffix, ".seg") == 0;
    if (segment || strcmp(suffix, ".idx") == 0 || strcmp(suffix, ".ckp") == 0 ||
        strcmp(suffix, ".seg.damaged") == 0) { /* no temporary one: a first start may leave that */
        survey->segments = true;
        survey->used = survey->used || number > 1 || !segment;
    }
}

/* One segment: whether there is a record in it. */
static enum rc survey_first(const struct storage *storage, const char *folder,
                            struct survey *survey)
{
    const struct log_name name = log_name_of(folder, 1, ".seg");
    struct storage_file *file;
    enum rc rc = storage->ops->open(storage->ctx, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    }
    uint8_t bytes[RECORD_HEADER_SIZE] = {0};
    size_t size = 0;
    rc = storage->ops->read(storage->ctx, file, bytes, sizeof(bytes), SEGMENT_HEADER_SIZE, &size);
    storage->ops->close(storage->ctx, file);
    for (size_t i = 0; rc == RC_OK && i < size; i++) {
        survey->used = survey->used || bytes[i] != 0;
    }
    return rc;
}

/* The first start makes all partitions before anything is written in one. So where one holds
 * records and another has no segment that one was lost. *ret_lost: its number, or `partitions`. */
static enum rc find_lost(const struct storage *storage, unsigned partitions, unsigned *ret_lost)
{
    bool used = false;
    unsigned lost = partitions;
    for (unsigned i = 0; i < partitions; i++) {
        char folder[DATADIR_FOLDER_SIZE];
        datadir_folder(i, folder);
        struct survey survey = {0};
        enum rc rc = storage->ops->list(storage->ctx, folder, survey_file, &survey);
        if (rc == RC_OK && survey.segments && !survey.used) {
            rc = survey_first(storage, folder, &survey);
        }
        if (rc != RC_OK && rc != RC_NOT_FOUND) {
            return rc;
        }
        used = used || survey.used;
        lost = lost == partitions && !survey.segments ? i : lost;
    }
    *ret_lost = used ? lost : partitions;
    return RC_OK;
}

/* A partition that is made anew would give the same numbers again in the same epochs: with a repair
 * all begin new ones. The file sees to it that this is not forgotten in a crash. */
static enum rc refuse_lost(const struct storage *storage, const struct config *config,
                           struct datadir *dir, char *why, size_t why_size)
{
    unsigned lost = 0;
    const enum rc rc = find_lost(storage, dir->partitions, &lost);
    if (rc != RC_OK || lost == dir->partitions) {
        return rc;
    }
    if (!config->repair) {
        (void)snprintf(why, why_size,
                       "p%03u has no segment, and other partitions have messages: put it back, or "
                       "give it up with --repair",
                       lost);
        return RC_CORRUPT;
    }
    dir->lost = true;
    struct storage_file *file;
    const enum rc made = storage->ops->open(storage->ctx, DOUBT, STORAGE_CREATE, &file);
    if (made == RC_OK) {
        storage->ops->close(storage->ctx, file);
    }
    return made == RC_OK || made == RC_EXISTS ? storage->ops->sync_dir(storage->ctx, "") : made;
}

enum rc datadir_check(const struct storage *storage, const struct config *config,
                      struct datadir *dir, char *why, size_t why_size)
{
    char before[FILE_BYTES_MAX];
    enum rc rc = RC_OK;
    if (!dir->fresh) {
        rc = refuse_lost(storage, config, dir, why, why_size);
    }
    if (rc == RC_OK) {
        rc = doubt_take(storage, &dir->unclean);
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = read_file(storage, RUNNING, before);
    if (rc == RC_OK) {
        dir->unclean = dir->unclean || mark_is_unclean(config, before);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc datadir_mark(const struct storage *storage, const struct config *config)
{
    char now[MARK_SIZE];
    mark_text(config, now, sizeof(now));
    enum rc rc = write_file(storage, RUNNING, RUNNING ".new", bytes_of_text(now));
    if (rc != RC_OK) {
        return rc;
    }
    rc = storage->ops->remove(storage->ctx, DOUBT_OLD);
    if (rc == RC_NOT_FOUND) {
        return RC_OK;
    }
    return rc == RC_OK ? storage->ops->sync_dir(storage->ctx, "") : rc;
}

enum rc datadir_doubt(const struct storage *storage, bool shown)
{
    char mark[FILE_BYTES_MAX] = "";
    enum rc rc = shown ? RC_OK : read_file(storage, RUNNING, mark);
    if (rc != RC_OK || mark_is_synced(mark)) {
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    }
    struct storage_file *file;
    rc = storage->ops->open(storage->ctx, DOUBT, STORAGE_CREATE, &file);
    if (rc == RC_OK) {
        storage->ops->close(storage->ctx, file);
    }
    return rc == RC_EXISTS ? RC_OK : rc;
}

enum rc datadir_unmark(const struct storage *storage)
{
    const enum rc rc = storage->ops->remove(storage->ctx, RUNNING);
    if (rc == RC_NOT_FOUND) {
        return RC_OK;
    }
    return rc == RC_OK ? storage->ops->sync_dir(storage->ctx, "") : rc;
}
