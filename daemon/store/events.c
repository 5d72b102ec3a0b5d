/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/*
 * What has happened, in pages.  Submissions are not in the table of events
 * (that would cost each a row): their numbers stand in the jobs, and rise with
 * the ids, so that the two can be merged.
 */

/* Columns of both statements. */
enum {
	COL_SEQ,
	COL_TIME,
	COL_ATTEMPT,
	COL_STATE,
	COL_OUTCOME,
	COL_JOB,
	COL_KIND,
	COL_UID,
	COL_LAST_SEQ,
	COL_PARENT,
	COL_PREV,
};

void store_events_fini(struct store_events *e)
{
	for (size_t i = 0; i < e->n; i++)
		rows_job_fini(&e->events[i].job);
	free(e->events);
	e->events = NULL;
	e->n = 0;
}

/* The smallest id from which on all jobs were submitted after number @since. */
static int first_after(struct store *s, int64_t since, int64_t *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_SUBMITTED_FROM);
	int64_t low = 1, high = s->tally.next_id;
	int rc = SQLITE_OK;

	while (low < high && rc == SQLITE_OK) {
		int64_t middle = low + (high - low) / 2;

		sql_int(stmt, 1, middle);
		if (!sql_row(stmt, &rc)) {
			high = middle;
			continue;
		}
		if (sqlite3_column_int64(stmt, 1) > since)
			high = middle;
		else
			low = sqlite3_column_int64(stmt, 0) + 1;
		rc = sql_end(stmt);
	}
	*ret = low;
	return rc;
}

/* A page being filled from two statements, each with its next row current. */
struct page {
	struct store_events *e;
	sqlite3_stmt *events, *submissions; /* NULL = no more rows */
	int64_t *jobs;			    /* owns; the wanted ones, sorted */
	size_t size;			    /* room in e->events */
	size_t text_bytes;
	int budget; /* rows */
};

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The job of the row, or a composition around it, is one of those asked for. */
static int is_in_tree(struct store *s, const struct page *p, sqlite3_stmt *row, bool *ret)
{
	int64_t id = sqlite3_column_int64(row, COL_JOB);
	int64_t parent = sqlite3_column_int64(row, COL_PARENT);
	sqlite3_stmt *stmt = store_sql(s, SQL_PARENT);
	int rc = SQLITE_OK;

	*ret = bsearch(&id, p->jobs, p->e->n_jobs, sizeof(id), by_value);
	/* Compositions have lower ids than their parts: this ends, whatever the rows hold. */
	while (!*ret && parent != 0 && parent < id && rc == SQLITE_OK) {
		id = parent;
		*ret = bsearch(&id, p->jobs, p->e->n_jobs, sizeof(id), by_value);
		sql_int(stmt, 1, id);
		if (!sql_row(stmt, &rc))
			break;
		parent = sqlite3_column_int64(stmt, 0);
		rc = sql_end(stmt);
	}
	return rc;
}

static int is_wanted(struct store *s, const struct page *p, sqlite3_stmt *row, bool *ret)
{
	const struct store_events *e = p->e;
	enum job_kind kind = JOB_TIMER;

	*ret = false;
	if (doom_hides(s, sqlite3_column_int64(row, COL_JOB),
		       sqlite3_column_int64(row, COL_PARENT)))
		return SQLITE_OK;
	if (e->uid != STORE_ANY_UID && e->uid != (uid_t)sqlite3_column_int64(row, COL_UID))
		return SQLITE_OK;
	if (!rows_kind(row, COL_KIND, &kind))
		return SQLITE_CORRUPT;
	if (e->kinds != 0 && !(e->kinds & 1u << kind))
		return SQLITE_OK;
	if (p->jobs)
		return is_in_tree(s, p, row, ret);
	*ret = true;
	return SQLITE_OK;
}

/* A job that waited before and waits now was changed; otherwise it waits again. */
static int read_is_update(struct store *s, sqlite3_stmt *row, struct store_event *event)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EVENT_STATE);
	enum job_state before = JOB_WAITING;
	bool is_sound = true;
	int rc;

	if (event->is_submission || event->state != JOB_WAITING)
		return SQLITE_OK;
	event->is_update = true;
	sql_int(stmt, 1, sqlite3_column_int64(row, COL_PREV));
	if (!sql_row(stmt, &rc))
		return rc; /* nothing but its submission came before */
	is_sound = rows_state(stmt, 0, &before);
	event->is_update = before == JOB_WAITING;
	rc = sql_end(stmt);
	return is_sound ? rc : SQLITE_CORRUPT;
}

static int add(struct store *s, struct page *p, sqlite3_stmt *row)
{
	struct store_events *e = p->e;
	struct store_event *event;
	int rc;

	if (e->n == p->size) {
		p->size = p->size ? p->size * 2 : 16;
		e->events = xreallocarray(e->events, p->size, sizeof(*e->events));
	}
	event = &e->events[e->n++];
	memset(event, 0, sizeof(*event));
	event->seq = sqlite3_column_int64(row, COL_SEQ);
	event->time.ms = sqlite3_column_int64(row, COL_TIME);
	event->attempt = (uint32_t)sqlite3_column_int64(row, COL_ATTEMPT);
	event->is_submission = row == p->submissions;
	event->is_last = event->seq == sqlite3_column_int64(row, COL_LAST_SEQ);
	if (!rows_state(row, COL_STATE, &event->state) ||
	    !rows_outcome(row, COL_OUTCOME, &event->outcome))
		return SQLITE_CORRUPT;
	rc = read_is_update(s, row, event);
	if (rc == SQLITE_OK)
		rc = record_get(s, sqlite3_column_int64(row, COL_JOB), true, &event->job);
	p->text_bytes += record_bytes(&event->job);
	return rc;
}

/* To the next row; *stmt becomes NULL when there is none (its code comes with sql_end()). */
static void advance(sqlite3_stmt **stmt)
{
	if (sqlite3_step(*stmt) != SQLITE_ROW)
		*stmt = NULL;
}

static bool is_full(const struct page *p)
{
	const struct store_events *e = p->e;

	return e->n >= e->limit || p->budget <= 0 || (e->n > 0 && p->text_bytes >= e->max_bytes);
}

/* The statement whose row comes next, NULL = there are no more. */
static sqlite3_stmt **nearest(struct page *p)
{
	if (!p->events || !p->submissions)
		return p->events ? &p->events : p->submissions ? &p->submissions : NULL;
	return sqlite3_column_int64(p->events, COL_SEQ) <
			       sqlite3_column_int64(p->submissions, COL_SEQ)
		       ? &p->events
		       : &p->submissions;
}

static int fill(struct store *s, struct page *p)
{
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK) {
		sqlite3_stmt **stmt = nearest(p);
		bool wants = false;

		p->e->is_at_end = !stmt;
		if (!stmt || is_full(p))
			break;
		p->budget--;
		p->e->next = sqlite3_column_int64(*stmt, COL_SEQ);
		rc = is_wanted(s, p, *stmt, &wants);
		if (rc == SQLITE_OK && wants)
			rc = add(s, p, *stmt);
		if (rc == SQLITE_OK)
			advance(stmt);
	}
	return rc;
}

int events_run(struct store *s, struct store_events *e, int *budget)
{
	sqlite3_stmt *events = store_sql(s, SQL_EVENTS),
		     *submissions = store_sql(s, SQL_SUBMISSIONS);
	struct page p = { .e = e, .events = events, .submissions = submissions, .budget = *budget };
	int64_t first;
	int rc, r;

	e->op.result = 0;
	e->events = NULL;
	e->n = 0;
	e->next = e->since;
	e->pruned_seq = s->tally.pruned_seq;
	rc = first_after(s, e->since, &first);
	if (rc != SQLITE_OK)
		return rc;
	if (e->n_jobs > 0) {
		p.jobs = xcalloc(e->n_jobs, sizeof(*p.jobs));
		memcpy(p.jobs, e->jobs, e->n_jobs * sizeof(*p.jobs));
		qsort(p.jobs, e->n_jobs, sizeof(*p.jobs), by_value);
	}
	sql_int(events, 1, e->since);
	sql_int(submissions, 1, first);
	advance(&p.events);
	advance(&p.submissions);
	rc = fill(s, &p);
	free(p.jobs);
	r = sql_end(events);
	rc = rc != SQLITE_OK ? rc : r;
	r = sql_end(submissions);
	if (e->is_at_end)
		e->next = s->tally.next_seq - 1;
	*budget = p.budget;
	return rc != SQLITE_OK ? rc : r;
}
