/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/co/loop.h"
#include "daemon/store/store.h"
#include "proto/xalloc.h"

/*
 * bench/store [DIR [JOBS [ROWS]]]: the store alone, without protocol and
 * engine.  DIR (default ".") decides about the disk; JOBS (default 1,000,000)
 * is how many waiting and how many ended jobs the figures of a full store are
 * taken with, ROWS (default the same; 10,000,000 is what is promised) how many
 * jobs the growth of an insert's cost is measured over.  One JSON line per figure.
 */

#define SPEC_BYTES 165

static char dir[512];
static char spec[SPEC_BYTES + 1];
static size_t n_done;

static void print(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"store/%s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, value, unit);
	fflush(stdout);
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double seconds_since(struct mono began)
{
	return (double)(now_mono().ns - began.ns) / 1e9;
}

static void on_fatal(int status, const char *message)
{
	fprintf(stderr, "store: %d: %s\n", status, message);
	exit(1);
}

static struct store *open_store(void)
{
	struct store_options options = {
		.state_dir = dir,
		.allow_unsafe_fs = true,
		.on_fatal = on_fatal,
	};
	struct store *store = NULL;
	struct aw_err err = { 0 };

	if (store_open(&options, &store, &err) != 0) {
		fprintf(stderr, "store: %s\n", err.message);
		exit(1);
	}
	return store;
}

static void remove_store(void)
{
	static const char *const names[] = { "awaitd.db", "awaitd.db-wal" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cleanup_free char *path = xasprintf("%s/%s", dir, names[i]);

		unlink(path);
	}
	rmdir(dir);
}

static double bytes_of(const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

static void on_done(struct store_op *op)
{
	assert(op->result == 0);
	n_done++;
}

static void wait_for(size_t n)
{
	while (n_done < n)
		loop_turn(true);
}

static void fill_job(struct store_new_job *job, struct instant now)
{
	*job = (struct store_new_job){
		.kind = JOB_WORKER,
		.queue = "worker",
		.uid = 1000,
		.gid = 1000,
		.due = now,
		.spec = spec,
		.spec_len = SPEC_BYTES,
		.keep_s = -1,
	};
}

/* One request with one job each, @batch of them at once, until @n are in. */
static void insert_batches(struct store *store, size_t n, size_t batch)
{
	struct instant now = { .wall = now_wall() };
	struct store_insert *ops = xcalloc(batch, sizeof(*ops));
	struct store_new_job *jobs = xcalloc(batch, sizeof(*jobs));

	for (size_t done = 0; done < n; done += batch) {
		n_done = 0;
		for (size_t i = 0; i < batch; i++) {
			fill_job(&jobs[i], now);
			ops[i] = (struct store_insert){
				.op = { .type = STORE_INSERT, .done = on_done },
				.jobs = &jobs[i],
				.n = 1,
				.at = now,
			};
			store_submit(store, &ops[i].op);
		}
		wait_for(batch);
	}
	free(ops);
	free(jobs);
}

static void bench_inserts(size_t n, size_t batch)
{
	struct store *store = open_store();
	struct mono began;
	char name[64];
	double cpu;

	insert_batches(store, batch, batch); /* the first transaction does more */
	began = now_mono();
	cpu = cpu_us();
	insert_batches(store, n, batch);
	snprintf(name, sizeof(name), "insert/%zu", batch);
	print(name, (double)n / seconds_since(began), "jobs/s");
	snprintf(name, sizeof(name), "insert_cpu/%zu", batch);
	print(name, (cpu_us() - cpu) / (double)n, "us");
	store_close(store);
	remove_store();
}

/* The life of a job: started, ended; each change of a batch in one commit. */
static void change_batches(struct store *store, size_t n, size_t batch, bool is_start)
{
	struct instant now = { .wall = now_wall(), .boot = now_boot() };
	struct store_change *ops = xcalloc(batch, sizeof(*ops));

	for (size_t done = 0; done < n; done += batch) {
		n_done = 0;
		for (size_t i = 0; i < batch; i++) {
			ops[i] = (struct store_change){
				.op = { .type = STORE_CHANGE, .done = on_done },
				.id = (int64_t)(done + i + 1),
				.attempt = is_start ? 0 : 1,
				.from = is_start ? JOB_WAITING : JOB_RUNNING,
				.to = is_start ? JOB_RUNNING : JOB_DONE,
				.outcome = is_start ? JOB_UNENDED : JOB_SUCCEEDED,
				.at = now,
			};
			store_submit(store, &ops[i].op);
		}
		wait_for(batch);
		for (size_t i = 0; i < batch; i++)
			store_change_fini(&ops[i]);
	}
	free(ops);
}

/* From waiting to done, as a cancel does it. */
static void end_batches(struct store *store, size_t n, size_t batch)
{
	struct instant now = { .wall = now_wall(), .boot = now_boot() };
	struct store_change *ops = xcalloc(batch, sizeof(*ops));

	for (size_t done = 0; done < n; done += batch) {
		n_done = 0;
		for (size_t i = 0; i < batch; i++) {
			ops[i] = (struct store_change){
				.op = { .type = STORE_CHANGE, .done = on_done },
				.id = (int64_t)(done + i + 1),
				.from = JOB_WAITING,
				.to = JOB_DONE,
				.outcome = JOB_CANCELLED,
				.error_json = "{\"code\":\"cancelled\"}",
				.at = now,
			};
			store_submit(store, &ops[i].op);
		}
		wait_for(batch);
	}
	free(ops);
}

static void bench_changes(size_t n, size_t batch)
{
	struct store *store = open_store();
	struct mono began;
	char name[64];
	double cpu;

	insert_batches(store, n, 1000);
	began = now_mono();
	cpu = cpu_us();
	change_batches(store, n, batch, true);
	snprintf(name, sizeof(name), "start/%zu", batch);
	print(name, (double)n / seconds_since(began), "jobs/s");
	snprintf(name, sizeof(name), "start_cpu/%zu", batch);
	print(name, (cpu_us() - cpu) / (double)n, "us");
	began = now_mono();
	cpu = cpu_us();
	change_batches(store, n, batch, false);
	snprintf(name, sizeof(name), "end/%zu", batch);
	print(name, (double)n / seconds_since(began), "jobs/s");
	snprintf(name, sizeof(name), "end_cpu/%zu", batch);
	print(name, (cpu_us() - cpu) / (double)n, "us");
	store_close(store);
	print("bytes_per_ended_job", bytes_of("awaitd.db") / (double)n, "bytes");
	remove_store();
}

static void count_live(void *arg, const struct store_live *job)
{
	size_t *n = arg;

	(void)job;
	++*n;
}

static void bench_start(size_t n)
{
	struct store *store = open_store();
	struct mono began;
	size_t n_live = 0;

	insert_batches(store, n, 1000);
	store_close(store);
	print("bytes_per_job", bytes_of("awaitd.db") / (double)n, "bytes");
	began = now_mono();
	store = open_store();
	print("open", seconds_since(began) * 1000, "ms");
	began = now_mono();
	store_each_live(store, count_live, &n_live);
	print("each_live", seconds_since(began) * 1000, "ms");
	assert(n_live == n);
	began = now_mono();
	insert_batches(store, 200000, 50);
	print("insert_when_full/50", 200000 / seconds_since(began), "jobs/s");
	store_close(store);
	remove_store();
}

/* ---- growth: what does it cost when there is much? ---- */

/* The wall and CPU time of one job's insert, 50 in a commit. */
struct cost {
	double wall_us, cpu_us;
};

static struct cost cost_of_insert(struct store *store)
{
	enum { N = 50000 };
	struct mono began = now_mono();
	double cpu = cpu_us();

	insert_batches(store, N, 50);
	return (struct cost){
		.wall_us = seconds_since(began) * 1e6 / N,
		.cpu_us = (cpu_us() - cpu) / N,
	};
}

static void bench_growth(size_t n_rows)
{
	struct store *store = open_store();
	struct cost few, many;

	insert_batches(store, 10000, 1000);
	few = cost_of_insert(store);
	insert_batches(store, n_rows, 1000);
	many = cost_of_insert(store);
	print("growth/rows", (double)n_rows, "jobs");
	print("growth/insert_rate", 1e6 / many.wall_us, "jobs/s");
	print("growth/insert_rate_ratio", few.wall_us / many.wall_us, "x 10,000 rows");
	print("growth/insert_cpu_ratio", many.cpu_us / few.cpu_us, "x 10,000 rows");
	store_close(store);
	remove_store();
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run(struct store *store, struct store_op *op, enum store_op_type type)
{
	op->type = type;
	op->done = on_done;
	n_done = 0;
	store_submit(store, op);
	wait_for(1);
}

static void run_insert(struct store *store, size_t n_jobs)
{
	struct store_new_job job;
	struct store_insert in = { .jobs = &job, .n = 1, .at = { .wall = now_wall() } };

	(void)n_jobs;
	fill_job(&job, in.at);
	run(store, &in.op, STORE_INSERT);
}

static void run_get(struct store *store, size_t n_jobs)
{
	int64_t id = 1 + (int64_t)((size_t)random() % n_jobs);
	struct store_get get = { .ids = &id, .n = 1 };

	run(store, &get.op, STORE_GET);
	assert(get.jobs[0].id == id);
	store_get_fini(&get);
}

static void run_list(struct store *store, unsigned states, bool descending)
{
	struct store_list list = {
		.uid = STORE_ANY_UID,
		.states = states,
		.limit = 100,
		.max_bytes = 256 * 1024,
		.descending = descending,
	};

	run(store, &list.op, STORE_LIST);
	assert(list.n == 100);
	store_list_fini(&list);
}

static void run_list_all(struct store *store, size_t n_jobs)
{
	(void)n_jobs;
	run_list(store, 0, false);
}

static void run_list_latest(struct store *store, size_t n_jobs)
{
	(void)n_jobs;
	run_list(store, 0, true);
}

static void run_list_waiting(struct store *store, size_t n_jobs)
{
	(void)n_jobs;
	run_list(store, 1u << JOB_WAITING, false);
}

static const struct {
	const char *name;
	void (*fn)(struct store *store, size_t n_jobs);
} requests[] = {
	{ "insert", run_insert },
	{ "get", run_get },
	{ "list_first", run_list_all },
	{ "list_latest", run_list_latest },
	{ "list_waiting", run_list_waiting },
};
enum { N_REQUESTS = sizeof(requests) / sizeof(requests[0]) };

/* The median of each request, one at a time, in a store of @n ended and @n waiting jobs. */
static void measure(struct store *store, size_t n, double medians[N_REQUESTS])
{
	enum { N = 1001 };
	static double took[N];

	insert_batches(store, 2 * n, 1000);
	end_batches(store, n, 1000);
	for (size_t r = 0; r < N_REQUESTS; r++) {
		for (size_t i = 0; i < N; i++) {
			struct mono began = now_mono();

			requests[r].fn(store, 2 * n);
			took[i] = seconds_since(began) * 1e6;
		}
		qsort(took, N, sizeof(took[0]), by_value);
		medians[r] = took[N / 2];
	}
}

/* Inserts, one at a time, until @is_over: the median and the slowest in a hundred. */
static void time_inserts(struct store *store, const char *name, const bool *is_over)
{
	enum { N_MAX = 100000, N_MIN = 1000 };
	double *took = xcalloc(N_MAX, sizeof(*took));
	char figure[64];
	size_t n = 0;

	while (n < N_MAX && (n < N_MIN || !*is_over)) {
		struct mono began = now_mono();

		run_insert(store, 0);
		took[n++] = seconds_since(began) * 1e6;
	}
	qsort(took, n, sizeof(*took), by_value);
	(void)snprintf(figure, sizeof(figure), "prune/insert_p50_%s", name);
	print(figure, took[n / 2], "us");
	(void)snprintf(figure, sizeof(figure), "prune/insert_p99_%s", name);
	print(figure, took[n - 1 - n / 100], "us");
	free(took);
}

static struct {
	struct store *store;
	struct store_prune op;
	size_t n_jobs;
	bool is_over;
} pruning;

static void prune_step(void)
{
	store_submit(pruning.store, &pruning.op.op);
}

static void on_pruned(struct store_op *op)
{
	assert(op->result == 0);
	pruning.n_jobs += pruning.op.n_jobs;
	pruning.is_over = pruning.op.is_at_end;
	if (!pruning.is_over)
		prune_step();
}

/* All @n that have ended go, while somebody inserts: how long does that one wait? */
static void bench_prune(struct store *store, size_t n)
{
	const bool at_once = true;
	struct mono began;

	time_inserts(store, "before", &at_once);
	pruning.store = store;
	pruning.op = (struct store_prune){
		.op = { .type = STORE_PRUNE, .done = on_pruned },
		.now = now_wall(),
		.keep_ms = INT64_MAX,
		.max_bytes = INT64_MAX,
	};
	began = now_mono();
	prune_step();
	time_inserts(store, "while", &pruning.is_over);
	while (!pruning.is_over)
		loop_turn(true);
	assert(pruning.n_jobs == n);
	print("prune/rate", (double)n / seconds_since(began), "jobs/s");
}

static void bench_history(size_t n)
{
	double few[N_REQUESTS], many[N_REQUESTS];
	struct store *store = open_store();
	char name[64];

	measure(store, 1000, few);
	store_close(store);
	remove_store();
	store = open_store();
	measure(store, n, many);
	print("history/jobs", (double)(2 * n), "jobs, half of them ended");
	for (size_t r = 0; r < N_REQUESTS; r++) {
		(void)snprintf(name, sizeof(name), "history/%s", requests[r].name);
		print(name, many[r], "us");
		(void)snprintf(name, sizeof(name), "history/%s_ratio", requests[r].name);
		print(name, many[r] / few[r], "x 2,000 jobs");
	}
	bench_prune(store, n);
	store_close(store);
	remove_store();
}

int main(int argc, char **argv)
{
	static const struct {
		size_t batch, n;
	} sizes[] = {
		{ 1, 5000 }, { 10, 50000 }, { 50, 200000 }, { 100, 200000 }, { 1000, 400000 },
	};
	size_t n_start = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;

	snprintf(dir, sizeof(dir), "%s/bench-store.%ld", argc > 1 ? argv[1] : ".", (long)getpid());
	memset(spec, 'x', SPEC_BYTES);
	if (loop_init() < 0)
		return 1;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		bench_inserts(sizes[i].n, sizes[i].batch);
	bench_changes(100000, 1);
	bench_changes(200000, 50);
	bench_start(n_start);
	bench_growth(argc > 3 ? strtoul(argv[3], NULL, 10) : n_start);
	bench_history(n_start);
	loop_fini();
	return 0;
}
