/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "daemon/store/copy.h"
#include "daemon/store/db.h"
#include "daemon/store/target.h"

/* A copy of the database while it is in use (R1.9). */

static atomic_int copy_errno;	   /* writes to a copy fail with this; 0 = they work */
static atomic_int copy_delay_ms;   /* and take so long */
static atomic_int hold_after;	   /* after so many they do not come back; -1 = they do */
static atomic_int n_copied_writes; /* how many there were */

static bool is_copy(int fd)
{
	char link[64], path[256] = "";
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n > 0 && strstr(path, ".awaitd-part") != NULL;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (is_copy(fd)) {
		int e = atomic_load(&copy_errno);

		int n = atomic_fetch_add(&n_copied_writes, 1);

		while (atomic_load(&hold_after) >= 0 && n >= atomic_load(&hold_after))
			(void)poll(NULL, 0, 1);
		(void)poll(NULL, 0, atomic_load(&copy_delay_ms));
		if (e != 0) {
			errno = e;
			return -1;
		}
	}
	return (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	return pwrite(fd, data, len, at);
}

static void setup(void)
{
	atomic_store(&copy_errno, 0);
	atomic_store(&copy_delay_ms, 0);
	atomic_store(&hold_after, -1);
	atomic_store(&n_copied_writes, 0);
	fx_setup();
}

/* Some megabytes: more than is kept in memory while the disk over there is slow. */
static void fill(void)
{
	enum { N = 20000, PADDING = 600 };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	cleanup_free char *spec = xasprintf("{\"kind\":\"timer\",\"value\":\"%0*d\"}", PADDING, 0);

	for (int i = 0; i < N; i++) {
		jobs[i] = fx_job();
		jobs[i].kind = JOB_TIMER;
		jobs[i].spec = spec;
		jobs[i].spec_len = strlen(spec);
	}
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	free(jobs);
}

static int prepare(struct store_backup *b, const char *name, bool overwrite)
{
	cleanup_free char *path = fx_path(name);

	*b = (struct store_backup){ 0 };
	aw_err_fini(&fx.err);
	return store_backup_prepare(b, fx.dir, path, overwrite, &fx.err);
}

static int publish(struct store_backup *b)
{
	int r = store_backup_publish(b, &fx.err);

	store_backup_fini(b);
	return r;
}

static int back_up(const char *name, bool overwrite)
{
	struct store_backup b;

	if (prepare(&b, name, overwrite) < 0) {
		store_backup_fini(&b);
		return -EINVAL;
	}
	fx_run(&b.op, STORE_BACKUP);
	return publish(&b);
}

static bool exists(const char *name)
{
	cleanup_free char *path = fx_path(name);

	return access(path, F_OK) == 0;
}

/* As the manual says: stop, put the copy in the database's place without a log, start. */
static void restore(const char *name)
{
	cleanup_free char *copy = fx_path(name), *db = fx_path("awaitd.db");
	cleanup_free char *wal = fx_path("awaitd.db-wal");

	fx_close();
	unlink(wal);
	ck_assert_int_eq(rename(copy, db), 0);
	fx_open();
}

START_TEST(a_copy_can_be_restored)
{
	cleanup_free char *path = fx_path("copy.db");
	struct stat st;

	fx_insert_one();
	fx_done_job();
	ck_assert_int_eq(back_up("copy.db", false), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert(!exists("copy.db.awaitd-part"));
	fx_insert_one();
	restore("copy.db");
	/* The copy is of a store in use: it is looked at as after a crash. */
	ck_assert_ptr_nonnull(strstr(fx.log, "checking"));
	ck_assert_int_eq(fx_insert_one(), 3);
	fx_close();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job WHERE state = 'done'"), 1);
}
END_TEST

/* The store goes on meanwhile, and what it writes is in the copy. */
START_TEST(commits_go_on_during_the_copy)
{
	struct store_change start = fx_change(1, 0, JOB_WAITING, JOB_RUNNING);
	struct store_change last = fx_change(20000, 0, JOB_WAITING, JOB_RUNNING);
	struct store_backup b;
	struct store_stats before, after;
	size_t n;

	fill();
	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	n = fx.n_done;
	store_stats(fx.store, &before);
	atomic_store(&hold_after, 1);
	fx_submit(&b.op, STORE_BACKUP);
	while (atomic_load(&n_copied_writes) == 0)
		loop_turn(false);
	/* Both ends of the file: the first is copied already, the last is not. */
	ck_assert_int_eq(fx_run(&start.op, STORE_CHANGE), 0);
	ck_assert_int_eq(fx_run(&last.op, STORE_CHANGE), 0);
	ck_assert_uint_eq(fx.n_done, n + 2); /* the copy is not done yet */
	store_stats(fx.store, &after);
	ck_assert_uint_eq(after.n_commits - before.n_commits, 2);
	atomic_store(&hold_after, -1);
	while (fx.n_done < n + 3)
		loop_turn(true);
	ck_assert_int_eq(b.op.result, 0);
	ck_assert_int_eq(publish(&b), 0);
	store_change_fini(&start);
	store_change_fini(&last);
	fx_insert_one();
	restore("copy.db");
	fx_close();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_int_eq(fx_raw_int("SELECT sum(id) FROM job WHERE state = 'running'"), 20001);
	ck_assert_int_eq(fx_raw_int("SELECT max(id) FROM job"), 20000);
}
END_TEST

/* Commits do not wait for the disk over there, not even when it hangs. */
START_TEST(a_target_that_hangs_holds_nobody_up)
{
	struct store_backup b;
	size_t n;

	fill();
	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	atomic_store(&hold_after, 2);
	n = fx.n_done;
	fx_submit(&b.op, STORE_BACKUP);
	while (atomic_load(&n_copied_writes) < 3)
		loop_turn(false);
	for (int i = 0; i < 200; i++)
		fx_insert_one();
	ck_assert_uint_eq(fx.n_done, n + 200);
	ck_assert_int_eq(atomic_load(&n_copied_writes), 3);
	atomic_store(&hold_after, -1);
	while (fx.n_done < n + 201)
		loop_turn(true);
	ck_assert_int_eq(publish(&b), 0);
	restore("copy.db");
	fx_close();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 20200);
}
END_TEST

/* Also in pages that were written and forgotten: nothing of it is missing, nothing too much. */
START_TEST(what_changes_again_and_again_is_copied)
{
	struct store_backup b;
	size_t n;

	fill();
	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	atomic_store(&hold_after, 3);
	n = fx.n_done;
	fx_submit(&b.op, STORE_BACKUP);
	while (atomic_load(&n_copied_writes) < 4)
		loop_turn(false);
	for (int64_t id = 20; id <= 20000; id += 20)
		ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	for (int64_t id = 40; id <= 20000; id += 40)
		ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_DONE), 0);
	ck_assert_uint_eq(fx.n_done, n + 1500); /* the copy is not done yet */
	atomic_store(&hold_after, -1);
	while (fx.n_done < n + 1501)
		loop_turn(true);
	ck_assert_int_eq(publish(&b), 0);
	restore("copy.db");
	fx_close();
	ck_assert_int_eq(fx_check(), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job WHERE state = 'running'"), 500);
	ck_assert_int_eq(fx_raw_int("SELECT sum(id) FROM job WHERE state = 'done'"), 5010000);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 20000);
}
END_TEST

START_TEST(a_file_that_is_there_stays)
{
	cleanup_free char *path = fx_path("copy.db");
	struct store_backup b;
	struct stat st;
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs("mine", f);
	fclose(f);
	/* It is said before the work, not after. */
	ck_assert_int_lt(prepare(&b, "copy.db", false), 0);
	store_backup_fini(&b);
	ck_assert_int_eq(fx.err.code, AW_CONFLICT);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 4);
	ck_assert_int_eq(back_up("copy.db", true), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_gt(st.st_size, 4096);
}
END_TEST

/* It was not there when the copying began. */
START_TEST(a_file_that_appears_stays)
{
	cleanup_free char *path = fx_path("copy.db");
	struct store_backup b;
	struct stat st;

	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	ck_assert_int_eq(fx_run(&b.op, STORE_BACKUP), 0);
	ck_assert_int_eq(symlink("elsewhere", path), 0);
	ck_assert_int_lt(publish(&b), 0);
	ck_assert_int_eq(fx.err.code, AW_CONFLICT);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert(!exists("copy.db.awaitd-part"));
}
END_TEST

static const char *const bad_names[] = {
	"awaitd.db",
	"awaitd.db-wal",
	"awaitd.db.v1.bak",
	"awaitd.db.reserve",
	"awaitd.db.new",
	"nowhere/x",
	"x/",
	".",
	"..",
	"../../..",
};

START_TEST(some_names_are_refused)
{
	cleanup_free char *db = fx_path("awaitd.db");
	struct stat before, after;

	fx_insert_one();
	ck_assert_int_eq(stat(db, &before), 0);
	ck_assert_int_lt(back_up(bad_names[_i], true), 0);
	ck_assert_int_eq(fx.err.code, AW_PARAMS);
	ck_assert_int_eq(stat(db, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
}
END_TEST

/* That is the copy's disk, not ours: the store takes jobs as before. */
START_TEST(a_full_target_is_only_an_error)
{
	struct store_stats st;

	fill();
	atomic_store(&copy_errno, ENOSPC);
	ck_assert_int_lt(back_up("copy.db", false), 0);
	ck_assert_int_eq(fx.err.code, AW_STORAGE_FULL);
	ck_assert(!exists("copy.db"));
	ck_assert(!exists("copy.db.awaitd-part"));
	store_stats(fx.store, &st);
	ck_assert(!st.is_full);
	ck_assert_int_eq(fx_insert_one(), 20001);
	atomic_store(&copy_errno, 0);
	ck_assert_int_eq(back_up("copy.db", false), 0);
}
END_TEST

START_TEST(a_target_that_fails_is_only_an_error)
{
	fill();
	atomic_store(&copy_errno, EIO);
	ck_assert_int_lt(back_up("copy.db", false), 0);
	ck_assert_int_eq(fx.err.code, AW_INTERNAL);
	ck_assert(!exists("copy.db.awaitd-part"));
	ck_assert_int_eq(fx.fatal_status, 0);
	ck_assert_int_eq(fx_insert_one(), 20001);
}
END_TEST

START_TEST(a_close_gives_the_copy_up)
{
	struct store_backup b;

	fill();
	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	atomic_store(&copy_delay_ms, 100);
	fx_submit(&b.op, STORE_BACKUP);
	while (atomic_load(&n_copied_writes) == 0)
		loop_turn(false);
	fx_close();
	ck_assert_int_eq(b.op.result, -ECANCELED);
	ck_assert_int_lt(publish(&b), 0);
	ck_assert_int_eq(fx.err.code, AW_SHUTTING_DOWN);
	ck_assert(!exists("copy.db"));
	ck_assert(!exists("copy.db.awaitd-part"));
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 20001);
}
END_TEST

/* It is not waited for: what has grown so far stays there, under the other name. */
START_TEST(a_target_that_hangs_does_not_hold_up_a_close)
{
	struct store_backup b;
	struct mono began;

	fill();
	ck_assert_int_eq(prepare(&b, "copy.db", false), 0);
	atomic_store(&hold_after, 0);
	fx_submit(&b.op, STORE_BACKUP);
	while (atomic_load(&n_copied_writes) == 0)
		loop_turn(false);
	began = now_mono();
	fx_close();
	ck_assert_int_lt(publish(&b), 0);
	ck_assert_int_lt((now_mono().ns - began.ns) / 1000000, 4000);
	ck_assert_int_eq(fx.err.code, AW_SHUTTING_DOWN);
	ck_assert(!exists("copy.db"));
	ck_assert(exists("copy.db.awaitd-part"));
	atomic_store(&hold_after, -1); /* the thread that hung ends */
}
END_TEST

/* Memory is not for ever: all of it changes, and nothing of that gets written. */
START_TEST(too_much_change_for_a_slow_target_is_only_an_error)
{
	struct copy *c = NULL;
	cleanup_free char *path = fx_path("big.db.awaitd-part");
	sqlite3 *db = NULL;

	atomic_store(&hold_after, 0);
	ck_assert_int_eq(copy_start(target_open(path), &c), 0);
	ck_assert_int_eq(copy_register(c), SQLITE_OK);
	ck_assert_int_eq(db_open_in(copy_vfs(c), path, DB_EXISTING, &db), SQLITE_OK);
	copy_unregister(c);
	ck_assert_int_eq(db_exec(db, "PRAGMA journal_mode = MEMORY; CREATE TABLE t (x)"),
			 SQLITE_OK);
	ck_assert_int_ne(db_exec(db, "INSERT INTO t WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL"
				     " SELECT i + 1 FROM n WHERE i < 80) SELECT zeroblob(1 << 20)"
				     " FROM n"),
			 SQLITE_OK);
	ck_assert_int_eq(copy_error(c), ENOBUFS);
	ck_assert(copy_has_room(c, NULL, NULL)); /* so that whoever waits comes to know */
	db_close(db);
	copy_leave(c);
	atomic_store(&hold_after, -1);
	ck_assert(copy_discard(c));
}
END_TEST

/* What a killed backup has left is in nobody's way. */
START_TEST(an_old_part_is_replaced)
{
	cleanup_free char *path = fx_path("copy.db.awaitd-part");
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 300000; i++)
		fputc('x', f);
	fclose(f);
	fx_insert_one();
	ck_assert_int_eq(back_up("copy.db", false), 0);
	restore("copy.db");
	ck_assert_int_eq(fx_insert_one(), 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_backup");
	TCase *t = tcase_create("backup");

	tcase_add_checked_fixture(t, setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_copy_can_be_restored);
	tcase_add_test(t, commits_go_on_during_the_copy);
	tcase_add_test(t, a_target_that_hangs_holds_nobody_up);
	tcase_add_test(t, what_changes_again_and_again_is_copied);
	tcase_add_test(t, a_file_that_is_there_stays);
	tcase_add_test(t, a_file_that_appears_stays);
	tcase_add_loop_test(t, some_names_are_refused, 0, sizeof(bad_names) / sizeof(bad_names[0]));
	tcase_add_test(t, a_full_target_is_only_an_error);
	tcase_add_test(t, a_target_that_fails_is_only_an_error);
	tcase_add_test(t, a_close_gives_the_copy_up);
	tcase_add_test(t, a_target_that_hangs_does_not_hold_up_a_close);
	tcase_add_test(t, too_much_change_for_a_slow_target_is_only_an_error);
	tcase_add_test(t, an_old_part_is_replaced);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
