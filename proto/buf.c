/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"

#define FIRST_SIZE_BYTES 128

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_grow(struct buf *b, size_t more_bytes)
{
	size_t need, size = b->size ? b->size : FIRST_SIZE_BYTES;

	if (__builtin_add_overflow(b->len, more_bytes, &need) || need > SIZE_MAX / 2)
		xalloc_die();
	while (size < need)
		size *= 2;
	b->data = xrealloc(b->data, size);
	b->size = size;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	buf_reserve(b, FIRST_SIZE_BYTES);
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, b->size - b->len, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if ((size_t)n >= b->size - b->len) {
		buf_reserve(b, (size_t)n + 1);
		va_start(ap, fmt);
		n = vsnprintf(b->data + b->len, b->size - b->len, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

void buf_addi(struct buf *b, int64_t value)
{
	char digits[20], *end = digits + sizeof(digits), *p = end;
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		buf_addc(b, '-');
	buf_add(b, p, (size_t)(end - p));
}

char *buf_terminate(struct buf *b)
{
	buf_reserve(b, 1);
	b->data[b->len] = '\0';
	return b->data;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	b->len -= n;
	if (b->len)
		memmove(b->data, b->data + n, b->len);
}

char *buf_steal(struct buf *b, size_t *ret_len)
{
	char *data = buf_terminate(b);

	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){ 0 };
	return data;
}

/* How to escape a byte in a JSON string: a letter, or 'u' for \u00XX; 0 = as it is. */
static const char escapes[256] = {
	[0] = 'u',    [1] = 'u',    [2] = 'u',	  [3] = 'u',	 [4] = 'u',    [5] = 'u',
	[6] = 'u',    [7] = 'u',    ['\b'] = 'b', ['\t'] = 't',	 ['\n'] = 'n', [0x0b] = 'u',
	['\f'] = 'f', ['\r'] = 'r', [0x0e] = 'u', [0x0f] = 'u',	 [0x10] = 'u', [0x11] = 'u',
	[0x12] = 'u', [0x13] = 'u', [0x14] = 'u', [0x15] = 'u',	 [0x16] = 'u', [0x17] = 'u',
	[0x18] = 'u', [0x19] = 'u', [0x1a] = 'u', [0x1b] = 'u',	 [0x1c] = 'u', [0x1d] = 'u',
	[0x1e] = 'u', [0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

static void add_escape(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	buf_addc(b, '\\');
	buf_addc(b, escapes[c]);
	if (escapes[c] == 'u') {
		const char code[] = { '0', '0', hex[c >> 4], hex[c & 15] };

		buf_add(b, code, sizeof(code));
	}
}

void buf_add_json_stringn(struct buf *b, const char *s, size_t len)
{
	const char *end = s + len;

	buf_reserve(b, len + 2);
	buf_addc(b, '"');
	while (s < end) {
		const char *run = s;

		while (s < end && !escapes[(unsigned char)*s])
			s++;
		buf_add(b, run, (size_t)(s - run));
		if (s < end)
			add_escape(b, (unsigned char)*s++);
	}
	buf_addc(b, '"');
}

void buf_add_json_string(struct buf *b, const char *s)
{
	if (s)
		buf_add_json_stringn(b, s, strlen(s));
	else
		buf_add(b, "null", 4);
}

/*
 * A real as the shortest text that reads back as the same number, and never
 * as an integer (0.25, 1.0, 1e300).  The C library may print the locale's
 * decimal point, of one or more bytes.
 */
static void add_real(struct buf *b, double value)
{
	char text[48];
	bool is_real = false, in_point = false;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (digits == 17 || strtod(text, NULL) == value)
			break;
	}
	for (const char *p = text; *p; p++) {
		bool is_point = !strchr("0123456789+-e", *p);

		if (*p == 'e' || (is_point && !in_point))
			is_real = true;
		if (is_point && !in_point)
			buf_addc(b, '.');
		else if (!is_point && *p != '+')
			buf_addc(b, *p);
		in_point = is_point;
	}
	if (!is_real)
		buf_add(b, ".0", 2);
}

static void add_object(struct buf *b, json_t *object)
{
	const char *key;
	size_t key_len;
	json_t *member;
	char before = '{';

	json_object_keylen_foreach(object, key, key_len, member)
	{
		buf_addc(b, before);
		buf_add_json_stringn(b, key, key_len);
		buf_addc(b, ':');
		buf_add_json(b, member);
		before = ',';
	}
	if (before == '{')
		buf_addc(b, before);
	buf_addc(b, '}');
}

static void add_array(struct buf *b, const json_t *array)
{
	size_t n = json_array_size(array);

	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		buf_add_json(b, json_array_get(array, i));
	}
	buf_addc(b, ']');
}

/*
 * Not json_dump_callback(): that looks for loops with a hash table and a
 * printf for each container.  What we print is a tree: it was parsed, or
 * built by us.
 */
void buf_add_json(struct buf *b, const json_t *value)
{
	if (!value) {
		buf_add(b, "null", 4);
		return;
	}
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		/* Iterators want a writable object, and do not write. */
		add_object(b, (json_t *)(uintptr_t)value);
		break;
	case JSON_ARRAY:
		add_array(b, value);
		break;
	case JSON_STRING:
		buf_add_json_stringn(b, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		buf_addi(b, json_integer_value(value));
		break;
	case JSON_REAL:
		add_real(b, json_real_value(value));
		break;
	case JSON_TRUE:
		buf_add(b, "true", 4);
		break;
	case JSON_FALSE:
		buf_add(b, "false", 5);
		break;
	case JSON_NULL:
		buf_add(b, "null", 4);
		break;
	}
}

char *buf_json_text(const json_t *value)
{
	struct buf b = { 0 };

	buf_add_json(&b, value);
	return buf_steal(&b, NULL);
}

void buf_add_pointer_step(struct buf *b, const char *name)
{
	buf_addc(b, '/');
	for (; *name; name++) {
		if (*name == '~')
			buf_adds(b, "~0");
		else if (*name == '/')
			buf_adds(b, "~1");
		else
			buf_addc(b, *name);
	}
}
