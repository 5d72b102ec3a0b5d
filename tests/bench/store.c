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
 * bench/store [DIR [JOBS]]: the store alone, without protocol and engine.
 * DIR (default ".") decides about the disk; JOBS (default 1,000,000) is how
 * many waiting jobs the start-up figures are taken with.  One JSON line per
 * figure.
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
	loop_fini();
	return 0;
}
