/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_ENGINE_INT_H
#define DAEMON_JOB_ENGINE_INT_H

#include "daemon/co/coro.h"
#include "daemon/job/calendar.h"
#include "daemon/job/engine.h"
#include "daemon/job/jobtab.h"
#include "daemon/job/links.h"
#include "daemon/job/runq.h"

/* What the engine's files share; nobody else includes it. */

struct engine {
	struct store *store;
	struct jobtab tab;
	struct calendar calendar;
	struct calendar deadlines;
	struct runq runq;
	struct list woken; /* links of jobs whose needs have changed, to look at in the step */
	struct list
		stopping; /* parts of compositions that have some to tell that they are to stop */
	const struct engine_listener *listener; /* NULL = nobody */
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
	json_t *saved;	     /* owns; NULL = none */
	char *results;	     /* owns; what it may see of other jobs, NULL = nothing */
	struct note *handle; /* owns; on its way to the store; NULL = none, or it was waited for */
	bool has_begun;	     /* a composition that may judge its parts */
	bool has_doc;
	bool is_cuttable; /* by a stop or a crash of the daemon; counts in engine.n_cuttable */
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
	struct aw_err *err;	/* owns; NULL until there is a reason, see run_err() */
	json_t *result;		/* owns; NULL = null */
	struct verdict verdict; /* of a composition that is over */
	struct instant ended;
	struct wall alive; /* cut off by a crash: the last sign of life; 0 = it was not */
};

/* A change of state on its way to the store. */
struct transition {
	struct store_change change;
	struct job *job;
	struct cancel *cancels; /* answered when this is durable */
	char *result, *error;	/* own */
	/* of a start whose references were replaced; own, NULL = none */
	char *spec, *results;
};

/* ---- engine.c ---- */
struct job *engine_add_job(int64_t id, enum job_kind kind, const char *queue, int priority,
			   uid_t uid);
/* Its whole life's limit; an empty instant is none. */
void engine_set_deadline(struct job *job, struct instant deadline);
/* A restart found @job in @state: it is there again, with its slot. */
void engine_restore(struct job *job, enum job_state state);
/* Something about @job has changed: do what follows from it, unless a change is in flight. */
void engine_decide(struct job *job);
void engine_wants_step(void);
/* The attempt of a job that was let go has ended: free what is left of it. */
void engine_free_job(struct job *job);
/* A request of ours goes to the store; paired with engine_landed() in its done(). */
void engine_fly(struct store_op *op);
void engine_landed(void);
/* A new change of @job, and the door through which every one goes. */
struct transition *transition_new(struct job *job, enum job_state to);
void engine_transition(struct transition *t);
/* The second half of that for an end, when nothing is left of earlier attempts. */
void engine_settle(struct transition *t);
/* It will not be stored: the next start decides anew from what is.  Takes @t. */
void engine_give_up(struct transition *t);
/*
 * Start @job, which waits and has its slot; @spec and @results are taken (NULL = the stored
 * document is as it is to be run).
 */
void engine_start(struct job *job, char *spec, char *results);
/* Tell what runs of @job's attempt that it is to stop, as run->why says. */
void engine_deliver_stop(struct run *run);
/* Tell the listener. */
void engine_happened(int64_t seq);

/* ---- waiting.c ---- */
/*
 * Put a waiting job where it waits: into the calendar, among those ready to
 * start, or nowhere while it waits for something else.  Harmless when it is there already.
 */
void waiting_place(struct job *job);
void waiting_take_out(struct job *job);
/* Will it end without an attempt, when its parts have, whoever asks for what from now on? */
bool waiting_is_over(const struct job *job);
/* Do what is to be done about a job that waits and of which nothing is in flight. */
void waiting_decide(struct job *job);
/*
 * It cannot start, with @err (moved): it fails without an attempt, a composition when its parts
 * have ended as skipped.
 */
void waiting_fail(struct job *job, struct aw_err *err);
enum job_reason waiting_reason(const struct job *job);

/* ---- prepare.c ---- */
/* Has something to be looked up or made before @job can start? */
bool prepare_is_needed(const struct job *job);
void prepare_begin(struct job *job);
/*
 * The document with the results that @scope has in place of its references: text, to
 * free.  NULL with the reason in @err.
 */
char *prepare_resolve(const struct store_scope *scope, struct aw_err *err);

/* ---- ending.c ---- */
/* What was asked of an attempt that is to stop. */
void ending_take_asked(struct run *run);
/* Has anybody asked for that, stored or not? */
bool ending_is_asked(const struct run *run);
/* Fill @err with why a job that was asked to stop ends so; what that is. */
enum job_outcome ending_of_stop(const struct job *job, const struct stop_order *order,
				struct aw_err *err);
/* Would the job be tried again if its attempt ended now, as run->why says? */
bool ending_is_retried(struct run *run);
/* Is another attempt to be expected if co_run ended now, with @result and the run's error? */
bool ending_is_followed(struct run *run, int result);
/* The attempt is over: end the job, or let it wait for the next attempt. */
void ending_finish(struct job *job);
/*
 * The attempt of @job was cut off: on_lost decides.  @n_losses: quick losses before this one
 * (0 for an orderly stop).
 */
void ending_cut_off(struct job *job, unsigned n_losses);
char *ending_error_text(const struct aw_err *err);

/* ---- leftover.c ---- */
/* Is there something to remove before @job can end with @outcome? */
bool leftover_may_be(const struct job *job, enum job_outcome outcome);
/* Do it, then go on with @t. */
void leftover_remove(struct transition *t);

/* ---- tree.c ---- */
/* @part is part @index of @parent. */
void tree_join(struct job *part, struct job *parent, unsigned index);
/* A composition begins, or goes on after a restart: its document is at hand. */
void tree_begin(struct job *job);
/* Look what the parts have come to.  Sends nothing to the store. */
void tree_judge(struct job *job);
/* The live parts are to stop, in bounded steps.  Borrows order->message while parts live. */
void tree_stop(struct job *job, const struct stop_order *order);
bool tree_has_live_parts(const struct job *job);
/* @job is about to end, but parts of it live: they are told, and true.  It follows the last. */
bool tree_parts_go_first(struct job *job, const struct stop_order *order);
/* @job is lost sight of: its parts stop, and have no composition any more. */
void tree_abandon(struct job *job);
/* Tell some parts; true: there are more to tell. */
bool tree_step(void);
/* Ask one job to stop, on behalf of its composition or of its deadline. */
void tree_ask(struct job *job, const struct stop_order *order);

/* ---- needs.c ---- */
/* What @job waits for; @outcomes of those that are known to have ended, NULL = of none. */
void needs_set(struct job *job, const struct store_need *needs, size_t n,
	       const enum job_outcome *outcomes);
/* The end of @job is on its way to the store: those that wait for it will be looked at. */
void needs_settle(struct job *job);
/* Look at some of them; true: there are more. */
bool needs_step(void);

/* ---- edit.c ---- */
void edit_begin(struct job *job);
void edit_refuse_all(struct job *job);

/* ---- cancel.c ---- */
/* Answer a chain of cancels: it is durable; the job is done already; it cannot be stored. */
void cancel_answer_all(struct cancel *c);
void cancel_refuse_all(struct cancel *c, enum job_outcome outcome);
void cancel_fail_all(struct cancel *c, enum aw_code code, const char *message);
/*
 * What a chain of cancels, at least one, asks for: the first gives the reason, the shortest
 * grace holds.  Borrows its message.
 */
struct stop_order cancel_order(const struct cancel *first);
/*
 * Keep the request to cancel @job beside it: a waiting composition, whose parts go first, or
 * one that stops because of its timeout and would be tried again.
 */
void cancel_ask(struct job *job);

/* ---- queues.c ---- */
/* Make queue @name if it is not there: at once, and on its way to the store. */
void queues_ensure(const char *name, int64_t limit);

/* ---- watch.c ---- */
/* Tell those who watch @job. */
void engine_note(struct job *job, enum engine_note note);

/* ---- attempt.c ---- */
/*
 * A new run for @job.  Takes @spec.  @saved_json: what was saved for this
 * attempt, NULL = nothing.  If the document cannot be executed (damaged), it is
 * over already, with the reason.
 */
struct run *run_new(struct job *job, uint32_t attempt, struct instant started, char *spec,
		    size_t spec_len, bool is_damaged, const char *saved_json);
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

int64_t run_grace_us(const struct run *run);
/* Its document at hand, parsed.  false: it is damaged, and the run has the reason. */
bool run_parse_doc(struct run *run);

#endif
