/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/base/utf8.h"
#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/job/engine.h"
#include "daemon/job/output.h"
#include "daemon/rpc/base64.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/*
 * job.output: a piece of what an attempt has written, or all of it as it
 * comes.  Both are one coroutine: it looks at the job, reads through a helper
 * thread, tells, and, when it follows, waits for news.
 *
 * An answer's "eof" means that no more will ever come, not that there is
 * nothing more right now.
 */

struct reading {
	struct rpc_call *call;
	struct coro *coro;
	int64_t id;
	struct viewer viewer;
	bool is_following;
	bool is_over;	      /* the attempt has ended: what is in its file is all */
	bool is_looked_up;    /* nothing has happened to the job since the last look */
	int64_t dropped;      /* not told yet */
	struct output_read r; /* r.attempt 0: of the first attempt, once there is one */
	struct job_watch watch;
	struct signal_flag news;
	struct store_get get;
	struct future got;
	struct buf text; /* what is being printed */
	struct aw_err err;
};

/* ---- the job ---- */

static void on_got(struct store_op *op)
{
	struct reading *g = container_of(op, struct reading, get.op);

	future_set(&g->got, op->result);
}

/* The record stays in g->get.jobs[0].  Waits the query out: its memory is ours. */
static int co_get(struct reading *g)
{
	bool is_cancelled = false;
	int result = 0;

	store_get_fini(&g->get);
	future_init(&g->got);
	reply_query(&g->get, &g->id, 1, false, on_got);
	while (co_future_wait(&g->got, MONO_NEVER, &result) < 0)
		is_cancelled = true;
	return is_cancelled ? -ECANCELED : result;
}

static void on_note(struct job_watch *watch, enum engine_note note)
{
	struct reading *g = container_of(watch, struct reading, watch);

	if (note == ENGINE_PROGRESSED)
		return;
	if (note != ENGINE_OUTPUT_GREW)
		g->is_looked_up = false;
	signal_flag_raise(&g->news);
}

static bool has_attempt(const struct store_job *rec, uint32_t attempt)
{
	return attempt <= rec->attempt;
}

/* Does attempt @attempt (0 = the first) still run, or is it yet to come? */
static bool is_alive(const struct store_job *rec, uint32_t attempt)
{
	if (attempt == 0)
		return rec->state != JOB_DONE;
	return attempt == rec->attempt && (rec->state == JOB_RUNNING || rec->state == JOB_STOPPING);
}

/* See how the job is, and be told of what happens to it from then on. */
static int co_look(struct reading *g)
{
	const struct store_job *rec;
	int r;

	if (g->is_looked_up)
		return 0;
	engine_unwatch(&g->watch);
	/* First the watch, then the look: nothing falls between the two. */
	if (g->is_following)
		(void)engine_watch(g->id, &g->watch);
	g->is_looked_up = true;
	r = co_get(g);
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return reply_store_failed(&g->err, r);
	rec = &g->get.jobs[0];
	if (!reply_may_see(rec, g->viewer))
		return reply_not_found(&g->err, g->id);
	if (!has_attempt(rec, g->r.attempt))
		return aw_fail_at(&g->err, AW_NOT_FOUND, "/attempt",
				  "job %" PRId64 " has had %u attempts so far", g->id,
				  (unsigned)rec->attempt);
	if (g->r.attempt == 0)
		g->r.attempt = rec->attempt;
	g->is_over = !is_alive(rec, g->r.attempt);
	return 0;
}

/* ---- the file ---- */

/*
 * Helper thread.  Read, and leave a character that is not all there yet to
 * the next read, unless nothing will follow.
 */
static int read_characters(void *arg)
{
	struct reading *g = arg;
	struct output_read *r = &g->r;
	const int64_t file_at = r->file_at, file_offset = r->file_offset;
	const size_t limit = r->limit_bytes;
	size_t cut;
	int result = output_read(r);

	cut = result == 0 && r->len ? utf8_cut_tail(r->data, r->len) : 0;
	if (!cut || (r->is_at_end && g->is_over) || (r->len == cut && !r->is_at_end))
		return result;
	r->file_at = file_at;
	r->file_offset = file_offset;
	if (r->len == cut) {
		r->next_offset = r->offset;
		output_read_fini(r);
		return 0;
	}
	r->limit_bytes = r->len - cut;
	output_read_fini(r);
	result = output_read(r);
	r->limit_bytes = limit;
	return result;
}

static int co_read(struct reading *g)
{
	int r;

	output_read_fini(&g->r);
	if (g->r.attempt == 0) {
		g->r.next_offset = g->r.offset;
		g->r.is_at_end = true;
		return 0;
	}
	r = co_offload(read_characters, g);
	if (r < 0)
		return aw_fail(&g->err, AW_IO, "the output of job %" PRId64 " cannot be read: %s",
			       g->id, strerror(-r));
	g->dropped += g->r.dropped;
	return 0;
}

/* ---- telling ---- */

static void add_data(struct buf *b, const char *data, size_t len)
{
	if (utf8_is_text(data, len)) {
		buf_adds(b, "\"data\":");
		buf_add_json_stringn(b, data, len);
		return;
	}
	buf_adds(b, "\"data_base64\":\"");
	base64_add(b, data, len);
	buf_addc(b, '"');
}

static void add_position(struct reading *g, int64_t offset, bool is_eof, bool is_last)
{
	buf_adds(&g->text, ",\"offset\":");
	buf_addi(&g->text, offset);
	buf_adds(&g->text, is_eof ? ",\"eof\":true" : ",\"eof\":false");
	buf_adds(&g->text, ",\"dropped\":");
	buf_addi(&g->text, is_last ? g->dropped : 0);
	buf_addc(&g->text, '}');
	if (is_last)
		g->dropped = 0;
}

static bool is_at_eof(const struct reading *g)
{
	return g->r.is_at_end && g->is_over;
}

/*
 * Where a reader that has piece @i goes on.  Within a read whose pieces do
 * not lie side by side in what was written that is not known: from its start.
 */
static int64_t offset_behind(const struct reading *g, size_t i)
{
	const struct output_piece *p = &g->r.pieces[i];

	if (i + 1 == g->r.n_pieces)
		return g->r.next_offset;
	if (g->r.dropped || g->r.streams != OUTPUT_BOTH)
		return g->r.offset;
	return g->r.offset + (int64_t)(p->at + p->len);
}

static void notify_one(struct reading *g, const json_t *id, const struct output_piece *p,
		       int64_t offset, bool is_last)
{
	g->text.len = 0;
	buf_adds(&g->text, "{\"request\":");
	buf_add_json(&g->text, id);
	buf_adds(&g->text, p->stream == OUTPUT_STDERR ? ",\"stream\":\"stderr\","
						      : ",\"stream\":\"stdout\",");
	add_data(&g->text, p->len ? g->r.data + p->at : "", p->len);
	add_position(g, offset, is_last && is_at_eof(g), is_last);
	rpc_notify_text(g->call, "job.output", g->text.data, g->text.len);
}

/* Loop's stack.  The last of all says so ("eof"), if need be without data. */
static void notify_pieces(void *arg)
{
	static const struct output_piece none = { .stream = OUTPUT_STDOUT };
	struct reading *g = arg;
	json_t *id = rpc_id(g->call);

	for (size_t i = 0; i < g->r.n_pieces; i++)
		notify_one(g, id, &g->r.pieces[i], offset_behind(g, i), i + 1 == g->r.n_pieces);
	if (g->r.n_pieces == 0 && is_at_eof(g))
		notify_one(g, id, &none, g->r.next_offset, true);
	json_decref(id);
}

/* Loop's stack. */
static void finish(void *arg)
{
	struct reading *g = arg;

	if (g->err.code) {
		rpc_finish_fail(g->call, &g->err);
		return;
	}
	g->text.len = 0;
	buf_addc(&g->text, '{');
	add_data(&g->text, g->is_following ? "" : g->r.data, g->is_following ? 0 : g->r.len);
	add_position(g, g->r.next_offset, is_at_eof(g), true);
	rpc_finish_text(g->call, g->text.data, g->text.len);
}

/* ---- one and all ---- */

static int co_wait_news(struct reading *g)
{
	int r;

	rpc_set_idle(g->call, true);
	r = co_signal_wait(&g->news, MONO_NEVER);
	rpc_set_idle(g->call, false);
	return r;
}

static int co_follow(struct reading *g)
{
	for (;;) {
		int r = co_look(g);

		if (r == 0)
			r = co_read(g);
		if (r < 0)
			return r;
		co_on_loop_stack(notify_pieces, g);
		g->r.offset = g->r.next_offset;
		r = co_rpc_writable(g->call);
		if (r == 0 && is_at_eof(g))
			return 0;
		if (r == 0 && g->r.is_at_end)
			r = co_wait_news(g);
		if (r < 0)
			return r;
	}
}

static void co_output(void *arg)
{
	struct reading *g = arg;
	int r;

	if (g->is_following) {
		r = co_follow(g);
	} else {
		r = co_look(g);
		if (r == 0)
			r = co_read(g);
	}
	/* Given up because the peer is gone: nobody reads what it is told. */
	if (r < 0 && !g->err.code)
		(void)aw_fail(&g->err, AW_INTERNAL, "given up");
}

/* Loop's stack; also when it was cancelled before its first step. */
static void on_ended(void *arg, bool ran)
{
	struct reading *g = arg;

	if (!ran)
		(void)aw_fail(&g->err, AW_INTERNAL, "given up");
	engine_unwatch(&g->watch);
	finish(g);
	output_read_fini(&g->r);
	store_get_fini(&g->get);
	buf_fini(&g->text);
	aw_err_fini(&g->err);
	free(g);
}

static void on_gone(void *arg)
{
	struct reading *g = arg;

	coro_cancel(g->coro);
}

static int parse_stream(const json_t *params, unsigned *ret, struct aw_err *err)
{
	const char *word = json_string_value(json_object_get(params, "stream"));

	if (!word || !strcmp(word, "both"))
		*ret = OUTPUT_BOTH;
	else if (!strcmp(word, "stdout"))
		*ret = OUTPUT_STDOUT;
	else if (!strcmp(word, "stderr"))
		*ret = OUTPUT_STDERR;
	else
		return aw_fail_at(err, AW_PARAMS, "/stream",
				  "\"stream\" must be both, stdout or stderr");
	return 0;
}

static struct rpc_done output(struct rpc_call *call, json_t *params)
{
	const json_t *limit = json_object_get(params, "limit");
	struct aw_err err = { 0 };
	struct rpc_done done;
	struct reading *g;
	unsigned streams = OUTPUT_BOTH;

	if (parse_stream(params, &streams, &err) < 0) {
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	g = xcalloc(1, sizeof(*g));
	g->call = call;
	g->viewer = rpc_viewer(call);
	g->id = json_integer_value(json_object_get(params, "id"));
	g->is_following = json_is_true(json_object_get(params, "follow"));
	g->r.id = g->id;
	g->r.attempt = (uint32_t)json_integer_value(json_object_get(params, "attempt"));
	g->r.streams = streams;
	g->r.offset = json_integer_value(json_object_get(params, "offset"));
	g->r.limit_bytes = json_is_integer(limit) ? (size_t)json_integer_value(limit)
						  : OUTPUT_CHUNK_DEFAULT_BYTES;
	g->watch.fn = on_note;
	list_init(&g->watch.link);
	done = rpc_later(call, on_gone, g);
	g->coro = coro_spawn(co_output, g, CORO_STACK_SMALL, on_ended);
	return done;
}

static const struct rpc_param output_params[] = {
	{ "id", RPC_INTEGER, RPC_REQUIRED, 1, INT64_MAX, "the job's id" },
	{ "attempt", RPC_INTEGER, RPC_NULLABLE, 1, UINT32_MAX, "which attempt (the latest)" },
	{ "stream", RPC_STRING, RPC_NULLABLE, 0, 0, "both (default), stdout or stderr" },
	{ "offset", RPC_INTEGER, RPC_NULLABLE, 0, INT64_MAX / 2,
	  "the first byte, of both streams together (0)" },
	{ "limit", RPC_INTEGER, RPC_NULLABLE, 1, OUTPUT_CHUNK_MAX_BYTES,
	  "at most so many bytes at once (65536)" },
	{ "follow", RPC_BOOL, RPC_NULLABLE, 0, 0, "tell what comes until the attempt has ended" },
	{ 0 },
};

const struct rpc_method method_job_output = {
	.name = "job.output",
	.summary = "what an attempt has written",
	.params = output_params,
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY | RPC_LOOKS,
	.handler = output,
};
