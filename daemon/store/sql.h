/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_SQL_H
#define DAEMON_STORE_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "daemon/base/now.h"
#include "daemon/store/store.h"

/*
 * Every statement that the store's thread runs, prepared once and kept.
 * Values are only ever bound.  Bound text is borrowed: it must stay until the
 * statement has run.
 */
enum sql_id {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_PROBE,
	SQL_META_SET,
	SQL_TALLY_SET,
	SQL_BOOT_INSERT,

	SQL_JOB_INSERT,
	SQL_DOC_INSERT,
	SQL_KEY_FIND,
	SQL_KEY_INSERT,
	SQL_JOB_EXISTS,
	SQL_NEED_INSERT,
	SQL_DEADLINE_INSERT,

	SQL_JOB_FENCE,
	SQL_JOB_START,
	SQL_JOB_STOP,
	SQL_JOB_END,
	SQL_JOB_AGAIN,
	SQL_JOB_UPDATE,
	SQL_STOP_ASK,
	SQL_PART_ENDS,
	SQL_PART_END,
	SQL_PART_LAST,
	SQL_EVENT_INSERT,
	SQL_ATTEMPT_INSERT,
	SQL_ATTEMPT_SAVED,
	SQL_ATTEMPT_UNSAVE,
	SQL_ATTEMPT_CLOSE,
	SQL_ATTEMPT_NOTE,
	SQL_STOP_INSERT,
	SQL_STOP_DELETE,
	SQL_DEADLINE_DELETE,
	SQL_EXPIRY_SET,
	SQL_ENDING_INSERT,
	SQL_KEY_EXPIRE,
	SQL_QUEUE_SET,

	SQL_REMOVE_ONE,
	SQL_REMOVE_PARTS,
	SQL_NEEDED_BY,
	SQL_NEEDED_BETWEEN,
	SQL_EVENT_PREV,
	SQL_EVENT_DELETE,
	SQL_ENDING_KEPT,
	SQL_ENDING_DELETE,
	SQL_EXPIRY_DELETE,
	SQL_KEY_ORPHAN,
	SQL_NEED_DELETE,
	SQL_ATTEMPT_DELETE,
	SQL_GONE_INSERT,
	SQL_GONE_DELETE,
	SQL_GONE_LIST,
	SQL_DOOMED_INSERT,
	SQL_DOOMED_DELETE,
	SQL_DOOMED_LIST,
	SQL_EXPIRED,
	SQL_ENDS,
	SQL_END_FACTS,
	SQL_KEY_EXPIRED,
	SQL_KEY_DELETE,
	SQL_DOC_DELETE,
	SQL_JOB_DELETE,

	SQL_JOB_GET,
	SQL_LAST_RUN,
	SQL_CHILDREN,
	SQL_NEEDS,
	SQL_ATTEMPT_RESULT,
	SQL_ATTEMPTS,
	SQL_DOC_GET,
	SQL_ENDING_GET,
	SQL_SCAN,
	SQL_SCAN_DESC,
	SQL_SCAN_LIVE,
	SQL_SCAN_LIVE_DESC,
	SQL_SCAN_PARTS,
	SQL_SCAN_PARTS_DESC,
	SQL_PART_PLACE,
	SQL_EVENTS,
	SQL_EVENT_STATE,
	SQL_PARENT,
	SQL_SUBMISSIONS,
	SQL_SUBMITTED_FROM,
	SQL_SCOPE_PLACE,
	SQL_SCOPE_NEEDS,
	SQL_SCOPE_PARTS,
	SQL_LOAD,
	SQL_LOSSES,
	SQL_EACH_LIVE,
	SQL_EACH_DOC_SIZE,
	SQL_EACH_QUEUE,
	SQL_EACH_NEED,
	SQL_EACH_ENDED_PART,
	SQL_EACH_DEADLINE,
	SQL_EACH_ASKED,
	N_SQL
};

/* Prepare all; an SQLite code.  sql_finalize_all() also after a failure. */
int sql_prepare_all(sqlite3 *db, sqlite3_stmt *stmts[N_SQL]);
void sql_finalize_all(sqlite3_stmt *stmts[N_SQL]);

/* Run a statement that gives no rows.  An SQLite code. */
static inline int sql_run(sqlite3_stmt *stmt)
{
	sqlite3_step(stmt);
	return sqlite3_reset(stmt);
}
/*
 * The first row of a statement: true with the row current (sql_end() when it
 * has been read), else false and the statement is over with code *ret_rc.
 */
static inline bool sql_row(sqlite3_stmt *stmt, int *ret_rc)
{
	if (sqlite3_step(stmt) == SQLITE_ROW)
		return true;
	*ret_rc = sqlite3_reset(stmt);
	return false;
}
static inline int sql_end(sqlite3_stmt *stmt)
{
	return sqlite3_reset(stmt);
}

/* Bind borrowed text; NULL binds NULL. */
static inline void sql_text(sqlite3_stmt *stmt, int at, const char *text)
{
	sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
}
static inline void sql_int(sqlite3_stmt *stmt, int at, int64_t value)
{
	sqlite3_bind_int64(stmt, at, value);
}
/* 0 binds NULL. */
static inline void sql_int_or_null(sqlite3_stmt *stmt, int at, int64_t value)
{
	if (value != 0)
		sqlite3_bind_int64(stmt, at, value);
	else
		sqlite3_bind_null(stmt, at);
}
/* Three columns: wall, boot, number of the boot; all NULL for no instant. */
void sql_instant(sqlite3_stmt *stmt, int at, struct instant t, int64_t boot_n);

/* ---- reading ---- */

/* A copy of a text column, NULL for NULL.  Gives it. */
char *sql_col_text(sqlite3_stmt *stmt, int col, size_t *ret_len);
/* Columns wall, boot, number of the boot; what was measured in another boot has no boot.ns. */
struct instant sql_col_instant(sqlite3_stmt *stmt, int col, int64_t boot_n);
/* Borrowed until the next step. */
static inline const char *sql_col_word(sqlite3_stmt *stmt, int col)
{
	return (const char *)sqlite3_column_text(stmt, col);
}

#endif
