/* Damage to what is on disk: bits that rot, writes that went astray or nowhere, files that vanish.
 *
 * It is limited so that what must survive can be told. One thing no log without a copy elsewhere
 * can see: that its very end is gone, or all that tells where it begins. So the last batch that is
 * on disk stays whole, and so does the oldest checkpoint where records in front of it are gone.
 * Records that say what no other one knows (DOUBT, SETTINGS) stay as well: behind a hole nothing
 * tells that they are missing.
 *
 * Thread: one.  Memory: rot_end() frees. */
#ifndef SIM_ROT_H
#define SIM_ROT_H

#include "sim/plan.h"

#include <stdbool.h>
#include <stddef.h>

void rot_begin(const struct plan *plan);
void rot_end(void);
/* Some damage may come now. */
void rot_step(void);
/* Right before a start: what only a start can find may come now. */
void rot_before_start(void);
/* A start has succeeded. */
void rot_started(bool repaired);
/* Whether a log of that partition (its index files, its checkpoints) may not be whole. */
bool rot_log(unsigned partition);
/* Whether a start may go through holes that the state so far did not know of, and tell of nothing:
 * the checkpoint that it began at behind them is gone. */
bool rot_goes_back(unsigned partition);
bool rot_side(unsigned partition);
/* Whether that file is one that damage can be named in. */
bool rot_explains(const char *file);
/* The same in the end: what a repair found is built again later. */
bool rot_left_behind(const char *file);
/* All index files and checkpoints have been looked at by a start. */
void rot_side_forget(void);
/* What a read of that file has given, may be what stood there before. */
void rot_read(const char *file, void *data, size_t size, uint64_t at);
/* Whether this world has damage at all. */
bool rot_world(void);

#endif
