/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void xalloc_die(void)
{
	static const char message[] = "out of memory\n";

	/* No stdio: it may want memory itself. */
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		abort();
	abort();
}

void *xmalloc(size_t n_bytes)
{
	void *p = malloc(n_bytes ? n_bytes : 1);

	if (!p)
		xalloc_die();
	return p;
}

void *xcalloc(size_t n, size_t size_bytes)
{
	void *p = n && size_bytes ? calloc(n, size_bytes) : calloc(1, 1);

	if (!p)
		xalloc_die();
	return p;
}

void *xrealloc(void *p, size_t n_bytes)
{
	p = realloc(p, n_bytes ? n_bytes : 1);
	if (!p)
		xalloc_die();
	return p;
}

void *xreallocarray(void *p, size_t n, size_t size_bytes)
{
	size_t n_bytes;

	if (__builtin_mul_overflow(n, size_bytes, &n_bytes))
		xalloc_die();
	return xrealloc(p, n_bytes);
}

char *xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(xmalloc(size), s, size);
}

char *xstrndup(const char *s, size_t max_bytes)
{
	size_t len = strnlen(s, max_bytes);
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		xalloc_die();
	return text;
}

struct json_t *xjson(struct json_t *value)
{
	if (!value)
		xalloc_die();
	return value;
}
