/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/openmetrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct metric {
	const char *name; /* of the family, without "_total" */
	bool is_counter;
	const char *unit;	    /* the end of the name, or NULL */
	const char *group, *member; /* where daemon.stats has it; NULL: all members of the group */
	const char *label;	    /* NULL, or what a member's name is: one sample each */
	const char
		*of_label_member; /* of each such member, an object, this member; NULL = itself */
	const char *help;
};

static const struct metric metrics[] = {
	{ "awaitd_jobs", false, NULL, "jobs", "states", "state", NULL, "Stored jobs by state." },
	{ "awaitd_jobs_done", false, NULL, "jobs", "outcomes", "outcome", NULL,
	  "Stored jobs that are done, by outcome." },
	{ "awaitd_jobs_started", true, NULL, "jobs", "started", NULL, NULL,
	  "Attempts that were started since the daemon's start." },
	{ "awaitd_jobs_ended", true, NULL, "jobs", "ended", NULL, NULL,
	  "Jobs that have ended since the daemon's start." },
	{ "awaitd_queue_running", false, NULL, "queues", NULL, "queue", "running",
	  "Running jobs of a queue." },
	{ "awaitd_queue_waiting", false, NULL, "queues", NULL, "queue", "waiting",
	  "Waiting jobs of a queue." },
	{ "awaitd_queue_limit", false, NULL, "queues", NULL, "queue", "limit",
	  "How many jobs of a queue may run at once." },
	{ "awaitd_queue_paused", false, NULL, "queues", NULL, "queue", "paused",
	  "Whether a queue starts nothing new." },
	{ "awaitd_store_commits", true, NULL, "store", "commits", NULL, NULL,
	  "Transactions that were committed." },
	{ "awaitd_store_rows", true, NULL, "store", "rows", NULL, NULL,
	  "Changes that these transactions held." },
	{ "awaitd_store_queued", false, NULL, "store", "queued", NULL, NULL,
	  "Requests to the store that are not answered yet." },
	{ "awaitd_store_commit_max_seconds", false, "seconds", "store", "commit_max", NULL, NULL,
	  "The longest commit." },
	{ "awaitd_store_wal_bytes", false, "bytes", "store", "wal_bytes", NULL, NULL,
	  "Size of the write-ahead log." },
	{ "awaitd_store_database_bytes", false, "bytes", "store", "database_bytes", NULL, NULL,
	  "Size of the database." },
	{ "awaitd_store_full", false, NULL, "store", "full", NULL, NULL,
	  "Whether the disk of the state directory is full." },
	{ "awaitd_loop_turns", true, NULL, "loop", "turns", NULL, NULL,
	  "Turns of the event loop." },
	{ "awaitd_loop_lag_max_seconds", false, "seconds", "loop", "lag_max", NULL, NULL,
	  "The longest turn of the event loop since this was asked for the last time." },
	{ "awaitd_coroutines", false, NULL, "coroutines", "live", NULL, NULL,
	  "Coroutines that live." },
	{ "awaitd_coroutine_stacks", false, NULL, "coroutines", "stacks", NULL, NULL,
	  "Coroutines with a stack." },
	{ "awaitd_connections", false, NULL, "connections", "open", NULL, NULL,
	  "Clients that are connected." },
	{ "awaitd_connections_opened", true, NULL, "connections", "opened", NULL, NULL,
	  "Clients that were let in." },
	{ "awaitd_connections_refused", true, NULL, "connections", "refused", NULL, NULL,
	  "Clients that were turned away." },
	{ "awaitd_connections_dropped", true, NULL, "connections", "dropped", NULL, NULL,
	  "Clients that were dropped because they did not read." },
	{ "awaitd_connection_buffers_bytes", false, "bytes", "connections", "buffered_bytes", NULL,
	  NULL, "What is in memory for clients." },
	{ "awaitd_requests", true, NULL, "connections", "requests", NULL, NULL,
	  "Requests of clients." },
	{ "awaitd_request_errors", true, NULL, "connections", "errors", NULL, NULL,
	  "Requests that were answered with an error." },
	{ "awaitd_memory_resident_bytes", false, "bytes", "memory", "rss_bytes", NULL, NULL,
	  "Memory of the daemon." },
	{ "awaitd_memory_resident_max_bytes", false, "bytes", "memory", "rss_max_bytes", NULL, NULL,
	  "The most memory that the daemon has had." },
	{ "awaitd_log_dropped", true, NULL, "log", "dropped", NULL, NULL,
	  "Log messages that were dropped because nobody read the log." },
	{ "awaitd_fetch_received_bytes", true, "bytes", "fetch", "received_bytes", NULL, NULL,
	  "What fetches have received." },
};

static void add_escaped(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			buf_addc(b, '\\');
		if (*text == '\n')
			buf_adds(b, "\\n");
		else
			buf_addc(b, *text);
	}
}

static void add_sample(struct buf *b, const struct metric *m, const char *label_value,
		       const json_t *value)
{
	if (!json_is_number(value) && !json_is_boolean(value))
		return;
	buf_adds(b, m->name);
	if (m->is_counter)
		buf_adds(b, "_total");
	if (label_value) {
		buf_addf(b, "{%s=\"", m->label);
		add_escaped(b, label_value);
		buf_adds(b, "\"}");
	}
	if (json_is_real(value))
		buf_addf(b, " %.9g\n", json_real_value(value));
	else
		buf_addf(b, " %lld\n",
			 json_is_boolean(value) ? (long long)json_is_true(value)
						: (long long)json_integer_value(value));
}

static void add_family(struct buf *b, const struct metric *m, const json_t *value)
{
	const json_t *member;
	const char *name;

	buf_addf(b, "# TYPE %s %s\n", m->name, m->is_counter ? "counter" : "gauge");
	if (m->unit)
		buf_addf(b, "# UNIT %s %s\n", m->name, m->unit);
	buf_addf(b, "# HELP %s %s\n", m->name, m->help);
	if (!m->label) {
		add_sample(b, m, NULL, value);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
		add_sample(b, m, name,
			   m->of_label_member ? json_object_get(member, m->of_label_member)
					      : member);
}

void openmetrics_add(struct buf *b, const json_t *stats)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const json_t *value = json_object_get(stats, metrics[i].group);

		if (metrics[i].member)
			value = json_object_get(value, metrics[i].member);
		if (value)
			add_family(b, &metrics[i], value);
	}
	buf_adds(b, "# EOF\n");
}
