/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/complete.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "client/clock.h"
#include "client/jobargs.h"
#include "client/out.h"
#include "proto/jobkeys.h"
#include "proto/names.h"
#include "proto/xalloc.h"

enum { ANSWER_US = 1000000, IDS_MAX = 100 };

struct completion {
	struct client *client;
	const char *prefix; /* what the word begins with already; borrows */
	size_t kept;	    /* bytes of the word that stay in front: --state=waiting, */
	const char *word;   /* all of it */
	char **args;	    /* what stands before it behind the command's name, without options */
	int n_args;
};

/* ---- candidates ---- */

static void offer(const struct completion *c, const char *word, const char *description)
{
	struct buf b = { 0 };

	if (strncmp(word, c->prefix, strlen(c->prefix)) != 0)
		return;
	buf_add(&b, c->word, c->kept);
	out_escape(&b, word);
	if (description != NULL) {
		buf_addc(&b, '\t');
		out_escape(&b, description);
	}
	buf_addc(&b, '\n');
	out_buf(&b);
	buf_fini(&b);
}

/* What only the shell itself can complete. */
static void leave_to_shell(const char *what)
{
	out_line(what, strlen(what));
}

static void offer_option(const struct completion *c, const struct opt *opt)
{
	char name[80];

	(void)snprintf(name, sizeof(name), "--%s", opt->name);
	offer(c, name, opt->help);
}

static void offer_options(const struct completion *c, const struct opt_set *sets)
{
	for (const struct opt_set *set = sets; set->opts != NULL; set++)
		for (const struct opt *opt = set->opts; opt->name != NULL; opt++)
			offer_option(c, opt);
}

/* ---- from the daemon: quickly, or not at all ---- */

static json_t *ask(const struct completion *c, const char *method, json_t *params)
{
	struct conn *conn = &c->client->conn;
	struct reply reply = { 0 };
	struct aw_err err = { 0 };
	json_t *result = NULL;
	int64_t id;

	if ((conn->is_open || conn_open(conn, c->client->socket, &err) == 0) &&
	    conn_send(conn, method, params, &id) == 0 &&
	    conn_receive(conn, mono_now_us() + ANSWER_US, &reply) == 0)
		result = json_incref(reply.result);
	reply_fini(&reply);
	aw_err_fini(&err);
	json_decref(params);
	return result;
}

/* In which states a job must be for a command to make sense. */
static const struct {
	const char *verb, *states[3];
} states_of[] = {
	{ "cancel", { "waiting", "running", "stopping" } },
	{ "wait", { "waiting", "running", "stopping" } },
	{ "hold", { "waiting" } },
	{ "release", { "waiting" } },
	{ "update", { "waiting" } },
	{ "why", { "waiting", "running", "stopping" } },
	{ "remove", { "done" } },
	{ "retry", { "done" } },
};

static json_t *states_for(const char *verb)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(states_of) / sizeof(*states_of); i++) {
		if (strcmp(states_of[i].verb, verb) != 0)
			continue;
		for (size_t k = 0; k < 3 && states_of[i].states[k] != NULL; k++)
			json_array_append_new(list, json_string(states_of[i].states[k]));
	}
	return list;
}

static bool is_given(const struct completion *c, const char *word)
{
	for (int i = 0; i < c->n_args; i++)
		if (strcmp(c->args[i], word) == 0)
			return true;
	return false;
}

static void offer_job(const struct completion *c, const json_t *job)
{
	const char *name = json_string_value(json_object_get(job, "name"));
	const char *state = json_string_value(json_object_get(job, "state"));
	const char *outcome = json_string_value(json_object_get(job, "outcome"));
	const char *kind = json_string_value(json_object_get(job, "kind"));
	char id[32];
	struct buf b = { 0 };

	(void)snprintf(id, sizeof(id), "%lld",
		       (long long)json_integer_value(json_object_get(job, "id")));
	buf_addf(&b, "%s%s%s, %s", kind != NULL ? kind : "job", name != NULL ? " " : "",
		 name != NULL ? name : "", outcome != NULL ? outcome : state);
	if (!is_given(c, id))
		offer(c, id, buf_terminate(&b));
	buf_fini(&b);
}

static void offer_ids(const struct completion *c, const char *verb)
{
	json_t *params = json_pack("{s:s, s:i}", "order", "-id", "limit", IDS_MAX);
	json_t *states = states_for(verb);
	json_t *result, *job;
	size_t i;

	if (json_array_size(states) > 0)
		json_object_set(params, "state", states);
	json_decref(states);
	result = ask(c, "job.list", params);
	json_array_foreach(json_object_get(result, "jobs"), i, job)
		offer_job(c, job);
	json_decref(result);
}

/* The member @member of each object in the list @list of what @method answers. */
static void offer_names(const struct completion *c, const char *method, const char *list,
			const char *description)
{
	json_t *result = ask(c, method, NULL), *item;
	size_t i;

	json_array_foreach(json_object_get(result, list), i, item)
		offer(c, json_string_value(json_object_get(item, "name")),
		      description != NULL ? json_string_value(json_object_get(item, description))
					  : NULL);
	json_decref(result);
}

/* ---- values, by the word that stands for them in help ---- */

static void offer_words(const struct completion *c, int n, const char *(*word_of)(int))
{
	for (int i = 0; i < n; i++)
		if (word_of(i) != NULL)
			offer(c, word_of(i), NULL);
}

static const char *state_word(int i)
{
	return job_state_name((enum job_state)i);
}

static const char *outcome_word(int i)
{
	return job_outcome_name((enum job_outcome)i);
}

static const char *kind_word(int i)
{
	return job_kind_name((enum job_kind)i);
}

static void offer_value(const struct completion *c, const char *metavar, const char *verb)
{
	static const char *const streams[] = { "both", "stdout", "stderr" };

	if (strcmp(metavar, "ID") == 0 || strncmp(metavar, "ID[", 3) == 0)
		offer_ids(c, verb);
	else if (strcmp(metavar, "STATE") == 0)
		offer_words(c, N_JOB_STATES, state_word);
	else if (strcmp(metavar, "OUTCOME") == 0)
		offer_words(c, N_JOB_OUTCOMES, outcome_word);
	else if (strcmp(metavar, "KIND") == 0)
		offer_words(c, N_JOB_KINDS, kind_word);
	else if (strcmp(metavar, "QUEUE") == 0)
		offer_names(c, "queue.list", "queues", NULL);
	else if (strcmp(metavar, "METHOD") == 0)
		offer_names(c, "rpc.discover", "methods", "summary");
	else if (strcmp(metavar, "FILE") == 0 || strcmp(metavar, "PATH") == 0)
		leave_to_shell(":file");
	else if (strcmp(metavar, "DIR") == 0)
		leave_to_shell(":dir");
	else if (strcmp(metavar, "STREAM") == 0)
		for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++)
			offer(c, streams[i], NULL);
}

/* The part of the word that is to be completed begins behind @at. */
static void begin_behind(struct completion *c, const char *at)
{
	c->kept = (size_t)(at - c->word);
	c->prefix = at;
}

static void offer_option_value(struct completion *c, const struct opt *opt, const char *verb)
{
	const char *comma = strrchr(c->prefix, ',');

	if (opt->type == OPT_WORDS && comma != NULL)
		begin_behind(c, comma + 1);
	if (opt->key != NULL && opt->key->choices != NULL) {
		for (const char *const *word = opt->key->choices; *word != NULL; word++)
			offer(c, *word, NULL);
	} else if (opt->metavar != NULL) {
		offer_value(c, opt->metavar, verb);
	}
}

/* ---- options ---- */

static const struct opt *find_option(const struct opt_set *sets, const char *word)
{
	size_t len = strcspn(word, "=");

	for (const struct opt_set *set = sets; set->opts != NULL; set++) {
		for (const struct opt *opt = set->opts; opt->name != NULL; opt++) {
			if (strncmp(word, "--", 2) == 0 && strlen(opt->name) == len - 2 &&
			    strncmp(opt->name, word + 2, len - 2) == 0)
				return opt;
			if (word[0] == '-' && word[1] == opt->letter && opt->letter != 0)
				return opt;
		}
	}
	return NULL;
}

/* "--limit" takes the next word as its value, "--limit=5" and "-n5" do not. */
static bool wants_next(const struct opt *opt, const char *word)
{
	if (opt == NULL || opt->metavar == NULL)
		return false;
	return word[1] == '-' ? strchr(word, '=') == NULL : word[2] == '\0';
}

/* Another daemon to ask, from "--socket PATH" or "--socket=PATH". */
static void take_socket(const struct completion *c, const struct opt *opt, const char *word,
			const char *next)
{
	const char *equals = strchr(word, '=');

	if (opt != NULL && strcmp(opt->name, "socket") == 0)
		c->client->socket = equals != NULL ? equals + 1 : next;
}

/*
 * Read what stands before the word that is to be completed: arguments go to
 * c->args.  Returns the option whose value that word is, or NULL.
 * @stops: an argument ends the options, as it does for a worker's command.
 */
static const struct opt *read_words(struct completion *c, const struct opt_set *sets, int n,
				    char **words, bool stops, bool *ret_is_over)
{
	bool is_over = false;

	for (int i = 0; i < n; i++) {
		const struct opt *opt;
		const char *option;

		if (!is_over && strcmp(words[i], "--") == 0) {
			is_over = true;
			continue;
		}
		if (is_over || words[i][0] != '-' || words[i][1] == '\0') {
			c->args[c->n_args++] = words[i];
			is_over |= stops;
			continue;
		}
		option = words[i];
		opt = find_option(sets, option);
		if (wants_next(opt, option) && ++i == n)
			return opt;
		take_socket(c, opt, option, words[i]);
	}
	*ret_is_over = is_over;
	return NULL;
}

/* Options, or the value of one; false: it is an argument. */
static bool complete_option(struct completion *c, const struct opt_set *sets, const struct opt *opt,
			    bool is_over, const char *verb)
{
	const char *equals = strchr(c->word, '=');

	if (opt == NULL && (is_over || c->word[0] != '-'))
		return false;
	if (opt == NULL && equals != NULL) {
		opt = find_option(sets, c->word);
		begin_behind(c, equals + 1);
	}
	if (opt != NULL)
		offer_option_value(c, opt, verb);
	else if (equals == NULL)
		offer_options(c, sets);
	return true;
}

/* ---- arguments, by the command's usage ---- */

/*
 * The next word of a line of usage, without its brackets; NULL at the line's
 * end.  *ret_has_value: an option whose value is the word behind it.
 */
static char *usage_word(const char **at, bool *ret_has_value)
{
	const char *start = *at + strspn(*at, " []");
	size_t len = strcspn(start, " []|\n.");

	if (*start == '\n' || *start == '\0')
		return NULL;
	*ret_has_value =
		*start == '-' && start[len] == ' ' && isupper((unsigned char)start[len + 1]);
	*at = start + len + strspn(start + len, "]|.");
	return xstrndup(start, len);
}

/*
 * The argument number @n of the line at @usage, as help calls it (a new
 * string), or NULL.  "..." stands for as many as one likes.
 */
static char *usage_argument(const char *usage, int n)
{
	bool is_value = false, has_value = false;
	const char *at = usage;
	char *word, *last = NULL;

	while ((word = usage_word(&at, &has_value)) != NULL) {
		bool is_option = is_value || word[0] == '-' || strcmp(word, "OPTIONS") == 0;

		is_value = has_value;
		if (is_option) {
			free(word);
			continue;
		}
		free(last);
		last = word;
		if (n-- == 0)
			return last;
	}
	if (last != NULL && at - usage > 3 && strncmp(at - 3, "...", 3) == 0)
		return last;
	free(last);
	return NULL;
}

/* Each line of the usage is one way to call it, which may begin with a word of its own. */
static void complete_argument(const struct completion *c, const struct verb *verb)
{
	const char *line = verb->usage;

	while (*line != '\0') {
		char *first = usage_argument(line, 0), *argument;
		bool has_word = first != NULL && islower((unsigned char)first[0]);

		if (has_word && c->n_args == 0) {
			offer(c, first, NULL);
		} else if (!has_word || strcmp(first, c->args[0]) == 0) {
			argument = usage_argument(line, c->n_args);
			if (argument != NULL)
				offer_value(c,
					    strcmp(verb->name, "queue") == 0 ? "QUEUE" : argument,
					    verb->name);
			free(argument);
		}
		free(first);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
}

/* ---- commands ---- */

static void complete_job(struct completion *c, const struct verb *verb, int n, char **words)
{
	enum job_kind kind = (enum job_kind)job_kind_parse(words[0]);
	struct job_tables *tables = job_tables_new(kind);
	struct opt_set sets[OPTS_SETS_MAX + 1] = { { client_opts, NULL } };
	bool is_over = false;
	const struct opt *opt;

	job_tables_add(tables, sets + 1);
	opt = read_words(c, sets, n - 1, words + 1, kind == JOB_WORKER, &is_over);
	if (!complete_option(c, sets, opt, is_over, verb->name) && kind == JOB_WORKER)
		leave_to_shell(c->n_args == 0 ? ":command" : ":file");
	job_tables_free(tables);
}

static void complete_verb(struct completion *c, const struct verb *verb, int n, char **words)
{
	const struct opt_set sets[] = { { client_opts, NULL }, { verb->opts, NULL }, { 0 } };
	bool takes_job = strcmp(verb->name, "submit") == 0 || strcmp(verb->name, "run") == 0;
	bool is_over = false;
	const struct opt *opt;

	if (takes_job && n > 0 && job_kind_parse(words[0]) >= 0) {
		if (job_kind_has_options((enum job_kind)job_kind_parse(words[0])))
			complete_job(c, verb, n, words);
		return;
	}
	opt = read_words(c, sets, n, words, false, &is_over);
	if (!complete_option(c, sets, opt, is_over, verb->name))
		complete_argument(c, verb);
}

static void complete_words(struct completion *c, int n, char **words)
{
	const struct opt_set sets[] = { { client_opts, NULL }, { 0 } };
	const struct opt *opt = NULL;
	const struct verb *verb;
	int i = 0;

	while (i < n && words[i][0] == '-') {
		opt = find_option(sets, words[i]);
		take_socket(c, opt, words[i], i + 1 < n ? words[i + 1] : NULL);
		i += wants_next(opt, words[i]) ? 2 : 1;
	}
	if (i < n) {
		verb = verb_find(words[i]);
		if (verb != NULL)
			complete_verb(c, verb, n - i - 1, words + i + 1);
		return;
	}
	if (complete_option(c, sets, i > n ? opt : NULL, false, ""))
		return;
	for (const struct verb *const *v = verbs; *v != NULL; v++)
		offer(c, (*v)->name, (*v)->summary);
}

int complete(struct client *client, int argc, char **argv)
{
	struct completion c = { .client = client };

	if (argc > 0 && strcmp(argv[0], "--") == 0) {
		argc--;
		argv++;
	}
	if (argc == 0)
		return STATUS_USAGE;
	c.word = c.prefix = argv[argc - 1];
	c.args = xcalloc((size_t)argc, sizeof(*c.args));
	complete_words(&c, argc - 1, argv);
	free(c.args);
	return STATUS_OK;
}
