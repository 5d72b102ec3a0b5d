/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

/*
 * Little space, and none (R1.6).  The file system is a fake: how large it is
 * and how much of it is free is said here, and the functions below are found
 * before libc's.
 */
#define MIB (INT64_C(1) << 20)

static int64_t total_bytes;
static _Atomic int64_t free_bytes;  /* the reserve's included */
static atomic_int write_errno;	    /* writes fail with this; 0 = they work */
static atomic_bool is_eased;	    /* ... until the reserve is gone */
static atomic_int allocate_errno;   /* of posix_fallocate() */
static int n_degraded, n_recovered; /* what the loop was told */

int fstatvfs(int fd, struct statvfs *ret)
{
	int64_t left = atomic_load(&free_bytes);
	struct stat st;

	if (fstatat(fd, "awaitd.db.reserve", &st, 0) == 0)
		left = left > st.st_size ? left - st.st_size : 0;
	memset(ret, 0, sizeof(*ret));
	ret->f_bsize = ret->f_frsize = 4096;
	ret->f_blocks = (fsblkcnt_t)(total_bytes / 4096);
	ret->f_bfree = ret->f_bavail = (fsblkcnt_t)(left / 4096);
	return 0;
}

int posix_fallocate(int fd, off_t from, off_t len)
{
	int e = atomic_load(&allocate_errno);

	if (e != 0)
		return e;
	return syscall(SYS_fallocate, fd, 0, from, len) < 0 ? errno : 0;
}

static bool exists(const char *name)
{
	cleanup_free char *path = fx_path(name);

	return access(path, F_OK) == 0;
}

static ssize_t failing_pwrite(int fd, const void *data, size_t len, off_t at)
{
	int e = atomic_load(&write_errno);

	if (e == 0 || (atomic_load(&is_eased) && !exists("awaitd.db.reserve")))
		return (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
	errno = e;
	return -1;
}

static void on_degraded(bool is_degraded)
{
	if (is_degraded)
		n_degraded++;
	else
		n_recovered++;
}

static void open_with(int64_t reserve, int64_t min_free)
{
	struct store_options options = fx_options();
	int r;

	options.reserve_bytes = reserve;
	options.min_free_bytes = min_free;
	options.on_degraded = on_degraded;
	aw_err_fini(&fx.err);
	r = store_open(&options, &fx.store, &fx.err);
	ck_assert_msg(r == 0, "%d: %s", r, fx.err.message);
}

static void setup(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)failing_pwrite);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)failing_pwrite);
	total_bytes = 1024 * MIB;
	atomic_store(&free_bytes, 512 * MIB);
	fx_setup_dir();
}

static struct store_stats stats(void)
{
	struct store_stats st;

	store_stats(fx.store, &st);
	return st;
}

static int insert(void)
{
	struct store_new_job job = fx_job();

	return fx_insert(&job, 1);
}

/* Turn the loop, without a request, until it was told @n times that all is well again. */
static void wait_recovered(int n)
{
	for (int i = 0; n_recovered < n && i < 400; i++) {
		loop_turn(false);
		(void)poll(NULL, 0, 5);
	}
	ck_assert_int_eq(n_recovered, n);
}

static struct stat stat_of(const char *name)
{
	cleanup_free char *path = fx_path(name);
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st;
}

/* ---- sizes ---- */

START_TEST(the_reserve_is_really_there)
{
	struct stat st;

	open_with(16 * MIB, 64 * MIB);
	st = stat_of("awaitd.db.reserve");
	ck_assert_int_eq(st.st_size, 16 * MIB);
	ck_assert_int_ge(st.st_blocks * 512, 16 * MIB);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stats().reserve_bytes, 16 * MIB);
	ck_assert_int_eq(stats().free_bytes, 496 * MIB);
	ck_assert(!stats().is_degraded);
	/* A stop leaves it where it is: beside it a missing database is no fresh start. */
	fx_close();
	ck_assert(exists("awaitd.db.reserve"));
	open_with(16 * MIB, 64 * MIB);
	ck_assert_int_eq(stat_of("awaitd.db.reserve").st_ino, st.st_ino);
}
END_TEST

START_TEST(a_small_file_system_has_small_measures)
{
	total_bytes = 4 * MIB;
	atomic_store(&free_bytes, 3 * MIB);
	open_with(16 * MIB, 64 * MIB);
	ck_assert_int_eq(stat_of("awaitd.db.reserve").st_size, MIB / 2);
	/* What the log holds fits into the database by what the reserve gives. */
	ck_assert_int_le(stats().wal_bytes, MIB / 4);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(insert(), 0);
	ck_assert_int_le(stats().wal_bytes, MIB / 4 + 16 * 4096);
	/* An eighth is to stay free. */
	atomic_store(&free_bytes, MIB - 4096);
	ck_assert_int_eq(insert(), -ENOSPC);
}
END_TEST

START_TEST(a_half_made_reserve_is_made_again)
{
	cleanup_free char *path = fx_path("awaitd.db.reserve");

	open_with(MIB, 0);
	fx_close();
	ck_assert_int_eq(truncate(path, 4096), 0);
	ck_assert_int_eq(truncate(path, MIB), 0); /* the right size, with nothing behind it */
	open_with(MIB, 0);
	ck_assert_int_ge(stat_of("awaitd.db.reserve").st_blocks * 512, MIB);
	fx_close();
	open_with(2 * MIB, 0); /* another size is wanted */
	ck_assert_int_eq(stat_of("awaitd.db.reserve").st_size, 2 * MIB);
	fx_close();
	open_with(0, 0);
	ck_assert(!exists("awaitd.db.reserve"));
}
END_TEST

START_TEST(a_file_system_without_reserves_works)
{
	atomic_store(&allocate_errno, EOPNOTSUPP);
	open_with(MIB, MIB);
	ck_assert_ptr_nonnull(strstr(fx.log, "going on without"));
	ck_assert_int_eq(insert(), 0);
	ck_assert(!stats().is_degraded);
}
END_TEST

/* ---- little space ---- */

START_TEST(little_space_refuses_new_jobs_only)
{
	int64_t id;

	open_with(MIB, 64 * MIB);
	id = fx_insert_one();
	atomic_store(&free_bytes, 65 * MIB - 65536);
	(void)poll(NULL, 0, 150); /* it does not look at each commit while there is plenty */
	ck_assert_int_eq(insert(), -ENOSPC);
	ck_assert(stats().is_degraded);
	ck_assert(!stats().is_full);
	ck_assert(store_is_degraded(fx.store));
	loop_run_until_idle();
	ck_assert_int_eq(n_degraded, 1);
	ck_assert(exists("awaitd.db.reserve")); /* nothing failed */
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_DONE), 0);
	/* A little more is not enough, lest it goes to and fro. */
	atomic_store(&free_bytes, 65 * MIB);
	ck_assert_int_eq(insert(), -ENOSPC);
	atomic_store(&free_bytes, 80 * MIB);
	wait_recovered(1);
	ck_assert_int_eq(insert(), 0);
	ck_assert_ptr_nonnull(strstr(fx.log, "no new jobs are taken"));
	ck_assert_ptr_nonnull(strstr(fx.log, "new jobs are taken"));
}
END_TEST

static void wait_done(size_t n)
{
	while (fx.n_done < n)
		loop_turn(true);
}

/* Removed jobs leave room inside of the database, which the file system does not show. */
START_TEST(removing_jobs_makes_room)
{
	enum { N = 12000 };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	struct store_change *ends = xcalloc(N, sizeof(*ends));
	struct store_remove *removals = xcalloc(N, sizeof(*removals));

	open_with(0, MIB);
	for (int i = 0; i < N; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	for (int i = 0; i < N; i++) {
		ends[i] = fx_change(jobs[i].id, 0, JOB_WAITING, JOB_DONE);
		fx_submit(&ends[i].op, STORE_CHANGE);
	}
	wait_done(N + 1);
	atomic_store(&free_bytes, 4096);
	(void)poll(NULL, 0, 150);
	ck_assert_int_eq(insert(), -ENOSPC);
	for (int i = 0; i < N; i++) {
		removals[i].id = jobs[i].id;
		fx_submit(&removals[i].op, STORE_REMOVE);
	}
	wait_done(2 * N + 2);
	wait_recovered(1);
	ck_assert_int_eq(insert(), 0);
	free(jobs);
	free(ends);
	free(removals);
}
END_TEST

/* ---- no space ---- */

START_TEST(the_reserve_takes_what_must_be_stored)
{
	int64_t id;

	open_with(MIB, MIB);
	id = fx_insert_one();
	fx_close();
	open_with(MIB, MIB); /* with nothing in the log that a checkpoint could help with */
	atomic_store(&free_bytes, MIB); /* all of it in the reserve */
	atomic_store(&is_eased, true);
	atomic_store(&write_errno, ENOSPC);
	/* Neither waits for space, nor is it refused: the disk is full, and it is stored. */
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert(!exists("awaitd.db.reserve"));
	ck_assert_int_eq(stats().reserve_bytes, 0);
	ck_assert(!stats().is_full);
	ck_assert(stats().is_degraded);
	ck_assert_int_eq(insert(), -ENOSPC);
	/* Space is back: first the reserve, then new jobs. */
	atomic_store(&write_errno, 0);
	atomic_store(&free_bytes, MIB + MIB / 2);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(insert(), -ENOSPC);
		(void)poll(NULL, 0, 100);
	}
	atomic_store(&free_bytes, 3 * MIB);
	wait_recovered(1);
	ck_assert(exists("awaitd.db.reserve"));
	ck_assert_int_eq(insert(), 0);
}
END_TEST

/* The last of the reserve is for removals: they need room, too, and give more back. */
START_TEST(removals_get_the_last_of_the_reserve)
{
	int64_t done, id;
	struct store_remove rm;
	struct store_change c;

	open_with(MIB, MIB);
	done = fx_done_job();
	id = fx_insert_one();
	c = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	atomic_store(&free_bytes, 0);
	atomic_store(&is_eased, true);
	atomic_store(&write_errno, ENOSPC);
	fx_submit(&c.op, STORE_CHANGE);
	rm = (struct store_remove){ .id = done };
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	ck_assert(!exists("awaitd.db.reserve"));
	ck_assert(stats().is_full);
	ck_assert_int_eq(insert(), -ENOSPC);
	atomic_store(&free_bytes, 4 * MIB);
	wait_recovered(1);
	ck_assert(!stats().is_full);
	ck_assert_int_eq(c.op.result, 0);
	store_change_fini(&c);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_DONE), 0);
}
END_TEST

/* Nor is it used up by anything else, although the disk would still take it. */
START_TEST(the_last_of_the_reserve_is_left_alone)
{
	int64_t id, done;
	struct store_remove rm;
	struct store_change c;
	size_t n;

	open_with(MIB, MIB);
	done = fx_done_job();
	id = fx_insert_one();
	atomic_store(&free_bytes, MIB);
	atomic_store(&is_eased, true);
	atomic_store(&write_errno, ENOSPC);
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	atomic_store(&free_bytes, 65536);
	n = fx.n_done;
	c = fx_change(id, 1, JOB_RUNNING, JOB_DONE);
	fx_submit(&c.op, STORE_CHANGE);
	rm = (struct store_remove){ .id = done };
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	ck_assert_uint_eq(fx.n_done, n + 1);
	ck_assert(stats().is_full);
	atomic_store(&free_bytes, 4 * MIB);
	wait_recovered(1);
	ck_assert_int_eq(c.op.result, 0);
}
END_TEST

START_TEST(a_start_without_space_works)
{
	cleanup_free char *reserve = fx_path("awaitd.db.reserve");
	int64_t id;

	open_with(MIB, MIB);
	id = fx_insert_one();
	fx_close();
	unlink(reserve);
	atomic_store(&free_bytes, 0);
	atomic_store(&allocate_errno, ENOSPC);
	atomic_store(&write_errno, ENOSPC);
	open_with(MIB, MIB);
	ck_assert(stats().is_degraded);
	loop_run_until_idle();
	ck_assert_int_eq(n_degraded, 1);
	ck_assert_int_eq(insert(), -ENOSPC);
	atomic_store(&free_bytes, 4 * MIB);
	atomic_store(&allocate_errno, 0);
	atomic_store(&write_errno, 0);
	wait_recovered(1);
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
}
END_TEST

/* A quota, or the size that a file may have (RLIMIT_FSIZE). */
static const int fulls[] = { ENOSPC, EDQUOT, EFBIG };

START_TEST(limits_are_a_full_disk)
{
	open_with(0, 0);
	fx_insert_one();
	atomic_store(&write_errno, fulls[_i]);
	ck_assert_int_eq(insert(), -ENOSPC);
	(void)poll(NULL, 0, 250); /* it tries, and is not taken in */
	ck_assert(stats().is_full);
	ck_assert_int_eq(n_recovered, 0);
	ck_assert_int_eq(fx.fatal_status, 0);
	atomic_store(&write_errno, 0);
	wait_recovered(1);
	ck_assert_int_eq(insert(), 0);
}
END_TEST

/* ---- the log ---- */

START_TEST(a_long_log_is_shortened_when_idle)
{
	enum { N = 60000 };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	int64_t laid_out;

	open_with(MIB, MIB);
	laid_out = stats().wal_bytes;
	ck_assert_int_gt(laid_out, 4096);
	for (int i = 0; i < N; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	ck_assert_int_gt(stats().wal_bytes, 4 * laid_out);
	for (int i = 0; stats().wal_bytes != laid_out && i < 2000; i++)
		(void)poll(NULL, 0, 10);
	ck_assert_int_eq(stats().wal_bytes, laid_out);
	ck_assert_int_eq(insert(), 0);
	free(jobs);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_room");
	TCase *t = tcase_create("room");

	tcase_add_checked_fixture(t, setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_reserve_is_really_there);
	tcase_add_test(t, a_small_file_system_has_small_measures);
	tcase_add_test(t, a_half_made_reserve_is_made_again);
	tcase_add_test(t, a_file_system_without_reserves_works);
	tcase_add_test(t, little_space_refuses_new_jobs_only);
	tcase_add_test(t, removing_jobs_makes_room);
	tcase_add_test(t, the_reserve_takes_what_must_be_stored);
	tcase_add_test(t, removals_get_the_last_of_the_reserve);
	tcase_add_test(t, the_last_of_the_reserve_is_left_alone);
	tcase_add_test(t, a_start_without_space_works);
	tcase_add_loop_test(t, limits_are_a_full_disk, 0, 3);
	tcase_add_test(t, a_long_log_is_shortened_when_idle);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
