/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/dest.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/suite.h"

/* ---- a folder of its own for each test ---- */

static char root[64];
static char *roots[3];
static struct aw_err err;
static struct dest d;
static bool lacks_no_replace, lacks_openat2;

/* Takes the place of libc's, so that a file system without the flag can be played. */
int renameat2(int old_fd, const char *old, int new_fd, const char *new, unsigned flags)
{
	struct stat st;

	if (flags != RENAME_NOREPLACE || lacks_no_replace) {
		errno = EINVAL;
		return -1;
	}
	if (fstatat(new_fd, new, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(old_fd, old, new_fd, new);
}

/* The same for kernels and filters without openat2. */
long syscall(long number, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && lacks_openat2) {
		errno = ENOSYS;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static char *in_root(const char *rel)
{
	static char path[4][PATH_MAX];
	static int at;
	char *out = path[at = (at + 1) % 4];

	snprintf(out, PATH_MAX, "%s/%s", root, rel);
	return out;
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void expect_file(const char *path, const char *text)
{
	char got[256] = "";
	FILE *f = fopen(path, "re");
	size_t n;

	ck_assert_msg(f != NULL, "no file %s", path);
	n = fread(got, 1, sizeof(got) - 1, f);
	got[n] = '\0';
	fclose(f);
	ck_assert_str_eq(got, text);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%.40s/awaitd-dest.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(root));
	roots[0] = root;
	roots[1] = NULL;
	lacks_no_replace = lacks_openat2 = false;
	dest_init(&d);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void teardown(void)
{
	dest_discard(&d);
	aw_err_fini(&err);
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int open_it(const char *rel, bool overwrite)
{
	return dest_open(&d, in_root(rel), roots, 7, overwrite ? DEST_OVERWRITE : 0, &err);
}

static int write_it(const char *text)
{
	return dest_write(&d, text, strlen(text), &err);
}

static int publish_it(void)
{
	int r = dest_sync(&d, &err);

	return r < 0 ? r : dest_publish(&d, &err);
}

static void expect_error(int r, enum aw_code code, const char *part)
{
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_str_eq(aw_code_word(err.code), aw_code_word(code));
	ck_assert_msg(strstr(err.message, part), "\"%s\" lacks \"%s\"", err.message, part);
}

/* ---- dest_check: text only ---- */

static const struct {
	const char *output, *path; /* path NULL = refused */
} checks[] = {
	{ "a", "/home/u/a" },
	{ "a/b.c", "/home/u/a/b.c" },
	{ "./a//b/./c", "/home/u/a/b/c" },
	{ "/home/u/x", "/home/u/x" },
	{ "//home///u//x", "/home/u/x" },
	{ "/srv/dl/x", "/srv/dl/x" },
	{ "...", "/home/u/..." },
	{ "..a", "/home/u/..a" },
	{ "", NULL },
	{ ".", NULL },
	{ "/", NULL },
	{ "a/", NULL },
	{ "a/.", NULL },
	{ "..", NULL },
	{ "../x", NULL },
	{ "a/../b", NULL },
	{ "/home/u", NULL },
	{ "/home/user/x", NULL },
	{ "/home/u/../v", NULL },
	{ "/etc/passwd", NULL },
	{ "/srv/dl", NULL },
	{ "/srv/dlx/y", NULL },
};

START_TEST(check_makes_paths_canonical_or_refuses)
{
	char home[] = "/home/u/", dl[] = "/srv//dl", *two[] = { home, dl, NULL };
	char *path = NULL;
	int r = dest_check(checks[_i].output, two, &path, &err);

	if (checks[_i].path) {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(path, checks[_i].path);
		free(path);
	} else {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_int_eq(err.code, AW_PARAMS);
		ck_assert_str_eq(err.path, "/output");
		ck_assert_ptr_null(path);
	}
}
END_TEST

START_TEST(check_refuses_what_no_file_system_takes)
{
	char slash[] = "/", *all[] = { slash, NULL }, *none[] = { NULL };
	char name[NAME_MAX + 2], deep[PATH_MAX + 100], *path = NULL;

	memset(name, 'x', NAME_MAX + 1);
	name[NAME_MAX + 1] = '\0';
	expect_error(dest_check(name, all, &path, &err), AW_PARAMS, "255");
	name[NAME_MAX] = '\0';
	ck_assert_int_eq(dest_check(name, all, &path, &err), 0);
	free(path);
	for (size_t i = 0; i < sizeof(deep) - 2; i += 2)
		memcpy(deep + i, "/x", 3);
	expect_error(dest_check(deep, all, &path, &err), AW_PARAMS, "too long");
	expect_error(dest_check("x", none, &path, &err), AW_PARAMS, "output_roots");
	ck_assert_int_eq(dest_check("/x", all, &path, &err), 0);
	ck_assert_str_eq(path, "/x");
	free(path);
}
END_TEST

/* ---- the life of a file ---- */

START_TEST(file_appears_whole_under_its_name)
{
	struct stat st;

	lacks_openat2 = _i;
	ck_assert_int_eq(mkdir(in_root("sub"), 0700), 0);
	ck_assert_int_eq(open_it("sub/a", false), 0);
	ck_assert_int_eq(write_it("hello "), 0);
	ck_assert_int_eq(write_it("world"), 0);
	ck_assert(!exists(in_root("sub/a")));
	expect_file(in_root("sub/.a.7.part"), "hello world");
	ck_assert_int_eq(stat(in_root("sub/.a.7.part"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("sub/a"), "hello world");
	ck_assert(!exists(in_root("sub/.a.7.part")));
	ck_assert_int_eq(stat(in_root("sub/a"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert_int_eq(d.fd, -1);
}
END_TEST

START_TEST(private_file_stays_private)
{
	struct stat st;

	ck_assert_int_eq(dest_open(&d, in_root("a"), roots, 7, DEST_PRIVATE, &err), 0);
	ck_assert_int_eq(publish_it(), 0);
	ck_assert_int_eq(stat(in_root("a"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(discard_leaves_nothing)
{
	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(write_it("half"), 0);
	dest_discard(&d);
	dest_discard(&d);
	ck_assert(!exists(in_root("a")));
	ck_assert(!exists(in_root(".a.7.part")));
	ck_assert_int_eq(rmdir(root), 0);
}
END_TEST

START_TEST(existing_file_needs_overwrite)
{
	put_file(in_root("a"), "old");
	expect_error(open_it("a", false), AW_IO,
		     "set \"overwrite\" to true (awaitctl: --overwrite)");
	ck_assert(!exists(in_root(".a.7.part")));
	ck_assert_int_eq(open_it("a", true), 0);
	expect_file(in_root("a"), "old");
	ck_assert_int_eq(write_it("new"), 0);
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("a"), "new");
}
END_TEST

START_TEST(failed_overwrite_keeps_the_old_file)
{
	put_file(in_root("a"), "old");
	ck_assert_int_eq(open_it("a", true), 0);
	ck_assert_int_eq(write_it("new"), 0);
	dest_discard(&d);
	expect_file(in_root("a"), "old");
}
END_TEST

START_TEST(file_that_appears_meanwhile_is_left_alone)
{
	lacks_no_replace = _i;
	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(write_it("ours"), 0);
	put_file(in_root("a"), "theirs");
	expect_error(publish_it(), AW_IO, "appeared");
	dest_discard(&d);
	expect_file(in_root("a"), "theirs");
	ck_assert(!exists(in_root(".a.7.part")));
}
END_TEST

START_TEST(file_system_without_no_replace_works)
{
	lacks_no_replace = true;
	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(write_it("ours"), 0);
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("a"), "ours");
	ck_assert(!exists(in_root(".a.7.part")));
}
END_TEST

/* ---- folders ---- */

START_TEST(missing_folder_is_named)
{
	lacks_openat2 = _i;
	ck_assert_int_eq(mkdir(in_root("is"), 0700), 0);
	expect_error(open_it("is/not/there/a", false), AW_IO, "create it first");
	ck_assert_ptr_nonnull(strstr(err.message, "/is/not:"));
}
END_TEST

START_TEST(folder_that_is_a_file_is_named)
{
	lacks_openat2 = _i;
	put_file(in_root("f"), "");
	expect_error(open_it("f/a", false), AW_IO, "/f is not a folder");
	expect_error(open_it("f/b/c", false), AW_IO, "/f is not a folder");
}
END_TEST

START_TEST(final_name_that_is_a_folder_is_refused)
{
	ck_assert_int_eq(mkdir(in_root("a"), 0700), 0);
	expect_error(open_it("a", true), AW_IO, "is a folder");
}
END_TEST

/* R4.13: no symlink on the way, wherever it points. */
START_TEST(symlinks_on_the_way_are_refused)
{
	static const char *const targets[] = { "/", ".", "real", "nowhere" };

	lacks_openat2 = _i >= 4;
	ck_assert_int_eq(mkdir(in_root("real"), 0700), 0);
	ck_assert_int_eq(symlink(targets[_i % 4], in_root("link")), 0);
	expect_error(open_it("link/a", false), AW_IO, "/link is a symbolic link");
	ck_assert(!exists(in_root("a")));
	ck_assert(!exists(in_root("real/a")));
}
END_TEST

START_TEST(symlink_as_final_name_is_replaced_not_followed)
{
	struct stat st;

	put_file(in_root("victim"), "safe");
	ck_assert_int_eq(symlink("victim", in_root("a")), 0);
	expect_error(open_it("a", false), AW_IO, "exists already");
	ck_assert_int_eq(open_it("a", true), 0);
	ck_assert_int_eq(write_it("new"), 0);
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("victim"), "safe");
	ck_assert_int_eq(lstat(in_root("a"), &st), 0);
	ck_assert(S_ISREG(st.st_mode));
}
END_TEST

START_TEST(symlink_as_part_is_not_followed)
{
	put_file(in_root("victim"), "safe");
	ck_assert_int_eq(symlink("victim", in_root(".a.7.part")), 0);
	expect_error(open_it("a", false), AW_IO, ".a.7.part");
	expect_file(in_root("victim"), "safe");
}
END_TEST

START_TEST(root_may_be_reached_by_a_symlink)
{
	cleanup_free char *link = xasprintf("%s.link", root), *path = xasprintf("%s/a", link);
	char *linked[] = { link, NULL };

	ck_assert_int_eq(symlink(root, link), 0);
	ck_assert_int_eq(dest_open(&d, path, linked, 7, 0, &err), 0);
	ck_assert_int_eq(publish_it(), 0);
	ck_assert(exists(in_root("a")));
	ck_assert_int_eq(unlink(link), 0);
}
END_TEST

START_TEST(path_outside_the_roots_of_today_is_refused)
{
	expect_error(dest_open(&d, "/etc/x", roots, 7, 0, &err), AW_IO, "not below");
	ck_assert_int_eq(rmdir(root), 0);
	expect_error(open_it("a", false), AW_IO, "output root");
}
END_TEST

START_TEST(deepest_root_wins)
{
	cleanup_free char *inner = xasprintf("%s/link/in", root);

	ck_assert_int_eq(mkdir(in_root("real"), 0700), 0);
	ck_assert_int_eq(mkdir(in_root("real/in"), 0700), 0);
	ck_assert_int_eq(symlink("real", in_root("link")), 0);
	roots[1] = inner;
	ck_assert_int_eq(open_it("link/in/a", false), 0);
	roots[1] = NULL;
	ck_assert_int_eq(publish_it(), 0);
	ck_assert(exists(in_root("real/in/a")));
}
END_TEST

/* ---- part files ---- */

START_TEST(part_of_a_killed_daemon_is_replaced)
{
	put_file(in_root(".a.7.part"), "stale, and longer than the new one");
	put_file(in_root(".a.8.part"), "another job's");
	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(write_it("fresh"), 0);
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("a"), "fresh");
	expect_file(in_root(".a.8.part"), "another job's");
}
END_TEST

START_TEST(part_in_use_is_left_alone)
{
	struct dest other;

	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(write_it("theirs"), 0);
	expect_error(dest_open(&other, in_root("a"), roots, 7, 0, &err), AW_IO, "another awaitd");
	dest_remove_leftover(d.handle);
	expect_file(in_root(".a.7.part"), "theirs");
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("a"), "theirs");
}
END_TEST

START_TEST(leftover_is_removed_by_its_handle)
{
	cleanup_free char *handle = NULL;

	if (_i)
		ck_assert_int_eq(mkdir(in_root("sub"), 0700), 0);
	ck_assert_int_eq(open_it(_i ? "sub/a" : "a", false), 0);
	handle = xstrdup(d.handle);
	dest_discard(&d);
	put_file(in_root(_i ? "sub/.a.7.part" : ".a.7.part"), "stale");
	put_file(in_root(_i ? "sub/a" : "a"), "not a part");
	dest_remove_leftover(handle);
	ck_assert(!exists(in_root(_i ? "sub/.a.7.part" : ".a.7.part")));
	ck_assert(exists(in_root(_i ? "sub/a" : "a")));
	dest_remove_leftover(handle);
	dest_remove_leftover("");
	dest_remove_leftover("/nowhere//x");
	dest_remove_leftover("nonsense");
}
END_TEST

/*
 * Cut off between the name and the word that it has it: that name would be in the way of the
 * next attempt.
 */
START_TEST(a_name_is_taken_back)
{
	struct statx root_st;
	const char *path = _i ? "sub/a" : "a", *part = _i ? "sub/.a.7.part" : ".a.7.part";
	cleanup_free char *handle = NULL;

	ck_assert_int_eq(statx(AT_FDCWD, root, 0, STATX_BTIME, &root_st), 0);
	if (!(root_st.stx_mask & STATX_BTIME))
		return; /* which file is which cannot be known here */
	if (_i)
		ck_assert_int_eq(mkdir(in_root("sub"), 0700), 0);
	for (int removes = 0; removes < 2; removes++) {
		ck_assert_int_eq(dest_open(&d, in_root(path), roots, 7, DEST_AGAIN, &err), 0);
		free(handle);
		handle = xstrdup(d.handle);
		ck_assert_int_eq(write_it("whole"), 0);
		dest_take_back(handle); /* it has no name yet */
		ck_assert_int_eq(publish_it(), 0);
		if (removes)
			dest_remove_leftover(handle);
		else
			dest_take_back(handle);
		ck_assert(!exists(in_root(path)));
		ck_assert_int_eq(exists(in_root(part)), !removes);
	}
	/* Another one's, in the same place. */
	put_file(in_root(path), "mine");
	dest_remove_leftover(handle);
	expect_file(in_root(path), "mine");
}
END_TEST

START_TEST(a_name_that_is_in_nobodys_way_stays)
{
	static const unsigned flags[] = { 0, DEST_OVERWRITE, DEST_OVERWRITE | DEST_AGAIN };
	cleanup_free char *handle = NULL;

	ck_assert_int_eq(dest_open(&d, in_root("a"), roots, 7, flags[_i], &err), 0);
	handle = xstrdup(d.handle);
	ck_assert_int_eq(write_it("whole"), 0);
	ck_assert_int_eq(publish_it(), 0);
	dest_take_back(handle);
	dest_remove_leftover(handle);
	expect_file(in_root("a"), "whole");
}
END_TEST

/* ---- going on ---- */

static int open_again(const char *rel)
{
	return dest_open(&d, in_root(rel), roots, 7, DEST_RESUME, &err);
}

START_TEST(what_was_kept_is_opened_again)
{
	char data[8] = "", *file;

	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_eq(d.there_bytes, 0);
	file = xstrdup(d.file);
	ck_assert_int_eq(write_it("abcdef"), 0);
	ck_assert_int_eq(dest_sync_part(&d, &err), 0);
	dest_keep(&d);
	ck_assert_int_eq(open_again("a"), 0);
	ck_assert_int_eq(d.there_bytes, 6);
	ck_assert_str_eq(d.file, file);
	ck_assert_int_eq(dest_cut(&d, 4, &err), 0);
	ck_assert_int_eq(write_it("xy"), 0);
	ck_assert_int_eq(dest_read(&d, 1, data, 5, &err), 0);
	ck_assert_str_eq(data, "bcdxy");
	expect_error(dest_read(&d, 3, data, 5, &err), AW_IO, "read");
	ck_assert_int_eq(dest_sync(&d, &err), 0);
	ck_assert_int_eq(dest_publish(&d, &err), 0);
	ck_assert_int_eq(open_again("b"), 0);
	ck_assert_int_eq(d.there_bytes, 0);
	ck_assert_str_ne(d.file, file);
	dest_discard(&d);
	free(file);
}
END_TEST

/* What has another name as well is not what we made, nor is what a link leads to. */
START_TEST(only_our_own_file_is_gone_on_with)
{
	put_file(in_root("victim"), "v");
	ck_assert_int_eq(link(in_root("victim"), in_root(".a.7.part")), 0);
	ck_assert_int_eq(open_again("a"), 0);
	ck_assert_int_eq(d.there_bytes, 0);
	ck_assert_int_eq(write_it("x"), 0);
	dest_discard(&d);
	expect_file(in_root("victim"), "v");
	ck_assert_int_eq(symlink("victim", in_root(".a.7.part")), 0);
	expect_error(open_again("a"), AW_IO, "");
	expect_file(in_root("victim"), "v");
}
END_TEST

START_TEST(a_part_in_use_is_not_gone_on_with)
{
	struct dest other;

	ck_assert_int_eq(open_it("a", false), 0);
	expect_error(dest_open(&other, in_root("a"), roots, 7, DEST_RESUME, &err), AW_IO,
		     "another awaitd");
	ck_assert(exists(in_root(".a.7.part")));
	dest_discard(&d);
}
END_TEST

START_TEST(a_body_takes_another_name)
{
	ck_assert_int_eq(dest_open_body(&d, in_root("1.body"), 0, &err), 0);
	ck_assert_int_eq(write_it("x"), 0);
	ck_assert_int_eq(dest_move(&d, "2.body", &err), 0);
	ck_assert(!exists(in_root("1.body")));
	ck_assert(exists(in_root("2.body")));
	dest_discard(&d);
	ck_assert(!exists(in_root("2.body")));
}
END_TEST

/* 255 bytes of two-byte characters and one more: the part's name is cut between characters. */
START_TEST(long_names_have_room_for_their_part)
{
	char name[NAME_MAX + 1], want[NAME_MAX + 1];

	for (size_t i = 0; i < NAME_MAX - 1; i += 2)
		memcpy(name + i, "\xc3\xa9", 2);
	memcpy(name + NAME_MAX - 1, "x", 2);
	ck_assert_int_eq(open_it(name, false), 0);
	ck_assert_uint_le(strlen(d.part), NAME_MAX);
	snprintf(want, sizeof(want), ".%.246s.7.part", name);
	ck_assert_str_eq(d.part, want);
	ck_assert_int_eq(publish_it(), 0);
	ck_assert(exists(in_root(name)));
}
END_TEST

/* ---- bodies ---- */

START_TEST(body_grows_in_place)
{
	struct stat st;

	put_file(in_root("1.body"), "of an earlier daemon");
	ck_assert_int_eq(dest_open_body(&d, in_root("1.body"), 0, &err), 0);
	ck_assert_int_eq(write_it("text"), 0);
	expect_file(in_root("1.body"), "text");
	ck_assert_int_eq(publish_it(), 0);
	expect_file(in_root("1.body"), "text");
	ck_assert_int_eq(stat(in_root("1.body"), &st), 0);
	ck_assert_int_eq(dest_open_body(&d, in_root("1.body"), 0, &err), 0);
	dest_discard(&d);
	ck_assert(!exists(in_root("1.body")));
	expect_error(dest_open_body(&d, in_root("no/1.body"), 0, &err), AW_IO, "No such file");
}
END_TEST

/* ---- full disks ---- */

START_TEST(full_disk_is_storage_full)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(open_it("a", false), 0);
	ck_assert_int_ge(full, 0);
	ck_assert_int_eq(dup3(full, d.fd, O_CLOEXEC), d.fd);
	close(full);
	expect_error(write_it("text"), AW_STORAGE_FULL, "make room");
	dest_discard(&d);
	ck_assert(!exists(in_root(".a.7.part")));
}
END_TEST

static Suite *dest_suite(void)
{
	Suite *s = suite_create("dest");
	TCase *text = tcase_create("text"), *files = tcase_create("files");

	tcase_add_loop_test(text, check_makes_paths_canonical_or_refuses, 0,
			    sizeof(checks) / sizeof(checks[0]));
	tcase_add_test(text, check_refuses_what_no_file_system_takes);
	suite_add_tcase(s, text);

	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_loop_test(files, file_appears_whole_under_its_name, 0, 2);
	tcase_add_test(files, private_file_stays_private);
	tcase_add_test(files, discard_leaves_nothing);
	tcase_add_test(files, existing_file_needs_overwrite);
	tcase_add_test(files, failed_overwrite_keeps_the_old_file);
	tcase_add_loop_test(files, file_that_appears_meanwhile_is_left_alone, 0, 2);
	tcase_add_test(files, file_system_without_no_replace_works);
	tcase_add_loop_test(files, missing_folder_is_named, 0, 2);
	tcase_add_loop_test(files, folder_that_is_a_file_is_named, 0, 2);
	tcase_add_test(files, final_name_that_is_a_folder_is_refused);
	tcase_add_loop_test(files, symlinks_on_the_way_are_refused, 0, 8);
	tcase_add_test(files, symlink_as_final_name_is_replaced_not_followed);
	tcase_add_test(files, symlink_as_part_is_not_followed);
	tcase_add_test(files, root_may_be_reached_by_a_symlink);
	tcase_add_test(files, path_outside_the_roots_of_today_is_refused);
	tcase_add_test(files, deepest_root_wins);
	tcase_add_test(files, part_of_a_killed_daemon_is_replaced);
	tcase_add_test(files, part_in_use_is_left_alone);
	tcase_add_loop_test(files, leftover_is_removed_by_its_handle, 0, 2);
	tcase_add_loop_test(files, a_name_is_taken_back, 0, 2);
	tcase_add_loop_test(files, a_name_that_is_in_nobodys_way_stays, 0, 3);
	tcase_add_test(files, what_was_kept_is_opened_again);
	tcase_add_test(files, only_our_own_file_is_gone_on_with);
	tcase_add_test(files, a_part_in_use_is_not_gone_on_with);
	tcase_add_test(files, a_body_takes_another_name);
	tcase_add_test(files, long_names_have_room_for_their_part);
	tcase_add_test(files, body_grows_in_place);
	tcase_add_test(files, full_disk_is_storage_full);
	suite_add_tcase(s, files);
	return s;
}

int main(void)
{
	return suite_run(dest_suite());
}
