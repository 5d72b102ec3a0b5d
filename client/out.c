/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/out.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/verb.h"

static bool is_json;
static int write_error; /* the errno of the first write that failed */
static bool is_closed;	/* standard output */

void out_init(bool json)
{
	is_json = json;
}

bool out_is_json(void)
{
	return is_json;
}

bool out_is_terminal(void)
{
	return isatty(STDOUT_FILENO);
}

bool out_err_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

size_t out_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long n;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	n = columns != NULL ? strtol(columns, NULL, 10) : 0;
	return n > 0 && n < 10000 ? (size_t)n : 80;
}

bool out_has_color(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return out_is_terminal() && (no_color == NULL || *no_color == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

bool out_is_utf8(void)
{
	setlocale(LC_CTYPE, "");
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *out_color(enum out_color color)
{
	static const char *const sequences[N_OUT_COLORS] = {
		[OUT_PLAIN] = "",	 [OUT_BOLD] = "\033[1m",   [OUT_DIM] = "\033[2m",
		[OUT_RED] = "\033[31m",	 [OUT_GREEN] = "\033[32m", [OUT_YELLOW] = "\033[33m",
		[OUT_BLUE] = "\033[34m",
	};

	return sequences[color];
}

/* ---- escaping ---- */

/* The code point at @s and its length; 0 for bytes that are no UTF-8. */
static size_t decode(const unsigned char *s, unsigned *ret)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned point = s[0] & masks[len];

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3f);
	}
	*ret = point;
	return len;
}

/*
 * What steers a terminal or turns text around: C0, DEL, C1, line and
 * paragraph separators, and the bidirectional controls, with which one text
 * can be made to look like another.
 */
static bool is_dangerous(unsigned point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c ||
	       point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2066 && point <= 0x2069) || point == 0xfeff ||
	       (point >= 0xe0000 && point <= 0xe007f);
}

static void escape_point(struct buf *b, unsigned point)
{
	if (point == '\n')
		buf_adds(b, "\\n");
	else if (point == '\t')
		buf_adds(b, "\\t");
	else if (point == '\r')
		buf_adds(b, "\\r");
	else if (point < 0x80)
		buf_addf(b, "\\x%02x", point);
	else
		buf_addf(b, "\\u{%04x}", point);
}

void out_escape(struct buf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (s == NULL) {
		buf_addc(b, '-');
		return;
	}
	while (*p != '\0') {
		unsigned point = 0;
		size_t len = decode(p, &point);

		if (len == 0)
			buf_addf(b, "\\x%02x", *p);
		else if (is_dangerous(point))
			escape_point(b, point);
		else
			buf_add(b, p, len);
		p += len == 0 ? 1 : len;
	}
}

static bool starts_point(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t out_columns(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += starts_point(*s);
	return n;
}

void out_cut(char *s, size_t max)
{
	size_t n = 0;
	char *dots = s;

	if (out_columns(s) <= max)
		return;
	if (max < 3) {
		*s = '\0';
		return;
	}
	for (; n < max - 3; n++) {
		dots++;
		while (!starts_point(*dots))
			dots++;
	}
	memcpy(dots, "...",
	       sizeof("...")); /* what is cut is longer than this: more than three points */
}

/* ---- standard output ---- */

void out_bytes(const char *data, size_t len)
{
	if (len > 0 && fwrite(data, 1, len, stdout) != len && write_error == 0)
		write_error = errno != 0 ? errno : EIO;
}

void out_buf(struct buf *b)
{
	out_bytes(b->data, b->len);
	b->len = 0;
}

void out_line(const char *text, size_t len)
{
	out_bytes(text, len);
	out_bytes("\n", 1);
}

void out_json(const json_t *value)
{
	struct buf b = { 0 };

	buf_add_json(&b, value);
	out_line(b.data, b.len);
	buf_fini(&b);
}

void out_flush(void)
{
	if (!is_closed && fflush(stdout) != 0 && write_error == 0)
		write_error = errno;
}

int out_finish(int status)
{
	out_flush();
	if (fclose(stdout) != 0 && write_error == 0 && errno != EBADF)
		write_error = errno;
	is_closed = true;
	if (write_error == 0)
		return status;
	if (write_error != EPIPE)
		out_fail(0, "io", "standard output: %s", strerror(write_error));
	return status != STATUS_OK ? status : STATUS_UNSUCCESSFUL;
}

/* ---- standard error ---- */

static void print_error_json(const json_t *error)
{
	struct buf b = { 0 };

	out_flush();
	buf_adds(&b, "{\"error\":");
	buf_add_json(&b, error);
	buf_adds(&b, "}\n");
	fwrite(b.data, 1, b.len, stderr);
	buf_fini(&b);
}

/* "awaitctl: WHERE: MESSAGE", escaped: a message may hold text of a job. */
static void print_error(const char *where, const char *message)
{
	struct buf b = { 0 };

	/* On one terminal the two streams have one order. */
	out_flush();
	buf_adds(&b, "awaitctl: ");
	if (where != NULL)
		buf_addf(&b, "%s: ", where);
	out_escape(&b, message);
	buf_addc(&b, '\n');
	fwrite(b.data, 1, b.len, stderr);
	buf_fini(&b);
}

int out_fail(int status, const char *word, const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (is_json) {
		json_t *error = json_pack("{s:n, s:s+, s:{s:s}}", "code", "message", message, "",
					  "data", "code", word);

		print_error_json(error);
		json_decref(error);
	} else {
		print_error(NULL, message);
	}
	return status;
}

/* Where in the request: " (at /url)" unless it is the whole or the message says so itself. */
static void add_place(struct buf *b, const json_t *error)
{
	const char *path =
		json_string_value(json_object_get(json_object_get(error, "data"), "path"));
	const char *message = json_string_value(json_object_get(error, "message"));

	if (path != NULL && *path != '\0' && (message == NULL || strstr(message, path) == NULL))
		buf_addf(b, " (at %s)", path);
}

int out_refused(const json_t *error, const char *where)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	struct buf b = { 0 };

	if (is_json) {
		json_t *copy = json_copy((json_t *)error);

		if (where != NULL)
			json_object_set_new(copy, "where", json_string(where));
		print_error_json(copy);
		json_decref(copy);
	} else {
		buf_adds(&b, message != NULL ? message : "the daemon refused");
		add_place(&b, error);
		print_error(where, buf_terminate(&b));
		buf_fini(&b);
	}
	return STATUS_REFUSED;
}

void out_note(const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	if (is_json)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	print_error(NULL, message);
}
