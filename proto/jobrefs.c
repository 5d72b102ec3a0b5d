/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobrefs.h"

#include <string.h>

#include "proto/buf.h"
#include "proto/jobkeys.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* ---- what a reference looks like ---- */

/* The end of the name at @s: its ":", or NULL if there is none that ends one. */
static const char *name_end(const char *s, const char *end)
{
	for (const char *p = s; p < end; p++) {
		if (*p == '{' || *p == '}' || (unsigned char)*p < 0x20 || *p == 0x7f)
			return NULL;
		if (*p == ':' && p + 1 < end && (p[1] == '/' || p[1] == '}'))
			return p > s && p - s <= JOB_NAME_MAX_BYTES ? p : NULL;
	}
	return NULL;
}

/* Is there a reference at @s, which is a "${"? */
static bool match_at(const char *s, const char *end, struct jobrefs_match *ret)
{
	const char *colon = name_end(s + 2, end), *brace;
	size_t most = JOB_POINTER_MAX_BYTES + 2;

	if (!colon)
		return false;
	/* Bounded: a text may be full of beginnings that have no end. */
	brace = memchr(colon, '}', most < (size_t)(end - colon) ? most : (size_t)(end - colon));
	if (!brace)
		return false;
	*ret = (struct jobrefs_match){
		.text = s,
		.len = (size_t)(brace + 1 - s),
		.name = s + 2,
		.name_len = (size_t)(colon - s - 2),
		.pointer = colon + 1,
		.pointer_len = (size_t)(brace - colon - 1),
	};
	return true;
}

bool jobrefs_find(const char *text, size_t len, struct jobrefs_match *ret)
{
	const char *end = text + len;

	for (const char *s = text; (s = memchr(s, '$', (size_t)(end - s))); s++) {
		if (s + 1 == end || s[1] != '{')
			continue;
		/* One "$" in front is enough, and the one behind an escape is none. */
		if (s > text && s[-1] == '$') {
			*ret = (struct jobrefs_match){ .text = s - 1, .len = 3, .is_escape = true };
			return true;
		}
		if (match_at(s, end, ret))
			return true;
	}
	return false;
}

/* The first reference of the string @value, escapes left out. */
static bool find_reference(const json_t *value, struct jobrefs_match *ret)
{
	const char *text = json_string_value(value);
	size_t left = json_string_length(value);

	while (text && jobrefs_find(text, left, ret)) {
		if (!ret->is_escape)
			return true;
		left -= (size_t)(ret->text + ret->len - text);
		text = ret->text + ret->len;
	}
	return false;
}

bool jobrefs_has(const json_t *value)
{
	struct jobrefs_match match;

	return find_reference(value, &match);
}

bool jobrefs_is_id(const char *name, size_t len, int64_t *ret_id)
{
	int64_t id = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		if (id > (INT64_MAX - (name[i] - '0')) / 10)
			id = -1;
		if (id >= 0)
			id = id * 10 + (name[i] - '0');
	}
	*ret_id = name[0] == '0' || id < 0 ? 0 : id;
	return true;
}

bool jobrefs_is_pointer(const char *pointer, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (pointer[i] == '~' &&
		    (i + 1 == len || (pointer[i + 1] != '0' && pointer[i + 1] != '1')))
			return false;
	return len == 0 || pointer[0] == '/';
}

/* ---- walking through a document ---- */

void jobrefs_add_path(struct buf *b, const struct jobrefs_place *place)
{
	if (place->up)
		jobrefs_add_path(b, place->up);
	if (place->name) {
		buf_add_pointer_step(b, place->name);
	} else {
		buf_addc(b, '/');
		buf_addi(b, (int64_t)place->index);
	}
}

static int each_in(const json_t *value, const struct jobrefs_place *place, jobrefs_visit *visit,
		   void *arg)
{
	json_t *v = (json_t *)(uintptr_t)value, *item;
	struct jobrefs_place inner = { .up = place };
	const char *text = json_string_value(value);
	size_t left = json_string_length(value);
	struct jobrefs_match match;
	int r = 0;

	while (text && r == 0 && jobrefs_find(text, left, &match)) {
		r = visit(arg, place, &match);
		left -= (size_t)(match.text + match.len - text);
		text = match.text + match.len;
	}
	for (; r == 0 && inner.index < json_array_size(value); inner.index++)
		r = each_in(json_array_get(value, inner.index), &inner, visit, arg);
	json_object_foreach(v, inner.name, item) {
		if (r != 0)
			break;
		r = each_in(item, &inner, visit, arg);
	}
	return r;
}

int jobrefs_each(const struct jobkey *key, const json_t *value, jobrefs_visit *visit, void *arg)
{
	const struct jobrefs_place place = { .name = key->name };

	return key->flags & JK_REFS ? each_in(value, &place, visit, arg) : 0;
}

/* ---- looking up ---- */

/* The item of a list that @step means; "-" and "01" mean none. */
static const json_t *item_at(const json_t *list, const char *step, size_t len)
{
	size_t index = 0;

	if (len == 0 || len > 9 || (len > 1 && step[0] == '0'))
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (step[i] < '0' || step[i] > '9')
			return NULL;
		index = index * 10 + (size_t)(step[i] - '0');
	}
	return json_array_get(list, index);
}

/* The value at @pointer in @value, borrowed, or NULL. */
static const json_t *value_at(const json_t *value, const char *pointer, size_t len)
{
	const char *end = pointer + len;
	struct buf step = { 0 };

	while (value && pointer < end) {
		step.len = 0;
		for (pointer++; pointer < end && *pointer != '/'; pointer++) {
			char c = *pointer;

			if (c == '~' && pointer + 1 < end)
				c = *++pointer == '0' ? '~' : '/';
			buf_addc(&step, c);
		}
		buf_terminate(&step);
		value = json_is_array(value) ? item_at(value, step.data, step.len)
					     : json_object_getn(value, step.data, step.len);
	}
	buf_fini(&step);
	return value;
}

/* ---- replacing ---- */

struct resolving {
	const struct jobrefs_source *source;
	struct aw_err *err;
	size_t n_bytes; /* that have been put in */
};

static json_t *fail(const struct resolving *r, const struct jobrefs_place *place,
		    const struct jobrefs_match *match, const char *why)
{
	struct buf path = { 0 };
	int len = match->len > 200 ? 200 : (int)match->len;

	jobrefs_add_path(&path, place);
	buf_terminate(&path);
	aw_fail_at(r->err, AW_NEEDS, path.data, "%.*s in %.160s %s", len, match->text, path.data,
		   why);
	aw_err_fact(r->err, "reference", json_stringn(match->text, match->len));
	aw_err_fact(r->err, "pointer", json_string(path.data));
	buf_fini(&path);
	return NULL;
}

static int count(const char *text, size_t len, void *arg)
{
	size_t *left = arg;

	(void)text;
	if (len > *left)
		return -1;
	*left -= len;
	return 0;
}

/* Add the size of @value to what has been put in.  False: that is too much. */
static bool has_room_for(struct resolving *r, const json_t *value)
{
	size_t left = JOB_RESULTS_MAX_BYTES - r->n_bytes;

	if (json_dump_callback(value, count, &left, BUF_JSON_DUMP_FLAGS | JSON_ENCODE_ANY) < 0)
		return false;
	r->n_bytes = JOB_RESULTS_MAX_BYTES - left;
	return true;
}

/* Has @value at most @most levels? */
static bool is_flat(const json_t *value, size_t most)
{
	json_t *v = (json_t *)(uintptr_t)value, *item;
	const char *name;
	size_t i;

	if (!json_is_array(value) && !json_is_object(value))
		return true;
	if (most == 0)
		return false;
	json_array_foreach(v, i, item)
		if (!is_flat(item, most - 1))
			return false;
	json_object_foreach(v, name, item)
		if (!is_flat(item, most - 1))
			return false;
	return true;
}

/* The value of a reference, borrowed, or NULL with the reason. */
static const json_t *look_up(struct resolving *r, const struct jobrefs_place *place,
			     const struct jobrefs_match *match)
{
	const json_t *result = r->source->look_up(r->source->arg, match->name, match->name_len);
	const json_t *value;
	size_t depth = 0;

	if (!result)
		return fail(r, place, match, "cannot be replaced: that job has no result");
	value = value_at(result, match->pointer, match->pointer_len);
	if (!value)
		return fail(r, place, match, "points at nothing in that job's result");
	for (const struct jobrefs_place *p = place; p; p = p->up)
		depth++;
	if (depth > PROTO_DEPTH_MAX || !is_flat(value, PROTO_DEPTH_MAX - depth))
		return fail(r, place, match, "makes the document deeper than 64 levels");
	if (!has_room_for(r, value))
		return fail(r, place, match,
			    "makes the document too large: results of up to 1 MiB can be put in");
	return value;
}

/* A string with text around its references, or escapes. */
static json_t *resolve_text(struct resolving *r, const struct jobrefs_place *place,
			    const char *text, size_t len)
{
	const char *end = text + len;
	struct jobrefs_match match;
	struct buf b = { 0 };
	json_t *resolved = NULL;

	while (jobrefs_find(text, (size_t)(end - text), &match)) {
		const json_t *value = NULL;

		buf_add(&b, text, (size_t)(match.text - text));
		text = match.text + match.len;
		if (!match.is_escape) {
			value = look_up(r, place, &match);
			if (!value)
				goto out;
		}
		if (match.is_escape)
			buf_adds(&b, "${");
		else if (json_is_string(value))
			buf_add(&b, json_string_value(value), json_string_length(value));
		else
			buf_add_json(&b, value);
	}
	buf_add(&b, text, (size_t)(end - text));
	resolved = xjson(json_stringn(b.len ? b.data : "", b.len));
out:
	buf_fini(&b);
	return resolved;
}

static json_t *resolve_string(struct resolving *r, const struct jobrefs_place *place,
			      json_t *string)
{
	const char *text = json_string_value(string);
	size_t len = json_string_length(string);
	struct jobrefs_match match;
	const json_t *value;

	if (!jobrefs_find(text, len, &match))
		return json_incref(string);
	if (match.is_escape || match.len != len)
		return resolve_text(r, place, text, len);
	value = look_up(r, place, &match);
	return json_incref((json_t *)(uintptr_t)value);
}

static json_t *resolve_value(struct resolving *r, const struct jobrefs_place *place, json_t *value)
{
	struct jobrefs_place inner = { .up = place };
	json_t *whole, *item;

	if (json_is_string(value))
		return resolve_string(r, place, value);
	if (json_is_array(value)) {
		whole = xjson(json_array());
		json_array_foreach(value, inner.index, item) {
			item = resolve_value(r, &inner, item);
			if (!item)
				goto failed;
			if (json_array_append_new(whole, item) < 0)
				xalloc_die();
		}
		return whole;
	}
	if (!json_is_object(value))
		return json_incref(value);
	whole = xjson(json_object());
	json_object_foreach(value, inner.name, item) {
		item = resolve_value(r, &inner, item);
		if (!item)
			goto failed;
		if (json_object_set_new_nocheck(whole, inner.name, item) < 0)
			xalloc_die();
	}
	return whole;
failed:
	json_decref(whole);
	return NULL;
}

json_t *jobrefs_resolve(enum job_kind kind, const json_t *spec, const struct jobrefs_source *source,
			struct aw_err *err)
{
	struct resolving r = { .source = source, .err = err };
	json_t *from = (json_t *)(uintptr_t)spec, *resolved = xjson(json_object()), *value;
	const char *name;

	json_object_foreach(from, name, value) {
		const struct jobkey *key = jobkey_find(kind, name);
		struct jobrefs_place place = { .name = name };

		value = key && key->flags & JK_REFS ? resolve_value(&r, &place, value)
						    : json_incref(value);
		if (!value) {
			json_decref(resolved);
			return NULL;
		}
		if (json_object_set_new_nocheck(resolved, name, value) < 0)
			xalloc_die();
	}
	return resolved;
}
