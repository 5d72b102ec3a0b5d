/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_ENGINE_H
#define DAEMON_JOB_ENGINE_H

#include "daemon/base/list.h"
#include "daemon/co/await.h"
#include "daemon/job/job.h"
#include "daemon/job/kind.h"
#include "daemon/job/viewer.h"
#include "daemon/store/store.h"
#include "proto/buf.h"
#include "proto/err.h"
#include "proto/jobdoc.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The engine: the one place where a job's state changes.  Every change goes
 * to the store first; its outside effects (a reply, a start, a told end) come
 * when it is committed.  At most one change of a job is in flight; what
 * arrives meanwhile (exits, cancels, timeouts) is kept and decided when the
 * commit comes back.  Everything here is for the loop's thread; none of it
 * yields.
 */
int engine_init(struct store *store); /* 0 or negative errno */
void engine_fini(void);
struct store *engine_store(void);

/*
 * Read the live jobs and queues; recover.c then decides about cut-off attempts.  Blocks
 * (start-up).
 */
int engine_load(void);

/* ---- submit ---- */

/* So many documents, parts included, are made rows and freed off the loop. */
#define SUBMISSION_LARGE 200

struct submission {
	/* in; the caller fills these */
	/* checked; borrowed until done(), their values let go of as soon as may be */
	struct jobdoc *docs;
	size_t n;
	uid_t uid;
	gid_t gid;
	int64_t retry_of;		    /* the done job that docs[0] is a copy of; 0 = none */
	void (*sent)(struct submission *s); /* on its way to the store; NULL = nobody asks */
	void (*done)(struct submission *s); /* when durable, or refused */
	void *arg;
	bool is_ours; /* the daemon's own: no quota holds it up */
	/* private */
	bool is_many;
	struct needed *needed; /* owns */
	struct offload work;
	struct instant at; /* when it was submitted */
	/* out */
	int result;	   /* 0, or -EINVAL with err */
	struct aw_err err; /* the caller's to aw_err_fini() */
	/* every job, parts behind their composition; insert.at = submitted */
	struct store_insert insert;
	size_t *places; /* owns; of each document in insert.jobs */
};
/* What the store was given for document @i, and its answer: .id, .existing. */
const struct store_new_job *submission_job(const struct submission *s, size_t i);
/*
 * Check further (kinds, queues, needs), insert all or none, admit.  err.path is "" or
 * "/jobs/N/..." when n came from submit_many (is_many).  done() may run before
 * this returns (a refusal).
 */
void engine_submit(struct submission *s, bool is_many);
/* Free what engine_submit() allocated; after done(). */
void submission_fini(struct submission *s);

/* ---- cancel, remove ---- */

struct cancel {
	struct cancel *next; /* private */
	int64_t id;
	struct viewer viewer; /* who asks */
	int64_t grace_us;     /* -1 = the job's */
	char *message;	      /* owns, may be NULL */
	void (*done)(struct cancel *c);
	void *arg;
	/* out */
	int result; /* 0, or -EINVAL with err (not_found, wrong_state with the fact "outcome") */
	struct aw_err err;
};
void engine_cancel(struct cancel *c);

/* ---- hold, release, update ---- */

/* Change where or how a waiting job waits; answered when that is durable. */
struct job_edit {
	struct job_edit *next; /* private */
	int64_t id;
	struct viewer viewer;
	unsigned fields; /* bits of enum store_field: those that change */
	int priority;
	const char *queue, *name, *tags; /* borrowed until done(); NULL = none; tags is JSON text */
	struct instant due;		 /* engine_due() */
	bool is_held;
	void (*done)(struct job_edit *e);
	void *arg;
	/* out */
	int result; /* 0, or -EINVAL with err (not_found, wrong_state, ...) */
	struct aw_err err;
	/* private */
	struct job *job;
	struct store_update update;
};
void engine_edit(struct job_edit *e);
/* "delay" (>= 0) from now, else the wall time "at"; none when both are in the past. */
struct instant engine_due(int64_t delay_us, int64_t at_ms);

/* ---- what happens ---- */

/* One listener for all changes, told on the loop; must not call the engine back. */
struct engine_listener {
	void (*changed)(int64_t seq);	/* events up to this number are committed */
	void (*progressed)(int64_t id); /* a running job's progress has changed; often */
};
void engine_listen(const struct engine_listener *listener); /* borrowed; NULL = nobody */

/* ---- watching ---- */

enum engine_note {
	ENGINE_CHANGED, /* a change of state was committed */
	ENGINE_OUTPUT_GREW,
	ENGINE_PROGRESSED,
	ENGINE_ENDED, /* it is done (committed); the watch is off the job now */
};
/* Told about one live job until it ends or is removed with engine_unwatch(). */
struct job_watch {
	struct list link; /* private */
	void (*fn)(struct job_watch *w, enum engine_note note);
};
/* true; or false if @id is not live (done, or never was): look into the store then. */
bool engine_watch(int64_t id, struct job_watch *w);
void engine_unwatch(struct job_watch *w); /* harmless after ENGINE_ENDED */
/* Is live job @id, or a composition around it, one of these? */
bool engine_is_within(int64_t id, const int64_t *ids, size_t n);

/* ---- queues ---- */

struct queue_view {
	const char *name; /* borrowed until the next change of queues */
	int64_t limit;
	bool is_paused;
	uint64_t n_running, n_waiting;
};
size_t engine_n_queues(void);
void engine_queue(size_t i, struct queue_view *ret);
/* The queue @name, or false. */
bool engine_queue_find(const char *name, struct queue_view *ret);
/*
 * Create or change; durable first, then done(arg, result). @limit < 0 leaves it, @paused < 0
 * leaves it.
 */
void engine_queue_set(const char *name, int64_t limit, int paused,
		      void (*done)(void *arg, int result), void *arg);

/* ---- views ---- */

/*
 * Print @rec as the interface's job object, with what only memory knows
 * (reason, progress) laid over.  @viewer decides about secrets; @is_whole:
 * job.get and the reply to job.submit (long values kept, owner sees secrets),
 * else as in lists and events.
 */
void engine_print_job(struct buf *b, const struct store_job *rec, struct viewer viewer,
		      bool is_whole);
/* The job object of document @i of a submission that has just been accepted as new. */
void engine_print_submitted(struct buf *b, const struct submission *s, size_t i);

/*
 * job.why's result {"state", "reason", "message", "until", "waits_for"}, from the
 * code that decides it.  Gives it.
 */
json_t *engine_why(const struct store_job *rec);

/* ---- stop ---- */

/*
 * Orderly stop: no new starts; with @drain first wait for fetch and worker
 * attempts, then cut the rest off within min(grace, stop_timeout).  done()
 * when the last attempt has ended and is committed.
 */
void engine_stop(bool drain, void (*done)(void));
bool engine_is_stopping(void);

struct engine_stats {
	size_t n_live, n_waiting, n_running, n_stopping;
	uint64_t n_started, n_ended;
};
void engine_stats(struct engine_stats *ret);

#endif
