/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/opts.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/jobrefs.h"
#include "proto/units.h"
#include "proto/xalloc.h"

enum { HELP_WIDTH = 80, HELP_COLUMN = 28 };

/* One option as met in argv. */
struct met {
	const struct opt *opt;
	void *base;
	const char *value; /* behind "=" or, for a letter, right behind it; NULL = none yet */
	char text[64];	   /* "--limit", for messages */
};

/* ---- single values ---- */

static int integer_parse(const char *text, int64_t *ret)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || strchr(" \t\n+", text[0]))
		return -EINVAL;
	*ret = value;
	return 0;
}

int opts_id(const char *text, int64_t *ret_id, struct aw_err *err)
{
	int64_t id;

	if (integer_parse(text, &id) < 0 || id < 1)
		return aw_fail(err, AW_PARAMS, "\"%s\" is no job id (a positive integer)", text);
	*ret_id = id;
	return 0;
}

json_t *opts_ids(int n_args, char **argv, struct aw_err *err)
{
	json_t *ids = json_array(), *seen = json_object();
	int64_t id = 0;

	for (int i = 0; i < n_args; i++) {
		char key[24];

		if (opts_id(argv[i], &id, err) < 0) {
			json_decref(ids);
			ids = NULL;
			break;
		}
		/* Once is enough; and of many ids, the second one may go into another request. */
		snprintf(key, sizeof(key), "%" PRId64, id);
		if (json_object_get(seen, key) == NULL) {
			json_object_set_new(seen, key, json_true());
			json_array_append_new(ids, json_integer(id));
		}
	}
	json_decref(seen);
	return ids;
}

/* A JSON string of bytes that may be anything. */
static int string_json(const char *text, size_t len, json_t **ret, struct aw_err *err)
{
	*ret = json_stringn(text, len);
	if (*ret == NULL)
		return aw_fail(err, AW_PARAMS, "is not valid UTF-8");
	return 0;
}

static int integer_json(const char *text, const struct jobkey *key, json_t **ret,
			struct aw_err *err)
{
	int64_t value;

	if (integer_parse(text, &value) < 0)
		return aw_fail(err, AW_PARAMS, "\"%s\" is not an integer", text);
	if ((key->min != 0 || key->max != 0) && (value < key->min || value > key->max))
		return aw_fail(err, AW_PARAMS, "%s is not between %lld and %lld", text,
			       (long long)key->min, (long long)key->max);
	*ret = json_integer(value);
	return 0;
}

static int choice_json(const char *text, const struct jobkey *key, json_t **ret, struct aw_err *err)
{
	struct buf words = { 0 };
	int r;

	for (const char *const *c = key->choices; *c != NULL; c++) {
		if (strcmp(*c, text) == 0)
			return string_json(text, strlen(text), ret, err);
		buf_addf(&words, "%s%s", words.len > 0 ? ", " : "", *c);
	}
	r = aw_fail(err, AW_PARAMS, "\"%s\" is not one of: %s", text, buf_terminate(&words));
	buf_fini(&words);
	return r;
}

static int any_json(const char *text, json_t **ret, struct aw_err *err)
{
	json_error_t where;

	*ret = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);
	if (*ret == NULL)
		return aw_fail(err, AW_PARAMS, "is not JSON: %s (text needs quotes: '\"text\"')",
			       where.text);
	return 0;
}

static int number_json(const char *text, const struct jobkey *key, json_t **ret, struct aw_err *err)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	double number = json_number_value(value);

	if (!json_is_number(value)) {
		json_decref(value);
		return aw_fail(err, AW_PARAMS, "\"%s\" is not a number", text);
	}
	if (number < (double)key->min || number > (double)key->max) {
		json_decref(value);
		return aw_fail(err, AW_PARAMS, "%s is not between %lld and %lld", text,
			       (long long)key->min, (long long)key->max);
	}
	*ret = value;
	return 0;
}

/* ID, or ID:WHEN */
static int need_json(const char *text, json_t **ret, struct aw_err *err)
{
	size_t len = strcspn(text, ":");
	cleanup_free char *id_text = xstrndup(text, len);
	int64_t id = 0;

	if (opts_id(id_text, &id, err) < 0)
		return -EINVAL;
	if (text[len] == '\0') {
		*ret = json_integer(id);
		return 0;
	}
	if (need_on_parse(text + len + 1) < 0)
		return aw_fail(err, AW_PARAMS,
			       "\"%s\": behind the id stands success, failure or done", text);
	*ret = json_pack("{s:I, s:s}", "job", (json_int_t)id, "on", text + len + 1);
	return 0;
}

/* Durations, times and sizes go as the text that was given, once it is known to be right. */
static int unit_json(const char *text, const struct jobkey *key, json_t **ret, struct aw_err *err)
{
	const char *why = NULL;
	int64_t value;
	int r;

	if (key->type == JK_DURATION)
		r = duration_parse(text, &value, &why);
	else if (key->type == JK_TIME)
		r = time_parse(text, &value, &why);
	else
		r = size_parse(text, &value, &why);
	if (r < 0)
		return aw_fail(err, AW_PARAMS, "\"%s\" %s", text, why);
	return string_json(text, strlen(text), ret, err);
}

/* What a reference stands for is known when the job starts. */
static bool is_reference(const char *text, const struct jobkey *key)
{
	struct jobrefs_match match;

	return key->flags & JK_REFS && jobrefs_find(text, strlen(text), &match) && !match.is_escape;
}

/* One item of a list: a label, an integer, a need, an error, a status or a range of them. */
static int item_json(const char *text, const struct jobkey *key, json_t **ret, struct aw_err *err)
{
	int64_t status;

	if (is_reference(text, key))
		return string_json(text, strlen(text), ret, err);
	if (key->type == JK_INTEGERS)
		return integer_json(text, key, ret, err);
	if (key->type == JK_NEEDS)
		return need_json(text, ret, err);
	if (key->type == JK_EXPECT && integer_parse(text, &status) == 0) {
		*ret = json_integer(status);
		return 0;
	}
	return string_json(text, strlen(text), ret, err);
}

/* ---- lists and maps ---- */

static json_t *member_of_doc(json_t *doc, const char *name, json_t *(*make)(void))
{
	json_t *member = json_object_get(doc, name);

	if (member == NULL) {
		member = make();
		json_object_set_new(doc, name, member);
	}
	return member;
}

static int add_item(json_t *doc, const struct jobkey *key, const char *text, struct aw_err *err)
{
	json_t *item;
	int r = item_json(text, key, &item, err);

	if (r < 0)
		return r;
	json_array_append_new(member_of_doc(doc, key->name, json_array), item);
	return 0;
}

static int add_items(json_t *doc, const struct jobkey *key, const char *text, struct aw_err *err)
{
	cleanup_free char *copy = xstrdup(text);
	char *rest = copy;
	char *item;
	int r = 0;

	while (r == 0 && (item = strsep(&rest, ",")) != NULL) {
		if (*item == '\0')
			return aw_fail(err, AW_PARAMS, "\"%s\" has an empty item", text);
		r = add_item(doc, key, item, err);
	}
	return r;
}

/*
 * NAME=VALUE; a header also as "Name: value", an environment variable also as
 * NAME alone (ours is copied).
 */
static int add_pair(json_t *doc, const struct jobkey *key, const char *text, struct aw_err *err)
{
	bool is_env = strcmp(key->name, "env") == 0;
	size_t len = strcspn(text, is_env ? "=" : "=:");
	cleanup_free char *name = xstrndup(text, len);
	const char *value = text + len;
	json_t *json;
	int r;

	if (*value != '\0') {
		value++;
		if (text[len] == ':')
			value += strspn(value, " \t");
	} else {
		value = is_env ? getenv(name) : NULL;
	}
	if (len == 0 || value == NULL)
		return aw_fail(err, AW_PARAMS,
			       is_env ? "\"%s\" is neither NAME=VALUE nor a variable that is set"
				      : "\"%s\" is not NAME=VALUE or \"Name: value\"",
			       text);
	r = string_json(value, strlen(value), &json, err);
	if (r < 0)
		return r;
	if (json_object_set_new(member_of_doc(doc, key->name, json_object), name, json) < 0)
		return aw_fail(err, AW_PARAMS, "is not valid UTF-8");
	return 0;
}

static int scalar_json(const char *text, const struct jobkey *key, json_t **ret, struct aw_err *err)
{
	if (key->type != JK_JSON && is_reference(text, key))
		return string_json(text, strlen(text), ret, err);
	switch (key->type) {
	case JK_INTEGER:
		return integer_json(text, key, ret, err);
	case JK_NUMBER:
		return number_json(text, key, ret, err);
	case JK_DURATION:
	case JK_TIME:
	case JK_SIZE:
		return unit_json(text, key, ret, err);
	case JK_CHOICE:
		return choice_json(text, key, ret, err);
	case JK_JSON:
		return any_json(text, ret, err);
	case JK_STRING:
	case JK_LABEL:
	case JK_CHECKSUM:
	case JK_MODE:
	case JK_URL:
		return string_json(text, strlen(text), ret, err);
	case JK_LABELS:
	case JK_STRINGS:
	case JK_MAP:
	case JK_INTEGERS:
	case JK_BOOL:
	case JK_EXPECT:
	case JK_NEEDS:
	case JK_ERRORS:
	case JK_OBJECT:
	case JK_PARTS:
	case N_JOBKEY_TYPES:
		break;
	}
	return aw_fail(err, AW_PARAMS, "takes no value");
}

int opts_set_key(json_t *doc, const struct jobkey *key, const char *text, struct aw_err *err)
{
	json_t *value;
	int r;

	if (key->type == JK_LABELS || key->type == JK_INTEGERS || key->type == JK_EXPECT ||
	    key->type == JK_NEEDS || key->type == JK_ERRORS)
		return add_items(doc, key, text, err);
	if (key->type == JK_STRINGS)
		return add_item(doc, key, text, err);
	if (key->type == JK_MAP)
		return add_pair(doc, key, text, err);
	r = scalar_json(text, key, &value, err);
	if (r < 0)
		return r;
	json_object_set_new(doc, key->name, value);
	return 0;
}

/* ---- tables ---- */

/* What is given otherwise than by an option. */
static bool key_has_option(const struct jobkey *key)
{
	return key->type != JK_STRINGS && key->type != JK_PARTS && !(key->flags & JK_PART) &&
	       strcmp(key->name, "kind") != 0;
}

static char *option_name(const char *prefix, const char *key_name)
{
	char *name = xasprintf("%s%s", prefix, key_name);

	for (char *p = name; *p != '\0'; p++) {
		if (*p == '_')
			*p = '-';
	}
	return name;
}

/* The options of @key, which is one itself or has members that are. */
static size_t add_options(struct opt *opts, const struct jobkey *key)
{
	size_t n = 0;

	if (key->type != JK_OBJECT)
		opts[n++] = (struct opt){ .name = option_name("", key->name),
					  .type = OPT_KEY,
					  .key = key,
					  .metavar = key->type == JK_BOOL ? NULL : key->metavar,
					  .help = key->help };
	if (key->type == JK_BOOL)
		opts[n++] = (struct opt){ .name = option_name("no-", key->name),
					  .type = OPT_NO_KEY,
					  .key = key };
	for (const struct jobkey *m = key->members; m != NULL && m->name != NULL; m++) {
		cleanup_free char *prefix = xasprintf("%s-", key->name);

		opts[n++] = (struct opt){ .name = option_name(prefix, m->name),
					  .type = OPT_KEY,
					  .key = m,
					  .whole = key,
					  .metavar = m->metavar,
					  .help = m->help };
	}
	return n;
}

struct opt *opts_of_kind(enum job_kind kind, bool is_common)
{
	struct opt *opts = NULL;
	size_t n = 0;

	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];
		bool key_is_common = (key->kinds & JK_LEAVES) == JK_LEAVES;

		if (!key_has_option(key) || !(key->kinds & JK_KINDS(kind)) ||
		    key_is_common != is_common)
			continue;
		opts = xreallocarray(opts, n + JOBKEYS_MAX, sizeof(*opts));
		n += add_options(opts + n, key);
	}
	opts = xreallocarray(opts, n + 1, sizeof(*opts));
	opts[n] = (struct opt){ 0 };
	return opts;
}

/* Where a key's value goes: the document, or the object in it of which it is a member. */
static json_t *holder_of(json_t *doc, const struct opt *opt)
{
	return opt->whole != NULL ? member_of_doc(doc, opt->whole->name, json_object) : doc;
}

static int set_value(const struct met *met, const char *value, struct aw_err *err)
{
	void *to = (char *)met->base + (met->opt->key == NULL ? met->opt->offset : 0);
	const struct jobkey words = { .name = "words", .type = JK_LABELS };
	const char *why = NULL;

	switch (met->opt->type) {
	case OPT_FLAG:
		*(bool *)to = true;
		return 0;
	case OPT_TEXT:
		*(const char **)to = value;
		return 0;
	case OPT_WORDS: {
		json_t *holder = json_object();
		int r;

		if (*(json_t **)to != NULL)
			json_object_set_new(holder, "words", *(json_t **)to);
		r = add_items(holder, &words, value, err);
		*(json_t **)to = json_incref(json_object_get(holder, "words"));
		json_decref(holder);
		return r;
	}
	case OPT_COUNT:
		if (integer_parse(value, to) < 0 || *(int64_t *)to < 0)
			return aw_fail(err, AW_PARAMS, "\"%s\" is not a number, 0 or more", value);
		return 0;
	case OPT_DURATION:
		if (duration_parse(value, to, &why) < 0)
			return aw_fail(err, AW_PARAMS, "\"%s\" %s", value, why);
		return 0;
	case OPT_KEY:
		if (met->opt->key->type != JK_BOOL)
			return opts_set_key(holder_of(to, met->opt), met->opt->key, value, err);
		json_object_set_new(to, met->opt->key->name, json_true());
		return 0;
	case OPT_NO_KEY:
		json_object_set_new(to, met->opt->key->name, json_false());
		return 0;
	case OPT_KEY_ITEM:
		if (met->opt->key->type == JK_MAP)
			return add_pair(to, met->opt->key, value, err);
		return add_item(to, met->opt->key, value, err);
	case OPT_HELP:
	case OPT_VERSION:
	case N_OPT_TYPES:
		break;
	}
	return 0;
}

/* ---- argv ---- */

static bool find(const struct opts *o, const char *name, size_t len, char letter, struct met *ret)
{
	for (size_t i = 0; i < OPTS_SETS_MAX; i++) {
		for (const struct opt *opt = o->sets[i].opts; opt != NULL && opt->name != NULL;
		     opt++) {
			if (name != NULL
				    ? strncmp(opt->name, name, len) == 0 && opt->name[len] == '\0'
				    : letter != '\0' && opt->letter == letter) {
				ret->opt = opt;
				ret->base = o->sets[i].base;
				return true;
			}
		}
	}
	return false;
}

static int meet_long(const struct opts *o, const char *arg, struct met *ret, struct aw_err *err)
{
	const char *name = arg + 2;
	size_t len = strcspn(name, "=");

	snprintf(ret->text, sizeof(ret->text), "--%.*s", (int)(len > 40 ? 40 : len), name);
	if (!find(o, name, len, '\0', ret))
		return aw_fail(err, AW_PARAMS, "unknown option %s", ret->text);
	ret->value = name[len] == '=' ? name + len + 1 : NULL;
	if (ret->value != NULL && ret->opt->metavar == NULL)
		return aw_fail(err, AW_PARAMS, "%s takes no value", ret->text);
	return 0;
}

/* The value of @met: its own or the next argument.  Then into its place. */
static int take(struct opts *o, const struct met *met, int argc, char **argv, int *at,
		struct aw_err *err)
{
	struct aw_err why = { 0 };
	const char *value = met->value;
	int r;

	if (met->opt->type == OPT_HELP || met->opt->type == OPT_VERSION) {
		o->wish = met->opt->type == OPT_HELP ? OPTS_HELP : OPTS_VERSION;
		return 0;
	}
	if (met->opt->metavar != NULL && value == NULL) {
		if (*at >= argc)
			return aw_fail(err, AW_PARAMS, "%s needs a value: %s", met->text,
				       met->opt->metavar);
		value = argv[(*at)++];
	}
	r = set_value(met, value, &why);
	if (r < 0)
		r = aw_fail(err, why.code, "%s: %s", met->text, why.message);
	aw_err_fini(&why);
	return r;
}

static int take_long(struct opts *o, int argc, char **argv, int *at, struct aw_err *err)
{
	struct met met = { 0 };
	int r = meet_long(o, argv[*at], &met, err);

	if (r < 0)
		return r;
	(*at)++;
	return take(o, &met, argc, argv, at, err);
}

/* "-f", "-fa", "-fFILE", "-f FILE" */
static int take_letters(struct opts *o, int argc, char **argv, int *at, struct aw_err *err)
{
	const char *arg = argv[(*at)++];

	for (const char *p = arg + 1; *p != '\0' && o->wish == OPTS_GO_ON; p++) {
		struct met met = { 0 };
		int r;

		snprintf(met.text, sizeof(met.text), "-%c", *p);
		if (!find(o, NULL, 0, *p, &met))
			return aw_fail(err, AW_PARAMS, "unknown option %s", met.text);
		if (met.opt->metavar != NULL && p[1] != '\0')
			met.value = p + 1;
		r = take(o, &met, argc, argv, at, err);
		if (r < 0 || met.value != NULL)
			return r;
	}
	return 0;
}

static bool is_option(const char *arg)
{
	return arg[0] == '-' && arg[1] != '\0';
}

int opts_parse(struct opts *o, int argc, char **argv, struct aw_err *err)
{
	int at = 0, n_args = 0, r = 0;

	o->wish = OPTS_GO_ON;
	while (r == 0 && at < argc && o->wish == OPTS_GO_ON) {
		if (!is_option(argv[at])) {
			if (o->stops_early)
				break;
			argv[n_args++] = argv[at++];
		} else if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		} else if (argv[at][1] == '-') {
			r = take_long(o, argc, argv, &at, err);
		} else {
			r = take_letters(o, argc, argv, &at, err);
		}
	}
	while (at < argc)
		argv[n_args++] = argv[at++];
	o->n_args = n_args;
	return r;
}

/* ---- help ---- */

/* Append the words of one line from column @at, breaking before 80. */
static void wrap_line(struct buf *b, const char *line, size_t len, size_t at, size_t indent)
{
	const char *end = line + len;
	bool is_first = true;

	while (line < end) {
		size_t word = 0;

		while (line < end && *line == ' ')
			line++;
		while (line + word < end && line[word] != ' ')
			word++;
		if (!is_first && at + 1 + word > HELP_WIDTH) {
			buf_addf(b, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!is_first) {
			buf_addc(b, ' ');
			at++;
		}
		buf_add(b, line, word);
		at += word;
		line += word;
		is_first = false;
	}
	buf_addc(b, '\n');
}

void opts_wrap(struct buf *b, const char *text, size_t indent)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		size_t own = strspn(text, " ");

		if (len > 0) {
			buf_addf(b, "%*s", (int)(indent + own), "");
			wrap_line(b, text + own, len - own, indent + own, indent + own);
		} else {
			buf_addc(b, '\n');
		}
		text += len;
		if (*text == '\n')
			text++;
	}
}

static void help_of(struct buf *b, const struct opt *opt)
{
	size_t start = b->len;
	size_t width;

	if (opt->letter != '\0')
		buf_addf(b, "  -%c, --", opt->letter);
	else
		buf_adds(b, "      --");
	if (opt->type == OPT_KEY && opt->metavar == NULL)
		buf_adds(b, "[no-]");
	buf_adds(b, opt->name);
	if (opt->metavar != NULL)
		buf_addf(b, " %s", opt->metavar);
	width = b->len - start;
	if (width + 2 > HELP_COLUMN) {
		buf_addc(b, '\n');
		width = 0;
	}
	buf_addf(b, "%*s", (int)(HELP_COLUMN - width), "");
	wrap_line(b, opt->help, strlen(opt->help), HELP_COLUMN, HELP_COLUMN);
}

void opts_help(struct buf *b, const struct opt *opts)
{
	for (const struct opt *opt = opts; opt->name != NULL; opt++) {
		if (opt->help != NULL)
			help_of(b, opt);
	}
}
