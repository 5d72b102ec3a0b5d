/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_ENGINE_INT_H
#define DAEMON_JOB_ENGINE_INT_H

#include "daemon/co/coro.h"
#include "daemon/job/calendar.h"
#include "daemon/job/engine.h"
#include "daemon/job/jobtab.h"
#include "daemon/job/runq.h"

/* What engine.c, attempt.c, recover.c and view.c share; nobody else includes it. */

/* An attempt that is cut off this soon after its start counts as a quick loss (R2.5). */
#define QUICK_LOSS_MS 10000

struct engine {
	struct store *store;
	struct jobtab tab;
	struct calendar calendar;
	struct runq runq;
	struct loop_task step;
	size_t n_in_flight; /* requests of ours under way in the store */
	size_t n_coros;	    /* attempts on a coroutine */
	size_t n_by_state[N_JOB_STATES];
	uint64_t n_started, n_ended;
	size_t n_cuttable; /* attempts of kinds that a stop of the daemon cuts off */
	bool is_stopping, is_draining, is_cut, is_over;
	void (*stopped)(void);
	struct loop_timer full_timer; /* looks again whether a stop waits for a full disk */
};
extern struct engine engine;

/* The engine's side of an attempt. */
struct run {
	struct attempt a;
	struct job *job;
	const struct kind *kind;
	/* owns; the document's text, kept while a due-kind waits without a parsed one */
	char *spec;
	size_t spec_len;
	json_t *saved; /* owns; NULL = none */
	bool has_doc;
	bool is_cuttable; /* counts in engine.n_cuttable */
	bool is_adopted;  /* goes on after a restart of the daemon */
	struct coro *coro;
	struct loop_timer timeout;
	/* being stopped */
	enum stop_why why;
	uid_t by_uid;
	char *message;	  /* owns, may be NULL */
	int64_t grace_us; /* asked for with the cancel; -1 = the document's */
	struct mono grace_end;
	bool is_cut;	   /* by an orderly stop of the daemon */
	bool is_delivered; /* what runs has been told */
	/* over */
	bool is_end_seen; /* co_run has not returned yet, but cannot be stopped any more */
	bool is_over;
	bool has_run; /* co_run was entered */
	int co_result;
	struct aw_err *err; /* owns; NULL until there is a reason, see run_err() */
	json_t *result;	    /* owns; NULL = null */
	struct instant ended;
};

/* ---- engine.c ---- */
struct instant engine_now(void);
struct instant instant_add_us(struct instant t, int64_t us);
struct job *engine_add_job(int64_t id, enum job_kind kind, const char *queue, int priority,
			   uid_t uid);
/* Put a waiting job where it waits: into the calendar, or among those ready to start. */
void engine_admit(struct job *job);
/* A restart found @job in @state: it is there again, with its slot. */
void engine_restore(struct job *job, enum job_state state);
/* Something about @job has changed: do what follows from it, unless a change is in flight. */
void engine_decide(struct job *job);
void engine_wants_step(void);
/*
 * The attempt of @job was cut off: on_lost decides.  @n_losses: quick losses before this one
 * (0 for an orderly stop).
 */
void engine_cut_off(struct job *job, unsigned n_losses);
/* The attempt of a job that was let go has ended: free what is left of it. */
void engine_free_job(struct job *job);
/* A request of ours goes to the store; paired with engine_landed() in its done(). */
void engine_fly(struct store_op *op);
void engine_landed(void);

/* ---- cancel.c ---- */
/* Answer a chain of cancels: it is durable; the job is done already; it cannot be stored. */
void engine_answer_cancels(struct cancel *c);
void engine_refuse_cancels(struct cancel *c, enum job_outcome outcome);
void engine_fail_cancels(struct cancel *c, enum aw_code code, const char *message);

/* ---- watch.c ---- */
/* Tell those who watch @job. */
void engine_note(struct job *job, enum engine_note note);

/* ---- attempt.c ---- */
/*
 * A new run for @job.  Takes @spec and @saved.  If the document cannot be
 * executed (damaged), it is over already, with the reason.
 */
struct run *run_new(struct job *job, uint32_t attempt, struct instant started, char *spec,
		    size_t spec_len, bool is_damaged, json_t *saved);
void run_free(struct run *run);
/* Begin, or go on after a restart: a coroutine now, or the calendar until it is due. */
void run_go(struct run *run);
/* The calendar says its instant has come. */
void run_due(struct run *run);
/* Deliver the stop to what runs; it ends through engine_decide(). */
void run_stop(struct run *run, int64_t grace_us);
/*
 * The place for the reason why it failed, made on first use: a run that only sleeps does
 * without.
 */
struct aw_err *run_err(struct run *run);
/* End it where it stands, without having run: @result is what co_run would have returned. */
void run_over(struct run *run, int result);

/* ---- recover.c ---- */
void recover_job(struct job *job);

#endif
