/* SPDX-License-Identifier: MIT */
#ifndef PROTO_NAMES_H
#define PROTO_NAMES_H

/*
 * The words of the interface as enums, and the tables between the two.
 * xxx_name() gives the word (a constant); xxx_parse() gives the value, or -1
 * for a word that is none of them (NULL included).
 */

enum job_kind { JOB_TIMER, JOB_FETCH, JOB_WORKER, JOB_GATHER, JOB_SEQUENCE, JOB_RACE, N_JOB_KINDS };

/* Where in its life a job is. */
enum job_state { JOB_WAITING, JOB_RUNNING, JOB_STOPPING, JOB_DONE, N_JOB_STATES };

/* How it ended.  JOB_UNENDED is not a word: it has the name NULL. */
enum job_outcome {
	JOB_UNENDED,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_TIMED_OUT,
	JOB_CANCELLED,
	JOB_SKIPPED,
	JOB_LOST,
	N_JOB_OUTCOMES
};

/* Why it waits; advisory. JOB_NO_REASON has the name NULL. */
enum job_reason {
	JOB_NO_REASON,
	JOB_WAITS_TIME,
	JOB_WAITS_NEEDS,
	JOB_WAITS_SLOT,
	JOB_WAITS_BACKOFF,
	JOB_WAITS_HELD,
	JOB_WAITS_PAUSED,
	N_JOB_REASONS
};

/* What happens to an attempt that was cut off. */
enum job_on_lost { ON_LOST_FAIL, ON_LOST_RETRY, N_ON_LOST };

/*
 * When an ended job meets a need.  Failure: it ended in any way but succeeded
 * and skipped, since a job that was skipped has not failed.
 */
enum need_on { NEED_SUCCESS, NEED_FAILURE, NEED_DONE, N_NEED_ON };

const char *job_kind_name(enum job_kind kind);
int job_kind_parse(const char *word);
const char *job_state_name(enum job_state state);
int job_state_parse(const char *word);
const char *job_outcome_name(enum job_outcome outcome);
int job_outcome_parse(const char *word);
const char *job_reason_name(enum job_reason reason);
const char *job_on_lost_name(enum job_on_lost on_lost);
int job_on_lost_parse(const char *word);
const char *need_on_name(enum need_on on);
int need_on_parse(const char *word);

#endif
