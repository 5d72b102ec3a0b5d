/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_JOBPRINT_H
#define CLIENT_JOBPRINT_H

#include "client/out.h"
#include "client/table.h"
#include "proto/buf.h"

#include <jansson.h>

/* Job objects, as people want to see them. */

/* The member @key as text, or NULL. */
const char *job_string(const json_t *job, const char *key);
int64_t job_id(const json_t *job);
bool job_is_done(const json_t *job);
bool job_has_succeeded(const json_t *job);

/* Append "waiting (time)", "running", "failed (exit 3)": state, outcome and reason in one. */
void job_add_state(struct buf *b, const json_t *job);
/* Append what it does, on one line: the command, the URL, the duration. */
void job_add_summary(struct buf *b, const json_t *job);
/* Append a sentence about how it ended: "job 7 failed: exit status 3". */
void job_add_ending(struct buf *b, const json_t *job);
enum out_color job_color(const json_t *job);

/* The table of "list". */
struct table *jobs_table_new(void);
/* @branch stands in front of the kind: the job's place in a tree. */
void jobs_table_add(struct table *t, const json_t *job, const char *branch);
/* @n_more parts of composition @parent are not shown. */
void jobs_table_add_more(struct table *t, int64_t n_more, int64_t parent, const char *branch);

/* All facts, one per line: "show". */
void job_print(const json_t *job);

/* Append every member of @value, one per line, nested names joined by dots: "info", "stats". */
void facts_add(struct buf *b, const char *name, const json_t *value);

/* Append a time like "2026-11-20 10:00:00 (5min ago)", of the local zone.  @text is RFC 3339. */
void time_add(struct buf *b, const char *text);
/* Append microseconds, no finer than a person wants: "3.2s", "2h 5min". */
void span_add(struct buf *b, int64_t us);

#endif
