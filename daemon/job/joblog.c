/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/joblog.h"

#include <jansson.h>
#include <string.h>

#include "daemon/log.h"
#include "proto/err.h"

/* The journal's fields are constants: the word of the table that is equal to @word, or NULL. */
static const char *constant_word(const char *word)
{
	for (int code = AW_OK + 1; word && code < N_AW_CODES; code++)
		if (!strcmp(aw_code_word((enum aw_code)code), word))
			return aw_code_word((enum aw_code)code);
	return NULL;
}

static void say(const struct job *job, enum job_outcome outcome, const char *error_json,
		const char *then)
{
	json_t *error = error_json ? json_loads(error_json, 0, NULL) : NULL;
	const char *message = json_string_value(json_object_get(error, "message"));
	const struct log_job about = {
		.id = job->id,
		.attempt = job->attempt,
		.kind = job_kind_name((enum job_kind)job->kind),
		.outcome = job_outcome_name(outcome),
		.error = constant_word(json_string_value(json_object_get(error, "code"))),
	};
	/* "timed_out: timeout: ..." says one thing twice, but "cancelled: cancelled: " is silly. */
	bool has_code = about.error && strcmp(about.error, about.outcome) != 0;

	log_at_job(outcome == JOB_SUCCEEDED ? LOG_DEBUG : LOG_INFO, &about,
		   "job %lld (%s): %s%s%s%s%s%s", (long long)job->id, about.kind, about.outcome,
		   has_code ? ": " : "", has_code ? about.error : "", message ? ": " : "",
		   message ? message : "", then);
	json_decref(error);
}

void joblog_end(const struct job *job, enum job_outcome outcome, const char *error_json)
{
	say(job, outcome, error_json, "");
}

void joblog_again(const struct job *job, enum job_outcome outcome, const char *error_json)
{
	say(job, outcome, error_json, "; it will be tried again");
}
