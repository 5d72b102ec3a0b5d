/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* Pages of records. */

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

static bool is_part_of_any(sqlite3_stmt *stmt, const struct store_list *l)
{
	int64_t parent = sqlite3_column_int64(stmt, ROWS_PARENT);

	for (size_t i = 0; i < l->n_parents; i++)
		if (l->parents[i] == parent)
			return true;
	return l->n_parents == 0;
}

/* Does the row pass?  The cheapest filters first. false in *ret_sound: damaged. */
static bool is_wanted(const struct store *s, sqlite3_stmt *stmt, const struct store_list *l,
		      bool *ret_sound)
{
	enum job_state state = JOB_WAITING;
	enum job_kind kind = JOB_TIMER;
	enum job_outcome outcome = JOB_UNENDED;

	if (l->parent == -1 && sqlite3_column_type(stmt, ROWS_PARENT) != SQLITE_NULL)
		return false;
	if (!is_part_of_any(stmt, l))
		return false;
	if (doom_hides(s, sqlite3_column_int64(stmt, ROWS_ID),
		       sqlite3_column_int64(stmt, ROWS_PARENT)))
		return false;
	if (l->uid != STORE_ANY_UID && l->uid != (uid_t)sqlite3_column_int64(stmt, ROWS_UID))
		return false;
	*ret_sound = rows_state(stmt, ROWS_STATE, &state) && rows_kind(stmt, ROWS_KIND, &kind) &&
		     rows_outcome(stmt, ROWS_OUTCOME, &outcome);
	return *ret_sound && has_bit(l->states, state) && has_bit(l->kinds, kind) &&
	       has_bit(l->outcomes, outcome) && is_in(l->queues, sql_col_word(stmt, ROWS_QUEUE)) &&
	       is_in(l->names, sql_col_word(stmt, ROWS_NAME)) &&
	       has_tag(l->tags, sql_col_word(stmt, ROWS_TAGS));
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
	rc = record_read(s, stmt, true, job);
	page->text_bytes += record_bytes(job);
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
		if (is_wanted(s, stmt, l, &is_sound))
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

/* From the row after l->after on, in the order of ids, which is that of their parts too. */
static int start_parts(struct store *s, const struct store_list *l, sqlite3_stmt *stmt)
{
	sqlite3_stmt *place = store_sql(s, SQL_PART_PLACE);
	int64_t run = l->descending ? INT64_MAX : 0, part = 0;
	int rc = SQLITE_OK;

	sql_int(place, 1, l->after);
	sql_int(place, 2, l->parent);
	if (l->after != 0 && sql_row(place, &rc)) {
		run = sqlite3_column_int64(place, 0);
		part = sqlite3_column_int64(place, 1);
		rc = sql_end(place);
	}
	sql_int(stmt, 1, l->parent);
	sql_int(stmt, 2, run);
	sql_int(stmt, 3, part);
	return rc;
}

/* The statement that gives the rows, ready to be stepped. */
static int start_scan(struct store *s, const struct store_list *l, sqlite3_stmt **ret)
{
	static const enum sql_id scans[2][2] = {
		{ SQL_SCAN, SQL_SCAN_DESC },
		{ SQL_SCAN_LIVE, SQL_SCAN_LIVE_DESC },
	};

	if (l->parent > 0) {
		*ret = store_sql(s, l->descending ? SQL_SCAN_PARTS_DESC : SQL_SCAN_PARTS);
		return start_parts(s, l, *ret);
	}
	*ret = store_sql(s, scans[is_live_only(l)][l->descending]);
	sql_int(*ret, 1, l->after == 0 && l->descending ? INT64_MAX : l->after);
	return SQLITE_OK;
}

int list_run(struct store *s, struct store_list *l, int *budget)
{
	struct page page = { .budget = *budget };
	sqlite3_stmt *stmt;
	int rc, r;

	l->op.result = 0;
	l->jobs = NULL;
	l->n = 0;
	l->next = l->after;
	rc = start_scan(s, l, &stmt);
	if (rc == SQLITE_OK)
		rc = scan(s, stmt, l, &page);
	r = sql_end(stmt);
	if (page.is_at_end)
		l->next = 0;
	*budget = page.budget;
	return rc != SQLITE_OK ? rc : r;
}
