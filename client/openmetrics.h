/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_OPENMETRICS_H
#define CLIENT_OPENMETRICS_H

#include "proto/buf.h"

#include <jansson.h>

/*
 * daemon.stats' result as OpenMetrics text (the specification, version 1.0),
 * "# EOF" included.  What the daemon does not tell is left out.  Pure.
 */
void openmetrics_add(struct buf *b, const json_t *stats);

#endif
