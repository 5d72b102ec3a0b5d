/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_RUNQ_H
#define DAEMON_JOB_RUNQ_H

#include "daemon/base/heap.h"
#include "daemon/job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who runs next.  Pure.  A queue has a limit on how many of its jobs run at
 * once and a paused flag; its ready jobs come out by priority, then in the
 * order of submission (ids rise).
 */
struct queue {
	char *name; /* owns; NULL for the one of kinds that take no slot */
	int64_t limit;
	bool is_paused;
	int64_t next_limit; /* what they will be when the changes under way are stored */
	bool next_is_paused;
	uint64_t n_running;
	uint64_t n_waiting; /* all that wait, for a time or for a slot */
	struct heap ready;
};

struct runq {
	struct queue **queues; /* owns; [0] is the nameless one */
	size_t n;
	size_t turn; /* whose turn it is, so that a busy queue does not starve the next */
};

void runq_init(struct runq *q);
void runq_fini(struct runq *q);
struct queue *runq_slotless(const struct runq *q);
struct queue *runq_find(const struct runq *q, const char *name);
struct queue *runq_create(struct runq *q, const char *name, int64_t limit, bool is_paused);

/* @job (of queue job->queue) could start now. Its slot is free. */
void runq_add(struct job *job);
/* No-op when it is not ready. */
void runq_remove(struct job *job);
/* The next job that may start, which takes a slot of its queue; NULL if none may. */
struct job *runq_take(struct runq *q);
/* Give the slot back; a second time is harmless. */
void runq_release(struct job *job);
/* A restart found @job running: it has a slot whatever the limit says now. */
void runq_occupy(struct job *job);

#endif
