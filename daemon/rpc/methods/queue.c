/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/utf8.h"
#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* queue.list, queue.set, queue.pause, queue.resume. */

static void print_queue(struct buf *b, const struct queue_view *q)
{
	buf_adds(b, "{\"name\":");
	buf_add_json_string(b, q->name);
	buf_adds(b, ",\"limit\":");
	buf_addi(b, q->limit);
	buf_adds(b, ",\"paused\":");
	buf_adds(b, q->is_paused ? "true" : "false");
	buf_adds(b, ",\"running\":");
	buf_addi(b, (int64_t)q->n_running);
	buf_adds(b, ",\"waiting\":");
	buf_addi(b, (int64_t)q->n_waiting);
	buf_addc(b, '}');
}

static struct rpc_done list_queues(struct rpc_call *call, json_t *params)
{
	struct buf b = { 0 };
	struct rpc_done done;

	(void)params;
	buf_adds(&b, "{\"queues\":[");
	for (size_t i = 0; i < engine_n_queues(); i++) {
		struct queue_view q;

		engine_queue(i, &q);
		if (i)
			buf_addc(&b, ',');
		print_queue(&b, &q);
	}
	buf_adds(&b, "]}");
	done = rpc_reply_text(call, b.data, b.len);
	buf_fini(&b);
	return done;
}

const struct rpc_method method_queue_list = {
	.name = "queue.list",
	.summary = "all queues",
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY | RPC_LOOKS,
	.handler = list_queues,
};

/* ---- changes ---- */

struct change {
	struct rpc_call *call;
	char *name; /* owns */
};

static void on_changed(void *arg, int result)
{
	struct change *c = arg;
	struct aw_err err = { 0 };
	struct queue_view q;
	struct buf b = { 0 };

	if (result < 0 || !engine_queue_find(c->name, &q)) {
		reply_store_failed(&err, result);
		rpc_finish_fail(c->call, &err);
		aw_err_fini(&err);
	} else {
		print_queue(&b, &q);
		rpc_finish_text(c->call, b.data, b.len);
		buf_fini(&b);
	}
	free(c->name);
	free(c);
}

static int check_name(const char *name, struct aw_err *err)
{
	size_t len = strlen(name);
	bool has_control = false;

	for (const char *p = name; *p; p++)
		has_control |= (unsigned char)*p < 0x20 || *p == 0x7f;
	if (len == 0 || len > JOB_NAME_MAX_BYTES || has_control)
		return aw_fail_at(err, AW_PARAMS, "/name",
				  "a queue's name has 1 to %d bytes and no control characters",
				  JOB_NAME_MAX_BYTES);
	return 0;
}

static struct rpc_done change(struct rpc_call *call, const char *name, int64_t limit, int paused)
{
	struct change *c = xcalloc(1, sizeof(*c));
	struct rpc_done later = rpc_later(call, NULL, NULL);

	c->call = call;
	c->name = xstrdup(name);
	engine_queue_set(c->name, limit, paused, on_changed, c);
	return later;
}

static struct rpc_done fail(struct rpc_call *call, struct aw_err *err)
{
	struct rpc_done done = rpc_fail(call, err);

	aw_err_fini(err);
	return done;
}

static struct rpc_done set_queue(struct rpc_call *call, json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct aw_err err = { 0 };

	if (check_name(name, &err) < 0)
		return fail(call, &err);
	return change(call, name, json_integer_value(json_object_get(params, "limit")), -1);
}

static struct rpc_done set_paused(struct rpc_call *call, json_t *params, bool is_paused)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct aw_err err = { 0 };
	struct queue_view q;

	if (!engine_queue_find(name, &q)) {
		aw_fail_at(&err, AW_NOT_FOUND, "/name", "there is no queue \"%.*s\"",
			   (int)utf8_bounded(name, 255), name);
		return fail(call, &err);
	}
	return change(call, name, -1, is_paused);
}

static struct rpc_done pause_queue(struct rpc_call *call, json_t *params)
{
	return set_paused(call, params, true);
}

static struct rpc_done resume_queue(struct rpc_call *call, json_t *params)
{
	return set_paused(call, params, false);
}

static const struct rpc_param set_params[] = {
	{ "name", RPC_STRING, RPC_REQUIRED, 0, 0, "the queue's name" },
	{ "limit", RPC_INTEGER, RPC_REQUIRED, 1, QUEUE_LIMIT_MAX,
	  "how many of its jobs run at once" },
	{ 0 },
};

static const struct rpc_param name_params[] = {
	{ "name", RPC_STRING, RPC_REQUIRED, 0, 0, "the queue's name" },
	{ 0 },
};

/* The requests that follow on the connection may name the queue: they wait until it is there. */
#define CHANGES_QUEUES (RPC_ADMINS | RPC_WHILE_STOPPING | RPC_BARRIER)

const struct rpc_method method_queue_set = {
	.name = "queue.set",
	.summary = "create a queue, or change its limit",
	.params = set_params,
	.flags = CHANGES_QUEUES,
	.handler = set_queue,
};

const struct rpc_method method_queue_pause = {
	.name = "queue.pause",
	.summary = "start no more jobs of a queue",
	.params = name_params,
	.flags = CHANGES_QUEUES,
	.handler = pause_queue,
};

const struct rpc_method method_queue_resume = {
	.name = "queue.resume",
	.summary = "start jobs of a paused queue again",
	.params = name_params,
	.flags = CHANGES_QUEUES,
	.handler = resume_queue,
};
