/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* How long a submission key is remembered after its job has ended (R2.6). */

/* What the row held before the change. */
struct before {
	uid_t uid;
	bool has_key;
	int64_t last_seq; /* 0 = it has no event yet */
	enum job_kind kind;
	int64_t keep_s; /* -1 = not its own */
	int flags;	/* enum rows_flag */
};

/* A change under way. */
struct work {
	struct store_change *c;
	struct before before;
	struct ending end; /* to done: what the change says, or what its parts made of it */
};

void store_change_fini(struct store_change *c)
{
	free(c->spec);
	free(c->saved_json);
	c->spec = c->saved_json = NULL;
	c->spec_len = 0;
}

static void bind_fence(sqlite3_stmt *stmt, const struct store_change *c)
{
	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, c->attempt);
	sql_text(stmt, 3, job_state_name(c->from));
}

/* ---- documents ---- */

/* With the fence's row current: the document and whether it is the one that was submitted. */
static int load_doc(struct store *s, sqlite3_stmt *fence, struct store_change *c)
{
	int rc = record_spec(s, c->id, &c->spec, &c->spec_len);

	c->damaged = rows_is_damaged(fence, 0, c->spec, c->spec_len);
	if (!c->spec)
		c->spec = xstrdup("");
	return rc;
}

/* ---- the parts of a change ---- */

/*
 * Does the row still stand where the caller thinks (R2.3)?  op->result says.
 * The update asks for the same again, so that a fence cannot be forgotten
 * when somebody changes this.
 */
static int pass_fence(struct store *s, struct store_change *c, struct before *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_FENCE);
	int rc, r = SQLITE_OK;

	bind_fence(stmt, c);
	if (!sql_row(stmt, &rc)) {
		c->op.result = -ESTALE;
		return rc;
	}
	ret->uid = (uid_t)sqlite3_column_int64(stmt, 1);
	ret->has_key = sqlite3_column_int(stmt, 5) != 0;
	ret->last_seq = sqlite3_column_int64(stmt, 6);
	ret->keep_s =
		sqlite3_column_type(stmt, 7) == SQLITE_NULL ? -1 : sqlite3_column_int64(stmt, 7);
	ret->flags = sqlite3_column_int(stmt, 8);
	if (!rows_kind(stmt, 0, &ret->kind))
		r = SQLITE_CORRUPT;
	else if (c->to == JOB_RUNNING)
		r = load_doc(s, stmt, c);
	rc = sql_end(stmt);
	return r != SQLITE_OK ? r : rc;
}

static int update_job(struct store *s, const struct work *w)
{
	static const enum sql_id ids[N_JOB_STATES] = {
		[JOB_RUNNING] = SQL_JOB_START,
		[JOB_STOPPING] = SQL_JOB_STOP,
		[JOB_DONE] = SQL_JOB_END,
		[JOB_WAITING] = SQL_JOB_AGAIN,
	};
	const struct store_change *c = w->c;
	sqlite3_stmt *stmt = store_sql(s, ids[c->to]);
	int rc;

	bind_fence(stmt, c);
	switch (c->to) {
	case JOB_RUNNING:
		sql_int(stmt, 4, c->at.wall.ms);
		sql_int(stmt, 5, c->seq);
		break;
	case JOB_STOPPING:
		sql_int(stmt, 4, c->seq);
		break;
	case JOB_DONE:
		sql_text(stmt, 4, job_outcome_name(w->end.outcome));
		sql_int(stmt, 5, c->at.wall.ms);
		sql_int(stmt, 6, c->seq);
		break;
	case JOB_WAITING:
		sql_instant(stmt, 4, c->due, s->boot_n);
		sql_int(stmt, 7, c->seq);
		sql_int(stmt, 8, c->uses_try);
		break;
	case N_JOB_STATES:
		break;
	}
	rc = sql_run(stmt);
	if (rc == SQLITE_OK && sqlite3_changes(s->db) != 1)
		return SQLITE_CORRUPT; /* it was there a moment ago */
	return rc;
}

int change_add_event(struct store *s, const struct event *e)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EVENT_INSERT);

	sql_int(stmt, 1, e->seq);
	sql_int(stmt, 2, e->at.ms);
	sql_int(stmt, 3, e->job);
	sql_int(stmt, 4, e->attempt);
	sql_text(stmt, 5, job_state_name(e->state));
	sql_text(stmt, 6, job_outcome_name(e->outcome));
	sql_int_or_null(stmt, 7, e->prev_seq);
	return sql_run(stmt);
}

static int insert_event(struct store *s, const struct work *w)
{
	const struct store_change *c = w->c;
	const struct event e = {
		.seq = c->seq,
		.at = c->at.wall,
		.job = c->id,
		.attempt = (int64_t)c->attempt + (c->to == JOB_RUNNING),
		.state = c->to,
		.outcome = c->to == JOB_DONE ? w->end.outcome : JOB_UNENDED,
		.prev_seq = w->before.last_seq,
	};

	return change_add_event(s, &e);
}

static int unsave(struct store *s, const struct store_change *c)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPT_UNSAVE);

	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, c->attempt);
	return sql_run(stmt);
}

/* What the attempt before this one saved moves on, with where it is. */
static int take_saved(struct store *s, struct store_change *c, char **ret_executor,
		      char **ret_handle)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPT_SAVED);
	int rc;

	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, c->attempt);
	if (!sql_row(stmt, &rc))
		return rc;
	*ret_executor = sql_col_text(stmt, 0, NULL);
	*ret_handle = sql_col_text(stmt, 1, NULL);
	c->saved_json = sql_col_text(stmt, 2, NULL);
	rc = sql_end(stmt);
	return rc == SQLITE_OK ? unsave(s, c) : rc;
}

static int open_attempt(struct store *s, struct store_change *c)
{
	cleanup_free char *executor = NULL, *handle = NULL;
	int rc = c->attempt > 0 ? take_saved(s, c, &executor, &handle) : SQLITE_OK;
	sqlite3_stmt *stmt;

	if (rc != SQLITE_OK)
		return rc;
	stmt = store_sql(s, SQL_ATTEMPT_INSERT);
	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, (int64_t)c->attempt + 1);
	sql_instant(stmt, 3, c->at, s->boot_n);
	sql_text(stmt, 6, executor);
	sql_text(stmt, 7, handle);
	sql_text(stmt, 8, c->saved_json);
	return sql_run(stmt);
}

static int close_attempt(struct store *s, const struct work *w)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPT_CLOSE);
	const struct store_change *c = w->c;
	bool is_last = c->to == JOB_DONE;

	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, c->attempt);
	sql_int(stmt, 3, c->attempt_ended.ms ? c->attempt_ended.ms : c->at.wall.ms);
	sql_text(stmt, 4, job_outcome_name(w->end.outcome));
	sql_int(stmt, 5, c->is_orderly);
	/* The last one's are the job's. */
	sql_text(stmt, 6, is_last ? NULL : c->error_json);
	sql_text(stmt, 7, is_last ? NULL : c->result_json);
	sql_int(stmt, 8, is_last);
	return sql_run(stmt);
}

int change_set_stop(struct store *s, int64_t id, enum stop_why why, uid_t by_uid,
		    const char *message)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_STOP_INSERT);

	sql_int(stmt, 1, id);
	sql_text(stmt, 2, rows_stop_word(why));
	sql_int(stmt, 3, by_uid);
	sql_text(stmt, 4, message);
	return sql_run(stmt);
}

static int delete_of(struct store *s, const struct store_change *c, enum sql_id what)
{
	sqlite3_stmt *stmt = store_sql(s, what);

	sql_int(stmt, 1, c->id);
	return sql_run(stmt);
}

/* It ends while it waits: its result is that of its last attempt. */
static int load_last_result(struct store *s, struct work *w)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPT_RESULT);
	int rc;

	sql_int(stmt, 1, w->c->id);
	sql_int(stmt, 2, w->c->attempt);
	if (!sql_row(stmt, &rc))
		return rc;
	w->end.own_result = sql_col_text(stmt, 0, NULL);
	w->end.result_json = w->end.own_result;
	return sql_end(stmt);
}

static int64_t text_bytes(const char *text)
{
	return text ? (int64_t)strlen(text) : 0;
}

static int insert_ending(struct store *s, const struct work *w)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ENDING_INSERT);
	const struct ending *end = &w->end;
	int64_t kept = (w->c->count_files ? w->c->count_files(w->c->id) : 0) +
		       text_bytes(end->result_json) + text_bytes(end->error_json);

	if (kept == 0)
		return SQLITE_OK;
	s->tally.kept_bytes += kept;
	sql_int(stmt, 1, w->c->id);
	sql_text(stmt, 2, end->result_json);
	sql_text(stmt, 3, end->error_json);
	sql_int(stmt, 4, kept);
	return sql_run(stmt);
}

/* A job that says how long it is to be kept. */
static int set_expiry(struct store *s, const struct work *w)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EXPIRY_SET);

	sql_int(stmt, 1, w->c->id);
	sql_int(stmt, 2, w->c->at.wall.ms + w->before.keep_s * 1000);
	return sql_run(stmt);
}

static int expire_key(struct store *s, const struct work *w)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_KEY_EXPIRE);

	sql_int(stmt, 1, w->c->id);
	sql_int(stmt, 2, w->c->at.wall.ms + s->options.key_kept_ms);
	sql_int(stmt, 3, w->before.uid);
	return sql_run(stmt);
}

/* ---- changes ---- */

static int leave_state(struct store *s, const struct work *w)
{
	const struct store_change *c = w->c;
	int rc = SQLITE_OK;

	s->tally.by_state[c->from]--;
	if (c->from == JOB_STOPPING || (c->to == JOB_DONE && rows_is_group(w->before.kind)))
		rc = delete_of(s, c, SQL_STOP_DELETE);
	if (rc == SQLITE_OK && c->from != JOB_WAITING && c->to != JOB_STOPPING)
		rc = close_attempt(s, w);
	return rc;
}

static int enter_done(struct store *s, const struct work *w)
{
	int rc = insert_ending(s, w);

	s->tally.by_outcome[w->end.outcome]++;
	/* Of an attempt that was closed when another one was to follow. */
	if (rc == SQLITE_OK && w->c->from == JOB_WAITING && w->c->attempt > 0)
		rc = unsave(s, w->c);
	if (rc == SQLITE_OK && (w->before.flags & ROWS_HAS_DEADLINE))
		rc = delete_of(s, w->c, SQL_DEADLINE_DELETE);
	if (rc == SQLITE_OK && w->before.keep_s >= 0)
		rc = set_expiry(s, w);
	if (rc == SQLITE_OK && w->before.has_key)
		rc = expire_key(s, w);
	return rc;
}

static int enter_state(struct store *s, const struct work *w)
{
	struct store_change *c = w->c;

	s->tally.by_state[c->to]++;
	switch (c->to) {
	case JOB_RUNNING:
		return open_attempt(s, c);
	case JOB_STOPPING:
		return change_set_stop(s, c->id, c->why, c->by_uid, c->message);
	case JOB_DONE:
		return enter_done(s, w);
	case JOB_WAITING:
	case N_JOB_STATES:
		break;
	}
	return SQLITE_OK;
}

static bool is_sound(const struct store_change *c)
{
	switch (c->to) {
	case JOB_RUNNING:
		return c->from == JOB_WAITING;
	case JOB_STOPPING:
		return c->from == JOB_RUNNING && rows_stop_word(c->why);
	case JOB_DONE:
		return c->from != JOB_DONE && c->outcome != JOB_UNENDED &&
		       (!compose_has_errors(c->compose) || c->error_json);
	case JOB_WAITING:
		return (c->from == JOB_RUNNING || c->from == JOB_STOPPING) &&
		       c->outcome != JOB_UNENDED;
	case N_JOB_STATES:
		break;
	}
	return false;
}

/* All that a change is, once the fence is passed. */
static int apply(struct store *s, struct work *w)
{
	const struct store_change *c = w->c;
	int rc = compose_run(s, c, &w->end);

	if (rc == SQLITE_OK && c->from == JOB_WAITING && c->to == JOB_DONE && c->attempt > 0)
		rc = load_last_result(s, w);
	if (rc == SQLITE_OK)
		rc = update_job(s, w);
	if (rc == SQLITE_OK)
		rc = insert_event(s, w);
	if (rc == SQLITE_OK)
		rc = leave_state(s, w);
	if (rc == SQLITE_OK)
		rc = enter_state(s, w);
	free(w->end.own_result);
	free(w->end.own_error);
	return rc;
}

int change_run(struct store *s, struct store_change *c)
{
	struct work w = { .c = c };
	int rc;

	assert(is_sound(c));
	store_change_fini(c);
	c->damaged = false;
	c->seq = 0;
	c->op.result = 0;
	rc = pass_fence(s, c, &w.before);
	if (rc != SQLITE_OK || c->op.result != 0)
		return rc;
	c->seq = s->tally.next_seq++;
	rc = apply(s, &w);
	c->ended_as = w.end.outcome;
	return rc;
}

int change_note(struct store *s, struct store_note *note)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPT_NOTE);
	int rc;

	sql_int(stmt, 1, note->id);
	sql_int(stmt, 2, note->attempt);
	sql_text(stmt, 3, note->executor);
	sql_text(stmt, 4, note->handle);
	sql_text(stmt, 5, note->saved_json);
	rc = sql_run(stmt);
	note->op.result = rc == SQLITE_OK && sqlite3_changes(s->db) == 0 ? -ESTALE : 0;
	return rc;
}

int change_queue(struct store *s, struct store_queue *q)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_QUEUE_SET);

	sql_text(stmt, 1, q->name);
	sql_int(stmt, 2, q->limit);
	sql_int(stmt, 3, q->is_paused);
	q->op.result = 0;
	return sql_run(stmt);
}
