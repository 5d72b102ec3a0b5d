/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/await.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/kind.h"
#include "proto/xalloc.h"

/*
 * What attempts of a job left for its next one, when there will be none: it
 * is removed before the end is stored, so that no crash in between can leave
 * it behind.  What there is only the store knows.
 */

struct removal {
	struct store_load load;
	struct offload work;
	struct transition *t; /* takes */
	const struct kind *kind;
};

static void finish(struct removal *r)
{
	struct transition *t = r->t;

	engine_landed();
	store_load_fini(&r->load);
	free(r);
	if (engine.is_over)
		engine_give_up(t);
	else
		engine_settle(t);
}

static void remove_leftover(struct offload *o)
{
	const struct removal *r = container_of(o, struct removal, work);
	const struct leftover left = {
		.id = r->load.id,
		.executor = r->load.executor,
		.handle = r->load.handle,
	};

	r->kind->end_leftover(&left);
}

static void on_removed(struct offload *o)
{
	finish(container_of(o, struct removal, work));
}

static void on_loaded(struct store_op *op)
{
	struct removal *r = container_of(op, struct removal, load.op);

	if (op->result < 0 || !r->load.saved_json) {
		finish(r);
		return;
	}
	r->work = (struct offload){ .work = remove_leftover, .done = on_removed };
	offload_submit(&r->work);
}

bool leftover_may_be(const struct job *job, enum job_outcome outcome)
{
	return job->may_leave && outcome != JOB_SUCCEEDED && kinds[job->kind]->end_leftover;
}

void leftover_remove(struct transition *t)
{
	struct removal *r = xcalloc(1, sizeof(*r));

	r->t = t;
	r->kind = kinds[t->job->kind];
	r->load.op.type = STORE_LOAD;
	r->load.op.done = on_loaded;
	r->load.id = t->job->id;
	engine_fly(&r->load.op);
}
