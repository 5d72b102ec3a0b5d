/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/runq.h"

#include "daemon/base/list.h"
#include "proto/xalloc.h"

#include <assert.h>
#include <string.h>

struct queue *runq_create(struct runq *q, const char *name, int64_t limit, bool is_paused)
{
	struct queue *queue = xcalloc(1, sizeof(*queue));
	size_t at;

	queue->name = name ? xstrdup(name) : NULL;
	queue->limit = queue->next_limit = limit;
	queue->is_paused = queue->next_is_paused = is_paused;
	q->queues = xreallocarray(q->queues, q->n + 1, sizeof(struct queue *));
	/* By name, behind the nameless one: the same order whenever they were made. */
	for (at = q->n++; at > 1 && strcmp(q->queues[at - 1]->name, name) > 0; at--)
		q->queues[at] = q->queues[at - 1];
	q->queues[at] = queue;
	return queue;
}

void runq_init(struct runq *q)
{
	*q = (struct runq){ 0 };
	runq_create(q, NULL, INT64_MAX, false);
}

void runq_fini(struct runq *q)
{
	for (size_t i = 0; i < q->n; i++) {
		heap_fini(&q->queues[i]->ready);
		free(q->queues[i]->name);
		free(q->queues[i]);
	}
	free(q->queues);
	*q = (struct runq){ 0 };
}

struct queue *runq_slotless(const struct runq *q)
{
	return q->queues[0];
}

struct queue *runq_find(const struct runq *q, const char *name)
{
	for (size_t i = 1; i < q->n; i++)
		if (strcmp(q->queues[i]->name, name) == 0)
			return q->queues[i];
	return NULL;
}

void runq_add(struct job *job)
{
	assert(job->place == JOB_NOWHERE);
	heap_insert(&job->queue->ready, &job->slot, -(int64_t)job->priority, job->id);
	job->place = JOB_IN_QUEUE;
}

void runq_remove(struct job *job)
{
	if (job->place != JOB_IN_QUEUE)
		return;
	heap_remove(&job->queue->ready, &job->slot);
	job->place = JOB_NOWHERE;
}

void runq_occupy(struct job *job)
{
	assert(!job->has_slot);
	job->has_slot = true;
	job->queue->n_running++;
}

void runq_release(struct job *job)
{
	if (!job->has_slot)
		return;
	job->has_slot = false;
	job->queue->n_running--;
}

static struct job *take_from(struct queue *queue)
{
	const struct heap_entry *first = heap_first(&queue->ready);
	struct job *job;

	if (!first || queue->is_paused || queue->n_running >= (uint64_t)queue->limit)
		return NULL;
	job = container_of(first->slot, struct job, slot);
	runq_remove(job);
	runq_occupy(job);
	return job;
}

struct job *runq_take(struct runq *q)
{
	for (size_t i = 0; i < q->n; i++) {
		struct job *job = take_from(q->queues[q->turn]);

		q->turn = (q->turn + 1) % q->n;
		if (job)
			return job;
	}
	return NULL;
}
