/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/coro.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/co/analyser.h"
#include "daemon/co/await.h"
#include "daemon/co/coro_private.h"
#include "daemon/co/stack.h"
#include "daemon/co/switch.h"
#include "proto/xalloc.h"

#define RESUMES_PER_CLOCK_READ 32 /* one read costs as much as five resumes */
#define CHUNK_RECORDS 256
#define QUEUE_MIN 64
#define RECORDS_AHEAD 8
#define STACKS_AHEAD 4

/*
 * A ring, not a list: one can look ahead in it and ask for memory before it
 * is needed.
 */
struct queue {
	struct coro **items; /* owns; a power of two of them */
	size_t size, head, n;
};

/* Records are allocated in chunks that stay until coro_fini(). */
struct chunk {
	struct chunk *next;
	struct coro records[CHUNK_RECORDS];
};

struct coro *coro_running;

static struct queue ready;
static struct queue yielded; /* ready, but not before the next run step */
static struct coro *spare;
static struct chunk *chunks;
static size_t n_live;

/* The loop's side of a switch. */
static struct {
	void (*fn)(void *arg); /* to be run for the coroutine that switched out, or NULL */
	void *arg;
	const void *stack_lo; /* for the analysers */
	size_t stack_bytes;
	void *fiber;
} host;

/* ---- records ---- */

#if ANALYSER_ASAN

/* One allocation each, so that a use after the end is seen. */
static struct coro *record_new(void)
{
	return xmalloc(sizeof(struct coro));
}

static void record_free(struct coro *co)
{
	free(co);
}

#else

static void add_chunk(void)
{
	struct chunk *c = xmalloc(sizeof(*c));

	c->next = chunks;
	chunks = c;
	for (size_t i = CHUNK_RECORDS; i-- > 0;) {
		c->records[i].next = spare;
		spare = &c->records[i];
	}
}

static struct coro *record_new(void)
{
	struct coro *co;

	if (!spare)
		add_chunk();
	co = spare;
	spare = co->next;
	return co;
}

static void record_free(struct coro *co)
{
	co->next = spare;
	spare = co;
}

#endif

/* ---- the ready queue ---- */

static struct coro *queue_at(const struct queue *q, size_t i)
{
	return q->items[(q->head + i) & (q->size - 1)];
}

static void queue_grow(struct queue *q)
{
	size_t size = q->size ? q->size * 2 : QUEUE_MIN;
	struct coro **items = xreallocarray(NULL, size, sizeof(struct coro *));

	for (size_t i = 0; i < q->n; i++)
		items[i] = queue_at(q, i);
	free(q->items);
	*q = (struct queue){ .items = items, .size = size, .n = q->n };
}

static inline void enqueue(struct queue *q, struct coro *co)
{
	if (__builtin_expect(q->n == q->size, 0))
		queue_grow(q);
	q->items[(q->head + q->n++) & (q->size - 1)] = co;
}

static inline struct coro *dequeue(struct queue *q)
{
	struct coro *co = q->items[q->head];

	q->head = (q->head + 1) & (q->size - 1);
	q->n--;
	return co;
}

static void append(struct queue *q, struct queue *from)
{
	while (from->n > 0)
		enqueue(q, dequeue(from));
}

static void queue_fini(struct queue *q)
{
	free(q->items);
	*q = (struct queue){ 0 };
}

bool coro_has_ready(void)
{
	return ready.n > 0 || yielded.n > 0;
}

/* ---- birth ---- */

static struct coro *coro_new(coro_fn *fn, void *arg, enum coro_stack stack, coro_ended_fn *ended)
{
	struct coro *co = record_new();

	*co = (struct coro){
		.fn = fn,
		.arg = arg,
		.ended = ended,
		.bound = MONO_NEVER,
		.stack_class = (unsigned char)stack,
	};
	n_live++;
	return co;
}

struct coro *coro_spawn(coro_fn *fn, void *arg, enum coro_stack stack, coro_ended_fn *ended)
{
	struct coro *co = coro_new(fn, arg, stack, ended);

	co->state = CORO_NEW;
	enqueue(&ready, co);
	return co;
}

static void on_start(struct loop_timer *timer)
{
	struct coro *co = container_of(timer, struct coro, start);

	co->state = CORO_NEW;
	enqueue(&ready, co);
}

struct coro *coro_spawn_at(struct mono when, coro_fn *fn, void *arg, enum coro_stack stack,
			   coro_ended_fn *ended)
{
	struct coro *co = coro_new(fn, arg, stack, ended);

	co->state = CORO_ASLEEP;
	co->start.fn = on_start;
	loop_timer_set(&co->start, when);
	return co;
}

/* ---- switching ---- */

static inline void check_stack(const struct coro *co)
{
	if (__builtin_expect(co->has_canary, 0))
		stack_check_canary(co->stack);
}

/* From the running coroutine to the loop, and back some time later. */
static inline int leave(struct coro *co)
{
	void *saved = NULL;
	int result;

	check_stack(co);
	analyser_leave(&saved, host.stack_lo, host.stack_bytes, host.fiber);
	result = switch_out(&co->slot);
	analyser_arrive(saved, &host.stack_lo, &host.stack_bytes);
	return result;
}

/* Where every coroutine begins, on its own stack. */
static void begin(void)
{
	struct coro *co = coro_running;

	analyser_arrive(NULL, &host.stack_lo, &host.stack_bytes);
	co->fn(co->arg);
	assert(co->n_children == 0);
	assert(co->n_shields == 0);
	co->state = CORO_ENDED;
	check_stack(co);
	analyser_leave(NULL, host.stack_lo, host.stack_bytes, host.fiber);
	switch_out(&co->slot);
	abort(); /* nobody switches to it again */
}

static void attach_stack(struct coro *co)
{
	struct stack *s = stack_get((enum coro_stack)co->stack_class);

	if (!s) {
		fprintf(stderr, "cannot map a stack for one of %zu coroutines: %s\n", n_live,
			strerror(errno));
		abort();
	}
	co->stack = s;
	co->has_stack = true;
	co->has_canary = s->guard == STACK_GUARD_CANARY;
	switch_prepare(&co->slot, s->lo, s->top, begin);
}

/* Let @co run until it gives way or ends, and meanwhile run for it what it wants run here. */
static void enter(struct coro *co)
{
	struct stack *s = co->stack;

	for (;;) {
		void *saved = NULL;

		coro_running = co;
		analyser_leave(&saved, s->lo, (size_t)(s->hi - s->lo), s->fiber);
		switch_in(&co->slot, co->result);
		analyser_arrive(saved, NULL, NULL);
		coro_running = NULL;
		if (!host.fn)
			return;
		host.fn(host.arg);
		host.fn = NULL;
	}
}

void co_on_loop_stack(void (*fn)(void *arg), void *arg)
{
	struct coro *co = coro_running;

	if (!co) {
		fn(arg);
		return;
	}
	host.fn = fn;
	host.arg = arg;
	leave(co);
}

/* ---- end ---- */

static void leave_group(struct coro *co)
{
	struct co_group *g = co->group;

	list_remove(&co->siblings);
	g->n_members--;
	if (g->owner)
		g->owner->n_children--;
	if (g->n_members == 0 && g->waiter && coro_is_waiting(g->waiter))
		coro_wake(g->waiter, 0);
}

static void finish(struct coro *co)
{
	bool ran = co->has_stack;

	if (ran)
		stack_put(co->stack);
	if (co->group)
		leave_group(co);
	if (co->ended)
		co->ended(co->arg, ran);
	n_live--;
	record_free(co);
}

/* ---- the run step ---- */

static inline void resume(struct coro *co)
{
	if (co->state == CORO_NEW)
		attach_stack(co);
	if (co->state != CORO_DROPPED) {
		co->state = CORO_RUNNING;
		co->is_cancel_queued = false;
		enter(co);
		if (co->state != CORO_ENDED)
			return;
	}
	finish(co);
}

/*
 * With many coroutines neither the record nor the stack of the next one is in
 * the cache.  Asking for the records well ahead, and for the stacks a bit
 * later, hides most of that.
 */
static inline void look_ahead(const struct queue *q)
{
	if (q->n > RECORDS_AHEAD)
		__builtin_prefetch(queue_at(q, RECORDS_AHEAD));
	if (q->n > STACKS_AHEAD && queue_at(q, STACKS_AHEAD)->has_stack)
		__builtin_prefetch(queue_at(q, STACKS_AHEAD)->slot);
}

unsigned coro_run_ready(unsigned max_resumes, int64_t budget_us)
{
	struct mono end = mono_in_us(budget_us);
	unsigned n = 0;

	assert(!coro_running);
	host.fiber = analyser_fiber_self();
	append(&ready, &yielded);
	while (ready.n > 0 && n < max_resumes) {
		look_ahead(&ready);
		resume(dequeue(&ready));
		if (++n % RESUMES_PER_CLOCK_READ == 0 && now_mono().ns >= end.ns)
			break;
	}
	return n;
}

/* ---- waiting ---- */

struct coro *coro_self(void)
{
	return coro_running;
}

bool coro_is_cancelled(void)
{
	return coro_running && coro_running->is_cancelled;
}

bool coro_is_waiting(const struct coro *co)
{
	return co->state == CORO_SUSPENDED;
}

void coro_wake(struct coro *co, int result)
{
	assert(co->state == CORO_SUSPENDED);
	co->state = CORO_READY;
	co->result = result;
	enqueue(&ready, co);
}

static inline bool take_cancel(struct coro *co)
{
	if (__builtin_expect(!co->is_cancel_pending || co->n_shields > 0, 1))
		return false;
	co->is_cancel_pending = false;
	return true;
}

static inline int give_way(struct coro *co)
{
	co->state = CORO_SUSPENDED;
	return leave(co);
}

struct bound_timer {
	struct loop_timer timer;
	struct coro *co;
	int result;
};

static void on_bound(struct loop_timer *timer)
{
	struct bound_timer *t = container_of(timer, struct bound_timer, timer);

	if (coro_is_waiting(t->co))
		coro_wake(t->co, t->result);
}

int co_suspend_timed(struct mono when, int result)
{
	struct coro *co = coro_running;
	struct bound_timer t = { .timer.fn = on_bound, .co = co, .result = result };
	int r;

	assert(co);
	if (take_cancel(co))
		return -ECANCELED;
	if (co->bound.ns < when.ns) {
		when = co->bound;
		t.result = -ETIMEDOUT;
	}
	if (mono_is_never(when))
		return give_way(co);
	loop_timer_set(&t.timer, when);
	r = give_way(co);
	loop_timer_cancel(&t.timer);
	return r;
}

int co_suspend_until(struct mono deadline)
{
	return co_suspend_timed(deadline, -ETIMEDOUT);
}

int co_suspend(void)
{
	struct coro *co = coro_running;

	assert(co);
	if (!mono_is_never(co->bound))
		return co_suspend_timed(MONO_NEVER, -ETIMEDOUT);
	if (take_cancel(co))
		return -ECANCELED;
	return give_way(co);
}

int co_suspend_deaf(void)
{
	struct coro *co = coro_running;
	int r;

	assert(co);
	co->n_shields++;
	r = give_way(co);
	co->n_shields--;
	return r;
}

int co_yield(void)
{
	struct coro *co = coro_running;

	assert(co);
	if (take_cancel(co))
		return -ECANCELED;
	co->state = CORO_READY;
	co->result = 0;
	enqueue(&yielded, co);
	return leave(co);
}

/* ---- cancelling ---- */

static void drop(struct coro *co)
{
	if (co->state == CORO_ASLEEP) {
		loop_timer_cancel(&co->start);
		enqueue(&ready, co);
	}
	co->state = CORO_DROPPED;
}

/* Whether the wait of @co can still end with the cancel: a wake was first, a timeout gives way. */
static bool can_interrupt(const struct coro *co)
{
	if (co->n_shields > 0)
		return false;
	return co->state == CORO_SUSPENDED || (co->state == CORO_READY && co->result == -ETIMEDOUT);
}

void coro_cancel(struct coro *co)
{
	assert(co->state != CORO_ENDED);
	if (co->state == CORO_ASLEEP || co->state == CORO_NEW || co->state == CORO_DROPPED) {
		drop(co);
		return;
	}
	if (co->is_cancel_pending || co->is_cancel_queued)
		return;
	co->is_cancelled = true;
	if (!can_interrupt(co)) {
		co->is_cancel_pending = true;
		return;
	}
	if (co->state == CORO_SUSPENDED)
		coro_wake(co, -ECANCELED);
	co->result = -ECANCELED;
	co->is_cancel_queued = true;
}

/* ---- the whole ---- */

void coro_stats(struct coro_stats *ret)
{
	stack_stats(ret);
	ret->n_live = n_live;
	ret->substrate = switch_name();
}

void coro_fini(void)
{
	assert(n_live == 0); /* one was abandoned */
	while (chunks) {
		struct chunk *next = chunks->next;

		free(chunks);
		chunks = next;
	}
	spare = NULL;
	queue_fini(&ready);
	queue_fini(&yielded);
	stack_fini();
}
