/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>
#include <syslog.h>

#include "daemon/store/db.h"
#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* What the engine reads at start-up, on the loop's thread. */

/* 0, or why not, logged: @rc, or a row that holds what it cannot. */
static int answer(struct store *s, const char *what, int rc, bool is_sound)
{
	if (rc == SQLITE_OK && is_sound)
		return 0;
	store_log(s, LOG_ERR, "cannot read the %s of %s: %s", what, s->path,
		  is_sound ? sqlite3_errstr(rc) : "a row is damaged");
	return is_sound && db_exit_status(rc) == EX_IOERR ? -EIO : -EBADMSG;
}

/* Remembered for store_each_ended_part(), which else had to read all jobs again. */
static void note_group(struct store *s, int64_t id)
{
	if (s->n_groups == s->size_groups) {
		s->size_groups = s->size_groups ? s->size_groups * 2 : 64;
		s->groups = xreallocarray(s->groups, s->size_groups, sizeof(*s->groups));
	}
	s->groups[s->n_groups++] = id;
}

int store_each_live(struct store *s, void (*fn)(void *arg, const struct store_live *job), void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_LIVE);
	bool is_sound = true;
	struct store_live job;

	s->n_groups = 0;
	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		is_sound = rows_live(stmt, s->boot_n, &job);
		if (is_sound && rows_is_group(job.kind))
			note_group(s, job.id);
		if (is_sound)
			fn(arg, &job);
	}
	return answer(s, "unfinished jobs", sql_end(stmt), is_sound);
}

int store_each_doc_size(struct store *s, void (*fn)(void *arg, int64_t id, size_t n_bytes),
			void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_DOC_SIZE);

	while (sqlite3_step(stmt) == SQLITE_ROW)
		fn(arg, sqlite3_column_int64(stmt, 0), (size_t)sqlite3_column_int64(stmt, 1));
	return answer(s, "documents", sql_end(stmt), true);
}

int store_each_queue(struct store *s,
		     void (*fn)(void *arg, const char *name, int64_t limit, bool is_paused),
		     void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_QUEUE);

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = sql_col_word(stmt, 0);

		if (name)
			fn(arg, name, sqlite3_column_int64(stmt, 1),
			   sqlite3_column_int(stmt, 2) != 0);
	}
	return answer(s, "queues", sql_end(stmt), true);
}

int store_each_need(struct store *s,
		    void (*fn)(void *arg, int64_t job, int64_t on_job, enum need_on on,
			       enum job_outcome outcome),
		    void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_NEED);
	bool is_sound = true;

	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		enum job_outcome outcome;
		enum need_on on;

		is_sound = rows_need_on(stmt, 2, &on) && rows_outcome(stmt, 3, &outcome);
		/* One that was removed had ended, and nobody knows how any more. */
		if (sqlite3_column_type(stmt, 4) == SQLITE_NULL)
			outcome = JOB_SKIPPED;
		if (is_sound)
			fn(arg, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), on,
			   outcome);
	}
	return answer(s, "needs of jobs", sql_end(stmt), is_sound);
}

static int each_ended_part_of(struct store *s, int64_t id, bool *ret_sound,
			      void (*fn)(void *arg, const struct store_ended_part *part), void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_ENDED_PART);
	int64_t run;
	int rc = record_last_run(s, id, &run);

	if (rc != SQLITE_OK)
		return rc;
	sql_int(stmt, 1, id);
	sql_int(stmt, 2, run);
	while (*ret_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_ended_part part = {
			.id = sqlite3_column_int64(stmt, 1),
			.parent = id,
			.run_of = (uint32_t)run,
			.part = (unsigned)sqlite3_column_int64(stmt, 0),
			.is_late = sqlite3_column_int(stmt, 3) != 0,
		};

		*ret_sound = rows_outcome(stmt, 2, &part.outcome);
		if (*ret_sound)
			fn(arg, &part);
	}
	return sql_end(stmt);
}

int store_each_ended_part(struct store *s,
			  void (*fn)(void *arg, const struct store_ended_part *part), void *arg)
{
	bool is_sound = true;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < s->n_groups && rc == SQLITE_OK && is_sound; i++)
		rc = each_ended_part_of(s, s->groups[i], &is_sound, fn, arg);
	return answer(s, "parts of compositions", rc, is_sound);
}

int store_each_deadline(struct store *s,
			void (*fn)(void *arg, int64_t job, struct instant deadline), void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_DEADLINE);

	while (sqlite3_step(stmt) == SQLITE_ROW)
		fn(arg, sqlite3_column_int64(stmt, 0), sql_col_instant(stmt, 1, s->boot_n));
	return answer(s, "deadlines", sql_end(stmt), true);
}

int store_each_asked(struct store *s,
		     void (*fn)(void *arg, int64_t job, enum stop_why why, uid_t by_uid,
				const char *message),
		     void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_ASKED);
	bool is_sound = true;

	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		enum stop_why why = rows_stop_parse(sql_col_word(stmt, 1));

		is_sound = why != STOP_NONE;
		if (is_sound)
			fn(arg, sqlite3_column_int64(stmt, 0), why,
			   (uid_t)sqlite3_column_int64(stmt, 2), sql_col_word(stmt, 3));
	}
	return answer(s, "requests to stop", sql_end(stmt), is_sound);
}
