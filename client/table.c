/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/table.h"

#include <dlfcn.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/xalloc.h"

struct cell {
	char *text; /* owns */
	enum out_color color;
};

struct table {
	const struct column *columns;
	size_t n_columns, n_rows;
	struct cell *cells; /* owns; n_rows * n_columns */
	size_t size_rows;
};

struct table *table_new(const struct column *columns, size_t n_columns)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->columns = columns;
	t->n_columns = n_columns;
	return t;
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

static struct cell *cell_at(const struct table *t, size_t row, size_t column)
{
	return &t->cells[row * t->n_columns + column];
}

void table_add_row(struct table *t)
{
	if (t->n_rows == t->size_rows) {
		t->size_rows = t->size_rows == 0 ? 32 : 2 * t->size_rows;
		t->cells = xreallocarray(t->cells, t->size_rows, t->n_columns * sizeof(*t->cells));
	}
	t->n_rows++;
	for (size_t i = 0; i < t->n_columns; i++)
		*cell_at(t, t->n_rows - 1, i) = (struct cell){ .text = xstrdup("-") };
}

void table_set(struct table *t, size_t column, enum out_color color, const char *text)
{
	struct cell *cell = cell_at(t, t->n_rows - 1, column);
	struct buf b = { 0 };

	out_escape(&b, text != NULL && *text != '\0' ? text : NULL);
	buf_terminate(&b);
	free(cell->text);
	cell->text = buf_steal(&b, NULL);
	cell->color = color;
}

void table_setf(struct table *t, size_t column, enum out_color color, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_set(t, column, color, text);
}

/* ---- not for a terminal ---- */

static void print_tabs(const struct table *t, struct buf *b)
{
	for (size_t i = 0; i < t->n_columns; i++)
		buf_addf(b, "%s%s", i > 0 ? "\t" : "", t->columns[i].name);
	buf_addc(b, '\n');
	for (size_t row = 0; row < t->n_rows; row++) {
		for (size_t i = 0; i < t->n_columns; i++)
			buf_addf(b, "%s%s", i > 0 ? "\t" : "", cell_at(t, row, i)->text);
		buf_addc(b, '\n');
	}
}

/* ---- a terminal, without help ---- */

static size_t natural_width(const struct table *t, size_t column)
{
	size_t width = out_columns(t->columns[column].name);

	for (size_t row = 0; row < t->n_rows; row++) {
		size_t n = out_columns(cell_at(t, row, column)->text);

		width = n > width ? n : width;
	}
	return width;
}

/* Take what is too much from the columns that may be cut, the last one first; 8 columns stay. */
static void fit(const struct table *t, size_t *widths, size_t total, size_t room)
{
	for (size_t i = t->n_columns; i-- > 0 && total > room;) {
		size_t over = total - room;
		size_t spare = t->columns[i].may_cut && widths[i] > 8 ? widths[i] - 8 : 0;
		size_t less = over < spare ? over : spare;

		widths[i] -= less;
		total -= less;
	}
}

static void add_cell(struct buf *b, const char *text, size_t width, bool is_right, bool is_last,
		     const char *color)
{
	cleanup_free char *copy = xstrdup(text);
	size_t pad;

	out_cut(copy, width);
	pad = width - out_columns(copy);
	if (is_right)
		buf_addf(b, "%*s", (int)pad, "");
	buf_addf(b, "%s%s%s", color, copy, *color != '\0' ? "\033[0m" : "");
	if (!is_right && !is_last)
		buf_addf(b, "%*s", (int)pad, "");
	buf_adds(b, is_last ? "\n" : "  ");
}

static void print_aligned(const struct table *t, struct buf *b, size_t room, bool has_color)
{
	size_t *widths = xcalloc(t->n_columns, sizeof(*widths));
	size_t total = 2 * (t->n_columns - 1);
	size_t n = t->n_columns;

	for (size_t i = 0; i < n; i++)
		total += widths[i] = natural_width(t, i);
	fit(t, widths, total, room);
	for (size_t i = 0; i < n; i++)
		add_cell(b, t->columns[i].name, widths[i], t->columns[i].is_right, i + 1 == n,
			 out_color(has_color ? OUT_BOLD : OUT_PLAIN));
	for (size_t row = 0; row < t->n_rows; row++) {
		for (size_t i = 0; i < n; i++) {
			const struct cell *cell = cell_at(t, row, i);

			add_cell(b, cell->text, widths[i], t->columns[i].is_right, i + 1 == n,
				 out_color(has_color ? cell->color : OUT_PLAIN));
		}
	}
	free(widths);
}

/* ---- a terminal, by libsmartcols ---- */

/*
 * Loaded late: most calls print no table on a terminal, and starting the
 * program must cost next to nothing.
 */
#define SCOLS_FUNCTIONS(X)               \
	X(scols_new_table)               \
	X(scols_unref_table)             \
	X(scols_table_new_column)        \
	X(scols_table_new_line)          \
	X(scols_table_enable_colors)     \
	X(scols_table_enable_noencoding) \
	X(scols_table_set_termwidth)     \
	X(scols_table_set_termforce)     \
	X(scols_line_set_data)           \
	X(scols_line_get_cell)           \
	X(scols_cell_set_color)          \
	X(scols_print_table_to_string)

struct scols {
#define SCOLS_MEMBER(name) __typeof__(&name) name;
	SCOLS_FUNCTIONS(SCOLS_MEMBER)
#undef SCOLS_MEMBER
};

/* dlsym() gives void *, which ISO C does not turn into a function; POSIX does. */
static bool scols_load(struct scols *s)
{
	void *library = dlopen("libsmartcols.so.1", RTLD_NOW | RTLD_LOCAL);

	if (library == NULL)
		return false;
#define SCOLS_LOOK_UP(name)                         \
	*(void **)&s->name = dlsym(library, #name); \
	if (s->name == NULL)                        \
		return false;
	SCOLS_FUNCTIONS(SCOLS_LOOK_UP)
#undef SCOLS_LOOK_UP
	return true;
}

static void scols_fill(const struct table *t, const struct scols *s, struct libscols_table *st)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		int flags = (t->columns[i].is_right ? SCOLS_FL_RIGHT : 0) |
			    (t->columns[i].may_cut ? SCOLS_FL_TRUNC : 0);

		s->scols_table_new_column(st, t->columns[i].name, t->columns[i].may_cut ? 0.1 : 1,
					  flags);
	}
	for (size_t row = 0; row < t->n_rows; row++) {
		struct libscols_line *line = s->scols_table_new_line(st, NULL);

		for (size_t i = 0; line != NULL && i < t->n_columns; i++) {
			const struct cell *cell = cell_at(t, row, i);

			s->scols_line_set_data(line, i, cell->text);
			if (cell->color != OUT_PLAIN)
				s->scols_cell_set_color(s->scols_line_get_cell(line, i),
							out_color(cell->color));
		}
	}
}

static bool print_scols(const struct table *t, struct buf *b, size_t room, bool has_color)
{
	struct scols s;
	struct libscols_table *st;
	char *text = NULL;

	if (!scols_load(&s))
		return false;
	/* It counts columns by the locale. */
	setlocale(LC_CTYPE, "");
	st = s.scols_new_table();
	if (st == NULL)
		return false;
	s.scols_table_enable_colors(st, has_color);
	/* Ours is done already (out_escape()), and is not to be escaped once more. */
	s.scols_table_enable_noencoding(st, 1);
	s.scols_table_set_termforce(st, SCOLS_TERMFORCE_ALWAYS);
	s.scols_table_set_termwidth(st, room);
	scols_fill(t, &s, st);
	/* The last line comes without its end. */
	if (s.scols_print_table_to_string(st, &text) == 0 && text != NULL)
		buf_addf(b, "%s\n", text);
	free(text);
	s.scols_unref_table(st);
	return true;
}

void table_print(const struct table *t)
{
	size_t room = out_width(STDOUT_FILENO);
	struct buf b = { 0 };

	if (!out_is_terminal())
		print_tabs(t, &b);
	else if (!print_scols(t, &b, room, out_has_color()))
		print_aligned(t, &b, room, out_has_color());
	out_buf(&b);
	buf_fini(&b);
}
