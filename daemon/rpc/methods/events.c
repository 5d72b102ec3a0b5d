/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>

#include "daemon/rpc/events.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/* events.subscribe and events.unsubscribe: see rpc/events.h. */

static struct rpc_done subscribe(struct rpc_call *call, json_t *params)
{
	const json_t *since = json_object_get(params, "since");
	struct events_wish wish = { .since = EVENTS_FROM_NOW };
	struct aw_err err = { 0 };
	struct rpc_done done;

	if (filter_bits(params, "kinds", &filter_kinds, &wish.kinds, &err) < 0) {
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	if (json_is_integer(since))
		wish.since = json_integer_value(since);
	if (json_is_array(json_object_get(params, "jobs")))
		wish.jobs = rpc_ids(params, "jobs", &wish.n_jobs);
	done = rpc_later(call, NULL, NULL);
	events_subscribe(call, &wish);
	return done;
}

static const struct rpc_param subscribe_params[] = {
	{ "since", RPC_INTEGER, RPC_NULLABLE, 0, INT64_MAX / 2,
	  "tell what has a higher number; 0 = all that is known (from now)" },
	{ "jobs", RPC_IDS, RPC_NULLABLE, 0, 0, "only of these jobs and their parts" },
	{ "kinds", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0,
	  "timer, fetch, worker, gather, sequence, race" },
	{ 0 },
};

const struct rpc_method method_events_subscribe = {
	.name = "events.subscribe",
	.summary = "be told what happens to jobs",
	.params = subscribe_params,
	.flags = RPC_WHILE_STOPPING | RPC_BARRIER,
	.handler = subscribe,
};

static struct rpc_done unsubscribe(struct rpc_call *call, json_t *params)
{
	(void)params;
	events_unsubscribe(rpc_conn(call));
	return rpc_reply(call, xjson(json_object()));
}

const struct rpc_method method_events_unsubscribe = {
	.name = "events.unsubscribe",
	.summary = "be told no more",
	.flags = RPC_WHILE_STOPPING,
	.handler = unsubscribe,
};
