/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/names.h"

#include <stddef.h>
#include <string.h>

static const char *const kinds[N_JOB_KINDS] = {
	[JOB_TIMER] = "timer",	 [JOB_FETCH] = "fetch",	      [JOB_WORKER] = "worker",
	[JOB_GATHER] = "gather", [JOB_SEQUENCE] = "sequence", [JOB_RACE] = "race",
};

static const char *const states[N_JOB_STATES] = {
	[JOB_WAITING] = "waiting",
	[JOB_RUNNING] = "running",
	[JOB_STOPPING] = "stopping",
	[JOB_DONE] = "done",
};

static const char *const outcomes[N_JOB_OUTCOMES] = {
	[JOB_SUCCEEDED] = "succeeded", [JOB_FAILED] = "failed",	  [JOB_TIMED_OUT] = "timed_out",
	[JOB_CANCELLED] = "cancelled", [JOB_SKIPPED] = "skipped", [JOB_LOST] = "lost",
};

static const char *const reasons[N_JOB_REASONS] = {
	[JOB_WAITS_TIME] = "time",	 [JOB_WAITS_NEEDS] = "needs", [JOB_WAITS_SLOT] = "slot",
	[JOB_WAITS_BACKOFF] = "backoff", [JOB_WAITS_HELD] = "held",   [JOB_WAITS_PAUSED] = "paused",
};

static const char *const on_losts[N_ON_LOST] = {
	[ON_LOST_FAIL] = "fail",
	[ON_LOST_RETRY] = "retry",
};

static const char *const need_ons[N_NEED_ON] = {
	[NEED_SUCCESS] = "success",
	[NEED_FAILURE] = "failure",
	[NEED_DONE] = "done",
};

/* A value outside its table (a damaged row) has no name. */
static const char *name_of(const char *const *table, size_t n, unsigned value)
{
	return value < n ? table[value] : NULL;
}

static int value_of(const char *const *table, size_t n, const char *word)
{
	if (!word)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (table[i] && strcmp(table[i], word) == 0)
			return (int)i;
	return -1;
}

const char *job_kind_name(enum job_kind kind)
{
	return name_of(kinds, N_JOB_KINDS, kind);
}

int job_kind_parse(const char *word)
{
	return value_of(kinds, N_JOB_KINDS, word);
}

const char *job_state_name(enum job_state state)
{
	return name_of(states, N_JOB_STATES, state);
}

int job_state_parse(const char *word)
{
	return value_of(states, N_JOB_STATES, word);
}

const char *job_outcome_name(enum job_outcome outcome)
{
	return name_of(outcomes, N_JOB_OUTCOMES, outcome);
}

int job_outcome_parse(const char *word)
{
	return value_of(outcomes, N_JOB_OUTCOMES, word);
}

const char *job_reason_name(enum job_reason reason)
{
	return name_of(reasons, N_JOB_REASONS, reason);
}

const char *job_on_lost_name(enum job_on_lost on_lost)
{
	return name_of(on_losts, N_ON_LOST, on_lost);
}

int job_on_lost_parse(const char *word)
{
	return value_of(on_losts, N_ON_LOST, word);
}

const char *need_on_name(enum need_on on)
{
	return name_of(need_ons, N_NEED_ON, on);
}

int need_on_parse(const char *word)
{
	return value_of(need_ons, N_NEED_ON, word);
}
