/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBNEEDS_H
#define PROTO_JOBNEEDS_H

#include "proto/jobdoc.h"
#include "proto/jobvalue.h"

#include <jansson.h>
#include <stddef.h>

/* The key "needs": the jobs whose end a job waits for. */

/*
 * As jobvalue_normal(): a list of ids, of "@N" and of {"job", "on"} where
 * "on" is not "success"; no job is there twice.
 */
json_t *jobneeds_normal(struct jobvalue_place *place, const json_t *value);

/* Read a normal list.  Gives the array; NULL and *ret_n 0 for an empty one. */
struct jobdoc_need *jobneeds_read(const json_t *needs, size_t *ret_n);

#endif
