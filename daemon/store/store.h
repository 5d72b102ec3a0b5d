/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_STORE_H
#define DAEMON_STORE_STORE_H

#include "daemon/base/now.h"
#include "daemon/co/loop.h"
#include "proto/err.h"
#include "proto/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The job store: one SQLite connection on one thread.
 *
 * The loop hands typed requests (struct store_op, embedded in one of the
 * structs below) to store_submit().  The thread takes all that has gathered,
 * writes it in one transaction, commits (WAL, synchronous=FULL: power-loss
 * safe), and posts every request back to the loop, where its done() runs.
 * While one commit is on the disk the next batch gathers; there is no
 * artificial delay.  Queries of a batch run after its commit, so a query sees
 * every write that was submitted before it.
 *
 * A request is owned by the caller and must stay put until done() runs.
 * Strings that go in are borrowed until then; strings that come out are
 * given to the caller, who frees them through the xxx_fini() named there.
 *
 * An I/O error makes the outcome of the pending group unknown: nothing of it
 * is answered, options.on_fatal is called on the loop instead (R1.5).  A full
 * disk is not fatal: inserts of the group get -ENOSPC, changes of existing
 * jobs are kept and tried again until they succeed (R1.6).  Inserts get that
 * as well while little space is left.
 */
struct store;

struct store_options {
	const char *state_dir; /* made if it is missing, 0700 */
	bool is_init;	      /* --init: make a new database where a missing one would be refused */
	bool allow_unsafe_fs; /* R1.14 */
	/* R1.6; an eighth of the file system at most: kept in reserve, and free for new jobs */
	int64_t reserve_bytes, min_free_bytes;
	int64_t check_max_bytes; /* a larger database is not checked after an unclean stop */
	int64_t key_kept_ms;	 /* an idempotency key, after the end of its job (R2.6) */
	void (*on_degraded)(bool is_degraded); /* on the loop, at every change; NULL = nobody */
	void (*on_fatal)(int exit_status, const char *message); /* on the loop: 65 or 74 */
	void (*log)(int priority, const char *message);		/* any thread; syslog priorities */
};

/*
 * Open, recover, migrate; then start the thread.  Blocks (start-up only).
 * Returns 0, or the daemon's exit status (65, 74, 75, 78, 1) with a message
 * for people in @err.
 */
int store_open(const struct store_options *options, struct store **ret, struct aw_err *err);
/*
 * Finish what is queued, checkpoint, end the thread, close.  done() of what is
 * left runs before it returns; for that it turns the loop, so it is called
 * from outside of the loop's callbacks and before loop_fini().  On a full disk
 * kept changes end with -ENOSPC here.  After on_fatal nothing is answered.
 * Returns 0, or 74: the disk failed meanwhile.  What was answered is in the
 * log, from which the next start goes on.
 */
int store_close(struct store *store);
/*
 * --check: integrity_check, foreign_key_check, checksums and our own invariants
 * of a store that nobody has open; changes nothing.  0 or exit status (1: there
 * is no database); findings to @out, a line each.
 */
int store_check(const char *state_dir, void (*out)(const char *line), struct aw_err *err);

enum store_op_type {
	/* writes */
	STORE_INSERT,
	STORE_CHANGE,
	STORE_UPDATE,
	STORE_ASK,
	STORE_NOTE,
	STORE_REMOVE,
	STORE_QUEUE,
	/* writes that wait until there is nothing else to do, though not for ever */
	STORE_PRUNE,
	STORE_SWEEP,
	/* queries */
	STORE_LOAD,
	STORE_GET,
	STORE_LIST,
	STORE_SCOPE,
	STORE_EVENTS,
	/* neither */
	STORE_BACKUP,
	N_STORE_OPS
};

struct store_op {
	struct loop_task task; /* private */
	struct store *store;   /* private */
	enum store_op_type type;
	/*
	 * The next write that is submitted, in this turn of the loop, goes into
	 * the same transaction, whatever becomes of this one; no other write comes
	 * between.  On a full disk they stay together: inserts among changes of
	 * existing jobs are kept like those.
	 */
	bool is_with_next;
	int result; /* set before done(): 0 or the negative errno named at each request */
	void (*done)(struct store_op *op);
};
void store_submit(struct store *store, struct store_op *op);

/* ---- what a job is, in the store ---- */

/* A place in a request that says "none". */
#define STORE_NO_PLACE SIZE_MAX

/* What a job waits for: an ended job's outcome. */
struct store_need {
	int64_t job;  /* out, too, where @place names it */
	size_t place; /* an earlier job of the same request, or STORE_NO_PLACE: @job */
	enum need_on on;
};

/* One job to insert. */
struct store_new_job {
	enum job_kind kind;
	const char *name, *queue, *key; /* NULL = none */
	const char *tags;		/* JSON array text, NULL = none */
	int priority;
	uid_t uid;
	gid_t gid;
	struct instant due; /* not before */
	struct instant deadline;
	const char *spec; /* the normalised document */
	size_t spec_len;
	const char *asked; /* the same without what holds anyway, for @key; NULL = @spec is it */
	/*
	 * The composition whose part it is: an earlier job of the same request
	 * (parent_place + 1, so that 0 means none), or @parent, for the parts of
	 * a further attempt of a live one.
	 */
	size_t parent_place_plus_1;
	int64_t parent;		  /* out, too; 0 = none */
	uint32_t run_of;	  /* the parent's attempt: 1 for a new tree */
	unsigned part;		  /* which of its parts, from 0 */
	int64_t retry_of;	  /* 0 = none */
	struct store_need *needs; /* borrowed; @n_needs of them */
	size_t n_needs;
	int64_t keep_s; /* -1 = the daemon's setting */
	bool has_refs;	/* the document refers to results of other jobs */
	/* out */
	int64_t id;
	bool existing; /* the key was known with the same document: id is the first job's */
};

/* All of @jobs or none, one transaction.  Ids rise in order. */
struct store_insert {
	struct store_op op;
	struct store_new_job *jobs;
	size_t n;
	struct instant at; /* submitted */
	/*
	 * out; result: 0, -ENOSPC, -EEXIST: jobs[conflict] has a key that is
	 * known with another document, or -ENOENT: a job that jobs[conflict]
	 * needs is not there any more.  A key may come twice in a request.  Jobs
	 * with parts and a known key: the parts are left out (existing, id 0).
	 */
	size_t conflict;
	int64_t last_seq; /* of the last job that was inserted */
};

/*
 * Why a job is asked to stop.  STOP_PARENT: the composition that it is a part
 * of wants it no more (it was cancelled or timed out itself, another part
 * failed, or won the race).
 */
enum stop_why { STOP_NONE, STOP_CANCEL, STOP_TIMEOUT, STOP_DEADLINE, STOP_PARENT, N_STOP_WHY };

/*
 * What the end of a composition makes of its parts' ends (those of the latest
 * attempt that made parts), as they are when the change is applied: the ends
 * that were submitted before it count, also those of the same transaction.
 *
 * "errors" are {"job", "index", "code", "message"} of each part that did not
 * succeed, but for those that ended with or because of the others (their error names
 * the "parent"); code is its outcome's word where it has no error, and a message of
 * more than 1 KiB is cut.
 *
 * An outcome of succeeded has to be borne out by the parts: by all for a list,
 * by the last one, by the winner.  Where it is not, and where the result would
 * be longer than STORE_RESULT_MAX_BYTES, the job ends as failed instead, with
 * error part_failed (and "errors"), or too_large: store_change.ended_as.
 */
enum store_compose {
	STORE_COMPOSE_NONE,
	STORE_COMPOSE_LIST,   /* result: the list of their results, null for all but succeeded */
	STORE_COMPOSE_LAST,   /* result: the last one's */
	STORE_COMPOSE_WINNER, /* result: {"winner", "result"} of part @winner */
	STORE_COMPOSE_ERRORS, /* error: error_json, which must be an object, and "errors" in it */
	STORE_COMPOSE_LIST_AND_ERRORS,
	N_STORE_COMPOSE
};
#define STORE_RESULT_MAX_BYTES (64 << 20)

/*
 * One change of state, fenced: it applies only if the row still is in @from
 * with @attempt (R2.3).  It also writes the event row, and:
 *
 *   waiting  -> running   attempt + 1, a new attempt row started at @at, to which moves what
 *                         the one before saved; loads both, and the document
 *   running  -> stopping  records why, who and the message
 *   any      -> done      outcome, result, error; closes the attempt row; forgets
 *                         a deadline and a stop that was asked for.  The result of one that
 *                         waited is its last attempt's
 *   running, stopping -> waiting   closes the attempt row as @outcome (lost,
 *                         failed or timed_out) with result and error, sets @due
 */
struct store_change {
	struct store_op op;
	int64_t id;
	uint32_t attempt; /* the row's, before the change */
	enum job_state from, to;
	struct instant at;
	enum job_outcome outcome;
	const char *result_json, *error_json; /* NULL = null */
	enum stop_why why;
	uid_t by_uid;
	const char *message; /* NULL = none */
	struct instant due;
	struct wall attempt_ended; /* to waiting: when the attempt did, 0 = @at */
	/* to waiting or done as lost: by an orderly stop, which never counts as a loss (R2.5) */
	bool is_orderly;
	bool uses_try; /* to waiting: a retry that the document allows was used up */
	/* to done: what the job's directory holds; on the store's thread.  NULL = nothing */
	int64_t (*count_files)(int64_t id);
	enum store_compose compose; /* to done */
	unsigned winner;	    /* the part that won, counted from 0 */
	/* out; result: 0, or -ESTALE: nothing changed */
	char *spec; /* of waiting -> running; freed with store_change_fini() */
	size_t spec_len;
	char *saved_json; /* the same; what the attempt before left, NULL = nothing */
	bool damaged;	  /* the row's checksum does not match: must not be executed (R1.12) */
	int64_t seq;	  /* the event's number */
	enum job_outcome ended_as; /* @outcome, unless composing changed it */
};
void store_change_fini(struct store_change *c);

/*
 * Change what a waiting job is called or where it waits, without a change of
 * state; an event all the same.  0, or -ESTALE: it does not wait any more.
 */
enum store_field {
	STORE_PRIORITY = 1 << 0,
	STORE_IN_QUEUE = 1 << 1,
	STORE_DUE = 1 << 2,
	STORE_NAME = 1 << 3,
	STORE_TAGS = 1 << 4,
	STORE_HELD = 1 << 5,
};
struct store_update {
	struct store_op op;
	int64_t id;
	uint32_t attempt;
	unsigned fields; /* those that change */
	struct wall at;
	int priority;
	const char *queue, *name, *tags; /* NULL = none; tags is JSON text */
	struct instant due;
	bool is_held;
	int64_t seq; /* out */
};

/*
 * Remember that a job is to stop, without a change of its state: a waiting
 * composition whose parts have to end first, or a stopping job that is asked
 * for another reason now.  0, or -ESTALE.
 */
struct store_ask {
	struct store_op op;
	int64_t id;
	uint32_t attempt;
	enum job_state state;
	enum stop_why why;
	uid_t by_uid;
	const char *message; /* NULL = none */
};

/*
 * Facts of an attempt: its saved record, or where it runs.  NULL leaves a field
 * as it is.  0 or -ESTALE.
 */
struct store_note {
	struct store_op op;
	int64_t id;
	uint32_t attempt;
	const char *executor, *handle;
	const char *saved_json;
};

/*
 * Remove a finished job, its parts, and all that belongs to them; their
 * directories are noted for store_sweep.  The rows of many parts go with the
 * next store_prunes; nobody sees them any more.  0, -ENOENT,
 * -EBUSY (not done), -EXDEV (a part: it goes with its composition), -EDEADLK
 * (@blocker, which is not done, needs it or a part of it).
 */
struct store_remove {
	struct store_op op;
	int64_t id;
	int64_t blocker; /* out */
};

/*
 * One step of forgetting history: removes some of the jobs that are done and
 * whose time is over, compositions with their parts, never what an unfinished
 * job needs.  What has a "keep" of its own goes when that is over, and by the
 * limits only after all others.  Small enough not to hold up a commit; repeat
 * until is_at_end.  0, -ENOSPC, or -ECANCELED: the store is closed.
 */
struct store_prune {
	struct store_op op;
	struct wall now;
	int64_t keep_ms;   /* after the end; INT64_MAX = for ever */
	int64_t max_jobs;  /* that are done; INT64_MAX = any number */
	int64_t max_bytes; /* of what is kept of them: directories, results, errors */
	/* out */
	size_t n_jobs;	  /* that this step has removed */
	bool is_at_end;	  /* nothing more may go now */
	struct wall next; /* when the next one's time is over; 0 = of none that there is */
};

/*
 * The directories of removed jobs: those that are away by now are forgotten,
 * and the next ones are told.  A row stands for each from the transaction that
 * removes the job on, so that none is forgotten by a crash.  0, -ENOSPC, or
 * -ECANCELED: the store is closed.
 */
#define STORE_SWEEP_MAX 100
struct store_sweep {
	struct store_op op;
	const int64_t *away; /* borrowed; @n_away of them */
	size_t n_away;
	int64_t after; /* only ids above this one are told */
	/* out; by rising id */
	int64_t ids[STORE_SWEEP_MAX];
	size_t n;
};

/* Create or change a queue. */
struct store_queue {
	struct store_op op;
	const char *name;
	int64_t limit;
	bool is_paused;
};

/*
 * What a live job needs to go on after a restart, or to end: document and current attempt (while
 * it waits, the last one).  0 or -ENOENT.
 */
struct store_load {
	struct store_op op;
	int64_t id;
	/* out; store_load_fini() */
	char *spec;
	size_t spec_len;
	bool damaged;
	struct instant started;		      /* of the current attempt */
	char *executor, *handle, *saved_json; /* NULL = none */
	enum stop_why why;		      /* of a stopping job */
	uid_t by_uid;
	char *message;
	/*
	 * Attempts in a row, before this one, that were cut off within
	 * @quick_ms of their start (R2.5).  Orderly stops within that time are
	 * passed over.
	 */
	int64_t quick_ms; /* set by the caller */
	unsigned n_losses;
};
void store_load_fini(struct store_load *l);

/* An attempt, for people. */
struct store_attempt {
	uint32_t attempt;
	struct wall started, ended; /* 0 = not yet */
	enum job_outcome outcome;
	/* NULL = none; those of the attempt that ended the job are the job's. */
	char *error_json, *result_json;
};

/* A whole record, for job objects. */
struct store_job {
	int64_t id;
	enum job_kind kind;
	enum job_state state;
	enum job_outcome outcome;
	char *name, *tags, *queue; /* NULL = none; tags is JSON text */
	int priority;
	uid_t uid;
	gid_t gid;
	uint32_t attempt;
	struct wall submitted, due, started, ended; /* 0 = not (yet) */
	char *result_json, *error_json, *spec;	    /* NULL = null */
	/*
	 * In lists and events, and in brief answers, a value longer than
	 * LIST_VALUE_MAX_BYTES is not there, but its length is.  Of such a spec
	 * "retry" and "key" are: an object, shorter than spec_len.  Such an error
	 * has its "errors" as an empty list.
	 */
	size_t spec_len, result_len, error_len;
	int64_t parent; /* 0 = none */
	unsigned part;
	int64_t retry_of; /* 0 = none */
	uint32_t tries;	  /* retries that are used up */
	bool is_held, has_refs;
	int64_t *children; /* of a composition's current attempt, in order */
	size_t n_children;
	struct store_need *needs;
	size_t n_needs;
	struct store_attempt *attempts; /* only where they were asked for */
	size_t n_attempts;
};

/* Records by id, in the order asked; those that are not there are left with id 0.  Result: 0. */
struct store_get {
	struct store_op op;
	const int64_t *ids;
	size_t n;
	bool with_attempts;
	bool is_brief; /* long values stay out, see struct store_job */
	/* out; store_get_fini() */
	struct store_job *jobs; /* n of them */
};
void store_get_fini(struct store_get *g);

#define STORE_ANY_UID ((uid_t)-1)

/*
 * A page of records.  Filters: a bit set or a NULL-terminated list each; empty
 * = all.  A page may hold fewer than @limit, even none, before the last: the
 * number of rows that are looked at is bounded.  Result: 0.
 */
struct store_list {
	struct store_op op;
	unsigned states, outcomes, kinds;			/* 1u << value */
	const char *const *queues, *const *names, *const *tags; /* NULL = all */
	uid_t uid;		/* only this owner's, or STORE_ANY_UID */
	int64_t parent;		/* only parts of this one; 0 = whatever; -1 = top level only */
	const int64_t *parents; /* or of any of these, 0 = top level; @n_parents of them */
	size_t n_parents;
	int64_t after; /* 0 = from the start */
	bool descending;
	size_t limit;
	size_t max_bytes; /* end the page early beyond this much text */
	/* out; store_list_fini() */
	struct store_job *jobs;
	size_t n;
	int64_t next; /* "after" of the next page, 0 = that was the last */
};
void store_list_fini(struct store_list *l);

/*
 * The results that a job may refer to: of the jobs that it or a composition
 * around it needs, and of the earlier parts, where they have a name, of every
 * sequence around it.  0, -ENOENT, or -EFBIG: they are more than
 * STORE_RESULT_MAX_BYTES together.
 */
struct store_scope_entry {
	int64_t id;
	char *name; /* NULL = none */
	bool is_need;
	enum job_outcome outcome; /* JOB_UNENDED: not yet, or its record is gone */
	char *result_json;	  /* NULL = null */
};
struct store_scope {
	struct store_op op;
	int64_t id;
	/* out; store_scope_fini() */
	gid_t gid;			   /* of the job's owner */
	struct store_scope_entry *entries; /* the nearest first: inner ones hide outer ones */
	size_t n;
	char *spec;
	size_t spec_len;
	bool damaged;
};
void store_scope_fini(struct store_scope *s);

/*
 * What has happened after number @since, submissions included, in order.  A
 * page may hold fewer than @limit events, even none, before the last.
 */
struct store_event {
	int64_t seq;
	struct wall time;
	enum job_state state;
	enum job_outcome outcome;
	uint32_t attempt;
	bool is_submission;
	bool is_update;	      /* STORE_UPDATE: no change of state */
	bool is_last;	      /* nothing has happened to the job since */
	struct store_job job; /* as it is now */
};
struct store_events {
	struct store_op op;
	int64_t since;
	const int64_t *jobs; /* only of these and their parts; @n_jobs of them, 0 = all */
	size_t n_jobs;
	unsigned kinds; /* 1u << kind; 0 = all */
	uid_t uid;	/* only this owner's, or STORE_ANY_UID */
	size_t limit, max_bytes;
	/* out; store_events_fini() */
	struct store_event *events;
	size_t n;
	int64_t next;	/* "since" of the next page; below @since: that number is not reached yet */
	bool is_at_end; /* nothing more has happened yet */
	int64_t pruned_seq; /* events up to here may be missing: their jobs were removed */
};
void store_events_fini(struct store_events *e);

/*
 * ---- a copy of the database, made while all goes on (R1.9) ----
 *
 * store_backup_prepare(), then the request, then store_backup_publish().  The
 * copy is the database as it is at the request's end.  One at a time: the caller
 * sees to that.
 */
struct store_backup {
	struct store_op op; /* 0, -EIO, or -ECANCELED: the store is closed */
	char *path, *part; /* own: where it will stand, in a folder without links; where it grows */
	bool overwrite;
	int64_t n_bytes;	      /* out */
	struct copy *copy;	      /* private, owns */
	int error;		      /* private: SQLite's, of an -EIO */
	int n_pages;		      /* private: of the next slice */
	struct sqlite3 *to;	      /* private, owns */
	struct sqlite3_backup *state; /* private, owns */
};
/*
 * Blocking, for helper threads; 0, or -EINVAL with @err.  @path is absolute; a
 * file that is there is refused unless @overwrite.  publish() takes a failed
 * request, too: it says why and discards.
 */
int store_backup_prepare(struct store_backup *b, const char *state_dir, const char *path,
			 bool overwrite, struct aw_err *err);
int store_backup_publish(struct store_backup *b, struct aw_err *err);
void store_backup_fini(struct store_backup *b);

/*
 * ---- start-up (blocking, before the loop runs; what @fn submits waits until it does) ----
 */

struct store_live {
	int64_t id;
	enum job_kind kind;
	enum job_state state;
	const char *queue; /* borrowed for the call; NULL = none */
	int priority;
	uid_t uid;
	uint32_t attempt;
	struct instant due;
	int64_t parent; /* 0 = none */
	unsigned part;
	uint32_t tries;
	bool is_held, has_refs;
};
/*
 * Every job that is not done, by rising id.  0, -EIO or -EBADMSG (damaged; the reason is
 * logged).
 */
int store_each_live(struct store *store, void (*fn)(void *arg, const struct store_live *job),
		    void *arg);
/* The size of each live job's document.  Reads all of them. */
int store_each_doc_size(struct store *store, void (*fn)(void *arg, int64_t id, size_t n_bytes),
			void *arg);
int store_each_queue(struct store *store,
		     void (*fn)(void *arg, const char *name, int64_t limit, bool is_paused),
		     void *arg);

/* What unfinished jobs need.  @outcome: of @on_job, JOB_UNENDED = it is not done either. */
int store_each_need(struct store *store,
		    void (*fn)(void *arg, int64_t job, int64_t on_job, enum need_on on,
			       enum job_outcome outcome),
		    void *arg);
/* A part of the current attempt of a composition that is not done. */
struct store_ended_part {
	int64_t id, parent;
	uint32_t run_of;
	unsigned part;
	enum job_outcome outcome;
	bool is_late; /* it ended when its composition was stopping already */
};
/*
 * The ended parts of the compositions that store_each_live() has told, each
 * composition's in the order of their ends.
 */
int store_each_ended_part(struct store *store,
			  void (*fn)(void *arg, const struct store_ended_part *part), void *arg);
int store_each_deadline(struct store *store,
			void (*fn)(void *arg, int64_t job, struct instant deadline), void *arg);
/* Waiting jobs that were asked to stop (store_ask). */
int store_each_asked(struct store *store,
		     void (*fn)(void *arg, int64_t job, enum stop_why why, uid_t by_uid,
				const char *message),
		     void *arg);

/* ---- figures (any time, from the loop) ---- */
struct store_stats {
	uint64_t n_commits, n_rows;
	int64_t commit_last_us, commit_max_us;
	int64_t wal_bytes, db_bytes;
	uint64_t by_state[N_JOB_STATES];
	uint64_t by_outcome[N_JOB_OUTCOMES];
	int64_t kept_bytes; /* of jobs that are done: directories, results, errors */
	size_t n_queued;    /* requests not yet answered */
	int64_t last_seq;   /* the number of what was committed last */
	/*
	 * Degraded: new jobs get -ENOSPC, since little space is left, or since the
	 * disk is_full: commits fail, and changes of jobs wait.
	 */
	bool is_degraded, is_full;
	int64_t free_bytes;    /* on the file system, when it was last looked at */
	int64_t reserve_bytes; /* kept in reserve now */
};
void store_stats(struct store *store, struct store_stats *ret);
/* is_full and is_degraded alone, without a system call. */
bool store_is_full(struct store *store);
bool store_is_degraded(struct store *store);

#endif
