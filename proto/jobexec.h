/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBEXEC_H
#define PROTO_JOBEXEC_H

#include "proto/jobvalue.h"

#include <stdbool.h>
#include <stddef.h>

/* What execve() is given of a document, argv and env: what it can never take is refused. */

/* Is @key one of the two? */
bool jobexec_has(const struct jobkey *key);
/* The string at @place is longer than one may be.  Always -EINVAL. */
int jobexec_refuse_length(const struct jobvalue_place *place);
/*
 * May the environment have @name, whose value has @len bytes?  0, or -EINVAL with
 * the reason in place->err.
 */
int jobexec_check_variable(const struct jobvalue_place *place, const char *name, size_t len);

#endif
