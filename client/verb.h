/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_VERB_H
#define CLIENT_VERB_H

#include "client/conn.h"
#include "client/opts.h"

#include <stdbool.h>

/* Exit statuses; a contract (proto/PROTOCOL.md, awaitctl(1)). */
enum {
	STATUS_OK = 0,
	STATUS_UNSUCCESSFUL = 1, /* a job did not succeed */
	STATUS_USAGE = 2,
	STATUS_UNREACHABLE = 3, /* no daemon */
	STATUS_REFUSED = 4,	/* the daemon answered with an error */
	STATUS_TIMED_OUT = 124,
};

/* What the options before the command said, and the connection. */
struct client {
	const char *socket; /* borrows from argv; NULL = not given */
	bool is_json;
	struct conn conn;
	int64_t give_up_us; /* when to stop trying to reach a lost daemon, of mono_now_us(); 0 =
			       when all patience is used up */
	/* While a call waits: */
	int64_t cancel_id;  /* the job that a signal cancels; 0 = none yet */
	bool is_cancelling; /* a signal came */
	void (*on_notification)(struct client *client,
				const struct reply *notification); /* NULL = dropped */
	void *notification_arg;
};

/* A command.  One const descriptor at the end of its file, listed in verbs.c. */
struct verb {
	const char *name;
	const char *usage;	/* behind "awaitctl NAME "; more than one line: "\n" between */
	const char *summary;	/* one line, lower case, no full stop */
	const char *help;	/* paragraphs, wrapped by whoever prints them */
	const struct opt *opts; /* NULL = only the common ones */
	/* @argv is what stands behind the command's name.  Returns the exit status. */
	int (*run)(struct client *client, const struct verb *verb, int argc, char **argv);
};

extern const struct verb hold_verb, release_verb, retry_verb, update_verb, why_verb, watch_verb,
	top_verb, timeline_verb;
extern const struct verb submit_verb, run_verb, list_verb, show_verb, wait_verb, cancel_verb,
	remove_verb, output_verb, queue_verb, info_verb, stats_verb, backup_verb, reload_verb,
	shutdown_verb, call_verb;

/* In the order of the list that --help prints; ends with NULL. */
extern const struct verb *const verbs[];
const struct verb *verb_find(const char *name);

/* The options that every command has. */
extern const struct opt client_opts[];

/*
 * Read options of @verb as @o says; -h, --version and what is wrong are seen to.
 * Returns -1 to go on, or the status to leave with.
 */
int verb_parse(struct client *client, const struct verb *verb, struct opts *o, int argc,
	       char **argv);
/*
 * Read the options of @verb into @base, then check that between @min_args and
 * @max_args (-1 = any number) arguments are left, in argv[0 ... *ret_n_args - 1].
 * Returns -1 to go on, or the status to leave with (help was printed, or a
 * usage error).
 */
int verb_options(struct client *client, const struct verb *verb, void *base, int min_args,
		 int max_args, int argc, char **argv, int *ret_n_args);
/*
 * A usage error of @verb, or of its part @sub (NULL = none): prints it with a
 * hint.  Returns the status.
 */
int verb_usage_error(const struct verb *verb, const char *sub, const struct aw_err *err);
void verb_print_help(const struct verb *verb);
void verb_print_version(void);

/* Connect to the daemon, once.  STATUS_OK, or the status after saying what is wrong. */
int client_connect(struct client *client);

/*
 * What to do about a lost connection: give up; reconnect for 30 s and ask
 * again (the request must bear being asked twice); or that, and also when the
 * daemon answers that it is shutting down.
 */
enum client_call { CALL_ONCE, CALL_AGAIN, CALL_PATIENTLY };

/*
 * Ask and wait for the answer.  Takes @params (NULL = none).  STATUS_OK with
 * *ret filled (reply_fini() it), or a status after saying what is wrong.
 */
int client_call(struct client *client, enum client_call how, const char *method, json_t *params,
		struct reply *ret);
/*
 * One try: 0 with an answer or an error of the daemon in *ret, or negative errno
 * when it is lost.  Says nothing.
 */
int client_ask(struct client *client, const char *method, const json_t *params, struct reply *ret);
/* Is the answer "shutting_down"?  Somebody patient asks the next daemon. */
bool client_is_stopping(const struct reply *reply);
/*
 * After a try that came to @r, which is a lost connection (negative errno), or to an
 * answer that the daemon is shutting down (0): a new connection, until the
 * instant *until_us (0 = now is the first try: 30 s from now, written back).
 * Not to what does not speak the protocol (-EBADMSG).  STATUS_OK, or a status
 * after saying what is wrong.
 */
int client_reconnect(struct client *client, int r, int64_t *until_us);
/* Cancel client->cancel_id; the answer is not waited for. */
void client_cancel(struct client *client);
/* Ask once and print the answer with --json, else hand it to @print (NULL = print nothing). */
int client_show(struct client *client, const char *method, json_t *params,
		void (*print)(const json_t *result));

/*
 * A method of the {jobs, errors} shape, for any number of ids (@ids is taken;
 * @extra, borrowed, is merged into the parameters; NULL = nothing).  Prints
 * errors by job; @is_tolerant: but not of jobs that have moved on since they
 * were looked for; @print (NULL = nothing) the rest, unless --json does.
 */
int client_for_ids(struct client *client, const char *method, json_t *ids, const json_t *extra,
		   bool is_tolerant, void (*print)(const json_t *result));

#endif
