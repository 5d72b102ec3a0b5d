/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_LINKS_H
#define DAEMON_JOB_LINKS_H

#include "daemon/base/heap.h"
#include "daemon/base/list.h"
#include "daemon/job/job.h"

/*
 * What ties a job to others, to a deadline, or to people who look at it.  Most
 * jobs have nothing of it and pay a pointer.
 */

/* One thing that a job waits for: the end of another one. */
struct need {
	struct list link; /* among the dependants of the job it names; alone when it is settled */
	struct job *job;  /* who waits */
	int64_t on_job;
	enum need_on on;
	bool is_met;
};

/* A part as its composition sees it. */
struct part {
	struct job *job; /* NULL = it has ended (or its end is on its way to the store) */
	int64_t id;
	enum job_outcome outcome; /* when it has ended */
	uint32_t nth_end;	  /* ... and as which of them, from 1 */
};

/* Why jobs are asked to stop. */
struct stop_order {
	enum stop_why why;
	uid_t by_uid;
	const char *message; /* owned by whoever keeps it; NULL = none */
	int64_t grace_us;    /* -1 = the job's own */
	bool is_skip;	     /* they never had their turn, and end as skipped */
};
/* The shorter of two graces, either of which may be -1, the job's own. */
static inline int64_t stop_grace_us(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* The parts of a composition: those of its current attempt. */
struct parts {
	struct part *v; /* owns; n of them, by index */
	size_t n, size;
	uint32_t run_of; /* of which attempt of the composition they are */
	size_t n_live;
	size_t n_turns; /* the first so many may start */
	size_t n_open;	/* of those the ones that live */
	uint32_t n_ended;
	uint32_t n_ended_first; /* after a restart: so many had when it was asked to stop */
	size_t n_failed, n_succeeded;
	size_t first_failed, first_succeeded; /* in time; STORE_NO_PLACE = none yet */
	size_t n_good;			      /* so many succeeded, without a gap from the first */
	/* what the live ones are told, in bounded steps; STOP_NONE = they are not to stop */
	struct stop_order stop;
	size_t next_stop; /* those before it have been told */
	struct list link; /* among the compositions that have parts to tell */
	struct job *job;  /* whose they are */
};

struct links {
	/* a part */
	struct job *parent; /* NULL = none */
	unsigned part;
	bool has_turn, is_shielded;
	/* a composition */
	struct parts *parts; /* owns */
	/* a job that waits for others */
	struct need *needs; /* owns */
	size_t n_needs, n_unmet;
	struct need *never;	/* one that can never be met; NULL = none */
	struct list dependants; /* needs of others on this one */
	struct list woken;	/* among those to look at */
	struct heap_slot deadline;
	struct job *job; /* whose they are */
	/* retries that are used up */
	uint32_t tries;
	/* asked to stop, whatever its state; run takes it over */
	struct stop_order asked; /* owns asked.message */
	bool is_overdue;	 /* its deadline has passed, whatever it was asked before */
	struct aw_err *failure; /* owns; why it fails without an attempt, when its parts are gone */
	/* people */
	struct list watchers;
	struct job_edit *edits;
};

/* Made on first use. */
struct links *job_links(struct job *job);
void links_free(struct links *l); /* takes NULL */

struct parts *parts_new(struct job *job);
void parts_free(struct parts *p); /* takes NULL */
static inline bool parts_are_stopping(const struct parts *p)
{
	return p->stop.why != STOP_NONE;
}
/* Part @index of @p.  The array grows; a place in between is one that is not known yet. */
void parts_add(struct parts *p, size_t index, struct job *part);
/* Part @index has ended: what was counted for it as live no longer is. */
void parts_end(struct parts *p, size_t index, int64_t id, enum job_outcome outcome);
/*
 * Let the first @n_turns start; fn for each that lives and could not before.
 * Those that were not among the first @n_ended to end count as open still.
 */
void parts_give_turns(struct parts *p, size_t n_turns, uint32_t n_ended,
		      void (*fn)(struct job *part));

/* Does @outcome meet a need for @on? */
bool need_is_met(enum need_on on, enum job_outcome outcome);

#endif
