/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_JOBLOG_H
#define DAEMON_JOB_JOBLOG_H

#include "daemon/job/job.h"

/*
 * What the log says of jobs, with fields for the journal (log_at_job).  Ends
 * and attempts that were no success at info, the rest at debug.  @error_json:
 * the job's error object as it is stored, NULL = none.
 */
void joblog_end(const struct job *job, enum job_outcome outcome, const char *error_json);
/* An attempt ended with @outcome, and the job waits for another one. */
void joblog_again(const struct job *job, enum job_outcome outcome, const char *error_json);

#endif
