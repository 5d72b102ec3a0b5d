/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "daemon/store/db.h"

/* What is in force on the one connection: it is asked, not the code that sets it (R1.1). */

/* ---- what SQLite does, seen from below ---- */

static atomic_int n_shm; /* opened files of shared memory */
static atomic_int sync_errno;

/* SQLite is given this in place of open(). */
static int watching_open(const char *path, int flags, ...)
{
	size_t len = strlen(path);
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int); /* SQLite passes it always */
	va_end(ap);
	if (len > 4 && strcmp(path + len - 4, "-shm") == 0)
		atomic_fetch_add(&n_shm, 1);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fdatasync(int fd)
{
	int e = atomic_load(&sync_errno);

	if (e == 0)
		return (int)syscall(SYS_fdatasync, fd);
	errno = e;
	return -1;
}

static int flag(sqlite3 *db, int option)
{
	int value = -1;

	ck_assert_int_eq(sqlite3_db_config(db, option, -1, &value), SQLITE_OK);
	return value;
}

/* How connections were closed: did they leave the log alone? */
static struct {
	int n;
	int left_log[8];
} closed;

int sqlite3_close(sqlite3 *db)
{
	int (*real)(sqlite3 *);

	*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_close");
	if (db && closed.n < 8)
		closed.left_log[closed.n++] = flag(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE);
	return real(db);
}

static void setup_watch(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)watching_open),
			 SQLITE_OK);
	atomic_store(&n_shm, 0);
	atomic_store(&sync_errno, 0);
	memset(&closed, 0, sizeof(closed));
	fx_setup_dir();
}

static void teardown_watch(void)
{
	atomic_store(&sync_errno, 0);
	fx_teardown();
}

/* ---- settings ---- */

static const struct {
	const char *pragma, *value;
} pragmas[] = {
	{ "journal_mode", "wal" },
	{ "synchronous", "2" }, /* FULL */
	{ "locking_mode", "exclusive" },
	{ "foreign_keys", "1" },
	{ "trusted_schema", "0" },
	{ "cell_size_check", "1" },
	{ "mmap_size", "0" },
	{ "temp_store", "2" }, /* MEMORY */
	{ "busy_timeout", "2000" },
	{ "wal_autocheckpoint", "0" }, /* thread.c does them */
	{ "secure_delete", "2" },
	{ "page_size", "4096" }, /* FAST */
	{ "recursive_triggers", "0" },
	{ "query_only", "0" },
};

static void expect_pragma(sqlite3 *db, const char *pragma, const char *value)
{
	cleanup_free char *sql = xasprintf("PRAGMA %s", pragma);
	sqlite3_stmt *stmt;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_msg(sqlite3_step(stmt) == SQLITE_ROW, "%s", sql);
	ck_assert_msg(strcmp((const char *)sqlite3_column_text(stmt, 0), value) == 0,
		      "%s is %s, not %s", pragma, sqlite3_column_text(stmt, 0), value);
	sqlite3_finalize(stmt);
}

static void expect_settings(sqlite3 *db)
{
	for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++)
		expect_pragma(db, pragmas[i].pragma, pragmas[i].value);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_DEFENSIVE), 1);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA), 0);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_ENABLE_FKEY), 1);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE), 1);
	/* Extended codes; nothing is changed. */
	ck_assert_int_eq(
		sqlite3_exec(db, "INSERT INTO doc VALUES (12345, '{}', NULL)", NULL, NULL, NULL),
		SQLITE_CONSTRAINT_FOREIGNKEY);
}

/* The thread sleeps: it has nothing to do before the first request. */
START_TEST(a_new_database_has_all_settings)
{
	fx_open();
	expect_settings(fx.store->db);
}
END_TEST

START_TEST(an_existing_database_has_all_settings)
{
	fx_open();
	fx_insert_one();
	fx_restart();
	expect_settings(fx.store->db);
}
END_TEST

/* What has not been accepted yet: nothing of it may be changed, not even by closing it. */
START_TEST(a_connection_begins_with_what_protects_the_file)
{
	cleanup_free char *path = fx_path("awaitd.db");
	sqlite3 *db = NULL;

	fx_open();
	fx_close();
	ck_assert_int_eq(db_open(path, DB_EXISTING, &db), SQLITE_OK);
	expect_pragma(db, "locking_mode", "exclusive");
	expect_pragma(db, "mmap_size", "0");
	expect_pragma(db, "temp_store", "2");
	expect_pragma(db, "busy_timeout", "2000");
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_DEFENSIVE), 1);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA), 0);
	ck_assert_int_eq(flag(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE), 1);
	db_close(db);
}
END_TEST

/* Whoever does not know what DEFENSIVE is for: this. */
START_TEST(nobody_writes_to_the_schema)
{
	fx_open();
	ck_assert_int_ne(sqlite3_exec(fx.store->db,
				      "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema",
				      NULL, NULL, NULL),
			 SQLITE_OK);
}
END_TEST

/* ---- the log ---- */

static int last_close(void)
{
	ck_assert_int_gt(closed.n, 0);
	return closed.left_log[closed.n - 1];
}

START_TEST(an_orderly_close_takes_the_log_in)
{
	cleanup_free char *wal = fx_path("awaitd.db-wal");

	fx_open();
	fx_insert_one();
	ck_assert_int_eq(access(wal, F_OK), 0);
	ck_assert_int_eq(fx_close(), 0);
	ck_assert_int_eq(last_close(), 0);
	ck_assert_int_ne(access(wal, F_OK), 0);
}
END_TEST

/* A store with one job, whose next commit has failed. */
static void open_and_fail_a_sync(void)
{
	/* Nobody answers it: the store has it until it is closed. */
	static struct store_new_job job;
	static struct store_insert in;

	job = fx_job();
	in = (struct store_insert){ .jobs = &job, .n = 1, .at = fx_at(0) };
	fx_open();
	fx_insert_one();
	atomic_store(&sync_errno, EIO);
	fx_submit(&in.op, STORE_INSERT);
	while (fx.fatal_status == 0)
		loop_turn(true);
	atomic_store(&sync_errno, 0);
}

/* After a failed sync a checkpoint would only seem to work (R1.5). */
START_TEST(a_close_after_an_error_leaves_the_log)
{
	open_and_fail_a_sync();
	ck_assert_int_eq(fx_close(), EX_IOERR);
	ck_assert_int_eq(last_close(), 1);
}
END_TEST

START_TEST(a_refusal_leaves_the_log)
{
	fx_open();
	fx_insert_one();
	fx_close();
	fx_raw("PRAGMA user_version = 99");
	ck_assert_int_eq(fx_try_open(), EX_CONFIG);
	ck_assert_int_eq(last_close(), 1);
}
END_TEST

/* ---- files ---- */

static void expect_private(const char *name)
{
	cleanup_free char *path = fx_path(name);
	struct stat st;

	ck_assert_msg(stat(path, &st) == 0, "%s", path);
	ck_assert_msg((st.st_mode & 07777) == 0600, "%s: mode %o", name, st.st_mode & 07777);
}

/* The daemon's umask is 077; the store does not count on it. */
START_TEST(every_file_is_private)
{
	struct store_options options = fx_options();
	mode_t before = umask(077);

	options.reserve_bytes = 1 << 20;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	fx_insert_one();
	expect_private("awaitd.db");
	expect_private("awaitd.db-wal");
	expect_private("awaitd.db.reserve");
	umask(before);
}
END_TEST

/* Exclusive before the first look at the log: so there is none, and no second opener. */
START_TEST(there_is_never_shared_memory)
{
	cleanup_free char *shm = fx_path("awaitd.db-shm");

	fx_open();
	for (int i = 0; i < 10; i++)
		fx_done_job();
	ck_assert_int_ne(access(shm, F_OK), 0);
	fx_restart();
	fx_insert_one();
	fx_close();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_int_eq(atomic_load(&n_shm), 0);
}
END_TEST

/* Nor where a log was left behind, which has to be read first. */
START_TEST(a_recovery_needs_no_shared_memory)
{
	open_and_fail_a_sync();
	fx_close();
	expect_private("awaitd.db-wal");
	fx_open();
	ck_assert_int_ge(fx_insert_one(), 2);
	ck_assert_int_eq(atomic_load(&n_shm), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_connection");
	TCase *t = tcase_create("connection");

	tcase_add_checked_fixture(t, setup_watch, teardown_watch);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_new_database_has_all_settings);
	tcase_add_test(t, an_existing_database_has_all_settings);
	tcase_add_test(t, a_connection_begins_with_what_protects_the_file);
	tcase_add_test(t, nobody_writes_to_the_schema);
	tcase_add_test(t, an_orderly_close_takes_the_log_in);
	tcase_add_test(t, a_close_after_an_error_leaves_the_log);
	tcase_add_test(t, a_refusal_leaves_the_log);
	tcase_add_test(t, every_file_is_private);
	tcase_add_test(t, there_is_never_shared_memory);
	tcase_add_test(t, a_recovery_needs_no_shared_memory);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
