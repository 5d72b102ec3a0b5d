/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* What is opened, refused, migrated, checked (R1.1, R1.2, R1.10, R1.11). */

/* The file system that the state directory seems to be on; 0 = the true one. */
static unsigned long fs_type;

int fstatfs(int fd, struct statfs *ret)
{
	int r = (int)syscall(SYS_fstatfs, fd, ret);

	if (fs_type != 0)
		memcpy(&ret->f_type, &fs_type, sizeof(ret->f_type));
	return r;
}

/* ---- files ---- */

static char *read_all(const char *name, size_t *ret_len)
{
	cleanup_free char *path = fx_path(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *data;

	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(fstat(fd, &st), 0);
	data = xmalloc((size_t)st.st_size + 1);
	ck_assert_int_eq(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_len = (size_t)st.st_size;
	return data;
}

static void write_all(const char *name, const void *data, size_t len)
{
	cleanup_free char *path = fx_path(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static bool exists(const char *name)
{
	cleanup_free char *path = fx_path(name);

	return access(path, F_OK) == 0;
}

static void expect_same(const char *name, const char *before, size_t len_before)
{
	size_t len;
	cleanup_free char *after = read_all(name, &len);

	ck_assert_uint_eq(len_before, len);
	ck_assert_mem_eq(before, after, len);
}

/* The open is refused with @status, the message has @word, and the files are as before. */
static void expect_refusal(int status, const char *word)
{
	size_t len, wal_len = 0;
	cleanup_free char *before = read_all("awaitd.db", &len), *wal = NULL;
	int r;

	if (exists("awaitd.db-wal"))
		wal = read_all("awaitd.db-wal", &wal_len);
	r = fx_try_open();
	ck_assert_msg(r == status, "%d instead of %d: %s", r, status, fx.err.message);
	ck_assert_msg(strstr(fx.err.message, word), "%s", fx.err.message);
	expect_same("awaitd.db", before, len);
	if (wal)
		expect_same("awaitd.db-wal", wal, wal_len);
}

/* A sound database with some jobs, closed. */
static void make_database(void)
{
	fx_open();
	for (int i = 0; i < 50; i++)
		fx_insert_one();
	fx_done_job();
	fx_close();
}

/* ---- the directory ---- */

START_TEST(makes_its_directory)
{
	struct store_options options = fx_options();
	cleanup_free char *dir = fx_path("a/b/state"), *a = fx_path("a"), *b = fx_path("a/b");
	cleanup_free char *db = fx_path("a/b/state/awaitd.db");
	struct stat st;

	options.state_dir = dir;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(db, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	fx_close();
	unlink(db);
	rmdir(dir);
	rmdir(b);
	rmdir(a);
}
END_TEST

START_TEST(closes_its_directory_to_others)
{
	struct stat st;

	ck_assert_int_eq(chmod(fx.dir, 0755), 0);
	fx_open();
	ck_assert_int_eq(stat(fx.dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(a_directory_may_be_reached_through_a_link)
{
	struct store_options options = fx_options();
	cleanup_free char *link = xasprintf("%s.link", fx.dir);

	ck_assert_int_eq(symlink(fx.dir, link), 0);
	options.state_dir = link;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	unlink(link);
}
END_TEST

START_TEST(a_file_is_no_directory)
{
	struct store_options options = fx_options();
	cleanup_free char *path = fx_path("file");

	write_all("file", "x", 1);
	options.state_dir = path;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 1);
}
END_TEST

/* R1.14: NFS, CIFS, SMB2, 9p, FUSE. */
static const unsigned long unsafe_types[] = { 0x6969, 0xff534d42, 0xfe534d42, 0x01021997,
					      0x65735546 };

START_TEST(network_file_systems_are_refused)
{
	struct store_options options = fx_options();

	options.allow_unsafe_fs = false;
	fs_type = unsafe_types[_i];
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), EX_CONFIG);
	ck_assert_ptr_nonnull(strstr(fx.err.message, "allow_unsafe_fs"));
	ck_assert(!exists("awaitd.db"));
	options.allow_unsafe_fs = true;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	fx_close();
	options.allow_unsafe_fs = false;
	fs_type = 0xef53; /* ext4 */
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
}
END_TEST

/* ---- a second opener ---- */

START_TEST(a_second_opener_is_told)
{
	struct store_options options = fx_options();
	struct store *second = NULL;

	fx_open();
	ck_assert_int_eq(store_open(&options, &second, &fx.err), EX_TEMPFAIL);
	ck_assert_ptr_nonnull(strstr(fx.err.message, "another awaitd uses this state directory"));
	/* And the first one goes on. */
	fx_insert_one();
}
END_TEST

/* Somebody who knows nothing of our lock has the file; the child is that somebody. */
START_TEST(a_locked_database_is_told)
{
	int ready[2], over[2], status;
	char c;
	pid_t pid;

	make_database();
	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(over), 0);
	pid = fork();
	if (pid == 0) {
		cleanup_free char *path = fx_path("awaitd.db");
		sqlite3 *db;

		close(over[1]);
		sqlite3_open(path, &db);
		sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE", NULL, NULL,
			     NULL);
		write(ready[1], "x", 1);
		_exit(read(over[0], &c, 1) != 0);
	}
	close(over[0]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(fx_try_open(), EX_TEMPFAIL);
	ck_assert_ptr_nonnull(strstr(fx.err.message, "another awaitd uses this state directory"));
	close(over[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(ready[0]);
	close(ready[1]);
	fx_open();
}
END_TEST

/* Nobody gets at the file while we have it (R1.2). */
START_TEST(nobody_else_can_open_it)
{
	cleanup_free char *path = fx_path("awaitd.db");
	int status;
	pid_t pid;

	make_database();
	fx_open();
	fx_insert_one();
	pid = fork();
	if (pid == 0) {
		sqlite3 *db;
		int rc = sqlite3_open(path, &db);

		if (rc == SQLITE_OK)
			rc = sqlite3_exec(db, "SELECT count(*) FROM job", NULL, NULL, NULL);
		_exit(rc == SQLITE_BUSY ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- what is no database of ours ---- */

START_TEST(an_empty_file_is_refused)
{
	write_all("awaitd.db", "", 0);
	expect_refusal(EX_DATAERR, "empty");
}
END_TEST

START_TEST(text_is_refused)
{
	write_all("awaitd.db", "hello\n", 6);
	expect_refusal(EX_DATAERR, "not a database of awaitd");
}
END_TEST

START_TEST(a_foreign_database_is_refused)
{
	fx_raw("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
	expect_refusal(EX_DATAERR, "not a database of awaitd");
}
END_TEST

START_TEST(a_directory_in_its_place_is_refused)
{
	cleanup_free char *path = fx_path("awaitd.db");

	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
	rmdir(path);
}
END_TEST

START_TEST(a_link_in_its_place_is_refused)
{
	cleanup_free char *path = fx_path("awaitd.db"), *other = fx_path("other.db");

	make_database();
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(symlink(other, path), 0);
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
}
END_TEST

START_TEST(a_newer_version_is_refused)
{
	make_database();
	fx_raw("PRAGMA user_version = 99");
	expect_refusal(EX_CONFIG, "newer awaitd");
}
END_TEST

START_TEST(version_zero_is_refused)
{
	make_database();
	fx_raw("PRAGMA user_version = 0");
	expect_refusal(EX_DATAERR, "damaged");
}
END_TEST

/* ---- damage ---- */

START_TEST(a_truncated_file_is_refused)
{
	static const size_t lengths[] = { 50, 100, 1000, 4096, 8192, 5 * 4096 + 17 };
	cleanup_free char *path = fx_path("awaitd.db");

	make_database();
	ck_assert_int_eq(truncate(path, (off_t)lengths[_i]), 0);
	expect_refusal(EX_DATAERR, "awaitd.db");
}
END_TEST

START_TEST(a_zeroed_file_is_refused)
{
	cleanup_free char *zeros = xcalloc(1, 65536);

	make_database();
	write_all("awaitd.db", zeros, 65536);
	expect_refusal(EX_DATAERR, "not a database of awaitd");
}
END_TEST

/* Pages that the start itself does not read: only the check after an unclean stop sees them. */
START_TEST(damage_is_seen_after_an_unclean_stop)
{
	int64_t root;
	size_t len;
	char *data;

	make_database();
	fx_raw("UPDATE meta SET value = 0 WHERE key = 'clean'");
	root = fx_raw_int("SELECT rootpage FROM sqlite_schema WHERE name = 'queue'");
	data = read_all("awaitd.db", &len);
	memset(data + (root - 1) * 4096, 0xa5, 4096);
	write_all("awaitd.db", data, len);
	free(data);
	expect_refusal(EX_DATAERR, ".clone saved.db");
	ck_assert_ptr_nonnull(strstr(fx.log, "checking"));
}
END_TEST

START_TEST(numbers_that_would_be_dealt_again_are_damage)
{
	static const char *const wrongs[] = {
		"UPDATE tally SET next_id = 51",
		"UPDATE tally SET next_seq = 3",
		"DELETE FROM meta WHERE key = 'clean'",
	};

	make_database();
	fx_raw(wrongs[_i]);
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
}
END_TEST

static void insert_twenty(void)
{
	for (int i = 0; i < 20; i++)
		fx_insert_one();
	fx_move(1, 0, JOB_WAITING, JOB_RUNNING);
}

START_TEST(a_kill_loses_nothing)
{
	struct store_stats st;

	fx_kill_after(insert_twenty);
	ck_assert(exists("awaitd.db-wal"));
	fx_open();
	ck_assert_ptr_nonnull(strstr(fx.log, "not stopped in order"));
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_WAITING], 19);
	ck_assert_uint_eq(st.by_state[JOB_RUNNING], 1);
	ck_assert_int_eq(fx_insert_one(), 21);
}
END_TEST

/* Seconds of checking would hold up the start. */
START_TEST(a_large_database_is_not_checked_at_the_start)
{
	cleanup_free char *path = fx_path("awaitd.db");

	fx_kill_after(insert_twenty);
	ck_assert_int_eq(truncate(path, INT64_C(300) << 20), 0); /* sparse; SQLite does not mind */
	fx_open();
	ck_assert_ptr_nonnull(strstr(fx.log, "too large for a check at start"));
	ck_assert_ptr_null(strstr(fx.log, "checking"));
	ck_assert_int_eq(fx_insert_one(), 21);
}
END_TEST

/* ---- missing ---- */

START_TEST(a_missing_database_is_no_fresh_start)
{
	static const char *const traces[] = { "awaitd.db-wal", "awaitd.db.v1.bak",
					      "awaitd.db.reserve", "alive", "output" };
	struct store_options options = fx_options();

	write_all(traces[_i], "x", 1);
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
	ck_assert_ptr_nonnull(strstr(fx.err.message, traces[_i]));
	ck_assert_ptr_nonnull(strstr(fx.err.message, "--init"));
	ck_assert(!exists("awaitd.db"));
	options.is_init = true;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	fx_restart();
}
END_TEST

/* A log that is left would be replayed into the new database. */
START_TEST(init_moves_an_old_log_away)
{
	struct store_options options = fx_options();
	cleanup_free char *path = fx_path("awaitd.db");

	fx_kill_after(insert_twenty);
	unlink(path);
	options.is_init = true;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	ck_assert_int_eq(fx_insert_one(), 1);
	ck_assert(exists("awaitd.db-wal.orphan"));
}
END_TEST

START_TEST(a_half_made_database_is_made_again)
{
	write_all("awaitd.db.new", "half", 4);
	write_all("awaitd.db.new-journal", "half", 4);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 1);
}
END_TEST

START_TEST(init_keeps_an_existing_database)
{
	struct store_options options = fx_options();

	make_database();
	options.is_init = true;
	ck_assert_int_eq(store_open(&options, &fx.store, &fx.err), 0);
	ck_assert_int_eq(fx_insert_one(), 52);
}
END_TEST

/* ---- migrations (R1.10): the released ones are in store_migrate.c ---- */

#define MAX_VERSION 50

static const char step_next[] = "ALTER TABLE queue ADD COLUMN colour TEXT;"
				"CREATE TABLE extra (x INTEGER PRIMARY KEY);"
				"INSERT INTO extra SELECT id FROM job;";
static const char step_last[] = "CREATE TABLE more (y TEXT); INSERT INTO more VALUES ('z');";
static const char step_bad[] = "CREATE TABLE half (y TEXT); INSERT INTO nowhere VALUES ('z');";

/* Our schema with @n more steps, of which the second is @last. */
static int open_schema(int n, const char *last)
{
	const char *steps[MAX_VERSION];
	const struct schema schema = { .version = schema_current.version + n, .steps = steps };
	struct store_options options = fx_options();

	ck_assert_int_le(schema.version, MAX_VERSION);
	memcpy(steps, schema_current.steps, (size_t)schema_current.version * sizeof(*steps));
	steps[schema_current.version] = step_next;
	steps[schema_current.version + 1] = last;
	aw_err_fini(&fx.err);
	return store_open_schema(&options, &schema, &fx.store, &fx.err);
}

static int open_newer(void)
{
	return open_schema(2, step_last);
}

/* The name of the copy that is kept of a database of our version. */
static char *bak_name(void)
{
	return xasprintf("awaitd.db.v%d.bak", schema_current.version);
}

/* Nor is the log of a newer daemon replayed or thrown away. */
START_TEST(a_newer_version_in_the_log_is_refused)
{
	fx_kill(open_newer, insert_twenty);
	expect_refusal(EX_CONFIG, "newer awaitd");
	ck_assert_int_eq(open_newer(), 0);
	ck_assert_int_eq(fx_insert_one(), 21);
}
END_TEST

static int64_t bak_int(const char *name, const char *sql)
{
	cleanup_free char *path = fx_path(name), *db = fx_path("awaitd.db");
	cleanup_free char *aside = fx_path("aside.db");
	int64_t value;

	ck_assert_int_eq(rename(db, aside), 0);
	ck_assert_int_eq(rename(path, db), 0);
	value = fx_raw_int(sql);
	ck_assert_int_eq(rename(db, path), 0);
	ck_assert_int_eq(rename(aside, db), 0);
	return value;
}

START_TEST(an_older_database_is_migrated)
{
	cleanup_free char *name = bak_name(), *bak = fx_path(name);
	struct stat st;

	make_database();
	ck_assert_int_eq(open_newer(), 0);
	ck_assert_int_eq(fx_insert_one(), 52);
	fx_close();
	ck_assert_int_eq(fx_raw_int("PRAGMA user_version"), schema_current.version + 2);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM extra"), 51);
	ck_assert_int_eq(fx_raw_int("SELECT y = 'z' FROM more"), 1);
	/* The copy is the old one, whole, ours, and for nobody else's eyes. */
	ck_assert_int_eq(stat(bak, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(bak_int(name, "PRAGMA user_version"), schema_current.version);
	ck_assert_int_eq(bak_int(name, "SELECT count(*) FROM job"), 51);
	ck_assert_int_eq(bak_int(name, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
	ck_assert(!exists("awaitd.db.new.bak"));
	/* The next start has nothing to do; an older program refuses. */
	unlink(bak);
	ck_assert_int_eq(open_newer(), 0);
	ck_assert(!exists(name));
	fx_close();
	expect_refusal(EX_CONFIG, "newer");
}
END_TEST

START_TEST(a_failed_migration_leaves_the_old_database)
{
	cleanup_free char *name = bak_name();
	cleanup_free char *versions = xasprintf("from version %d to %d", schema_current.version,
						schema_current.version + 2);
	size_t len_before, len_after;
	char *before, *after;

	make_database();
	before = read_all("awaitd.db", &len_before);
	ck_assert_int_eq(open_schema(2, step_bad), EX_DATAERR);
	ck_assert_ptr_nonnull(strstr(fx.err.message, versions));
	after = read_all("awaitd.db", &len_after);
	ck_assert_uint_eq(len_before, len_after);
	ck_assert_mem_eq(before, after, len_after);
	free(before);
	free(after);
	ck_assert_int_eq(fx_raw_int("PRAGMA user_version"), schema_current.version);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM sqlite_schema"
				    " WHERE name IN ('extra', 'half')"),
			 0);
	ck_assert(exists(name));
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 52);
}
END_TEST

/* The copy is kept and the program goes back: the old program takes it as it is. */
START_TEST(a_copy_can_be_put_back)
{
	cleanup_free char *name = bak_name(), *bak = fx_path(name), *db = fx_path("awaitd.db");

	make_database();
	ck_assert_int_eq(open_schema(1, NULL), 0);
	fx_close();
	ck_assert_int_eq(rename(bak, db), 0);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 52);
}
END_TEST

/* ---- awaitd --check ---- */

START_TEST(a_sound_database_passes_the_check)
{
	make_database();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_str_eq(fx_findings, "");
	fx_open();
	ck_assert_int_eq(fx_check(), EX_TEMPFAIL);
}
END_TEST

/* A system that tells no boot id: its instants are of none. */
START_TEST(no_boot_is_no_damage)
{
	make_database();
	fx_raw("UPDATE job SET boot = NULL; UPDATE attempt SET boot = NULL; DELETE FROM boot");
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_str_eq(fx_findings, "");
}
END_TEST

START_TEST(no_database_fails_the_check)
{
	ck_assert_int_eq(fx_check(), 1);
	ck_assert(!exists("awaitd.db"));
}
END_TEST

static const struct {
	const char *sql, *finding;
} wrongs[] = {
	{ "DELETE FROM doc WHERE job = 7", "without their document" },
	{ "UPDATE doc SET spec = '{}' WHERE job = 7", "job 7 is damaged" },
	{ "UPDATE job SET state = 'running' WHERE id = 7", "without an open attempt" },
	{ "INSERT INTO attempt (job, attempt, started) VALUES (7, 1, 1)", "do not run" },
	{ "INSERT INTO stop VALUES (7, 'cancel', 0, NULL)", "not to stop" },
	{ "UPDATE event SET state = 'stopping' WHERE state = 'done'", "last event" },
	{ "DELETE FROM event WHERE state = 'running'", "events that are missing" },
	{ "INSERT INTO event SELECT 2, time, 51, 1, 'running', NULL, NULL FROM event LIMIT 1",
	  "or too many" },
	{ "DELETE FROM attempt", "an attempt is missing" },
	{ "UPDATE job SET attempt = 1 WHERE id = 7", "an attempt is missing" },
	{ "INSERT INTO attempt (job, attempt, started, result) VALUES (7, 1, 1, '1')",
	  "attempts that have not ended" },
	{ "INSERT INTO ending VALUES (7, '1', NULL, NULL)", "results of jobs that are not done" },
	{ "UPDATE job SET has_key = 1 WHERE id = 7", "made again" },
	{ "UPDATE job SET submit_seq = 1 WHERE id = 9", "wrong order" },
	{ "INSERT INTO event VALUES (900, 1, 77, 1, 'done', 'lost', NULL)", "do not exist" },
	{ "UPDATE tally SET waiting = waiting + 1", "counts" },
	{ "UPDATE tally SET next_id = 4", "cannot be brought up to date" },
	{ "UPDATE tally SET next_seq = next_seq - 1", "dealt again" },
	{ "DELETE FROM tally", "counts are missing" },
	{ "UPDATE tally SET next_seq = 1; UPDATE event SET state = 'xx' WHERE state = 'done'",
	  "cannot be brought up to date" },
	{ "INSERT INTO submit_key VALUES (1, 'k', 51, 0, NULL)", "never expire" },
	{ "INSERT INTO submit_key VALUES (1, 'k', 77, 0, 1)", "never be forgotten" },
	{ "UPDATE job SET boot = 9, due_boot = 1 WHERE id = 7", "unknown boot" },
	{ "UPDATE job SET parent = 3, part = 0, run_of = 1 WHERE id = 7", "their composition" },
	{ "UPDATE job SET kind = 'race' WHERE id = 9;"
	  "UPDATE job SET parent = 9, part = 0, run_of = 1 WHERE id = 7",
	  "their composition" },
	{ "UPDATE job SET kind = 'race' WHERE id = 3;"
	  "UPDATE job SET parent = 3, part = 0, run_of = 1 WHERE id IN (7, 8)",
	  "there twice" },
	{ "UPDATE job SET parent = 51, part = 0, run_of = 1 WHERE id = 7", "before their parts" },
	{ "INSERT INTO need VALUES (7, 0, 99, 'done')", "whose job is not there" },
	{ "INSERT INTO need VALUES (7, 0, 9, 'done')", "whether they need" },
	{ "UPDATE job SET flags = 4 WHERE id = 7", "whether they need" },
	{ "INSERT INTO deadline VALUES (51, 1, NULL, NULL)", "deadlines of jobs" },
	{ "INSERT INTO deadline VALUES (7, 1, 1, 9)", "unknown boot" },
	{ "INSERT INTO expiry VALUES (7, 1)", "kept for a time" },
	{ "UPDATE job SET keep = 60 WHERE id = 51", "kept for a time" },
	{ "INSERT INTO doomed VALUES (7)", "on their way out" },
	{ "INSERT INTO gone VALUES (7)", "removed jobs" },
	{ "INSERT INTO gone VALUES (700)", "dealt again" },
	{ "UPDATE tally SET pruned_seq = 900", "dealt again" },
	{ "UPDATE tally SET kept_bytes = kept_bytes + 1", "counts" },
	{ "PRAGMA foreign_keys = OFF; INSERT INTO ending VALUES (99, NULL, NULL, NULL)",
	  "belongs to no job" },
	{ "PRAGMA ignore_check_constraints = ON; UPDATE job SET state = 'xx' WHERE id = 7",
	  "CHECK constraint failed" },
};

START_TEST(the_check_finds_what_is_wrong)
{
	make_database();
	fx_raw(wrongs[_i].sql);
	ck_assert_int_eq(fx_check(), EX_DATAERR);
	ck_assert_msg(strstr(fx_findings, wrongs[_i].finding), "%s", fx_findings);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_open");
	TCase *t = tcase_create("open");

	tcase_add_checked_fixture(t, fx_setup_dir, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, makes_its_directory);
	tcase_add_test(t, closes_its_directory_to_others);
	tcase_add_test(t, a_directory_may_be_reached_through_a_link);
	tcase_add_test(t, a_file_is_no_directory);
	tcase_add_loop_test(t, network_file_systems_are_refused, 0, 5);
	tcase_add_test(t, a_second_opener_is_told);
	tcase_add_test(t, a_locked_database_is_told);
	tcase_add_test(t, nobody_else_can_open_it);
	tcase_add_test(t, an_empty_file_is_refused);
	tcase_add_test(t, text_is_refused);
	tcase_add_test(t, a_foreign_database_is_refused);
	tcase_add_test(t, a_directory_in_its_place_is_refused);
	tcase_add_test(t, a_link_in_its_place_is_refused);
	tcase_add_test(t, a_newer_version_is_refused);
	tcase_add_test(t, version_zero_is_refused);
	tcase_add_loop_test(t, a_truncated_file_is_refused, 0, 6);
	tcase_add_test(t, a_zeroed_file_is_refused);
	tcase_add_test(t, damage_is_seen_after_an_unclean_stop);
	tcase_add_loop_test(t, numbers_that_would_be_dealt_again_are_damage, 0, 3);
	tcase_add_test(t, a_kill_loses_nothing);
	tcase_add_test(t, a_large_database_is_not_checked_at_the_start);
	tcase_add_loop_test(t, a_missing_database_is_no_fresh_start, 0, 5);
	tcase_add_test(t, init_moves_an_old_log_away);
	tcase_add_test(t, a_half_made_database_is_made_again);
	tcase_add_test(t, init_keeps_an_existing_database);
	tcase_add_test(t, an_older_database_is_migrated);
	tcase_add_test(t, a_newer_version_in_the_log_is_refused);
	tcase_add_test(t, a_failed_migration_leaves_the_old_database);
	tcase_add_test(t, a_copy_can_be_put_back);
	tcase_add_test(t, a_sound_database_passes_the_check);
	tcase_add_test(t, no_boot_is_no_damage);
	tcase_add_test(t, no_database_fails_the_check);
	tcase_add_loop_test(t, the_check_finds_what_is_wrong, 0,
			    sizeof(wrongs) / sizeof(wrongs[0]));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
