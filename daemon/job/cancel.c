/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

#include <errno.h>

/* Requests to cancel: to the job that is live, or an answer about one that is not. */

struct stop_order cancel_order(const struct cancel *first)
{
	struct stop_order order = {
		.why = STOP_CANCEL,
		.by_uid = first->viewer.uid,
		.message = first->message,
		.grace_us = -1,
	};

	for (const struct cancel *c = first; c; c = c->next)
		order.grace_us = stop_grace_us(order.grace_us, c->grace_us);
	return order;
}

void cancel_answer_all(struct cancel *c)
{
	while (c) {
		struct cancel *next = c->next;

		c->result = 0;
		c->done(c);
		c = next;
	}
}

void cancel_refuse_all(struct cancel *c, enum job_outcome outcome)
{
	while (c) {
		struct cancel *next = c->next;

		c->result = aw_fail(&c->err, AW_WRONG_STATE, "job %lld is done already (%s)",
				    (long long)c->id, job_outcome_name(outcome));
		aw_err_fact(&c->err, "outcome", json_string(job_outcome_name(outcome)));
		c->done(c);
		c = next;
	}
}

void cancel_fail_all(struct cancel *c, enum aw_code code, const char *message)
{
	while (c) {
		struct cancel *next = c->next;

		c->result = aw_fail(&c->err, code, "%s", message);
		c->done(c);
		c = next;
	}
}

/* ---- a request that changes no state: it is kept beside the job, for whatever comes next ---- */

struct asking {
	struct store_ask ask;
	struct job *job;
	struct cancel *cancels;
};

static void on_asked(struct store_op *op)
{
	struct asking *a = container_of(op, struct asking, ask.op);
	struct job *job = a->job;
	const struct stop_order order = cancel_order(a->cancels);

	engine_landed();
	job->is_in_flight = false;
	if (op->result == 0) {
		tree_ask(job, &order);
		cancel_answer_all(a->cancels);
	} else {
		cancel_fail_all(a->cancels, op->result == -ENOSPC ? AW_STORAGE_FULL : AW_INTERNAL,
				"the request could not be stored");
		engine_decide(job);
	}
	free(a);
}

void cancel_ask(struct job *job)
{
	struct asking *a = xcalloc(1, sizeof(*a));

	if (job->state == JOB_WAITING)
		waiting_take_out(job);
	a->job = job;
	a->cancels = job->cancels;
	job->cancels = NULL;
	a->ask = (struct store_ask){
		.op = { .type = STORE_ASK, .done = on_asked },
		.id = job->id,
		.attempt = job->attempt,
		.state = (enum job_state)job->state,
		.why = STOP_CANCEL,
		.by_uid = a->cancels->viewer.uid,
		.message = a->cancels->message,
	};
	job->is_in_flight = true;
	engine_fly(&a->ask.op);
}

/* ---- asked from outside ---- */

/* A cancel of a job that is not live: was there ever one? */
struct look_up {
	struct store_get get;
	struct cancel *cancel;
};

static void fail_not_found(struct cancel *c)
{
	c->result = aw_fail(&c->err, AW_NOT_FOUND, "there is no job %lld", (long long)c->id);
	c->done(c);
}

static void on_looked_up(struct store_op *op)
{
	struct look_up *l = container_of(op, struct look_up, get.op);
	struct cancel *c = l->cancel;
	const struct store_job *rec = l->get.jobs;

	engine_landed();
	if (op->result < 0 || !rec || rec->id == 0 || !viewer_may_see(c->viewer, rec->uid))
		fail_not_found(c);
	else if (rec->state == JOB_DONE)
		cancel_refuse_all(c, rec->outcome);
	else if (jobtab_find(&engine.tab, c->id)) /* it was being submitted when we looked */
		engine_cancel(c);
	else
		fail_not_found(c);
	store_get_fini(&l->get);
	free(l);
}

static void look_up(struct cancel *c)
{
	struct look_up *l = xcalloc(1, sizeof(*l));

	l->cancel = c;
	l->get.is_brief = true;
	l->get.op.type = STORE_GET;
	l->get.op.done = on_looked_up;
	l->get.ids = &c->id;
	l->get.n = 1;
	engine_fly(&l->get.op);
}

void engine_cancel(struct cancel *c)
{
	struct job *job = jobtab_find(&engine.tab, c->id);
	struct cancel **tail;

	c->next = NULL;
	if (engine.is_over) {
		cancel_fail_all(c, AW_SHUTTING_DOWN,
				"awaitd is stopping; cancel again when it is back");
		return;
	}
	if (!job) {
		look_up(c);
		return;
	}
	if (!viewer_may_see(c->viewer, job->uid)) {
		fail_not_found(c);
		return;
	}
	for (tail = &job->cancels; *tail; tail = &(*tail)->next)
		;
	*tail = c;
	engine_decide(job);
}
