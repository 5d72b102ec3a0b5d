/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/verb.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "client/clock.h"
#include "client/interrupt.h"
#include "client/out.h"
#include "proto/limits.h"

enum { PATIENCE_SECONDS = 30, RETRY_MS = 100 };

const struct opt client_opts[] = {
	{ .name = "socket",
	  .type = OPT_TEXT,
	  .metavar = "PATH",
	  .help = "the daemon's socket",
	  .offset = offsetof(struct client, socket) },
	{ .name = "json",
	  .type = OPT_FLAG,
	  .help = "print what the daemon answered, as JSON",
	  .offset = offsetof(struct client, is_json) },
	{ .name = "help", .letter = 'h', .type = OPT_HELP, .help = "print help and exit" },
	{ .name = "version", .type = OPT_VERSION, .help = "print the version and exit" },
	{ 0 },
};

/* ---- options and help ---- */

void verb_print_version(void)
{
	out_line("awaitctl " PACKAGE_VERSION, strlen("awaitctl " PACKAGE_VERSION));
}

static void add_usage(struct buf *b, const struct verb *verb)
{
	const char *rest = verb->usage;
	const char *label = "Usage: ";

	while (*rest != '\0') {
		size_t len = strcspn(rest, "\n");

		buf_addf(b, "%sawaitctl %s%s%.*s\n", label, verb->name, len > 0 ? " " : "",
			 (int)len, rest);
		rest += len + (rest[len] == '\n');
		label = "       ";
	}
	if (*verb->usage == '\0')
		buf_addf(b, "%sawaitctl %s\n", label, verb->name);
}

void verb_print_help(const struct verb *verb)
{
	struct buf b = { 0 };

	add_usage(&b, verb);
	buf_addc(&b, '\n');
	opts_wrap(&b, verb->help, 0);
	if (verb->opts != NULL) {
		buf_adds(&b, "\nOptions:\n");
		opts_help(&b, verb->opts);
	}
	buf_adds(&b, "\nOptions of every command:\n");
	opts_help(&b, client_opts);
	out_buf(&b);
	buf_fini(&b);
}

int verb_usage_error(const struct verb *verb, const char *sub, const struct aw_err *err)
{
	const char *space = sub != NULL ? " " : "";

	sub = sub != NULL ? sub : "";
	return out_fail(STATUS_USAGE, "usage", "%s%s%s: %s; try \"awaitctl %s%s%s --help\"",
			verb->name, space, sub, err->message, verb->name, space, sub);
}

static int check_count(const struct verb *verb, int n_args, int min_args, int max_args)
{
	struct aw_err err = { 0 };
	int r;

	if (n_args >= min_args && (max_args < 0 || n_args <= max_args))
		return -1;
	aw_fail(&err, AW_PARAMS,
		n_args < min_args ? "an argument is missing" : "too many arguments");
	r = verb_usage_error(verb, NULL, &err);
	aw_err_fini(&err);
	return r;
}

int verb_parse(struct client *client, const struct verb *verb, struct opts *o, int argc,
	       char **argv)
{
	struct aw_err err = { 0 };
	int status = -1, r = opts_parse(o, argc, argv, &err);

	out_init(client->is_json);
	if (r < 0) {
		status = verb_usage_error(verb, NULL, &err);
	} else if (o->wish == OPTS_HELP) {
		verb_print_help(verb);
		status = STATUS_OK;
	} else if (o->wish == OPTS_VERSION) {
		verb_print_version();
		status = STATUS_OK;
	}
	aw_err_fini(&err);
	return status;
}

int verb_options(struct client *client, const struct verb *verb, void *base, int min_args,
		 int max_args, int argc, char **argv, int *ret_n_args)
{
	struct opts o = { .sets = { { client_opts, client }, { verb->opts, base } } };
	int status = verb_parse(client, verb, &o, argc, argv);

	if (status >= 0)
		return status;
	*ret_n_args = o.n_args;
	return check_count(verb, o.n_args, min_args, max_args);
}

/* ---- asking ---- */

int client_connect(struct client *client)
{
	struct aw_err err = { 0 };
	int status = STATUS_OK;

	if (conn_open(&client->conn, client->socket, &err) < 0)
		status = out_fail(STATUS_UNREACHABLE, "unreachable", "%s", err.message);
	aw_err_fini(&err);
	return status;
}

static int say_lost(struct client *client, int r)
{
	if (r == -EBADMSG)
		return out_fail(STATUS_UNREACHABLE, "unreachable",
				"what listens at %s does not speak awaitd's protocol",
				client->conn.path);
	return out_fail(STATUS_UNREACHABLE, "unreachable",
			"the daemon at %s went away before it answered", client->conn.path);
}

/* Wait until the next try; true = a signal came. */
static bool nap(void)
{
	struct pollfd pfd = { .fd = interrupt_fd(), .events = POLLIN };

	return poll(&pfd, 1, RETRY_MS) > 0;
}

int client_reconnect(struct client *client, int r, int64_t *until_us)
{
	bool is_told = false;

	if (r == -EBADMSG)
		return say_lost(client, r);
	if (*until_us == 0)
		*until_us = mono_now_us() + PATIENCE_SECONDS * INT64_C(1000000);
	for (;;) {
		if (nap() || mono_now_us() >= *until_us)
			return say_lost(client, -ECONNRESET);
		if (client->give_up_us > 0 && mono_now_us() >= client->give_up_us)
			return out_fail(STATUS_TIMED_OUT, "timeout",
					"the time ran out while the daemon was away");
		if (conn_open_again(&client->conn) == 0)
			break;
		if (!is_told)
			out_note("the daemon went away; trying for %d seconds to reach it again",
				 PATIENCE_SECONDS);
		is_told = true;
	}
	/* The request to cancel may have been lost with the connection. */
	if (client->is_cancelling)
		client_cancel(client);
	return STATUS_OK;
}

void client_cancel(struct client *client)
{
	json_t *params;
	int64_t id;

	client->is_cancelling = true;
	if (client->cancel_id == 0)
		return;
	params = json_pack("{s:[I]}", "ids", (json_int_t)client->cancel_id);
	/* A lost connection shows at the next wait. */
	(void)conn_send(&client->conn, "job.cancel", params, &id);
	json_decref(params);
}

bool client_is_stopping(const struct reply *reply)
{
	const char *word =
		json_string_value(json_object_get(json_object_get(reply->error, "data"), "code"));

	return word != NULL && strcmp(word, "shutting_down") == 0;
}

int client_ask(struct client *client, const char *method, const json_t *params, struct reply *ret)
{
	int64_t id;
	int r = conn_send(&client->conn, method, params, &id);

	/*
	 * A daemon that refuses a line and hangs up may do so before all of it
	 * is sent: what it said is still there to be read.
	 */
	if (r == -EPIPE)
		r = 0;
	while (r == 0) {
		r = conn_receive(&client->conn, -1, ret);
		if (r == -EINTR) {
			client_cancel(client);
			r = 0;
			continue;
		}
		if (r < 0 || ret->id == id || (ret->error != NULL && ret->id == 0))
			break;
		if (ret->method != NULL && client->on_notification != NULL)
			client->on_notification(client, ret);
		reply_fini(ret);
	}
	return r;
}

int client_call(struct client *client, enum client_call how, const char *method, json_t *params,
		struct reply *ret)
{
	int64_t until_us = 0;
	int status = STATUS_OK;

	if (!client->conn.is_open)
		status = client_connect(client);
	while (status == STATUS_OK) {
		int r = client_ask(client, method, params, ret);

		if (r == 0 && ret->error == NULL)
			break;
		if (r == 0 && !(how == CALL_PATIENTLY && client_is_stopping(ret)))
			status = out_refused(ret->error, NULL);
		else if (how == CALL_ONCE)
			status = say_lost(client, r);
		else
			status = client_reconnect(client, r, &until_us);
		reply_fini(ret);
	}
	json_decref(params);
	return status;
}

int client_show(struct client *client, const char *method, json_t *params,
		void (*print)(const json_t *result))
{
	struct reply reply = { 0 };
	int status = client_call(client, CALL_ONCE, method, params, &reply);

	if (status != STATUS_OK)
		return status;
	if (client->is_json)
		out_line(reply.text, reply.text_len);
	else if (print != NULL && reply.result != NULL)
		print(reply.result);
	reply_fini(&reply);
	return STATUS_OK;
}

/* ---- methods of the {jobs, errors} shape ---- */

static bool has_moved_on(const json_t *error)
{
	const char *code = json_string_value(json_object_get(error, "code"));

	return code && (strcmp(code, "wrong_state") == 0 || strcmp(code, "not_found") == 0);
}

static int print_job_errors(const json_t *errors, bool is_tolerant)
{
	int status = STATUS_OK;
	json_t *error;
	size_t i;

	json_array_foreach(errors, i, error) {
		const char *message = json_string_value(json_object_get(error, "message"));
		char job[32];

		if (is_tolerant && has_moved_on(error))
			continue;
		status = STATUS_REFUSED;
		snprintf(job, sizeof(job), "job %lld",
			 (long long)json_integer_value(json_object_get(error, "id")));
		if (message != NULL && strstr(message, job) != NULL)
			out_note("%s", message);
		else
			out_note("%s: %s", job, message != NULL ? message : "refused");
	}
	return status;
}

/* client_call() for jobs that were looked for: that all of them have moved on is fine, too. */
static int call_tolerantly(struct client *client, const char *method, json_t *params,
			   struct reply *ret)
{
	int r = client_ask(client, method, params, ret), status = STATUS_OK;

	if (r < 0)
		status = say_lost(client, r);
	else if (ret->error && !has_moved_on(json_object_get(ret->error, "data")))
		status = out_refused(ret->error, NULL);
	if (status != STATUS_OK)
		reply_fini(ret);
	json_decref(params);
	return status;
}

static int ask_for_ids(struct client *client, const char *method, json_t *ids, const json_t *extra,
		       bool is_tolerant, void (*print)(const json_t *result))
{
	json_t *params = json_object();
	struct reply reply = { 0 };
	int status;

	json_object_set_new(params, "ids", ids);
	if (extra != NULL)
		json_object_update(params, (json_t *)extra);
	status = is_tolerant ? call_tolerantly(client, method, params, &reply)
			     : client_call(client, CALL_ONCE, method, params, &reply);
	if (status != STATUS_OK)
		return status;
	status = print_job_errors(json_object_get(reply.result, "errors"), is_tolerant);
	if (client->is_json && reply.result)
		out_line(reply.text, reply.text_len);
	else if (print != NULL && reply.result != NULL)
		print(reply.result);
	reply_fini(&reply);
	return status;
}

int client_for_ids(struct client *client, const char *method, json_t *ids, const json_t *extra,
		   bool is_tolerant, void (*print)(const json_t *result))
{
	size_t n = json_array_size(ids);
	int status = STATUS_OK;

	for (size_t at = 0; at < n; at += PROTO_IDS_MAX) {
		json_t *some = json_array();
		int r;

		for (size_t i = at; i < n && i < at + PROTO_IDS_MAX; i++)
			json_array_append(some, json_array_get(ids, i));
		r = ask_for_ids(client, method, some, extra, is_tolerant, print);
		status = r != STATUS_OK ? r : status;
		if (r == STATUS_UNREACHABLE)
			break;
	}
	json_decref(ids);
	return status;
}
