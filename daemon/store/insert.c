/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* ---- keys ---- */

/* What the checks of a request found out, by job. */
struct plan {
	uint64_t spec_hash, asked_hash;
	size_t first; /* the job of the request that has this key first; itself when it has none */
};

/*
 * Earlier versions kept the hash of the document as it was given.  It is the hash of
 * what is asked for, too, where nothing in the document holds anyway.
 */
static bool is_same_document(const struct plan *plan, uint64_t kept_hash)
{
	return kept_hash == plan->asked_hash || kept_hash == plan->spec_hash;
}

static int find_key(struct store *s, const struct store_insert *in, struct store_new_job *job,
		    const struct plan *plan, bool *ret_conflict)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_KEY_FIND);
	int rc;

	sql_int(stmt, 1, job->uid);
	sql_text(stmt, 2, job->key);
	sql_int(stmt, 3, in->at.wall.ms);
	if (!sql_row(stmt, &rc))
		return rc;
	job->existing = true;
	job->id = sqlite3_column_int64(stmt, 0);
	*ret_conflict = !is_same_document(plan, (uint64_t)sqlite3_column_int64(stmt, 1));
	return sql_end(stmt);
}

/* Keys of one request, to find those that come twice: an open hash table of indexes + 1. */
struct key_set {
	size_t *slots; /* owns */
	size_t mask;
};

static void key_set_init(struct key_set *set, size_t n)
{
	size_t size = 8;

	while (size < 2 * n)
		size *= 2;
	set->slots = xcalloc(size, sizeof(*set->slots));
	set->mask = size - 1;
}

static bool is_same_key(const struct store_new_job *a, const struct store_new_job *b)
{
	return a->uid == b->uid && strcmp(a->key, b->key) == 0;
}

/* The first job of the request with the key of job @i: itself if it is the first. */
static size_t key_set_add(struct key_set *set, const struct store_new_job *jobs, size_t i)
{
	size_t at = (size_t)rows_spec_hash(jobs[i].key, strlen(jobs[i].key)) & set->mask;

	while (set->slots[at] != 0) {
		if (is_same_key(&jobs[set->slots[at] - 1], &jobs[i]))
			return set->slots[at] - 1;
		at = (at + 1) & set->mask;
	}
	set->slots[at] = i + 1;
	return i;
}

static int check_key(struct store *s, struct store_insert *in, struct plan *plan, size_t i,
		     struct key_set *seen)
{
	struct store_new_job *job = &in->jobs[i];
	bool is_conflict = false;
	int rc = SQLITE_OK;

	plan[i].first = key_set_add(seen, in->jobs, i);
	if (plan[i].first == i) {
		rc = find_key(s, in, job, &plan[i], &is_conflict);
	} else {
		job->existing = true;
		is_conflict = plan[i].asked_hash != plan[plan[i].first].asked_hash;
	}
	if (is_conflict) {
		in->op.result = -EEXIST;
		in->conflict = i;
	}
	return rc;
}

/* ---- needs ---- */

static bool is_there(struct store *s, int64_t id, int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_EXISTS);
	bool is_going;

	sql_int(stmt, 1, id);
	if (!sql_row(stmt, ret_rc))
		return false;
	is_going = doom_hides(s, id, sqlite3_column_int64(stmt, 0));
	*ret_rc = sql_end(stmt);
	return *ret_rc == SQLITE_OK && !is_going;
}

/*
 * The stored job that need @k is on, which has to be there; 0 = one that is
 * inserted here.  A key may be known of a job that was removed.
 */
static int64_t needed_id(const struct store_insert *in, const struct plan *plan,
			 const struct store_need *need)
{
	size_t place = need->place;

	if (place == STORE_NO_PLACE)
		return need->job;
	if (!in->jobs[place].existing)
		return 0;
	return in->jobs[plan[place].first].existing ? in->jobs[plan[place].first].id : 0;
}

static int check_needs(struct store *s, struct store_insert *in, const struct plan *plan, size_t i)
{
	const struct store_new_job *job = &in->jobs[i];
	int rc = SQLITE_OK;

	for (size_t k = 0; k < job->n_needs && rc == SQLITE_OK && in->op.result == 0; k++) {
		int64_t id = needed_id(in, plan, &job->needs[k]);

		assert(job->needs[k].place == STORE_NO_PLACE || job->needs[k].place < i);
		if (id && !is_there(s, id, &rc) && rc == SQLITE_OK) {
			in->op.result = -ENOENT;
			in->conflict = i;
		}
	}
	return rc;
}

/* ---- checks ---- */

/* The job of the request that it is a part of, NULL = of none. */
static const struct store_new_job *parent_of(const struct store_insert *in, size_t i)
{
	size_t place = in->jobs[i].parent_place_plus_1;

	assert(place <= i);
	return place > 0 ? &in->jobs[place - 1] : NULL;
}

static int check_one(struct store *s, struct store_insert *in, struct plan *plan, size_t i,
		     struct key_set *seen)
{
	struct store_new_job *job = &in->jobs[i];
	const struct store_new_job *parent = parent_of(in, i);
	int rc = SQLITE_OK;

	job->id = 0;
	job->existing = parent && parent->existing;
	plan[i].spec_hash = rows_spec_hash(job->spec, job->spec_len);
	plan[i].asked_hash =
		job->asked ? rows_spec_hash(job->asked, strlen(job->asked)) : plan[i].spec_hash;
	plan[i].first = i;
	if (job->key && !job->existing) {
		if (!seen->slots)
			key_set_init(seen, in->n);
		rc = check_key(s, in, plan, i, seen);
	}
	return rc == SQLITE_OK && !job->existing ? check_needs(s, in, plan, i) : rc;
}

/* All of it before the first row, so that a refusal leaves nothing behind. */
static int check_all(struct store *s, struct store_insert *in, struct plan *plan)
{
	struct key_set seen = { 0 };
	int rc = SQLITE_OK;

	for (size_t i = 0; i < in->n && rc == SQLITE_OK && in->op.result == 0; i++)
		rc = check_one(s, in, plan, i, &seen);
	free(seen.slots);
	return rc;
}

/* ---- rows ---- */

static int flags_of(const struct store_new_job *job)
{
	return (job->has_refs ? ROWS_HAS_REFS : 0) | (job->n_needs > 0 ? ROWS_HAS_NEEDS : 0) |
	       (job->deadline.wall.ms != 0 ? ROWS_HAS_DEADLINE : 0);
}

/* NULL stands for what was not asked for: a byte in the row. */
static void bind_rare(sqlite3_stmt *stmt, const struct store_new_job *job)
{
	sql_int_or_null(stmt, 16, job->parent);
	if (job->parent != 0) {
		sql_int(stmt, 17, job->part);
		sql_int(stmt, 18, job->run_of);
	} else {
		sqlite3_bind_null(stmt, 17);
		sqlite3_bind_null(stmt, 18);
	}
	sql_int_or_null(stmt, 19, job->retry_of);
	sql_int_or_null(stmt, 20, flags_of(job));
	if (job->keep_s >= 0)
		sql_int(stmt, 21, job->keep_s);
	else
		sqlite3_bind_null(stmt, 21);
}

static int insert_job(struct store *s, const struct store_new_job *job, struct wall submitted,
		      uint64_t spec_hash)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_JOB_INSERT);
	struct rows_immutable immutable = {
		.kind = job->kind,
		.uid = job->uid,
		.gid = job->gid,
		.submitted = submitted,
		.spec_hash = spec_hash,
	};

	sql_int(stmt, 1, job->id);
	sql_text(stmt, 2, job_kind_name(job->kind));
	sql_text(stmt, 3, job->queue);
	sql_text(stmt, 4, job->name);
	sql_text(stmt, 5, job->tags);
	sql_int(stmt, 6, job->priority);
	sql_int(stmt, 7, job->uid);
	sql_int(stmt, 8, job->gid);
	sql_int(stmt, 9, submitted.ms);
	sql_int(stmt, 10, s->tally.next_seq++);
	sql_instant(stmt, 11, job->due, s->boot_n);
	sql_int(stmt, 14, job->key != NULL);
	sql_int(stmt, 15, rows_hash(&immutable));
	bind_rare(stmt, job);
	return sql_run(stmt);
}

static int insert_doc(struct store *s, const struct store_new_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_DOC_INSERT);

	sql_int(stmt, 1, job->id);
	sqlite3_bind_text64(stmt, 2, job->spec, job->spec_len, SQLITE_STATIC, SQLITE_UTF8);
	sql_text(stmt, 3, job->key);
	return sql_run(stmt);
}

static int insert_key(struct store *s, const struct store_new_job *job, uint64_t asked_hash)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_KEY_INSERT);

	sql_int(stmt, 1, job->uid);
	sql_text(stmt, 2, job->key);
	sql_int(stmt, 3, job->id);
	sql_int(stmt, 4, (int64_t)asked_hash);
	return sql_run(stmt);
}

static int insert_needs(struct store *s, const struct store_insert *in, struct store_new_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_NEED_INSERT);
	int rc = SQLITE_OK;

	for (size_t k = 0; k < job->n_needs && rc == SQLITE_OK; k++) {
		struct store_need *need = &job->needs[k];

		if (need->place != STORE_NO_PLACE)
			need->job = in->jobs[need->place].id;
		sql_int(stmt, 1, job->id);
		sql_int(stmt, 2, (int64_t)k);
		sql_int(stmt, 3, need->job);
		sql_text(stmt, 4, need_on_name(need->on));
		rc = sql_run(stmt);
	}
	return rc;
}

static int insert_deadline(struct store *s, const struct store_new_job *job)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_DEADLINE_INSERT);

	sql_int(stmt, 1, job->id);
	sql_instant(stmt, 2, job->deadline, s->boot_n);
	return sql_run(stmt);
}

/* What few jobs have. */
static int insert_rare(struct store *s, const struct store_insert *in, struct store_new_job *job,
		       uint64_t asked_hash)
{
	int rc = SQLITE_OK;

	if (job->key)
		rc = insert_key(s, job, asked_hash);
	if (rc == SQLITE_OK && job->n_needs > 0)
		rc = insert_needs(s, in, job);
	if (rc == SQLITE_OK && job->deadline.wall.ms != 0)
		rc = insert_deadline(s, job);
	return rc;
}

static int insert_one(struct store *s, struct store_insert *in, const struct plan *plan, size_t i)
{
	struct store_new_job *job = &in->jobs[i];
	const struct store_new_job *parent = parent_of(in, i);
	int rc;

	if (job->existing) {
		if (plan[i].first != i)
			job->id = in->jobs[plan[i].first].id;
		return SQLITE_OK;
	}
	job->id = s->tally.next_id++;
	if (parent)
		job->parent = parent->id;
	in->last_seq = s->tally.next_seq;
	s->tally.by_state[JOB_WAITING]++;
	rc = insert_job(s, job, in->at.wall, plan[i].spec_hash);
	if (rc == SQLITE_OK)
		rc = insert_doc(s, job);
	return rc == SQLITE_OK ? insert_rare(s, in, job, plan[i].asked_hash) : rc;
}

int insert_run(struct store *s, struct store_insert *in)
{
	struct plan one, *plan = in->n > 1 ? xcalloc(in->n, sizeof(*plan)) : &one;
	int rc;

	in->op.result = 0;
	in->last_seq = 0;
	rc = check_all(s, in, plan);
	for (size_t i = 0; i < in->n && rc == SQLITE_OK && in->op.result == 0; i++)
		rc = insert_one(s, in, plan, i);
	if (plan != &one)
		free(plan);
	return rc;
}
