/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/conf.h"
#include "daemon/co/await.h"
#include "daemon/job/alive.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/quota.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <string.h>

/*
 * After a restart: waiting jobs wait on, attempts that can go on do, and of
 * those that were cut off first the leftovers are ended, then on_lost (or
 * the stop that was asked for) decides.
 */

struct recovery {
	struct store_load load;
	struct store_scope scope;
	struct offload leftover;
	struct job *job;
};

static void recovery_free(struct recovery *r)
{
	store_load_fini(&r->load);
	store_scope_fini(&r->scope);
	free(r);
}

static void decide_lost(struct recovery *r)
{
	struct job *job = r->job;
	struct run *run = job->run;
	int64_t started_ms = r->load.started.wall.ms;
	/* Not to the restart, which may be much later: then a job could crash us for ever. */
	int64_t alive_ms = alive_last().ms > started_ms ? alive_last().ms : started_ms;
	bool is_quick;

	job->is_in_flight = false;
	if (run->is_over) {
		engine_decide(job);
	} else if (job->state == JOB_STOPPING || run->why != STOP_NONE) {
		run_over(run, -ECANCELED);
		engine_decide(job);
	} else {
		run_over(run, -ECANCELED);
		run->alive.ms = alive_ms;
		is_quick = alive_ms - started_ms < conf->crash_loop_us / 1000;
		ending_cut_off(job, is_quick ? r->load.n_losses : 0);
	}
	recovery_free(r);
}

static void end_leftover(struct offload *o)
{
	struct recovery *r = container_of(o, struct recovery, leftover);

	const struct leftover left = {
		.id = r->load.id,
		.executor = r->load.executor,
		.handle = r->load.handle,
		.is_followed = r->job->run->saved != NULL,
	};

	kinds[r->job->kind]->end_leftover(&left);
}

static void on_leftover_ended(struct offload *o)
{
	struct recovery *r = container_of(o, struct recovery, leftover);

	engine_landed();
	decide_lost(r);
}

static void restore_stop(struct run *run, struct store_load *l)
{
	run->why = l->why;
	run->by_uid = l->by_uid;
	run->message = l->message;
	l->message = NULL;
}

/* The same attempt goes on. */
static void go_on(struct recovery *r)
{
	struct job *job = r->job;
	struct run *run = job->run;

	run->is_adopted = true;
	job->is_in_flight = false;
	run_go(run);
	if (job->state == JOB_STOPPING)
		engine_deliver_stop(run);
	engine_decide(job);
	recovery_free(r);
}

static bool can_go_on(struct run *run)
{
	if (run->is_over || !run->kind->adopt)
		return false;
	/* What was being stopped is over with the old daemon, unless it is its parts that stop. */
	if (run->job->state == JOB_STOPPING && !run->kind->judge)
		return false;
	return run->kind->adopt(&run->a, run->saved);
}

/* What was replaced at its start is replaced again: results do not change any more. */
static void resolve(struct recovery *r)
{
	struct store_load *l = &r->load;
	struct aw_err err = { 0 };
	char *spec;

	if (!r->scope.spec)
		return;
	spec = prepare_resolve(&r->scope, &err);
	aw_err_fini(&err);
	if (!spec)
		return; /* as it stands, then */
	free(l->spec);
	l->spec = spec;
	l->spec_len = strlen(spec);
}

static void decide(struct recovery *r)
{
	struct job *job = r->job;
	struct store_load *l = &r->load;
	struct run *run;

	resolve(r);
	run = run_new(job, job->attempt, l->started, l->spec, l->spec_len,
		      l->op.result < 0 || l->damaged, l->saved_json);
	l->spec = NULL;
	if (job->state == JOB_STOPPING)
		restore_stop(run, l);
	if (can_go_on(run)) {
		go_on(r);
		return;
	}
	/* What was saved stays for the next attempt; if there is none, the end removes it. */
	if (run->kind && run->kind->end_leftover && l->handle) {
		engine.n_in_flight++;
		r->leftover.work = end_leftover;
		r->leftover.done = on_leftover_ended;
		offload_submit(&r->leftover);
		return;
	}
	decide_lost(r);
}

static void on_scope(struct store_op *op)
{
	engine_landed();
	decide(container_of(op, struct recovery, scope.op));
}

static void on_loaded(struct store_op *op)
{
	struct recovery *r = container_of(op, struct recovery, load.op);

	engine_landed();
	if (!r->job->wants_scope) {
		decide(r);
		return;
	}
	r->scope.op.type = STORE_SCOPE;
	r->scope.op.done = on_scope;
	r->scope.id = r->job->id;
	engine_fly(&r->scope.op);
}

static void recover_job(struct job *job)
{
	struct recovery *r = xcalloc(1, sizeof(*r));

	r->job = job;
	r->load.op.type = STORE_LOAD;
	r->load.quick_ms = conf->crash_loop_us / 1000;
	r->load.op.done = on_loaded;
	r->load.id = job->id;
	/* Whatever arrives for it meanwhile waits until we know what became of it. */
	job->is_in_flight = true;
	engine_fly(&r->load.op);
}

/* ---- reading the store ---- */

/* Jobs are looked at when all of them are known. */
struct loading {
	struct job **jobs; /* owns; by rising id */
	size_t n, size;
	struct store_need *needs; /* owns; of one job, as they come */
	enum job_outcome *outcomes;
	size_t n_needs, needs_size;
	struct job *needs_job;
};

static void keep_job(struct loading *l, struct job *job)
{
	if (l->n == l->size) {
		l->size = l->size ? 2 * l->size : 64;
		l->jobs = xreallocarray(l->jobs, l->size, sizeof(struct job *));
	}
	l->jobs[l->n++] = job;
}

/* A part whose composition has ended, or is not there: nothing may start it. */
static void ask_orphan(struct job *job)
{
	job_links(job)->asked = (struct stop_order){
		.why = STOP_PARENT,
		.by_uid = job->uid,
		.message = xstrdup("it is not there any more"),
		.grace_us = -1,
	};
}

static void load_job(void *arg, const struct store_live *rec)
{
	struct loading *l = arg;
	struct job *job = engine_add_job(rec->id, rec->kind, rec->queue, rec->priority, rec->uid);
	/* A parent has a lower id than its parts. */
	struct job *parent = rec->parent ? jobtab_find(&engine.tab, rec->parent) : NULL;

	job->attempt = rec->attempt;
	job->due = rec->due;
	job->is_held = rec->is_held;
	job->wants_scope = rec->has_refs;
	job->may_leave = rec->attempt > 0;
	if (rec->tries)
		job_links(job)->tries = rec->tries;
	if (parent) {
		tree_join(job, parent, rec->part);
		/* Parts that live are of the attempt that runs, or is to come. */
		parent->links->parts->run_of = parent->attempt + (parent->state == JOB_WAITING);
	} else if (rec->parent) {
		ask_orphan(job);
	}
	if (rec->state != JOB_WAITING)
		engine_restore(job, rec->state);
	keep_job(l, job);
}

static void flush_needs(struct loading *l)
{
	if (l->needs_job)
		needs_set(l->needs_job, l->needs, l->n_needs, l->outcomes);
	l->needs_job = NULL;
	l->n_needs = 0;
}

static void load_need(void *arg, int64_t id, int64_t on_job, enum need_on on,
		      enum job_outcome outcome)
{
	struct loading *l = arg;
	struct job *job = jobtab_find(&engine.tab, id);

	if (job != l->needs_job)
		flush_needs(l);
	/* One that has started waits no more. */
	if (!job || job->state != JOB_WAITING)
		return;
	if (l->n_needs == l->needs_size) {
		l->needs_size = l->needs_size ? 2 * l->needs_size : 8;
		l->needs = xreallocarray(l->needs, l->needs_size, sizeof(*l->needs));
		l->outcomes = xreallocarray(l->outcomes, l->needs_size, sizeof(*l->outcomes));
	}
	l->needs_job = job;
	l->needs[l->n_needs] = (struct store_need){ .job = on_job, .on = on };
	l->outcomes[l->n_needs++] = outcome;
}

static void load_ended_part(void *arg, const struct store_ended_part *part)
{
	struct job *job = jobtab_find(&engine.tab, part->parent);
	struct links *l = job ? job_links(job) : NULL;

	(void)arg;
	if (!l)
		return;
	if (!l->parts)
		l->parts = parts_new(job);
	l->parts->run_of = part->run_of;
	l->parts->n_ended_first += !part->is_late;
	parts_end(l->parts, part->part, part->id, part->outcome);
}

static void load_deadline(void *arg, int64_t id, struct instant deadline)
{
	struct job *job = jobtab_find(&engine.tab, id);

	(void)arg;
	if (job)
		engine_set_deadline(job, deadline);
}

static void load_asked(void *arg, int64_t id, enum stop_why why, uid_t by_uid, const char *message)
{
	struct job *job = jobtab_find(&engine.tab, id);

	(void)arg;
	if (job && job->state == JOB_WAITING)
		job_links(job)->asked = (struct stop_order){
			.why = why,
			.by_uid = by_uid,
			.message = message ? xstrdup(message) : NULL,
			.grace_us = -1,
		};
}

static int load_all(struct loading *l)
{
	int r = store_each_live(engine.store, load_job, l);

	if (r == 0)
		r = store_each_ended_part(engine.store, load_ended_part, l);
	if (r == 0)
		r = store_each_need(engine.store, load_need, l);
	flush_needs(l);
	if (r == 0)
		r = store_each_deadline(engine.store, load_deadline, l);
	if (r == 0)
		r = store_each_asked(engine.store, load_asked, l);
	for (size_t i = 0; i < l->n && r == 0; i++) {
		if (l->jobs[i]->state == JOB_WAITING)
			engine_decide(l->jobs[i]);
		else
			recover_job(l->jobs[i]);
	}
	return r;
}

static void load_queue(void *arg, const char *name, int64_t limit, bool is_paused)
{
	(void)arg;
	runq_create(&engine.runq, name, limit, is_paused);
}

/* Charge every job, and its document where that is asked for: reading their sizes takes time. */
static void charge_document(void *arg, int64_t id, size_t n_bytes)
{
	struct job *job = jobtab_find(&engine.tab, id);

	(void)arg;
	if (job)
		quota_charge(job, n_bytes);
}

static int charge_all(void)
{
	struct job *job;
	size_t at = 0;
	int r = 0;

	if (conf->is_system || conf->quota_bytes)
		r = store_each_doc_size(engine.store, charge_document, NULL);
	while ((job = jobtab_next(&engine.tab, &at)))
		if (!job->is_counted)
			quota_charge(job, 0);
	return r;
}

int engine_load(void)
{
	struct loading l = { 0 };
	int r = store_each_queue(engine.store, load_queue, NULL);

	if (r < 0)
		return r;
	queues_ensure("fetch", conf->fetch_limit);
	queues_ensure("worker", conf->worker_limit);
	r = load_all(&l);
	free(l.jobs);
	free(l.needs);
	free(l.outcomes);
	if (r == 0)
		r = charge_all();
	if (r < 0)
		return r;
	if (engine.tab.n)
		log_info("%zu unfinished jobs, %zu of them were running", engine.tab.n,
			 engine.n_by_state[JOB_RUNNING] + engine.n_by_state[JOB_STOPPING]);
	return 0;
}
