/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_TARGET_H
#define DAEMON_STORE_TARGET_H

#include <stdbool.h>

/*
 * A file that appears under its name whole or not at all: it grows under
 * another one beside it.  All of these block.
 */

/* An empty file at @path that is ours alone; one that is there is replaced. */
int target_open(const char *path); /* the descriptor, for writing, or -errno */
int target_make(const char *path); /* for SQLite to fill; 0 or -errno */
/*
 * What grew at @part is on disk under its name @path when this returns 0.
 * -EEXIST: the name is taken, and @overwrite was not wanted.  Other errors: -errno.
 */
int target_publish(const char *part, const char *path, bool overwrite);

#endif
