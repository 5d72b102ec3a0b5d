/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_TREE_H
#define CLIENT_TREE_H

#include "client/table.h"
#include "proto/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Jobs in the order of a tree: compositions, their parts below them.  A job
 * whose composition is not among them stands on its own.
 */
struct tree_row {
	const json_t *job; /* borrows from the list; NULL: a remark about parts that are left out */
	int64_t n_more;	   /* how many those are */
	int64_t parent;	   /* the composition that a remark is about */
	char *branch;	   /* owns; the lines in front of it, "" for top level */
};
struct tree {
	struct tree_row *rows; /* owns */
	size_t n;
};

/*
 * @jobs: job objects, and {"more", "parent"} where a composition has more parts
 * than these.  Borrowed for the tree's life.
 */
void tree_init(struct tree *t, const json_t *jobs, bool is_reverse);
void tree_fini(struct tree *t);

/* The table of "list", as a tree. */
void tree_print(const json_t *jobs, bool is_reverse);

#endif
