/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/calendar.h"

#include "daemon/base/list.h"

void calendar_fini(struct calendar *c)
{
	heap_fini(&c->boot);
	heap_fini(&c->wall);
}

void calendar_add(struct calendar *c, struct job *job, struct instant when)
{
	if (when.boot.ns) {
		heap_insert(&c->boot, &job->slot, when.boot.ns, job->id);
		job->place = JOB_IN_CALENDAR_BOOT;
	} else {
		heap_insert(&c->wall, &job->slot, when.wall.ms, job->id);
		job->place = JOB_IN_CALENDAR_WALL;
	}
}

void calendar_remove(struct calendar *c, struct job *job)
{
	if (job->place == JOB_IN_CALENDAR_BOOT)
		heap_remove(&c->boot, &job->slot);
	else if (job->place == JOB_IN_CALENDAR_WALL)
		heap_remove(&c->wall, &job->slot);
	else
		return;
	job->place = JOB_NOWHERE;
}

static struct job *pop_until(struct heap *h, int64_t key)
{
	const struct heap_entry *first = heap_first(h);
	struct job *job;

	if (!first || first->key > key)
		return NULL;
	job = container_of(first->slot, struct job, slot);
	heap_remove(h, &job->slot);
	job->place = JOB_NOWHERE;
	return job;
}

struct job *calendar_pop_due(struct calendar *c, struct boot boot, struct wall wall)
{
	struct job *job = pop_until(&c->boot, boot.ns);

	return job ? job : pop_until(&c->wall, wall.ms);
}

struct calendar_next calendar_next(const struct calendar *c)
{
	const struct heap_entry *boot = heap_first(&c->boot), *wall = heap_first(&c->wall);

	return (struct calendar_next){
		.boot = { boot ? boot->key : INT64_MAX },
		.wall = { wall ? wall->key : INT64_MAX },
	};
}
