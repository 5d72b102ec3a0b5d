/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/record.h"

#include <string.h>

#include "daemon/store/rows.h"
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* ---- texts ---- */

int record_spec(struct store *s, int64_t id, char **ret, size_t *ret_len)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_DOC_GET);
	int rc;

	*ret = NULL;
	*ret_len = 0;
	sql_int(stmt, 1, id);
	if (!sql_row(stmt, &rc))
		return rc;
	*ret = sql_col_text(stmt, 0, ret_len);
	return sql_end(stmt);
}

static int get_ending(struct store *s, struct store_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ENDING_GET);
	int rc;

	sql_int(stmt, 1, job->id);
	if (!sql_row(stmt, &rc))
		return rc;
	job->result_json = sql_col_text(stmt, 0, &job->result_len);
	job->error_json = sql_col_text(stmt, 1, &job->error_len);
	return sql_end(stmt);
}

/* The end of the JSON value at @p: the "," or "}" behind it.  Damaged text ends at its NUL. */
static const char *skip_value(const char *p)
{
	int depth = 0;

	for (; *p; p++) {
		if (*p == '"') {
			for (p++; *p && *p != '"'; p++)
				p += *p == '\\' && p[1];
			if (!*p)
				return p;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if ((*p == '}' || *p == ']' || *p == ',') && depth == 0) {
			return p;
		} else if (*p == '}' || *p == ']') {
			depth--;
		}
	}
	return p;
}

/* Which of @names (with quotes and colon) the member at @p has, or NULL. */
static const char *name_of(const char *p, const char *const *names)
{
	for (; *names; names++)
		if (strncmp(p, *names, strlen(*names)) == 0)
			return *names;
	return NULL;
}

/*
 * Of a long object the members of these names alone; or, with @empties, all
 * members, but those of these names as empty lists.  By hand: parsing a
 * megabyte to throw it away would hold up the commits.  The text is in its
 * normal form, without blanks.
 */
static void shorten(char **text, const char *const *names, bool empties)
{
	struct buf b = { 0 };

	buf_addc(&b, '{');
	for (const char *p = *text; *p == '{' || *p == ',';) {
		const char *end = skip_value(++p), *name = name_of(p, names);

		if (name || empties)
			buf_adds(&b, b.len > 1 ? "," : "");
		if (name && empties)
			buf_addf(&b, "%s[]", name);
		else if (name || empties)
			buf_add(&b, p, (size_t)(end - p));
		p = end;
	}
	buf_addc(&b, '}');
	free(*text);
	*text = buf_steal(&b, NULL);
}

/* Long values are not told in lists: they need not stay in memory until then. */
static void make_brief(struct store_job *job)
{
	/* What a job object tells beside the document. */
	static const char *const told[] = { "\"retry\":", "\"key\":", NULL };
	/* One for each part of a composition. */
	static const char *const many[] = { "\"errors\":", NULL };

	if (job->spec && job->spec_len > LIST_VALUE_MAX_BYTES)
		shorten(&job->spec, told, false);
	if (job->error_json && job->error_len > LIST_VALUE_MAX_BYTES)
		shorten(&job->error_json, many, true);
	if (job->result_json && job->result_len > LIST_VALUE_MAX_BYTES) {
		free(job->result_json);
		job->result_json = NULL;
	}
}

/* ---- relations ---- */

int record_last_run(struct store *s, int64_t id, int64_t *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_LAST_RUN);
	int rc;

	*ret = 0;
	sql_int(stmt, 1, id);
	if (!sql_row(stmt, &rc))
		return rc;
	*ret = sqlite3_column_int64(stmt, 0);
	return sql_end(stmt);
}

/* Make room for one more behind the @n of @list, which holds powers of two. */
static void *grow(void *list, size_t n, size_t item_bytes)
{
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0))
		list = xreallocarray(list, n < 4 ? 4 : n * 2, item_bytes);
	return list;
}

/* The parts of the latest attempt that made some. */
static int get_children(struct store *s, struct store_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_CHILDREN);
	int64_t run;
	int rc = record_last_run(s, job->id, &run);

	if (rc != SQLITE_OK || run == 0)
		return rc;
	sql_int(stmt, 1, job->id);
	sql_int(stmt, 2, run);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		job->children = grow(job->children, job->n_children, sizeof(*job->children));
		job->children[job->n_children++] = sqlite3_column_int64(stmt, 0);
	}
	return sql_end(stmt);
}

static int get_needs(struct store *s, struct store_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_NEEDS);
	bool is_sound = true;
	int rc;

	sql_int(stmt, 1, job->id);
	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_need *need;

		job->needs = grow(job->needs, job->n_needs, sizeof(*job->needs));
		need = &job->needs[job->n_needs++];
		*need = (struct store_need){ .job = sqlite3_column_int64(stmt, 0),
					     .place = STORE_NO_PLACE };
		is_sound = rows_need_on(stmt, 1, &need->on);
	}
	rc = sql_end(stmt);
	return is_sound ? rc : SQLITE_CORRUPT;
}

static bool read_attempt(sqlite3_stmt *stmt, struct store_attempt *ret)
{
	*ret = (struct store_attempt){
		.attempt = (uint32_t)sqlite3_column_int64(stmt, 0),
		.started.ms = sqlite3_column_int64(stmt, 1),
		.ended.ms = sqlite3_column_int64(stmt, 2),
		.error_json = sql_col_text(stmt, 4, NULL),
		.result_json = sql_col_text(stmt, 5, NULL),
	};
	return rows_outcome(stmt, 3, &ret->outcome);
}

/*
 * What the attempt that ended the job came to is kept once, as the job's.  A composition's
 * result, which may be long, is not told twice.
 */
static void complete_last(const struct store_job *job, struct store_attempt *last)
{
	if (last->outcome != job->outcome)
		return;
	if (job->error_json && !last->error_json)
		last->error_json = xstrdup(job->error_json);
	if (job->result_json && !last->result_json && !rows_is_group(job->kind))
		last->result_json = xstrdup(job->result_json);
}

int record_add_attempts(struct store *s, struct store_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ATTEMPTS);
	bool is_sound = true;
	int rc;

	if (job->attempt == 0)
		return SQLITE_OK;
	sql_int(stmt, 1, job->id);
	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		job->attempts = grow(job->attempts, job->n_attempts, sizeof(*job->attempts));
		is_sound = read_attempt(stmt, &job->attempts[job->n_attempts++]);
	}
	rc = sql_end(stmt);
	if (!is_sound)
		return SQLITE_CORRUPT;
	if (job->n_attempts > 0)
		complete_last(job, &job->attempts[job->n_attempts - 1]);
	return rc;
}

/* ---- records ---- */

int record_read(struct store *s, sqlite3_stmt *row, bool is_brief, struct store_job *ret)
{
	bool has_needs = sqlite3_column_int(row, ROWS_FLAGS) & ROWS_HAS_NEEDS;
	int rc = rows_job(row, ret) ? SQLITE_OK : SQLITE_CORRUPT;

	if (rc == SQLITE_OK)
		rc = record_spec(s, ret->id, &ret->spec, &ret->spec_len);
	if (rc == SQLITE_OK && ret->state == JOB_DONE)
		rc = get_ending(s, ret);
	if (is_brief)
		make_brief(ret);
	if (rc == SQLITE_OK && rows_is_group(ret->kind))
		rc = get_children(s, ret);
	if (rc == SQLITE_OK && has_needs)
		rc = get_needs(s, ret);
	return rc;
}

int record_get(struct store *s, int64_t id, bool is_brief, struct store_job *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_GET);
	int rc, r;

	memset(ret, 0, sizeof(*ret));
	sql_int(stmt, 1, id);
	if (!sql_row(stmt, &rc))
		return rc;
	r = doom_hides(s, id, sqlite3_column_int64(stmt, ROWS_PARENT))
		    ? SQLITE_OK
		    : record_read(s, stmt, is_brief, ret);
	rc = sql_end(stmt);
	return r != SQLITE_OK ? r : rc;
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) : 0;
}

size_t record_bytes(const struct store_job *job)
{
	size_t n = text_bytes(job->name) + text_bytes(job->tags) + text_bytes(job->queue) +
		   text_bytes(job->result_json) + text_bytes(job->error_json) +
		   text_bytes(job->spec);

	n += job->n_children * sizeof(*job->children) + job->n_needs * sizeof(*job->needs);
	for (size_t i = 0; i < job->n_attempts; i++)
		n += sizeof(job->attempts[i]) + text_bytes(job->attempts[i].error_json) +
		     text_bytes(job->attempts[i].result_json);
	return n;
}
