/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/co/loop.h"
#include "daemon/job/engine.h"
#include "daemon/job/users.h"
#include "daemon/job/viewer.h"
#include "daemon/store/sql.h"
#include "proto/jobdoc.h"
#include "proto/xalloc.h"
#include "tests/fuzz/fuzz.h"

/*
 * Rows of a damaged database: columns may hold values of any type and text that is
 * no UTF-8.  Loading them must find that out or give records that can be shown
 * and whose document can be read.
 *
 * The input is the columns, one after the other: a byte for the type, then what
 * it takes.
 */

struct input {
	const uint8_t *at;
	size_t left;
};

static const char *const words[] = {
	"timer",
	"worker",
	"gather",
	"waiting",
	"running",
	"done",
	"succeeded",
	"lost",
	"success",
	"{\"kind\":\"timer\",\"sleep\":1}",
	"[\"tag\"]",
	/* in parentheses: clang takes two literals side by side for a forgotten comma */
	("{\"kind\":\"race\",\"jobs\":[{\"kind\":\"worker\",\"argv\":[\"x\"],"
	 "\"env\":{\"A\":\"b\"}}]}"),
};

static sqlite3 *db;

static uint8_t take_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static int64_t take_number(struct input *in)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n |= (uint64_t)take_byte(in) << 8 * i;
	return (int64_t)n;
}

static void bind_bytes(sqlite3_stmt *stmt, int col, struct input *in, bool is_text)
{
	size_t len = take_byte(in) * 4u;

	if (len > in->left)
		len = in->left;
	if (is_text)
		sqlite3_bind_text(stmt, col, (const char *)in->at, (int)len, SQLITE_TRANSIENT);
	else
		sqlite3_bind_blob(stmt, col, in->at, (int)len, SQLITE_TRANSIENT);
	in->at += len;
	in->left -= len;
}

static void bind_column(sqlite3_stmt *stmt, int col, struct input *in)
{
	const char *word;
	double number;
	int64_t n;

	switch (take_byte(in) % 7) {
	case 0:
		sqlite3_bind_null(stmt, col);
		break;
	case 1:
		sqlite3_bind_int64(stmt, col, take_byte(in));
		break;
	case 2:
		sqlite3_bind_int64(stmt, col, take_number(in));
		break;
	case 3:
		n = take_number(in);
		memcpy(&number, &n, sizeof(number));
		sqlite3_bind_double(stmt, col, number);
		break;
	case 4:
		bind_bytes(stmt, col, in, true);
		break;
	case 5:
		bind_bytes(stmt, col, in, false);
		break;
	default:
		word = words[take_byte(in) % (sizeof(words) / sizeof(*words))];
		sqlite3_bind_text(stmt, col, word, -1, SQLITE_STATIC);
	}
}

/* A row of @n columns out of the input. */
static sqlite3_stmt *row(struct input *in, int n)
{
	struct buf sql = { 0 };
	sqlite3_stmt *stmt;

	buf_adds(&sql, "SELECT ?");
	for (int i = 1; i < n; i++)
		buf_adds(&sql, ",?");
	assert(sqlite3_prepare_v2(db, sql.data, (int)sql.len, &stmt, NULL) == SQLITE_OK);
	buf_fini(&sql);
	for (int i = 1; i <= n; i++)
		bind_column(stmt, i, in);
	assert(sqlite3_step(stmt) == SQLITE_ROW);
	return stmt;
}

static void check_shown(const struct store_job *job, struct viewer viewer, bool is_whole)
{
	struct buf b = { 0 };
	json_t *value;

	engine_print_job(&b, job, viewer, is_whole);
	assert(!memchr(b.data, '\n', b.len));
	value = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
	assert(value);
	json_decref(value);
	buf_fini(&b);
}

/* A job, its bulk from three more columns. */
static void check_job(struct input *in)
{
	sqlite3_stmt *stmt = row(in, ROWS_TRIES + 1), *bulk = row(in, 3);
	struct store_job job;
	bool is_good = rows_job(stmt, &job);

	job.spec = sql_col_text(bulk, 0, &job.spec_len);
	job.result_json = sql_col_text(bulk, 1, NULL);
	job.error_json = sql_col_text(bulk, 2, NULL);
	/* Names of users are looked up by threads. */
	job.uid = 0;
	if (is_good) {
		struct jobdoc d = { 0 };
		struct aw_err err = { 0 };

		check_shown(&job, (struct viewer){ .uid = 0 }, true);
		check_shown(&job, (struct viewer){ .uid = 1, .is_admin = true }, false);
		if (job.spec && jobdoc_load(job.spec, job.spec_len, &d, &err) == 0)
			jobdoc_fini(&d);
		aw_err_fini(&err);
	}
	rows_job_fini(&job);
	sqlite3_finalize(stmt);
	sqlite3_finalize(bulk);
}

static void check_live(struct input *in)
{
	sqlite3_stmt *stmt = row(in, 14);
	struct store_live live = { 0 };

	if (rows_live(stmt, 1, &live)) {
		assert((unsigned)live.kind < N_JOB_KINDS && (unsigned)live.state < N_JOB_STATES);
		assert(!live.queue || strlen(live.queue) < SIZE_MAX);
	}
	sqlite3_finalize(stmt);
}

static void check_checksum(struct input *in)
{
	sqlite3_stmt *stmt = row(in, 6);
	size_t len;
	char *spec = sql_col_text(stmt, 5, &len);
	enum need_on on;

	(void)rows_is_damaged(stmt, 0, spec, len);
	(void)rows_stop_parse(sql_col_word(stmt, 5));
	(void)rows_need_on(stmt, 5, &on);
	free(spec);
	sqlite3_finalize(stmt);
}

static void on_known(void *arg)
{
	(void)arg;
	loop_stop();
}

static void init(void)
{
	assert(sqlite3_open(":memory:", &db) == SQLITE_OK);
	assert(loop_init() == 0);
	users_look_up(0, on_known, NULL);
	if (!users_name(0))
		loop_run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!db)
		init();
	switch (take_byte(&in) % 4) {
	case 0:
		check_live(&in);
		break;
	case 1:
		check_checksum(&in);
		break;
	default:
		check_job(&in);
	}
	return 0;
}
