/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobvalue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/buf.h"
#include "proto/jobexec.h"
#include "proto/jobneeds.h"
#include "proto/jobrefs.h"
#include "proto/joburl.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#define MASK "***"

/* ---- errors ---- */

/* The pointer to the document that @c is in. */
static void add_document(struct buf *path, const struct jobvalue_place *c)
{
	if (!c->up) {
		buf_adds(path, c->prefix);
		return;
	}
	add_document(path, c->up);
	buf_adds(path, "/jobs/");
	buf_addi(path, (int64_t)c->part);
}

void jobvalue_add_path(struct buf *path, const struct jobvalue_place *c, const char *name)
{
	add_document(path, c);
	if (c->whole)
		buf_add_pointer_step(path, c->whole->name);
	if (name)
		buf_add_pointer_step(path, name);
	if (c->member)
		buf_add_pointer_step(path, c->member);
	if (c->index != JOBVALUE_NO_INDEX)
		buf_addf(path, "/%zu", c->index);
	if (c->field)
		buf_add_pointer_step(path, c->field);
}

int jobvalue_fail(const struct jobvalue_place *c, enum aw_code code, const char *name,
		  const char *text)
{
	struct buf path = { 0 };

	jobvalue_add_path(&path, c, name);
	aw_fail_at(c->err, code, buf_terminate(&path), "%s", text);
	buf_fini(&path);
	return -EINVAL;
}

int jobvalue_refuse(const struct jobvalue_place *c, const char *fmt, ...)
{
	char text[sizeof(c->err->message)];
	const char *key = c->key->name;
	va_list ap;
	int n;

	if (c->field || c->member)
		n = snprintf(text, sizeof(text), "\"%.64s\" in \"%s\" ",
			     c->field ? c->field : c->member, key);
	else if (c->index != JOBVALUE_NO_INDEX)
		n = snprintf(text, sizeof(text), "an item of \"%s\" ", key);
	else if (c->whole)
		n = snprintf(text, sizeof(text), "\"%s\" in \"%s\" ", key, c->whole->name);
	else
		n = snprintf(text, sizeof(text), "\"%s\" ", key);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	return jobvalue_fail(c, AW_PARAMS, c->key->name, text);
}

/* The same where a value is asked for. */
#define refuse(...) (jobvalue_refuse(__VA_ARGS__), (json_t *)NULL)

/* A value of the document that can stand in the normalised one as it is. */
static json_t *keep(const json_t *value)
{
	/* Only its count of references changes. */
	return json_incref((json_t *)(uintptr_t)value);
}

/* ---- text ---- */

/* A C0, DEL or C1 control character. */
static bool has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (unsigned char)s[i + 1] < 0xa0)
			return true;
	}
	return false;
}

/* Is @value a string that fits @c->key?  Else the reason is in @c->err. */
static int check_text(const struct jobvalue_place *c, const json_t *value)
{
	const char *s = json_string_value(value);
	size_t len = json_string_length(value);

	if (!json_is_string(value))
		return jobvalue_refuse(c, "must be a string");
	if ((int64_t)len < c->key->min)
		return jobvalue_refuse(c, "must not be empty");
	if ((int64_t)len > c->key->max && jobexec_has(c->key))
		return jobexec_refuse_length(c);
	if ((int64_t)len > c->key->max)
		return jobvalue_refuse(c, "is longer than %lld bytes", (long long)c->key->max);
	if (c->key->flags & JK_NO_NUL && memchr(s, '\0', len))
		return jobvalue_refuse(c, "must not contain a NUL character");
	return 0;
}

/* Upper case, letters only. */
static json_t *normal_method(const struct jobvalue_place *c, const json_t *value)
{
	const char *s = json_string_value(value);
	size_t len = json_string_length(value);
	char method[32];

	if (len > sizeof(method))
		return refuse(c, "is no HTTP method");
	for (size_t i = 0; i < len; i++) {
		bool is_lower = s[i] >= 'a' && s[i] <= 'z';

		if (!is_lower && (s[i] < 'A' || s[i] > 'Z'))
			return refuse(c, "must be an HTTP method, a word of letters like \"GET\"");
		method[i] = (char)(is_lower ? s[i] - 'a' + 'A' : s[i]);
	}
	if (len == 7 && memcmp(method, "CONNECT", len) == 0)
		return refuse(c, "must not be CONNECT, which opens a tunnel and fetches nothing");
	return xjson(json_stringn(method, len));
}

static json_t *normal_string(struct jobvalue_place *c, const json_t *value)
{
	if (check_text(c, value) < 0)
		return NULL;
	if (c->key->rule == JK_RULE_METHOD)
		return normal_method(c, value);
	if (c->key->rule == JK_RULE_ABSOLUTE && json_string_value(value)[0] != '/')
		return refuse(c, "must be an absolute path");
	return keep(value);
}

static int check_label(const struct jobvalue_place *c, const json_t *value)
{
	if (check_text(c, value) < 0)
		return -EINVAL;
	if (has_control(json_string_value(value), json_string_length(value)))
		return jobvalue_refuse(c, "must not contain control characters");
	return 0;
}

static json_t *normal_label(struct jobvalue_place *c, const json_t *value)
{
	return check_label(c, value) < 0 ? NULL : keep(value);
}

static json_t *normal_labels(struct jobvalue_place *c, const json_t *value)
{
	if (!json_is_array(value))
		return refuse(c, "must be a list of strings");
	if (json_array_size(value) > JOB_TAGS_MAX)
		return refuse(c, "has more than %d items", JOB_TAGS_MAX);
	for (c->index = 0; c->index < json_array_size(value); c->index++) {
		const json_t *item = json_array_get(value, c->index);

		if (check_label(c, item) < 0)
			return NULL;
		for (size_t i = 0; i < c->index; i++)
			if (json_equal(item, json_array_get(value, i)))
				return refuse(c, "is there twice");
	}
	return keep(value);
}

static json_t *normal_strings(struct jobvalue_place *c, const json_t *value)
{
	if (!json_is_array(value))
		return refuse(c, "must be a list of strings");
	if (json_array_size(value) == 0)
		return refuse(c, "must have at least one item");
	for (c->index = 0; c->index < json_array_size(value); c->index++)
		if (check_text(c, json_array_get(value, c->index)) < 0)
			return NULL;
	c->index = 0;
	if (c->key->rule == JK_RULE_ARGV && json_string_length(json_array_get(value, 0)) == 0)
		return refuse(c, "must not be empty: the first names the program");
	return keep(value);
}

/* ---- maps ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Headers that say how the message is sent are ours: a wrong one would put
 * the connection out of step (R4.11).
 */
static int check_header(const struct jobvalue_place *c, const char *name, const json_t *value)
{
	static const struct {
		const char *name, *why;
	} ours[] = {
		{ "Host", "it is taken from the URL" },
		{ "Content-Length", "it is counted from the body" },
		{ "Transfer-Encoding", "awaitd decides how the body is sent" },
		{ "Connection", "awaitd manages the connection" },
	};
	const char *s = json_string_value(value);

	for (const char *p = name; *p; p++)
		if (!is_letter(*p) && !is_digit(*p) && !strchr("!#$%&'*+-.^_`|~", *p))
			return jobvalue_refuse(c, "is no name of an HTTP header");
	if (!*name)
		return jobvalue_refuse(c, "is no name of an HTTP header");
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (strcasecmp(name, ours[i].name) == 0)
			return jobvalue_refuse(c, "cannot be set: %s", ours[i].why);
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return jobvalue_refuse(c,
					       "must not have line breaks or control characters");
	return 0;
}

static int check_member(const struct jobvalue_place *c, const char *name, const json_t *value)
{
	if (check_text(c, value) < 0)
		return -EINVAL;
	if (c->key->rule == JK_RULE_ENV)
		return jobexec_check_variable(c, name, json_string_length(value));
	if (c->key->rule == JK_RULE_HEADERS)
		return check_header(c, name, value);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A new object with the members of @map by rising name. */
static json_t *sorted_map(json_t *map)
{
	size_t n = 0, size = json_object_size(map);
	const char **names = xreallocarray(NULL, size, sizeof(*names));
	json_t *sorted = xjson(json_object()), *value;
	const char *name;

	json_object_foreach(map, name, value)
		names[n++] = name;
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		value = json_object_get(map, names[i]);
		if (json_object_set_nocheck(sorted, names[i], value) < 0)
			xalloc_die();
	}
	free(names);
	return sorted;
}

/* The order of members means nothing, so the normal form has them sorted. */
static json_t *normal_map(struct jobvalue_place *c, const json_t *value)
{
	json_t *map = (json_t *)(uintptr_t)value, *member;
	bool is_sorted = true;
	const char *before = NULL;

	if (!json_is_object(value))
		return refuse(c, "must be an object whose values are strings");
	if (json_object_size(value) > JOB_MEMBERS_MAX)
		return refuse(c, "must not have more than %d members", JOB_MEMBERS_MAX);
	json_object_foreach(map, c->member, member) {
		if (check_member(c, c->member, member) < 0)
			return NULL;
		if (before && strcmp(before, c->member) > 0)
			is_sorted = false;
		before = c->member;
	}
	return is_sorted ? keep(value) : sorted_map(map);
}

/* ---- numbers ---- */

static json_t *normal_integer(struct jobvalue_place *c, const json_t *value)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return refuse(c, "must be an integer");
	if (n < c->key->min || n > c->key->max)
		return refuse(c, "must be from %lld to %lld", (long long)c->key->min,
			      (long long)c->key->max);
	return keep(value);
}

/* A list with @item alone.  Takes it; NULL stays NULL. */
static json_t *list_of_one(json_t *item)
{
	json_t *list;

	if (!item)
		return NULL;
	list = xjson(json_array());
	if (json_array_append_new(list, item) < 0)
		xalloc_die();
	return list;
}

/* An item that holds a reference is looked at when that is replaced. */
static bool is_open(const struct jobvalue_place *c, const json_t *value)
{
	return !c->is_resolved && c->key->flags & JK_REFS && jobrefs_has(value);
}

/*
 * One item or a list of items, each of which @normal_item makes normal: a
 * list of them.
 */
static json_t *normal_list(struct jobvalue_place *c, const json_t *value,
			   json_t *(*normal_item)(struct jobvalue_place *c, const json_t *value))
{
	json_t *list;

	if (!json_is_array(value))
		return list_of_one(normal_item(c, value));
	if (json_array_size(value) == 0)
		return refuse(c, "must have at least one item");
	list = xjson(json_array());
	for (c->index = 0; c->index < json_array_size(value); c->index++) {
		const json_t *given = json_array_get(value, c->index);
		json_t *item = is_open(c, given) ? keep(given) : normal_item(c, given);

		if (!item) {
			json_decref(list);
			return NULL;
		}
		if (json_array_append_new(list, item) < 0)
			xalloc_die();
	}
	return list;
}

static json_t *normal_integers(struct jobvalue_place *c, const json_t *value)
{
	return normal_list(c, value, normal_integer);
}

static json_t *normal_number(struct jobvalue_place *c, const json_t *value)
{
	double number = json_number_value(value);

	if (!json_is_number(value))
		return refuse(c, "must be a number");
	if (!(number >= (double)c->key->min && number <= (double)c->key->max))
		return refuse(c, "must be from %lld to %lld", (long long)c->key->min,
			      (long long)c->key->max);
	if (json_is_real(value) && number == (double)(json_int_t)number)
		return xjson(json_integer((json_int_t)number));
	return keep(value);
}

static json_t *normal_bool(struct jobvalue_place *c, const json_t *value)
{
	return json_is_boolean(value) ? keep(value) : refuse(c, "must be true or false");
}

static json_t *normal_duration(struct jobvalue_place *c, const json_t *value)
{
	const char *why;
	int64_t us;

	if (duration_from_json(value, &us, &why) < 0)
		return refuse(c, "%s", why);
	if (us < c->key->min)
		return refuse(c, "must be more than zero");
	if (us > c->key->max) {
		struct buf most = { 0 };

		duration_format(c->key->max, &most);
		jobvalue_refuse(c, "is longer than %s", buf_terminate(&most));
		buf_fini(&most);
		return NULL;
	}
	return json_is_integer(value) ? keep(value) : duration_to_json(us);
}

static json_t *normal_time(struct jobvalue_place *c, const json_t *value)
{
	const char *why, *text = json_string_value(value);
	char normal[TIME_TEXT_BYTES];
	int64_t ms;

	if (!json_is_string(value))
		return refuse(c, "must be a string, like \"2026-11-20T10:00:00Z\"");
	if (strlen(text) != json_string_length(value))
		return refuse(c, "must not contain a NUL character");
	if (time_parse(text, &ms, &why) < 0)
		return refuse(c, "%s", why);
	time_format(ms, normal);
	return xjson(json_string(normal));
}

static json_t *normal_size(struct jobvalue_place *c, const json_t *value)
{
	const char *why;
	int64_t bytes;

	if (size_from_json(value, &bytes, &why) < 0)
		return refuse(c, "%s", why);
	if (bytes < c->key->min)
		return refuse(c, "must be more than zero");
	if (bytes > c->key->max)
		return refuse(c, "must be at most %lld bytes", (long long)c->key->max);
	return json_is_integer(value) ? keep(value) : xjson(json_integer(bytes));
}

/* ---- words with a form of their own ---- */

static json_t *normal_choice(struct jobvalue_place *c, const json_t *value)
{
	const char *word = json_string_value(value);
	const char *const *choice;
	struct buf all = { 0 };

	for (choice = c->key->choices; word && *choice; choice++)
		if (strcmp(word, *choice) == 0)
			return keep(value);
	for (choice = c->key->choices; *choice; choice++)
		buf_addf(&all, "%s\"%s\"", all.len ? ", " : "", *choice);
	jobvalue_refuse(c, "must be one of %s", buf_terminate(&all));
	buf_fini(&all);
	return NULL;
}

/* The three digits of a status at @s, or -1. */
static int status_at(const char *s)
{
	if (s[0] < '1' || s[0] > '5' || !is_digit(s[1]) || !is_digit(s[2]))
		return -1;
	return (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
}

/* 204, "204" and "204-204" are the integer; a real range is a string. */
static json_t *normal_status(struct jobvalue_place *c, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	json_int_t first = -1, last = -1;

	if (json_is_integer(value)) {
		first = last = json_integer_value(value);
	} else if (text && len == 3) {
		first = last = status_at(text);
	} else if (text && len == 7 && text[3] == '-') {
		first = status_at(text);
		last = status_at(text + 4);
	}
	if (first < 100 || last > 599 || first > last)
		return refuse(c, "must be an HTTP status (100 to 599) or a range like \"200-299\"");
	return first == last ? xjson(json_integer(first)) : keep(value);
}

static json_t *normal_expect(struct jobvalue_place *c, const json_t *value)
{
	return normal_list(c, value, normal_status);
}

static json_t *normal_checksum(struct jobvalue_place *c, const json_t *value)
{
	static const char start[] = "sha256:";
	const size_t start_len = sizeof(start) - 1, len = start_len + 64;
	const char *text = json_string_value(value);
	char normal[sizeof(start) + 64];

	if (!text || json_string_length(value) != len || memcmp(text, start, start_len) != 0)
		return refuse(c, "must be \"sha256:\" and 64 hexadecimal digits");
	memcpy(normal, text, len);
	for (size_t i = start_len; i < len; i++) {
		if (normal[i] >= 'A' && normal[i] <= 'F')
			normal[i] = (char)(normal[i] - 'A' + 'a');
		if (!is_digit(normal[i]) && (normal[i] < 'a' || normal[i] > 'f'))
			return refuse(c, "must be \"sha256:\" and 64 hexadecimal digits");
	}
	return xjson(json_stringn(normal, len));
}

/* As text, because the number 22 would not be the mode 022. */
static json_t *normal_mode(struct jobvalue_place *c, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (!text || !len || len > 4 || strspn(text, "01234567") != len ||
	    strtol(text, NULL, 8) > 0777)
		return refuse(c, "must be permissions in octal, as text: \"0000\" to \"0777\"");
	return xjson(json_sprintf("%04lo", (unsigned long)strtol(text, NULL, 8)));
}

static json_t *normal_url(struct jobvalue_place *c, const json_t *value)
{
	const char *text = json_string_value(value), *why;

	if (check_text(c, value) < 0)
		return NULL;
	if (has_control(text, json_string_length(value)) || strchr(text, ' '))
		return refuse(c, "must not contain spaces or control characters");
	why = joburl_check(text);
	return why ? refuse(c, "%s", why) : keep(value);
}

/* ---- errors ---- */

/* "exit:75", "http:503": its number, written in its one way, or -1. */
static int number_behind(const char *text, const char *start, int least, int most)
{
	size_t len = strlen(start);
	const char *digits = text + len;
	int n = 0;

	if (strncmp(text, start, len) != 0 || strspn(digits, "0123456789") != strlen(digits) ||
	    !*digits || strlen(digits) > 3 || (digits[0] == '0' && digits[1]))
		return -1;
	for (; *digits; digits++)
		n = n * 10 + (*digits - '0');
	return n >= least && n <= most ? n : -1;
}

/* Errors of attempts that another one may follow (R2.5), which have to be told from all others. */
static json_t *normal_error(struct jobvalue_place *c, const json_t *value)
{
	static const enum aw_code passing[] = {
		AW_EXIT,     AW_SIGNAL,	   AW_SPAWN, AW_HTTP,	      AW_NETWORK, AW_TLS,
		AW_CHECKSUM, AW_TOO_LARGE, AW_IO,    AW_STORAGE_FULL, AW_TIMEOUT, AW_PART_FAILED,
	};
	static const enum aw_code final[] = {
		AW_DEADLINE, AW_LOST, AW_CRASH_LOOP, AW_DAMAGED, AW_NEEDS, AW_CANCELLED,
	};
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < sizeof(passing) / sizeof(*passing); i++)
		if (strcmp(text, aw_code_word(passing[i])) == 0)
			return keep(value);
	for (size_t i = 0; text && i < sizeof(final) / sizeof(*final); i++)
		if (strcmp(text, aw_code_word(final[i])) == 0)
			return refuse(c, "is \"%s\", which no further attempt follows", text);
	if (text && json_string_length(value) == strlen(text) &&
	    (number_behind(text, "exit:", 0, 255) >= 0 ||
	     number_behind(text, "http:", 100, 599) >= 0))
		return keep(value);
	return refuse(c, "must be an error's code like \"network\", an exit status like "
			 "\"exit:75\" or an HTTP status like \"http:503\"");
}

static json_t *normal_errors(struct jobvalue_place *c, const json_t *value)
{
	json_t *list;

	if (json_array_size(value) > JOB_RETRY_ON_MAX)
		return refuse(c, "has more than %d items", JOB_RETRY_ON_MAX);
	list = normal_list(c, value, normal_error);
	for (c->index = 0; list && c->index < json_array_size(list); c->index++)
		for (size_t i = 0; i < c->index; i++)
			if (json_equal(json_array_get(list, c->index), json_array_get(list, i))) {
				json_decref(list);
				return refuse(c, "is there twice");
			}
	return list;
}

/* ---- objects with keys of their own ---- */

/* From now on @c is at the member @key of @whole, or back at @key itself. */
static void move_to(struct jobvalue_place *c, const struct jobkey *whole, const struct jobkey *key)
{
	c->whole = whole;
	c->key = key;
	c->member = NULL;
	c->index = JOBVALUE_NO_INDEX;
}

static int check_names(struct jobvalue_place *c, const json_t *value)
{
	json_t *object = (json_t *)(uintptr_t)value, *member;
	const char *name;

	json_object_foreach(object, name, member) {
		const struct jobkey *key = c->key->members;

		while (key->name && strcmp(key->name, name) != 0)
			key++;
		if (!key->name) {
			c->member = name;
			return jobvalue_refuse(c, "is unknown");
		}
	}
	return 0;
}

static json_t *normal_object(struct jobvalue_place *c, const json_t *value)
{
	const struct jobkey *whole = c->key;
	json_t *normal;

	if (!json_is_object(value))
		return refuse(c, "must be an object");
	if (check_names(c, value) < 0)
		return NULL;
	normal = xjson(json_object());
	for (const struct jobkey *key = whole->members; key->name; key++) {
		const json_t *given = json_object_get(value, key->name);
		json_t *member;

		if (!given)
			continue;
		move_to(c, whole, key);
		member = jobvalue_normal(c, given);
		if (!member) {
			json_decref(normal);
			return NULL;
		}
		if (json_object_set_new_nocheck(normal, key->name, member) < 0)
			xalloc_die();
	}
	move_to(c, NULL, whole);
	return normal;
}

/* Take what @value holds from *n_left; false: that is not enough.  As deep as a line may be. */
static bool count_values(const json_t *value, size_t *n_left)
{
	json_t *map = (json_t *)(uintptr_t)value, *member;
	const char *name;

	if (*n_left == 0)
		return false;
	--*n_left;
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!count_values(json_array_get(value, i), n_left))
			return false;
	json_object_foreach(map, name, member)
		if (!count_values(member, n_left))
			return false;
	return true;
}

static json_t *normal_json(struct jobvalue_place *c, const json_t *value)
{
	size_t n_left = JOB_VALUES_MAX;

	if (!c->is_resolved && !count_values(value, &n_left))
		return refuse(c, "must not hold more than %d values", JOB_VALUES_MAX);
	return keep(value);
}

/* Documents, not values: jobdoc.c looks at them before it comes here. */
static json_t *normal_parts(struct jobvalue_place *c, const json_t *value)
{
	(void)value;
	return refuse(c, "must be a list of job documents");
}

/* The normal form of each type: a new reference, or NULL with the reason in c->err. */
static json_t *(*const normal_forms[N_JOBKEY_TYPES])(struct jobvalue_place *c,
						     const json_t *value) = {
	[JK_STRING] = normal_string,	 [JK_LABEL] = normal_label,
	[JK_LABELS] = normal_labels,	 [JK_STRINGS] = normal_strings,
	[JK_MAP] = normal_map,		 [JK_INTEGER] = normal_integer,
	[JK_INTEGERS] = normal_integers, [JK_NUMBER] = normal_number,
	[JK_BOOL] = normal_bool,	 [JK_DURATION] = normal_duration,
	[JK_TIME] = normal_time,	 [JK_SIZE] = normal_size,
	[JK_CHOICE] = normal_choice,	 [JK_EXPECT] = normal_expect,
	[JK_CHECKSUM] = normal_checksum, [JK_URL] = normal_url,
	[JK_MODE] = normal_mode,	 [JK_JSON] = normal_json,
	[JK_NEEDS] = jobneeds_normal,	 [JK_ERRORS] = normal_errors,
	[JK_OBJECT] = normal_object,	 [JK_PARTS] = normal_parts,
};

/* A reference where it cannot wait for its result. */
static bool has_misplaced_reference(struct jobvalue_place *c, const json_t *value)
{
	static const char why[] = "must not hold a reference to a result (${NAME:/pointer}): it is "
				  "needed before the job starts";

	if (c->key->flags & JK_REFS || c->is_resolved)
		return false;
	if (jobrefs_has(value))
		return jobvalue_refuse(c, "%s", why) < 0;
	for (size_t i = 0; i < json_array_size(value); i++)
		if (jobrefs_has(json_array_get(value, i))) {
			c->index = i;
			return jobvalue_refuse(c, "%s", why) < 0;
		}
	return false;
}

json_t *jobvalue_normal(struct jobvalue_place *c, const json_t *value)
{
	if (has_misplaced_reference(c, value))
		return NULL;
	return is_open(c, value) ? keep(value) : normal_forms[c->key->type](c, value);
}

bool jobvalue_is_secret(const struct jobkey *key, const json_t *value)
{
	if (!(key->flags & JK_SECRET))
		return false;
	if (key->type == JK_URL)
		return joburl_is_secret(value);
	return !json_is_object(value) || json_object_size(value) > 0;
}

static json_t *masked_map(json_t *map)
{
	json_t *masked = xjson(json_object()), *value;
	const char *name;

	json_object_foreach(map, name, value)
		if (json_object_set_new_nocheck(masked, name, json_string(MASK)) < 0)
			xalloc_die();
	return masked;
}

json_t *jobvalue_masked(const struct jobkey *key, json_t *value)
{
	if (key->type == JK_URL)
		return joburl_masked(value);
	return json_is_object(value) ? masked_map(value) : xjson(json_string(MASK));
}
