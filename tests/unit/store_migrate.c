/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include "daemon/store/rows.h"

/*
 * Every schema that was released, walked forward to ours (R1.10).  The texts
 * here are fixtures: they are what lies on people's disks, and never change.
 */

static const char schema_1[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE count (what TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE boot (n INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE queue (name TEXT PRIMARY KEY, max INTEGER NOT NULL,"
	"  paused INTEGER NOT NULL CHECK (paused = 0 OR paused = 1)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE job (id INTEGER PRIMARY KEY,"
	"  kind TEXT NOT NULL CHECK (kind = 'worker' OR kind = 'fetch' OR kind = 'timer'"
	"    OR kind = 'gather' OR kind = 'sequence' OR kind = 'race'),"
	"  state TEXT NOT NULL CHECK (state = 'waiting' OR state = 'running' OR state = 'done'"
	"    OR state = 'stopping'),"
	"  outcome TEXT CHECK (outcome IS NULL OR outcome = 'succeeded' OR outcome = 'failed'"
	"    OR outcome = 'cancelled' OR outcome = 'timed_out'"
	"    OR outcome = 'skipped' OR outcome = 'lost'),"
	"  queue TEXT, name TEXT, tags TEXT, priority INTEGER NOT NULL, uid INTEGER NOT NULL,"
	"  gid INTEGER NOT NULL, submitted INTEGER NOT NULL, submit_seq INTEGER NOT NULL,"
	"  last_seq INTEGER, due INTEGER, due_boot INTEGER, boot INTEGER,"
	"  attempt INTEGER NOT NULL, started INTEGER, ended INTEGER, has_key INTEGER NOT NULL,"
	"  hash INTEGER NOT NULL, CHECK ((state = 'done') = (outcome IS NOT NULL)),"
	"  CHECK ((state = 'done') = (ended IS NOT NULL))) STRICT;"
	"CREATE INDEX job_live ON job(id) WHERE outcome IS NULL;"
	"CREATE TABLE doc (job INTEGER PRIMARY KEY REFERENCES job(id), spec TEXT NOT NULL,"
	"  key TEXT) STRICT;"
	"CREATE TABLE stop (job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  why TEXT NOT NULL CHECK (why = 'cancel' OR why = 'timeout'), by_uid INTEGER NOT NULL,"
	"  message TEXT) STRICT;"
	"CREATE TABLE ending (job INTEGER PRIMARY KEY REFERENCES job(id), result TEXT,"
	"  error TEXT) STRICT;"
	"CREATE TABLE attempt (job INTEGER NOT NULL REFERENCES job(id),"
	"  attempt INTEGER NOT NULL CHECK (attempt > 0), started INTEGER NOT NULL,"
	"  started_boot INTEGER, boot INTEGER, ended INTEGER, outcome TEXT, orderly INTEGER,"
	"  executor TEXT, handle TEXT, saved TEXT, error TEXT, PRIMARY KEY (job, attempt),"
	"  CHECK ((outcome IS NULL) = (ended IS NULL))) STRICT, WITHOUT ROWID;"
	"CREATE TABLE event (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, job INTEGER NOT NULL,"
	"  attempt INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT, prev INTEGER) STRICT;"
	"CREATE TABLE submit_key (uid INTEGER NOT NULL, key TEXT NOT NULL, job INTEGER NOT NULL,"
	"  hash INTEGER NOT NULL, expires INTEGER, PRIMARY KEY (uid, key)) STRICT, WITHOUT ROWID;";

/* A waiting, a running, a stopping and an ended job; the hashes are of FX_SPEC. */
static const char rows_1[] =
	"INSERT INTO meta VALUES ('next_id', 3001), ('next_seq', 11), ('clean', 1);"
	"INSERT INTO count VALUES ('waiting', 1), ('running', 1), ('stopping', 1), ('done', 1),"
	"  ('succeeded', 1), ('failed', 0), ('timed_out', 0), ('cancelled', 0), ('skipped', 0),"
	"  ('lost', 0);"
	"INSERT INTO boot VALUES (1, 'another-boot');"
	"INSERT INTO queue VALUES ('worker', 4, 0);"
	"INSERT INTO job VALUES"
	"  (1, 'worker', 'waiting', NULL, 'worker', 'nightly', '[\"a\"]', 5, 1000, 1001,"
	"   1790000000000, 1, NULL, 1790000060000, 65000000000, 1, 0, NULL, NULL, 0, %lld),"
	"  (2, 'worker', 'running', NULL, 'worker', NULL, NULL, 0, 1000, 1001,"
	"   1790000000000, 2, 5, NULL, NULL, NULL, 1, 1790000001000, NULL, 0, %lld),"
	"  (3, 'worker', 'stopping', NULL, 'worker', NULL, NULL, 0, 1000, 1001,"
	"   1790000000000, 3, 9, NULL, NULL, NULL, 1, 1790000001000, NULL, 0, %lld),"
	"  (4, 'worker', 'done', 'succeeded', 'worker', NULL, NULL, 0, 1000, 1001,"
	"   1790000000000, 4, 10, NULL, NULL, NULL, 1, 1790000001000, 1790000003000, 1, %lld);"
	"INSERT INTO doc VALUES (1, '" FX_SPEC "', NULL), (2, '" FX_SPEC "', NULL),"
	"  (3, '" FX_SPEC "', NULL), (4, '" FX_SPEC "', 'k');"
	"INSERT INTO stop VALUES (3, 'timeout', 1000, 'too slow');"
	"INSERT INTO ending VALUES (4, '{\"exit\":0}', NULL);"
	"INSERT INTO attempt (job, attempt, started, ended, outcome, handle) VALUES"
	"  (2, 1, 1790000001000, NULL, NULL, 'pid 7'), (3, 1, 1790000001000, NULL, NULL, NULL),"
	"  (4, 1, 1790000001000, 1790000003000, 'succeeded', NULL);"
	"INSERT INTO event VALUES (5, 1790000001000, 2, 1, 'running', NULL, NULL),"
	"  (6, 1790000001000, 3, 1, 'running', NULL, NULL),"
	"  (7, 1790000001000, 4, 1, 'running', NULL, NULL),"
	"  (9, 1790000002000, 3, 1, 'stopping', NULL, 6),"
	"  (10, 1790000003000, 4, 1, 'done', 'succeeded', 7);"
	"INSERT INTO submit_key VALUES (1000, 'k', 4, 1, 1890000000000),"
	"  (1000, 'of a removed job', 3000, 1, 1890000000000);";

static void make_version_1(void)
{
	const struct rows_immutable immutable = {
		.kind = JOB_WORKER,
		.uid = 1000,
		.gid = 1001,
		.submitted = { FX_NOW_MS },
		.spec_hash = rows_spec_hash(FX_SPEC, strlen(FX_SPEC)),
	};
	long long hash = rows_hash(&immutable);
	cleanup_free char *rows = xasprintf(rows_1, hash, hash, hash, hash);
	cleanup_free char *pragmas = xasprintf(
		"PRAGMA application_id = %d; PRAGMA user_version = 1", SCHEMA_APPLICATION_ID);

	fx_raw(schema_1);
	fx_raw(rows);
	fx_raw(pragmas);
}

START_TEST(version_1_keeps_its_jobs)
{
	static const int64_t ids[] = { 1, 2, 3, 4 };
	struct store_get get = { .ids = ids, .n = 4, .with_attempts = true };
	struct store_load load = { .id = 3 };
	const struct store_job *j;

	make_version_1();
	fx_open();
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	j = get.jobs;
	ck_assert_int_eq(j[0].state, JOB_WAITING);
	ck_assert_str_eq(j[0].name, "nightly");
	ck_assert_int_eq(j[0].due.ms, INT64_C(1790000060000));
	ck_assert_int_eq(j[0].parent, 0);
	ck_assert_int_eq(j[0].retry_of, 0);
	ck_assert_uint_eq(j[0].tries, 0);
	ck_assert(!j[0].is_held);
	ck_assert_uint_eq(j[0].n_children + j[0].n_needs + j[0].n_attempts, 0);
	ck_assert_int_eq(j[1].state, JOB_RUNNING);
	ck_assert_uint_eq(j[1].n_attempts, 1);
	ck_assert_int_eq(j[2].state, JOB_STOPPING);
	ck_assert_int_eq(j[3].outcome, JOB_SUCCEEDED);
	ck_assert_str_eq(j[3].result_json, "{\"exit\":0}");
	store_get_fini(&get);
	ck_assert_int_eq(fx_run(&load.op, STORE_LOAD), 0);
	ck_assert(!load.damaged);
	ck_assert_int_eq(load.why, STOP_TIMEOUT);
	ck_assert_str_eq(load.message, "too slow");
	store_load_fini(&load);
	fx_close();
	fx_expect_sound();
}
END_TEST

START_TEST(version_1_goes_on)
{
	struct store_change end = fx_change(2, 1, JOB_RUNNING, JOB_DONE);

	make_version_1();
	fx_open();
	end.result_json = "{\"exit\":0}";
	fx_files_bytes = 100;
	end.count_files = fx_count_files;
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
	ck_assert_int_eq(end.seq, 11);
	ck_assert_int_eq(fx_move(3, 1, JOB_STOPPING, JOB_DONE), 0);
	ck_assert_int_eq(fx_move(1, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_insert_one(), 3001);
	fx_restart();
	fx_close();
	fx_expect_sound();
	ck_assert_int_eq(fx_raw_int("SELECT kept_bytes FROM tally"), 110);
}
END_TEST

/* The numbers that version 2 had in two tables. */
START_TEST(version_2_keeps_its_counts)
{
	const struct schema two = { .version = 2, .steps = schema_current.steps };
	struct store_stats st;
	sqlite3 *raw;

	make_version_1();
	raw = fx_raw_open();
	ck_assert_int_eq(schema_migrate(raw, &two, 1), SQLITE_OK);
	sqlite3_close(raw);
	fx_raw("UPDATE meta SET value = 10 WHERE key = 'history_seq';"
	       "UPDATE meta SET value = 9 WHERE key = 'pruned_seq';"
	       "UPDATE ending SET kept = 17;"
	       "UPDATE count SET value = 17 WHERE what = 'kept_bytes'");
	fx_open();
	store_stats(fx.store, &st);
	for (int i = 0; i < N_JOB_STATES; i++)
		ck_assert_uint_eq(st.by_state[i], 1);
	ck_assert_uint_eq(st.by_outcome[JOB_SUCCEEDED], 1);
	ck_assert_int_eq(st.kept_bytes, 17);
	ck_assert_int_eq(st.last_seq, 10);
	fx_close();
	fx_expect_sound();
	ck_assert_int_eq(fx_raw_int("SELECT next_id FROM tally"), 3001);
	ck_assert_int_eq(fx_raw_int("SELECT pruned_seq * 100 + history_seq FROM tally"), 910);
}
END_TEST

/* Of the attempts of version 3 no result is known. */
START_TEST(version_3_keeps_its_attempts)
{
	const struct schema three = { .version = 3, .steps = schema_current.steps };
	const int64_t id = 2;
	struct store_get get = { .ids = &id, .n = 1, .with_attempts = true };
	struct store_change end = fx_change(id, 1, JOB_WAITING, JOB_DONE);
	const struct store_attempt *a;
	sqlite3 *raw;

	make_version_1();
	raw = fx_raw_open();
	ck_assert_int_eq(schema_migrate(raw, &three, 1), SQLITE_OK);
	sqlite3_close(raw);
	fx_raw("UPDATE attempt SET ended = started + 1000, outcome = 'failed',"
	       "  error = '{\"exit\":3}' WHERE job = 2;"
	       "UPDATE job SET state = 'waiting', due = 1790000060000 WHERE id = 2;"
	       "UPDATE tally SET waiting = 2, running = 0");
	fx_open();
	end.outcome = JOB_CANCELLED;
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_int_eq(get.jobs[0].outcome, JOB_CANCELLED);
	ck_assert_ptr_null(get.jobs[0].result_json);
	ck_assert_uint_eq(get.jobs[0].n_attempts, 1);
	a = &get.jobs[0].attempts[0];
	ck_assert_int_eq(a->outcome, JOB_FAILED);
	ck_assert_int_eq(a->started.ms, INT64_C(1790000001000));
	ck_assert_str_eq(a->error_json, "{\"exit\":3}");
	ck_assert_ptr_null(a->result_json);
	store_get_fini(&get);
	fx_close();
	fx_expect_sound();
}
END_TEST

/* A database that has come all the way has the same shape as a new one. */
START_TEST(version_1_gets_the_shape_of_a_new_one)
{
	static const char columns[] =
		"SELECT count(*) FROM (SELECT t.name, c.cid, c.name, c.type, c.\"notnull\", c.pk"
		" FROM %s.sqlite_schema AS t, pragma_table_info(t.name, '%s') AS c"
		" EXCEPT SELECT t.name, c.cid, c.name, c.type, c.\"notnull\", c.pk"
		" FROM %s.sqlite_schema AS t, pragma_table_info(t.name, '%s') AS c)";
	cleanup_free char *db = fx_path("awaitd.db"), *old = fx_path("old.db");
	cleanup_free char *attach = xasprintf("ATTACH '%s' AS old", old);
	cleanup_free char *missing = xasprintf(columns, "main", "main", "old", "old");
	cleanup_free char *more = xasprintf(columns, "old", "old", "main", "main");
	const char *const asks[] = {
		missing, more,
		"SELECT count(*) FROM (SELECT name, tbl_name FROM main.sqlite_schema"
		" EXCEPT SELECT name, tbl_name FROM old.sqlite_schema)"
	};
	sqlite3 *raw;

	make_version_1();
	fx_open();
	fx_close();
	ck_assert_int_eq(rename(db, old), 0);
	{
		struct store_options options = fx_options();

		options.is_init = true; /* the copy of version 1 lies there */
		ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	}
	fx_close();
	raw = fx_raw_open();
	ck_assert_int_eq(sqlite3_exec(raw, attach, NULL, NULL, NULL), SQLITE_OK);
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		sqlite3_stmt *stmt;

		ck_assert_msg(sqlite3_prepare_v2(raw, asks[i], -1, &stmt, NULL) == SQLITE_OK, "%s",
			      sqlite3_errmsg(raw));
		ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
		ck_assert_int_eq(sqlite3_column_int(stmt, 0), 0);
		sqlite3_finalize(stmt);
	}
	sqlite3_close(raw);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_migrate");
	TCase *t = tcase_create("migrate");

	tcase_add_checked_fixture(t, fx_setup_dir, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, version_1_keeps_its_jobs);
	tcase_add_test(t, version_1_goes_on);
	tcase_add_test(t, version_2_keeps_its_counts);
	tcase_add_test(t, version_3_keeps_its_attempts);
	tcase_add_test(t, version_1_gets_the_shape_of_a_new_one);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
