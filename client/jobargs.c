/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobargs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/out.h"
#include "proto/jobrefs.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* What stands behind the options: the key it goes to and how it is called. */
static const struct {
	const char *key, *usage, *summary;
} positional[N_JOB_KINDS] = {
	[JOB_TIMER] = { "sleep", "timer [OPTIONS] DURATION",
			"A timer: succeeds when so much time has passed since its start." },
	[JOB_FETCH] = { "url", "fetch [OPTIONS] URL",
			"A fetch: downloads over HTTP, into a file or the daemon's keeping." },
	[JOB_WORKER] = { "argv", "worker [OPTIONS] [--] COMMAND [ARG...]",
			 "A worker: runs a program, without a shell. Its options stand before the "
			 "command." },
};

/* ---- keys ---- */

void job_key_make(char ret[JOB_KEY_BYTES])
{
	static char prefix[JOB_KEY_BYTES];
	static uint64_t n;

	if (*prefix == '\0') {
		unsigned char random[10];
		size_t at;

		/* Never short and never interrupted at this size, once the machine has booted. */
		if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
			abort();
		at = (size_t)snprintf(prefix, sizeof(prefix), "%012" PRIx64 "-",
				      (uint64_t)wall_now_ms());
		for (size_t i = 0; i < sizeof(random); i++)
			at += (size_t)snprintf(prefix + at, sizeof(prefix) - at, "%02x", random[i]);
	}
	snprintf(ret, JOB_KEY_BYTES, "%.40s-%08" PRIx64, prefix, n++);
}

/* ---- paths ---- */

static void drop_last_part(struct buf *b)
{
	while (b->len > 0 && b->data[b->len - 1] != '/')
		b->len--;
	if (b->len > 0)
		b->len--;
}

/*
 * getcwd() gives a path without symbolic links, so going up from it by its
 * text is right.  A ".." behind a name is left alone: what it means depends
 * on links, and the daemon refuses it.
 */
char *path_from_here(const char *path)
{
	cleanup_free char *here = *path == '/' ? xstrdup("") : getcwd(NULL, 0);
	struct buf b = { 0 };

	if (here == NULL)
		return NULL;
	buf_adds(&b, strcmp(here, "/") == 0 ? "" : here);
	while (*path == '.' && *here != '\0') {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[1] == '.')
			drop_last_part(&b);
		else if (len != 1)
			break;
		path += len + strspn(path + len, "/");
	}
	if (*path == '/') {
		buf_adds(&b, path);
	} else if (*path != '\0' || b.len == 0) {
		buf_addc(&b, '/');
		buf_adds(&b, path);
	}
	buf_terminate(&b);
	return buf_steal(&b, NULL);
}

static int make_absolute(json_t *doc, const char *key)
{
	const char *path = json_string_value(json_object_get(doc, key));
	cleanup_free char *absolute = NULL;
	struct jobrefs_match match;

	if (path == NULL || *path == '\0' || *path == '/')
		return STATUS_OK;
	/* Another job's result, which has a path of its own. */
	if (jobrefs_find(path, strlen(path), &match) && !match.is_escape && match.text == path)
		return STATUS_OK;
	absolute = path_from_here(path);
	if (absolute == NULL)
		return out_fail(STATUS_USAGE, "usage",
				"--%s: the current directory has no name: %s", key,
				strerror(errno));
	if (json_object_set_new(doc, key, json_string(absolute)) < 0)
		return out_fail(STATUS_USAGE, "usage",
				"--%s: the current directory's name is not valid UTF-8", key);
	return STATUS_OK;
}

/* ---- file or kind ---- */

int job_source_parse(struct client *client, const struct verb *verb, int argc, char **argv,
		     struct job_source *ret)
{
	struct opts o = { .sets = { { client_opts, client }, { verb->opts, ret } },
			  .stops_early = true };
	struct aw_err err = { 0 };
	int status = verb_parse(client, verb, &o, argc, argv);

	/* Options may stand behind the file's. */
	if (status < 0 && ret->file != NULL && o.n_args > 0) {
		aw_fail(&err, AW_PARAMS, "-f and \"%s\" exclude each other", argv[0]);
		status = verb_usage_error(verb, NULL, &err);
		aw_err_fini(&err);
	}
	ret->n_args = o.n_args;
	return status;
}

/* ---- options ---- */

struct job_tables {
	struct opt *common, *own; /* own */
	struct opt items[3];	  /* one item at a time */
	struct opt extra[2];
};

bool job_kind_has_options(enum job_kind kind)
{
	return positional[kind].key != NULL;
}

static void tables_init(struct job_tables *t, enum job_kind kind)
{
	size_t n = 0;

	*t = (struct job_tables){ .common = opts_of_kind(kind, true),
				  .own = opts_of_kind(kind, false) };
	t->items[n++] = (struct opt){ .name = "tag",
				      .type = OPT_KEY_ITEM,
				      .metavar = "TAG",
				      .help = "one more tag; it may hold a comma",
				      .key = jobkey_find(kind, "tags") };
	if (kind == JOB_FETCH)
		t->items[n++] = (struct opt){ .name = "header",
					      .type = OPT_KEY_ITEM,
					      .metavar = "\"NAME: VALUE\"",
					      .help = "the same as --headers",
					      .key = jobkey_find(kind, "headers") };
	if (kind == JOB_WORKER)
		t->extra[0] =
			(struct opt){ .name = "stdin-file",
				      .type = OPT_TEXT,
				      .metavar = "FILE",
				      .help = "take --stdin from a file (-: our standard input)",
				      .offset = offsetof(struct job_args, stdin_file) };
}

static void tables_fini(struct job_tables *t)
{
	for (struct opt *opt = t->common; opt->name != NULL; opt++)
		free((char *)opt->name);
	for (struct opt *opt = t->own; opt->name != NULL; opt++)
		free((char *)opt->name);
	free(t->common);
	free(t->own);
}

struct job_tables *job_tables_new(enum job_kind kind)
{
	struct job_tables *t = xmalloc(sizeof(*t));

	tables_init(t, kind);
	return t;
}

void job_tables_add(const struct job_tables *t, struct opt_set *sets)
{
	sets[0].opts = t->own;
	sets[1].opts = t->common;
	sets[2].opts = t->items;
	sets[3].opts = t->extra;
}

void job_tables_free(struct job_tables *t)
{
	tables_fini(t);
	free(t);
}

static void print_kind_help(const struct verb *verb, enum job_kind kind, const struct job_tables *t)
{
	struct buf b = { 0 };

	buf_addf(&b, "Usage: awaitctl %s %s\n\n", verb->name, positional[kind].usage);
	opts_wrap(&b, positional[kind].summary, 0);
	if (strcmp(verb->name, "run") == 0 && kind == JOB_FETCH)
		opts_wrap(&b, "With --output - the content goes to standard output.", 0);
	buf_addf(&b, "\nOptions of a %s:\n", job_kind_name(kind));
	opts_help(&b, t->own);
	if (kind == JOB_FETCH)
		opts_help(&b, t->items + 1);
	opts_help(&b, t->extra);
	buf_adds(&b, "\nOptions of every job:\n");
	opts_help(&b, t->common);
	buf_adds(&b, "      --tag TAG             one more tag; it may hold a comma\n");
	buf_adds(&b, "\nOptions of every command:\n");
	opts_help(&b, client_opts);
	out_buf(&b);
	buf_fini(&b);
}

/* The arguments behind the options, into their key. */
static int take_arguments(struct job_args *args, int n_args, char **argv, struct aw_err *err)
{
	const struct jobkey *key = jobkey_find(args->kind, positional[args->kind].key);
	bool is_given = json_object_get(args->doc, key->name) != NULL;
	struct aw_err why = { 0 };
	int r = 0;

	if (n_args == 0 && !is_given)
		return aw_fail(err, AW_PARAMS, "%s is missing",
			       args->kind == JOB_WORKER ? "the command" : key->metavar);
	if (n_args > 0 && is_given)
		return aw_fail(err, AW_PARAMS, "%s is given twice, as an option and as an argument",
			       key->metavar);
	if (n_args > 1 && args->kind != JOB_WORKER)
		return aw_fail(err, AW_PARAMS, "too many arguments");
	for (int i = 0; i < n_args && r == 0; i++)
		r = opts_set_key(args->doc, key, argv[i], &why);
	if (r < 0)
		aw_fail(err, why.code, "%s: %s", key->metavar, why.message);
	aw_err_fini(&why);
	return r;
}

static int read_options(struct client *client, const struct verb *verb, const struct job_tables *t,
			int argc, char **argv, struct job_args *args)
{
	struct opts o = { .sets = { { client_opts, client },
				    { t->own, args->doc },
				    { t->common, args->doc },
				    { t->items, args->doc },
				    { t->extra, args } },
			  .stops_early = args->kind == JOB_WORKER };
	struct aw_err err = { 0 };
	int status = -1;
	int r = opts_parse(&o, argc, argv, &err);

	out_init(client->is_json);
	if (r == 0 && o.wish == OPTS_GO_ON)
		r = take_arguments(args, o.n_args, argv, &err);
	if (r < 0) {
		status = verb_usage_error(verb, job_kind_name(args->kind), &err);
	} else if (o.wish == OPTS_HELP) {
		print_kind_help(verb, args->kind, t);
		status = STATUS_OK;
	} else if (o.wish == OPTS_VERSION) {
		verb_print_version();
		status = STATUS_OK;
	}
	aw_err_fini(&err);
	return status;
}

/*
 * What is in @path ("-" = standard input), no more than a little above @most
 * bytes.  0 or negative errno.
 */
static int read_file(const char *path, size_t most, struct buf *b)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	int r = fd < 0 ? -errno : 0;

	while (r == 0 && n > 0 && b->len <= most) {
		buf_reserve(b, 65536);
		n = read(fd, b->data + b->len, 65536);
		if (n > 0)
			b->len += (size_t)n;
		else if (n < 0)
			r = -errno;
	}
	if (fd > STDIN_FILENO)
		close(fd);
	return r;
}

/* The whole of the file as the key "stdin". */
static int read_stdin_file(struct job_args *args)
{
	const char *path = args->stdin_file;
	struct buf b = { 0 };
	int r = read_file(path, JOB_STRING_MAX_BYTES, &b);
	json_t *text = json_stringn(b.data != NULL ? b.data : "", b.len);
	int status = STATUS_OK;

	if (r < 0)
		status =
			out_fail(STATUS_USAGE, "usage", "--stdin-file: %s: %s", path, strerror(-r));
	else if (text == NULL)
		status = out_fail(STATUS_USAGE, "usage", "--stdin-file: %s is not valid UTF-8",
				  path);
	else
		json_object_set(args->doc, "stdin", text);
	json_decref(text);
	buf_fini(&b);
	return status;
}

int job_args_read(const struct verb *verb, const char *path, struct job_args *ret)
{
	const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
	struct buf b = { 0 };
	int kind, status = -1, r = read_file(path, PROTO_LINE_MAX_BYTES, &b);
	json_error_t where;
	json_t *doc = NULL;

	if (r < 0)
		status = out_fail(STATUS_USAGE, "usage", "%s: %s: %s", verb->name, name,
				  strerror(-r));
	else if (b.len > PROTO_LINE_MAX_BYTES)
		status = out_fail(STATUS_REFUSED, "limit",
				  "%s: the document is too long for a request (1 MiB)", name);
	else if ((doc = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &where)) == NULL)
		status = out_fail(STATUS_REFUSED, "params", "%s: line %d, column %d: %s", name,
				  where.line, where.column, where.text);
	else if (!json_is_object(doc))
		status = out_fail(STATUS_REFUSED, "params",
				  "%s: one job document is expected, an object; see \"awaitctl "
				  "submit -f\" for several",
				  name);
	kind = job_kind_parse(json_string_value(json_object_get(doc, "kind")));
	if (status < 0)
		/* A kind that is none is the daemon's to refuse. */
		*ret = (struct job_args){ .kind = kind < 0 ? JOB_TIMER : (enum job_kind)kind,
					  .doc = json_incref(doc),
					  .is_from_file = true };
	json_decref(doc);
	buf_fini(&b);
	return status;
}

static int resolve(const struct verb *verb, struct job_args *args)
{
	const char *output = json_string_value(json_object_get(args->doc, "output"));
	int status = STATUS_OK;

	if (output != NULL && strcmp(output, "-") == 0) {
		if (strcmp(verb->name, "run") != 0)
			return out_fail(STATUS_USAGE, "usage",
					"--output -: only \"run\" can print the content; "
					"see \"awaitctl output\"");
		if (out_is_json())
			return out_fail(STATUS_USAGE, "usage",
					"--output - and --json both want standard output");
		args->is_body_to_stdout = true;
		json_object_del(args->doc, "output");
	}
	if (args->kind == JOB_FETCH)
		status = make_absolute(args->doc, "output");
	if (args->kind == JOB_WORKER)
		status = make_absolute(args->doc, "cwd");
	if (status == STATUS_OK && args->stdin_file != NULL)
		status = read_stdin_file(args);
	return status == STATUS_OK ? -1 : status;
}

int job_args_parse(struct client *client, const struct verb *verb, int argc, char **argv,
		   struct job_args *ret)
{
	int kind = argc > 0 ? job_kind_parse(argv[0]) : -1;
	struct job_tables tables;
	int status;

	if (argc == 0)
		return out_fail(STATUS_USAGE, "usage",
				"%s: a kind is missing: worker, fetch or timer", verb->name);
	if (kind < 0)
		return out_fail(STATUS_USAGE, "usage",
				"%s: \"%s\" is no kind of job: worker, fetch or timer", verb->name,
				argv[0]);
	if (positional[kind].key == NULL)
		return out_fail(STATUS_USAGE, "usage",
				"%s: a %s has documents for its parts and is read from a file: "
				"awaitctl %s -f FILE",
				verb->name, argv[0], verb->name);
	*ret = (struct job_args){ .kind = (enum job_kind)kind, .doc = json_object() };
	json_object_set_new(ret->doc, "kind", json_string(argv[0]));
	tables_init(&tables, ret->kind);
	status = read_options(client, verb, &tables, argc - 1, argv + 1, ret);
	tables_fini(&tables);
	if (status < 0)
		status = resolve(verb, ret);
	if (status >= 0)
		job_args_fini(ret);
	return status;
}

void job_args_fini(struct job_args *args)
{
	json_decref(args->doc);
	*args = (struct job_args){ 0 };
}

/* ---- what needs the daemon ---- */

/*
 * Does the daemon run as us?  The socket knows who listens; but behind a
 * socket unit that is systemd, which for root is the same uid as ours while
 * the daemon's may be another.
 */
static bool daemon_is_ours(struct client *client)
{
	struct reply reply = { 0 };
	bool is_ours = client->conn.peer_uid == getuid();

	if (is_ours && getuid() == 0) {
		is_ours = client_ask(client, "daemon.info", NULL, &reply) == 0 &&
			  json_is_integer(json_object_get(reply.result, "uid")) &&
			  json_integer_value(json_object_get(reply.result, "uid")) == 0;
		reply_fini(&reply);
	}
	return is_ours;
}

int job_args_complete(struct client *client, struct job_args *args)
{
	char key[JOB_KEY_BYTES];
	int status = client_connect(client);

	if (status != STATUS_OK)
		return status;
	if (args->kind == JOB_WORKER && !args->is_from_file &&
	    json_object_get(args->doc, "cwd") == NULL && daemon_is_ours(client)) {
		cleanup_free char *here = getcwd(NULL, 0);

		/* A directory that cannot be named is left to the daemon's default. */
		if (here != NULL && *here == '/')
			json_object_set_new(args->doc, "cwd", json_string(here));
	}
	if (json_object_get(args->doc, "key") == NULL) {
		job_key_make(key);
		json_object_set_new(args->doc, "key", json_string(key));
	}
	return STATUS_OK;
}
