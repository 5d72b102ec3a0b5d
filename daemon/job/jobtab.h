/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_JOBTAB_H
#define DAEMON_JOB_JOBTAB_H

#include "daemon/job/job.h"

#include <stddef.h>

/* id -> job, for the jobs that are not done.  Open addressing; the jobs are borrowed. */
struct jobtab {
	struct job **cells; /* owns */
	size_t n, size;	    /* size: a power of two, or 0 */
};

void jobtab_fini(struct jobtab *t);
void jobtab_add(struct jobtab *t, struct job *job); /* its id is not in there yet */
struct job *jobtab_find(const struct jobtab *t, int64_t id);
void jobtab_remove(struct jobtab *t, const struct job *job);
/*
 * Walk: the first job at or after cell *at, which moves behind it; NULL at the end. No
 * changes meanwhile.
 */
struct job *jobtab_next(const struct jobtab *t, size_t *at);

#endif
