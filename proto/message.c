/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/xalloc.h"

static bool is_good_id(const json_t *id)
{
	if (json_is_string(id))
		return json_string_length(id) <= PROTO_ID_MAX_BYTES;
	return json_is_integer(id) || json_is_null(id);
}

/* Only the four members of a request, each at most once (the parser saw to that). */
static int check_members(json_t *request, struct aw_err *err)
{
	static const char *const members[] = { "jsonrpc", "id", "method", "params" };
	const size_t n_members = sizeof(members) / sizeof(*members);
	const char *name;
	json_t *value;

	json_object_foreach(request, name, value) {
		size_t i = 0;

		while (i < n_members && strcmp(members[i], name) != 0)
			i++;
		if (i == n_members)
			return aw_fail(err, AW_REQUEST, "a request has no member \"%s\"", name);
	}
	return 0;
}

int message_parse(const json_t *value, struct message *ret, struct aw_err *err)
{
	const char *version = json_string_value(json_object_get(value, "jsonrpc"));
	const json_t *id = json_object_get(value, "id");
	const json_t *method = json_object_get(value, "method");
	json_t *params = json_object_get(value, "params");

	*ret = (struct message){ .id = NULL };
	if (!json_is_object(value))
		return aw_fail(err, AW_REQUEST, "a request is an object");
	if (id && !is_good_id(id))
		return aw_fail(err, AW_REQUEST,
			       "\"id\" must be an integer, a string of at most %d bytes, or null",
			       PROTO_ID_MAX_BYTES);
	ret->id = id;
	if (!version || strcmp(version, "2.0") != 0)
		return aw_fail(err, AW_REQUEST, "\"jsonrpc\" must be \"2.0\"");
	if (!json_is_string(method))
		return aw_fail(err, AW_REQUEST, "\"method\" must be a string");
	/* Iterating wants a writable object, and does not write. */
	if (check_members((json_t *)(uintptr_t)value, err) < 0)
		return -EINVAL;
	if (json_is_array(params))
		return aw_fail(err, AW_PARAMS, "\"params\" is an object, not a list");
	if (params && !json_is_object(params))
		return aw_fail(err, AW_PARAMS, "\"params\" is an object");
	ret->method = json_string_value(method);
	ret->params = params;
	return 0;
}

static void add_head(struct buf *b, const json_t *id)
{
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":";

	buf_add(b, head, sizeof(head) - 1);
	buf_add_json(b, id);
}

void message_begin_result(struct buf *b, const json_t *id)
{
	static const char result[] = ",\"result\":";

	add_head(b, id);
	buf_add(b, result, sizeof(result) - 1);
}

static void set(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) < 0)
		xalloc_die();
}

/* {"code", "message", "data": {"code", "path", facts...}}.  Gives it. */
static json_t *error_json(const struct aw_err *err)
{
	enum aw_code code = err->code == AW_OK ? AW_INTERNAL : err->code;
	const char *word = aw_code_word(code);
	const char *message = err->message[0] ? err->message : word;
	json_t *error = xjson(json_object()), *data = xjson(json_object());
	int number = aw_code_rpc(code);

	set(data, "code", json_string(word));
	if (code == AW_PARAMS || err->path[0])
		set(data, "path", json_string(err->path));
	if (code == AW_PARAMS)
		set(data, "message", json_string(message));
	if (err->facts && json_object_update_missing(data, err->facts) < 0)
		xalloc_die();
	/* A job's error that has to answer a request: the word tells which. */
	set(error, "code", json_integer(number ? number : aw_code_rpc(AW_INTERNAL)));
	set(error, "message", json_string(message));
	set(error, "data", data);
	return error;
}

void message_add_error(struct buf *b, const json_t *id, const struct aw_err *err)
{
	json_t *error = error_json(err);

	add_head(b, id);
	buf_adds(b, ",\"error\":");
	buf_add_json(b, error);
	buf_addc(b, '}');
	json_decref(error);
}

void message_add_request(struct buf *b, int64_t id, const char *method, const json_t *params)
{
	buf_adds(b, "{\"jsonrpc\":\"2.0\"");
	if (id >= 0) {
		buf_adds(b, ",\"id\":");
		buf_addi(b, id);
	}
	buf_adds(b, ",\"method\":");
	buf_add_json_string(b, method);
	if (params) {
		buf_adds(b, ",\"params\":");
		buf_add_json(b, params);
	}
	buf_addc(b, '}');
}
