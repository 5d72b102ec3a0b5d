/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/job.h"

/*
 * The life of a job.  "done" never moves.  running and stopping go back to
 * waiting when an attempt was cut off (on_lost: retry), or failed or timed out
 * and may be tried again.
 */
static const bool may_follow[N_JOB_STATES][N_JOB_STATES] = {
	[JOB_WAITING] = { [JOB_RUNNING] = true, [JOB_DONE] = true },
	[JOB_RUNNING] = { [JOB_STOPPING] = true, [JOB_DONE] = true, [JOB_WAITING] = true },
	[JOB_STOPPING] = { [JOB_DONE] = true, [JOB_WAITING] = true },
	[JOB_DONE] = { false },
};

static const bool verb_may[N_JOB_VERBS][N_JOB_STATES] = {
	[JOB_VERB_CANCEL] = { [JOB_WAITING] = true, [JOB_RUNNING] = true, [JOB_STOPPING] = true },
	[JOB_VERB_EDIT] = { [JOB_WAITING] = true },
	[JOB_VERB_RETRY] = { [JOB_DONE] = true },
	[JOB_VERB_REMOVE] = { [JOB_DONE] = true },
};

bool job_state_may(enum job_state from, enum job_state to)
{
	return from < N_JOB_STATES && to < N_JOB_STATES && may_follow[from][to];
}

bool job_verb_may(enum job_verb verb, enum job_state state)
{
	return verb < N_JOB_VERBS && state < N_JOB_STATES && verb_may[verb][state];
}
