/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

#include <stdlib.h>

/*
 * Who waits for whose end.  A need names a live job, or one whose end is known
 * already, or one that ended in between: then the store is asked.
 */

#define LOOKED_AT_PER_STEP 1000

static void settle_one(struct need *n, enum job_outcome outcome)
{
	struct links *l = n->job->links;

	if (!need_is_met(n->on, outcome)) {
		if (!l->never)
			l->never = n;
		return;
	}
	n->is_met = true;
	l->n_unmet--;
}

/* ---- those that are not live, and of which nobody has told how they ended ---- */

struct look_up {
	struct store_get get;
	int64_t job;
	int64_t *ids; /* owns */
};

/* A record that was removed: the job was done, and nobody knows any more how. */
static void settle_from(struct need *n, const struct store_get *get)
{
	for (size_t i = 0; i < get->n; i++) {
		if (get->ids[i] != n->on_job)
			continue;
		settle_one(n, get->jobs && get->jobs[i].id ? get->jobs[i].outcome : JOB_SKIPPED);
		return;
	}
}

static bool is_open(const struct need *n)
{
	return !n->is_met && list_is_empty(&n->link) && n->job->links->never != n;
}

static void on_looked_up(struct store_op *op)
{
	struct look_up *u = container_of(op, struct look_up, get.op);
	struct job *job = jobtab_find(&engine.tab, u->job);

	engine_landed();
	for (size_t i = 0; job && i < job->links->n_needs; i++)
		if (is_open(&job->links->needs[i]))
			settle_from(&job->links->needs[i], &u->get);
	if (job)
		engine_decide(job);
	store_get_fini(&u->get);
	free(u->ids);
	free(u);
}

static void look_up_open(struct job *job)
{
	const struct links *l = job->links;
	struct look_up *u = NULL;

	for (size_t i = 0; i < l->n_needs; i++) {
		if (!is_open(&l->needs[i]))
			continue;
		if (!u) {
			u = xcalloc(1, sizeof(*u));
			u->ids = xcalloc(l->n_needs, sizeof(*u->ids));
		}
		u->ids[u->get.n++] = l->needs[i].on_job;
	}
	if (!u)
		return;
	u->job = job->id;
	u->get.is_brief = true;
	u->get.op.type = STORE_GET;
	u->get.op.done = on_looked_up;
	u->get.ids = u->ids;
	engine_fly(&u->get.op);
}

/* ---- making them ---- */

/* @n is in its place for good. */
static void attach(struct need *n, enum job_outcome outcome)
{
	struct job *on = outcome == JOB_UNENDED ? jobtab_find(&engine.tab, n->on_job) : NULL;

	list_init(&n->link);
	if (on && on->is_settled)
		outcome = on->outcome;
	if (outcome != JOB_UNENDED)
		settle_one(n, outcome);
	else if (on)
		list_add_tail(&job_links(on)->dependants, &n->link);
}

void needs_set(struct job *job, const struct store_need *needs, size_t n,
	       const enum job_outcome *outcomes)
{
	struct links *l;

	if (n == 0)
		return;
	l = job_links(job);
	l->needs = xcalloc(n, sizeof(*l->needs));
	l->n_needs = l->n_unmet = n;
	for (size_t i = 0; i < n; i++) {
		l->needs[i] =
			(struct need){ .job = job, .on_job = needs[i].job, .on = needs[i].on };
		attach(&l->needs[i], outcomes ? outcomes[i] : JOB_UNENDED);
	}
	look_up_open(job);
}

/* ---- when one ends ---- */

void needs_settle(struct job *job)
{
	struct list *it;

	if (!job->links)
		return;
	while ((it = list_pop(&job->links->dependants))) {
		struct need *n = container_of(it, struct need, link);
		struct list *woken = &n->job->links->woken;

		settle_one(n, (enum job_outcome)job->outcome);
		/* Not at once: a chain of ten thousand must not be as many calls deep. */
		list_remove(woken);
		list_add_tail(&engine.woken, woken);
		engine_wants_step();
	}
}

bool needs_step(void)
{
	struct list *it;

	for (unsigned i = 0; i < LOOKED_AT_PER_STEP && (it = list_pop(&engine.woken)); i++)
		engine_decide(container_of(it, struct links, woken)->job);
	return !list_is_empty(&engine.woken);
}
