/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/tree.h"

#include <stdlib.h>
#include <string.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "proto/xalloc.h"

/* Deeper than the daemon nests them. */
enum { DEPTH_MAX = 64 };

struct node {
	int64_t id, parent; /* id 0: a remark */
	int64_t index;	    /* among its parent's parts */
	const json_t *job;
	struct node *first, *next; /* its parts */
};

struct builder {
	struct tree *t;
	struct node *nodes; /* by id; remarks first */
	size_t n;
	bool is_utf8;
};

static int64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static int by_id(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static struct node *find(const struct builder *b, int64_t id)
{
	const struct node key = { .id = id };

	return id == 0 ? NULL : bsearch(&key, b->nodes, b->n, sizeof(key), by_id);
}

/* Behind all that come before it: mostly the last one's place, so the search is from there. */
static void add_part(struct node *parent, struct node **lasts, const struct builder *b,
		     struct node *part)
{
	struct node **last = &lasts[parent - b->nodes];
	struct node **at = &parent->first;

	if (*last != NULL && (*last)->index <= part->index) {
		at = &(*last)->next;
	} else {
		while (*at != NULL && (*at)->index <= part->index)
			at = &(*at)->next;
	}
	part->next = *at;
	*at = part;
	if (part->next == NULL)
		*last = part;
}

static void fill(struct builder *b, const json_t *jobs)
{
	json_t *job;
	size_t i;

	b->n = json_array_size(jobs);
	b->nodes = xcalloc(b->n + 1, sizeof(*b->nodes));
	json_array_foreach(jobs, i, job) {
		struct node *node = &b->nodes[i];

		node->job = job;
		node->id = number(job, "id");
		node->parent = number(job, "parent");
		/* Parts of later attempts have higher ids; a remark comes last. */
		node->index = node->id != 0 ? node->id : INT64_MAX;
	}
	qsort(b->nodes, b->n, sizeof(*b->nodes), by_id);
}

static void link_parts(struct builder *b)
{
	struct node **lasts = xcalloc(b->n + 1, sizeof(struct node *));

	for (size_t i = 0; i < b->n; i++) {
		struct node *parent = find(b, b->nodes[i].parent);

		if (parent != NULL)
			add_part(parent, lasts, b, &b->nodes[i]);
	}
	free(lasts);
}

/* @line is what the lines of the compositions around it look like here. */
static void emit(struct builder *b, const struct node *node, struct buf *line, bool is_last,
		 int depth)
{
	struct tree_row *row = &b->t->rows[b->t->n++];
	size_t len = line->len;
	struct buf branch = { 0 };

	if (depth > 0) {
		buf_add(&branch, line->data, line->len);
		buf_adds(&branch,
			 b->is_utf8 ? (is_last ? "└─ " : "├─ ") : (is_last ? "`- " : "|- "));
	}
	buf_terminate(&branch);
	*row = (struct tree_row){ .job = node->id != 0 ? node->job : NULL,
				  .n_more = number(node->job, "more"),
				  .parent = node->parent,
				  .branch = buf_steal(&branch, NULL) };
	if (depth > 0)
		buf_adds(line, is_last ? "   " : b->is_utf8 ? "│  " : "|  ");
	for (const struct node *part = node->first; part != NULL && depth < DEPTH_MAX;
	     part = part->next)
		emit(b, part, line, part->next == NULL, depth + 1);
	line->len = len;
}

void tree_init(struct tree *t, const json_t *jobs, bool is_reverse)
{
	struct builder b = { .t = t, .is_utf8 = out_is_utf8() };
	struct buf line = { 0 };

	fill(&b, jobs);
	link_parts(&b);
	*t = (struct tree){ .rows = xcalloc(b.n + 1, sizeof(struct tree_row)) };
	for (size_t i = 0; i < b.n; i++) {
		const struct node *node = &b.nodes[is_reverse ? b.n - 1 - i : i];

		if (node->id != 0 && find(&b, node->parent) == NULL)
			emit(&b, node, &line, false, 0);
	}
	buf_fini(&line);
	free(b.nodes);
}

void tree_fini(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->rows[i].branch);
	free(t->rows);
	*t = (struct tree){ 0 };
}

void tree_print(const json_t *jobs, bool is_reverse)
{
	struct table *table = jobs_table_new();
	struct tree t;

	tree_init(&t, jobs, is_reverse);
	for (size_t i = 0; i < t.n; i++) {
		const struct tree_row *row = &t.rows[i];

		if (row->job != NULL)
			jobs_table_add(table, row->job, row->branch);
		else
			jobs_table_add_more(table, row->n_more, row->parent, row->branch);
	}
	tree_fini(&t);
	table_print(table);
	table_free(table);
}
