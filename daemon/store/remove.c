/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/remove.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/* Removing a job that is done, and with a composition all of its parts. */

/* A tree of more jobs than this goes in steps. */
#define AT_ONCE_MAX 100

/* ---- what goes ---- */

/* From the current row of SQL_REMOVE_ONE or SQL_REMOVE_PARTS. */
static bool read_victim(sqlite3_stmt *row, struct victim *ret)
{
	*ret = (struct victim){
		.id = sqlite3_column_int64(row, 0),
		.parent = sqlite3_column_int64(row, 4),
		.last_seq = sqlite3_column_int64(row, 5),
		.attempt = sqlite3_column_int64(row, 6),
		.uid = (uid_t)sqlite3_column_int64(row, 7),
		.has_key = sqlite3_column_int(row, 8) != 0,
		.flags = sqlite3_column_int(row, 9),
	};
	return rows_kind(row, 1, &ret->kind) && rows_state(row, 2, &ret->state) &&
	       rows_outcome(row, 3, &ret->outcome);
}

static bool add_victim(struct victims *tree, sqlite3_stmt *row)
{
	if (tree->n == tree->size) {
		tree->size = tree->size ? tree->size * 2 : 4;
		tree->list = xreallocarray(tree->list, tree->size, sizeof(*tree->list));
	}
	return read_victim(row, &tree->list[tree->n++]);
}

/* The rows of @stmt, which asks by @id. */
static int add_victims(struct store *s, struct victims *tree, enum sql_id what, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, what);
	bool is_sound = true;
	int rc;

	sql_int(stmt, 1, id);
	while (is_sound && sqlite3_step(stmt) == SQLITE_ROW)
		is_sound = add_victim(tree, stmt);
	rc = sql_end(stmt);
	return is_sound ? rc : SQLITE_CORRUPT;
}

static int add_parts(struct store *s, struct victims *tree)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < tree->n && rc == SQLITE_OK; i++)
		if (rows_is_group(tree->list[i].kind))
			rc = add_victims(s, tree, SQL_REMOVE_PARTS, tree->list[i].id);
	return rc;
}

int victims_collect(struct store *s, int64_t id, struct victims *ret)
{
	int rc;

	*ret = (struct victims){ 0 };
	rc = add_victims(s, ret, SQL_REMOVE_ONE, id);
	return rc == SQLITE_OK ? add_parts(s, ret) : rc;
}

void victims_fini(struct victims *tree)
{
	free(tree->list);
	*tree = (struct victims){ 0 };
}

/* ---- may it go? ---- */

/*
 * Whether anything needs one of them, or one that was submitted meanwhile.
 * Asked for each of ten thousand parts it would hold up commits for 20 ms.
 */
static bool may_be_needed(struct store *s, const struct victims *tree, int *ret_rc)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_NEEDED_BETWEEN);
	int64_t first = tree->list[0].id, last = first;

	for (size_t i = 1; i < tree->n; i++) {
		if (tree->list[i].id < first)
			first = tree->list[i].id;
		if (tree->list[i].id > last)
			last = tree->list[i].id;
	}
	sql_int(stmt, 1, first);
	sql_int(stmt, 2, last);
	if (!sql_row(stmt, ret_rc))
		return false;
	*ret_rc = sql_end(stmt);
	return true;
}

/* An unfinished job that needs one of them, 0 = there is none. */
static int find_blocker(struct store *s, const struct victims *tree, int64_t *ret)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_NEEDED_BY);
	int rc = SQLITE_OK;

	*ret = 0;
	if (!may_be_needed(s, tree, &rc))
		return rc;
	for (size_t i = 0; i < tree->n && rc == SQLITE_OK && *ret == 0; i++) {
		sql_int(stmt, 1, tree->list[i].id);
		if (!sql_row(stmt, &rc))
			continue;
		*ret = sqlite3_column_int64(stmt, 0);
		rc = sql_end(stmt);
	}
	return rc;
}

/* What is wrong with the root, seen alone. */
static int judge_root(const struct store *s, const struct victims *tree)
{
	const struct victim *root = tree->list;

	if (tree->n == 0 || doom_hides(s, root->id, root->parent))
		return -ENOENT;
	if (root->parent != 0)
		return -EXDEV;
	return root->state != JOB_DONE ? -EBUSY : 0;
}

/* May it go?  ret->result says. */
static int judge(struct store *s, const struct victims *tree, struct removal *ret)
{
	int rc = SQLITE_OK;

	ret->result = judge_root(s, tree);
	if (ret->result != 0)
		return rc;
	/* A composition ends after its parts.  Where damage says otherwise, it stays. */
	for (size_t i = 0; i < tree->n; i++)
		if (tree->list[i].state != JOB_DONE)
			ret->result = -EBUSY;
	rc = find_blocker(s, tree, &ret->blocker);
	if (ret->blocker != 0)
		ret->result = -EDEADLK;
	return rc;
}

/* ---- rows ---- */

static int run_for(struct store *s, enum sql_id what, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, what);

	sql_int(stmt, 1, id);
	return sql_run(stmt);
}

/* One event; *seq becomes the one before it, 0 = it was the first. */
static int delete_event(struct store *s, int64_t *seq, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_EVENT_PREV);
	int64_t this = *seq, prev, job;
	int rc;

	sql_int(stmt, 1, this);
	*seq = 0;
	if (!sql_row(stmt, &rc))
		return rc;
	prev = sqlite3_column_int64(stmt, 0);
	job = sqlite3_column_int64(stmt, 1);
	rc = sql_end(stmt);
	if (rc == SQLITE_OK && (job != id || prev >= this))
		return SQLITE_CORRUPT; /* the list leads into another job's, or in a circle */
	*seq = prev;
	return rc != SQLITE_OK ? rc : run_for(s, SQL_EVENT_DELETE, this);
}

static int delete_events(struct store *s, const struct victim *v)
{
	int64_t seq = v->last_seq;
	int rc = SQLITE_OK;

	if (v->last_seq > s->tally.pruned_seq)
		s->tally.pruned_seq = v->last_seq;
	while (rc == SQLITE_OK && seq != 0)
		rc = delete_event(s, &seq, v->id);
	return rc;
}

static int delete_ending(struct store *s, const struct victim *v)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_ENDING_KEPT);
	int rc;

	sql_int(stmt, 1, v->id);
	if (!sql_row(stmt, &rc))
		return rc;
	s->tally.kept_bytes -= sqlite3_column_int64(stmt, 0);
	rc = sql_end(stmt);
	return rc == SQLITE_OK ? run_for(s, SQL_ENDING_DELETE, v->id) : rc;
}

/* Who sends the key again within a day is told the job's id, though it is gone (R2.6). */
static int orphan_key(struct store *s, const struct victim *v)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_KEY_ORPHAN);

	sql_int(stmt, 1, v->id);
	sql_int(stmt, 2, v->uid);
	return sql_run(stmt);
}

/*
 * Has it a directory, perhaps?  An attempt of a worker or a fetch makes one;
 * the row brings it back to mind until it is gone, whatever happens.
 */
static bool may_have_directory(const struct victim *v)
{
	return v->attempt > 0 && (v->kind == JOB_WORKER || v->kind == JOB_FETCH);
}

/* What few jobs have; each is found by the job's id alone. */
static int delete_rare(struct store *s, const struct victim *v)
{
	int rc = run_for(s, SQL_EXPIRY_DELETE, v->id);

	if (rc == SQLITE_OK && v->has_key)
		rc = orphan_key(s, v);
	if (rc == SQLITE_OK && (v->flags & ROWS_HAS_NEEDS))
		rc = run_for(s, SQL_NEED_DELETE, v->id);
	if (rc == SQLITE_OK && v->attempt > 0)
		rc = run_for(s, SQL_ATTEMPT_DELETE, v->id);
	if (rc == SQLITE_OK && may_have_directory(v))
		rc = run_for(s, SQL_GONE_INSERT, v->id);
	return rc;
}

int remove_victim(struct store *s, const struct victim *v)
{
	int rc = delete_events(s, v);

	if (rc == SQLITE_OK)
		rc = delete_ending(s, v);
	if (rc == SQLITE_OK)
		rc = delete_rare(s, v);
	if (rc == SQLITE_OK)
		rc = run_for(s, SQL_DOC_DELETE, v->id);
	if (rc == SQLITE_OK)
		rc = run_for(s, SQL_JOB_DELETE, v->id);
	s->tally.is_needed = true; /* what is gone cannot be added up any more */
	s->tally.by_state[JOB_DONE]--;
	s->tally.by_outcome[v->outcome]--;
	return rc;
}

static int remove_at_once(struct store *s, const struct victims *tree, struct removal *ret)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < tree->n && rc == SQLITE_OK; i++)
		rc = remove_victim(s, &tree->list[i]);
	ret->n_jobs = tree->n;
	return rc;
}

int remove_tree(struct store *s, int64_t id, struct removal *ret)
{
	struct victims tree;
	int rc = victims_collect(s, id, &tree);

	*ret = (struct removal){ 0 };
	if (rc == SQLITE_OK)
		rc = judge(s, &tree, ret);
	if (rc == SQLITE_OK && ret->result == 0)
		rc = tree.n <= AT_ONCE_MAX ? remove_at_once(s, &tree, ret) : doom_add(s, &tree);
	victims_fini(&tree);
	return rc;
}

int remove_run(struct store *s, struct store_remove *rm)
{
	struct removal removal = { 0 };
	int rc = remove_tree(s, rm->id, &removal);

	rm->op.result = removal.result;
	rm->blocker = removal.blocker;
	return rc;
}
