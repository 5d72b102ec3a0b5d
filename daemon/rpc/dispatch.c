/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/dispatch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/utf8.h"
#include "daemon/co/await.h"
#include "daemon/job/engine.h"
#include "daemon/rpc/params.h"
#include "daemon/rpc/rpc.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/message.h"
#include "proto/xalloc.h"

/* A batch is answered as one array, which is held until its last answer is there. */
#define BATCH_ANSWER_MAX_BYTES ((size_t)8 * 1024 * 1024)

/* Longer lines are parsed, and what they held is freed, off the loop. */
#define HEAVY_LINE_BYTES ((size_t)32 * 1024)
/* Parsed, a line takes about so much more than it had bytes (up to 79 times: R4.6). */
#define HEAVY_FACTOR 16

enum {
	TOKEN_ANSWERED = 1,
	TOKEN_LATER,
};

struct rpc_call {
	struct conn *conn;	 /* NULL: the peer is gone */
	struct rpc_batch *batch; /* holds a reference; NULL: a request of its own */
	json_t *id;		 /* owns; NULL: a notification, which nothing answers */
	struct viewer viewer;
	gid_t gid;
	bool is_later;
	bool is_idle;	/* counted in stats.n_idle */
	bool is_change; /* counted in conn->n_changing */
	/* Of conn->held: */
	const struct rpc_method *method;
	json_t *params;	  /* owns */
	struct list link; /* in conn->calls when it is answered later */
	void (*on_gone)(void *arg);
	void *arg;
	struct signal_flag writable;
};

/*
 * A large line.  It is parsed by a helper thread, and what came of it is freed
 * by one: either takes up to tens of milliseconds.
 */
struct rpc_heavy {
	struct offload work;
	struct conn *conn; /* NULL: the peer is gone */
	char *line;	   /* owns, until it is parsed */
	size_t len;
	json_t *value; /* owns */
	struct aw_err err;
	bool is_parsed;
};

struct rpc_batch {
	struct conn *conn; /* NULL: the peer is gone */
	size_t n_refs;	   /* its calls, and c->batch */
	json_t *requests;  /* owns; an array */
	size_t next;
	struct buf out;	       /* answers so far, "," between them */
	size_t n_held_bytes;   /* of out, as conn_hold() knows */
	size_t n_parsed_bytes; /* of requests, as conn_hold() knows */
};

static struct dispatch_stats stats;
/* From the beginning of a large line's parsing until it is handled. */
static bool is_heavy_busy;

/* ---- large values ---- */

static void free_work(struct offload *o)
{
	struct rpc_heavy *h = container_of(o, struct rpc_heavy, work);

	json_decref(h->value);
}

static void free_done(struct offload *o)
{
	stats.n_heavy--;
	free(container_of(o, struct rpc_heavy, work));
}

/* Takes @value, which was parsed from @len bytes. */
static void free_value(json_t *value, size_t len)
{
	struct rpc_heavy *h;

	if (len < HEAVY_LINE_BYTES) {
		json_decref(value);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->value = value;
	stats.n_heavy++;
	h->work.work = free_work;
	h->work.done = free_done;
	offload_submit(&h->work);
}

bool dispatch_must_wait(size_t len)
{
	return is_heavy_busy && len >= HEAVY_LINE_BYTES;
}

/* ---- batches ---- */

/* Many megabytes are not copied if they need not be. */
static void hand_over(struct buf *to, struct buf *from)
{
	struct buf kept = *to;

	if (to->len) {
		buf_add(to, from->data, from->len);
		return;
	}
	*to = *from;
	*from = kept;
}

static void batch_unref(struct rpc_batch *b)
{
	if (--b->n_refs > 0)
		return;
	if (b->conn) {
		struct buf *out = conn_out(b->conn);

		conn_hold(b->conn, -(ptrdiff_t)(b->n_held_bytes + b->n_parsed_bytes));
		/* Notifications alone are answered by nothing, not by an empty array. */
		if (b->out.len) {
			buf_adds(&b->out, "]\n");
			hand_over(out, &b->out);
			conn_replied(b->conn);
		}
	}
	free_value(b->requests, b->n_parsed_bytes / HEAVY_FACTOR);
	buf_fini(&b->out);
	free(b);
}

/* ---- answers ---- */

/* Where the answer goes: straight to the connection, or into the batch's array. */
static struct buf *answer_begin(struct conn *c, struct rpc_batch *b)
{
	if (!b)
		return conn_out(c);
	buf_addc(&b->out, b->out.len ? ',' : '[');
	return &b->out;
}

static void answer_end(struct conn *c, struct rpc_batch *b)
{
	if (b) {
		conn_hold(c, (ptrdiff_t)(b->out.len - b->n_held_bytes));
		b->n_held_bytes = b->out.len;
		return;
	}
	buf_addc(conn_out(c), '\n');
	conn_replied(c);
}

static void answer_error(struct conn *c, struct rpc_batch *b, const json_t *id,
			 const struct aw_err *err)
{
	stats.n_errors++;
	message_add_error(answer_begin(c, b), id, err);
	answer_end(c, b);
}

void dispatch_error(struct conn *c, const struct aw_err *err)
{
	answer_error(c, NULL, NULL, err);
}

static bool is_answerable(const struct rpc_call *call)
{
	return call->conn && call->id;
}

static void answer_call_error(struct rpc_call *call, const struct aw_err *err)
{
	if (is_answerable(call))
		answer_error(call->conn, call->batch, call->id, err);
}

static bool refuse_huge_batch(struct rpc_call *call)
{
	struct aw_err err = { 0 };

	if (!call->batch || call->batch->out.len < BATCH_ANSWER_MAX_BYTES)
		return false;
	aw_fail(&err, AW_LIMIT, "the answers of this batch exceed %zu MiB; ask in smaller batches",
		BATCH_ANSWER_MAX_BYTES >> 20);
	answer_call_error(call, &err);
	aw_err_fini(&err);
	return true;
}

/* Where the result is printed to, up to end_result(); NULL: nobody is told. */
static struct buf *begin_result(struct rpc_call *call)
{
	struct buf *out;

	if (!is_answerable(call) || refuse_huge_batch(call))
		return NULL;
	out = answer_begin(call->conn, call->batch);
	message_begin_result(out, call->id);
	return out;
}

static void end_result(struct rpc_call *call, struct buf *out)
{
	buf_addc(out, '}');
	answer_end(call->conn, call->batch);
}

/* The result as JSON or, if that is NULL, as text. */
static void answer_call(struct rpc_call *call, json_t *result, const char *text, size_t len)
{
	struct buf *out = begin_result(call);

	if (out) {
		if (result)
			buf_add_json(out, result);
		else
			buf_add(out, text, len);
		end_result(call, out);
	}
	json_decref(result);
}

/* ---- calls ---- */

static struct rpc_call *call_new(struct conn *c, struct rpc_batch *b, const json_t *id)
{
	struct rpc_call *call = xcalloc(1, sizeof(*call));

	call->conn = c;
	call->batch = b;
	if (b)
		b->n_refs++;
	call->id = json_incref((json_t *)id);
	call->viewer = (struct viewer){ .uid = c->uid, .is_admin = c->is_admin };
	call->gid = c->gid;
	list_init(&call->link);
	stats.n_calls++;
	return call;
}

void rpc_set_idle(struct rpc_call *call, bool is_idle)
{
	stats.n_idle += (size_t)is_idle - (size_t)call->is_idle;
	call->is_idle = is_idle;
}

static void call_free(struct rpc_call *call)
{
	struct conn *c = call->conn;

	if (c) {
		c->n_calls -= call->is_later;
		c->n_changing -= call->is_change;
		if (c->barrier == call || (c->held && c->n_changing == 0))
			c->barrier = NULL;
		conn_touch(c);
	}
	list_remove(&call->link);
	if (call->batch)
		batch_unref(call->batch);
	rpc_set_idle(call, false);
	json_decref(call->id);
	json_decref(call->params);
	stats.n_calls--;
	free(call);
}

struct viewer rpc_viewer(const struct rpc_call *call)
{
	return call->viewer;
}

uid_t rpc_uid(const struct rpc_call *call)
{
	return call->viewer.uid;
}

gid_t rpc_gid(const struct rpc_call *call)
{
	return call->gid;
}

struct conn *rpc_conn(const struct rpc_call *call)
{
	return call->conn;
}

json_t *rpc_id(const struct rpc_call *call)
{
	return call->id ? json_incref(call->id) : json_null();
}

struct rpc_done rpc_reply(struct rpc_call *call, json_t *result)
{
	assert(result && !call->is_later);
	answer_call(call, result, NULL, 0);
	return (struct rpc_done){ TOKEN_ANSWERED };
}

struct rpc_done rpc_reply_text(struct rpc_call *call, const char *text, size_t len)
{
	assert(!call->is_later);
	answer_call(call, NULL, text, len);
	return (struct rpc_done){ TOKEN_ANSWERED };
}

struct rpc_done rpc_fail(struct rpc_call *call, const struct aw_err *err)
{
	assert(!call->is_later);
	answer_call_error(call, err);
	return (struct rpc_done){ TOKEN_ANSWERED };
}

struct rpc_done rpc_later(struct rpc_call *call, void (*on_gone)(void *arg), void *arg)
{
	assert(!call->is_later && call->conn);
	call->is_later = true;
	call->on_gone = on_gone;
	call->arg = arg;
	list_add_tail(&call->conn->calls, &call->link);
	call->conn->n_calls++;
	return (struct rpc_done){ TOKEN_LATER };
}

void rpc_hold(struct rpc_call *call)
{
	if (call->conn)
		call->conn->barrier = call;
}

void rpc_go_on(struct rpc_call *call)
{
	if (!call->conn || call->conn->barrier != call)
		return;
	call->conn->barrier = NULL;
	conn_touch(call->conn);
}

void rpc_finish(struct rpc_call *call, json_t *result)
{
	assert(result && call->is_later);
	answer_call(call, result, NULL, 0);
	call_free(call);
}

void rpc_finish_text(struct rpc_call *call, const char *text, size_t len)
{
	assert(call->is_later);
	answer_call(call, NULL, text, len);
	call_free(call);
}

struct buf *rpc_finish_begin(struct rpc_call *call)
{
	assert(call->is_later);
	return begin_result(call);
}

void rpc_finish_end(struct rpc_call *call, struct buf *out)
{
	if (out)
		end_result(call, out);
	call_free(call);
}

void rpc_finish_fail(struct rpc_call *call, const struct aw_err *err)
{
	assert(call->is_later);
	answer_call_error(call, err);
	call_free(call);
}

/* ---- notifications ---- */

void rpc_notify_text(struct rpc_call *call, const char *method, const char *params, size_t len)
{
	struct buf *out;
	size_t before;

	if (!call->conn)
		return;
	out = conn_out(call->conn);
	before = out->len;
	buf_adds(out, "{\"jsonrpc\":\"2.0\",\"method\":");
	buf_add_json_string(out, method);
	buf_adds(out, ",\"params\":");
	buf_add(out, params, len);
	buf_adds(out, "}\n");
	conn_notified(call->conn, out->len - before);
}

int co_rpc_writable(struct rpc_call *call)
{
	while (call->conn && conn_is_full(call->conn)) {
		int r;

		call->conn->has_writers = true;
		r = co_signal_wait(&call->writable, MONO_NEVER);
		if (r < 0)
			return r;
	}
	return call->conn ? 0 : -EPIPE;
}

bool dispatch_has_due(const struct conn *c)
{
	list_for_each(l, &c->calls)
		if (!container_of(l, struct rpc_call, link)->is_idle)
			return true;
	return false;
}

void dispatch_conn_writable(struct conn *c)
{
	c->has_writers = false;
	list_for_each(l, &c->calls)
		signal_flag_raise(&container_of(l, struct rpc_call, link)->writable);
	if (c->feed)
		c->feed->writable(c->feed);
}

void dispatch_conn_gone(struct conn *c)
{
	struct conn_feed *feed = c->feed;
	struct list *l;

	if (c->heavy)
		c->heavy->conn = NULL;
	c->heavy = NULL;
	c->feed = NULL;
	if (feed)
		feed->gone(feed);
	if (c->batch) {
		c->batch->conn = NULL;
		batch_unref(c->batch);
		c->batch = NULL;
	}
	/* First all of them, then tell: who is told may end any. */
	list_for_each(it, &c->calls) {
		struct rpc_call *call = container_of(it, struct rpc_call, link);

		call->conn = NULL;
		if (call->batch)
			call->batch->conn = NULL;
	}
	c->barrier = NULL;
	if (c->held) {
		c->held->conn = NULL;
		if (c->held->batch)
			c->held->batch->conn = NULL;
		call_free(c->held);
		c->held = NULL;
	}
	while ((l = list_pop(&c->calls))) {
		struct rpc_call *call = container_of(l, struct rpc_call, link);

		signal_flag_raise(&call->writable);
		if (call->on_gone)
			call->on_gone(call->arg);
	}
}

/* ---- requests ---- */

static const struct rpc_method *find_method(const char *name)
{
	size_t low = 0, high = n_rpc_methods;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, rpc_methods[mid]->name);

		if (!order)
			return rpc_methods[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static int look_up(const char *name, const struct rpc_method **ret, struct aw_err *err)
{
	enum { SHOWN_BYTES = 80 };

	*ret = find_method(name);
	if (*ret)
		return 0;
	if (rpc_method_is_planned(name))
		return aw_fail(err, AW_UNSUPPORTED, "%s is not built yet", name);
	return aw_fail(err, AW_METHOD, "there is no method \"%.*s\"",
		       (int)utf8_bounded(name, SHOWN_BYTES), name);
}

static int check_permission(const struct rpc_call *call, const struct rpc_method *m,
			    struct aw_err *err)
{
	bool is_trusted = call->viewer.uid == 0 || call->viewer.uid == geteuid();

	if (m->flags & RPC_ROOT_OR_SELF && !is_trusted)
		return aw_fail(err, AW_DENIED, "only root and the daemon's own user may use %s",
			       m->name);
	if (m->flags & RPC_ADMINS && !is_trusted && !call->viewer.is_admin)
		return aw_fail(err, AW_DENIED,
			       "only root, the daemon's own user and the members of its group of "
			       "administrators may use %s",
			       m->name);
	if (!(m->flags & RPC_WHILE_STOPPING) && engine_is_stopping())
		return aw_fail(err, AW_SHUTTING_DOWN,
			       "the daemon is stopping; send this again when it is back");
	return 0;
}

static void run_call(struct rpc_call *call, const struct rpc_method *method, json_t *params)
{
	struct conn *c = call->conn;
	struct rpc_done done;

	/* Nobody would read the answer, and there is nothing else to it. */
	if (method->flags & RPC_ANSWERS_ONLY && c->is_mute) {
		call_free(call);
		return;
	}
	if (method->flags & RPC_BARRIER)
		c->barrier = call;
	if (method->flags & RPC_CHANGES) {
		call->is_change = true;
		c->n_changing++;
	}
	done = method->handler(call, params);
	assert(done.token == TOKEN_ANSWERED || done.token == TOKEN_LATER);
	/* One that is answered later is over already, or its own master. */
	if (done.token == TOKEN_ANSWERED)
		call_free(call);
}

static int handle_call(struct rpc_call *call, const struct message *m, struct aw_err *err)
{
	struct conn *c = call->conn;
	const struct rpc_method *method;

	if (look_up(m->method, &method, err) < 0 || check_permission(call, method, err) < 0 ||
	    params_check(method, m->params, err) < 0)
		return -EINVAL;
	if (!(method->flags & RPC_LOOKS) || c->n_changing == 0) {
		run_call(call, method, m->params);
		return 0;
	}
	call->method = method;
	call->params = json_incref(m->params);
	c->held = c->barrier = call;
	return 0;
}

void dispatch_held(struct conn *c)
{
	struct rpc_call *call = c->held;
	json_t *params = json_incref(call->params);

	c->held = NULL;
	run_call(call, call->method, params);
	json_decref(params);
}

static void handle_request(struct conn *c, struct rpc_batch *b, const json_t *value)
{
	struct aw_err err = { 0 };
	struct message m = { 0 };
	struct rpc_call *call;

	stats.n_requests++;
	if (message_parse(value, &m, &err) < 0) {
		/* A notification is known by its form; its wrong params are nobody's concern
		 * (JSON-RPC 2.0, section 4.1). */
		if (err.code != AW_PARAMS || json_object_get(value, "id"))
			answer_error(c, b, m.id, &err);
		aw_err_fini(&err);
		return;
	}
	call = call_new(c, b, m.id);
	if (handle_call(call, &m, &err) < 0) {
		answer_call_error(call, &err);
		call_free(call);
		aw_err_fini(&err);
	}
}

/* Takes @requests, which were parsed from @len bytes. */
static void begin_batch(struct conn *c, json_t *requests, size_t len)
{
	struct aw_err err = { 0 };
	size_t n = json_array_size(requests);

	if (n == 0 || n > PROTO_BATCH_MAX) {
		if (n == 0)
			aw_fail(&err, AW_REQUEST, "an empty batch asks for nothing");
		else
			aw_fail(&err, AW_LIMIT, "a batch may have %d requests, this has %zu",
				PROTO_BATCH_MAX, n);
		dispatch_error(c, &err);
		aw_err_fini(&err);
		free_value(requests, len);
		return;
	}
	c->batch = xcalloc(1, sizeof(*c->batch));
	c->batch->conn = c;
	c->batch->n_refs = 1;
	c->batch->requests = requests;
	c->batch->n_parsed_bytes = len * HEAVY_FACTOR;
	conn_hold(c, (ptrdiff_t)c->batch->n_parsed_bytes);
}

void dispatch_batch_step(struct conn *c)
{
	struct rpc_batch *b = c->batch;

	handle_request(c, b, json_array_get(b->requests, b->next++));
	if (b->next < json_array_size(b->requests))
		return;
	c->batch = NULL;
	batch_unref(b);
}

/* Takes @value, which was parsed from @len bytes. */
static void handle_value(struct conn *c, json_t *value, size_t len)
{
	if (json_is_array(value)) {
		begin_batch(c, value, len);
		return;
	}
	handle_request(c, NULL, value);
	free_value(value, len);
}

static void parse_work(struct offload *o)
{
	struct rpc_heavy *h = container_of(o, struct rpc_heavy, work);

	h->is_parsed = frame_parse(h->line, h->len, &h->value, &h->err) == 0;
	free(h->line);
}

static void parse_done(struct offload *o)
{
	struct rpc_heavy *h = container_of(o, struct rpc_heavy, work);
	struct conn *c = h->conn;

	if (c) {
		c->heavy = NULL;
		conn_hold(c, -(ptrdiff_t)h->len);
		conn_touch(c);
	}
	if (c && h->is_parsed)
		handle_value(c, h->value, h->len);
	else if (h->is_parsed)
		free_value(h->value, h->len);
	else if (c)
		dispatch_error(c, &h->err);
	aw_err_fini(&h->err);
	free(h);
	stats.n_heavy--;
	is_heavy_busy = false;
	conn_heavy_over();
}

static void parse_elsewhere(struct conn *c, const char *line, size_t len)
{
	struct rpc_heavy *h = xcalloc(1, sizeof(*h));

	assert(!is_heavy_busy);
	is_heavy_busy = true;
	stats.n_heavy++;
	h->conn = c;
	h->line = xmalloc(len);
	memcpy(h->line, line, len);
	h->len = len;
	h->work.work = parse_work;
	h->work.done = parse_done;
	c->heavy = h;
	conn_hold(c, (ptrdiff_t)len);
	offload_submit(&h->work);
}

void dispatch_line(struct conn *c, const char *line, size_t len)
{
	struct aw_err err = { 0 };
	json_t *value;

	if (len >= HEAVY_LINE_BYTES) {
		parse_elsewhere(c, line, len);
	} else if (frame_parse(line, len, &value, &err) < 0) {
		dispatch_error(c, &err);
		aw_err_fini(&err);
	} else {
		handle_value(c, value, len);
	}
}

void dispatch_stats(struct dispatch_stats *ret)
{
	*ret = stats;
}
