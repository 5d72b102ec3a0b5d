/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/co/loop.h"
#include "daemon/store/store.h"
#include "daemon/store/store_int.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

/* A store in a folder of its own, the real loop, and requests that are waited for. */

#define FX_SPEC "{\"kind\":\"worker\",\"argv\":[\"true\"]}"
#define FX_NOW_MS INT64_C(1790000000000)

static struct {
	char dir[64];
	struct store *store;
	struct aw_err err;
	int fatal_status;
	char fatal_message[512];
	char log[4096]; /* what the store said, line by line */
	size_t n_done;
} fx;

static pthread_mutex_t fx_log_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void fx_on_log(int priority, const char *message)
{
	size_t len;

	(void)priority;
	pthread_mutex_lock(&fx_log_lock);
	len = strlen(fx.log);
	snprintf(fx.log + len, sizeof(fx.log) - len, "%s\n", message);
	pthread_mutex_unlock(&fx_log_lock);
}

static inline void fx_on_fatal(int status, const char *message)
{
	ck_assert_int_eq(fx.fatal_status, 0);
	fx.fatal_status = status;
	snprintf(fx.fatal_message, sizeof(fx.fatal_message), "%s", message);
}

static inline struct store_options fx_options(void)
{
	return (struct store_options){
		.state_dir = fx.dir,
		.allow_unsafe_fs = true,
		.check_max_bytes = 256 << 20,
		.key_kept_ms = 24 * 3600 * 1000,
		.on_fatal = fx_on_fatal,
		.log = fx_on_log,
	};
}

/* store_open()'s answer; the store itself is fx.store. */
static inline int fx_try_open(void)
{
	struct store_options options = fx_options();

	aw_err_fini(&fx.err);
	return store_open(&options, &fx.store, &fx.err);
}

static inline void fx_open(void)
{
	int r = fx_try_open();

	ck_assert_msg(r == 0, "store_open: %d: %s", r, fx.err.message);
}

static inline int fx_close(void)
{
	int status = store_close(fx.store);

	fx.store = NULL;
	return status;
}

static inline char *fx_path(const char *name)
{
	return xasprintf("%s/%s", fx.dir, name);
}

/* An empty folder; no store yet. */
static inline void fx_setup_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	memset(&fx, 0, sizeof(fx));
	snprintf(fx.dir, sizeof(fx.dir), "%.40s/store.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(fx.dir));
	ck_assert_int_eq(loop_init(), 0);
}

static inline void fx_setup(void)
{
	fx_setup_dir();
	fx_open();
}

static inline void fx_remove_dir(void)
{
	DIR *d = opendir(fx.dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		cleanup_free char *path = fx_path(e->d_name);

		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(fx.dir);
}

static inline void fx_teardown(void)
{
	fx_close();
	aw_err_fini(&fx.err);
	loop_fini();
	fx_remove_dir();
}

static inline void fx_restart(void)
{
	fx_close();
	fx_open();
}

/* ---- requests ---- */

static inline void fx_on_done(struct store_op *op)
{
	(void)op;
	fx.n_done++;
}

static inline void fx_submit(struct store_op *op, enum store_op_type type)
{
	op->type = type;
	op->done = fx_on_done;
	store_submit(fx.store, op);
}

/* Submit and wait; the result. */
static inline int fx_run(struct store_op *op, enum store_op_type type)
{
	size_t want = fx.n_done + 1;

	fx_submit(op, type);
	while (fx.n_done < want)
		loop_turn(true);
	return op->result;
}

static inline struct instant fx_at(int64_t ms)
{
	return (struct instant){
		.wall = { FX_NOW_MS + ms },
		.boot = { 5000000000 + ms * 1000000 },
	};
}

static inline struct store_new_job fx_job(void)
{
	return (struct store_new_job){
		.kind = JOB_WORKER,
		.queue = "worker",
		.uid = 1000,
		.gid = 1001,
		.spec = FX_SPEC,
		.spec_len = strlen(FX_SPEC),
		.keep_s = -1,
	};
}

/* Insert @jobs; the result. */
static inline int fx_insert(struct store_new_job *jobs, size_t n)
{
	struct store_insert in = { .jobs = jobs, .n = n, .at = fx_at(0) };

	return fx_run(&in.op, STORE_INSERT);
}

/* One plain job; its id. */
static inline int64_t fx_insert_one(void)
{
	struct store_new_job job = fx_job();

	ck_assert_int_eq(fx_insert(&job, 1), 0);
	return job.id;
}

static inline struct store_change fx_change(int64_t id, uint32_t attempt, enum job_state from,
					    enum job_state to)
{
	return (struct store_change){
		.id = id,
		.attempt = attempt,
		.from = from,
		.to = to,
		.at = fx_at(1000),
		.outcome = to == JOB_DONE      ? JOB_SUCCEEDED
			   : to == JOB_WAITING ? JOB_LOST
					       : JOB_UNENDED,
		.why = to == JOB_STOPPING ? STOP_CANCEL : STOP_NONE,
	};
}

/* What the directory of a job holds, whatever its id: for store_change.count_files. */
static int64_t fx_files_bytes;

static inline int64_t fx_count_files(int64_t id)
{
	ck_assert_int_gt(id, 0);
	return fx_files_bytes;
}

/* A change that needs nothing more; the result. */
static inline int fx_move(int64_t id, uint32_t attempt, enum job_state from, enum job_state to)
{
	struct store_change c = fx_change(id, attempt, from, to);
	int r = fx_run(&c.op, STORE_CHANGE);

	store_change_fini(&c);
	return r;
}

/* A job that has run once and succeeded. */
static inline int64_t fx_done_job(void)
{
	int64_t id = fx_insert_one();

	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_DONE), 0);
	return id;
}

static inline struct store_load fx_load(int64_t id)
{
	struct store_load l = { .id = id, .quick_ms = 10000 };

	ck_assert_int_eq(fx_run(&l.op, STORE_LOAD), 0);
	return l;
}

/* ---- behind the store's back; it must be closed ---- */

static inline sqlite3 *fx_raw_open(void)
{
	cleanup_free char *path = fx_path("awaitd.db");
	sqlite3 *db;

	ck_assert_ptr_null(fx.store);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

static inline void fx_raw(const char *sql)
{
	sqlite3 *db = fx_raw_open();
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static inline int64_t fx_raw_int(const char *sql)
{
	sqlite3 *db = fx_raw_open();
	sqlite3_stmt *stmt;
	int64_t value;

	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
		      sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static char fx_findings[4096]; /* of the last fx_check(), line by line */

static inline void fx_on_finding(const char *line)
{
	size_t len = strlen(fx_findings);

	snprintf(fx_findings + len, sizeof(fx_findings) - len, "%s\n", line);
}

/* awaitd --check. */
static inline int fx_check(void)
{
	fx_findings[0] = '\0';
	aw_err_fini(&fx.err);
	return store_check(fx.dir, fx_on_finding, &fx.err);
}

static inline void fx_expect_sound(void)
{
	int r = fx_check();

	ck_assert_msg(r == 0, "%s: %s", fx.err.message, fx_findings);
	ck_assert_str_eq(fx_findings, "");
}

/*
 * As after a kill -9: a child opens the store with @open_it, does @work and dies,
 * so that nothing is brought home.
 */
static inline void fx_kill(int (*open_it)(void), void (*work)(void))
{
	int status;
	pid_t pid;

	loop_fini(); /* its descriptors are not for two */
	pid = fork();
	if (pid == 0) {
		ck_assert_int_eq(loop_init(), 0);
		ck_assert_int_eq(open_it(), 0);
		work();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(loop_init(), 0);
}

static inline void fx_kill_after(void (*work)(void))
{
	fx_kill(fx_try_open, work);
}

static inline int fx_main(Suite *suite)
{
	return suite_run(suite);
}

#endif
