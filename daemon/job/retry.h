/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_RETRY_H
#define DAEMON_JOB_RETRY_H

#include "proto/err.h"
#include "proto/jobdoc.h"

#include <stdbool.h>
#include <stdint.h>

/* When a failed attempt is tried again.  Pure but for the settings. */

/*
 * May an attempt that ended with @err be followed by another one, when
 * @n_used retries are used up?
 */
bool retry_wants(const struct jobdoc_retry *r, uint32_t n_used, const struct aw_err *err);

/* @r with what was not given taken from the settings in force, which are asked for each retry. */
struct jobdoc_retry retry_with_settings(const struct jobdoc_retry *r);

/*
 * The back-off before retry number @n_used + 1: delay * factor ^ n_used, at most
 * max_delay, spread by +- jitter with @random, which is evenly spread over 0 ... 1.
 * Nothing of @r is -1.
 */
int64_t retry_delay_us(const struct jobdoc_retry *r, uint32_t n_used, double random);

#endif
