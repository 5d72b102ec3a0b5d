/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/history.h"

void engine_note(struct job *job, enum engine_note note)
{
	if (note == ENGINE_ENDED)
		history_note_end();
	if (!job->links)
		return;
	list_for_each_safe(it, &job->links->watchers) {
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
	list_add_tail(&job_links(job)->watchers, &w->link);
	return true;
}

void engine_unwatch(struct job_watch *w)
{
	list_remove(&w->link);
}

bool engine_is_within(int64_t id, const int64_t *ids, size_t n)
{
	const struct job *job = jobtab_find(&engine.tab, id);

	for (; job; job = job->links ? job->links->parent : NULL)
		for (size_t i = 0; i < n; i++)
			if (ids[i] == job->id)
				return true;
	return false;
}
