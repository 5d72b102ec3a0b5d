/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_OUT_H
#define CLIENT_OUT_H

#include "proto/buf.h"
#include "proto/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * All that awaitctl prints goes through here: what a terminal may get, how
 * wide and how coloured it is, what errors look like, and whether writing
 * worked.  Text that comes from a job is never printed as it is (design rule
 * R4.14), except for the bytes of its own output, and inside JSON.
 */

enum out_color {
	OUT_PLAIN,
	OUT_BOLD,
	OUT_DIM,
	OUT_RED,
	OUT_GREEN,
	OUT_YELLOW,
	OUT_BLUE,
	N_OUT_COLORS
};

/* With @is_json results are the protocol's and errors are {"error": ...}. */
void out_init(bool is_json);
bool out_is_json(void);

/* Is standard output (error) a terminal? */
bool out_is_terminal(void);
bool out_err_is_terminal(void);
/* Columns of the terminal of @fd, else $COLUMNS, else 80. */
size_t out_width(int fd);
/* May standard output be coloured?  A terminal, no $NO_COLOR, not TERM=dumb. */
bool out_has_color(void);
/* Does the locale's terminal know more than ASCII? */
bool out_is_utf8(void);
/* The escape sequence of @color, "" for OUT_PLAIN. */
const char *out_color(enum out_color color);

/* Append @s so that it stays on one line and cannot steer a terminal. NULL prints "-". */
void out_escape(struct buf *b, const char *s);
/* About how many columns @s takes: its code points. */
size_t out_columns(const char *s);
/* Cut @s (escaped text) to @max columns, in place; a cut is shown by three dots. */
void out_cut(char *s, size_t max);

/* Bytes as they are, and what the buffer holds (which is then empty). */
void out_bytes(const char *data, size_t len);
void out_buf(struct buf *b);
/* A line of text and its newline. */
void out_line(const char *text, size_t len);
/* One JSON document on one line. */
void out_json(const json_t *value);
/* What was printed is for somebody who waits for it. */
void out_flush(void);

/*
 * "awaitctl: ..." on standard error; {"error": {...}} with --json.  @word is
 * data.code.  Returns @status.
 */
int out_fail(int status, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The daemon's error object.  @where stands in front ("line 7"), NULL = nothing.
 * Returns the status for a refusal.
 */
int out_refused(const json_t *error, const char *where);
/* A remark on standard error, not with --json. */
void out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Last call: writes what is left.  A reader that went away is no error of
 * ours; anything else that could not be written is.  Returns the status to
 * exit with.
 */
int out_finish(int status);

#endif
