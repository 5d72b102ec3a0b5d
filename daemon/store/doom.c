/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/remove.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/rows.h"
#include "proto/xalloc.h"

/*
 * Trees on their way out.  What is in memory follows the open transaction;
 * when that is rolled back, it is read again from the file.
 */

struct doomed {
	struct doomed *next;
	int64_t root;
	int64_t *groups; /* owns; the compositions in it, sorted */
	size_t n_groups;
	struct victims left; /* to be taken away still */
};

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

bool doom_hides(const struct store *s, int64_t id, int64_t parent)
{
	for (const struct doomed *d = s->doomed; d; d = d->next)
		if (parent != 0 ? bsearch(&parent, d->groups, d->n_groups, sizeof(parent),
					  by_value) != NULL
				: id == d->root)
			return true;
	return false;
}

/* ---- the list ---- */

static void free_first(struct store *s)
{
	struct doomed *d = s->doomed;

	s->doomed = d->next;
	victims_fini(&d->left);
	free(d->groups);
	free(d);
}

void doom_fini(struct store *s)
{
	while (s->doomed)
		free_first(s);
}

/* Takes what is in @tree: to find all parts once more would hold up commits once more. */
static void add_to_list(struct store *s, struct victims *tree)
{
	struct doomed *d = xcalloc(1, sizeof(*d)), **end = &s->doomed;

	d->root = tree->list[0].id;
	for (size_t i = 0; i < tree->n; i++)
		d->n_groups += rows_is_group(tree->list[i].kind);
	d->groups = xcalloc(d->n_groups, sizeof(*d->groups));
	d->n_groups = 0;
	for (size_t i = 0; i < tree->n; i++)
		if (rows_is_group(tree->list[i].kind))
			d->groups[d->n_groups++] = tree->list[i].id;
	qsort(d->groups, d->n_groups, sizeof(*d->groups), by_value);
	d->left = *tree;
	*tree = (struct victims){ 0 };
	while (*end)
		end = &(*end)->next;
	*end = d;
}

static int run_for(struct store *s, enum sql_id what, int64_t id)
{
	sqlite3_stmt *stmt = store_sql(s, what);

	sql_int(stmt, 1, id);
	return sql_run(stmt);
}

int doom_add(struct store *s, struct victims *tree)
{
	int64_t root = tree->list[0].id;
	int rc = run_for(s, SQL_DOOMED_INSERT, root);

	/* Its time has come: nobody needs to look for it again. */
	if (rc == SQLITE_OK)
		rc = run_for(s, SQL_EXPIRY_DELETE, root);
	if (rc == SQLITE_OK)
		add_to_list(s, tree);
	return rc;
}

/* ---- from the file ---- */

static int load_one(struct store *s, int64_t root)
{
	struct victims tree;
	int rc = victims_collect(s, root, &tree);

	if (rc == SQLITE_OK && tree.n > 0)
		add_to_list(s, &tree);
	victims_fini(&tree);
	return rc;
}

int doom_load(struct store *s)
{
	sqlite3_stmt *stmt = store_sql(s, SQL_DOOMED_LIST);
	int rc = SQLITE_OK, r;

	doom_fini(s);
	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		rc = load_one(s, sqlite3_column_int64(stmt, 0));
	r = sql_end(stmt);
	return rc != SQLITE_OK ? rc : r;
}

/* ---- taking away ---- */

static int step_first(struct store *s, size_t max, size_t *n)
{
	struct victims *left = &s->doomed->left;
	int rc = SQLITE_OK;

	while (left->n > 0 && *n < max && rc == SQLITE_OK) {
		rc = remove_victim(s, &left->list[--left->n]);
		++*n;
	}
	if (rc != SQLITE_OK || left->n > 0)
		return rc;
	rc = run_for(s, SQL_DOOMED_DELETE, s->doomed->root);
	free_first(s);
	return rc;
}

int doom_step(struct store *s, size_t max, size_t *ret_n)
{
	int rc = SQLITE_OK;

	*ret_n = 0;
	while (s->doomed && *ret_n < max && rc == SQLITE_OK)
		rc = step_first(s, max, ret_n);
	return rc;
}
