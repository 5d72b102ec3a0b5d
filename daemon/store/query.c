/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/*
 * Queries.  Each is stepped to its end at once, so that no read transaction
 * holds up a checkpoint, and none looks at more rows than its budget: a list
 * that finds little returns early with a cursor (R1.3, R1.7).
 */

/* Attempts that were cut off sooner than this count as losses (R2.5). */

bool query_is(enum store_op_type type)
{
	return type == STORE_LOAD || type == STORE_GET || type == STORE_LIST ||
	       type == STORE_SCOPE || type == STORE_EVENTS;
}

/* ---- records by id ---- */

void store_get_fini(struct store_get *g)
{
	for (size_t i = 0; g->jobs && i < g->n; i++)
		rows_job_fini(&g->jobs[i]);
	free(g->jobs);
	g->jobs = NULL;
}

static int get_one(struct store *s, struct store_get *g, size_t i)
{
	int rc = record_get(s, g->ids[i], g->is_brief, &g->jobs[i]);

	return rc == SQLITE_OK && g->with_attempts ? record_add_attempts(s, &g->jobs[i]) : rc;
}

static int run_get(struct store *s, struct store_get *g, int *budget)
{
	int rc = SQLITE_OK;

	g->op.result = 0;
	g->jobs = xcalloc(g->n > 0 ? g->n : 1, sizeof(*g->jobs));
	for (size_t i = 0; i < g->n && rc == SQLITE_OK; i++)
		rc = get_one(s, g, i);
	*budget -= (int)g->n;
	return rc;
}

/* ---- what a live job needs ---- */

void store_load_fini(struct store_load *l)
{
	free(l->spec);
	free(l->executor);
	free(l->handle);
	free(l->saved_json);
	free(l->message);
	l->spec = l->executor = l->handle = l->saved_json = l->message = NULL;
}

/*
 * Attempts before this one that were cut off within quick_ms, in a row.  One that
 * an orderly stop cut off proves nothing, unless it had lived long enough.
 */
static int count_losses(struct store *s, struct store_load *l)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_LOSSES);

	l->n_losses = 0;
	sql_int(stmt, 1, l->id);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		enum job_outcome outcome = JOB_UNENDED;
		bool is_orderly = sqlite3_column_int(stmt, 2) != 0;

		if (!rows_outcome(stmt, 0, &outcome) || outcome != JOB_LOST ||
		    sqlite3_column_int64(stmt, 1) >= l->quick_ms)
			break;
		if (!is_orderly)
			l->n_losses++;
	}
	return sql_end(stmt);
}

static int load_spec(struct store *s, sqlite3_stmt *row, struct store_load *l)
{
	int rc = record_spec(s, l->id, &l->spec, &l->spec_len);

	l->damaged = rows_is_damaged(row, 0, l->spec, l->spec_len);
	if (!l->spec)
		l->spec = xstrdup("");
	return rc;
}

static int run_load(struct store *s, struct store_load *l, int *budget)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_LOAD);
	int rc, r;

	l->op.result = 0;
	l->spec = NULL;
	l->spec_len = 0;
	*budget -= 1;
	sql_int(stmt, 1, l->id);
	if (!sql_row(stmt, &rc)) {
		l->executor = l->handle = l->saved_json = l->message = NULL;
		l->op.result = -ENOENT;
		return rc;
	}
	l->started = sql_col_instant(stmt, 5, s->boot_n);
	l->executor = sql_col_text(stmt, 8, NULL);
	l->handle = sql_col_text(stmt, 9, NULL);
	l->saved_json = sql_col_text(stmt, 10, NULL);
	l->why = rows_stop_parse(sql_col_word(stmt, 11));
	l->by_uid = (uid_t)sqlite3_column_int64(stmt, 12);
	l->message = sql_col_text(stmt, 13, NULL);
	r = load_spec(s, stmt, l);
	rc = sql_end(stmt);
	if (r == SQLITE_OK && rc == SQLITE_OK)
		r = count_losses(s, l);
	return r != SQLITE_OK ? r : rc;
}

int query_run(struct store *s, struct store_op *op, int *budget)
{
	if (op->type == STORE_GET)
		return run_get(s, (struct store_get *)op, budget);
	if (op->type == STORE_LIST)
		return list_run(s, (struct store_list *)op, budget);
	if (op->type == STORE_SCOPE)
		return scope_run(s, (struct store_scope *)op, budget);
	if (op->type == STORE_EVENTS)
		return events_run(s, (struct store_events *)op, budget);
	return run_load(s, (struct store_load *)op, budget);
}
