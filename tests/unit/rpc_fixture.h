/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_RPC_FIXTURE_H
#define TESTS_UNIT_RPC_FIXTURE_H

/*
 * A connection over a socketpair, on the real loop, with methods of our own
 * and no engine behind them.
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/engine.h"
#include "daemon/log.h"
#include "daemon/rpc/conn.h"
#include "daemon/rpc/dispatch.h"
#include "daemon/rpc/rpc.h"
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

#define UNUSED_FN __attribute__((unused))

/* ---- the engine that there is not ---- */

static bool is_stopping;

bool engine_is_stopping(void)
{
	return is_stopping;
}

/* ---- methods ---- */

static struct buf order;	       /* what test.mark has seen */
static struct rpc_call *pending[2048]; /* calls that test.later left open */
static size_t n_pending, n_gone;
static bool finishes_when_gone = true;
static uint64_t n_dropped_before; /* connections, by earlier tests of this process */

static struct rpc_done echo(struct rpc_call *call, json_t *params)
{
	return rpc_reply(call, params ? json_incref(params) : json_object());
}

static struct rpc_done mark(struct rpc_call *call, json_t *params)
{
	buf_adds(&order, json_string_value(json_object_get(params, "text")));
	return rpc_reply(call, json_true());
}

static struct rpc_done refuse(struct rpc_call *call, json_t *params)
{
	struct aw_err err = { 0 };
	struct rpc_done done;

	(void)params;
	aw_fail(&err, AW_WRONG_STATE, "no");
	aw_err_fact(&err, "outcome", json_string("lost"));
	done = rpc_fail(call, &err);
	aw_err_fini(&err);
	return done;
}

static void on_gone(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;

	n_gone++;
	if (finishes_when_gone)
		rpc_finish(pending[i], json_null());
}

static struct rpc_done postpone(struct rpc_call *call, json_t *params)
{
	(void)params;
	ck_assert_uint_lt(n_pending, sizeof(pending) / sizeof(*pending));
	pending[n_pending] = call;
	return rpc_later(call, on_gone, (void *)(uintptr_t)n_pending++);
}

static struct rpc_done wait_long(struct rpc_call *call, json_t *params)
{
	rpc_set_idle(call, true);
	return postpone(call, params);
}

static struct rpc_done big(struct rpc_call *call, json_t *params)
{
	size_t n = (size_t)json_integer_value(json_object_get(params, "bytes"));
	char *text = xmalloc(n);
	struct rpc_done done;

	memset(text, 'x', n);
	text[0] = text[n - 1] = '"';
	done = rpc_reply_text(call, text, n);
	free(text);
	return done;
}

static const struct rpc_param mark_params[] = {
	{ "text", RPC_STRING, RPC_REQUIRED, 0, 0, "what to add" },
	{ 0 },
};
static const struct rpc_param big_params[] = {
	{ "bytes", RPC_INTEGER, RPC_REQUIRED, 2, 8 << 20, "how much" },
	{ 0 },
};
static const struct rpc_param types_params[] = {
	{ "object", RPC_OBJECT, 0, 0, 0, "" },	 { "array", RPC_ARRAY, 0, 0, 0, "" },
	{ "string", RPC_STRING, 0, 0, 0, "" },	 { "nullable", RPC_STRING, RPC_NULLABLE, 0, 0, "" },
	{ "integer", RPC_INTEGER, 0, 0, 0, "" }, { "small", RPC_INTEGER, 0, 1, 9, "" },
	{ "bool", RPC_BOOL, 0, 0, 0, "" },	 { "duration", RPC_DURATION, 0, 0, 0, "" },
	{ "ids", RPC_IDS, 0, 0, 0, "" },	 { "words", RPC_ONE_OR_LIST, 0, 0, 0, "" },
	{ "any", RPC_ANY, 0, 0, 0, "" },	 { 0 },
};

static const struct rpc_method method_await = { .name = "test.await",
						.flags = RPC_WHILE_STOPPING,
						.handler = wait_long };
static const struct rpc_method method_barrier = { .name = "test.barrier",
						  .flags = RPC_WHILE_STOPPING | RPC_BARRIER,
						  .handler = postpone };
static const struct rpc_method method_big = {
	.name = "test.big", .params = big_params, .flags = RPC_WHILE_STOPPING, .handler = big
};
static const struct rpc_method method_change = { .name = "test.change",
						 .flags = RPC_WHILE_STOPPING | RPC_CHANGES,
						 .handler = postpone };
static const struct rpc_method method_fail = { .name = "test.fail",
					       .flags = RPC_WHILE_STOPPING,
					       .handler = refuse };
static const struct rpc_method method_later = { .name = "test.later",
						.flags = RPC_WHILE_STOPPING,
						.handler = postpone };
static const struct rpc_method method_look = { .name = "test.look",
					       .flags = RPC_WHILE_STOPPING | RPC_OPEN_PARAMS |
							RPC_LOOKS,
					       .handler = echo };
static const struct rpc_method method_mark = {
	.name = "test.mark", .params = mark_params, .flags = RPC_WHILE_STOPPING, .handler = mark
};
static const struct rpc_method method_open = { .name = "test.open",
					       .flags = RPC_WHILE_STOPPING | RPC_OPEN_PARAMS,
					       .handler = echo };
static const struct rpc_method method_root = { .name = "test.root",
					       .flags = RPC_WHILE_STOPPING | RPC_ROOT_OR_SELF,
					       .handler = echo };
static const struct rpc_method method_submit = { .name = "test.submit", .handler = echo };
static const struct rpc_method method_types = {
	.name = "test.types", .params = types_params, .flags = RPC_WHILE_STOPPING, .handler = echo
};

/* Methods of the daemon whose names sort before ours, each with a comma behind it. */
#ifndef FIXTURE_METHODS
#define FIXTURE_METHODS
#endif

const struct rpc_method *const rpc_methods[] = {
	FIXTURE_METHODS & method_await,
	&method_barrier,
	&method_big,
	&method_change,
	&method_fail,
	&method_later,
	&method_look,
	&method_mark,
	&method_open,
	&method_root,
	&method_submit,
	&method_types,
};
const size_t n_rpc_methods = sizeof(rpc_methods) / sizeof(rpc_methods[0]);

bool rpc_method_is_planned(const char *name)
{
	return !strcmp(name, "test.planned");
}

/* ---- a peer ---- */

struct peer {
	struct conn *conn; /* the daemon's end; may be gone */
	int fd;
	struct buf in; /* read, not yet taken */
	bool is_eof;
};

static void peer_open_as(struct peer *p, uid_t uid)
{
	int fds[2];

	*p = (struct peer){ 0 };
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	p->fd = fds[0];
	p->conn = conn_new(fds[1], uid, uid);
	ck_assert_ptr_nonnull(p->conn);
	conn_named(uid);
}

static UNUSED_FN void peer_open(struct peer *p)
{
	peer_open_as(p, geteuid());
}

static UNUSED_FN void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	buf_fini(&p->in);
	loop_run_until_idle();
}

/* Send as much as the socket takes; returns how much. */
static size_t peer_send_bytes(struct peer *p, const char *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(p->fd, data + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
	}
	return sent;
}

/* Send all, running the loop while the socket is full. */
static void peer_send_all(struct peer *p, const char *data, size_t len)
{
	size_t sent = 0;

	for (int i = 0; sent < len; i++) {
		ck_assert_int_lt(i, 10000);
		sent += peer_send_bytes(p, data + sent, len - sent);
		loop_run_until_idle();
	}
}

static UNUSED_FN void peer_send(struct peer *p, const char *text)
{
	peer_send_all(p, text, strlen(text));
}

/* Until the loop has nothing to do, and no helper thread has a large line. */
static void run_until_idle(void)
{
	struct dispatch_stats calls;

	for (;;) {
		loop_run_until_idle();
		dispatch_stats(&calls);
		if (!calls.n_heavy)
			return;
		(void)loop_turn(true);
	}
}

static void peer_receive(struct peer *p)
{
	char data[65536];
	ssize_t n;

	run_until_idle();
	while ((n = recv(p->fd, data, sizeof(data), 0)) > 0) {
		buf_add(&p->in, data, (size_t)n);
		run_until_idle();
	}
	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->is_eof = true;
}

/* The next line as JSON, or NULL if none has come. */
static json_t *peer_take(struct peer *p)
{
	char *nl;
	json_t *value;

	peer_receive(p);
	nl = p->in.len ? memchr(p->in.data, '\n', p->in.len) : NULL;
	if (!nl)
		return NULL;
	value = json_loadb(p->in.data, (size_t)(nl - p->in.data), JSON_DECODE_ANY, NULL);
	ck_assert_ptr_nonnull(value);
	buf_consume(&p->in, (size_t)(nl - p->in.data) + 1);
	return value;
}

/* The next line, compared as text in jansson's sorted form. */
static UNUSED_FN void peer_expect(struct peer *p, const char *expected)
{
	json_t *got = peer_take(p), *want = json_loads(expected, 0, NULL);
	char *text = got ? json_dumps(got, JSON_SORT_KEYS) : NULL;

	ck_assert_ptr_nonnull(want);
	ck_assert_msg(got && json_equal(got, want), "wanted %s, got %s", expected,
		      text ? text : "nothing");
	free(text);
	json_decref(got);
	json_decref(want);
}

static UNUSED_FN void peer_expect_nothing(struct peer *p)
{
	peer_receive(p);
	ck_assert_msg(p->in.len == 0, "unexpected: %.*s", (int)p->in.len, p->in.data);
}

/* The next line is an error with this id (JSON text), number and path (NULL = none looked at). */
static UNUSED_FN void peer_expect_error(struct peer *p, const char *id, int number,
					const char *path)
{
	json_t *got = peer_take(p), *want_id = json_loads(id, JSON_DECODE_ANY, NULL);
	const json_t *error = json_object_get(got, "error");
	const char *got_path =
		json_string_value(json_object_get(json_object_get(error, "data"), "path"));
	char *text = got ? json_dumps(got, JSON_SORT_KEYS) : NULL;

	ck_assert_msg(got && json_equal(json_object_get(got, "id"), want_id) &&
			      json_integer_value(json_object_get(error, "code")) == number,
		      "wanted id %s, error %d; got %s", id, number, text ? text : "nothing");
	ck_assert_msg(!path || (got_path && !strcmp(got_path, path)), "wanted path %s, got %s",
		      path ? path : "", text);
	free(text);
	json_decref(got);
	json_decref(want_id);
}

/* ---- set-up ---- */

static UNUSED_FN void fixture_setup(void)
{
	struct conf *c = xcalloc(1, sizeof(*c));
	struct conn_stats stats;

	conn_stats(&stats);
	n_dropped_before = stats.n_dropped;
	log_init(LOG_ERR, 0);
	c->log_level = LOG_ERR;
	c->max_connections = 256;
	c->max_connections_per_user = 64;
	c->line_timeout_us = 30000000;
	c->output_soft_bytes = 1 << 20;
	c->output_hard_bytes = 4 << 20;
	c->output_soft_timeout_us = 10000000;
	c->max_buffers_bytes = 64 << 20;
	conf_apply(c);
	ck_assert_int_eq(loop_init(), 0);
	is_stopping = false;
	finishes_when_gone = true;
	n_pending = n_gone = 0;
}

static UNUSED_FN void fixture_teardown(void)
{
	conn_close_all();
	run_until_idle();
	offload_fini();
	coro_fini();
	loop_fini();
	conf_apply(NULL);
	buf_fini(&order);
}

#endif
