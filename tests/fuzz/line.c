/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/quick.h"
#include "tests/fuzz/fuzz.h"

/*
 * A line from a peer, up to the request in it.  The quick parser must say what
 * the library says, what is printed must read back the same, and every error
 * must be printable.
 */

static void check_error(const struct aw_err *err)
{
	struct buf b = { 0 };
	json_t *value;

	assert(err->code != AW_OK && err->message[0]);
	message_add_error(&b, NULL, err);
	assert(!memchr(b.data, '\n', b.len));
	value = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
	assert(value);
	json_decref(value);
	buf_fini(&b);
}

static void check_quick(const char *line, size_t len)
{
	json_t *quick = quick_parse(line, len);
	json_t *value;

	if (!quick)
		return;
	value = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	assert(value && json_equal(value, quick));
	json_decref(value);
	json_decref(quick);
}

static void check_printed(const json_t *value)
{
	struct buf once = { 0 }, twice = { 0 };
	struct aw_err err = { 0 };
	json_t *again;

	buf_add_json(&once, value);
	assert(!memchr(once.data, '\n', once.len));
	/* Numbers may get longer, but nothing that was taken is refused. */
	assert(frame_parse(once.data, once.len, &again, &err) == 0);
	buf_add_json(&twice, again);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	json_decref(again);
	buf_fini(&once);
	buf_fini(&twice);
}

static void check_request(const json_t *value)
{
	struct aw_err err = { 0 };
	struct message m = { 0 };
	struct buf b = { 0 };

	if (message_parse(value, &m, &err) < 0) {
		check_error(&err);
		aw_err_fini(&err);
		return;
	}
	assert(m.method && (!m.params || json_is_object(m.params)));
	message_begin_result(&b, m.id);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data;
	struct aw_err err = { 0 };
	json_t *value, *item;
	size_t i;

	check_quick(line, size);
	if (frame_parse(line, size, &value, &err) < 0) {
		check_error(&err);
		aw_err_fini(&err);
		return 0;
	}
	check_printed(value);
	check_request(value);
	json_array_foreach(value, i, item)
		check_request(item);
	json_decref(value);
	return 0;
}
