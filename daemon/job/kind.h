/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_KIND_H
#define DAEMON_JOB_KIND_H

#include "daemon/base/now.h"
#include "daemon/store/store.h"
#include "proto/err.h"
#include "proto/jobdoc.h"
#include "proto/xalloc.h"

#include <stdbool.h>

struct job;
struct parts;

/*
 * One attempt of a job: what a kind sees.  It lives from the commit of
 * "running" until the commit of what came after.
 */
struct attempt {
	int64_t id; /* the job's */
	uint32_t attempt;
	struct jobdoc doc; /* the normalised document, parsed */
	struct instant started;
	uid_t uid;
	bool is_stopping; /* a cancel or timeout was asked for; for describe() */
	void *priv;	  /* private_bytes of zeroed memory, the kind's own */
	struct run *run;  /* the engine's side of it */
};

/* What attempts that are over may have left. */
struct leftover {
	int64_t id;		       /* the job's */
	const char *executor, *handle; /* of the last one; NULL = none were kept */
	bool is_followed; /* what was saved is for an attempt that comes, so that it stays */
};

/* What a composition makes of its parts so far. */
struct verdict {
	size_t n_turns;	    /* the first so many parts may start */
	bool wants_no_more; /* it is decided: the parts that still live are to end */
	size_t decided_by;  /* ... by the end of this part */
	bool skips;	    /* ... and have not had their turn: they end as skipped */
	/* if no part lives any more: */
	bool is_success;
	enum store_compose compose;
};

/*
 * A kind of job.  Const, one per kind; the kinds are leaves: nobody includes
 * them, they are reached through this table alone.
 */
struct kind {
	enum job_kind kind;
	size_t private_bytes;

	/*
	 * Check what the table of keys cannot: relations between keys, paths.
	 * May put canonical values into d->spec (an absolute path).  Pure but
	 * for the configuration; must not touch the file system.
	 * Loop's stack.  0 or -EINVAL with @err.  NULL = nothing to check.
	 */
	int (*check)(struct jobdoc *d, struct aw_err *err);

	/*
	 * The instant before which co_run need not run at all, so that an
	 * attempt that only waits has no stack.  NULL or false = run now.
	 */
	bool (*due)(struct attempt *a, struct instant *ret);

	/*
	 * One attempt, straight-line code on its own coroutine.
	 *
	 * Yields.  @saved (borrowed) is what co_engine_save() kept of this same
	 * attempt before a restart, or of the one before it, else NULL.  Returns 0 when the job
	 * succeeded, -ECANCELED when it ended because a wait was cancelled (all
	 * cleaned up: nothing of it is left), or another negative value with
	 * the reason in @err.  Either way attempt_set_result() may have been
	 * called.  A cancel, a timeout and an orderly stop all arrive as
	 * -ECANCELED from a wait; how long clean-up may take is
	 * attempt_grace_end().
	 */
	int (*co_run)(struct attempt *a, const json_t *saved, struct aw_err *err);

	/*
	 * After a restart of the daemon: true = go on with the same attempt
	 * (co_run is called with the saved record), false = it was cut off and
	 * on_lost decides.  NULL = false.
	 */
	bool (*adopt)(struct attempt *a, const json_t *saved);

	/*
	 * After a restart, before on_lost is applied to a cut-off attempt: end
	 * whatever the old daemon left running, by identity; what was saved and what that
	 * stands for is for the next attempt (is_followed).  And before a job ends
	 * without success, whose last attempt had saved something: remove what that
	 * stood for.  On a helper thread: no loop calls.  NULL = nothing can be left.
	 */
	void (*end_leftover)(const struct leftover *left);

	/*
	 * Progress {"done", "total", "unit", "rate"} or NULL.  Gives it.  Must not yield.  NULL
	 * = none ever.
	 */
	json_t *(*describe)(const struct attempt *a);

	/* Free what priv holds.  The attempt is over.  NULL = nothing. */
	void (*fini)(struct attempt *a);

	/*
	 * Compositions have these two instead of co_run: their work is their
	 * parts, so they need no stack.  begin: keep in priv what judge needs of the
	 * document, which is dropped then; after a restart too.  judge: called
	 * whenever a part has ended; pure.
	 */
	void (*begin)(struct attempt *a);
	void (*judge)(const struct attempt *a, const struct parts *p, struct verdict *ret);
};

/* The table, in kinds/kinds.c; NULL for a kind that is not built yet. */
extern const struct kind *const kinds[N_JOB_KINDS];

/* ---- what a kind may call during co_run ---- */

/* The job's result.  Takes @result; a second call replaces the first. */
void attempt_set_result(struct attempt *a, json_t *result);

/*
 * The end of what the attempt waits for is seen (a program's exit), or is about
 * to be made (a file gets its name): a cancel or timeout that comes from now on is too
 * late, though co_run has not returned yet.  It must return soon.  False: one came
 * before and wins, whatever co_run returns, so what is not done yet had better not be.
 */
bool attempt_end_seen(struct attempt *a);

/* Progress has changed (for events); cheap, call it as often as you like. */
void attempt_progressed(struct attempt *a);
/* The output file has grown, for followers of job.output. */
void attempt_output_grew(struct attempt *a);

/*
 * The results that the attempt may see, as a JSON object by name and id
 * (borrowed), or NULL when there are none to see.
 */
const char *attempt_results(const struct attempt *a);

/*
 * The moment at which politeness ends for a stopping attempt (a cancel's grace, the
 * document's, or the daemon's stop).
 */
struct mono attempt_grace_end(const struct attempt *a);

/*
 * Keep @record (<= 64 KiB, borrowed) for this attempt and the one that follows
 * it; committed when it returns.  It takes the place of what was kept before:
 * null is nothing.  Yields; a cancel comes at the next wait.  0, or an error after which
 * either may hold: -E2BIG, -ESTALE, -ENOSPC (the disk is full).
 */
MUST_USE int co_engine_save(struct attempt *a, const json_t *record);

/*
 * Is another attempt to be expected if this one returned @result now, with what
 * is in co_run's @err?  What was kept for it is then worth keeping.
 */
bool attempt_is_followed(const struct attempt *a, int result);

/*
 * Keep where this attempt runs, so that a later daemon can end it.  Not waited for: it rides
 * along with the next commit.
 */
void attempt_set_handle(struct attempt *a, const char *executor, const char *handle);

/*
 * Wait until that is stored.  Yields; a cancel comes at the next wait.  0 or an error as of
 * co_engine_save().
 */
MUST_USE int co_attempt_handle_kept(struct attempt *a);

#endif
