/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>

#include "daemon/store/remove.h"
#include "proto/xalloc.h"

/*
 * Forgetting history, in steps.  Jobs without a "keep" of their own are taken
 * in the order of their ends, which is that of their last events: a cursor,
 * meta 'history_seq', passes over each once.  Whoever has a keep, or could not
 * go when the cursor came by, has a row in the table expiry that says when to
 * look at it again.
 */

#define STEP_JOBS 100  /* removed: about 2 ms */
#define STEP_TRIES 400 /* looked at one by one */
#define STEP_ROWS 2500 /* passed over: no more than that either */
#define HOUR_MS INT64_C(3600000)

/* One step. */
struct step {
	struct store_prune *p;
	int n_tries, n_rows;
	bool has_doomed; /* the next steps take that away */
};

/* A job whose turn has come, perhaps. */
struct candidate {
	int64_t id;
	int64_t ended_ms;
	int64_t due_ms; /* of its row in expiry, 0 = it has none */
	bool is_part, has_keep;
};

static bool is_over_limits(const struct store *s, const struct store_prune *p)
{
	return s->tally.by_state[JOB_DONE] > p->max_jobs || s->tally.kept_bytes > p->max_bytes;
}

static bool is_step_over(const struct step *st)
{
	return st->has_doomed || st->p->n_jobs >= STEP_JOBS || st->n_tries >= STEP_TRIES ||
	       st->n_rows >= STEP_ROWS;
}

/* One that is not there, which only damage does, is long over: nobody stops at it. */
static int get_facts(struct store *s, struct candidate *c)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_END_FACTS);
	int rc;

	*c = (struct candidate){ .id = c->id, .due_ms = c->due_ms };
	sql_int(stmt, 1, c->id);
	if (!sql_row(stmt, &rc))
		return rc;
	c->is_part = sqlite3_column_type(stmt, 0) != SQLITE_NULL;
	c->has_keep = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
	c->ended_ms = sqlite3_column_int64(stmt, 2);
	return sql_end(stmt);
}

/* Is its time over, or are there too many? */
static bool is_over(const struct store *s, const struct store_prune *p, const struct candidate *c)
{
	bool is_old = c->has_keep ? c->due_ms <= p->now.ms : c->ended_ms <= p->now.ms - p->keep_ms;

	return is_old || is_over_limits(s, p);
}

/* When its time is over by the settings; INT64_MAX = never. */
static int64_t over_ms(const struct store_prune *p, const struct candidate *c)
{
	return p->keep_ms < INT64_MAX - c->ended_ms ? c->ended_ms + p->keep_ms : INT64_MAX;
}

/*
 * When to look again at one that cannot go now: not before its time is over,
 * unless that is the settings', which may change meanwhile.
 */
static int64_t look_again_ms(const struct store_prune *p, const struct candidate *c)
{
	int64_t soon = p->now.ms + HOUR_MS, late = p->now.ms + 24 * HOUR_MS, over;

	if (c->has_keep)
		return c->due_ms > soon ? c->due_ms : soon;
	over = over_ms(p, c);
	return over < soon ? soon : over > late ? late : over;
}

static int set_expiry(struct store *s, const struct step *st, const struct candidate *c)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EXPIRY_SET);

	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, look_again_ms(st->p, c));
	return sql_run(stmt);
}

/* It goes, or is looked at again later. */
static int try_one(struct store *s, struct step *st, const struct candidate *c)
{
	struct removal removal = { .result = -EBUSY };
	int rc = SQLITE_OK;

	st->n_tries++;
	if (is_over(s, st->p, c))
		rc = remove_tree(s, c->id, &removal);
	st->p->n_jobs += removal.n_jobs;
	st->has_doomed = s->doomed != NULL;
	if (rc != SQLITE_OK || removal.result == 0 || removal.result == -ENOENT)
		return rc;
	return set_expiry(s, st, c);
}

/* When the time of the next one is over. */
static void note_next(struct step *st, int64_t ms)
{
	if (ms < INT64_MAX && (st->p->next.ms == 0 || ms < st->p->next.ms))
		st->p->next.ms = ms;
}

/* ---- those that have a row ---- */

/* The one after @c, which it becomes.  false: there is none, or *ret_rc. */
static bool next_expiry(struct store *s, struct candidate *c, int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EXPIRED);

	sql_int(stmt, 1, c->due_ms);
	sql_int(stmt, 2, c->id);
	if (!sql_row(stmt, ret_rc))
		return false;
	c->due_ms = sqlite3_column_int64(stmt, 0);
	c->id = sqlite3_column_int64(stmt, 1);
	*ret_rc = sql_end(stmt);
	if (*ret_rc == SQLITE_OK)
		*ret_rc = get_facts(s, c);
	return *ret_rc == SQLITE_OK;
}

/* Those whose time to be looked at has come. */
static int prune_due(struct store *s, struct step *st)
{
	struct candidate c = { 0 };
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && !is_step_over(st) && next_expiry(s, &c, &rc)) {
		if (c.due_ms > st->p->now.ms) {
			note_next(st, c.due_ms);
			break;
		}
		rc = try_one(s, st, &c);
	}
	return rc;
}

/* There are too many, and only those are left: the nearest to its end first. */
static int prune_forced(struct store *s, struct step *st)
{
	struct candidate c = { 0 };
	size_t n_before = st->p->n_jobs;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && !is_step_over(st) && is_over_limits(s, st->p) &&
	       next_expiry(s, &c, &rc))
		rc = try_one(s, st, &c);
	/* All that were tried are needed: so they will be in the next step. */
	if (st->p->n_jobs == n_before && !st->has_doomed)
		st->n_tries = 0;
	return rc;
}

/* ---- all others ---- */

/*
 * The first end behind the cursor, whose number is *ret_seq.  Other events
 * before it are passed over for good.  false: there is none in this step, or
 * *ret_rc.
 */
static bool next_end(struct store *s, struct step *st, int64_t *ret_seq, struct candidate *ret,
		     int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ENDS);
	bool is_end = false;

	sql_int(stmt, 1, s->tally.history_seq);
	while (!is_end && st->n_rows < STEP_ROWS && sqlite3_step(stmt) == SQLITE_ROW) {
		*ret_seq = sqlite3_column_int64(stmt, 0);
		*ret = (struct candidate){ .id = sqlite3_column_int64(stmt, 1) };
		is_end = sqlite3_column_int(stmt, 2) != 0;
		st->n_rows++;
		if (!is_end)
			s->tally.history_seq = *ret_seq;
	}
	*ret_rc = sql_end(stmt);
	if (*ret_rc == SQLITE_OK && is_end)
		*ret_rc = get_facts(s, ret);
	return *ret_rc == SQLITE_OK && is_end;
}

/* A part goes with its composition, and whoever has a keep goes by that. */
static bool goes_by_order(const struct candidate *c)
{
	return !c->is_part && !c->has_keep;
}

/* *ret_end: there are no more ends behind the cursor. */
static int prune_ended(struct store *s, struct step *st, bool *ret_end)
{
	struct candidate c;
	int64_t seq;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && !is_step_over(st)) {
		if (!next_end(s, st, &seq, &c, &rc)) {
			*ret_end = st->n_rows < STEP_ROWS;
			break;
		}
		if (goes_by_order(&c) && !is_over(s, st->p, &c)) {
			note_next(st, over_ms(st->p, &c));
			break;
		}
		if (goes_by_order(&c))
			rc = try_one(s, st, &c);
		s->tally.history_seq = seq;
	}
	return rc;
}

/* ---- keys of removed jobs ---- */

static int delete_keys(struct store *s, struct step *st)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_KEY_EXPIRED), *del = store_sql(s, SQL_KEY_DELETE);
	int rc = SQLITE_OK;

	sql_int(stmt, 1, st->p->now.ms);
	while (rc == SQLITE_OK && !is_step_over(st) && sql_row(stmt, &rc)) {
		cleanup_free char *key = sql_col_text(stmt, 1, NULL);

		sql_int(del, 1, sqlite3_column_int64(stmt, 0));
		sql_text(del, 2, key);
		rc = sql_end(stmt);
		if (rc == SQLITE_OK)
			rc = sql_run(del);
		st->n_tries++;
	}
	return rc;
}

/* ---- requests ---- */

int prune_run(struct store *s, struct store_prune *p)
{
	struct step st = { .p = p };
	bool is_end = false;
	int rc;

	p->op.result = 0;
	p->n_jobs = 0;
	p->is_at_end = false;
	p->next.ms = 0;
	if (s->doomed)
		return doom_step(s, STEP_JOBS, &p->n_jobs);
	rc = prune_due(s, &st);
	if (rc == SQLITE_OK)
		rc = prune_ended(s, &st, &is_end);
	if (rc == SQLITE_OK && is_end)
		rc = prune_forced(s, &st);
	if (rc == SQLITE_OK)
		rc = delete_keys(s, &st);
	p->is_at_end = !is_step_over(&st);
	return rc;
}

static int delete_away(struct store *s, const struct store_sweep *sweep)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_GONE_DELETE);
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sweep->n_away && rc == SQLITE_OK; i++) {
		sql_int(stmt, 1, sweep->away[i]);
		rc = sql_run(stmt);
	}
	return rc;
}

int prune_sweep(struct store *s, struct store_sweep *sweep)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_GONE_LIST);
	int rc = delete_away(s, sweep), r;

	sweep->op.result = 0;
	sweep->n = 0;
	sql_int(stmt, 1, sweep->after);
	sql_int(stmt, 2, STORE_SWEEP_MAX);
	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		sweep->ids[sweep->n++] = sqlite3_column_int64(stmt, 0);
	r = sql_end(stmt);
	return rc != SQLITE_OK ? rc : r;
}
