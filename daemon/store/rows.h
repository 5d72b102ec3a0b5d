/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_ROWS_H
#define DAEMON_STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "daemon/store/store.h"

/* Records to rows and back. */

/*
 * R1.12: SQLite keeps no checksums, so a job row carries one over what never
 * changes.  The numbers are laid out byte by byte: a file may move between
 * machines.
 */
struct rows_immutable {
	enum job_kind kind;
	uid_t uid;
	gid_t gid;
	struct wall submitted;
	uint64_t spec_hash; /* rows_spec_hash() */
};
uint64_t rows_spec_hash(const char *spec, size_t len);
int64_t rows_hash(const struct rows_immutable *job);

/*
 * Columns kind, uid, gid, submitted, hash from @col on: does the checksum not
 * fit @spec?  (NULL = the document is gone, which is damage too.)
 */
bool rows_is_damaged(sqlite3_stmt *stmt, int col, const char *spec, size_t len);

/* The words of the enum columns; false: the column holds none of them, which only damage does. */
bool rows_kind(sqlite3_stmt *stmt, int col, enum job_kind *ret);
bool rows_state(sqlite3_stmt *stmt, int col, enum job_state *ret);
bool rows_outcome(sqlite3_stmt *stmt, int col, enum job_outcome *ret); /* NULL = JOB_UNENDED */
bool rows_need_on(sqlite3_stmt *stmt, int col, enum need_on *ret);
static inline bool rows_is_group(enum job_kind kind) /* a composition */
{
	return kind == JOB_GATHER || kind == JOB_SEQUENCE || kind == JOB_RACE;
}
const char *rows_stop_word(enum stop_why why);
enum stop_why rows_stop_parse(const char *word); /* STOP_NONE for NULL and unknown words */

/* Bits of job.flags; the column is NULL for none. */
enum rows_flag {
	ROWS_HELD = 1 << 0,
	ROWS_HAS_REFS = 1 << 1,
	ROWS_HAS_NEEDS = 1 << 2,
	ROWS_HAS_DEADLINE = 1 << 3, /* was submitted with one */
};

/* A job's own row.  The order of the columns is known to rows.c and, for filters, by the enum. */
#define ROWS_JOB_COLUMNS                                                                       \
	"id, kind, state, outcome, uid, queue, name, tags, gid, priority, attempt, submitted," \
	" due, started, ended, parent, part, retry_of, flags, tries"
enum rows_job_column {
	ROWS_ID,
	ROWS_KIND,
	ROWS_STATE,
	ROWS_OUTCOME,
	ROWS_UID,
	ROWS_QUEUE,
	ROWS_NAME,
	ROWS_TAGS,
	ROWS_GID,
	ROWS_PRIORITY,
	ROWS_ATTEMPT,
	ROWS_SUBMITTED,
	ROWS_DUE,
	ROWS_STARTED,
	ROWS_ENDED,
	ROWS_PARENT,
	ROWS_PART,
	ROWS_RETRY_OF,
	ROWS_FLAGS,
	ROWS_TRIES,
};
/* Fills what the row itself has.  false: damaged; rows_job_fini() is due all the same. */
bool rows_job(sqlite3_stmt *stmt, struct store_job *ret);
void rows_job_fini(struct store_job *job);

#define ROWS_LIVE_COLUMNS                                                              \
	"id, kind, state, queue, priority, uid, attempt, due, due_boot, boot, parent," \
	" part, flags, tries"
/* Borrows the queue's name until the next step.  false: damaged. */
bool rows_live(sqlite3_stmt *stmt, int64_t boot_n, struct store_live *ret);

#endif
