/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_DB_H
#define DAEMON_STORE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

/*
 * SQLite, set up our way.  Functions here return an SQLite code (0 =
 * SQLITE_OK, extended codes are on).  The rest of the folder does so too
 * wherever the code decides the fate of a transaction; it says so there.
 */

/* Memory and log settings of the library; before the first connection, once. @log: any thread. */
void db_init_library(void (*log)(int priority, const char *message));

enum db_mode {
	DB_EXISTING, /* must be there */
	DB_NEW,	     /* may be created */
};
/*
 * Open @path and make the connection safe: nothing in the file is trusted,
 * no second opener, no checkpoint at close (refusing a file must not change
 * it).  Nothing is read yet.  *ret is to be closed with db_close() also when
 * this fails; it may be NULL.
 */
int db_open(const char *path, enum db_mode mode, sqlite3 **ret);
int db_open_in(const char *vfs, const char *path, enum db_mode mode, sqlite3 **ret);
/* A checkpoint at close from now on, which also removes the WAL. */
int db_allow_checkpoint_on_close(sqlite3 *db, bool allow);
void db_close(sqlite3 *db);

/* Run statements that give nothing back. */
int db_exec(sqlite3 *db, const char *sql);
/* The one integer that @sql gives; SQLITE_EMPTY if it gives no row. */
int db_int(sqlite3 *db, const char *sql, int64_t *ret);
/* Whether the one text that @sql gives is @want. */
int db_text_is(sqlite3 *db, const char *sql, const char *want, bool *ret);
/* Leave an open transaction, whatever became of it. */
void db_rollback(sqlite3 *db);

/* The disk (or the size that the file may have) is used up; nothing was written or lost. */
bool db_is_full(int rc);
/*
 * The code of a transaction or a checkpoint: SQLite takes ENOSPC alone for a
 * full disk, but a quota and the size that a file may have are such, too.
 */
int db_judge_write(sqlite3 *db, bool is_checkpoint, int rc);
/* The daemon's exit status for an SQLite error: 65 damaged, 75 in use, 74 all others. */
int db_exit_status(int rc);

/* Make the write-ahead log @bytes long beforehand, so that commits need not grow it. */
int db_lay_out_wal(sqlite3 *db, int64_t bytes);

#endif
