/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/buf.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#include <inttypes.h>

/* job.why: what a job waits for, from what decides when it starts. */

#define IDS_TOLD 100 /* of a job that waits for more the first so many are named */

struct answer {
	enum job_reason reason;
	struct buf message;
	struct wall until; /* 0 = not known */
	json_t *waits_for; /* owns */
};

static void add_id(struct answer *a, int64_t id)
{
	if (json_array_size(a->waits_for) < IDS_TOLD)
		json_array_append_new(a->waits_for, json_integer(id));
}

static void add_time(struct buf *b, struct wall t)
{
	char text[TIME_TEXT_BYTES];

	time_format(t.ms, text);
	buf_adds(b, text);
}

/* ---- waiting ---- */

static void tell_turn(struct answer *a, const struct job *job)
{
	const struct job *parent = job->links->parent;
	const struct parts *p = parent->links->parts;

	if (parent->state == JOB_WAITING) {
		buf_addf(&a->message, "the %s it is a part of, job %" PRId64 ", has not started",
			 job_kind_name((enum job_kind)parent->kind), parent->id);
		add_id(a, parent->id);
		return;
	}
	if (parts_are_stopping(p)) {
		buf_addf(&a->message, "the %s it is a part of, job %" PRId64 ", is ending",
			 job_kind_name((enum job_kind)parent->kind), parent->id);
		add_id(a, parent->id);
		return;
	}
	buf_addf(&a->message, "it is not its turn in the %s, job %" PRId64 ": %zu of %zu parts run",
		 job_kind_name((enum job_kind)parent->kind), parent->id, p->n_open, p->n);
	for (size_t i = 0; i < p->n_turns; i++)
		if (p->v[i].job)
			add_id(a, p->v[i].id);
}

static void tell_needs(struct answer *a, const struct job *job)
{
	const struct links *l = job->links;
	const char *before = "";

	if (l->n_unmet == 0) {
		tell_turn(a, job);
		return;
	}
	buf_adds(&a->message, "it waits for the end of ");
	for (size_t i = 0; i < l->n_needs; i++) {
		const struct need *n = &l->needs[i];

		if (n->is_met)
			continue;
		if (json_array_size(a->waits_for) < 5)
			buf_addf(&a->message, "%sjob %" PRId64 " (%s)", before, n->on_job,
				 need_on_name(n->on));
		before = ", ";
		add_id(a, n->on_job);
	}
	if (l->n_unmet > 5)
		buf_addf(&a->message, " and %zu more", l->n_unmet - 5);
}

static void tell_due(struct answer *a, const struct job *job)
{
	if (!job->due.wall.ms) {
		buf_adds(&a->message, "it is about to start");
		return;
	}
	a->until = job->due.wall;
	if (a->reason == JOB_WAITS_BACKOFF)
		buf_addf(&a->message, "attempt %" PRIu32 " did not succeed; the next starts at ",
			 job->attempt);
	else
		buf_adds(&a->message, "it is to start at ");
	add_time(&a->message, job->due.wall);
}

static void tell_slot(struct answer *a, const struct job *job)
{
	const struct queue *q = job->queue;

	if (job->place != JOB_IN_QUEUE)
		buf_adds(&a->message, "it is about to start");
	else
		buf_addf(&a->message,
			 "all slots of the queue \"%s\" are taken (%" PRIu64 " of %" PRId64
			 " run); jobs of a higher priority, then older ones, come first",
			 q->name, q->n_running, q->limit);
}

static void tell_waiting(struct answer *a, const struct job *job)
{
	a->reason = waiting_reason(job);
	switch (a->reason) {
	case JOB_WAITS_HELD:
		buf_addf(&a->message, "it is held; \"awaitctl release %" PRId64 "\" lets it go",
			 job->id);
		break;
	case JOB_WAITS_NEEDS:
		tell_needs(a, job);
		break;
	case JOB_WAITS_TIME:
	case JOB_WAITS_BACKOFF:
		tell_due(a, job);
		break;
	case JOB_WAITS_PAUSED:
		buf_addf(&a->message,
			 "its queue \"%s\" is paused; \"awaitctl queue resume %s\" lets it go on",
			 job->queue->name, job->queue->name);
		break;
	case JOB_WAITS_SLOT:
	case JOB_NO_REASON:
	case N_JOB_REASONS:
		tell_slot(a, job);
		break;
	}
}

/* ---- running ---- */

static void tell_parts(struct answer *a, const struct job *job)
{
	const struct parts *p = job->links->parts;

	buf_addf(&a->message, ": %zu of its %zu parts have ended", p->n - p->n_live, p->n);
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].job && p->v[i].job->state != JOB_WAITING)
			add_id(a, p->v[i].id);
}

static void tell_running(struct answer *a, const struct job *job)
{
	buf_addf(&a->message, "attempt %" PRIu32 " runs", job->attempt);
	if (job->links && job->links->parts)
		tell_parts(a, job);
}

static void tell_stopping(struct answer *a, const struct job *job)
{
	const struct run *run = job->run;

	buf_adds(&a->message, "it was asked to end");
	if (job->links && job->links->parts) {
		tell_parts(a, job);
		return;
	}
	if (!run || run->grace_end.ns == MONO_NEVER.ns)
		return;
	a->until = now_wall();
	a->until.ms += (run->grace_end.ns - now_mono().ns) / 1000000;
	buf_adds(&a->message, run->grace_end.ns > now_mono().ns
				      ? "; what is left is killed at "
				      : "; what is left is killed since ");
	add_time(&a->message, a->until);
}

static void tell(struct answer *a, const struct store_job *rec, const struct job *job)
{
	if (rec->state == JOB_DONE)
		buf_addf(&a->message, "it is done: %s", job_outcome_name(rec->outcome));
	else if (!job)
		buf_addf(&a->message, "its state is about to change");
	else if (job->state == JOB_WAITING)
		tell_waiting(a, job);
	else if (job->state == JOB_RUNNING)
		tell_running(a, job);
	else
		tell_stopping(a, job);
}

json_t *engine_why(const struct store_job *rec)
{
	const struct job *job = rec->state == JOB_DONE ? NULL : jobtab_find(&engine.tab, rec->id);
	struct answer a = { .waits_for = xjson(json_array()) };
	char until[TIME_TEXT_BYTES];
	json_t *why;

	tell(&a, rec, job);
	if (a.until.ms)
		time_format(a.until.ms, until);
	why = xjson(json_pack("{s:s, s:s?, s:s, s:s?, s:o}", "state",
			      job_state_name(job ? (enum job_state)job->state : rec->state),
			      "reason", job_reason_name(a.reason), "message",
			      buf_terminate(&a.message), "until", a.until.ms ? until : NULL,
			      "waits_for", a.waits_for));
	buf_fini(&a.message);
	return why;
}
