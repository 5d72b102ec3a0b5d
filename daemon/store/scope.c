/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/record.h"
#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* The results that a job may refer to. */

/* Compositions nest 16 deep: more than this is a circle, which only damage makes. */
#define MAX_DEPTH 64

/* Where a job stands. */
struct place {
	enum job_kind kind;
	int64_t parent, part, run_of; /* parent 0 = a part of nothing */
};

void store_scope_fini(struct store_scope *scope)
{
	for (size_t i = 0; i < scope->n; i++) {
		free(scope->entries[i].name);
		free(scope->entries[i].result_json);
	}
	free(scope->entries);
	free(scope->spec);
	scope->entries = NULL;
	scope->n = 0;
	scope->spec = NULL;
	scope->spec_len = 0;
}

/* What has been gathered. */
struct scope {
	struct store_scope *out;
	size_t size; /* room in out->entries */
	size_t text_bytes;
};

static bool is_too_large(const struct scope *sc)
{
	return sc->text_bytes > STORE_RESULT_MAX_BYTES;
}

/* From columns id, name, outcome, result. */
static int add_entry(struct scope *sc, sqlite3_stmt *row, bool is_need)
{
	struct store_scope *out = sc->out;
	struct store_scope_entry *e;
	size_t len = 0;

	if (out->n == sc->size) {
		sc->size = sc->size ? sc->size * 2 : 8;
		out->entries = xreallocarray(out->entries, sc->size, sizeof(*out->entries));
	}
	e = &out->entries[out->n++];
	*e = (struct store_scope_entry){
		.id = sqlite3_column_int64(row, 0),
		.name = sql_col_text(row, 1, NULL),
		.is_need = is_need,
		.result_json = sql_col_text(row, 3, &len),
	};
	sc->text_bytes += len;
	return rows_outcome(row, 2, &e->outcome) ? SQLITE_OK : SQLITE_CORRUPT;
}

static int add_all(struct scope *sc, sqlite3_stmt *stmt, bool is_need, int *budget)
{
	int rc = SQLITE_OK, r;

	while (rc == SQLITE_OK && !is_too_large(sc) && sqlite3_step(stmt) == SQLITE_ROW) {
		rc = add_entry(sc, stmt, is_need);
		*budget -= 1;
	}
	r = sql_end(stmt);
	return rc != SQLITE_OK ? rc : r;
}

static int add_needs(struct store *s, struct scope *sc, int64_t id, int *budget)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_SCOPE_NEEDS);

	sql_int(stmt, 1, id);
	return add_all(sc, stmt, true, budget);
}

static int add_earlier_parts(struct store *s, struct scope *sc, const struct place *place,
			     int *budget)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_SCOPE_PARTS);

	sql_int(stmt, 1, place->parent);
	sql_int(stmt, 2, place->run_of);
	sql_int(stmt, 3, place->part);
	return add_all(sc, stmt, false, budget);
}

/* false: it is not there, or *ret_rc.  The row is current otherwise: sql_end(). */
static bool find(struct store *s, int64_t id, struct place *ret, sqlite3_stmt **ret_row,
		 int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_SCOPE_PLACE);

	sql_int(stmt, 1, id);
	if (!sql_row(stmt, ret_rc))
		return false;
	*ret = (struct place){
		.parent = sqlite3_column_int64(stmt, 5),
		.part = sqlite3_column_int64(stmt, 6),
		.run_of = sqlite3_column_int64(stmt, 7),
	};
	if (!rows_kind(stmt, 0, &ret->kind)) {
		sql_end(stmt);
		*ret_rc = SQLITE_CORRUPT;
		return false;
	}
	*ret_row = stmt;
	return true;
}

/* The job itself: its document, and where it stands. */
static int start(struct store *s, struct store_scope *out, struct place *ret)
{
	sqlite3_stmt *row;
	int rc, r;

	if (!find(s, out->id, ret, &row, &rc)) {
		out->op.result = -ENOENT;
		return rc;
	}
	r = record_spec(s, out->id, &out->spec, &out->spec_len);
	out->gid = (gid_t)sqlite3_column_int64(row, 2);
	out->damaged = rows_is_damaged(row, 0, out->spec, out->spec_len);
	if (!out->spec)
		out->spec = xstrdup("");
	rc = sql_end(row);
	return r != SQLITE_OK ? r : rc;
}

/* One level up: what stands around *place, which becomes its composition's. */
static int climb(struct store *s, struct scope *sc, struct place *place, int *budget)
{
	const struct place inner = *place;
	sqlite3_stmt *row;
	int rc;

	if (!find(s, inner.parent, place, &row, &rc))
		return rc == SQLITE_OK ? SQLITE_CORRUPT : rc;
	rc = sql_end(row);
	if (rc == SQLITE_OK && place->kind == JOB_SEQUENCE)
		rc = add_earlier_parts(s, sc, &inner, budget);
	return rc == SQLITE_OK ? add_needs(s, sc, inner.parent, budget) : rc;
}

int scope_run(struct store *s, struct store_scope *out, int *budget)
{
	struct scope sc = { .out = out };
	struct place place;
	int rc, depth = 0;

	out->op.result = 0;
	out->entries = NULL;
	out->n = 0;
	out->spec = NULL;
	out->spec_len = 0;
	rc = start(s, out, &place);
	if (rc != SQLITE_OK || out->op.result != 0)
		return rc;
	rc = add_needs(s, &sc, out->id, budget);
	while (rc == SQLITE_OK && place.parent != 0 && !is_too_large(&sc))
		rc = ++depth > MAX_DEPTH ? SQLITE_CORRUPT : climb(s, &sc, &place, budget);
	if (rc == SQLITE_OK && is_too_large(&sc)) {
		store_scope_fini(out);
		out->op.result = -EFBIG;
	}
	return rc;
}
