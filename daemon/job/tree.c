/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

#include <errno.h>

/*
 * Compositions and their parts: whose turn it is, who is to stop, and when
 * nothing is left.  Nothing here sends anything to the store by itself, so
 * that a part's end and what it decides in its parent stay neighbours there.
 */

#define TOLD_PER_STEP 500

void tree_join(struct job *part, struct job *parent, unsigned index)
{
	struct links *l = job_links(part), *pl = job_links(parent);

	if (!pl->parts)
		pl->parts = parts_new(parent);
	l->parent = parent;
	l->part = index;
	parts_add(pl->parts, index, part);
}

bool tree_has_live_parts(const struct job *job)
{
	return job->links && job->links->parts && job->links->parts->n_live > 0;
}

/* ---- turns and verdicts ---- */

/* Only placed: nothing may go to the store before the end that is just being decided. */
static void on_turn(struct job *part)
{
	if (part->state == JOB_WAITING && !part->is_in_flight)
		waiting_place(part);
}

/* A turn that falls to a part which had ended already, of the first @n_ended, goes to the next. */
static void give_turns(const struct run *run, struct parts *p, size_t n_turns, uint32_t n_ended,
		       void (*fn)(struct job *part))
{
	while (p->n_turns < n_turns && p->n_turns < p->n) {
		struct verdict v = { 0 };

		parts_give_turns(p, n_turns, n_ended, fn);
		run->kind->judge(&run->a, p, &v);
		n_turns = v.n_turns;
	}
}

static const char *why_no_more(const struct job *job)
{
	return job->kind == JOB_RACE ? "another part won" : "another part did not succeed";
}

void tree_judge(struct job *job)
{
	struct run *run = job->run;
	struct parts *p = job->links->parts;
	struct verdict v = { 0 };

	if (!run || !run->has_begun || run->is_over)
		return;
	run->kind->judge(&run->a, p, &v);
	if (p->n_live == 0) {
		run->verdict = v;
		run_over(run, run->why != STOP_NONE ? -ECANCELED : v.is_success ? 0 : -EINVAL);
	} else if (run->why != STOP_NONE) {
		return;
	} else if (v.wants_no_more) {
		const struct stop_order order = {
			.why = STOP_PARENT,
			.by_uid = job->uid,
			.message = why_no_more(job),
			.grace_us = -1,
			.is_skip = v.skips,
		};

		tree_stop(job, &order);
	} else {
		give_turns(run, p, v.n_turns, p->n_ended, on_turn);
	}
}

/* Of those that are to stop it may still start: nobody else. */
static void on_shielded_turn(struct job *part)
{
	if (part->links->is_shielded)
		on_turn(part);
}

/*
 * Parts that stop had their turn when that began, or never get one: those that
 * ended later gave none on.  A shielded part that had it is not told to stop.
 */
static void recall_turns(const struct job *job, struct parts *p)
{
	const struct run *run = job->run;
	struct verdict v = { 0 };
	uint32_t n_ended;

	run->kind->judge(&run->a, p, &v);
	if (job->state != JOB_STOPPING && !v.wants_no_more)
		return; /* it goes on from where it is */
	n_ended = job->state == JOB_STOPPING ? p->n_ended_first : p->n_ended;
	if (v.wants_no_more && p->v[v.decided_by].nth_end < n_ended)
		n_ended = p->v[v.decided_by].nth_end;
	give_turns(run, p, v.n_turns, n_ended, on_shielded_turn);
}

static void set_shields(struct parts *p, const struct jobdoc *d)
{
	for (size_t i = 0; i < p->n && i < d->n_parts; i++)
		if (p->v[i].job)
			p->v[i].job->links->is_shielded = d->parts[i].is_shielded;
}

/* A part that the document has and the store has not: a damaged store, and no reason to wait. */
static void miss_parts(struct parts *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i >= p->n || (!p->v[i].job && p->v[i].outcome == JOB_UNENDED))
			parts_end(p, i, 0, JOB_LOST);
}

void tree_begin(struct job *job)
{
	struct run *run = job->run;
	struct links *l = job_links(job);
	struct parts *p = l->parts;

	if (!p)
		p = l->parts = parts_new(job);
	miss_parts(p, run->a.doc.n_parts);
	set_shields(p, &run->a.doc);
	run->kind->begin(&run->a);
	run->has_begun = true;
	if (run->is_adopted)
		recall_turns(job, p);
	tree_judge(job);
}

/* ---- stopping ---- */

void tree_stop(struct job *job, const struct stop_order *order)
{
	struct parts *p = job->links->parts;
	bool is_stronger = !parts_are_stopping(p) ||
			   (order->why == STOP_DEADLINE && p->stop.why != STOP_DEADLINE);
	int64_t grace_us = stop_grace_us(p->stop.grace_us, order->grace_us);

	if (!is_stronger && grace_us == p->stop.grace_us)
		return;
	if (is_stronger) {
		p->stop = *order;
		/* A part stops because of its composition, whatever stops that. */
		if (order->why != STOP_DEADLINE)
			p->stop.why = STOP_PARENT;
	}
	p->stop.grace_us = grace_us;
	p->next_stop = 0;
	list_remove(&p->link);
	list_add_tail(&engine.stopping, &p->link);
	engine_wants_step();
}

bool tree_parts_go_first(struct job *job, const struct stop_order *order)
{
	if (!tree_has_live_parts(job))
		return false;
	tree_stop(job, order);
	return true;
}

void tree_ask(struct job *job, const struct stop_order *order)
{
	struct links *l = job_links(job);
	struct run *run = job->run;

	if (l->asked.why == STOP_NONE) {
		l->asked = *order;
		l->asked.message = order->message ? xstrdup(order->message) : NULL;
	} else {
		l->asked.grace_us = stop_grace_us(l->asked.grace_us, order->grace_us);
	}
	if (order->why == STOP_DEADLINE) {
		/* Stronger than whatever its parts were told: the shielded ones too. */
		l->is_overdue = true;
		if (l->parts && parts_are_stopping(l->parts))
			tree_stop(job, order);
	}
	/* One that stops already may have less time for it now. */
	if (run && run->is_delivered && !run->is_over && order->grace_us >= 0) {
		ending_take_asked(run);
		engine_deliver_stop(run);
	}
	engine_decide(job);
}

void tree_abandon(struct job *job)
{
	static const struct stop_order order = { .why = STOP_PARENT,
						 .grace_us = -1,
						 .message = "it is not there any more" };
	struct parts *p = job->links->parts;

	for (size_t i = 0; i < p->n; i++) {
		struct job *part = p->v[i].job;

		if (!part)
			continue;
		part->links->parent = NULL;
		p->v[i].job = NULL;
		tree_ask(part, &order);
	}
}

static void tell(struct parts *p, struct job *part)
{
	const struct links *l = part->links;

	/* Shielded from the composition's fate, but not from its deadline, which it inherits. */
	if (l->is_shielded && l->has_turn && p->stop.why != STOP_DEADLINE)
		return;
	tree_ask(part, &p->stop);
}

/* true: there are more. */
static bool tell_some(struct parts *p, unsigned *budget)
{
	while (p->next_stop < p->n) {
		struct job *part = p->v[p->next_stop++].job;

		if (!part)
			continue;
		if (*budget == 0) {
			p->next_stop--;
			return true;
		}
		--*budget;
		tell(p, part);
	}
	list_remove(&p->link);
	return false;
}

bool tree_step(void)
{
	unsigned budget = TOLD_PER_STEP;

	while (budget > 0 && !list_is_empty(&engine.stopping)) {
		struct parts *p = container_of(engine.stopping.next, struct parts, link);

		if (tell_some(p, &budget))
			break;
	}
	return !list_is_empty(&engine.stopping);
}
