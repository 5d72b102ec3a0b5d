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
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#define MASK "***"

/* ---- errors ---- */

/* RFC 6901: "~" and "/" have their own spelling in a pointer. */
static void add_pointer_step(struct buf *b, const char *name)
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

int jobvalue_fail(const struct jobvalue_place *c, enum aw_code code, const char *name,
		  const char *text)
{
	struct buf path = { 0 };

	buf_adds(&path, c->prefix);
	add_pointer_step(&path, name);
	if (c->member)
		add_pointer_step(&path, c->member);
	else if (c->index != JOBVALUE_NO_INDEX)
		buf_addf(&path, "/%zu", c->index);
	aw_fail_at(c->err, code, buf_terminate(&path), "%s", text);
	buf_fini(&path);
	return -EINVAL;
}

/* "KEY" @fmt..., of the key or the item of it that is being looked at.  Always -EINVAL. */
static int fail(const struct jobvalue_place *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static int fail(const struct jobvalue_place *c, const char *fmt, ...)
{
	char text[sizeof(c->err->message)];
	const char *key = c->key->name;
	va_list ap;
	int n;

	if (c->member)
		n = snprintf(text, sizeof(text), "\"%.64s\" in \"%s\" ", c->member, key);
	else if (c->index != JOBVALUE_NO_INDEX)
		n = snprintf(text, sizeof(text), "an item of \"%s\" ", key);
	else
		n = snprintf(text, sizeof(text), "\"%s\" ", key);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	return jobvalue_fail(c, AW_PARAMS, c->key->name, text);
}

/* The same where a value is asked for. */
#define refuse(...) (fail(__VA_ARGS__), (json_t *)NULL)

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
		return fail(c, "must be a string");
	if ((int64_t)len < c->key->min)
		return fail(c, "must not be empty");
	if ((int64_t)len > c->key->max)
		return fail(c, "is longer than %lld bytes", (long long)c->key->max);
	if (c->key->flags & JK_NO_NUL && memchr(s, '\0', len))
		return fail(c, "must not contain a NUL character");
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
		return fail(c, "must not contain control characters");
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
 * What the daemon and the service manager tell their children, and what would
 * change how programs are loaded (R3.4).
 */
static bool is_reserved_variable(const char *name)
{
	static const char *const whole[] = { "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY" };
	static const char *const starts[] = { "AWAITD_", "LD_", "LISTEN_", "WATCHDOG_" };

	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (strncmp(name, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

static int check_variable(const struct jobvalue_place *c, const char *name)
{
	if (!is_letter(*name) && *name != '_')
		return fail(c, "is no name of a variable (letters, digits and \"_\")");
	for (const char *s = name; *s; s++)
		if (!is_letter(*s) && !is_digit(*s) && *s != '_')
			return fail(c, "is no name of a variable (letters, digits and \"_\")");
	if (is_reserved_variable(name))
		return fail(c, "cannot be set: such names are reserved");
	return 0;
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
			return fail(c, "is no name of an HTTP header");
	if (!*name)
		return fail(c, "is no name of an HTTP header");
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (strcasecmp(name, ours[i].name) == 0)
			return fail(c, "cannot be set: %s", ours[i].why);
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return fail(c, "must not have line breaks or control characters");
	return 0;
}

static int check_member(const struct jobvalue_place *c, const char *name, const json_t *value)
{
	if (check_text(c, value) < 0)
		return -EINVAL;
	if (c->key->rule == JK_RULE_ENV)
		return check_variable(c, name);
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
		json_t *item = normal_item(c, json_array_get(value, c->index));

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
		fail(c, "is longer than %s", buf_terminate(&most));
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
	struct buf all = { 0 };

	for (const char *const *choice = c->key->choices; *choice; choice++) {
		if (word && strcmp(word, *choice) == 0) {
			buf_fini(&all);
			return keep(value);
		}
		buf_addf(&all, "%s\"%s\"", all.len ? ", " : "", *choice);
	}
	fail(c, "must be one of %s", buf_terminate(&all));
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

/* ---- URLs ---- */

/*
 * The parts of a URL that we look at; libcurl takes it apart for real.  The
 * authority is everything up to "/", "?" or "#", as libcurl has it, and the
 * user part everything in it before its last "@".
 */
struct url {
	const char *authority;
	const char *host; /* behind the user part; == authority without one */
	const char *end;  /* of the authority */
};

static bool url_split(const char *text, struct url *ret)
{
	if (strncasecmp(text, "http://", 7) == 0)
		ret->authority = text + 7;
	else if (strncasecmp(text, "https://", 8) == 0)
		ret->authority = text + 8;
	else
		return false;
	ret->end = ret->authority + strcspn(ret->authority, "/?#");
	ret->host = ret->authority;
	for (const char *p = ret->authority; p < ret->end; p++)
		if (*p == '@')
			ret->host = p + 1;
	return true;
}

/* A name or a literal address, then a port if there is one. */
static bool is_good_host(const char *host, const char *end)
{
	const char *p = host;
	long port = 0;

	if (p < end && *p == '[') {
		p = memchr(p, ']', (size_t)(end - p));
		if (!p || p == host + 1)
			return false;
		p++;
	} else {
		while (p < end && *p != ':')
			p++;
		if (p == host)
			return false;
	}
	if (p == end)
		return true;
	if (*p++ != ':')
		return false;
	for (; p < end; p++) {
		if (!is_digit(*p))
			return false;
		port = port * 10 + (*p - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

static json_t *normal_url(struct jobvalue_place *c, const json_t *value)
{
	const char *text = json_string_value(value);
	struct url url;

	if (check_text(c, value) < 0)
		return NULL;
	if (has_control(text, json_string_length(value)) || strchr(text, ' '))
		return refuse(c, "must not contain spaces or control characters");
	if (!url_split(text, &url))
		return refuse(c, "must begin with http:// or https://");
	/* A backslash there is read in more than one way, which is how hosts get faked. */
	if (memchr(url.authority, '\\', (size_t)(url.end - url.authority)) ||
	    !is_good_host(url.host, url.end))
		return refuse(c, "has no valid host");
	return keep(value);
}

static bool url_has_user(const json_t *value)
{
	struct url url;

	return url_split(json_string_value(value), &url) && url.host > url.authority;
}

static json_t *masked_url(const json_t *value)
{
	const char *text = json_string_value(value);
	struct buf b = { 0 };
	struct url url;
	json_t *masked;

	if (!text || !url_split(text, &url))
		return xjson(json_string(MASK));
	buf_add(&b, text, (size_t)(url.authority - text));
	if (url.host > url.authority)
		buf_adds(&b, MASK "@");
	buf_adds(&b, url.host);
	masked = xjson(json_stringn(buf_terminate(&b), b.len));
	buf_fini(&b);
	return masked;
}

static json_t *normal_json(struct jobvalue_place *c, const json_t *value)
{
	(void)c;
	return keep(value);
}

static json_t *normal_later(struct jobvalue_place *c, const json_t *value)
{
	char text[128];

	(void)value;
	snprintf(text, sizeof(text), "\"%s\" is not supported by this version of awaitd",
		 c->key->name);
	jobvalue_fail(c, AW_UNSUPPORTED, c->key->name, text);
	return NULL;
}

/* The normal form of each type: a new reference, or NULL with the reason in c->err. */
static json_t *(*const normal_forms[N_JOBKEY_TYPES])(struct jobvalue_place *c,
						     const json_t *value) = {
	[JK_STRING] = normal_string,	 [JK_LABEL] = normal_label,
	[JK_LABELS] = normal_labels,	 [JK_STRINGS] = normal_strings,
	[JK_MAP] = normal_map,		 [JK_INTEGER] = normal_integer,
	[JK_INTEGERS] = normal_integers, [JK_BOOL] = normal_bool,
	[JK_DURATION] = normal_duration, [JK_TIME] = normal_time,
	[JK_SIZE] = normal_size,	 [JK_CHOICE] = normal_choice,
	[JK_EXPECT] = normal_expect,	 [JK_CHECKSUM] = normal_checksum,
	[JK_URL] = normal_url,		 [JK_JSON] = normal_json,
	[JK_LATER] = normal_later,
};

json_t *jobvalue_normal(struct jobvalue_place *c, const json_t *value)
{
	return normal_forms[c->key->type](c, value);
}

bool jobvalue_is_secret(const struct jobkey *key, const json_t *value)
{
	if (!(key->flags & JK_SECRET))
		return false;
	if (key->type == JK_URL)
		return url_has_user(value);
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
		return masked_url(value);
	return json_is_object(value) ? masked_map(value) : xjson(json_string(MASK));
}
