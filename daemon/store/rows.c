/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/rows.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/utf8.h"
#include "daemon/store/sql.h"

static const char *const stop_words[N_STOP_WHY] = {
	[STOP_CANCEL] = "cancel",
	[STOP_TIMEOUT] = "timeout",
	[STOP_DEADLINE] = "deadline",
	[STOP_PARENT] = "parent",
};

const char *rows_stop_word(enum stop_why why)
{
	return stop_words[why];
}

enum stop_why rows_stop_parse(const char *word)
{
	for (int i = 0; word && i < N_STOP_WHY; i++)
		if (stop_words[i] && strcmp(stop_words[i], word) == 0)
			return (enum stop_why)i;
	return STOP_NONE;
}

/* ---- checksum ---- */

uint64_t rows_spec_hash(const char *spec, size_t len)
{
	return XXH3_64bits(spec, len);
}

static unsigned char *put_le64(unsigned char *p, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*p++ = (unsigned char)(value >> 8 * i);
	return p;
}

int64_t rows_hash(const struct rows_immutable *job)
{
	unsigned char bytes[4 * 8 + 16] = { 0 }, *p = bytes;
	const char *kind = job_kind_name(job->kind); /* the word: numbers may be dealt anew */

	p = put_le64(p, job->spec_hash);
	p = put_le64(p, job->uid);
	p = put_le64(p, job->gid);
	p = put_le64(p, (uint64_t)job->submitted.ms);
	memcpy(p, kind, strlen(kind)); /* at most "sequence" */
	return (int64_t)XXH3_64bits(bytes, sizeof(bytes));
}

bool rows_is_damaged(sqlite3_stmt *stmt, int col, const char *spec, size_t len)
{
	struct rows_immutable job = {
		.uid = (uid_t)sqlite3_column_int64(stmt, col + 1),
		.gid = (gid_t)sqlite3_column_int64(stmt, col + 2),
		.submitted.ms = sqlite3_column_int64(stmt, col + 3),
	};

	if (!spec || !rows_kind(stmt, col, &job.kind))
		return true;
	job.spec_hash = rows_spec_hash(spec, len);
	return rows_hash(&job) != sqlite3_column_int64(stmt, col + 4);
}

/* ---- words ---- */

bool rows_kind(sqlite3_stmt *stmt, int col, enum job_kind *ret)
{
	int kind = job_kind_parse(sql_col_word(stmt, col));

	if (kind < 0)
		return false;
	*ret = (enum job_kind)kind;
	return true;
}

bool rows_state(sqlite3_stmt *stmt, int col, enum job_state *ret)
{
	int state = job_state_parse(sql_col_word(stmt, col));

	if (state < 0)
		return false;
	*ret = (enum job_state)state;
	return true;
}

bool rows_outcome(sqlite3_stmt *stmt, int col, enum job_outcome *ret)
{
	const char *word = sql_col_word(stmt, col);
	int outcome = word ? job_outcome_parse(word) : JOB_UNENDED;

	if (outcome < 0)
		return false;
	*ret = (enum job_outcome)outcome;
	return true;
}

bool rows_need_on(sqlite3_stmt *stmt, int col, enum need_on *ret)
{
	int on = need_on_parse(sql_col_word(stmt, col));

	if (on < 0)
		return false;
	*ret = (enum need_on)on;
	return true;
}

/* ---- records ---- */

/*
 * Text that is printed into answers as it is.  The checksum does not cover it,
 * and damage to a label is no reason to refuse its job: what is no UTF-8 becomes "?".
 */
static char *label(sqlite3_stmt *stmt, int col)
{
	char *text = sql_col_text(stmt, col, NULL), *end = text ? strchr(text, '\0') : NULL;

	for (char *s = text; s < end;) {
		int len = utf8_char(s, (size_t)(end - s));

		if (len <= 0)
			*s = '?';
		s += len > 0 ? len : 1;
	}
	return text;
}

bool rows_job(sqlite3_stmt *stmt, struct store_job *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = sqlite3_column_int64(stmt, ROWS_ID);
	ret->uid = (uid_t)sqlite3_column_int64(stmt, ROWS_UID);
	ret->gid = (gid_t)sqlite3_column_int64(stmt, ROWS_GID);
	ret->queue = label(stmt, ROWS_QUEUE);
	ret->name = label(stmt, ROWS_NAME);
	ret->tags = sql_col_text(stmt, ROWS_TAGS, NULL);
	ret->priority = sqlite3_column_int(stmt, ROWS_PRIORITY);
	ret->attempt = (uint32_t)sqlite3_column_int64(stmt, ROWS_ATTEMPT);
	ret->submitted.ms = sqlite3_column_int64(stmt, ROWS_SUBMITTED);
	ret->due.ms = sqlite3_column_int64(stmt, ROWS_DUE);
	ret->started.ms = sqlite3_column_int64(stmt, ROWS_STARTED);
	ret->ended.ms = sqlite3_column_int64(stmt, ROWS_ENDED);
	ret->parent = sqlite3_column_int64(stmt, ROWS_PARENT);
	ret->part = (unsigned)sqlite3_column_int64(stmt, ROWS_PART);
	ret->retry_of = sqlite3_column_int64(stmt, ROWS_RETRY_OF);
	ret->tries = (uint32_t)sqlite3_column_int64(stmt, ROWS_TRIES);
	ret->is_held = sqlite3_column_int(stmt, ROWS_FLAGS) & ROWS_HELD;
	ret->has_refs = sqlite3_column_int(stmt, ROWS_FLAGS) & ROWS_HAS_REFS;
	return rows_kind(stmt, ROWS_KIND, &ret->kind) &&
	       rows_state(stmt, ROWS_STATE, &ret->state) &&
	       rows_outcome(stmt, ROWS_OUTCOME, &ret->outcome);
}

void rows_job_fini(struct store_job *job)
{
	free(job->name);
	free(job->tags);
	free(job->queue);
	free(job->result_json);
	free(job->error_json);
	free(job->spec);
	free(job->children);
	free(job->needs);
	for (size_t i = 0; i < job->n_attempts; i++) {
		free(job->attempts[i].error_json);
		free(job->attempts[i].result_json);
	}
	free(job->attempts);
	memset(job, 0, sizeof(*job));
}

bool rows_live(sqlite3_stmt *stmt, int64_t boot_n, struct store_live *ret)
{
	ret->id = sqlite3_column_int64(stmt, 0);
	ret->queue = sql_col_word(stmt, 3);
	ret->priority = sqlite3_column_int(stmt, 4);
	ret->uid = (uid_t)sqlite3_column_int64(stmt, 5);
	ret->attempt = (uint32_t)sqlite3_column_int64(stmt, 6);
	ret->due = sql_col_instant(stmt, 7, boot_n);
	ret->parent = sqlite3_column_int64(stmt, 10);
	ret->part = (unsigned)sqlite3_column_int64(stmt, 11);
	ret->is_held = sqlite3_column_int(stmt, 12) & ROWS_HELD;
	ret->has_refs = sqlite3_column_int(stmt, 12) & ROWS_HAS_REFS;
	ret->tries = (uint32_t)sqlite3_column_int64(stmt, 13);
	return rows_kind(stmt, 1, &ret->kind) && rows_state(stmt, 2, &ret->state);
}
