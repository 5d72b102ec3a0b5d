/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobkeys.h"

#include <string.h>

#include "proto/limits.h"

#define TIMER JK_KINDS(JOB_TIMER)
#define FETCH JK_KINDS(JOB_FETCH)
#define WORKER JK_KINDS(JOB_WORKER)
#define GATHER JK_KINDS(JOB_GATHER)

#define NAME(text) .name = text, .name_len = sizeof(text) - 1
#define BETWEEN(least, most) .min = least, .max = most

static const char *const kind_words[] = { "timer",    "fetch", "worker", "gather",
					  "sequence", "race",  NULL };
static const char *const on_lost_words[] = { "retry", "fail", NULL };
static const char *const on_failure_words[] = { "cancel", "continue", NULL };

static const struct jobkey retry_members[] = {
	{ NAME("max"), .type = JK_INTEGER, .kinds = JK_ALL, BETWEEN(0, JOB_RETRIES_MAX),
	  .metavar = "N", .help = "so many extra attempts when one fails (default: 0)",
	  .otherwise = "0" },
	{ NAME("delay"), .type = JK_DURATION, .kinds = JK_ALL, BETWEEN(0, JOB_DURATION_MAX_US),
	  .metavar = "DURATION",
	  .help = "before the first extra attempt (default: the daemon's setting, 1s)" },
	{ NAME("factor"), .type = JK_NUMBER, .kinds = JK_ALL, BETWEEN(1, JOB_RETRY_FACTOR_MAX),
	  .metavar = "X",
	  .help = "each delay is so many times the one before (default: the daemon's setting, 2)" },
	{ NAME("max_delay"), .type = JK_DURATION, .kinds = JK_ALL, BETWEEN(0, JOB_DURATION_MAX_US),
	  .metavar = "DURATION",
	  .help = "a delay gets no longer (default: the daemon's setting, 5min)" },
	{ NAME("jitter"), .type = JK_NUMBER, .kinds = JK_ALL, BETWEEN(0, 1), .metavar = "X",
	  .help = "each delay is up to this part of it shorter or longer (default: the daemon's "
		  "setting, 0.1)" },
	{ NAME("on"), .type = JK_ERRORS, .kinds = JK_ALL, .metavar = "ERROR",
	  .help = "only after such an error: a code, exit:N or http:N (default: any)" },
	{ 0 },
};

static const struct jobkey limits_members[] = {
	{ NAME("cpu"), .type = JK_DURATION, .kinds = WORKER, .flags = JK_REFS,
	  BETWEEN(1, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "processor time that each of its processes may use, in whole seconds" },
	{ NAME("memory"), .type = JK_SIZE, .kinds = WORKER, .flags = JK_REFS, BETWEEN(1, INT64_MAX),
	  .metavar = "SIZE", .help = "address space that each of its processes may have" },
	{ NAME("files"), .type = JK_INTEGER, .kinds = WORKER, .flags = JK_REFS,
	  BETWEEN(1, JOB_FILES_MAX), .metavar = "N",
	  .help = "files that each of its processes may have open (default: the daemon's setting, "
		  "1024)" },
	{ NAME("output"), .type = JK_SIZE, .kinds = WORKER, .flags = JK_REFS, BETWEEN(0, INT64_MAX),
	  .metavar = "SIZE",
	  .help = "how much of its output is kept, the first and the last part (default, and the "
		  "most: the daemon's setting, 10M)" },
	{ 0 },
};

const struct jobkey jobkeys[] = {
	/* every kind */
	{ NAME("kind"), .type = JK_CHOICE, .kinds = JK_ALL, .flags = JK_REQUIRED,
	  .choices = kind_words, .metavar = "KIND", .help = "what sort of job it is" },
	{ NAME("name"), .field = JK_FIELD_NAME, .type = JK_LABEL, .kinds = JK_ALL,
	  BETWEEN(1, JOB_NAME_MAX_BYTES), .metavar = "NAME",
	  .help = "a label for people; need not be unique" },
	{ NAME("tags"), .field = JK_FIELD_TAGS, .type = JK_LABELS, .kinds = JK_ALL,
	  BETWEEN(1, JOB_NAME_MAX_BYTES), .metavar = "TAG", .help = "labels to filter by",
	  .otherwise = "[]" },
	{ NAME("queue"), .field = JK_FIELD_QUEUE, .type = JK_LABEL, .kinds = FETCH | WORKER,
	  BETWEEN(1, JOB_NAME_MAX_BYTES), .metavar = "QUEUE",
	  .help = "whose limit it counts against (default: the one named like the kind)" },
	{ NAME("priority"), .field = JK_FIELD_PRIORITY, .type = JK_INTEGER, .kinds = JK_ALL,
	  BETWEEN(-JOB_PRIORITY_MAX, JOB_PRIORITY_MAX), .metavar = "N",
	  .help = "higher starts first (default: 0)", .otherwise = "0" },
	{ NAME("delay"), .field = JK_FIELD_DELAY, .type = JK_DURATION, .kinds = JK_ALL,
	  BETWEEN(0, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "do not start before so much time has passed", .otherwise = "0" },
	{ NAME("at"), .field = JK_FIELD_AT, .type = JK_TIME, .kinds = JK_ALL, .metavar = "TIME",
	  .help = "do not start before this time" },
	{ NAME("needs"), .field = JK_FIELD_NEEDS, .type = JK_NEEDS, .kinds = JK_ALL,
	  .metavar = "ID[:WHEN]",
	  .help = "start only after the job's success (or WHEN: failure, or done, its end)",
	  .otherwise = "[]" },
	{ NAME("timeout"), .field = JK_FIELD_TIMEOUT, .type = JK_DURATION, .kinds = JK_ALL,
	  .flags = JK_REFS, BETWEEN(1, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "how long an attempt may take" },
	{ NAME("deadline"), .field = JK_FIELD_DEADLINE, .type = JK_DURATION, .kinds = JK_ALL,
	  BETWEEN(1, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "how long its whole life may take, waiting included" },
	{ NAME("retry"), .field = JK_FIELD_RETRY, .type = JK_OBJECT, .kinds = JK_ALL,
	  .members = retry_members, .metavar = "RETRY", .help = "when and how often to try again",
	  .otherwise = "{}" },
	{ NAME("on_lost"), .field = JK_FIELD_ON_LOST, .type = JK_CHOICE, .kinds = FETCH | WORKER,
	  .choices = on_lost_words, .metavar = "WHAT",
	  .help = "what to do when the daemon or the machine dies during an attempt" },
	{ NAME("grace"), .field = JK_FIELD_GRACE, .type = JK_DURATION, .kinds = JK_ALL,
	  .flags = JK_REFS, BETWEEN(0, JOB_GRACE_MAX_US), .metavar = "DURATION",
	  .help = "between the polite stop and the kill (default: the daemon's setting, 5s)" },
	{ NAME("shield"), .field = JK_FIELD_SHIELD, .type = JK_BOOL, .kinds = JK_ALL,
	  .flags = JK_PART, .help = "a cancel of its parent waits for it", .otherwise = "false" },
	{ NAME("key"), .field = JK_FIELD_KEY, .type = JK_STRING, .kinds = JK_ALL,
	  .flags = JK_NO_NUL | JK_WHOLE, BETWEEN(1, JOB_KEY_MAX_BYTES), .metavar = "KEY",
	  .help = "submitting again with the same key gives the same job" },
	{ NAME("keep"), .field = JK_FIELD_KEEP, .type = JK_DURATION, .kinds = JK_ALL,
	  .flags = JK_WHOLE, BETWEEN(0, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "how long its record and output stay after the end (default: the daemon's "
		  "setting, 30d)" },

	/* timer */
	{ NAME("sleep"), .type = JK_DURATION, .kinds = TIMER, .flags = JK_REQUIRED | JK_REFS,
	  BETWEEN(0, JOB_DURATION_MAX_US), .metavar = "DURATION", .help = "how long it runs" },
	{ NAME("value"), .type = JK_JSON, .kinds = TIMER, .flags = JK_REFS, .metavar = "JSON",
	  .help = "its result (default: null)", .otherwise = "null" },

	/* fetch */
	{ NAME("url"), .type = JK_URL, .kinds = FETCH, .flags = JK_REQUIRED | JK_SECRET | JK_REFS,
	  BETWEEN(1, JOB_URL_MAX_BYTES), .metavar = "URL", .help = "what to fetch (http, https)" },
	{ NAME("output"), .type = JK_STRING, .kinds = FETCH, .flags = JK_NO_NUL | JK_REFS,
	  BETWEEN(1, JOB_PATH_MAX_BYTES), .metavar = "PATH",
	  .help = "the file to write (default: kept by the daemon)" },
	{ NAME("overwrite"), .type = JK_BOOL, .kinds = FETCH, .flags = JK_REFS,
	  .help = "replace an existing file", .otherwise = "false" },
	{ NAME("method"), .type = JK_STRING, .kinds = FETCH, .flags = JK_NO_NUL | JK_REFS,
	  BETWEEN(1, 32), .metavar = "METHOD",
	  .help = "HTTP method (default: GET; POST with a body)", .rule = JK_RULE_METHOD },
	{ NAME("headers"), .type = JK_MAP, .kinds = FETCH, .flags = JK_SECRET | JK_NO_NUL | JK_REFS,
	  BETWEEN(0, JOB_STRING_MAX_BYTES), .metavar = "NAME=VALUE", .help = "a request header",
	  .rule = JK_RULE_HEADERS, .otherwise = "{}" },
	{ NAME("body"), .type = JK_STRING, .kinds = FETCH, .flags = JK_SECRET | JK_REFS,
	  BETWEEN(0, PROTO_LINE_MAX_BYTES), .metavar = "TEXT", .help = "what to send" },
	{ NAME("checksum"), .type = JK_CHECKSUM, .kinds = FETCH, .flags = JK_REFS,
	  .metavar = "sha256:HEX", .help = "fail unless the content has this checksum" },
	{ NAME("resume"), .type = JK_BOOL, .kinds = FETCH, .flags = JK_REFS,
	  .help = "another attempt goes on with what the last one got (the default)",
	  .otherwise = "true" },
	{ NAME("max_size"), .type = JK_SIZE, .kinds = FETCH, .flags = JK_REFS,
	  BETWEEN(1, INT64_MAX), .metavar = "SIZE",
	  .help = "fail when the content is larger (default: the daemon's setting, none)" },
	{ NAME("expect"), .type = JK_EXPECT, .kinds = FETCH, .flags = JK_REFS, .metavar = "STATUS",
	  .help = "good HTTP statuses, like 204 or 200-299 (the default)",
	  .otherwise = "[\"200-299\"]" },
	{ NAME("redirects"), .type = JK_INTEGER, .kinds = FETCH, .flags = JK_REFS,
	  BETWEEN(0, JOB_REDIRECTS_MAX), .metavar = "N",
	  .help = "how many redirects to follow (default: the daemon's setting, 10)" },
	{ NAME("connect_timeout"), .type = JK_DURATION, .kinds = FETCH, .flags = JK_REFS,
	  BETWEEN(1, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "how long connecting may take (default: the daemon's setting, 30s)" },
	{ NAME("idle_timeout"), .type = JK_DURATION, .kinds = FETCH, .flags = JK_REFS,
	  BETWEEN(1, JOB_DURATION_MAX_US), .metavar = "DURATION",
	  .help = "how long nothing may arrive (default: the daemon's setting, 60s)" },
	{ NAME("insecure"), .type = JK_BOOL, .kinds = FETCH, .flags = JK_REFS,
	  .help = "do not verify the server's certificate", .otherwise = "false" },

	/* worker */
	{ NAME("argv"), .type = JK_STRINGS, .kinds = WORKER,
	  .flags = JK_REQUIRED | JK_NO_NUL | JK_REFS, BETWEEN(0, JOB_ARG_MAX_BYTES),
	  .metavar = "ARG", .help = "the program and its arguments; no shell",
	  .rule = JK_RULE_ARGV },
	{ NAME("cwd"), .type = JK_STRING, .kinds = WORKER, .flags = JK_NO_NUL | JK_REFS,
	  BETWEEN(1, JOB_PATH_MAX_BYTES), .metavar = "DIR", .help = "the directory to run in",
	  .rule = JK_RULE_ABSOLUTE },
	{ NAME("env"), .type = JK_MAP, .kinds = WORKER, .flags = JK_SECRET | JK_NO_NUL | JK_REFS,
	  BETWEEN(0, JOB_ARG_MAX_BYTES), .metavar = "NAME=VALUE",
	  .help = "a variable of its environment", .rule = JK_RULE_ENV, .otherwise = "{}" },
	{ NAME("stdin"), .type = JK_STRING, .kinds = WORKER,
	  .flags = JK_SECRET | JK_NO_NUL | JK_REFS, BETWEEN(0, JOB_STRING_MAX_BYTES),
	  .metavar = "TEXT", .help = "what it reads on standard input (default: nothing)" },
	{ NAME("umask"), .type = JK_MODE, .kinds = WORKER, .flags = JK_REFS, .metavar = "MODE",
	  .help = "permissions its files do not get, in octal (default: the daemon's setting)" },
	{ NAME("nice"), .type = JK_INTEGER, .kinds = WORKER, .flags = JK_REFS, BETWEEN(-20, 19),
	  .metavar = "N",
	  .help = "its CPU priority, from -20 to 19, the least (default: the daemon's own)" },
	{ NAME("limits"), .type = JK_OBJECT, .kinds = WORKER, .flags = JK_REFS,
	  .members = limits_members, .metavar = "LIMITS", .help = "what it may use",
	  .otherwise = "{}" },
	{ NAME("success"), .type = JK_INTEGERS, .kinds = WORKER, .flags = JK_REFS, BETWEEN(0, 255),
	  .metavar = "STATUS", .help = "exit statuses that count as success (default: 0)",
	  .otherwise = "[0]" },

	/* compositions */
	{ NAME("on_failure"), .field = JK_FIELD_ON_FAILURE, .type = JK_CHOICE, .kinds = GATHER,
	  .flags = JK_REFS, .choices = on_failure_words, .metavar = "WHAT",
	  .help = "what becomes of the other parts when one fails", .otherwise = "\"cancel\"" },
	{ NAME("limit"), .field = JK_FIELD_LIMIT, .type = JK_INTEGER, .kinds = GATHER,
	  .flags = JK_REFS, BETWEEN(1, JOB_PARTS_MAX), .metavar = "N",
	  .help = "how many parts run at once (default: all)" },
	/* The last one: what a part may refer to is known by then. */
	{ NAME("jobs"), .type = JK_PARTS, .kinds = JK_GROUPS, .flags = JK_REQUIRED,
	  .metavar = "JOBS", .help = "the parts" },
};

const size_t n_jobkeys = sizeof(jobkeys) / sizeof(*jobkeys);

_Static_assert(sizeof(jobkeys) / sizeof(*jobkeys) <= JOBKEYS_MAX, "raise JOBKEYS_MAX");

const struct jobkey *jobkey_find_any(const char *name, size_t len)
{
	for (size_t i = 0; i < n_jobkeys; i++)
		if (jobkeys[i].name_len == len && jobkeys[i].name[0] == name[0] &&
		    memcmp(jobkeys[i].name, name, len) == 0)
			return &jobkeys[i];
	return NULL;
}

const struct jobkey *jobkey_find(enum job_kind kind, const char *name)
{
	const struct jobkey *key = jobkey_find_any(name, strlen(name));

	return key && key->kinds & JK_KINDS(kind) ? key : NULL;
}
