/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/buf.h"
#include "proto/xalloc.h"

/*
 * The end of a composition, from the ends of its parts.  It is made here and
 * not in the engine, so that ten thousand results need not be in memory before,
 * and so that it is one transaction with the last part's end.
 */

/* A message of an error among many; each is whole at its own job. */
#define MESSAGE_MAX_BYTES 1024

/* A part's end, borrowed from the statement's row. */
struct part {
	int64_t index, id;
	enum job_outcome outcome;
	const char *result, *error; /* JSON text; NULL = null */
};

/* What has been gathered of the parts. */
struct gathered {
	bool with_results, with_errors;
	struct buf results; /* the list, its last bracket missing */
	struct buf errors;  /* the same */
	int64_t failed_job; /* the first that did not succeed, 0 = all have */
	bool is_too_large;
};

bool compose_has_errors(enum store_compose compose)
{
	return compose == STORE_COMPOSE_ERRORS || compose == STORE_COMPOSE_LIST_AND_ERRORS;
}

static bool read_part(sqlite3_stmt *stmt, struct part *ret)
{
	ret->index = sqlite3_column_int64(stmt, 0);
	ret->id = sqlite3_column_int64(stmt, 1);
	ret->result = sql_col_word(stmt, 3);
	ret->error = sql_col_word(stmt, 4);
	return rows_outcome(stmt, 2, &ret->outcome);
}

/* ---- errors ---- */

/* As much of @text as fits, without half a character at its end. */
static size_t cut(const char *text)
{
	size_t len = strnlen(text, MESSAGE_MAX_BYTES + 1);

	if (len <= MESSAGE_MAX_BYTES)
		return len;
	len = MESSAGE_MAX_BYTES;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void add_error(struct buf *b, const struct part *part)
{
	json_t *error = part->error ? json_loads(part->error, JSON_DECODE_ANY, NULL) : NULL;
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *word = job_outcome_name(part->outcome);

	/* It ended because of another part, or with the whole: no reason of its own. */
	if (json_object_get(error, "parent")) {
		json_decref(error);
		return;
	}
	if (!word)
		word = "unfinished"; /* composing comes after the parts' ends */
	if (!message)
		message = word;
	buf_adds(b, b->len == 0 ? "[{\"job\":" : ",{\"job\":");
	buf_addi(b, part->id);
	buf_adds(b, ",\"index\":");
	buf_addi(b, part->index);
	buf_adds(b, ",\"code\":");
	buf_add_json_string(b, code ? code : word);
	buf_adds(b, ",\"message\":");
	buf_add_json_stringn(b, message, cut(message));
	buf_addc(b, '}');
	json_decref(error);
}

/* The object @error with the gathered errors in it; gives it. */
static char *with_errors(const char *error, struct gathered *g)
{
	struct buf b = { 0 };
	size_t len = strlen(error);

	if (len < 2 || error[len - 1] != '}')
		return xstrdup(error); /* not an object: leave it */
	buf_add(&b, error, len - 1);
	buf_adds(&b, error[len - 2] == '{' ? "\"errors\":" : ",\"errors\":");
	if (g->errors.len == 0)
		buf_addc(&b, '[');
	buf_add(&b, g->errors.data, g->errors.len);
	buf_adds(&b, "]}");
	return buf_steal(&b, NULL);
}

/* ---- results ---- */

static void add_result(struct gathered *g, const struct part *part)
{
	const char *text = part->outcome == JOB_SUCCEEDED && part->result ? part->result : "null";
	size_t len = strlen(text);

	if (g->is_too_large || g->results.len + len + 2 > STORE_RESULT_MAX_BYTES) {
		g->is_too_large = true;
		buf_fini(&g->results);
		return;
	}
	buf_addc(&g->results, g->results.len == 0 ? '[' : ',');
	buf_add(&g->results, text, len);
}

static char *results_text(struct gathered *g)
{
	if (g->results.len == 0)
		buf_addc(&g->results, '[');
	buf_addc(&g->results, ']');
	return buf_steal(&g->results, NULL);
}

/* ---- walking the parts ---- */

static void add_part(struct gathered *g, const struct part *part)
{
	if (part->outcome != JOB_SUCCEEDED && g->failed_job == 0)
		g->failed_job = part->id;
	if (g->with_results)
		add_result(g, part);
	if (g->with_errors && part->outcome != JOB_SUCCEEDED)
		add_error(&g->errors, part);
}

static int walk(struct store *s, int64_t parent, int64_t run, struct gathered *g)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_PART_ENDS);
	bool is_sound = true;
	struct part part;
	int rc;

	sql_int(stmt, 1, parent);
	sql_int(stmt, 2, run);
	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW) {
		is_sound = read_part(stmt, &part);
		if (is_sound)
			add_part(g, &part);
	}
	rc = sql_end(stmt);
	return is_sound ? rc : SQLITE_CORRUPT;
}

static int last_part(struct store *s, int64_t parent, int64_t run, int64_t *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_PART_LAST);
	int rc;

	*ret = 0;
	sql_int(stmt, 1, parent);
	sql_int(stmt, 2, run);
	if (!sql_row(stmt, &rc))
		return rc;
	*ret = sqlite3_column_int64(stmt, 0);
	return sql_end(stmt);
}

static bool is_result_too_large(const char *result)
{
	return result && strlen(result) > STORE_RESULT_MAX_BYTES - 64;
}

/* The result that part @index alone decides; failed_job when it has not succeeded. */
static int take_one(struct store *s, const struct store_change *c, int64_t run, int64_t index,
		    struct gathered *g, struct ending *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_PART_END);
	struct part part = { 0 };
	struct buf b = { 0 };
	int rc;

	g->failed_job = c->id; /* when there is no such part */
	sql_int(stmt, 1, c->id);
	sql_int(stmt, 2, run);
	sql_int(stmt, 3, index);
	if (!sql_row(stmt, &rc))
		return rc;
	if (!read_part(stmt, &part)) {
		sql_end(stmt);
		return SQLITE_CORRUPT;
	}
	g->failed_job = part.outcome == JOB_SUCCEEDED ? 0 : part.id;
	g->is_too_large = is_result_too_large(part.result);
	if (g->failed_job == 0 && !g->is_too_large) {
		if (c->compose == STORE_COMPOSE_WINNER)
			buf_addf(&b, "{\"winner\":%u,\"result\":", c->winner);
		buf_adds(&b, part.result ? part.result : "null");
		if (c->compose == STORE_COMPOSE_WINNER)
			buf_addc(&b, '}');
		ret->own_result = buf_steal(&b, NULL);
	}
	return sql_end(stmt);
}

/* ---- what it comes to ---- */

static void fail_too_large(struct ending *ret)
{
	free(ret->own_result);
	ret->own_result = NULL;
	ret->outcome = JOB_FAILED;
	ret->own_error = xasprintf("{\"code\":\"too_large\",\"message\":\"the results of its parts "
				   "are longer than %d MiB together; let them write files and give "
				   "their names as results\"}",
				   STORE_RESULT_MAX_BYTES >> 20);
}

/* It was to succeed, and a part has not: say which. */
static int fail_part(struct store *s, const struct store_change *c, int64_t run, int64_t job,
		     struct ending *ret)
{
	cleanup_free char *error = xasprintf("{\"code\":\"part_failed\",\"message\":\"job %lld, "
					     "one of its parts, did not succeed\",\"job\":%lld}",
					     (long long)job, (long long)job);
	struct gathered g = { .with_errors = true };
	int rc = walk(s, c->id, run, &g);

	free(ret->own_result);
	ret->own_result = NULL;
	ret->outcome = JOB_FAILED;
	ret->own_error = with_errors(error, &g);
	buf_fini(&g.errors);
	return rc;
}

/* What is gathered, as texts. */
static void finish(const struct store_change *c, struct gathered *g, struct ending *ret)
{
	if (g->with_results && !g->is_too_large)
		ret->own_result = results_text(g);
	if (g->with_errors && c->error_json)
		ret->own_error = with_errors(c->error_json, g);
	buf_fini(&g->results);
	buf_fini(&g->errors);
}

static int gather(struct store *s, const struct store_change *c, int64_t run, struct gathered *g,
		  struct ending *ret)
{
	int64_t index = c->winner;
	int rc = SQLITE_OK;

	if (c->compose == STORE_COMPOSE_LAST)
		rc = last_part(s, c->id, run, &index);
	if (c->compose == STORE_COMPOSE_LAST || c->compose == STORE_COMPOSE_WINNER)
		return rc == SQLITE_OK ? take_one(s, c, run, index, g, ret) : rc;
	g->with_results = c->compose != STORE_COMPOSE_ERRORS;
	g->with_errors = compose_has_errors(c->compose);
	rc = walk(s, c->id, run, g);
	finish(c, g, ret);
	return rc;
}

int compose_run(struct store *s, const struct store_change *c, struct ending *ret)
{
	struct gathered g = { 0 };
	int64_t run;
	int rc;

	*ret = (struct ending){
		.outcome = c->outcome,
		.result_json = c->result_json,
		.error_json = c->error_json,
	};
	if (c->to != JOB_DONE || c->compose == STORE_COMPOSE_NONE)
		return SQLITE_OK;
	rc = record_last_run(s, c->id, &run);
	if (rc == SQLITE_OK)
		rc = gather(s, c, run, &g, ret);
	if (rc == SQLITE_OK && c->outcome == JOB_SUCCEEDED && g.failed_job != 0)
		rc = fail_part(s, c, run, g.failed_job, ret);
	else if (rc == SQLITE_OK && c->outcome == JOB_SUCCEEDED && g.is_too_large)
		fail_too_large(ret);
	if (c->compose != STORE_COMPOSE_ERRORS || ret->outcome != c->outcome)
		ret->result_json = ret->own_result;
	if (ret->own_error)
		ret->error_json = ret->own_error;
	return rc;
}
