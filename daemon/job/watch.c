/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

void engine_note(struct job *job, enum engine_note note)
{
	if (!job->watchers)
		return;
	list_for_each_safe(it, job->watchers) {
		struct job_watch *w = container_of(it, struct job_watch, link);

		if (note == ENGINE_ENDED)
			list_remove(&w->link);
		w->fn(w, note);
	}
}

bool engine_watch(int64_t id, struct job_watch *w)
{
	struct job *job = jobtab_find(&engine.tab, id);

	list_init(&w->link);
	if (!job)
		return false;
	if (!job->watchers) {
		job->watchers = xmalloc(sizeof(struct list));
		list_init(job->watchers);
	}
	list_add_tail(job->watchers, &w->link);
	return true;
}

void engine_unwatch(struct job_watch *w)
{
	list_remove(&w->link);
}
