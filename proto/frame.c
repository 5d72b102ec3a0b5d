/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/frame.h"

#include <errno.h>
#include <stdbool.h>

#include "proto/limits.h"
#include "proto/quick.h"

/* The bytes that mean something to the scan; all others are 0. */
enum {
	IS_QUOTE = 1,
	IS_OPENER,
	IS_CLOSER,
	IS_COMMA,
	IS_SPACE,
};

static const unsigned char classes[256] = {
	['"'] = IS_QUOTE,  ['['] = IS_OPENER, ['{'] = IS_OPENER, [']'] = IS_CLOSER,
	['}'] = IS_CLOSER, [','] = IS_COMMA,  [' '] = IS_SPACE,	 ['\t'] = IS_SPACE,
	['\r'] = IS_SPACE, ['\n'] = IS_SPACE,
};

/* The end of the string whose first character is at @i: its closing quote, or @len. */
static size_t skip_string(const char *line, size_t len, size_t i)
{
	for (; i < len && line[i] != '"'; i++)
		if (line[i] == '\\')
			i++;
	return i;
}

/*
 * Bound what parsing would cost.  Whether the text is JSON at all is the
 * parser's to say: of what is not, this may count anything.
 *
 * A container that is not empty has one value more than commas, so each
 * comma counts one, and each opener that is not closed at once.
 */
static int check_cost(const char *line, size_t len, struct aw_err *err)
{
	size_t depth = 0, n_values = 1;
	bool is_just_opened = false;

	for (size_t i = 0; i < len; i++) {
		unsigned char class = classes[(unsigned char)line[i]];

		if (class == IS_SPACE)
			continue;
		if (class == IS_CLOSER)
			depth -= depth > 0;
		else if (is_just_opened || class == IS_COMMA)
			n_values++;
		is_just_opened = class == IS_OPENER;
		if (class == IS_OPENER && ++depth > PROTO_DEPTH_MAX)
			return aw_fail(err, AW_PARSE, "byte %zu: nested deeper than %d levels", i,
				       PROTO_DEPTH_MAX);
		if (n_values > PROTO_VALUES_MAX)
			return aw_fail(err, AW_PARSE, "byte %zu: more than %d values in one line",
				       i, PROTO_VALUES_MAX);
		if (class == IS_QUOTE)
			i = skip_string(line, len, i + 1);
	}
	return 0;
}

int frame_parse(const char *line, size_t len, json_t **ret, struct aw_err *err)
{
	json_error_t error;
	json_t *value;

	value = quick_parse(line, len);
	if (value) {
		*ret = value;
		return 0;
	}
	if (check_cost(line, len, err) < 0)
		return -EINVAL;
	value = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value && json_error_code(&error) == json_error_null_character)
		return aw_fail(err, AW_PARSE, "byte %d: NUL characters (\\u0000) are not allowed",
			       error.position);
	if (!value)
		return aw_fail(err, AW_PARSE, "byte %d: not valid JSON: %s", error.position,
			       error.text);
	*ret = value;
	return 0;
}
