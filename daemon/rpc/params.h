/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_PARAMS_H
#define DAEMON_RPC_PARAMS_H

#include "daemon/rpc/rpc.h"
#include "proto/err.h"

#include <jansson.h>

/*
 * Check @params (NULL = none were sent) against the method's table: names,
 * presence, types, ranges.  0, or -EINVAL with AW_PARAMS and the JSON pointer
 * of the place in @err.  Pure.
 */
int params_check(const struct rpc_method *method, const json_t *params, struct aw_err *err);

#endif
