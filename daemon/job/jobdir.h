/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_JOBDIR_H
#define DAEMON_JOB_JOBDIR_H

#include <stdint.h>

/*
 * Where an attempt's output lies: STATE_DIR/output/<id / 1000>/<id>/<attempt>.<suffix>
 * (two levels, so that no folder holds more than a thousand entries).
 * Suffixes: "log" (a worker's framed output), "results.json" (what it may read of
 * other jobs), "body" (a fetch without output).
 */
void jobdir_init(const char *state_dir);
void jobdir_fini(void);
/* The path; the caller frees it. */
char *jobdir_path(int64_t id, uint32_t attempt, const char *suffix);
/*
 * Make the folders of @id (0700).  Blocks: helper threads and start-up only.  0 or negative
 * errno.
 */
int jobdir_make(int64_t id);
/* What the files of @id take.  Blocks, for a moment: the store's thread asks. */
int64_t jobdir_bytes(int64_t id);
/*
 * The latest attempt before @before that left a file with @suffix, 0 = none; such
 * files of earlier ones are removed.  Blocks.
 */
uint32_t jobdir_latest(int64_t id, uint32_t before, const char *suffix);
/* Remove the files with @suffix of attempts before @before.  Blocks. */
void jobdir_drop(int64_t id, uint32_t before, const char *suffix);
/*
 * Remove the folder of @id and what is in it.  Blocks.  0 (also when there was none) or
 * negative errno.
 */
int jobdir_remove(int64_t id);

#endif
