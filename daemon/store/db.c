/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/db.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>

#include "proto/xalloc.h"

#define BUSY_TIMEOUT_MS 2000
#define PAD_CHUNK_BYTES (64 * 1024) /* the VFS takes less than 128 KiB at once */

/* SQLite's log is one for the process. */
static void (*library_log)(int priority, const char *message);

static void on_library_log(void *arg, int rc, const char *text)
{
	char line[512];
	int priority = LOG_ERR;

	(void)arg;
	if (!library_log)
		return;
	if ((rc & 0xff) == SQLITE_NOTICE)
		priority = LOG_INFO; /* frames recovered from the WAL, for one */
	else if ((rc & 0xff) == SQLITE_WARNING || db_is_full(rc))
		priority = LOG_WARNING;
	snprintf(line, sizeof(line), "sqlite: %s (%d)", text, rc);
	library_log(priority, line);
}

void db_init_library(void (*log)(int priority, const char *message))
{
	static bool is_done;

	library_log = log;
	if (is_done)
		return;
	is_done = true;
	/* Refused when somebody has used the library before us; both are a convenience. */
	sqlite3_config(SQLITE_CONFIG_LOG, on_library_log, NULL);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int set_flags(sqlite3 *db)
{
	static const struct {
		int option, value;
	} flags[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
		{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == SQLITE_OK; i++)
		rc = sqlite3_db_config(db, flags[i].option, flags[i].value, NULL);
	return rc;
}

int db_open(const char *path, enum db_mode mode, sqlite3 **ret)
{
	return db_open_in(NULL, path, mode, ret);
}

int db_open_in(const char *vfs, const char *path, enum db_mode mode, sqlite3 **ret)
{
	/* One thread at a time uses it, so it needs no mutex. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE | (mode == DB_NEW ? SQLITE_OPEN_CREATE : 0);
	int rc = sqlite3_open_v2(path, ret, flags, vfs);

	if (rc == SQLITE_OK)
		rc = set_flags(*ret);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MS);
	if (rc == SQLITE_OK)
		/*
		 * Exclusive before the first look at the WAL: then there is no
		 * shared memory file, and no second opener gets in (R1.1).
		 * None of these reads the file; cache_size would.
		 */
		rc = db_exec(*ret, "PRAGMA locking_mode = EXCLUSIVE;"
				   "PRAGMA cell_size_check = ON;"
				   "PRAGMA mmap_size = 0;"
				   "PRAGMA temp_store = MEMORY;"
				   "PRAGMA secure_delete = FAST");
	return rc;
}

int db_allow_checkpoint_on_close(sqlite3 *db, bool allow)
{
	return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !allow, NULL);
}

void db_close(sqlite3 *db)
{
	sqlite3_close(db);
}

int db_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int db_int(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	int64_t value = 0;
	bool has_row = false;

	if (rc != SQLITE_OK)
		return rc;
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		has_row = true;
		value = sqlite3_column_int64(stmt, 0);
	}
	rc = sqlite3_finalize(stmt);
	if (rc != SQLITE_OK)
		return rc;
	if (!has_row)
		return SQLITE_EMPTY;
	*ret = value;
	return SQLITE_OK;
}

int db_text_is(sqlite3 *db, const char *sql, const char *want, bool *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	bool is = false;

	if (rc != SQLITE_OK)
		return rc;
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		is = text && strcmp(text, want) == 0;
	}
	rc = sqlite3_finalize(stmt);
	if (rc == SQLITE_OK)
		*ret = is;
	return rc;
}

void db_rollback(sqlite3 *db)
{
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(db))
		db_exec(db, "ROLLBACK");
}

bool db_is_full(int rc)
{
	return (rc & 0xff) == SQLITE_FULL;
}

int db_judge_write(sqlite3 *db, bool is_checkpoint, int rc)
{
	int which = is_checkpoint ? SQLITE_FCNTL_FILE_POINTER : SQLITE_FCNTL_JOURNAL_POINTER;
	sqlite3_file *file = NULL;
	int e = 0;

	/* A sync that says so is another matter: who knows what was lost then? */
	if (rc != SQLITE_IOERR_WRITE)
		return rc;
	/* Not sqlite3_system_errno(), which is what errno happens to be by now. */
	if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file && file->pMethods)
		(void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &e);
	return e == EDQUOT || e == EFBIG ? SQLITE_FULL : rc;
}

int db_exit_status(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT: /* ours never clash in a sound file */
	case SQLITE_MISMATCH:
	case SQLITE_EMPTY: /* a row that must be there is not */
	case SQLITE_ERROR: /* the statements fit the schema, unless that is damaged */
		return EX_DATAERR;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EX_TEMPFAIL;
	default:
		return EX_IOERR;
	}
}

static int write_zeros(sqlite3_file *file, int64_t from, int64_t to)
{
	cleanup_free char *zeros = xcalloc(1, PAD_CHUNK_BYTES);
	int rc = SQLITE_OK;

	for (int64_t at = from; at < to && rc == SQLITE_OK; at += PAD_CHUNK_BYTES) {
		int64_t n = to - at < PAD_CHUNK_BYTES ? to - at : PAD_CHUNK_BYTES;

		rc = file->pMethods->xWrite(file, zeros, (int)n, at);
	}
	if (rc == SQLITE_OK)
		rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	return rc;
}

/*
 * Growing a file costs a commit 1.4 to 1.8 times as much as overwriting it.
 * Zeros behind the last frame are no frames (their checksum is wrong), so a
 * recovery stops at them as it does at the file's end.
 */
int db_lay_out_wal(sqlite3 *db, int64_t bytes)
{
	sqlite3_file *wal = NULL;
	sqlite3_int64 size;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);

	if (rc != SQLITE_OK || !wal || !wal->pMethods)
		return rc;
	rc = wal->pMethods->xFileSize(wal, &size);
	if (rc != SQLITE_OK || size >= bytes)
		return rc;
	return write_zeros(wal, size, bytes);
}
