/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/jobrows.h"
#include "proto/xalloc.h"

#include <errno.h>

/* Hold, release, update: how a waiting job waits, changed by people.  Durable before it holds. */

static void fail(struct job_edit *e, enum aw_code code, const char *text)
{
	e->result = aw_fail(&e->err, code, "job %lld %s", (long long)e->id, text);
	e->done(e);
}

static void fail_state(struct job_edit *e, const char *state, const char *outcome)
{
	e->result = aw_fail(&e->err, AW_WRONG_STATE,
			    "job %lld is %s: only a waiting job can be "
			    "held, released or updated",
			    (long long)e->id, state);
	aw_err_fact(&e->err, "outcome", outcome ? json_string(outcome) : json_null());
	e->done(e);
}

void edit_refuse_all(struct job *job)
{
	struct job_edit *e = job->links->edits, *next;

	job->links->edits = NULL;
	for (; e; e = next) {
		next = e->next;
		if (job->is_settled)
			fail_state(e, "done already",
				   job_outcome_name((enum job_outcome)job->outcome));
		else
			fail_state(e, job_state_name((enum job_state)job->state), NULL);
	}
}

static void move_to_queue(struct job *job, struct queue *queue)
{
	job->queue->n_waiting--;
	job->queue = queue;
	job->queue->n_waiting++;
}

static void apply(struct job *job, const struct job_edit *e)
{
	if (e->fields & STORE_PRIORITY)
		job->priority = (int16_t)e->priority;
	if (e->fields & STORE_IN_QUEUE)
		move_to_queue(job, runq_find(&engine.runq, e->queue));
	if (e->fields & STORE_DUE)
		job->due = e->due;
	if (e->fields & STORE_HELD)
		job->is_held = e->is_held;
}

static void on_landed(struct store_op *op)
{
	struct job_edit *e = container_of(op, struct job_edit, update.op);
	struct job *job = e->job;

	engine_landed();
	job->is_in_flight = false;
	if (op->result == 0) {
		apply(job, e);
		engine_happened(e->update.seq);
		engine_note(job, ENGINE_CHANGED);
		e->result = 0;
		e->done(e);
	} else if (op->result == -ENOSPC) {
		fail(e, AW_STORAGE_FULL,
		     "cannot be changed: the disk of the state directory is full");
	} else {
		fail(e, AW_INTERNAL, "is stored in another state");
	}
	engine_decide(job);
}

void edit_begin(struct job *job)
{
	struct job_edit *e = job->links->edits;

	job->links->edits = e->next;
	if (e->fields & STORE_IN_QUEUE && !job->queue->name) {
		e->result = aw_fail_at(&e->err, AW_PARAMS, "/queue",
				       "a %s takes no slot and has no queue",
				       job_kind_name((enum job_kind)job->kind));
		e->done(e);
		engine_decide(job);
		return;
	}
	waiting_take_out(job);
	free(job->spec); /* kept for an immediate start */
	job->spec = NULL;
	e->job = job;
	e->update = (struct store_update){
		.op = { .type = STORE_UPDATE, .done = on_landed },
		.id = job->id,
		.attempt = job->attempt,
		.fields = e->fields,
		.at = now_wall(),
		.priority = e->priority,
		.queue = e->queue,
		.name = e->name,
		.tags = e->tags,
		.due = e->due,
		.is_held = e->is_held,
	};
	job->is_in_flight = true;
	engine_fly(&e->update.op);
}

/* ---- from outside ---- */

struct instant engine_due(int64_t delay_us, int64_t at_ms)
{
	return jobrows_due(delay_us, at_ms, now_instant());
}

struct look_up {
	struct store_get get;
	struct job_edit *edit;
};

static void on_looked_up(struct store_op *op)
{
	struct look_up *u = container_of(op, struct look_up, get.op);
	struct job_edit *e = u->edit;
	const struct store_job *rec = u->get.jobs;

	engine_landed();
	if (op->result < 0 || !rec || rec->id == 0 || !viewer_may_see(e->viewer, rec->uid)) {
		e->result =
			aw_fail(&e->err, AW_NOT_FOUND, "there is no job %lld", (long long)e->id);
		e->done(e);
	} else if (jobtab_find(&engine.tab, e->id)) { /* it was being submitted when we looked */
		engine_edit(e);
	} else {
		fail_state(e, "done already", job_outcome_name(rec->outcome));
	}
	store_get_fini(&u->get);
	free(u);
}

static void look_up(struct job_edit *e)
{
	struct look_up *u = xcalloc(1, sizeof(*u));

	u->edit = e;
	u->get.is_brief = true;
	u->get.op.type = STORE_GET;
	u->get.op.done = on_looked_up;
	u->get.ids = &e->id;
	u->get.n = 1;
	engine_fly(&u->get.op);
}

void engine_edit(struct job_edit *e)
{
	struct job *job = jobtab_find(&engine.tab, e->id);
	struct job_edit **tail;

	e->next = NULL;
	if (engine.is_over) {
		e->result = aw_fail(&e->err, AW_SHUTTING_DOWN, "awaitd is stopping");
		e->done(e);
		return;
	}
	if (!job || !viewer_may_see(e->viewer, job->uid)) {
		look_up(e);
		return;
	}
	if (e->fields & STORE_IN_QUEUE && !runq_find(&engine.runq, e->queue)) {
		e->result = aw_fail_at(&e->err, AW_NOT_FOUND, "/queue",
				       "there is no queue of that name; create it with \"awaitctl "
				       "queue set NAME --limit N\"");
		e->done(e);
		return;
	}
	for (tail = &job_links(job)->edits; *tail; tail = &(*tail)->next)
		;
	*tail = e;
	engine_decide(job);
}
