/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#include "daemon/co/analyser.h"
#include "daemon/co/await.h"
#include "daemon/co/coro_private.h"

#define N_THREADS_MAX 4
#define THREAD_STACK_BYTES ((size_t)256 * 1024 * ANALYSER_STACK_FACTOR)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there is work, or the end */
	struct loop_task *first, *last;
	size_t n_queued;
	size_t n_idle;
	bool is_ending;
	pthread_t threads[N_THREADS_MAX]; /* the loop thread's */
	size_t n_threads;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER };

static void on_done(struct loop_task *task)
{
	struct offload *o = container_of(task, struct offload, task);

	o->done(o);
}

static void push(struct offload *o)
{
	o->task.next = NULL;
	if (pool.first)
		pool.last->next = &o->task;
	else
		pool.first = &o->task;
	pool.last = &o->task;
	pool.n_queued++;
}

/* Waits for work; NULL at the end, after the last of it.  With the lock held. */
static struct offload *pop(void)
{
	struct loop_task *t;

	pool.n_idle++;
	while (!pool.first && !pool.is_ending)
		pthread_cond_wait(&pool.wanted, &pool.lock);
	pool.n_idle--;
	t = pool.first;
	if (!t)
		return NULL;
	pool.first = t->next;
	pool.n_queued--;
	return container_of(t, struct offload, task);
}

static void *run_thread(void *arg)
{
	struct offload *o;

	(void)arg;
	pthread_mutex_lock(&pool.lock);
	while ((o = pop())) {
		pthread_mutex_unlock(&pool.lock);
		o->work(o);
		loop_post(&o->task);
		pthread_mutex_lock(&pool.lock);
	}
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/* Signals are the loop's; a new thread inherits the mask. */
static int start_thread(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&pool.threads[pool.n_threads], &attr, run_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (r != 0)
		return -r;
	pool.n_threads++;
	return 0;
}

/* One more thread if what waits is more than who is idle. */
static void grow(size_t n_queued, size_t n_idle)
{
	if (n_queued <= n_idle || pool.n_threads == N_THREADS_MAX)
		return;
	if (start_thread() < 0 && pool.n_threads == 0) {
		/* No thread to be had at all: blocking the loop is better than never doing it. */
		struct offload *o;

		pthread_mutex_lock(&pool.lock);
		o = pop();
		pthread_mutex_unlock(&pool.lock);
		o->work(o);
		loop_defer(&o->task);
	}
}

void offload_submit(struct offload *o)
{
	size_t n_queued, n_idle;

	o->task = (struct loop_task){ .fn = on_done };
	pthread_mutex_lock(&pool.lock);
	push(o);
	n_queued = pool.n_queued;
	n_idle = pool.n_idle;
	pthread_mutex_unlock(&pool.lock);
	/* Only now: woken before, it would find the lock taken and sleep once more. */
	pthread_cond_signal(&pool.wanted);
	grow(n_queued, n_idle);
}

void offload_fini(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.is_ending = true;
	pthread_cond_broadcast(&pool.wanted);
	pthread_mutex_unlock(&pool.lock);
	for (size_t i = 0; i < pool.n_threads; i++)
		pthread_join(pool.threads[i], NULL);
	pool.n_threads = 0;
	pool.is_ending = false;
	assert(!pool.first);
}

/* ---- the form for coroutines ---- */

struct call {
	struct offload offload;
	int (*fn)(void *arg);
	void *arg;
	int result;
	struct coro *waiter;
};

static void do_call(struct offload *o)
{
	struct call *c = container_of(o, struct call, offload);

	c->result = c->fn(c->arg);
}

static void on_call_done(struct offload *o)
{
	struct call *c = container_of(o, struct call, offload);

	coro_wake(c->waiter, 0);
}

int co_offload(int (*fn)(void *arg), void *arg)
{
	struct call c = {
		.offload = { .work = do_call, .done = on_call_done },
		.fn = fn,
		.arg = arg,
		.waiter = coro_running,
	};

	assert(coro_running);
	offload_submit(&c.offload);
	co_suspend_deaf();
	return c.result;
}
