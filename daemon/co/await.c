/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/await.h"

#include <assert.h>

#include "daemon/co/coro_private.h"

/*
 * All waits here have one shape: register with what may wake us, suspend,
 * take the registration back.  Between a first wake and the resume the
 * registration still stands, so every waker asks coro_is_waiting().
 */

int co_sleep_until(struct mono when)
{
	return co_suspend_timed(when, 0);
}

/* ---- descriptors ---- */

struct fd_waiter {
	struct loop_fd lfd;
	struct coro *co;
};

static void on_fd_ready(struct loop_fd *lfd, unsigned ready)
{
	struct fd_waiter *w = container_of(lfd, struct fd_waiter, lfd);

	(void)ready;
	loop_fd_close(lfd); /* level-triggered: it would come again before the waiter has run */
	if (coro_is_waiting(w->co))
		coro_wake(w->co, 0);
}

int co_wait_fd(int fd, unsigned want, struct mono deadline)
{
	struct fd_waiter w = { .co = coro_running };
	int r;

	assert(coro_running && want != 0);
	r = loop_fd_open(&w.lfd, fd, want, on_fd_ready);
	if (r < 0)
		return r;
	r = co_suspend_until(deadline);
	loop_fd_close(&w.lfd);
	return r;
}

/* ---- futures ---- */

struct future_waiter {
	struct list link;
	struct coro *co;
	int result; /* a copy, as the future may be gone when the waiter runs */
};

void future_init(struct future *f)
{
	*f = (struct future){ 0 };
	list_init(&f->waiters);
}

void future_set(struct future *f, int result)
{
	struct list *l;

	assert(!f->is_set);
	f->is_set = true;
	f->result = result;
	while ((l = list_pop(&f->waiters))) {
		struct future_waiter *w = container_of(l, struct future_waiter, link);

		w->result = result;
		if (coro_is_waiting(w->co))
			coro_wake(w->co, 0);
	}
}

int co_future_wait(struct future *f, struct mono deadline, int *ret_result)
{
	struct future_waiter w = { .co = coro_running };
	int r = 0;

	assert(coro_running);
	if (f->is_set) {
		w.result = f->result;
	} else {
		list_add_tail(&f->waiters, &w.link);
		r = co_suspend_until(deadline);
		list_remove(&w.link);
	}
	if (r == 0 && ret_result)
		*ret_result = w.result;
	return r;
}

/* ---- signals ---- */

void signal_flag_raise(struct signal_flag *s)
{
	s->is_up = true;
	if (s->waiter && coro_is_waiting(s->waiter))
		coro_wake(s->waiter, 0);
}

int co_signal_wait(struct signal_flag *s, struct mono deadline)
{
	int r = 0;

	assert(coro_running && !s->waiter);
	if (!s->is_up) {
		s->waiter = coro_running;
		r = co_suspend_until(deadline);
		s->waiter = NULL;
	}
	if (r == 0)
		s->is_up = false;
	return r;
}

/* ---- groups ---- */

void co_group_init(struct co_group *g)
{
	*g = (struct co_group){ .owner = coro_running };
	list_init(&g->members);
}

void co_group_spawn(struct co_group *g, coro_fn *fn, void *arg)
{
	struct coro *co = coro_spawn(fn, arg, CORO_STACK_SMALL, NULL);

	co->group = g;
	list_add_tail(&g->members, &co->siblings);
	g->n_members++;
	if (g->owner)
		g->owner->n_children++;
}

void co_group_cancel(struct co_group *g)
{
	/* Cancelling ends nobody in here, so the list stands still. */
	list_for_each(it, &g->members)
		coro_cancel(container_of(it, struct coro, siblings));
}

int co_group_wait(struct co_group *g, struct mono deadline)
{
	int r;

	assert(coro_running && !g->waiter);
	if (g->n_members == 0)
		return 0;
	g->waiter = coro_running;
	r = co_suspend_until(deadline);
	g->waiter = NULL;
	return r;
}

void co_group_join(struct co_group *g)
{
	assert(coro_running && !g->waiter);
	g->waiter = coro_running;
	while (g->n_members > 0)
		co_suspend_deaf();
	g->waiter = NULL;
}

/* ---- deadlines and shields ---- */

void co_deadline_begin(struct co_deadline *d, struct mono deadline)
{
	assert(coro_running);
	d->outer = coro_running->bound;
	if (deadline.ns < d->outer.ns)
		coro_running->bound = deadline;
}

void co_deadline_end(struct co_deadline *d)
{
	assert(coro_running);
	coro_running->bound = d->outer;
}

void co_shield_begin(void)
{
	assert(coro_running && coro_running->n_shields < UINT16_MAX);
	coro_running->n_shields++;
}

void co_shield_end(void)
{
	assert(coro_running && coro_running->n_shields > 0);
	coro_running->n_shields--;
}
