/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <assert.h>
#include <errno.h>

#include "daemon/store/rows.h"

/* Changes of a job that leave its state alone. */

/* Is it still there in that state?  *ret_seq is the number of its last event. */
static bool pass_fence(struct store *s, struct store_update *u, int64_t *ret_seq, int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_FENCE);

	sql_int(stmt, 1, u->id);
	sql_int(stmt, 2, u->attempt);
	sql_text(stmt, 3, job_state_name(JOB_WAITING));
	if (!sql_row(stmt, ret_rc))
		return false;
	*ret_seq = sqlite3_column_int64(stmt, 6);
	*ret_rc = sql_end(stmt);
	return *ret_rc == SQLITE_OK;
}

static int update_row(struct store *s, const struct store_update *u)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_UPDATE);
	int rc;

	sql_int(stmt, 1, u->id);
	sql_int(stmt, 2, u->attempt);
	sql_text(stmt, 3, job_state_name(JOB_WAITING));
	sql_int(stmt, 4, u->seq);
	sql_int(stmt, 5, u->fields);
	sql_int(stmt, 6, u->priority);
	sql_text(stmt, 7, u->queue);
	sql_instant(stmt, 8, u->due, s->boot_n);
	sql_text(stmt, 11, u->name);
	sql_text(stmt, 12, u->tags);
	sql_int(stmt, 13, u->is_held ? ROWS_HELD : 0);
	rc = sql_run(stmt);
	return rc == SQLITE_OK && sqlite3_changes(s->db) != 1 ? SQLITE_CORRUPT : rc;
}

int update_run(struct store *s, struct store_update *u)
{
	struct event e = { .job = u->id, .attempt = u->attempt, .at = u->at, .state = JOB_WAITING };
	int rc;

	u->op.result = 0;
	u->seq = 0;
	if (!pass_fence(s, u, &e.prev_seq, &rc)) {
		u->op.result = -ESTALE;
		return rc;
	}
	e.seq = u->seq = s->tally.next_seq++;
	rc = update_row(s, u);
	return rc == SQLITE_OK ? change_add_event(s, &e) : rc;
}

int update_ask(struct store *s, struct store_ask *ask)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_STOP_ASK);
	int rc;

	assert(rows_stop_word(ask->why));
	assert(ask->state == JOB_WAITING || ask->state == JOB_STOPPING);
	sql_int(stmt, 1, ask->id);
	sql_int(stmt, 2, ask->attempt);
	sql_text(stmt, 3, job_state_name(ask->state));
	sql_text(stmt, 4, rows_stop_word(ask->why));
	sql_int(stmt, 5, ask->by_uid);
	sql_text(stmt, 6, ask->message);
	rc = sql_run(stmt);
	ask->op.result = rc == SQLITE_OK && sqlite3_changes(s->db) == 0 ? -ESTALE : 0;
	return rc;
}
