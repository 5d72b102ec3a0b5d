/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/syscall.h>

/*
 * A disk that fails.  SQLite's system calls go through a table that can be
 * changed, but for fdatasync, which it calls by name: the one here is found
 * before libc's.
 */
static atomic_int write_errno; /* 0 = writes work */
static atomic_int sync_errno;
static atomic_bool spare_log; /* only syncs of the database itself fail */

static bool is_log(int fd)
{
	char link[64], path[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > 4 && memcmp(path + n - 4, "-wal", 4) == 0;
}

int fdatasync(int fd)
{
	int e = atomic_load(&sync_errno);

	if (e == 0 || (atomic_load(&spare_log) && is_log(fd)))
		return (int)syscall(SYS_fdatasync, fd);
	errno = e;
	return -1;
}

static ssize_t failing_pwrite(int fd, const void *data, size_t len, off_t at)
{
	int e = atomic_load(&write_errno);

	if (e == 0)
		return (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
	errno = e;
	return -1;
}

static void install_pwrite(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	/* SQLite uses whichever of the two the system has. */
	vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)failing_pwrite);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)failing_pwrite);
}

static void setup_faults(void)
{
	install_pwrite();
	atomic_store(&write_errno, 0);
	atomic_store(&sync_errno, 0);
	atomic_store(&spare_log, false);
	fx_setup();
}

static void teardown_faults(void)
{
	atomic_store(&write_errno, 0);
	atomic_store(&sync_errno, 0);
	fx_teardown();
}

static bool is_full(void)
{
	struct store_stats st;

	store_stats(fx.store, &st);
	return st.is_full;
}

/* ---- a full disk (R1.6) ---- */

START_TEST(a_full_disk_refuses_new_jobs_and_keeps_changes)
{
	int64_t id = fx_insert_one();
	struct store_new_job job = fx_job(), other = fx_job();
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) };
	struct store_change start = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	struct store_change end = fx_change(id, 1, JOB_RUNNING, JOB_DONE);
	struct store_get get = { .ids = &id, .n = 1 };
	size_t done = fx.n_done;

	atomic_store(&write_errno, ENOSPC);
	fx_submit(&start.op, STORE_CHANGE);
	fx_submit(&in.op, STORE_INSERT);
	while (fx.n_done < done + 1)
		loop_turn(true);
	ck_assert_int_eq(in.op.result, -ENOSPC); /* and not the change */
	ck_assert(is_full());
	ck_assert_int_eq(fx.fatal_status, 0);

	/* Still full: refused at once, queries are answered, later changes queue up behind. */
	ck_assert_int_eq(fx_insert(&other, 1), -ENOSPC);
	fx_submit(&end.op, STORE_CHANGE);
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_int_eq(get.jobs[0].state, JOB_WAITING);
	store_get_fini(&get);
	ck_assert_uint_eq(fx.n_done, done + 3);

	atomic_store(&write_errno, 0);
	while (fx.n_done < done + 5)
		loop_turn(true);
	ck_assert_int_eq(start.op.result, 0);
	ck_assert_str_eq(start.spec, FX_SPEC);
	ck_assert_int_eq(end.op.result, 0);
	ck_assert(!is_full());
	store_change_fini(&start);
	ck_assert_int_eq(fx_insert_one(), 2); /* the refused ones used up no id */
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event"), 2);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 2);
}
END_TEST

/*
 * What belongs together stays together: new jobs among changes are kept like
 * those, new jobs alone are refused like any.
 */
START_TEST(a_full_disk_keeps_together_what_belongs_together)
{
	int64_t id = fx_insert_one();
	struct store_new_job jobs[3] = { fx_job(), fx_job(), fx_job() };
	struct store_insert part = { .jobs = &jobs[0], .n = 1, .at = fx_at(0) };
	struct store_insert first = { .jobs = &jobs[1], .n = 1, .at = fx_at(0) };
	struct store_insert second = { .jobs = &jobs[2], .n = 1, .at = fx_at(0) };
	struct store_change start = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	size_t done = fx.n_done;

	atomic_store(&write_errno, ENOSPC);
	first.op.is_with_next = part.op.is_with_next = true;
	fx_submit(&first.op, STORE_INSERT);
	fx_submit(&second.op, STORE_INSERT);
	fx_submit(&part.op, STORE_INSERT);
	fx_submit(&start.op, STORE_CHANGE);
	while (fx.n_done < done + 2)
		loop_turn(true);
	ck_assert_int_eq(first.op.result, -ENOSPC);
	ck_assert_int_eq(second.op.result, -ENOSPC);
	atomic_store(&write_errno, 0);
	while (fx.n_done < done + 4)
		loop_turn(true);
	ck_assert_int_eq(part.op.result, 0);
	ck_assert_int_eq(jobs[0].id, 2);
	ck_assert_int_eq(start.op.result, 0);
	store_change_fini(&start);
}
END_TEST

/* With nothing to retry, the store finds out by itself that there is space again. */
START_TEST(space_is_noticed_without_requests)
{
	struct store_new_job job = fx_job();

	fx_insert_one();
	atomic_store(&write_errno, ENOSPC);
	ck_assert_int_eq(fx_insert(&job, 1), -ENOSPC);
	ck_assert(is_full());
	atomic_store(&write_errno, 0);
	for (int i = 0; is_full() && i < 500; i++)
		(void)poll(NULL, 0, 10);
	ck_assert(!is_full());
	ck_assert_int_eq(fx_insert_one(), 2);
}
END_TEST

START_TEST(closing_on_a_full_disk_answers_everything)
{
	int64_t id = fx_insert_one();
	struct store_change c = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);

	atomic_store(&write_errno, ENOSPC);
	fx_submit(&c.op, STORE_CHANGE);
	fx_close();
	ck_assert_int_eq(c.op.result, -ENOSPC);
	store_change_fini(&c);
	atomic_store(&write_errno, 0);
	fx_open();
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
}
END_TEST

/* Nothing that a start must write: it works, and refuses until there is space. */
START_TEST(a_full_disk_does_not_prevent_the_start)
{
	struct store_new_job job = fx_job();

	fx_insert_one();
	fx_close();
	atomic_store(&write_errno, ENOSPC);
	fx_open();
	ck_assert_int_eq(fx_insert(&job, 1), -ENOSPC);
	atomic_store(&write_errno, 0);
	for (int i = 0; is_full() && i < 500; i++)
		(void)poll(NULL, 0, 10);
	ck_assert_int_eq(fx_insert_one(), 2);
}
END_TEST

/* ---- a small file system ---- */

static bool mount_small(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", fx.dir, "tmpfs", 0, "size=8m,mode=0700") == 0;
}

START_TEST(a_small_file_system_fills_up)
{
	struct store_new_job jobs[200];
	cleanup_free char *filler = fx_path("filler");
	int r = 0, n = 0;
	FILE *f;

	if (!mount_small())
		return; /* needs root and mount namespaces */
	fx_open();
	for (int i = 0; i < 200; i++)
		jobs[i] = fx_job();
	f = fopen(filler, "we");
	ck_assert_ptr_nonnull(f);
	while (fputc('x', f) >= 0 && n++ < 2 << 20)
		;
	fclose(f);
	for (n = 0; r == 0 && n < 1000; n++)
		r = fx_insert(jobs, 200);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_gt(n, 2);
	ck_assert_int_eq(fx.fatal_status, 0);
	fx_restart(); /* on a full disk */
	unlink(filler);
	for (int i = 0; fx_insert(jobs, 1) != 0 && i < 300; i++)
		(void)poll(NULL, 0, 10);
	ck_assert_int_eq(jobs[0].id, (n - 1) * 200 + 1);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM pragma_integrity_check"
				    " WHERE integrity_check = 'ok'"),
			 1);
	unlink(filler);
	umount(fx.dir);
}
END_TEST

/* ---- errors that end the store (R1.5) ---- */

static void expect_fatal(int status)
{
	while (fx.fatal_status == 0)
		loop_turn(true);
	ck_assert_int_eq(fx.fatal_status, status);
}

START_TEST(a_failed_sync_answers_nothing)
{
	struct store_new_job job = fx_job(), later = fx_job();
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) }, after = in;
	size_t done;
	int64_t id = fx_insert_one();
	struct store_get get = { .ids = &id, .n = 1 };

	done = fx.n_done;
	after.jobs = &later;
	atomic_store(&sync_errno, EIO);
	fx_submit(&in.op, STORE_INSERT);
	fx_submit(&get.op, STORE_GET);
	expect_fatal(EX_IOERR);
	ck_assert_ptr_nonnull(strstr(fx.fatal_message, "disk I/O error"));
	/* The disk works again, but the pages that failed are marked clean: no second try. */
	atomic_store(&sync_errno, 0);
	fx_submit(&after.op, STORE_INSERT);
	for (int i = 0; i < 20; i++) {
		loop_turn(false);
		(void)poll(NULL, 0, 1);
	}
	ck_assert_uint_eq(fx.n_done, done);
	fx_close();
	ck_assert_uint_eq(fx.n_done, done);
	/* What was acknowledged is there; the other may be (its outcome is unknown). */
	fx_open();
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_int_eq(get.jobs[0].id, id);
	store_get_fini(&get);
}
END_TEST

START_TEST(a_failed_write_answers_nothing)
{
	struct store_new_job job = fx_job();
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) };
	size_t done;

	fx_insert_one();
	done = fx.n_done;
	atomic_store(&write_errno, EIO);
	fx_submit(&in.op, STORE_INSERT);
	expect_fatal(EX_IOERR);
	ck_assert_uint_eq(fx.n_done, done);
	fx_close();
	atomic_store(&write_errno, 0);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 2);
}
END_TEST

/*
 * The errors of checkpoints count as well: syncing the database a second time
 * would lie.  What was acknowledged before is in the log, and stays there.
 */
START_TEST(a_failed_checkpoint_ends_the_store)
{
	enum { N = 15000 }; /* a thousand pages and more in one transaction */
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));

	for (int i = 0; i < N; i++)
		jobs[i] = fx_job();
	atomic_store(&spare_log, true);
	atomic_store(&sync_errno, EIO);
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	expect_fatal(EX_IOERR);
	fx_close();
	atomic_store(&sync_errno, 0);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), N + 1);
	free(jobs);
}
END_TEST

/* What was acknowledged is in the log; that the disk failed is not kept quiet. */
START_TEST(a_failed_sync_at_the_end_is_told)
{
	int64_t id = fx_insert_one();
	struct store_get get = { .ids = &id, .n = 1 };

	atomic_store(&spare_log, _i == 1);
	atomic_store(&sync_errno, EIO);
	ck_assert_int_eq(fx_close(), EX_IOERR);
	atomic_store(&sync_errno, 0);
	fx_open();
	ck_assert_ptr_nonnull(strstr(fx.log, "not stopped in order"));
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_int_eq(get.jobs[0].id, id);
	store_get_fini(&get);
	ck_assert_int_eq(fx_close(), 0);
}
END_TEST

/* A number that exists already: only a damaged file has one. */
START_TEST(a_clash_is_damage)
{
	int64_t id = fx_insert_one();
	struct store_change c = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);

	fx_close();
	fx_raw("INSERT INTO attempt (job, attempt, started) VALUES (1, 1, 1)");
	fx_open();
	fx_submit(&c.op, STORE_CHANGE);
	expect_fatal(EX_DATAERR);
	store_change_fini(&c);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event"), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_fault");
	TCase *t = tcase_create("faults");

	tcase_add_checked_fixture(t, setup_faults, teardown_faults);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_full_disk_refuses_new_jobs_and_keeps_changes);
	tcase_add_test(t, a_full_disk_keeps_together_what_belongs_together);
	tcase_add_test(t, space_is_noticed_without_requests);
	tcase_add_test(t, closing_on_a_full_disk_answers_everything);
	tcase_add_test(t, a_full_disk_does_not_prevent_the_start);
	tcase_add_test(t, a_failed_sync_answers_nothing);
	tcase_add_test(t, a_failed_write_answers_nothing);
	tcase_add_test(t, a_failed_checkpoint_ends_the_store);
	tcase_add_loop_test(t, a_failed_sync_at_the_end_is_told, 0, 2);
	tcase_add_test(t, a_clash_is_damage);
	suite_add_tcase(s, t);
	t = tcase_create("tmpfs");
	tcase_add_checked_fixture(t, fx_setup_dir, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_small_file_system_fills_up);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
