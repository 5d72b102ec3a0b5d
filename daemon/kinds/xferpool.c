/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferpool.h"

#include <errno.h>

#include <curl/curl.h>

#include "daemon/co/loop.h"
#include "proto/xalloc.h"

/* About a millisecond's worth of receiving, hashing and writing, per turn of the loop. */
#define TURN_BYTES (1024 * 1024)
/* The same for starts, at some 60 us each. */
#define TURN_STARTS 16
#define IDLE_US (INT64_C(60) * 1000000)

static void on_turn(struct loop_task *task);

static struct {
	CURLM *multi; /* owns; NULL when nothing was fetched for a while */
	struct loop_timer timer;
	struct loop_timer idle_timer;
	size_t n_active;
	uint64_t received_bytes;
	struct loop_task turn; /* queued while anything is received or to be started */
	int64_t budget_bytes;  /* may still be received in this turn */
	struct list paused;    /* those that have to wait for the next one */
	struct list starting;
	bool is_started;
} pool = {
	.turn.fn = on_turn,
	.budget_bytes = TURN_BYTES,
	.paused = { &pool.paused, &pool.paused },
	.starting = { &pool.starting, &pool.starting },
};

/* ---- libcurl on the loop ---- */

static void tell_done(CURL *easy, CURLcode code)
{
	struct xferpool_item *item = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&item);
	item->done(item, (int)code);
}

static void drive(curl_socket_t s, int events)
{
	CURLMsg *msg;
	int n;

	curl_multi_socket_action(pool.multi, s, events, &n);
	while ((msg = curl_multi_info_read(pool.multi, &n)))
		if (msg->msg == CURLMSG_DONE)
			tell_done(msg->easy_handle, msg->data.result);
}

static void on_fd(struct loop_fd *lfd, unsigned ready)
{
	/* @lfd may be gone when this returns. */
	drive(lfd->fd, (ready & LOOP_READ ? CURL_CSELECT_IN : 0) |
			       (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct loop_timer *timer)
{
	(void)timer;
	drive(CURL_SOCKET_TIMEOUT, 0);
}

/*
 * A descriptor that the loop cannot watch (out of memory) stalls its transfer
 * until a timeout ends it.  Telling libcurl would end all transfers.
 */
static int on_socket_wish(CURL *easy, curl_socket_t s, int what, void *arg, void *sock_arg)
{
	struct loop_fd *lfd = sock_arg;
	unsigned want =
		(what & CURL_POLL_IN ? LOOP_READ : 0u) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0u);

	(void)easy;
	(void)arg;
	if (what == CURL_POLL_REMOVE) {
		if (lfd)
			loop_fd_close(lfd);
		free(lfd);
		return 0;
	}
	if (lfd) {
		(void)loop_fd_want(lfd, want);
		return 0;
	}
	lfd = xcalloc(1, sizeof(*lfd));
	if (loop_fd_open(lfd, s, want, on_fd) < 0) {
		free(lfd);
		return 0;
	}
	curl_multi_assign(pool.multi, s, lfd);
	return 0;
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
	(void)multi;
	(void)arg;
	/* Also for 0: libcurl must not be re-entered from here. */
	loop_timer_set(&pool.timer,
		       timeout_ms < 0 ? MONO_NEVER : mono_in_us(timeout_ms * INT64_C(1000)));
	return 0;
}

/* ---- life ---- */

int xferpool_init(void)
{
	if (pool.is_started)
		return 0;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	pool.is_started = true;
	return 0;
}

static void close_multi(void)
{
	if (pool.multi)
		curl_multi_cleanup(pool.multi);
	pool.multi = NULL;
	loop_timer_cancel(&pool.timer);
	loop_timer_cancel(&pool.idle_timer);
}

/* Idle connections that their servers closed, names, certificates: all goes when nobody fetches. */
static void on_idle(struct loop_timer *timer)
{
	(void)timer;
	close_multi();
}

static void open_multi(void)
{
	loop_timer_cancel(&pool.idle_timer);
	if (pool.multi)
		return;
	if (xferpool_init() < 0 || !(pool.multi = curl_multi_init()))
		xalloc_die();
	pool.timer.fn = on_timer;
	pool.idle_timer.fn = on_idle;
	curl_multi_setopt(pool.multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
	curl_multi_setopt(pool.multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
}

void xferpool_fini(void)
{
	/* A daemon that must stop at once leaves its transfers to the kernel. */
	if (pool.n_active > 0)
		return;
	close_multi();
	if (pool.is_started)
		curl_global_cleanup();
	pool.is_started = false;
}

void xferpool_add(struct xferpool_item *item)
{
	open_multi();
	pool.n_active++;
	item->is_added = false;
	list_add_tail(&pool.starting, &item->link);
	loop_defer(&pool.turn);
}

static void start(struct xferpool_item *item)
{
	if (curl_easy_setopt(item->easy, CURLOPT_PRIVATE, item) != CURLE_OK ||
	    curl_multi_add_handle(pool.multi, item->easy) != CURLM_OK)
		xalloc_die();
	item->is_added = true;
}

void xferpool_remove(struct xferpool_item *item)
{
	list_remove(&item->link);
	if (item->is_added)
		curl_multi_remove_handle(pool.multi, item->easy);
	curl_easy_cleanup(item->easy);
	item->easy = NULL;
	if (--pool.n_active == 0)
		loop_timer_set(&pool.idle_timer, mono_in_us(IDLE_US));
}

/* ---- a fair share of the loop ---- */

bool xferpool_take(struct xferpool_item *item, size_t len)
{
	loop_defer(&pool.turn);
	if (pool.budget_bytes <= 0) {
		list_add_tail(&pool.paused, &item->link);
		return false;
	}
	pool.budget_bytes -= (int64_t)len;
	pool.received_bytes += len;
	return true;
}

void xferpool_wake(struct xferpool_item *item)
{
	list_add_tail(&pool.paused, &item->link);
	loop_defer(&pool.turn);
}

/* A new turn: those that had to wait start or go on, in order, as far as it reaches. */
static void on_turn(struct loop_task *task)
{
	struct list *first;

	(void)task;
	for (int n = 0; n < TURN_STARTS && (first = list_pop(&pool.starting)); n++)
		start(container_of(first, struct xferpool_item, link));
	pool.budget_bytes = TURN_BYTES;
	while (pool.budget_bytes > 0 && (first = list_pop(&pool.paused))) {
		struct xferpool_item *item = container_of(first, struct xferpool_item, link);
		CURLcode code = curl_easy_pause(item->easy, CURLPAUSE_CONT);

		/* libcurl hands the kept bytes over in there, and tells nobody else of an error. */
		if (code != CURLE_OK)
			item->done(item, (int)code);
	}
	if (!list_is_empty(&pool.paused) || !list_is_empty(&pool.starting))
		loop_defer(&pool.turn);
}

uint64_t xferpool_received_bytes(void)
{
	return pool.received_bytes;
}
