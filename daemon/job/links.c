/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/links.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"

struct links *job_links(struct job *job)
{
	struct links *l = job->links;

	if (l)
		return l;
	l = job->links = xcalloc(1, sizeof(*l));
	l->job = job;
	list_init(&l->dependants);
	list_init(&l->woken);
	list_init(&l->watchers);
	return l;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_needs; i++)
		list_remove(&l->needs[i].link);
	while (list_pop(&l->dependants))
		;
	list_remove(&l->woken);
	parts_free(l->parts);
	free(l->needs);
	free((char *)l->asked.message);
	if (l->failure)
		aw_err_fini(l->failure);
	free(l->failure);
	free(l);
}

/* ---- parts ---- */

struct parts *parts_new(struct job *job)
{
	struct parts *p = xcalloc(1, sizeof(*p));

	p->job = job;
	p->stop.grace_us = -1;
	p->first_failed = p->first_succeeded = STORE_NO_PLACE;
	list_init(&p->link);
	return p;
}

void parts_free(struct parts *p)
{
	if (!p)
		return;
	list_remove(&p->link);
	free(p->v);
	free(p);
}

static struct part *place(struct parts *p, size_t index)
{
	size_t size = p->size ? p->size : 8;

	while (size <= index)
		size *= 2;
	if (size != p->size) {
		p->v = xreallocarray(p->v, size, sizeof(*p->v));
		memset(p->v + p->size, 0, (size - p->size) * sizeof(*p->v));
		p->size = size;
	}
	if (index >= p->n)
		p->n = index + 1;
	return &p->v[index];
}

void parts_add(struct parts *p, size_t index, struct job *job)
{
	struct part *part = place(p, index);

	assert(!part->job);
	*part = (struct part){ .job = job, .id = job->id };
	p->n_live++;
}

void parts_end(struct parts *p, size_t index, int64_t id, enum job_outcome outcome)
{
	struct part *part = place(p, index);

	if (part->job) {
		p->n_live--;
		p->n_open -= index < p->n_turns;
	}
	*part = (struct part){ .id = id, .outcome = outcome, .nth_end = ++p->n_ended };
	if (outcome == JOB_SUCCEEDED) {
		if (p->n_succeeded++ == 0)
			p->first_succeeded = index;
	} else if (p->n_failed++ == 0) {
		p->first_failed = index;
	}
	while (p->n_good < p->n && p->v[p->n_good].outcome == JOB_SUCCEEDED)
		p->n_good++;
}

void parts_give_turns(struct parts *p, size_t n_turns, uint32_t n_ended,
		      void (*fn)(struct job *part))
{
	while (p->n_turns < n_turns && p->n_turns < p->n) {
		const struct part *part = &p->v[p->n_turns++];

		p->n_open += part->job || part->nth_end > n_ended;
		if (!part->job)
			continue;
		part->job->links->has_turn = true;
		fn(part->job);
	}
}

/* ---- needs ---- */

bool need_is_met(enum need_on on, enum job_outcome outcome)
{
	switch (on) {
	case NEED_SUCCESS:
		return outcome == JOB_SUCCEEDED;
	case NEED_FAILURE:
		return outcome != JOB_SUCCEEDED && outcome != JOB_SKIPPED;
	case NEED_DONE:
	case N_NEED_ON:
		break;
	}
	return true;
}
