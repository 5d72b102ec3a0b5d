/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_JOB_H
#define DAEMON_JOB_JOB_H

#include "daemon/base/heap.h"
#include "daemon/base/list.h"
#include "daemon/store/store.h"
#include "proto/names.h"

#include <stdbool.h>
#include <stdint.h>

struct cancel;
struct links;
struct queue;
struct run;

/*
 * A job that is not done, in memory: a small record.  Its document stays in
 * the store until it starts; what a running one needs hangs on ->run.
 */
struct job {
	int64_t id;
	struct queue
		*queue;	 /* never NULL: kinds that take no slot share one without limit or name */
	struct run *run; /* its attempt; NULL while waiting */
	struct links *links;	/* owns; what ties it to others, NULL = nothing, see links.h */
	struct cancel *cancels; /* cancels that wait for a change in flight */
	char *spec; /* owns; a timer's document from the submit until its start, else NULL */
	struct instant due;
	struct heap_slot slot; /* in the calendar or in its run queue, see place */
	uint32_t attempt;
	uint32_t spec_bytes; /* of its document, as quota.c counts it */
	uid_t uid;
	int16_t priority;
	uint8_t kind;	   /* enum job_kind */
	uint8_t state;	   /* enum job_state, as committed; only engine.c writes it */
	uint8_t place;	   /* enum job_place: which heap ->slot belongs to */
	bool is_in_flight; /* a change is on its way to the store */
	bool has_slot;	   /* counts as running in its queue */
	/* the store says something else than we: gone but for a coroutine that ends */
	bool is_let_go;
	bool is_counted; /* among what its owner has, see quota.h */
	/* attempts in a row that were lost soon after their start, in this life of the daemon */
	uint8_t n_losses;
	bool is_held;
	bool may_leave;	  /* an attempt may have left something for the next one */
	bool wants_scope; /* other jobs' results are looked up before it starts */
	bool is_settled;  /* its end is on its way to the store, or stored: outcome holds */
	uint8_t outcome;  /* enum job_outcome, when settled */
};

/* Where a job's heap slot is. */
enum job_place {
	JOB_NOWHERE,
	JOB_IN_CALENDAR,
	JOB_IN_QUEUE,
};

/* May a job go from @from to @to at all? */
bool job_state_may(enum job_state from, enum job_state to);

/* Edit: hold, release, update. */
enum job_verb { JOB_VERB_CANCEL, JOB_VERB_EDIT, JOB_VERB_RETRY, JOB_VERB_REMOVE, N_JOB_VERBS };
/* May @verb be asked of a job in @state? */
bool job_verb_may(enum job_verb verb, enum job_state state);

#endif
