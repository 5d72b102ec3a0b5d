/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/xalloc.h"

static const struct {
	const char *word;
	int rpc;
} codes[N_AW_CODES] = {
	[AW_OK] = { "ok", 0 },
	[AW_PARSE] = { "parse", -32700 },
	[AW_REQUEST] = { "request", -32600 },
	[AW_METHOD] = { "method", -32601 },
	[AW_PARAMS] = { "params", -32602 },
	[AW_INTERNAL] = { "internal", -32603 },
	[AW_NOT_FOUND] = { "not_found", -32001 },
	[AW_WRONG_STATE] = { "wrong_state", -32002 },
	[AW_DENIED] = { "denied", -32003 },
	[AW_CONFLICT] = { "conflict", -32004 },
	[AW_LIMIT] = { "limit", -32005 },
	[AW_STORAGE_FULL] = { "storage_full", -32006 },
	[AW_SHUTTING_DOWN] = { "shutting_down", -32007 },
	[AW_UNSUPPORTED] = { "unsupported", -32008 },
	[AW_EXIT] = { "exit", 0 },
	[AW_SIGNAL] = { "signal", 0 },
	[AW_SPAWN] = { "spawn", 0 },
	[AW_HTTP] = { "http", 0 },
	[AW_NETWORK] = { "network", 0 },
	[AW_TLS] = { "tls", 0 },
	[AW_CHECKSUM] = { "checksum", 0 },
	[AW_TOO_LARGE] = { "too_large", 0 },
	[AW_IO] = { "io", 0 },
	[AW_TIMEOUT] = { "timeout", 0 },
	[AW_DEADLINE] = { "deadline", 0 },
	[AW_LOST] = { "lost", 0 },
	[AW_CRASH_LOOP] = { "crash_loop", 0 },
	[AW_DAMAGED] = { "damaged", 0 },
	[AW_PART_FAILED] = { "part_failed", 0 },
	[AW_NEEDS] = { "needs", 0 },
	[AW_CANCELLED] = { "cancelled", 0 },
};

const char *aw_code_word(enum aw_code code)
{
	return (unsigned)code < N_AW_CODES ? codes[code].word : codes[AW_INTERNAL].word;
}

int aw_code_rpc(enum aw_code code)
{
	return (unsigned)code < N_AW_CODES ? codes[code].rpc : 0;
}

void aw_err_fini(struct aw_err *err)
{
	json_decref(err->facts);
	err->facts = NULL;
	err->code = AW_OK;
	err->path[0] = '\0';
	err->message[0] = '\0';
}

/* Bytes of the UTF-8 character at @s, 0 if there is none. */
static size_t utf8_char_bytes(const unsigned char *s)
{
	/* This range keeps out overlong forms, surrogates and what is above U+10FFFF. */
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

/*
 * Messages carry names from documents, file systems and libraries, and are
 * cut at the end of their field: what is no UTF-8 (any more) becomes '?', so
 * that JSON can always be made of them.
 */
static void make_utf8(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = utf8_char_bytes(s);

		if (n == 0) {
			*s = '?';
			n = 1;
		}
		s += n;
	}
}

/*
 * @path to @to.  One that is too long is cut between two steps, so that it points to
 * what holds the place.
 */
static void set_path(char (*to)[sizeof(((struct aw_err *)NULL)->path)], const char *path)
{
	size_t len = strlen(path);

	if (len >= sizeof(*to))
		for (len = sizeof(*to) - 1; len > 0 && path[len] != '/';)
			len--;
	memcpy(*to, path, len);
	(*to)[len] = '\0';
	make_utf8(*to);
}

static void fill(struct aw_err *err, enum aw_code code, const char *path, const char *fmt,
		 va_list ap) __attribute__((format(printf, 4, 0)));
static void fill(struct aw_err *err, enum aw_code code, const char *path, const char *fmt,
		 va_list ap)
{
	char message[sizeof(err->message)], place[sizeof(err->path)];

	/* The arguments may well point into what @err held. */
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	set_path(&place, path);
	aw_err_fini(err);
	err->code = code;
	memcpy(err->message, message, strlen(message) + 1);
	memcpy(err->path, place, strlen(place) + 1);
	make_utf8(err->message);
}

int aw_fail(struct aw_err *err, enum aw_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, "", fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int aw_fail_at(struct aw_err *err, enum aw_code code, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, path, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void aw_err_put_under(struct aw_err *err, const char *prefix)
{
	char path[2 * sizeof(err->path)];

	if ((size_t)snprintf(path, sizeof(path), "%s%s", prefix, err->path) < sizeof(path))
		set_path(&err->path, path);
}

void aw_err_fact(struct aw_err *err, const char *name, json_t *value)
{
	if (!err->facts)
		err->facts = xjson(json_object());
	if (json_object_set_new(err->facts, name, value ? value : json_null()) < 0)
		xalloc_die();
}

json_t *aw_err_job_json(const struct aw_err *err)
{
	json_t *error = xjson(json_object());

	if (json_object_set_new(error, "code", json_string(aw_code_word(err->code))) < 0 ||
	    json_object_set_new(error, "message", json_string(err->message)) < 0)
		xalloc_die();
	if (err->facts && json_object_update_missing(error, err->facts) < 0)
		xalloc_die();
	return error;
}
