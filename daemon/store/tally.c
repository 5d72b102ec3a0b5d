/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/tally.h"

#include "daemon/store/db.h"
#include "daemon/store/rows.h"
#include "daemon/store/sql.h"

/* So many numbers later it is written again: a start has no more to add up. */
#define STORE_EVERY 1000

/* How far the numbers jump when nobody knows which were dealt. */
#define UNKNOWN_NUMBERS "1000000"

enum { COL_STATES = 5, COL_OUTCOMES = COL_STATES + N_JOB_STATES };

/* ---- the row ---- */

static int read_row(sqlite3_stmt *stmt, struct tally *ret)
{
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return SQLITE_EMPTY;
	ret->next_id = sqlite3_column_int64(stmt, 0);
	ret->next_seq = ret->stored_seq = sqlite3_column_int64(stmt, 1);
	ret->pruned_seq = sqlite3_column_int64(stmt, 2);
	ret->history_seq = sqlite3_column_int64(stmt, 3);
	ret->kept_bytes = sqlite3_column_int64(stmt, 4);
	for (int i = 0; i < N_JOB_STATES; i++)
		ret->by_state[i] = sqlite3_column_int64(stmt, COL_STATES + i);
	for (int i = JOB_SUCCEEDED; i < N_JOB_OUTCOMES; i++)
		ret->by_outcome[i] = sqlite3_column_int64(stmt, COL_OUTCOMES + i - JOB_SUCCEEDED);
	return SQLITE_OK;
}

bool tally_is_due(const struct tally *t)
{
	return t->is_needed || t->next_seq - t->stored_seq >= STORE_EVERY;
}

int tally_store(struct tally *t, sqlite3_stmt *update)
{
	sql_int(update, 1, t->next_id);
	sql_int(update, 2, t->next_seq);
	sql_int(update, 3, t->pruned_seq);
	sql_int(update, 4, t->history_seq);
	sql_int(update, 5, t->kept_bytes);
	for (int i = 0; i < N_JOB_STATES; i++)
		sql_int(update, 1 + COL_STATES + i, t->by_state[i]);
	for (int i = JOB_SUCCEEDED; i < N_JOB_OUTCOMES; i++)
		sql_int(update, 1 + COL_OUTCOMES + i - JOB_SUCCEEDED, t->by_outcome[i]);
	t->stored_seq = t->next_seq;
	t->is_needed = false;
	return sql_run(update);
}

/* ---- what came after it ---- */

static int add_submission(sqlite3_stmt *row, struct tally *t)
{
	int64_t seq = sqlite3_column_int64(row, 1);

	t->next_id = sqlite3_column_int64(row, 0) + 1;
	if (seq < t->stored_seq)
		return SQLITE_CORRUPT; /* ids and numbers rise together */
	if (seq >= t->next_seq)
		t->next_seq = seq + 1;
	t->by_state[JOB_WAITING]++;
	return SQLITE_OK;
}

static int add_event(sqlite3_stmt *row, struct tally *t)
{
	int64_t seq = sqlite3_column_int64(row, 0);
	enum job_state from, to;
	enum job_outcome outcome;

	if (!rows_state(row, 1, &from) || !rows_state(row, 2, &to) ||
	    !rows_outcome(row, 3, &outcome))
		return SQLITE_CORRUPT;
	if (seq >= t->next_seq)
		t->next_seq = seq + 1;
	t->by_state[from]--;
	t->by_state[to]++;
	if (to == JOB_DONE)
		t->by_outcome[outcome]++;
	t->kept_bytes += sqlite3_column_int64(row, 4);
	return SQLITE_OK;
}

/* @sql asks for what is not below ?1, which is @from. */
static int add_later(sqlite3 *db, const char *sql, int64_t from,
		     int (*add)(sqlite3_stmt *row, struct tally *t), struct tally *t)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), r;

	if (rc != SQLITE_OK)
		return rc;
	sql_int(stmt, 1, from);
	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		rc = add(stmt, t);
	r = sqlite3_finalize(stmt);
	return rc != SQLITE_OK ? rc : r;
}

int tally_load(sqlite3 *db, struct tally *ret)
{
	static const char row[] = "SELECT next_id, next_seq, pruned_seq, history_seq, kept_bytes,"
				  " waiting, running, stopping, done, succeeded, failed, timed_out,"
				  " cancelled, skipped, lost FROM tally";
	static const char submissions[] =
		"SELECT id, submit_seq FROM job WHERE id >= ?1 ORDER BY id";
	static const char events[] =
		"SELECT e.seq, coalesce(before.state, 'waiting'), e.state, e.outcome, kept"
		" FROM event AS e LEFT JOIN event AS before ON before.seq = e.prev"
		" LEFT JOIN ending ON e.outcome IS NOT NULL AND ending.job = e.job"
		" WHERE e.seq >= ?1 ORDER BY e.seq";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, row, -1, &stmt, NULL), r;

	*ret = (struct tally){ 0 };
	if (rc != SQLITE_OK)
		return rc;
	rc = read_row(stmt, ret);
	r = sqlite3_finalize(stmt);
	if (r != SQLITE_OK)
		rc = r;
	if (rc == SQLITE_OK)
		rc = add_later(db, submissions, ret->next_id, add_submission, ret);
	return rc == SQLITE_OK ? add_later(db, events, ret->stored_seq, add_event, ret) : rc;
}

/* ---- from the rows alone ---- */

#define N_STATE(word) "count(*) FILTER (WHERE state = '" word "')"
#define N_OUTCOME(word) "count(*) FILTER (WHERE outcome = '" word "')"
/* One row, in one pass over the jobs. */
/* clang-format off */
#define COUNTED                                                                                   \
	"(SELECT (SELECT coalesce(sum(kept), 0) FROM ending), " N_STATE("waiting") ", "           \
	N_STATE("running") ", " N_STATE("stopping") ", " N_STATE("done") ", "                     \
	N_OUTCOME("succeeded") ", " N_OUTCOME("failed") ", " N_OUTCOME("timed_out") ", "          \
	N_OUTCOME("cancelled") ", " N_OUTCOME("skipped") ", " N_OUTCOME("lost") " FROM job)"
/* clang-format on */
#define AFTER_ALL_IDS                                                               \
	"(SELECT 1 + max(n) FROM (SELECT max(id) AS n FROM job"                     \
	" UNION ALL SELECT max(job) FROM event UNION ALL SELECT max(job) FROM gone" \
	" UNION ALL SELECT max(abs(job)) FROM submit_key UNION ALL SELECT 0))"
#define AFTER_ALL_SEQS                                                                       \
	"(SELECT 1 + max(n) FROM (SELECT max(seq) AS n FROM event"                           \
	" UNION ALL SELECT max(submit_seq) FROM job UNION ALL SELECT max(last_seq) FROM job" \
	" UNION ALL SELECT 0))"

int tally_count(sqlite3 *db, struct tally *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(
		db, "SELECT " AFTER_ALL_IDS ", " AFTER_ALL_SEQS ", 0, 0, * FROM " COUNTED, -1,
		&stmt, NULL);
	int r;

	*ret = (struct tally){ 0 };
	if (rc != SQLITE_OK)
		return rc;
	rc = read_row(stmt, ret);
	r = sqlite3_finalize(stmt);
	return r != SQLITE_OK ? r : rc;
}

int tally_make(sqlite3 *db)
{
	/* Nobody can be told all events since one of the past. */
	return db_exec(db, "INSERT INTO tally SELECT 1, id, seq, seq - 1, 0, counted.*"
			   " FROM (SELECT " UNKNOWN_NUMBERS " + " AFTER_ALL_IDS
			   " AS id, " UNKNOWN_NUMBERS " + " AFTER_ALL_SEQS
			   " AS seq), " COUNTED " AS counted");
}
