/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/list.h"
#include "daemon/co/coro.h"
#include "proto/xalloc.h"

/* What one turn does at most before the descriptors are polled again. */
#define TIMERS_PER_TURN 1000
#define TASKS_PER_TURN 2000
#define RESUMES_PER_TURN 2000
#define STEP_BUDGET_US 2000
#define TASKS_PER_CLOCK_READ 16
#define STEPS_PER_TURN 3
#define SHORT_TURN_US 100

#define N_SPARE_EVENTS 256
#define N_SIGNALS 16

struct task_queue {
	struct loop_task *first, *last;
};

struct on_signal {
	struct event *event;
	void (*fn)(int signo);
};

static struct {
	struct event_base *base;
	bool is_stopped;

	struct heap timers;
	int64_t timer_seq; /* equal instants fire in the order they were set */
	/*
	 * Our own, not libevent's timeouts: those set their timer at each poll,
	 * ours is set when the instant changes.
	 */
	int timerfd;
	struct event *timer_event;
	struct mono armed; /* the instant for which timerfd is set, MONO_NEVER = it is not */

	struct task_queue deferred; /* for the next step */
	struct task_queue running;  /* of this step, or left over from the last */

	struct event *spare_events[N_SPARE_EVENTS];
	size_t n_spare_events;
	struct on_signal signals[N_SIGNALS];
	size_t n_signals;

	struct mono turn_began; /* when its first callback ran, MONO_NEVER = none has */
	struct loop_stats stats;
} loop = { .timerfd = -1 };

/* What other threads touch. */
static struct {
	pthread_mutex_t lock;
	struct task_queue tasks;
	int eventfd;
	struct event *event;
} post = { .lock = PTHREAD_MUTEX_INITIALIZER, .eventfd = -1 };

/* ---- tasks ---- */

static void queue_append(struct task_queue *q, struct loop_task *first, struct loop_task *last)
{
	last->next = NULL;
	if (q->first)
		q->last->next = first;
	else
		q->first = first;
	q->last = last;
}

static struct loop_task *queue_pop(struct task_queue *q)
{
	struct loop_task *t = q->first;

	q->first = t->next;
	return t;
}

void loop_defer(struct loop_task *task)
{
	if (task->is_queued)
		return;
	task->is_queued = true;
	queue_append(&loop.deferred, task, task);
}

void loop_post(struct loop_task *task)
{
	loop_post_chain(task, task);
}

void loop_post_chain(struct loop_task *first, struct loop_task *last)
{
	const uint64_t one = 1;
	bool was_empty;

	last->next = NULL;
	for (struct loop_task *t = first; t; t = t->next)
		t->is_queued = true;
	pthread_mutex_lock(&post.lock);
	was_empty = !post.tasks.first;
	queue_append(&post.tasks, first, last);
	/*
	 * Under the lock, so that loop_fini() cannot close it in between.  It
	 * cannot block either: the loop resets it to zero with each look.
	 */
	if (was_empty && post.eventfd >= 0) {
		ssize_t n = write(post.eventfd, &one, sizeof(one));

		assert(n == (ssize_t)sizeof(one));
	}
	pthread_mutex_unlock(&post.lock);
}

static void note_callback(void)
{
	if (mono_is_never(loop.turn_began))
		loop.turn_began = now_mono();
}

static void on_posted(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;
	struct task_queue q;

	(void)what;
	(void)arg;
	note_callback();
	pthread_mutex_lock(&post.lock);
	if (read(fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	q = post.tasks;
	post.tasks.first = NULL;
	pthread_mutex_unlock(&post.lock);
	if (q.first)
		queue_append(&loop.deferred, q.first, q.last);
}

/* Run what was queued before this step; returns how many. */
static unsigned run_tasks(void)
{
	struct mono end = mono_in_us(STEP_BUDGET_US);
	unsigned n = 0;

	if (!loop.running.first) {
		loop.running = loop.deferred;
		loop.deferred.first = NULL;
	}
	while (loop.running.first && n < TASKS_PER_TURN) {
		struct loop_task *t = queue_pop(&loop.running);

		t->is_queued = false;
		t->fn(t); /* may free it */
		if (++n % TASKS_PER_CLOCK_READ == 0 && now_mono().ns >= end.ns)
			break;
	}
	return n;
}

/* ---- timers ---- */

void loop_timer_set(struct loop_timer *timer, struct mono when)
{
	if (mono_is_never(when))
		heap_remove(&loop.timers, &timer->slot);
	else
		heap_update(&loop.timers, &timer->slot, when.ns, ++loop.timer_seq);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	heap_remove(&loop.timers, &timer->slot);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
	return heap_has(&timer->slot);
}

static bool is_timer_due(struct mono now)
{
	const struct heap_entry *first = heap_first(&loop.timers);

	return first && first->key <= now.ns;
}

/* One slice of what is due; @now is not moved on, so that a slice ends. */
static unsigned run_timers(struct mono now)
{
	unsigned n = 0;

	while (n < TIMERS_PER_TURN && is_timer_due(now)) {
		struct heap_slot *slot = heap_first(&loop.timers)->slot;
		struct loop_timer *timer = container_of(slot, struct loop_timer, slot);

		heap_remove(&loop.timers, slot);
		timer->fn(timer); /* may free it */
		n++;
	}
	return n;
}

/* It only ends the wait: what is due is judged by now_mono(), never by libevent. */
static void on_timer_event(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)arg;
	if (read(fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	loop.armed = MONO_NEVER;
}

/*
 * See to it that the coming wait ends when the first timer is due.  Waking up
 * too early costs one empty turn, so a timer that was armed for something
 * that is gone by now is left alone: most deadlines are set and cancelled
 * without ever being the reason for a wake-up.
 */
static void arm_timer(struct mono now)
{
	const struct heap_entry *first = heap_first(&loop.timers);
	struct itimerspec when = { 0 };
	int64_t ns;

	if (!first || loop.armed.ns <= first->key)
		return;
	ns = first->key > now.ns ? first->key - now.ns : 1; /* 0 would disarm it */
	when.it_value.tv_sec = (time_t)(ns / 1000000000);
	when.it_value.tv_nsec = (long)(ns % 1000000000);
	if (timerfd_settime(loop.timerfd, 0, &when, NULL) < 0)
		assert(!"a timer that cannot be set");
	loop.armed = (struct mono){ first->key };
}

/* ---- descriptors ---- */

static struct event *take_event(void)
{
	struct event *ev;

	if (loop.n_spare_events > 0)
		return loop.spare_events[--loop.n_spare_events];
	ev = event_new(loop.base, -1, 0, on_posted, NULL); /* its values come with event_assign() */
	if (!ev)
		xalloc_die();
	return ev;
}

static void give_event(struct event *ev)
{
	if (loop.n_spare_events < N_SPARE_EVENTS)
		loop.spare_events[loop.n_spare_events++] = ev;
	else
		event_free(ev);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *lfd = arg;
	unsigned ready = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);

	(void)fd;
	note_callback();
	lfd->fn(lfd, ready);
}

static int watch(struct loop_fd *lfd, unsigned want)
{
	short what = EV_PERSIST;

	if (want & LOOP_READ)
		what |= EV_READ;
	if (want & LOOP_WRITE)
		what |= EV_WRITE;
	event_assign(lfd->event, loop.base, lfd->fd, what, on_fd, lfd);
	lfd->want = 0;
	if (want) {
		errno = 0;
		if (event_add(lfd->event, NULL) < 0)
			return errno > 0 ? -errno : -EIO;
	}
	lfd->want = want;
	return 0;
}

int loop_fd_open(struct loop_fd *lfd, int fd, unsigned want,
		 void (*fn)(struct loop_fd *lfd, unsigned ready))
{
	int r;

	if (fd < 0)
		return -EBADF;
	lfd->fd = fd;
	lfd->fn = fn;
	lfd->event = take_event();
	r = watch(lfd, want);
	if (r < 0) {
		give_event(lfd->event);
		lfd->event = NULL;
	}
	return r;
}

int loop_fd_want(struct loop_fd *lfd, unsigned want)
{
	if (want == lfd->want)
		return 0;
	event_del(lfd->event);
	return watch(lfd, want);
}

void loop_fd_close(struct loop_fd *lfd)
{
	if (!lfd->event)
		return;
	event_del(lfd->event);
	give_event(lfd->event);
	lfd->event = NULL;
}

/* ---- signals ---- */

static void on_signal_event(evutil_socket_t signo, short what, void *arg)
{
	struct on_signal *s = arg;

	(void)what;
	note_callback();
	s->fn((int)signo);
}

int loop_on_signal(int signo, void (*fn)(int signo))
{
	struct on_signal *s;

	if (loop.n_signals == N_SIGNALS)
		return -ENOSPC;
	s = &loop.signals[loop.n_signals];
	s->fn = fn;
	s->event = evsignal_new(loop.base, signo, on_signal_event, s);
	if (!s->event)
		return -ENOMEM;
	errno = 0;
	if (event_add(s->event, NULL) < 0) {
		event_free(s->event);
		return errno > 0 ? -errno : -EINVAL;
	}
	loop.n_signals++;
	return 0;
}

/* ---- the loop ---- */

static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	/* The environment shall not choose another method. */
	event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int loop_init(void)
{
	assert(!loop.base);
	loop.armed = MONO_NEVER;
	loop.base = make_base();
	if (!loop.base)
		return -ENOMEM;
	post.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (post.eventfd < 0 || loop.timerfd < 0) {
		int r = -errno;

		loop_fini();
		return r;
	}
	loop.timer_event =
		event_new(loop.base, loop.timerfd, EV_READ | EV_PERSIST, on_timer_event, NULL);
	post.event = event_new(loop.base, post.eventfd, EV_READ | EV_PERSIST, on_posted, NULL);
	if (!loop.timer_event || !post.event || event_add(post.event, NULL) < 0 ||
	    event_add(loop.timer_event, NULL) < 0) {
		loop_fini();
		return -ENOMEM;
	}
	return 0;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static void close_post(void)
{
	free_event(post.event);
	post.event = NULL;
	pthread_mutex_lock(&post.lock);
	if (post.eventfd >= 0)
		close(post.eventfd);
	post.eventfd = -1;
	post.tasks.first = NULL;
	pthread_mutex_unlock(&post.lock);
}

void loop_fini(void)
{
	coro_fini();
	close_post();
	free_event(loop.timer_event);
	if (loop.timerfd >= 0)
		close(loop.timerfd);
	for (size_t i = 0; i < loop.n_signals; i++)
		event_free(loop.signals[i].event);
	for (size_t i = 0; i < loop.n_spare_events; i++)
		event_free(loop.spare_events[i]);
	heap_fini(&loop.timers);
	if (loop.base)
		event_base_free(loop.base);
	memset(&loop, 0, sizeof(loop));
	loop.timerfd = -1;
}

static bool has_ready(void)
{
	return loop.running.first || loop.deferred.first || coro_has_ready();
}

static void poll_events(bool wait)
{
	int r = event_base_loop(loop.base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));

	/* It fails only if epoll itself does, and then there is nothing to go on with. */
	assert(r >= 0);
}

static void note_turn(struct mono began)
{
	int64_t us = (now_mono().ns - began.ns) / 1000;

	loop.stats.turns++;
	loop.stats.lag_last_us = us;
	if (us > loop.stats.lag_max_us)
		loop.stats.lag_max_us = us;
}

/*
 * From a line to its request, from that to the store: each is the next step's.
 * While they are short they need no poll, with its system calls, in between.
 */
static unsigned run_steps(void)
{
	unsigned n = 0;

	for (int step = 0; step < STEPS_PER_TURN && has_ready(); step++) {
		if (loop.running.first || loop.deferred.first)
			n += run_tasks();
		if (coro_has_ready())
			n += coro_run_ready(RESUMES_PER_TURN, STEP_BUDGET_US);
		if (loop.is_stopped ||
		    now_mono().ns - loop.turn_began.ns > INT64_C(1000) * SHORT_TURN_US)
			break;
	}
	return n;
}

/* One turn; returns whether it did anything at all. */
static bool turn(bool may_wait)
{
	bool wait = may_wait && !has_ready();
	struct mono now;
	unsigned n;

	if (wait) {
		now = now_mono();
		if (is_timer_due(now))
			wait = false;
		else
			arm_timer(now);
	}
	loop.turn_began = MONO_NEVER;
	poll_events(wait);
	now = now_mono();
	n = mono_is_never(loop.turn_began) ? 0 : 1;
	if (n == 0)
		loop.turn_began = now;

	n += run_timers(now);
	n += run_steps();
	note_turn(loop.turn_began);
	return n > 0;
}

bool loop_turn(bool may_wait)
{
	turn(may_wait);
	return has_ready() || is_timer_due(now_mono());
}

void loop_run(void)
{
	while (!loop.is_stopped)
		turn(true);
	loop.is_stopped = false;
}

void loop_stop(void)
{
	loop.is_stopped = true;
}

void loop_run_until_idle(void)
{
	while (turn(false) || has_ready() || is_timer_due(now_mono()))
		;
}

void loop_stats(struct loop_stats *ret)
{
	*ret = loop.stats;
	loop.stats.lag_max_us = 0;
}
