/* seriatim log: what a data directory holds, and whether it is whole. Only reads. */
#include "base/digest.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/log_state.h"
#include "core/snowflake.h"
#include "io/disk.h"
#include "log/file_log.h"
#include "server/config_args.h"
#include "server/config_text.h"
#include "server/datadir.h"
#include "wire/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PARTITIONS_MAX 256
#define FILES_MAX      100000u
#define PATH_SIZE      4096u
#define META           "meta.json"

/* meta.json, as the server writes it. */
struct meta {
    char incarnation[20];
    uint64_t incarnation_number;
    unsigned partitions;
    unsigned node;
};

struct log_file {
    char *name;
    uint64_t size;
};

/* One run of the command. */
struct log_run {
    const char *action;
    const char *dir;
    bool json;
    bool verify;
    bool digests;
    struct meta meta;
    struct disk *disk;
    struct storage storage;
    json_t *report;  /* json: the whole of it */
    json_t *damages; /* json: those of the partition at hand; borrowed from `report` */
    struct config_text text;
    struct buf out;
    uint64_t damage_count;
    uint64_t torn_count;
    uint64_t record_count;
    unsigned empty; /* the first partition without a segment; PARTITIONS_MAX: none */
    json_t *empty_damages;
};

/* Says what failed, with the file where it is known. */
static void say_trouble(const struct log_run *run, const char *name, enum rc rc)
{
    struct disk_trouble trouble;
    disk_trouble_get(run->disk, &trouble);
    if (trouble.rc == rc) {
        cli_say("%s/%s", run->dir, trouble.text);
    } else {
        cli_say("%s/%s: %s", run->dir, name, rc_text(rc));
    }
}

/* ---- meta.json ----------------------------------------------------------------------------- */

/* Fills `meta`, or says why not. */
static bool read_meta(const struct log_run *run, struct meta *meta)
{
    const char *dir = run->dir;
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/" META, dir);
    /* What the server would not open is told in its words; that it is not there, by the parser. */
    struct storage_file *file = NULL;
    const enum rc rc = run->storage.ops->open(run->storage.ctx, META, STORAGE_READ, &file);
    run->storage.ops->close(run->storage.ctx, file);
    if (rc != RC_OK && rc != RC_NOT_FOUND) {
        say_trouble(run, META, rc);
        return false;
    }
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        cli_say("%s is no data directory that can be read: %s:%d:%d: %s", dir, path, error.line,
                error.column, error.text);
        return false;
    }
    int format = 0;
    int partitions = 0;
    int node = 0;
    const char *incarnation = NULL;
    const bool good = json_unpack(root, "{s:i,s:s,s:i,s:i}", "format", &format, "incarnation",
                                  &incarnation, "partitions", &partitions, "node", &node) == 0 &&
                      format == 1 && partitions >= 1 && partitions <= PARTITIONS_MAX && node >= 0 &&
                      node <= (int)SNOWFLAKE_NODE_MAX &&
                      digest_parse(bytes_of_text(incarnation), &meta->incarnation_number);
    if (good) {
        (void)snprintf(meta->incarnation, sizeof(meta->incarnation), "%s", incarnation);
        meta->partitions = (unsigned)partitions;
        meta->node = (unsigned)node;
    } else {
        cli_say("%s is not what this version writes (format 1)", path);
    }
    json_decref(root);
    return good;
}

/* ---- files --------------------------------------------------------------------------------- */

struct listing {
    struct log_file *files;
    size_t count;
    bool failed;
};

static void add_file(void *ctx, const char *name)
{
    struct listing *listing = ctx;
    if (listing->failed || listing->count == FILES_MAX) {
        listing->failed = true;
        return;
    }
    struct log_file *files =
        mem_realloc(listing->files, (listing->count + 1) * sizeof(struct log_file));
    char *copy = mem_strdup(name);
    if (files != NULL) {
        listing->files = files;
    }
    if (files == NULL || copy == NULL) {
        mem_free(copy);
        listing->failed = true;
        return;
    }
    files[listing->count++] = (struct log_file){.name = copy};
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct log_file *)a)->name, ((const struct log_file *)b)->name);
}

static void listing_deinit(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        mem_free(listing->files[i].name);
    }
    mem_free(listing->files);
}

static enum rc size_of(const struct storage *storage, const char *folder, struct log_file *file)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file->name);
    struct storage_file *opened = NULL;
    enum rc rc = storage->ops->open(storage->ctx, path, STORAGE_READ, &opened);
    if (rc == RC_OK) {
        rc = storage->ops->size(storage->ctx, opened, &file->size);
        storage->ops->close(storage->ctx, opened);
    }
    return rc;
}

/* The files of a partition, by name, with their sizes; or says what is in the way. */
static enum rc list_files(const struct log_run *run, const char *folder,
                          struct listing *ret_listing)
{
    struct listing listing = {0};
    const struct storage *storage = &run->storage;
    enum rc rc = storage->ops->list(storage->ctx, folder, add_file, &listing);
    if (rc == RC_OK && listing.failed) {
        rc = RC_NOMEM;
    }
    if (rc != RC_OK) {
        say_trouble(run, folder, rc);
    } else if (listing.count > 0) {
        qsort(listing.files, listing.count, sizeof(struct log_file), compare_files);
    }
    for (size_t i = 0; i < listing.count && rc == RC_OK; i++) {
        struct log_file *file = &listing.files[i];
        rc = size_of(storage, folder, file);
        if (rc != RC_OK) {
            char name[PATH_SIZE];
            (void)snprintf(name, sizeof(name), "%s/%s", folder, file->name);
            say_trouble(run, name, rc);
        }
    }
    if (rc != RC_OK) {
        listing_deinit(&listing);
        return rc;
    }
    *ret_listing = listing;
    return RC_OK;
}

/* A file's name may be any bytes; we may not. */
static void show_name(char *name, bool for_people)
{
    const bool utf8 = utf8_valid(bytes_of_text(name));
    for (; *name != '\0'; name++) {
        const uint8_t c = (uint8_t)*name;
        if ((c >= 0x80 && !utf8) || (for_people && (c < 0x20 || c == 0x7F))) {
            *name = '?';
        }
    }
}

static const char *kind_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot == NULL) {
        return "other";
    }
    return strcmp(dot, ".seg") == 0   ? "segment"
           : strcmp(dot, ".idx") == 0 ? "index"
           : strcmp(dot, ".ckp") == 0 ? "checkpoint"
           : strcmp(dot, ".new") == 0 ? "prepared"
                                      : "other";
}

/* ---- report -------------------------------------------------------------------------------- */

static void on_damage(void *ctx, const struct log_damage *damage)
{
    struct log_run *run = ctx;
    run->torn_count += damage->torn_tail ? 1 : 0;
    run->damage_count += damage->torn_tail ? 0 : 1;
    if (run->json) {
        (void)json_array_append_new(
            run->damages, json_pack("{s:s,s:I,s:I,s:s,s:b}", "file", damage->file, "at",
                                    (json_int_t)damage->at, "size", (json_int_t)damage->size,
                                    "what", damage->what, "torn_tail", damage->torn_tail ? 1 : 0));
        return;
    }
    config_text_addf(&run->text, "%s:%" PRIu64 ": %s", damage->file, damage->at, damage->what);
    if (damage->size > 0) {
        config_text_addf(&run->text, " (%" PRIu64 " bytes)", damage->size);
    } else {
        config_text_addf(&run->text, " (to the end of the file)");
    }
    config_text_addf(&run->text, "%s\n",
                     damage->torn_tail ? ", a torn tail: the next start cuts it off, nothing "
                                         "acknowledged is in it"
                                       : "");
}

static void report_files(struct log_run *run, const struct listing *listing, json_t *partition)
{
    json_t *files = run->json ? json_array() : NULL;
    for (size_t i = 0; i < listing->count; i++) {
        const struct log_file *file = &listing->files[i];
        show_name(file->name, !run->json);
        if (run->json) {
            (void)json_array_append_new(files, json_pack("{s:s,s:s,s:I}", "name", file->name,
                                                         "kind", kind_of(file->name), "bytes",
                                                         (json_int_t)file->size));
        } else {
            config_text_addf(&run->text, "  %-32s %12" PRIu64 " bytes  %s\n", file->name,
                             file->size, kind_of(file->name));
        }
    }
    if (run->json) {
        (void)json_object_set_new(partition, "files", files);
    }
}

static void report_result(struct log_run *run, const char *folder,
                          const struct log_verify_result *result, json_t *partition)
{
    if (run->json) {
        (void)json_object_set_new(partition, "segments",
                                  json_integer((json_int_t)result->segments));
        (void)json_object_set_new(partition, "records", json_integer((json_int_t)result->records));
        (void)json_object_set_new(partition, "bytes", json_integer((json_int_t)result->bytes));
        (void)json_object_set_new(partition, "first_position",
                                  json_integer((json_int_t)result->first_pos));
        (void)json_object_set_new(partition, "end_position",
                                  json_integer((json_int_t)result->end_pos));
        return;
    }
    config_text_addf(&run->text,
                     "%s: %" PRIu64 " segments, %" PRIu64 " records, positions %" PRIu64
                     " to %" PRIu64 ", %" PRIu64 " bytes\n",
                     folder, result->segments, result->records, result->first_pos, result->end_pos,
                     result->bytes);
}

static void report_digest(struct log_run *run, const struct channel *channel, json_t *channels)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(channel->digest, digest);
    if (run->json) {
        (void)json_array_append_new(
            channels,
            json_pack("{s:s%,s:I,s:I,s:s}", "channel", channel_name(channel).data,
                      channel_name(channel).size, "earliest", (json_int_t)channel->earliest,
                      "latest", (json_int_t)channel->latest, "digest", digest));
        return;
    }
    config_text_addf(&run->text, "  %s  %" PRIu64 "  %.*s\n", digest, channel->latest,
                     (int)channel_name(channel).size, (const char *)channel_name(channel).data);
}

/* The digest of each channel's newest message, if damage has left it known. */
static void report_digests(struct log_run *run, const struct log_state *state, bool known,
                           json_t *partition)
{
    json_t *channels = run->json ? json_array() : NULL;
    const uint64_t count = known ? partition_channel_count(state->partition) : 0;
    for (uint64_t id = 1; id <= count; id++) {
        report_digest(run, partition_channel_by_id(state->partition, id), channels);
    }
    if (!known && !run->json) {
        config_text_addf(&run->text, "  digests are not known: records are missing\n");
    }
    if (run->json) {
        (void)json_object_set_new(partition, "channels", known ? channels : json_null());
    }
    if (run->json && !known) {
        json_decref(channels);
    }
}

/* Reads it all; `verify` also applies it all again. */
static enum rc read_log(struct log_run *run, unsigned number, const char *folder, json_t *partition)
{
    struct log_verify_result result = {0};
    struct log_state state;
    log_state_init(&state, number, run->meta.incarnation_number, run->meta.node);
    const enum rc rc = file_log_verify_replay(&run->storage, folder, on_damage, run,
                                              run->verify ? &state.replay : NULL, &result);
    if (rc == RC_OK) {
        run->record_count += result.records;
        if (run->verify && result.damages == 0 &&
            log_state_lacks_beginning(&state, result.first_pos)) {
            const struct log_damage damage = {.file = folder, .what = "the beginning is missing"};
            on_damage(run, &damage);
        }
        if (result.segments == 0 && run->empty == PARTITIONS_MAX) {
            run->empty = number;
            run->empty_damages = run->damages;
        }
        report_result(run, folder, &result, partition);
    }
    if (rc == RC_OK && run->digests) {
        report_digests(run, &state, result.state_known, partition);
    }
    log_state_deinit(&state);
    return rc;
}

static enum rc do_partition(struct log_run *run, unsigned number)
{
    char folder[DATADIR_FOLDER_SIZE];
    datadir_folder(number, folder);
    json_t *partition = NULL;
    if (run->json) {
        partition = json_pack("{s:s}", "folder", folder);
        run->damages = json_array();
        (void)json_object_set_new(partition, "damages", run->damages);
        (void)json_array_append_new(json_object_get(run->report, "partitions"), partition);
    }
    enum rc rc = read_log(run, number, folder, partition);
    if (rc != RC_OK) {
        say_trouble(run, folder, rc);
        return rc;
    }
    if (run->verify) {
        return RC_OK;
    }
    struct listing listing;
    rc = list_files(run, folder, &listing);
    if (rc != RC_OK) {
        return rc;
    }
    report_files(run, &listing, partition);
    listing_deinit(&listing);
    return RC_OK;
}

/* A start makes a segment in each partition before anything is written in one. */
static void judge_empty(struct log_run *run)
{
    if (run->empty == PARTITIONS_MAX || run->record_count == 0) {
        return;
    }
    char folder[DATADIR_FOLDER_SIZE];
    datadir_folder(run->empty, folder);
    const struct log_damage damage = {.file = folder, .what = "no segment is left"};
    run->damages = run->empty_damages;
    on_damage(run, &damage);
}

static void begin_report(struct log_run *run)
{
    if (run->json) {
        run->report = json_pack("{s:i,s:s,s:i,s:i,s:[]}", "format", 1, "incarnation",
                                run->meta.incarnation, "partition_count", (int)run->meta.partitions,
                                "node", (int)run->meta.node, "partitions");
        return;
    }
    config_text_addf(&run->text, "%s: format 1, incarnation %s, %u partitions, node %u\n", run->dir,
                     run->meta.incarnation, run->meta.partitions, run->meta.node);
}

static int on_json(const char *text, size_t size, void *ctx)
{
    struct log_run *run = ctx;
    config_text_add(&run->text, bytes_of(text, size));
    return 0;
}

/* `whole`: all that there is was read. */
static int end_report(struct log_run *run, bool whole)
{
    if (run->json) {
        (void)json_dump_callback(run->report, on_json, run, JSON_INDENT(2));
        config_text_addf(&run->text, "\n");
        json_decref(run->report);
    } else {
        config_text_addf(&run->text, "%" PRIu64 " records; ", run->record_count);
        if (run->damage_count > 0) {
            config_text_addf(&run->text, "DAMAGED in %" PRIu64 " places\n", run->damage_count);
        } else if (!whole) {
            config_text_addf(&run->text, "NOT ALL OF IT CAN BE READ\n");
        } else {
            config_text_addf(&run->text, "no damage%s\n",
                             run->torn_count > 0 ? " but a torn tail" : "");
        }
    }
    const int status = cli_print_buf(run->text.rc, &run->out);
    return status == CLI_DONE && run->verify && run->damage_count > 0 ? CLI_FAILED : status;
}

/* A directory that is not there is not made. */
static bool open_data(struct log_run *run)
{
    struct stat status;
    if (strlen(run->dir) + sizeof("/" META) > PATH_SIZE) {
        cli_say("too long a path: '%s'", run->dir); /* which is cut off */
        return false;
    }
    if (stat(run->dir, &status) != 0) {
        cli_say("%s: %s", run->dir, strerror(errno));
        return false;
    }
    struct disk_trouble trouble;
    const enum rc rc = disk_open(run->dir, &run->disk, &trouble);
    if (rc != RC_OK) {
        cli_say("%s: %s", run->dir, trouble.rc == rc ? trouble.text : rc_text(rc));
        return false;
    }
    run->storage = disk_storage(run->disk);
    return true;
}

static int do_all(struct log_run *run)
{
    enum rc rc = RC_OK;
    run->text = config_text_to(&run->out);
    begin_report(run);
    run->empty = PARTITIONS_MAX;
    for (unsigned i = 0; i < run->meta.partitions && rc == RC_OK; i++) {
        rc = do_partition(run, i);
    }
    judge_empty(run);
    const int status = end_report(run, rc == RC_OK);
    return rc == RC_OK ? status : CLI_FAILED;
}

static enum rc on_option(void *ctx, size_t index, const char *value)
{
    struct log_run *run = ctx;
    ASSERT(index < 2 && value == NULL);
    run->json = run->json || index == 0;
    run->digests = run->digests || index == 1;
    return RC_OK;
}

int cli_log(int argc, char **argv)
{
    int status;
    if (cli_wants_help("log", argc, argv, &status)) {
        return status;
    }
    static const struct args_option options[] = {{"json", ARGS_FLAG}, {"digests", ARGS_FLAG}};
    struct log_run run = {0};
    struct buf errors = {0};
    const struct args_use use = {options, 2, on_option, &run};
    int operands = argc;
    const enum rc rc = args_parse(argc, argv, &use, &errors, &operands);
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("log", &errors) : cli_fail(rc);
        buf_deinit(&errors);
        return status;
    }
    if (argc - operands != 2) {
        return cli_refuse_text("log", "give `inspect` or `verify`, and the data directory");
    }
    run.action = argv[operands];
    run.dir = argv[operands + 1];
    run.verify = strcmp(run.action, "verify") == 0;
    if (!run.verify && strcmp(run.action, "inspect") != 0) {
        return cli_refuse_text("log", "there is no `log %s`; it is `inspect` or `verify`",
                               run.action);
    }
    if (run.digests && !run.verify) {
        return cli_refuse_text("log", "--digests goes with `verify`");
    }
    if (!open_data(&run)) {
        return CLI_FAILED;
    }
    status = read_meta(&run, &run.meta) ? do_all(&run) : CLI_FAILED;
    disk_close(run.disk);
    return status;
}
