/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/engine.h"
#include "daemon/kinds/xfer.h"
#include "daemon/log.h"
#include "daemon/rpc/conn.h"
#include "daemon/rpc/dispatch.h"
#include "daemon/rpc/events.h"
#include "daemon/rpc/methods/methods.h"
#include "daemon/rpc/server.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* daemon.info, daemon.stats, daemon.reload, daemon.shutdown.  None of them touches the store: they
 * answer at once. */

static void set(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) < 0)
		xalloc_die();
}

static void set_count(json_t *object, const char *name, uint64_t n)
{
	set(object, name, json_integer((json_int_t)n));
}

static json_t *add_object(json_t *object, const char *name)
{
	json_t *member = json_object();

	set(object, name, member);
	return member;
}

/* ---- info ---- */

static json_t *limit_or_null(int64_t limit)
{
	return limit ? json_integer(limit) : json_null();
}

static void add_limits(json_t *limits)
{
	static const struct {
		const char *name;
		int64_t value;
	} all[] = {
		{ "line_bytes", PROTO_LINE_MAX_BYTES },
		{ "depth", PROTO_DEPTH_MAX },
		{ "values", PROTO_VALUES_MAX },
		{ "batch", PROTO_BATCH_MAX },
		{ "ids", PROTO_IDS_MAX },
		{ "id_bytes", PROTO_ID_MAX_BYTES },
		{ "name_bytes", JOB_NAME_MAX_BYTES },
		{ "key_bytes", JOB_KEY_MAX_BYTES },
		{ "tags", JOB_TAGS_MAX },
		{ "priority", JOB_PRIORITY_MAX },
		{ "string_bytes", JOB_STRING_MAX_BYTES },
		{ "arg_bytes", JOB_ARG_MAX_BYTES },
		{ "parts", JOB_PARTS_MAX },
		{ "nesting", JOB_DEPTH_MAX },
		{ "needs", JOB_NEEDS_MAX },
		{ "references", JOB_REFS_MAX },
		{ "resolved_bytes", JOB_RESULTS_MAX_BYTES },
		{ "members", JOB_MEMBERS_MAX },
		{ "timer_values", JOB_VALUES_MAX },
		{ "path_bytes", JOB_PATH_MAX_BYTES },
		{ "url_bytes", JOB_URL_MAX_BYTES },
		{ "redirects", JOB_REDIRECTS_MAX },
		{ "files", JOB_FILES_MAX },
		{ "retries", JOB_RETRIES_MAX },
		{ "retry_factor", JOB_RETRY_FACTOR_MAX },
		{ "retry_on", JOB_RETRY_ON_MAX },
		{ "queue_limit", QUEUE_LIMIT_MAX },
		{ "filter", FILTER_MAX },
		{ "message_bytes", CANCEL_MESSAGE_MAX_BYTES },
		{ "calls", CONN_CALLS_MAX },
		{ "list", LIST_LIMIT_MAX },
		{ "list_bytes", LIST_PAGE_MAX_BYTES },
		{ "list_value_bytes", LIST_VALUE_MAX_BYTES },
		{ "output_bytes", OUTPUT_CHUNK_MAX_BYTES },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		set(limits, all[i].name, json_integer(all[i].value));
	set(limits, "unfinished_jobs", limit_or_null(conf->quota_jobs));
	set(limits, "document_bytes", limit_or_null(conf->quota_bytes));
	set(limits, "duration", duration_to_json(JOB_DURATION_MAX_US));
	set(limits, "grace", duration_to_json(JOB_GRACE_MAX_US));
}

static struct rpc_done info(struct rpc_call *call, json_t *params)
{
	json_t *o = xjson(json_object());
	char started[TIME_TEXT_BYTES];

	(void)params;
	time_format(server_started_at().ms, started);
	set(o, "name", json_string("awaitd"));
	set(o, "version", json_string(PACKAGE_VERSION));
	set(o, "protocol", json_integer(PROTO_VERSION));
	set(o, "pid", json_integer(getpid()));
	set(o, "uid", json_integer((json_int_t)geteuid()));
	set(o, "state_dir", json_string(conf->state_dir));
	set(o, "started_at", json_string(started));
	set(o, "degraded",
	    store_is_degraded(engine_store()) ? json_string("storage_full") : json_null());
	add_limits(add_object(o, "limits"));
	set(o, "settings", conf_to_json(conf));
	return rpc_reply(call, o);
}

const struct rpc_method method_daemon_info = {
	.name = "daemon.info",
	.summary = "what this daemon is, its limits and settings",
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY,
	.handler = info,
};

/* ---- stats ---- */

static void add_jobs(json_t *jobs, const struct store_stats *s)
{
	json_t *states = add_object(jobs, "states"), *outcomes = add_object(jobs, "outcomes");
	struct engine_stats e;

	engine_stats(&e);
	set_count(jobs, "live", e.n_live);
	set_count(jobs, "started", e.n_started);
	set_count(jobs, "ended", e.n_ended);
	for (int i = 0; i < N_JOB_STATES; i++)
		set_count(states, job_state_name((enum job_state)i), s->by_state[i]);
	for (int i = JOB_SUCCEEDED; i < N_JOB_OUTCOMES; i++)
		set_count(outcomes, job_outcome_name((enum job_outcome)i), s->by_outcome[i]);
}

static void add_queues(json_t *queues)
{
	for (size_t i = 0; i < engine_n_queues(); i++) {
		struct queue_view q;
		json_t *o;

		engine_queue(i, &q);
		o = add_object(queues, q.name);
		set_count(o, "limit", (uint64_t)q.limit);
		set(o, "paused", json_boolean(q.is_paused));
		set_count(o, "running", q.n_running);
		set_count(o, "waiting", q.n_waiting);
	}
}

static void add_store(json_t *store, const struct store_stats *s)
{
	set_count(store, "commits", s->n_commits);
	set_count(store, "rows", s->n_rows);
	set_count(store, "queued", s->n_queued);
	set(store, "commit_last", duration_to_json(s->commit_last_us));
	set(store, "commit_max", duration_to_json(s->commit_max_us));
	set_count(store, "wal_bytes", (uint64_t)s->wal_bytes);
	set_count(store, "database_bytes", (uint64_t)s->db_bytes);
	set_count(store, "history_bytes", (uint64_t)s->kept_bytes);
	set(store, "degraded", s->is_degraded ? json_string("storage_full") : json_null());
	set(store, "full", json_boolean(s->is_full));
	set_count(store, "free_bytes", (uint64_t)s->free_bytes);
	set_count(store, "reserve_bytes", (uint64_t)s->reserve_bytes);
}

static void add_loop(json_t *o)
{
	struct loop_stats s;

	loop_stats(&s);
	set_count(o, "turns", s.turns);
	set(o, "lag_last", duration_to_json(s.lag_last_us));
	set(o, "lag_max", duration_to_json(s.lag_max_us));
}

static void add_coroutines(json_t *o)
{
	struct coro_stats s;

	coro_stats(&s);
	set_count(o, "live", s.n_live);
	set_count(o, "stacks", s.n_stacks);
	set_count(o, "pooled", s.n_pooled);
	set(o, "guard", json_string(s.guard ? s.guard : "none"));
	set(o, "substrate", json_string(s.substrate ? s.substrate : "none"));
}

static void add_connections(json_t *o)
{
	struct dispatch_stats d;
	struct server_stats s;
	struct conn_stats c;

	conn_stats(&c);
	server_stats(&s);
	dispatch_stats(&d);
	set_count(o, "open", c.n_open);
	set_count(o, "opened", c.n_opened);
	set_count(o, "refused", s.n_refused);
	set_count(o, "dropped", c.n_dropped);
	set_count(o, "buffered_bytes", c.n_buffered_bytes);
	set_count(o, "requests", d.n_requests);
	set_count(o, "errors", d.n_errors);
	set_count(o, "calls", d.n_calls);
	set_count(o, "subscribed", events_n_subscribers());
}

/* Resident memory now, and the most it ever was. */
static void add_memory(json_t *o)
{
	FILE *f = fopen("/proc/self/statm", "re");
	struct rusage usage = { 0 };
	uint64_t total, resident = 0;

	if (f) {
		if (fscanf(f, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	(void)getrusage(RUSAGE_SELF, &usage);
	set_count(o, "rss_bytes", resident * (uint64_t)sysconf(_SC_PAGESIZE));
	set_count(o, "rss_max_bytes", (uint64_t)usage.ru_maxrss * 1024);
}

static void add_log(json_t *o)
{
	struct log_stats s;

	log_stats(&s);
	set_count(o, "dropped", s.n_dropped);
	set_count(o, "queued", s.n_queued);
}

static struct rpc_done stats(struct rpc_call *call, json_t *params)
{
	json_t *o = xjson(json_object());
	struct store_stats s;

	(void)params;
	store_stats(engine_store(), &s);
	add_jobs(add_object(o, "jobs"), &s);
	add_queues(add_object(o, "queues"));
	add_store(add_object(o, "store"), &s);
	add_loop(add_object(o, "loop"));
	add_coroutines(add_object(o, "coroutines"));
	add_connections(add_object(o, "connections"));
	add_memory(add_object(o, "memory"));
	add_log(add_object(o, "log"));
	set_count(add_object(o, "fetch"), "received_bytes", xfer_received_bytes());
	return rpc_reply(call, o);
}

const struct rpc_method method_daemon_stats = {
	.name = "daemon.stats",
	.summary = "counters and gauges; durations in seconds",
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY,
	.handler = stats,
};

/* ---- reload, shutdown ---- */

static struct rpc_done reload(struct rpc_call *call, json_t *params)
{
	struct aw_err err = { 0 };
	struct rpc_done done;
	json_t *restart = NULL;

	(void)params;
	if (conf_reload(&restart, &err) < 0) {
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	daemon_settings_changed();
	return rpc_reply(call, xjson(json_pack("{s:o}", "needs_restart", restart)));
}

const struct rpc_method method_daemon_reload = {
	.name = "daemon.reload",
	.summary = "read the configuration again; \"needs_restart\" names changed settings that "
		   "wait for one",
	.flags = RPC_ROOT_OR_SELF | RPC_WHILE_STOPPING,
	.handler = reload,
};

static bool wants_drain;

static void on_shutdown(struct loop_task *task)
{
	(void)task;
	daemon_shutdown(wants_drain);
}

/* The answer first, the stop in a later step: it may be the last thing that happens. */
static struct rpc_done shut_down(struct rpc_call *call, json_t *params)
{
	static struct loop_task task = { .fn = on_shutdown };
	struct rpc_done done = rpc_reply(call, xjson(json_object()));

	wants_drain = json_is_true(json_object_get(params, "drain"));
	log_info("uid %d asked us to stop", (int)rpc_uid(call));
	loop_defer(&task);
	return done;
}

static const struct rpc_param shutdown_params[] = {
	{ "drain", RPC_BOOL, RPC_NULLABLE, 0, 0, "first wait for fetches and workers that run" },
	{ 0 },
};

const struct rpc_method method_daemon_shutdown = {
	.name = "daemon.shutdown",
	.summary = "stop the daemon in order",
	.params = shutdown_params,
	.flags = RPC_ROOT_OR_SELF | RPC_WHILE_STOPPING,
	.handler = shut_down,
};
