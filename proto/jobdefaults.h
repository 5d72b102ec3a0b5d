/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBDEFAULTS_H
#define PROTO_JOBDEFAULTS_H

#include "proto/jobkeys.h"
#include "proto/names.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * What holds where a document, in normal form, says nothing.  What is a
 * setting of the daemon instead is not known here: it may change while the job waits.
 */

const char *jobdefaults_queue(enum job_kind kind); /* NULL = it has none */
/* What a fetch does: its method, or the one its body implies. */
enum job_on_lost jobdefaults_on_lost(enum job_kind kind, const json_t *spec);
bool jobdefaults_is_reading(const char *method); /* GET and the like: again does no harm */

/* Has @key a value that says the same as to leave it out? */
bool jobdefaults_has(const struct jobkey *key);
/*
 * @spec without what holds anyway, its parts' too: documents that ask for the same
 * thing are the same text then.  Gives a new value.
 */
json_t *jobdefaults_leave_out(enum job_kind kind, const json_t *spec);

#endif
