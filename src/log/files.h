/* The names and the raw bytes of a log's files: what every part of the log does to a storage.
 *
 * A partition's folder holds <number>.seg, <number>.idx, <number>.ckp and <number>.new, the number
 * in 20 decimal digits. Whatever must appear whole or not at all is written under a name that ends
 * in .tmp, synced, and renamed; a .tmp found at start is rubbish.
 *
 * Thread: any; the storage's rule for files applies.  Memory: none. */
#ifndef LOG_FILES_H
#define LOG_FILES_H

#include "log/storage.h"

#define LOG_FOLDER_BYTES_MAX 200u
#define LOG_NAME_DIGITS      20u
#define LOG_SUFFIX_BYTES_MAX 30u

/* A segment's header: 64 bytes at the start of the file, its first record right behind. */
#define SEGMENT_HEADER_SIZE 64u
/* The smallest segment_bytes; for tests. A production segment has megabytes. */
#define SEGMENT_BYTES_MIN 4096u
/* log_place.at has 32 bits. */
#define SEGMENT_BYTES_MAX UINT32_MAX

/* Committed, in part or whole, without a sync of each batch: durability os or memory. */
#define SEGMENT_UNSYNCED 1u

struct segment_header {
    uint32_t partition;
    uint64_t incarnation;
    uint64_t number;
    uint64_t first_pos;
    uint64_t prev_hash; /* what the first record carries */
    uint32_t flags;
    uint32_t size_ahead; /* the file was written ahead to this size: a shorter one is damaged; 0: it
                          * grows */
};

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE]);
/* RC_CORRUPT  no whole header (a zero one included) */
MUST_USE enum rc segment_header_decode(struct bytes bytes, struct segment_header *ret_header);

struct log_name {
    char text[LOG_FOLDER_BYTES_MAX + 1 + LOG_NAME_DIGITS + LOG_SUFFIX_BYTES_MAX + 1];
};

/* Format versions. A file of another one is whole all the same, and no damage. */
#define SEGMENT_VERSION    2u /* 2: records count the control records before them */
#define INDEX_VERSION      2u /* 2: digests */
#define CHECKPOINT_VERSION 3u /* 2: digests, in the state; 3: the count of control records */

/* "<folder>/<number><suffix>"; `suffix` begins with a dot. */
struct log_name log_name_of(const char *folder, uint64_t number, const char *suffix);
/* Takes an entry of the folder apart. False: not one of ours. */
bool log_name_parse(const char *entry, uint64_t *ret_number, const char **ret_suffix);

/* ---- the storage, without the detour over ops ---------------------------------------------- */

MUST_USE enum rc files_open(const struct storage *storage, const char *name,
                            enum storage_open_mode mode, struct storage_file **ret_file);
void files_close(const struct storage *storage, struct storage_file *file);
MUST_USE enum rc files_size(const struct storage *storage, struct storage_file *file,
                            uint64_t *ret_size);
MUST_USE enum rc files_write(const struct storage *storage, struct storage_file *file,
                             struct bytes bytes, uint64_t at);
MUST_USE enum rc files_sync(const struct storage *storage, struct storage_file *file);
MUST_USE enum rc files_sync_dir(const struct storage *storage, const char *folder);
MUST_USE enum rc files_rename(const struct storage *storage, const char *from, const char *to);
/* A name that is not there counts as removed. */
MUST_USE enum rc files_remove(const struct storage *storage, const char *name);
MUST_USE enum rc files_read(const struct storage *storage, struct storage_file *file, void *to,
                            size_t size, uint64_t at, size_t *ret_size);
/* RC_CORRUPT  the file ends before `size` bytes */
MUST_USE enum rc files_read_exact(const struct storage *storage, struct storage_file *file,
                                  void *to, size_t size, uint64_t at);
/* Writes zeros over first … end. */
MUST_USE enum rc files_fill_zero(const struct storage *storage, struct storage_file *file,
                                 uint64_t first, uint64_t end);
/* Opens a new empty file, in place of one of that name if there is any. */
MUST_USE enum rc files_create_anew(const struct storage *storage, const char *name,
                                   struct storage_file **ret_file);
/* Reads the header of a segment. RC_CORRUPT: none; RC_NOT_FOUND, RC_IO, … */
MUST_USE enum rc files_segment_header(const struct storage *storage, const char *folder,
                                      uint64_t number, struct segment_header *ret_header);

/* Whether a file's head is whole and of another format version than ours: what another release has
 * made is no damage, and must not be called so. `suffix`: .seg, .idx or .ckp. A file that is not
 * there, or too short, is of none. RC_IO, … */
MUST_USE enum rc files_version_differs(const struct storage *storage, const char *folder,
                                       uint64_t number, const char *suffix, bool *ret_differs);
bool bytes_are_zero(struct bytes bytes);

#endif
