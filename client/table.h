/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include "client/out.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A table of escaped text.  On a terminal: aligned and coloured, by
 * libsmartcols when it can be loaded (it knows how wide characters are), else
 * by spaces.  Anywhere else: a line per row, fields separated by one tab,
 * nothing cut.
 */

struct column {
	const char *name;
	bool is_right; /* numbers */
	bool may_cut;  /* shortened where the terminal is too narrow */
};

struct table;

/* @columns is borrowed for the table's life. */
struct table *table_new(const struct column *columns, size_t n_columns);
void table_free(struct table *t);
/* A new last row, of "-". */
void table_add_row(struct table *t);
/* A cell of the last row; @text is escaped here.  NULL and "" print "-". */
void table_set(struct table *t, size_t column, enum out_color color, const char *text);
void table_setf(struct table *t, size_t column, enum out_color color, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void table_print(const struct table *t);

#endif
