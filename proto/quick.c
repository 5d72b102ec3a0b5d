/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/quick.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

#define INTEGER_DIGITS 18 /* as many fit whatever they are */

/* What is being read.  The text does not end with a NUL: nothing is looked at beyond @end. */
struct reader {
	const char *p, *end;
	unsigned depth;
	size_t n_values;
	struct buf unescaped; /* of the string before which it was needed */
};

/* A string's or name's text, as it stands in the line or in reader.unescaped. */
struct text {
	const char *s;
	size_t len;
	bool is_ascii;
};

/* Bytes of a string that end the run of those that stand for themselves. */
enum {
	IS_PLAIN,
	IS_END,
	IS_ESCAPE,
	IS_CONTROL,
	IS_HIGH,
};

#define EIGHT(x) x, x, x, x, x, x, x, x
#define SIXTEEN(x) EIGHT(x), EIGHT(x)

static const unsigned char classes[256] = {
	[0] = SIXTEEN(IS_CONTROL), SIXTEEN(IS_CONTROL), ['"'] = IS_END,	  ['\\'] = IS_ESCAPE,
	[0x80] = SIXTEEN(IS_HIGH), SIXTEEN(IS_HIGH),	SIXTEEN(IS_HIGH), SIXTEEN(IS_HIGH),
	SIXTEEN(IS_HIGH),	   SIXTEEN(IS_HIGH),	SIXTEEN(IS_HIGH), SIXTEEN(IS_HIGH),
};

static json_t *read_value(struct reader *r);

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

/* Is @c next, behind white space?  Then go past it. */
static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* The byte that a letter stands for behind a backslash; 0 = \u, or nothing. */
static char unescape(char c)
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? bytes[at - letters] : '\0';
}

/* The rest of a string with escapes; its beginning, @run, is at the reader's place. */
static bool read_escaped(struct reader *r, const char *run, struct text *ret)
{
	struct buf *b = &r->unescaped;

	b->len = 0;
	for (; r->p < r->end; r->p++) {
		char byte;

		switch (classes[(unsigned char)*r->p]) {
		case IS_PLAIN:
			break;
		case IS_HIGH:
			ret->is_ascii = false;
			break;
		case IS_ESCAPE:
			buf_add(b, run, (size_t)(r->p - run));
			byte = ++r->p < r->end ? unescape(*r->p) : '\0';
			if (!byte)
				return false;
			buf_addc(b, byte);
			run = r->p + 1;
			break;
		case IS_END:
			buf_add(b, run, (size_t)(r->p++ - run));
			ret->s = b->data;
			ret->len = b->len;
			return true;
		default:
			return false;
		}
	}
	return false;
}

/* Behind the opening quote; up to and with the closing one. */
static bool read_text(struct reader *r, struct text *ret)
{
	const char *begin = r->p;

	ret->is_ascii = true;
	for (; r->p < r->end; r->p++) {
		unsigned char class = classes[(unsigned char)*r->p];

		if (class == IS_PLAIN)
			continue;
		if (class == IS_HIGH) {
			ret->is_ascii = false;
			continue;
		}
		if (class == IS_ESCAPE)
			return read_escaped(r, begin, ret);
		if (class != IS_END)
			return false;
		ret->s = begin;
		ret->len = (size_t)(r->p++ - begin);
		return true;
	}
	return false;
}

/* NULL: not UTF-8 (or the memory is out, which the library will find, too). */
static json_t *read_string(struct reader *r)
{
	struct text text;

	if (!read_text(r, &text))
		return NULL;
	return text.is_ascii ? json_stringn_nocheck(text.s, text.len)
			     : json_stringn(text.s, text.len);
}

static json_t *read_integer(struct reader *r)
{
	bool is_negative = *r->p == '-';
	const char *digits = r->p + is_negative, *p = digits;
	json_int_t value = 0;

	for (; p < r->end && *p >= '0' && *p <= '9'; p++) {
		if (p - digits == INTEGER_DIGITS)
			return NULL;
		value = 10 * value + (*p - '0');
	}
	if (p == digits || (*digits == '0' && p - digits > 1))
		return NULL;
	if (p < r->end && (*p == '.' || *p == 'e' || *p == 'E'))
		return NULL;
	r->p = p;
	return json_integer(is_negative ? -value : value);
}

static bool take_word(struct reader *r, const char *word, size_t len)
{
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

/* One "name": value of @object. */
static bool read_member(struct reader *r, json_t *object)
{
	size_t n_before = json_object_size(object);
	char stays[64];
	struct text name;
	json_t *value;
	int failed;

	if (!take(r, '"') || !read_text(r, &name))
		return false;
	/* The value may have escapes, too. */
	if (name.s == r->unescaped.data) {
		if (name.len > sizeof(stays))
			return false;
		name.s = memcpy(stays, name.s, name.len);
	}
	if (!take(r, ':'))
		return false;
	value = read_value(r);
	if (!value)
		return false;
	failed = name.is_ascii ? json_object_setn_new_nocheck(object, name.s, name.len, value)
			       : json_object_setn_new(object, name.s, name.len, value);
	/* A name that was there already has replaced its value: the library refuses it. */
	return !failed && json_object_size(object) > n_before;
}

/* Behind the bracket.  Takes the empty @container and gives it back full. */
static json_t *read_container(struct reader *r, json_t *container, char closer)
{
	bool is_good = true;

	if (!container || ++r->depth > PROTO_DEPTH_MAX) {
		json_decref(container);
		return NULL;
	}
	if (!take(r, closer)) {
		do {
			if (closer == '}') {
				is_good = read_member(r, container);
			} else {
				json_t *value = read_value(r);

				is_good = value && json_array_append_new(container, value) == 0;
			}
		} while (is_good && take(r, ','));
		is_good = is_good && take(r, closer);
	}
	r->depth--;
	if (is_good)
		return container;
	json_decref(container);
	return NULL;
}

static json_t *read_value(struct reader *r)
{
	skip_space(r);
	if (r->p == r->end || ++r->n_values > PROTO_VALUES_MAX)
		return NULL;
	switch (*r->p) {
	case '"':
		r->p++;
		return read_string(r);
	case '{':
		r->p++;
		return read_container(r, json_object(), '}');
	case '[':
		r->p++;
		return read_container(r, json_array(), ']');
	case 't':
		return take_word(r, "true", 4) ? json_true() : NULL;
	case 'f':
		return take_word(r, "false", 5) ? json_false() : NULL;
	case 'n':
		return take_word(r, "null", 4) ? json_null() : NULL;
	default:
		return read_integer(r);
	}
}

json_t *quick_parse(const char *text, size_t len)
{
	struct reader r = { .p = text, .end = text + len };
	json_t *value = read_value(&r);

	skip_space(&r);
	if (r.p != r.end) {
		json_decref(value);
		value = NULL;
	}
	buf_fini(&r.unescaped);
	return value;
}

json_t *quick_load(const char *text)
{
	json_t *value = quick_parse(text, strlen(text));

	return value ? value : json_loads(text, JSON_DECODE_ANY, NULL);
}
