/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>

#include "daemon/store/rows.h"

struct victim {
	enum job_outcome outcome;
	int64_t last_seq;
};

static int find(struct store *s, struct store_remove *rm, struct victim *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_STATE);
	enum job_state state;
	int rc;

	sql_int(stmt, 1, rm->id);
	if (!sql_row(stmt, &rc)) {
		rm->op.result = -ENOENT;
		return rc;
	}
	if (!rows_state(stmt, 0, &state) || !rows_outcome(stmt, 1, &ret->outcome)) {
		sql_end(stmt);
		return SQLITE_CORRUPT;
	}
	ret->last_seq = sqlite3_column_int64(stmt, 2);
	if (state != JOB_DONE)
		rm->op.result = -EBUSY;
	return sql_end(stmt);
}

static int delete_of(struct store *s, enum sql_id what, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, what);

	sql_int(stmt, 1, id);
	return sql_run(stmt);
}

/* One event; *seq becomes the one before it, 0 = it was the first. */
static int delete_event(struct store *s, int64_t *seq, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EVENT_PREV);
	int64_t this = *seq, prev, job;
	int rc;

	sql_int(stmt, 1, this);
	*seq = 0;
	if (!sql_row(stmt, &rc))
		return rc; /* old events may have been pruned */
	prev = sqlite3_column_int64(stmt, 0);
	job = sqlite3_column_int64(stmt, 1);
	rc = sql_end(stmt);
	if (rc == SQLITE_OK && (job != id || prev >= this))
		return SQLITE_CORRUPT; /* the list leads into another job's, or in a circle */
	*seq = prev;
	return rc != SQLITE_OK ? rc : delete_of(s, SQL_EVENT_DELETE, this);
}

int remove_run(struct store *s, struct store_remove *rm)
{
	static const enum sql_id rows[] = {
		SQL_ATTEMPT_DELETE,
		SQL_ENDING_DELETE,
		SQL_DOC_DELETE,
		SQL_JOB_DELETE,
	};
	struct victim v = { 0 };
	int64_t last_seq;
	int rc;

	rm->op.result = 0;
	rc = find(s, rm, &v);
	if (rc != SQLITE_OK || rm->op.result != 0)
		return rc;
	last_seq = v.last_seq;
	while (rc == SQLITE_OK && v.last_seq != 0)
		rc = delete_event(s, &v.last_seq, rm->id);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && rc == SQLITE_OK; i++)
		rc = delete_of(s, rows[i], rm->id);
	if (rc == SQLITE_OK && last_seq > s->tally.pruned_seq)
		s->tally.pruned_seq = last_seq;
	s->tally.by_state[JOB_DONE]--;
	s->tally.by_outcome[v.outcome]--;
	return rc;
}
