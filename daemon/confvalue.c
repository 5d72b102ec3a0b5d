/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/confvalue.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "daemon/base/utf8.h"
#include "daemon/log.h"
#include "proto/buf.h"
#include "proto/names.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* One setting's value: from the file's text, and to JSON. */

/* Where @s lives in @c. */
static void *member_of(const struct conf *c, const struct conf_setting *s)
{
	return (char *)c + s->at;
}

static const char *set_bool(bool *to, const char *text)
{
	static const char *const words[][2] = {
		{ "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" }
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		for (int value = 0; value < 2; value++) {
			if (!strcasecmp(text, words[i][value])) {
				*to = value;
				return NULL;
			}
		}
	}
	return "is neither yes nor no";
}

static const char *set_count(int64_t *to, const char *text)
{
	char *end;

	errno = 0;
	*to = strtoll(text, &end, 10);
	return errno || end == text || *end ? "is no whole number" : NULL;
}

static const char *set_number(double *to, const char *text)
{
	char *end;

	/* No "nan", no "0x1p3". */
	if (strspn(text, "0123456789.") != strlen(text))
		return "is no number like 2 or 1.5";
	*to = strtod(text, &end);
	return end == text || *end ? "is no number like 2 or 1.5" : NULL;
}

static const char *set_mode(int64_t *to, const char *text)
{
	size_t len = strlen(text);

	if (!len || len > 5 || strspn(text, "01234567") != len)
		return "is no mode in octal like 0022";
	*to = strtol(text, NULL, 8);
	return NULL;
}

static const char *set_level(int *to, const char *text)
{
	int level = log_level_parse(text);

	if (level < 0)
		return "is none of debug, info, notice, warning, err";
	*to = level;
	return NULL;
}

static const char *set_group(char **to, const char *text)
{
	size_t len = strlen(text);

	if (len > 255 || strcspn(text, " \t:,/") != len)
		return "is no name of a group";
	free(*to);
	*to = xstrdup(text);
	return NULL;
}

static const char *set_program(char **to, const char *text)
{
	if (*text && *text != '/')
		return "is no absolute path";
	if (strlen(text) > PATH_MAX)
		return "is too long for a path";
	free(*to);
	*to = xstrdup(text);
	return NULL;
}

static const char *set_outcomes(int64_t *to, const char *text)
{
	int64_t bits = 0;

	while (*text) {
		size_t blanks = strspn(text, " \t,"), len = strcspn(text + blanks, " \t,");
		cleanup_free char *word = xstrndup(text + blanks, len);
		int outcome = job_outcome_parse(word);

		text += blanks + len;
		if (!len)
			continue;
		if (outcome <= JOB_UNENDED)
			return "has a word that is none of succeeded, failed, timed_out, "
			       "cancelled, skipped, lost";
		bits |= INT64_C(1) << outcome;
	}
	*to = bits;
	return bits ? NULL : "is empty; on_end is what switches the hook off";
}

static json_t *outcomes_to_json(int64_t bits)
{
	json_t *list = json_array();

	for (int i = JOB_SUCCEEDED; i < N_JOB_OUTCOMES; i++)
		if (bits & INT64_C(1) << i)
			json_array_append_new(list,
					      json_string(job_outcome_name((enum job_outcome)i)));
	return list;
}

static const char *set_proxy(char **to, const char *text)
{
	static const char *const schemes[] = { "http://",    "https://",  "socks4://",
					       "socks4a://", "socks5://", "socks5h://" };
	bool is_known = !*text;

	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
		is_known |= !strncasecmp(text, schemes[i], strlen(schemes[i]));
	if (!is_known)
		return "is no proxy URL (http://HOST:PORT, https:// or socks5://)";
	free(*to);
	*to = xstrdup(text);
	return NULL;
}

void conf_paths_free(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
}

static bool has_dot_dot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "/..")); p += 3)
		if (!p[3] || p[3] == '/')
			return true;
	return false;
}

void conf_paths_add(char ***paths, const char *path, size_t len)
{
	size_t n = 0;

	while (*paths && (*paths)[n])
		n++;
	while (len > 1 && path[len - 1] == '/')
		len--;
	*paths = xreallocarray(*paths, n + 2, sizeof **paths);
	(*paths)[n] = xstrndup(path, len);
	(*paths)[n + 1] = NULL;
}

static const char *set_paths(char ***to, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ":");

		if (*text != '/')
			return "has a path that does not begin with \"/\"";
		conf_paths_add(to, text, len);
		text += len;
		if (*text == ':' && !*++text)
			return "ends with \":\"";
	}
	for (char **p = *to; p && *p; p++)
		if (has_dot_dot(*p))
			return "has a path with \"..\"";
	return *to ? NULL : "is empty";
}

/* The same rules, kept as one text. */
static const char *set_search(char **to, const char *text)
{
	char **paths = NULL;
	const char *why = set_paths(&paths, text);

	conf_paths_free(paths);
	if (why)
		return why;
	free(*to);
	*to = xstrdup(text);
	return NULL;
}

static void add_network(struct conf_networks *to, const struct network *n)
{
	to->list = xreallocarray(to->list, to->n + 1, sizeof(*to->list));
	to->list[to->n++] = *n;
}

static const char *add_network_word(struct conf_networks *to, const char *word)
{
	static const char *const words[][2] = {
		{ "any", "::/0" },
		{ "loopback", "127.0.0.0/8" },
		{ "loopback", "::1" },
		{ "private", "10.0.0.0/8" },
		{ "private", "172.16.0.0/12" },
		{ "private", "192.168.0.0/16" },
		{ "private", "fc00::/7" },
	};
	struct network n;
	const char *why;
	size_t n_before = to->n;

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (!strcmp(word, words[i][0]) && !network_parse(words[i][1], &n))
			add_network(to, &n);
	if (to->n > n_before || !strcmp(word, "none"))
		return NULL;
	why = network_parse(word, &n);
	if (!why)
		add_network(to, &n);
	return why;
}

const char *conf_networks_add(struct conf_networks *to, const char *text)
{
	const char *why = NULL;
	bool is_first = !to->list, any = false;

	/* "none" is a list too: it is not what was never set. */
	if (is_first)
		to->list = xcalloc(1, sizeof(*to->list));
	while (!why && *text) {
		size_t blanks = strspn(text, " \t,"), len = strcspn(text + blanks, " \t,");
		cleanup_free char *word = xstrndup(text + blanks, len);

		if (len)
			why = add_network_word(to, word);
		any |= len > 0;
		text += blanks + len;
	}
	return why || any ? why : "is empty; \"none\" stands for no network";
}

/* Its type has a smallest and a largest value. */
static bool is_ranged(const struct conf_setting *s)
{
	return s->type == CONF_COUNT || s->type == CONF_NUMBER || s->type == CONF_MODE ||
	       s->type == CONF_DURATION || s->type == CONF_SIZE;
}

/* A number of @s for people, in its unit. */
static void format_number(const struct conf_setting *s, int64_t value, struct buf *b)
{
	if (s->type == CONF_DURATION)
		duration_format(value, b);
	else if (s->type == CONF_SIZE)
		size_format(value, b);
	else if (s->type == CONF_MODE)
		buf_addf(b, "%04o", (unsigned)value);
	else
		buf_addi(b, value);
}

static bool is_in_range(const struct conf *c, const struct conf_setting *s)
{
	const void *at = member_of(c, s);
	int64_t value;

	if (s->type == CONF_NUMBER)
		return *(const double *)at >= (double)s->min &&
		       *(const double *)at <= (double)s->max;
	value = *(const int64_t *)at;
	return value >= s->min && value <= s->max;
}

static int check_range(const struct conf *c, const struct conf_setting *s, struct aw_err *err)
{
	struct buf b = { 0 };

	if (!is_ranged(s) || is_in_range(c, s))
		return 0;
	buf_adds(&b, "is out of range: ");
	format_number(s, s->min, &b);
	buf_adds(&b, " to ");
	format_number(s, s->max, &b);
	aw_fail(err, AW_PARAMS, "%s", buf_terminate(&b));
	buf_fini(&b);
	return -EINVAL;
}

int conf_value_set(struct conf *c, const struct conf_setting *s, const char *text,
		   struct aw_err *err)
{
	const char *why = NULL;
	void *to = member_of(c, s);

	if (!strcmp(text, "auto") && !strcmp(s->otherwise, "auto"))
		return 0; /* fill_auto() works it out when everything is read */
	if (!utf8_is_text(text, strlen(text)))
		return aw_fail(err, AW_PARAMS, "is not UTF-8");
	switch (s->type) {
	case CONF_BOOL:
		why = set_bool(to, text);
		break;
	case CONF_COUNT:
		why = set_count(to, text);
		break;
	case CONF_NUMBER:
		why = set_number(to, text);
		break;
	case CONF_MODE:
		why = set_mode(to, text);
		break;
	case CONF_DURATION:
		(void)duration_parse(text, to, &why);
		break;
	case CONF_SIZE:
		(void)size_parse(text, to, &why);
		break;
	case CONF_LEVEL:
		why = set_level(to, text);
		break;
	case CONF_GROUP:
		why = set_group(to, text);
		break;
	case CONF_PROXY:
		why = set_proxy(to, text);
		break;
	case CONF_PATHS:
		why = set_paths(to, text);
		break;
	case CONF_SEARCH:
		why = set_search(to, text);
		break;
	case CONF_PROGRAM:
		why = set_program(to, text);
		break;
	case CONF_OUTCOMES:
		why = set_outcomes(to, text);
		break;
	case CONF_NETWORKS:
		why = conf_networks_add(to, text);
		break;
	case N_CONF_TYPES:
		assert(0);
	}
	if (why)
		return aw_fail(err, AW_PARAMS, "%s", why);
	return check_range(c, s, err);
}

/* A proxy's user and password are nobody's business. */
static json_t *proxy_to_json(const char *url)
{
	const char *host = strrchr(url, '@'), *scheme = strstr(url, "://");

	if (!host || !scheme)
		return json_string(url);
	return json_sprintf("%.*s://***%s", (int)(scheme - url), url, host);
}

static json_t *paths_to_json(char **paths)
{
	json_t *list = json_array();

	for (char **p = paths; p && *p; p++)
		json_array_append_new(list, json_string(*p));
	return list;
}

static json_t *networks_to_json(const struct conf_networks *networks)
{
	json_t *list = json_array();
	char text[NETWORK_TEXT_BYTES];

	for (size_t i = 0; i < networks->n; i++) {
		network_format(&networks->list[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

json_t *conf_value_json(const struct conf *c, const struct conf_setting *s)
{
	const void *at = member_of(c, s);

	switch (s->type) {
	case CONF_BOOL:
		return json_boolean(*(const bool *)at);
	case CONF_COUNT:
	case CONF_SIZE:
		return json_integer(*(const int64_t *)at);
	case CONF_NUMBER:
		return json_real(*(const double *)at);
	case CONF_MODE:
		return json_sprintf("%04o", (unsigned)*(const int64_t *)at);
	case CONF_DURATION:
		return duration_to_json(*(const int64_t *)at);
	case CONF_LEVEL:
		return json_string(log_level_name(*(const int *)at));
	case CONF_GROUP:
		return json_string(*(char *const *)at);
	case CONF_PROXY:
		return proxy_to_json(*(char *const *)at);
	case CONF_PATHS:
		return paths_to_json(*(char **const *)at);
	case CONF_SEARCH:
	case CONF_PROGRAM:
		return json_string(*(char *const *)at);
	case CONF_OUTCOMES:
		return outcomes_to_json(*(const int64_t *)at);
	case CONF_NETWORKS:
		return networks_to_json(at);
	case N_CONF_TYPES:
		break;
	}
	assert(0);
	return NULL;
}

void conf_value_swap(struct conf *a, struct conf *b, const struct conf_setting *s)
{
	static const size_t size_bytes[] = {
		[CONF_BOOL] = sizeof(bool),	   [CONF_COUNT] = sizeof(int64_t),
		[CONF_NUMBER] = sizeof(double),	   [CONF_MODE] = sizeof(int64_t),
		[CONF_DURATION] = sizeof(int64_t), [CONF_SIZE] = sizeof(int64_t),
		[CONF_LEVEL] = sizeof(int),	   [CONF_GROUP] = sizeof(char *),
		[CONF_PROXY] = sizeof(char *),	   [CONF_PATHS] = sizeof(char **),
		[CONF_SEARCH] = sizeof(char *),	   [CONF_PROGRAM] = sizeof(char *),
		[CONF_OUTCOMES] = sizeof(int64_t), [CONF_NETWORKS] = sizeof(struct conf_networks),
	};
	char kept[sizeof(struct conf_networks)];

	memcpy(kept, member_of(a, s), size_bytes[s->type]);
	memcpy(member_of(a, s), member_of(b, s), size_bytes[s->type]);
	memcpy(member_of(b, s), kept, size_bytes[s->type]);
}
