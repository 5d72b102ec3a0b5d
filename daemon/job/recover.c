/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/conf.h"
#include "daemon/co/await.h"
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
	struct offload leftover;
	struct job *job;
};

static void decide_lost(struct recovery *r)
{
	struct job *job = r->job;
	struct run *run = job->run;
	int64_t ran_ms = now_wall().ms - r->load.started.wall.ms;

	job->is_in_flight = false;
	if (run->is_over) {
		engine_decide(job);
	} else if (job->state == JOB_STOPPING || run->why != STOP_NONE) {
		run_over(run, -ECANCELED);
		engine_decide(job);
	} else {
		run_over(run, -ECANCELED);
		engine_cut_off(job, ran_ms < QUICK_LOSS_MS ? r->load.n_losses : 0);
	}
	store_load_fini(&r->load);
	free(r);
}

static void end_leftover(struct offload *o)
{
	struct recovery *r = container_of(o, struct recovery, leftover);

	kinds[r->job->kind]->end_leftover(r->load.executor, r->load.handle);
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

static void on_loaded(struct store_op *op)
{
	struct recovery *r = container_of(op, struct recovery, load.op);
	struct job *job = r->job;
	struct store_load *l = &r->load;
	json_t *saved = l->saved_json ? json_loads(l->saved_json, JSON_DECODE_ANY, NULL) : NULL;
	struct run *run;

	engine_landed();
	run = run_new(job, job->attempt, l->started, l->spec, l->spec_len,
		      op->result < 0 || l->damaged, saved);
	l->spec = NULL;
	if (job->state == JOB_STOPPING)
		restore_stop(run, l);
	else if (!run->is_over && run->kind->adopt && run->kind->adopt(&run->a, saved)) {
		run->is_adopted = true;
		job->is_in_flight = false;
		run_go(run);
		engine_decide(job);
		store_load_fini(l);
		free(r);
		return;
	}
	if (run->kind && run->kind->end_leftover && l->handle) {
		engine.n_in_flight++;
		r->leftover.work = end_leftover;
		r->leftover.done = on_leftover_ended;
		offload_submit(&r->leftover);
		return;
	}
	decide_lost(r);
}

void recover_job(struct job *job)
{
	struct recovery *r = xcalloc(1, sizeof(*r));

	r->job = job;
	r->load.op.type = STORE_LOAD;
	r->load.op.done = on_loaded;
	r->load.id = job->id;
	/* Whatever arrives for it meanwhile waits until we know what became of it. */
	job->is_in_flight = true;
	engine_fly(&r->load.op);
}

static void load_job(void *arg, const struct store_live *rec)
{
	struct job *job = engine_add_job(rec->id, rec->kind, rec->queue, rec->priority, rec->uid);

	(void)arg;
	job->attempt = rec->attempt;
	job->due = rec->due;
	if (rec->state == JOB_WAITING) {
		engine_admit(job);
	} else {
		engine_restore(job, rec->state);
		recover_job(job);
	}
}

static void load_queue(void *arg, const char *name, int64_t limit, bool is_paused)
{
	(void)arg;
	runq_create(&engine.runq, name, limit, is_paused);
}

static void ensure_queue(const char *name, int64_t limit)
{
	if (runq_find(&engine.runq, name))
		return;
	runq_create(&engine.runq, name, limit, false);
	engine_queue_set(name, limit, 0, NULL, NULL);
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
	int r = store_each_queue(engine.store, load_queue, NULL);

	if (r < 0)
		return r;
	ensure_queue("fetch", conf->fetch_limit);
	ensure_queue("worker", conf->worker_limit);
	r = store_each_live(engine.store, load_job, NULL);
	if (r == 0)
		r = charge_all();
	if (r < 0)
		return r;
	if (engine.tab.n)
		log_info("%zu unfinished jobs, %zu of them were running", engine.tab.n,
			 engine.n_by_state[JOB_RUNNING] + engine.n_by_state[JOB_STOPPING]);
	return 0;
}
