/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_GUARD_H
#define DAEMON_STORE_GUARD_H

#include <stdbool.h>

#include <sqlite3.h>

#include "proto/err.h"

/*
 * What is looked at before a database is used.  Nothing here changes a file
 * that it refuses.  All return 0, or the daemon's exit status with @err filled.
 */

/*
 * Make the state directory if it is missing (0700, parents too), refuse file
 * systems that SQLite's locks cannot be trusted on (R1.14) unless
 * @allow_unsafe_fs, and take the directory's lock, which also covers the time
 * in which there is no database yet.  Gives the real path and the locked fd.
 */
int guard_dir(const char *state_dir, bool may_make, bool allow_unsafe_fs, char **ret_dir,
	      int *ret_lock_fd, struct aw_err *err);

/*
 * Is there a database at @path?  Refuses an empty file, which SQLite would
 * take for a valid database without any job, something that is no file, and
 * a missing one beside which there are traces of one (R1.11).  With @is_init
 * traces are no obstacle; logs that would be replayed into a new database
 * are moved out of its way.
 */
int guard_file(const char *dir, const char *path, bool is_init, bool *ret_exists,
	       struct aw_err *err);

/* Is it ours?  Looks at the raw header, before any lock or recovery. */
int guard_header(sqlite3 *db, const char *path, struct aw_err *err);

#endif
