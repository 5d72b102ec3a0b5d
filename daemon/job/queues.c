/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

/* Queues as people see and change them; a change is durable before it holds. */

struct queue_change {
	struct store_queue set;
	char *name;
	void (*done)(void *arg, int result);
	void *arg;
};

size_t engine_n_queues(void)
{
	return engine.runq.n - 1;
}

static void view_queue(const struct queue *queue, struct queue_view *ret)
{
	*ret = (struct queue_view){
		.name = queue->name,
		.limit = queue->limit,
		.is_paused = queue->is_paused,
		.n_running = queue->n_running,
		.n_waiting = queue->n_waiting,
	};
}

void engine_queue(size_t i, struct queue_view *ret)
{
	view_queue(engine.runq.queues[i + 1], ret);
}

bool engine_queue_find(const char *name, struct queue_view *ret)
{
	const struct queue *queue = runq_find(&engine.runq, name);

	if (queue)
		view_queue(queue, ret);
	return queue != NULL;
}

static void on_queue_set(struct store_op *op)
{
	struct queue_change *c = container_of(op, struct queue_change, set.op);
	struct queue *queue = runq_find(&engine.runq, c->name);

	engine_landed();
	if (op->result == 0 && !queue) {
		runq_create(&engine.runq, c->name, c->set.limit, c->set.is_paused);
	} else if (op->result == 0) {
		queue->limit = c->set.limit;
		queue->is_paused = c->set.is_paused;
	}
	engine_wants_step();
	if (c->done)
		c->done(c->arg, op->result);
	free(c->name);
	free(c);
}

void engine_queue_set(const char *name, int64_t limit, int paused,
		      void (*done)(void *arg, int result), void *arg)
{
	struct queue *queue = runq_find(&engine.runq, name);
	struct queue_change *c = xcalloc(1, sizeof(*c));

	c->name = xstrdup(name);
	c->done = done;
	c->arg = arg;
	c->set = (struct store_queue){
		.op = { .type = STORE_QUEUE, .done = on_queue_set },
		.name = c->name,
		.limit = limit >= 0 ? limit : (queue ? queue->next_limit : 1),
		.is_paused = paused >= 0 ? paused : (queue && queue->next_is_paused),
	};
	if (queue) {
		queue->next_limit = c->set.limit;
		queue->next_is_paused = c->set.is_paused;
	}
	engine_fly(&c->set.op);
}

void queues_ensure(const char *name, int64_t limit)
{
	if (runq_find(&engine.runq, name))
		return;
	runq_create(&engine.runq, name, limit, false);
	engine_queue_set(name, limit, 0, NULL, NULL);
}
