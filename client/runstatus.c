/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/runstatus.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	RUN_OTHER = 125,
	RUN_NOT_RUN = 126,
	RUN_NOT_FOUND = 127,
	RUN_SIGNAL = 128,
	RUN_CANCELLED = 130,
	RUN_TIMED_OUT = 124
};

/* "SIGKILL" or "KILL" to 9; 0 for what is no signal here. */
static int signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if (known != NULL && strcmp(known, name) == 0)
			return i;
	}
	/* The real-time ones have no names of their own, the daemon counts from the first. */
	return strncmp(name, "RTMIN+", 6) == 0 ? SIGRTMIN + (int)strtol(name + 6, NULL, 10) : 0;
}

static int of_signal(const json_t *signal)
{
	int number = json_is_string(signal) ? signal_number(json_string_value(signal))
					    : (int)json_integer_value(signal);

	return number > 0 && number < 127 ? RUN_SIGNAL + number : RUN_OTHER;
}

/* It never ran; stages other than exec (its directory, its limits) are not about the program. */
static int of_spawn(const json_t *error)
{
	const char *stage = json_string_value(json_object_get(error, "stage"));
	const char *name = json_string_value(json_object_get(error, "errno"));
	bool is_exec = stage == NULL || strncmp(stage, "exec", 4) == 0;

	return is_exec && name != NULL && strcmp(name, "ENOENT") == 0 ? RUN_NOT_FOUND : RUN_NOT_RUN;
}

/* The member @key of the error, else of the result. */
static json_t *fact_of(const json_t *job, const char *key)
{
	json_t *fact = json_object_get(json_object_get(job, "error"), key);

	if (fact == NULL || json_is_null(fact))
		fact = json_object_get(json_object_get(job, "result"), key);
	return fact != NULL && !json_is_null(fact) ? fact : NULL;
}

static int of_end(const json_t *job)
{
	const json_t *exit_status = fact_of(job, "exit");
	const json_t *signal = fact_of(job, "signal");

	if (json_is_integer(exit_status))
		return (int)json_integer_value(exit_status) & 255;
	return signal != NULL ? of_signal(signal) : RUN_OTHER;
}

int runstatus_of_worker(const json_t *job)
{
	const char *outcome = json_string_value(json_object_get(job, "outcome"));
	const json_t *error = json_object_get(job, "error");
	const char *code = json_string_value(json_object_get(error, "code"));

	if (outcome == NULL)
		return RUN_OTHER;
	if (strcmp(outcome, "timed_out") == 0)
		return RUN_TIMED_OUT;
	if (strcmp(outcome, "cancelled") == 0)
		return RUN_CANCELLED;
	if (strcmp(outcome, "failed") != 0 && strcmp(outcome, "succeeded") != 0)
		return RUN_OTHER;
	if (code != NULL && strcmp(code, "spawn") == 0)
		return of_spawn(error);
	if (code != NULL && strcmp(code, "exit") != 0 && strcmp(code, "signal") != 0)
		return RUN_OTHER;
	return of_end(job);
}
