/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/events.h"

#include <assert.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/log.h"
#include "daemon/rpc/conn.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* A page: what one turn of the loop prints for one reader. */
#define PAGE_EVENTS 100
#define PAGE_BYTES ((size_t)64 * 1024)
/* Whoever has caught up reads no more often than this: under load, several events at once. */
#define PAUSE_US 10000
/* Whoever falls behind further than this goes on at the end instead. */
#define LAG_MAX INT64_C(100000)

/* Progress: how often each job's is told, and of how many jobs at once. */
#define PROGRESS_US 250000
#define PROGRESS_JOBS 100

struct subscription {
	struct conn_feed feed;
	struct conn *conn; /* NULL: it is over, and goes when its page comes back */
	struct list link;
	struct viewer viewer;
	struct events_wish wish;
	int64_t cursor;	       /* all up to this number is told */
	int64_t pruned;	       /* that events up to this number may be missing is told */
	bool has_caught_up;    /* it was at the end, once */
	bool is_resting;       /* its pause is not over */
	bool is_reading;       /* its page is under way */
	struct rpc_call *call; /* the subscribing one, until it is answered */
	struct loop_timer pause;
	struct store_events page;
};

static void on_changed(int64_t seq);
static void on_progressed(int64_t id);
static void on_pump(struct loop_task *task);
static void on_tell_progress(struct loop_timer *timer);

static const struct engine_listener listener = {
	.changed = on_changed,
	.progressed = on_progressed,
};

static struct list all = { &all, &all };
static size_t n_all;
static int64_t latest; /* the highest number that we have heard of, while there are any */
static struct loop_task pump_task = { .fn = on_pump };

static struct {
	int64_t ids[PROGRESS_JOBS]; /* rising; whose progress is to be told */
	size_t n;
	struct loop_timer timer;
	bool is_asking;
	int64_t asked[PROGRESS_JOBS]; /* whose records are being read */
	struct store_get get;
} progress = { .timer.fn = on_tell_progress };

static void pump(struct subscription *s);

/* ---- life ---- */

static void subscription_free(struct subscription *s)
{
	store_events_fini(&s->page);
	free(s->wish.jobs);
	free(s);
}

/* It is over.  The store may still hold its page. */
static void let_go(struct subscription *s)
{
	list_remove(&s->link);
	if (--n_all == 0) {
		engine_listen(NULL);
		latest = 0; /* nobody tells us any more; the next one's first look does */
		loop_timer_cancel(&progress.timer);
		progress.n = 0;
	}
	loop_timer_cancel(&s->pause);
	s->conn = NULL;
	if (!s->is_reading)
		subscription_free(s);
}

static void on_gone(struct conn_feed *feed)
{
	let_go(container_of(feed, struct subscription, feed));
}

static void on_writable(struct conn_feed *feed)
{
	pump(container_of(feed, struct subscription, feed));
}

void events_unsubscribe(struct conn *c)
{
	struct conn_feed *feed = c->feed;

	c->feed = NULL;
	if (feed)
		on_gone(feed);
}

bool events_are_told(void)
{
	list_for_each(l, &all) {
		const struct subscription *s = container_of(l, struct subscription, link);

		if (s->conn && !conn_is_full(s->conn) && (s->is_reading || s->cursor < latest))
			return false;
	}
	return true;
}

size_t events_n_subscribers(void)
{
	return n_all;
}

/* ---- telling ---- */

static const char *type_of(const struct store_event *e)
{
	static const char *const words[N_JOB_STATES] = {
		[JOB_WAITING] = "waiting",
		[JOB_RUNNING] = "running",
		[JOB_STOPPING] = "stopping",
		[JOB_DONE] = "done",
	};

	if (e->is_submission)
		return "submitted";
	return e->is_update ? "changed" : words[e->state];
}

static size_t begin_event(struct buf *b, int64_t seq, struct wall time, const char *type)
{
	size_t start = b->len;
	char text[TIME_TEXT_BYTES];

	time_format(time.ms, text);
	buf_adds(b, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"seq\":");
	buf_addi(b, seq);
	buf_adds(b, ",\"time\":\"");
	buf_adds(b, text);
	buf_adds(b, "\",\"type\":\"");
	buf_adds(b, type);
	buf_adds(b, "\",\"attempt\":");
	return start;
}

static void tell(struct subscription *s, const struct store_event *e)
{
	struct buf *b = conn_out(s->conn);
	size_t start = begin_event(b, e->seq, e->time, type_of(e));

	buf_addi(b, e->attempt);
	buf_adds(b, ",\"job\":");
	engine_print_job(b, &e->job, s->viewer, false);
	buf_adds(b, "}}\n");
	conn_notified(s->conn, b->len - start);
}

/* Something is left out: go on behind @seq. */
static void resync(struct subscription *s, int64_t seq)
{
	struct buf *b = conn_out(s->conn);
	size_t start = begin_event(b, seq, now_wall(), "resync");

	s->cursor = seq;
	buf_adds(b, "null,\"job\":null}}\n");
	conn_notified(s->conn, b->len - start);
}

/* ---- reading ---- */

static void on_page(struct store_op *op);

static void ask(struct subscription *s, int64_t since)
{
	s->page = (struct store_events){
		.op = { .type = STORE_EVENTS, .done = on_page },
		.since = since,
		.jobs = s->wish.jobs,
		.n_jobs = s->wish.n_jobs,
		.kinds = s->wish.kinds,
		.uid = viewer_sees_all(s->viewer) ? STORE_ANY_UID : s->viewer.uid,
		.limit = PAGE_EVENTS,
		.max_bytes = PAGE_BYTES,
	};
	s->is_reading = true;
	store_submit(engine_store(), &s->page.op);
}

/* Read the next page, if there is one and the connection takes it. */
static void pump(struct subscription *s)
{
	if (s->call || s->is_reading || s->is_resting || s->cursor >= latest)
		return;
	if (conn_is_full(s->conn)) {
		s->conn->has_writers = true;
		return;
	}
	if (s->has_caught_up && latest - s->cursor > LAG_MAX)
		resync(s, latest);
	else
		ask(s, s->cursor);
}

static void on_pause_over(struct loop_timer *timer)
{
	struct subscription *s = container_of(timer, struct subscription, pause);

	s->is_resting = false;
	pump(s);
}

/* The first look, behind all numbers, tells which there are, and so where it begins. */
static void begin(struct subscription *s, const struct store_events *page)
{
	struct rpc_call *call = s->call;
	struct buf b = { 0 };

	s->cursor = s->wish.since == EVENTS_FROM_NOW ? page->next : s->wish.since;
	s->has_caught_up = s->cursor == page->next;
	s->call = NULL;
	buf_adds(&b, "{\"next\":");
	buf_addi(&b, s->cursor);
	buf_addc(&b, '}');
	rpc_finish_text(call, b.data, b.len);
	buf_fini(&b);
	/* A number that was never dealt: another store's, or this one's before a restore. */
	if (s->cursor > page->next)
		resync(s, page->next);
}

static void pass_on(struct subscription *s, const struct store_events *page)
{
	if (page->pruned_seq > page->since && page->pruned_seq > s->pruned) {
		s->pruned = page->pruned_seq;
		resync(s, s->cursor);
	}
	for (size_t i = 0; i < page->n; i++)
		tell(s, &page->events[i]);
	s->cursor = page->next;
	if (!page->is_at_end)
		return;
	s->has_caught_up = true;
	s->is_resting = true;
	loop_timer_set(&s->pause, mono_in_us(PAUSE_US));
}

static void fail(struct subscription *s, int result)
{
	struct rpc_call *call = s->call;
	struct aw_err err = { 0 };

	(void)reply_store_failed(&err, result);
	if (call) {
		events_unsubscribe(s->conn);
		rpc_finish_fail(call, &err);
	} else {
		/* A reader that waits for ever is worse off than one that has to connect again. */
		log_warning("a subscription of uid %d ends: %s", (int)s->viewer.uid, err.message);
		conn_doom(s->conn);
	}
	aw_err_fini(&err);
}

/* Nobody waits for the page any more. */
static void drop(struct subscription *s)
{
	static const char nothing[] = "{\"next\":0}";

	if (s->call)
		rpc_finish_text(s->call, nothing, sizeof(nothing) - 1);
	subscription_free(s);
}

static void on_page(struct store_op *op)
{
	struct subscription *s = container_of(op, struct subscription, page.op);
	struct store_events page = s->page;

	s->is_reading = false;
	if (!s->conn) {
		drop(s);
		return;
	}
	/* What follows may ask for the next one. */
	s->page = (struct store_events){ 0 };
	if (page.next > latest)
		latest = page.next;
	if (page.op.result < 0) {
		fail(s, page.op.result);
	} else if (s->call) {
		begin(s, &page);
		pump(s);
	} else {
		pass_on(s, &page);
		pump(s);
	}
	store_events_fini(&page);
}

/* ---- what the engine tells ---- */

static void on_pump(struct loop_task *task)
{
	(void)task;
	list_for_each_safe(l, &all)
		pump(container_of(l, struct subscription, link));
}

static void on_changed(int64_t seq)
{
	if (seq > latest)
		latest = seq;
	loop_defer(&pump_task);
}

/* Where @id stands or belongs among those whose progress is to be told. */
static size_t progress_place(int64_t id)
{
	size_t low = 0, high = progress.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (progress.ids[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Beyond the room that there is, a job waits for its next progress. */
static void on_progressed(int64_t id)
{
	size_t at = progress_place(id);

	if ((at < progress.n && progress.ids[at] == id) || progress.n == PROGRESS_JOBS)
		return;
	memmove(&progress.ids[at + 1], &progress.ids[at],
		(progress.n - at) * sizeof(progress.ids[0]));
	progress.ids[at] = id;
	progress.n++;
	if (!loop_timer_is_set(&progress.timer))
		loop_timer_set(&progress.timer, mono_in_us(PROGRESS_US));
}

/* ---- progress ---- */

static bool is_wished(const struct subscription *s, const struct store_job *rec)
{
	const struct events_wish *w = &s->wish;

	if (w->kinds && !(w->kinds & 1u << rec->kind))
		return false;
	return !w->n_jobs || engine_is_within(rec->id, w->jobs, w->n_jobs);
}

/* Progress is of now: it is not for a reader who is still told what has been before. */
static bool takes_progress(const struct subscription *s, const struct store_job *rec)
{
	return s->has_caught_up && !s->call && s->cursor >= latest && !conn_is_full(s->conn) &&
	       viewer_may_see(s->viewer, rec->uid) && is_wished(s, rec);
}

static void tell_progress(const struct store_job *rec)
{
	struct buf object = { 0 };

	list_for_each(l, &all) {
		struct subscription *s = container_of(l, struct subscription, link);
		struct buf *b;
		size_t start;

		if (!takes_progress(s, rec))
			continue;
		if (!object.len)
			engine_print_job(&object, rec, s->viewer, false);
		b = conn_out(s->conn);
		start = begin_event(b, s->cursor, now_wall(), "progress");
		buf_addi(b, rec->attempt);
		buf_adds(b, ",\"job\":");
		buf_add(b, object.data, object.len);
		buf_adds(b, "}}\n");
		conn_notified(s->conn, b->len - start);
	}
	buf_fini(&object);
}

static void on_progress_got(struct store_op *op)
{
	progress.is_asking = false;
	for (size_t i = 0; op->result == 0 && i < progress.get.n; i++)
		if (progress.get.jobs[i].id && progress.get.jobs[i].state == JOB_RUNNING)
			tell_progress(&progress.get.jobs[i]);
	store_get_fini(&progress.get);
}

static void on_tell_progress(struct loop_timer *timer)
{
	if (progress.is_asking) {
		loop_timer_set(timer, mono_in_us(PROGRESS_US));
		return;
	}
	memcpy(progress.asked, progress.ids, progress.n * sizeof(progress.ids[0]));
	progress.is_asking = true;
	reply_query(&progress.get, progress.asked, progress.n, false, on_progress_got);
	progress.n = 0;
}

/* ---- subscribing ---- */

void events_subscribe(struct rpc_call *call, const struct events_wish *wish)
{
	struct conn *c = rpc_conn(call);
	struct subscription *s = xcalloc(1, sizeof(*s));

	assert(c);
	events_unsubscribe(c);
	s->feed.writable = on_writable;
	s->feed.gone = on_gone;
	s->conn = c;
	c->feed = &s->feed;
	s->viewer = rpc_viewer(call);
	s->wish = *wish;
	s->call = call;
	s->pause.fn = on_pause_over;
	list_add_tail(&all, &s->link);
	if (n_all++ == 0)
		engine_listen(&listener);
	ask(s, INT64_MAX);
}
