/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>

#include <jansson.h>

#include "daemon/store/db.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/*
 * Queries.  Each is stepped to its end at once, so that no read transaction
 * holds up a checkpoint, and none looks at more rows than its budget: a list
 * that finds little returns early with a cursor (R1.3, R1.7).
 */

/* Attempts that were cut off sooner than this count as losses (R2.5). */
#define LOSS_MS 10000

bool query_is(enum store_op_type type)
{
	return type == STORE_LOAD || type == STORE_GET || type == STORE_LIST;
}

/* ---- whole records ---- */

static int get_texts(struct store *s, struct store_job *job)
{
	sqlite3_stmt *doc = store_sql(s, SQL_DOC_GET), *ending = store_sql(s, SQL_ENDING_GET);
	int rc = SQLITE_OK;

	sql_int(doc, 1, job->id);
	if (sql_row(doc, &rc)) {
		job->spec = sql_col_text(doc, 0, &job->spec_len);
		rc = sql_end(doc);
	}
	if (rc != SQLITE_OK || job->state != JOB_DONE)
		return rc;
	sql_int(ending, 1, job->id);
	if (sql_row(ending, &rc)) {
		job->result_json = sql_col_text(ending, 0, NULL);
		job->error_json = sql_col_text(ending, 1, NULL);
		rc = sql_end(ending);
	}
	return rc;
}

void store_get_fini(struct store_get *g)
{
	for (size_t i = 0; g->jobs && i < g->n; i++)
		rows_job_fini(&g->jobs[i]);
	free(g->jobs);
	g->jobs = NULL;
}

static int get_one(struct store *s, int64_t id, struct store_job *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_GET);
	bool is_sound;
	int rc;

	sql_int(stmt, 1, id);
	if (!sql_row(stmt, &rc))
		return rc;
	is_sound = rows_job(stmt, ret);
	rc = sql_end(stmt);
	if (rc == SQLITE_OK && !is_sound)
		rc = SQLITE_CORRUPT;
	return rc != SQLITE_OK ? rc : get_texts(s, ret);
}

static int run_get(struct store *s, struct store_get *g, int *budget)
{
	int rc = SQLITE_OK;

	g->op.result = 0;
	g->jobs = xcalloc(g->n > 0 ? g->n : 1, sizeof(*g->jobs));
	for (size_t i = 0; i < g->n && rc == SQLITE_OK; i++)
		rc = get_one(s, g->ids[i], &g->jobs[i]);
	*budget -= (int)g->n;
	return rc;
}

/* ---- lists ---- */

void store_list_fini(struct store_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		rows_job_fini(&l->jobs[i]);
	free(l->jobs);
	l->jobs = NULL;
	l->n = 0;
}

static bool is_in(const char *const *list, const char *word)
{
	if (!list || !*list)
		return true;
	for (; word && *list; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

static bool has_tag(const char *const *wanted, const char *tags_json)
{
	json_t *tags, *tag;
	bool has = false;
	size_t i;

	if (!wanted || !*wanted)
		return true;
	tags = tags_json ? json_loads(tags_json, 0, NULL) : NULL;
	json_array_foreach(tags, i, tag)
		if (json_is_string(tag) && is_in(wanted, json_string_value(tag)))
			has = true;
	json_decref(tags);
	return has;
}

static bool has_bit(unsigned set, unsigned value)
{
	return set == 0 || (set & 1u << value);
}

/* Does the row pass?  The cheapest filters first. false in *ret_sound: damaged. */
static bool is_wanted(sqlite3_stmt *stmt, const struct store_list *l, bool *ret_sound)
{
	enum job_state state = JOB_WAITING;
	enum job_kind kind = JOB_TIMER;
	enum job_outcome outcome = JOB_UNENDED;

	if (l->uid != STORE_ANY_UID && l->uid != (uid_t)sqlite3_column_int64(stmt, ROWS_UID))
		return false;
	*ret_sound = rows_state(stmt, ROWS_STATE, &state) && rows_kind(stmt, ROWS_KIND, &kind) &&
		     rows_outcome(stmt, ROWS_OUTCOME, &outcome);
	return *ret_sound && has_bit(l->states, state) && has_bit(l->kinds, kind) &&
	       has_bit(l->outcomes, outcome) && is_in(l->queues, sql_col_word(stmt, ROWS_QUEUE)) &&
	       is_in(l->names, sql_col_word(stmt, ROWS_NAME)) &&
	       has_tag(l->tags, sql_col_word(stmt, ROWS_TAGS));
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) : 0;
}

static size_t job_bytes(const struct store_job *job)
{
	return text_bytes(job->name) + text_bytes(job->tags) + text_bytes(job->queue) +
	       text_bytes(job->result_json) + text_bytes(job->error_json) + job->spec_len;
}

/* What a page has come to. */
struct page {
	size_t size; /* room in l->jobs */
	size_t text_bytes;
	int budget; /* rows */
	bool is_at_end;
};

static int add_job(struct store *s, sqlite3_stmt *stmt, struct store_list *l, struct page *page)
{
	struct store_job *job;
	int rc;

	if (l->n == page->size) {
		page->size = page->size ? page->size * 2 : 16;
		l->jobs = xreallocarray(l->jobs, page->size, sizeof(*l->jobs));
	}
	job = &l->jobs[l->n++];
	if (!rows_job(stmt, job))
		return SQLITE_CORRUPT;
	rc = get_texts(s, job);
	page->text_bytes += job_bytes(job);
	return rc;
}

static bool is_page_full(const struct store_list *l, const struct page *page)
{
	return l->n >= l->limit || page->budget <= 0 ||
	       (l->n > 0 && page->text_bytes >= l->max_bytes);
}

/* Look at rows until the page is full or there are no more. */
static int scan(struct store *s, sqlite3_stmt *stmt, struct store_list *l, struct page *page)
{
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK) {
		bool is_sound = true;

		if (sqlite3_step(stmt) != SQLITE_ROW) {
			page->is_at_end = true;
			break;
		}
		if (is_page_full(l, page))
			break; /* and this row shows that there is another page */
		page->budget--;
		l->next = sqlite3_column_int64(stmt, ROWS_ID);
		if (is_wanted(stmt, l, &is_sound))
			rc = add_job(s, stmt, l, page);
		else if (!is_sound)
			rc = SQLITE_CORRUPT;
	}
	return rc;
}

/* The rows of jobs that are done need not be looked at when none of them can pass. */
static bool is_live_only(const struct store_list *l)
{
	return l->states != 0 && !(l->states & 1u << JOB_DONE);
}

static int run_list(struct store *s, struct store_list *l, int *budget)
{
	static const enum sql_id scans[2][2] = {
		{ SQL_SCAN, SQL_SCAN_DESC },
		{ SQL_SCAN_LIVE, SQL_SCAN_LIVE_DESC },
	};
	bool live = is_live_only(l);
	sqlite3_stmt *stmt = store_sql(s, scans[live][l->descending]);
	struct page page = { .budget = *budget };
	int64_t start = l->after == 0 && l->descending ? INT64_MAX : l->after;
	int rc, r;

	l->op.result = 0;
	l->jobs = NULL;
	l->n = 0;
	l->next = start;
	sql_int(stmt, 1, start);
	rc = scan(s, stmt, l, &page);
	r = sql_end(stmt);
	if (page.is_at_end)
		l->next = 0;
	*budget = page.budget;
	return rc != SQLITE_OK ? rc : r;
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
 * Attempts before this one that were cut off within 10 s, in a row.  One that
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
		    sqlite3_column_int64(stmt, 1) >= LOSS_MS)
			break;
		if (!is_orderly)
			l->n_losses++;
	}
	return sql_end(stmt);
}

static int load_spec(struct store *s, sqlite3_stmt *row, struct store_load *l)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_DOC_GET);
	int rc = SQLITE_OK;

	sql_int(stmt, 1, l->id);
	if (sql_row(stmt, &rc)) {
		l->spec = sql_col_text(stmt, 0, &l->spec_len);
		rc = sql_end(stmt);
	}
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
		return run_list(s, (struct store_list *)op, budget);
	return run_load(s, (struct store_load *)op, budget);
}

/* ---- start-up ---- */

int store_each_live(struct store *s, void (*fn)(void *arg, const struct store_live *job), void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_LIVE);
	bool is_sound = true;
	struct store_live job;
	int rc;

	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		is_sound = rows_live(stmt, s->boot_n, &job);
		if (is_sound)
			fn(arg, &job);
	}
	rc = sql_end(stmt);
	if (rc == SQLITE_OK && is_sound)
		return 0;
	store_log(s, LOG_ERR, "cannot read the unfinished jobs of %s: %s", s->path,
		  is_sound ? sqlite3_errstr(rc) : "a row is damaged");
	return is_sound && db_exit_status(rc) == EX_IOERR ? -EIO : -EBADMSG;
}

int store_each_doc_size(struct store *s, void (*fn)(void *arg, int64_t id, size_t n_bytes),
			void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_DOC_SIZE);
	int rc;

	while (sqlite3_step(stmt) == SQLITE_ROW)
		fn(arg, sqlite3_column_int64(stmt, 0), (size_t)sqlite3_column_int64(stmt, 1));
	rc = sql_end(stmt);
	if (rc == SQLITE_OK)
		return 0;
	store_log(s, LOG_ERR, "cannot read the documents of %s: %s", s->path, sqlite3_errstr(rc));
	return db_exit_status(rc) == EX_IOERR ? -EIO : -EBADMSG;
}

int store_each_queue(struct store *s,
		     void (*fn)(void *arg, const char *name, int64_t limit, bool is_paused),
		     void *arg)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EACH_QUEUE);
	int rc;

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = sql_col_word(stmt, 0);

		if (name)
			fn(arg, name, sqlite3_column_int64(stmt, 1),
			   sqlite3_column_int(stmt, 2) != 0);
	}
	rc = sql_end(stmt);
	if (rc == SQLITE_OK)
		return 0;
	store_log(s, LOG_ERR, "cannot read the queues of %s: %s", s->path, sqlite3_errstr(rc));
	return db_exit_status(rc) == EX_IOERR ? -EIO : -EBADMSG;
}
