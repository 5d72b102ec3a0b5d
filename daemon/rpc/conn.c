/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conf.h"
#include "daemon/log.h"
#include "daemon/rpc/admins.h"
#include "daemon/rpc/dispatch.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* A connection's turn, and what all turns together take before the loop goes on. */
#define TURN_LINES 32
#define TURN_US 200
#define TURNS_US 2000

#define IN_FIRST_BYTES ((size_t)16 * 1024)
#define IN_AHEAD_BYTES \
	((size_t)64 * 1024) /* beyond this nothing is read while whole lines wait   \
					    */
#define OUT_FULL_BYTES ((size_t)256 * 1024)
#define OUT_KEEP_BYTES ((size_t)256 * 1024) /* a larger buffer is freed when it is empty */

#define LINGER_US 2000000
#define PEER_CHECK_US 1000000

static void on_flush(struct loop_task *task);
static void on_turns(struct loop_task *task);

static struct list all = { &all, &all };
static struct list turns = { &turns, &turns };
static struct list dirty = { &dirty, &dirty };
static struct list parked = { &parked, &parked };
static struct loop_task flush_task = { .fn = on_flush };
static struct loop_task turns_task = { .fn = on_turns };
static struct conn_stats stats;
static bool is_deaf; /* no request is taken any more */

/* ---- what is in memory for it ---- */

static size_t n_unsent_bytes(const struct conn *c)
{
	return c->out.len - c->out_sent;
}

bool conn_is_full(const struct conn *c)
{
	return n_unsent_bytes(c) > OUT_FULL_BYTES;
}

void conn_hold(struct conn *c, ptrdiff_t n_bytes)
{
	c->n_held_bytes += (size_t)n_bytes;
	stats.n_buffered_bytes += (size_t)n_bytes;
}

static void count_out(struct conn *c)
{
	stats.n_buffered_bytes += n_unsent_bytes(c) - c->out_counted;
	c->out_counted = n_unsent_bytes(c);
}

static bool is_memory_short(void)
{
	return (int64_t)stats.n_buffered_bytes > conf->max_buffers_bytes;
}

static void count_in(struct conn *c)
{
	stats.n_buffered_bytes += c->in.size - c->in_counted;
	c->in_counted = c->in.size;
	if (is_memory_short())
		loop_defer(&flush_task);
}

static size_t in_memory(const struct conn *c)
{
	return c->in_counted + c->out_counted + c->n_held_bytes;
}

static void drop(struct conn *c, const char *why)
{
	if (c->phase == CONN_DEAD)
		return;
	stats.n_dropped++;
	log_warning("dropping a connection of uid %d: %s", (int)c->uid, why);
	conn_doom(c);
}

/* R4.5: all connections together hold a bounded amount; who holds most goes first. */
static void relieve(void)
{
	struct conn *largest = NULL;
	size_t most = 0;

	list_for_each(l, &all) {
		struct conn *c = container_of(l, struct conn, link);

		if (c->phase != CONN_DEAD && in_memory(c) > most) {
			largest = c;
			most = in_memory(c);
		}
	}
	if (largest)
		drop(largest,
		     "requests and unread answers of all connections fill the memory that is set "
		     "apart for them (connections.max_buffers), and this one has most");
}

/* ---- its end ---- */

void conn_touch(struct conn *c)
{
	if (list_is_empty(&c->dirty))
		list_add_tail(&dirty, &c->dirty);
	loop_defer(&flush_task);
}

void conn_doom(struct conn *c)
{
	c->phase = CONN_DEAD;
	conn_touch(c);
}

static void conn_free(struct conn *c)
{
	c->phase = CONN_DEAD;
	dispatch_conn_gone(c);
	loop_timer_cancel(&c->line_timer);
	loop_timer_cancel(&c->note_timer);
	loop_fd_close(&c->lfd);
	close(c->lfd.fd);
	list_remove(&c->link);
	list_remove(&c->turn);
	list_remove(&c->dirty);
	list_remove(&c->parked);
	stats.n_buffered_bytes -= in_memory(c);
	stats.n_open--;
	free(c->in.data);
	buf_fini(&c->out);
	if (c->refusal)
		aw_err_fini(c->refusal);
	free(c->refusal);
	free(c);
}

/* ---- in ---- */

static void find_line(struct conn *c)
{
	char *nl;

	if (c->in.has_line || c->in.scanned == c->in.end)
		return;
	nl = memchr(c->in.data + c->in.scanned, '\n', c->in.end - c->in.scanned);
	c->in.has_line = nl;
	if (nl)
		c->in.newline = (size_t)(nl - c->in.data);
	c->in.scanned = nl ? c->in.newline : c->in.end;
}

/* The next whole line, without its newline; it stays in place until the next read. */
static bool take_line(struct conn *c, const char **ret_line, size_t *ret_len)
{
	if (!c->in.has_line)
		return false;
	*ret_line = c->in.data + c->in.start;
	*ret_len = c->in.newline - c->in.start;
	c->in.start = c->in.scanned = c->in.newline + 1;
	c->in.has_line = false;
	/* The time for a line begins anew with each. */
	if (c->phase == CONN_OPEN)
		loop_timer_cancel(&c->line_timer);
	find_line(c);
	return true;
}

/* Room behind what is there; returns how much.  One line's limit is the most. */
static size_t make_room(struct conn *c)
{
	if (c->in.start > 0 && (c->in.start == c->in.end || c->in.end == c->in.size)) {
		size_t moved = c->in.start;

		memmove(c->in.data, c->in.data + moved, c->in.end - moved);
		c->in.start = 0;
		c->in.end -= moved;
		c->in.scanned -= moved;
		c->in.newline -= c->in.has_line ? moved : 0;
	}
	if (c->in.end == c->in.size && c->in.size < PROTO_LINE_MAX_BYTES) {
		c->in.size = c->in.size ? 2 * c->in.size : IN_FIRST_BYTES;
		if (c->in.size > PROTO_LINE_MAX_BYTES)
			c->in.size = PROTO_LINE_MAX_BYTES;
		c->in.data = xrealloc(c->in.data, c->in.size);
		count_in(c);
	}
	return c->in.size - c->in.end;
}

/* An idle connection keeps no large buffer. */
static void shrink_in(struct conn *c)
{
	if (c->in.start != c->in.end || c->in.size <= IN_AHEAD_BYTES)
		return;
	free(c->in.data);
	memset(&c->in, 0, sizeof(c->in));
	count_in(c);
}

static bool is_overlong(const struct conn *c)
{
	return !c->in.has_line && c->in.end - c->in.start >= PROTO_LINE_MAX_BYTES;
}

static bool has_unfinished_line(const struct conn *c)
{
	return !c->in.has_line && c->in.end > c->in.start;
}

static bool has_work(const struct conn *c)
{
	return c->batch || c->heavy || c->held || c->in.has_line ||
	       (c->phase == CONN_EOF && has_unfinished_line(c));
}

static bool may_handle(const struct conn *c)
{
	if (is_deaf && !c->held && !c->batch)
		return false;
	return c->phase != CONN_LINGER && c->phase != CONN_DEAD && c->is_named && !c->barrier &&
	       !c->heavy && list_is_empty(&c->parked) && c->n_calls < CONN_CALLS_MAX &&
	       (!conn_is_full(c) || c->is_mute);
}

/* ---- deciding what to wait for ---- */

static unsigned wanted(const struct conn *c)
{
	unsigned want = c->is_blocked ? LOOP_WRITE : 0;
	bool is_ahead = has_work(c) && c->in.end - c->in.start >= IN_AHEAD_BYTES;

	if (c->phase == CONN_LINGER)
		return want | LOOP_READ;
	if (c->phase == CONN_OPEN && !is_ahead && !conn_is_full(c))
		want |= LOOP_READ;
	return want;
}

/* While we read: a line that was begun has to end.  Half-closed: is the peer still there? */
static void settle_timer(struct conn *c, bool is_reading)
{
	bool needs = c->phase == CONN_EOF || (is_reading && has_unfinished_line(c));

	if (c->phase == CONN_LINGER || needs == loop_timer_is_set(&c->line_timer))
		return;
	if (!needs)
		loop_timer_cancel(&c->line_timer);
	else if (c->phase == CONN_EOF)
		loop_timer_set(&c->line_timer, mono_in_us(PEER_CHECK_US));
	else
		loop_timer_set(&c->line_timer, mono_in_us(conf->line_timeout_us));
}

static bool is_all_done(const struct conn *c)
{
	return c->phase == CONN_EOF && !has_work(c) &&
	       (c->is_mute || (c->n_calls == 0 && !c->feed && n_unsent_bytes(c) == 0));
}

static void linger(struct conn *c)
{
	c->phase = CONN_LINGER;
	loop_timer_set(&c->line_timer, mono_in_us(LINGER_US));
	conn_touch(c);
}

static void say_refusal(struct conn *c)
{
	dispatch_error(c, c->refusal);
	aw_err_fini(c->refusal);
	linger(c);
}

/* Called at the end of everything that changes a connection. */
static void settle(struct conn *c)
{
	unsigned want;
	int r;

	if (c->phase == CONN_DEAD)
		return;
	if (c->phase == CONN_REFUSING && !has_work(c) && !dispatch_has_due(c))
		say_refusal(c);
	if (is_all_done(c)) {
		conn_doom(c);
		return;
	}
	if (c->phase == CONN_LINGER && n_unsent_bytes(c) == 0 && !c->is_shut) {
		shutdown(c->lfd.fd, SHUT_WR);
		c->is_shut = true;
	}
	if (has_work(c) && may_handle(c) && list_is_empty(&c->turn)) {
		list_add_tail(&turns, &c->turn);
		loop_defer(&turns_task);
	}
	want = wanted(c);
	r = loop_fd_want(&c->lfd, want);
	if (r < 0) {
		log_error("a connection of uid %d cannot be watched: %s", (int)c->uid,
			  strerror(-r));
		conn_doom(c);
		return;
	}
	settle_timer(c, want & LOOP_READ);
}

/* ---- out ---- */

struct buf *conn_out(struct conn *c)
{
	return &c->out;
}

void conn_replied(struct conn *c)
{
	count_out(c);
	conn_touch(c);
}

void conn_notified(struct conn *c, size_t n_bytes)
{
	conn_replied(c);
	c->n_note_bytes += n_bytes;
	if ((int64_t)c->n_note_bytes > conf->output_hard_bytes)
		drop(c, "it does not read its notifications");
	else if ((int64_t)c->n_note_bytes > conf->output_soft_bytes &&
		 !loop_timer_is_set(&c->note_timer))
		loop_timer_set(&c->note_timer, mono_in_us(conf->output_soft_timeout_us));
}

/* Takes no more requests.  @err is moved: it is said with id null, then we close. */
static void refuse(struct conn *c, struct aw_err *err)
{
	assert(c->phase == CONN_OPEN);
	c->phase = CONN_REFUSING;
	c->in.start = c->in.end = c->in.scanned = 0;
	c->in.has_line = false;
	c->refusal = xcalloc(1, sizeof(*c->refusal));
	*c->refusal = *err; /* moved */
	*err = (struct aw_err){ 0 };
	conn_touch(c);
}

static void after_sent(struct conn *c)
{
	if (n_unsent_bytes(c) == 0) {
		c->out.len = c->out_sent = 0;
		if (c->out.size > OUT_KEEP_BYTES)
			buf_fini(&c->out);
	} else if (c->out_sent > OUT_KEEP_BYTES && c->out_sent > c->out.len / 2) {
		buf_consume(&c->out, c->out_sent);
		c->out_sent = 0;
	}
	count_out(c);
	if (c->n_note_bytes > c->out_counted)
		c->n_note_bytes = c->out_counted;
	if ((int64_t)c->n_note_bytes <= conf->output_soft_bytes)
		loop_timer_cancel(&c->note_timer);
	if (c->has_writers && !conn_is_full(c))
		dispatch_conn_writable(c);
}

static bool is_peer_gone(const struct conn *c)
{
	struct pollfd p = { .fd = c->lfd.fd };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* No more requests.  An orderly half-close (SHUT_WR, "nc -N") still wants its answers. */
static void end_of_input(struct conn *c)
{
	loop_timer_cancel(&c->line_timer);
	c->phase = CONN_EOF;
	if (is_peer_gone(c))
		c->is_mute = true;
}

static void refuse_overlong(struct conn *c)
{
	struct aw_err err = { 0 };

	aw_fail(&err, AW_LIMIT,
		"the line is longer than %d bytes; send large work in several requests",
		PROTO_LINE_MAX_BYTES);
	refuse(c, &err);
}

static void receive(struct conn *c)
{
	size_t room = make_room(c);
	ssize_t n;

	if (!room)
		return;
	n = recv(c->lfd.fd, c->in.data + c->in.end, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !c->is_mute)))
		return;
	if (n <= 0) {
		end_of_input(c);
		return;
	}
	if (c->phase == CONN_LINGER)
		return;
	c->in.end += (size_t)n;
	find_line(c);
	if (is_overlong(c))
		refuse_overlong(c);
}

/*
 * The peer reads no more.  What it had sent before still counts, so the
 * connection goes on, mute, until that is handled.
 */
static void hush(struct conn *c)
{
	c->is_mute = true;
	c->is_blocked = false;
	c->out_sent = c->out.len;
	if (c->phase == CONN_OPEN)
		receive(c);
	else if (c->phase == CONN_LINGER)
		conn_doom(c);
}

static void flush(struct conn *c)
{
	size_t unsent = n_unsent_bytes(c);
	ssize_t n;

	if (c->phase == CONN_DEAD || !unsent)
		return;
	if (c->is_mute)
		n = (ssize_t)unsent;
	else
		n = send(c->lfd.fd, c->out.data + c->out_sent, unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0) {
		c->out_sent += (size_t)n;
		c->is_blocked = (size_t)n < unsent;
	} else if (errno == EAGAIN || errno == EINTR) {
		c->is_blocked = true;
	} else {
		hush(c);
	}
	after_sent(c);
}

/* ---- turns ---- */

/* A line without its newline at the end of input may be cut: nobody knows what it would have said.
 */
static void refuse_cut_line(struct conn *c)
{
	struct aw_err err = { 0 };

	c->in.start = c->in.scanned = c->in.end;
	aw_fail(&err, AW_PARSE, "the input ended within a line; a request ends with a newline");
	dispatch_error(c, &err);
	aw_err_fini(&err);
}

/*
 * One large line at a time is parsed and handled, of all connections: it
 * costs most in time and memory.  The others wait for their turn.
 */
static bool must_park(struct conn *c)
{
	if (!c->in.has_line || !dispatch_must_wait(c->in.newline - c->in.start))
		return false;
	list_add_tail(&parked, &c->parked);
	return true;
}

void conn_heavy_over(void)
{
	struct list *l;

	/* All of them: the first may be about to go, and who comes too late waits again. */
	while ((l = list_pop(&parked)))
		conn_touch(container_of(l, struct conn, parked));
}

static bool handle_next(struct conn *c)
{
	const char *line;
	size_t len;

	if (c->held)
		dispatch_held(c);
	else if (c->batch)
		dispatch_batch_step(c);
	else if (must_park(c))
		return false;
	else if (take_line(c, &line, &len))
		dispatch_line(c, line, len);
	else if (c->phase == CONN_EOF && has_unfinished_line(c))
		refuse_cut_line(c);
	else
		return false;
	return true;
}

static void take_turn(struct conn *c)
{
	struct mono end = mono_in_us(TURN_US);

	/* As long as we do not read nobody tells us: many answers would be made for nobody. */
	if (!c->is_mute && !(c->lfd.want & LOOP_READ) && is_peer_gone(c))
		hush(c);
	for (unsigned n = 0; n < TURN_LINES && may_handle(c); n++)
		if (!handle_next(c) || now_mono().ns >= end.ns)
			break;
	shrink_in(c);
	flush(c);
	settle(c); /* to the end of the list, if there is more to handle */
}

static void on_turns(struct loop_task *task)
{
	struct mono end = mono_in_us(TURNS_US);
	struct list *l;

	while ((l = list_pop(&turns))) {
		take_turn(container_of(l, struct conn, turn));
		if (now_mono().ns >= end.ns)
			break;
	}
	if (!list_is_empty(&turns))
		loop_defer(task);
}

static void on_flush(struct loop_task *task)
{
	struct list *l;

	(void)task;
	while ((l = list_pop(&dirty))) {
		struct conn *c = container_of(l, struct conn, dirty);

		if (c->phase == CONN_DEAD) {
			conn_free(c);
			continue;
		}
		flush(c);
		settle(c);
	}
	if (is_memory_short())
		relieve();
}

/* ---- events ---- */

static void on_ready(struct loop_fd *lfd, unsigned ready)
{
	struct conn *c = container_of(lfd, struct conn, lfd);

	if (c->phase == CONN_DEAD)
		return;
	if (ready & LOOP_WRITE)
		flush(c);
	if (ready & LOOP_READ && (c->phase == CONN_OPEN || c->phase == CONN_LINGER))
		receive(c);
	settle(c);
}

static void refuse_slow_line(struct conn *c)
{
	struct aw_err err = { 0 };

	aw_fail(&err, AW_LIMIT, "the line was not finished within %d s of its beginning",
		(int)(conf->line_timeout_us / 1000000));
	refuse(c, &err);
}

static void on_line_timer(struct loop_timer *timer)
{
	struct conn *c = container_of(timer, struct conn, line_timer);

	if (c->phase == CONN_OPEN)
		refuse_slow_line(c);
	else if (c->phase == CONN_LINGER)
		conn_doom(c);
	else if (c->phase == CONN_EOF && is_peer_gone(c))
		c->is_mute = true;
	settle(c);
}

static void on_note_timer(struct loop_timer *timer)
{
	drop(container_of(timer, struct conn, note_timer), "it reads its notifications too slowly");
}

/* ---- life ---- */

struct conn *conn_new(int fd, uid_t uid, gid_t gid)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	int r;

	c->uid = uid;
	c->gid = gid;
	list_init(&c->link);
	list_init(&c->turn);
	list_init(&c->dirty);
	list_init(&c->parked);
	list_init(&c->calls);
	c->line_timer.fn = on_line_timer;
	c->note_timer.fn = on_note_timer;
	r = loop_fd_open(&c->lfd, fd, LOOP_READ, on_ready);
	if (r < 0) {
		log_error("a new connection cannot be watched: %s", strerror(-r));
		close(fd);
		free(c);
		return NULL;
	}
	list_add_tail(&all, &c->link);
	stats.n_open++;
	stats.n_opened++;
	return c;
}

void conn_named(uid_t uid)
{
	list_for_each(l, &all) {
		struct conn *c = container_of(l, struct conn, link);

		if (c->uid == uid && !c->is_named) {
			c->is_named = true;
			c->is_admin = admins_has_peer(c->lfd.fd, c->gid);
			settle(c);
		}
	}
}

void conn_hear_no_more(void)
{
	is_deaf = true;
}

void conn_close_all(void)
{
	list_for_each_safe(l, &all) {
		struct conn *c = container_of(l, struct conn, link);

		flush(c);
		conn_free(c);
	}
	is_deaf = false;
}

void conn_stats(struct conn_stats *ret)
{
	*ret = stats;
}

size_t conn_count_of(uid_t uid)
{
	size_t n = 0;

	list_for_each(l, &all)
		n += container_of(l, struct conn, link)->uid == uid;
	return n;
}
