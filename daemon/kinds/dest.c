/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/dest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Fill @err for errno @e: "cannot create DIR/NAME: ...". */
static int fail_io(struct aw_err *err, int e, const char *doing, const char *dir, const char *name)
{
	if (e == ENOSPC || e == EDQUOT)
		return aw_fail(err, AW_STORAGE_FULL,
			       "cannot %s %s/%s: %s; make room and run the job again", doing, dir,
			       name, strerror(e));
	return aw_fail(err, AW_IO, "cannot %s %s/%s: %s", doing, dir, name, strerror(e));
}

/* ---- paths, as text ---- */

static int refuse(struct aw_err *err, const char *why)
{
	return aw_fail_at(err, AW_PARAMS, "/output", "\"output\" %s", why);
}

/*
 * Append the components of @path to @out (room for PATH_MAX), each with a '/'
 * before it: "/a/b", and "" for the root folder.  Returns the new length, or
 * -1 with the reason.
 */
static int add_components(char *out, size_t at, const char *path, const char **ret_why)
{
	for (;;) {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0)
			return (int)at;
		if (n == 1 && path[0] == '.') {
			path += n;
			continue;
		}
		*ret_why = n == 2 && memcmp(path, "..", 2) == 0 ? "must not contain \"..\""
			   : n > NAME_MAX	   ? "has a name of more than 255 bytes in it"
			   : at + n + 2 > PATH_MAX ? "is too long"
						   : NULL;
		if (*ret_why)
			return -1;
		out[at++] = '/';
		memcpy(out + at, path, n);
		at += n;
		out[at] = '\0';
		path += n;
	}
}

/* What of canonical @path lies below canonical @root ("a/b"), or NULL. */
static const char *below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (strncmp(path, root, n) != 0 || path[n] != '/')
		return NULL;
	return path + n + 1;
}

/*
 * The deepest of @roots that @path lies below: its canonical text goes to
 * @root (PATH_MAX bytes), the rest of the path is returned; NULL = none.
 */
static const char *find_root(const char *path, char *const *roots, char *root)
{
	const char *best = NULL;

	for (; roots && *roots; roots++) {
		char text[PATH_MAX];
		const char *why, *rest;

		text[0] = '\0';
		if (add_components(text, 0, *roots, &why) < 0)
			continue;
		rest = below(path, text);
		if (rest && (!best || rest > best)) {
			best = rest;
			memcpy(root, text, strlen(text) + 1);
		}
	}
	return best;
}

int dest_check(const char *output, char *const *roots, char **ret_path, struct aw_err *err)
{
	char path[PATH_MAX], root[PATH_MAX];
	const char *why = NULL;
	size_t len = strlen(output);
	int n = 0;

	path[0] = '\0';
	if (!roots || !roots[0])
		return refuse(err,
			      "has no folder it may be in: set output_roots in the configuration");
	if (len == 0 || output[len - 1] == '/')
		return refuse(err, "must name a file");
	if (output[0] != '/')
		n = add_components(path, 0, roots[0], &why);
	if (n >= 0)
		n = add_components(path, (size_t)n, output, &why);
	if (n < 0)
		return refuse(err, why);
	if (len >= 2 && memcmp(output + len - 2, "/.", 2) == 0)
		return refuse(err, "must name a file");
	if (!find_root(path, roots, root))
		return aw_fail_at(err, AW_PARAMS, "/output", "\"output\" must be a file below %s%s",
				  roots[0], roots[1] ? " or another of the output roots" : "");
	*ret_path = xstrdup(path);
	return 0;
}

/*
 * ".NAME.JOB.part": the same for every attempt of a job, so that the next one
 * finds what a killed daemon left; different for different jobs.  A long NAME
 * is cut, at the start of a character.
 */
static char *part_name(const char *name, int64_t job)
{
	char tail[40];
	size_t n = strlen(name), room;

	snprintf(tail, sizeof(tail), ".%" PRId64 ".part", job);
	room = NAME_MAX - 1 - strlen(tail);
	if (n > room) {
		n = room;
		while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
			n--;
	}
	return xasprintf(".%.*s%s", (int)n, name, tail);
}

/* ---- folders ---- */

/*
 * The same as open_beneath() where openat2 is not to be had (valgrind, old
 * container filters): one component after the other.  Paths are canonical,
 * so nothing leads up.
 */
static int walk_beneath(int root_fd, const char *rel)
{
	int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);

	while (fd >= 0 && *rel) {
		size_t n = strcspn(rel, "/");
		cleanup_free char *name = xstrndup(rel, n);
		int e, next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;

		e = errno;
		if (next < 0 && e == ENOTDIR && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISLNK(st.st_mode))
			e = ELOOP;
		close(fd);
		fd = next;
		errno = e;
		rel += n + (rel[n] == '/');
	}
	return fd;
}

/* Open folder @rel below @root_fd, following no symlink.  The fd, or -1 with errno. */
static int open_beneath(int root_fd, const char *rel)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root_fd, rel, &how, sizeof(how));

	return fd < 0 && errno == ENOSYS ? walk_beneath(root_fd, rel) : fd;
}

/* How far the way down to @rel is good: the length of what cannot be opened, from its start. */
static size_t blocked_at(int root_fd, const char *rel)
{
	size_t n = 0;

	for (;;) {
		char head[PATH_MAX];
		int fd;

		n += strcspn(rel + n, "/");
		snprintf(head, sizeof(head), "%.*s", (int)n, rel);
		fd = open_beneath(root_fd, head);
		if (fd < 0)
			return n;
		close(fd);
		if (rel[n] == '\0')
			return n;
		n++;
	}
}

static int fail_folder(struct aw_err *err, int e, int root_fd, const char *root, const char *rel)
{
	int n = (int)blocked_at(root_fd, rel);

	if (e == ENOENT)
		return aw_fail(err, AW_IO, "there is no folder %s/%.*s: create it first", root, n,
			       rel);
	if (e == ELOOP)
		return aw_fail(err, AW_IO,
			       "%s/%.*s is a symbolic link, which downloads do not follow: "
			       "give the real path, or add it to output_roots",
			       root, n, rel);
	if (e == ENOTDIR)
		return aw_fail(err, AW_IO, "%s/%.*s is not a folder", root, n, rel);
	return aw_fail(err, AW_IO, "cannot open the folder %s/%.*s: %s", root, n, rel, strerror(e));
}

/* Open folder @rel ("" = the root itself) below @root.  The fd, or -EINVAL with @err. */
static int open_folder(const char *root, const char *rel, struct aw_err *err)
{
	int fd, e, root_fd = open(*root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root_fd < 0)
		return aw_fail(err, AW_IO, "cannot open the output root %s: %s", *root ? root : "/",
			       strerror(errno));
	if (*rel == '\0')
		return root_fd;
	fd = open_beneath(root_fd, rel);
	if (fd < 0) {
		e = errno;
		fail_folder(err, e, root_fd, root, rel);
		fd = -EINVAL;
	}
	close(root_fd);
	return fd;
}

/* ---- the file ---- */

void dest_init(struct dest *d)
{
	*d = (struct dest){ .dir_fd = -1, .fd = -1 };
}

static void close_all(struct dest *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->dir_fd >= 0)
		close(d->dir_fd);
	free(d->dir);
	free(d->name);
	free(d->part);
	free(d->handle);
	free(d->file);
	dest_init(d);
}

static int check_final_name(const struct dest *d, struct aw_err *err)
{
	struct stat st;

	if (fstatat(d->dir_fd, d->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_io(err, errno, "look at", d->dir, d->name);
	if (S_ISDIR(st.st_mode))
		return aw_fail(err, AW_IO, "%s/%s is a folder", d->dir, d->name);
	if (!(d->flags & DEST_OVERWRITE))
		return aw_fail(err, AW_IO,
			       "%s/%s exists already: remove it, or set \"overwrite\" to true "
			       "(awaitctl: --overwrite)",
			       d->dir, d->name);
	return 0;
}

/*
 * Remove @part if it is a plain file that nobody writes.  Whoever writes one
 * holds a lock on it: another daemon (system and user instance, say) may have
 * a job of the same number and the same output.  0 (also when there was
 * none) or negative errno, -EWOULDBLOCK when it is in use.
 */
static int remove_stale_part(int dir_fd, const char *part)
{
	int r = 0, fd = openat(dir_fd, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EEXIST;
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		r = -EWOULDBLOCK;
	else if (unlinkat(dir_fd, part, 0) < 0 && errno != ENOENT)
		r = -errno;
	close(fd);
	return r;
}

/* Is it the file that we made: plain, ours, and under this name alone? */
static bool is_own_file(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == geteuid();
}

/*
 * The number of a file may be used again, but not for one that was born at the
 * same time, which not all file systems keep.
 */
static char *identify(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
		return xstrdup("");
	if (!(st.stx_mask & STATX_BTIME))
		return xasprintf("%llu", (unsigned long long)st.stx_ino);
	return xasprintf("%llu:%lld.%u", (unsigned long long)st.stx_ino,
			 (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

/* What an earlier attempt left, to go on with.  The fd, or -1: there is nothing of use. */
static int open_left(struct dest *d, const char *name)
{
	int fd = openat(d->dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && is_own_file(&st)) {
		d->there_bytes = st.st_size;
		return fd;
	}
	close(fd);
	return -1;
}

static int open_new(int dir_fd, const char *part)
{
	return openat(dir_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Hardly ever is a part of an earlier attempt there, so that is looked at only then. */
static int open_part(struct dest *d, struct aw_err *err)
{
	int r = 0;

	d->fd = d->flags & DEST_RESUME ? open_left(d, d->part) : -1;
	if (d->fd < 0)
		d->fd = open_new(d->dir_fd, d->part);
	if (d->fd < 0 && errno == EEXIST) {
		r = remove_stale_part(d->dir_fd, d->part);
		if (r == 0)
			d->fd = open_new(d->dir_fd, d->part);
	}
	if (r == -EWOULDBLOCK)
		return aw_fail(err, AW_IO, "%s/%s is being written by another awaitd", d->dir,
			       d->part);
	if (r < 0)
		return fail_io(err, -r, "remove", d->dir, d->part);
	if (d->fd < 0)
		return fail_io(err, errno, "create", d->dir, d->part);
	/* File systems without locks (ENOLCK, EOPNOTSUPP) do without this protection. */
	if (flock(d->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		close(d->fd);
		d->fd = -1;
		return aw_fail(err, AW_IO, "%s/%s was taken by another awaitd", d->dir, d->part);
	}
	d->file = identify(d->fd);
	return 0;
}

static bool is_sure(const char *file)
{
	return strchr(file, ':');
}

/*
 * Root, part, and, where it may have to be taken back, which file and the final
 * name, with "//" between them, which cannot be in a canonical path.  Somebody
 * else's file must not be taken for it.
 */
static char *handle_of(const struct dest *d, const char *root, const char *rel)
{
	bool may_take_back =
		(d->flags & (DEST_AGAIN | DEST_OVERWRITE)) == DEST_AGAIN && is_sure(d->file);
	int n_folder = (int)(strlen(rel) - strlen(d->name));

	return xasprintf("%s//%.*s%s%s%s%s%s", root, n_folder, rel, d->part,
			 may_take_back ? "//" : "", may_take_back ? d->file : "",
			 may_take_back ? "//" : "", may_take_back ? d->name : "");
}

int dest_open(struct dest *d, const char *path, char *const *roots, int64_t job, unsigned flags,
	      struct aw_err *err)
{
	char root[PATH_MAX];
	const char *rel = find_root(path, roots, root), *slash;
	cleanup_free char *folder = NULL;
	int r;

	dest_init(d);
	if (!rel)
		return aw_fail(err, AW_IO, "%s is not below an output root any more", path);
	slash = strrchr(rel, '/');
	folder = slash ? xstrndup(rel, (size_t)(slash - rel)) : xstrdup("");
	d->dir_fd = open_folder(root, folder, err);
	if (d->dir_fd < 0) {
		d->dir_fd = -1;
		return -EINVAL;
	}
	d->name = xstrdup(slash ? slash + 1 : rel);
	d->dir = xasprintf("%s%s%s", root, slash ? "/" : "", folder);
	d->part = part_name(d->name, job);
	d->flags = flags;
	r = check_final_name(d, err);
	if (r == 0)
		r = open_part(d, err);
	if (r == 0)
		d->handle = handle_of(d, root, rel);
	if (r < 0) {
		/* If the part is there, it is not ours. */
		if (d->fd < 0) {
			free(d->part);
			d->part = NULL;
		}
		dest_discard(d);
	}
	return r;
}

int dest_open_body(struct dest *d, const char *path, unsigned flags, struct aw_err *err)
{
	const char *slash = strrchr(path, '/');

	dest_init(d);
	d->dir = xstrndup(path, (size_t)(slash - path));
	d->name = xstrdup(slash + 1);
	d->flags = flags | DEST_PRIVATE | DEST_OVERWRITE;
	d->dir_fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd >= 0 && d->flags & DEST_RESUME)
		d->fd = open_left(d, d->name);
	if (d->dir_fd >= 0 && d->fd < 0)
		d->fd = openat(d->dir_fd, d->name,
			       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->fd < 0) {
		fail_io(err, errno, "create", d->dir, d->name);
		close_all(d);
		return -EINVAL;
	}
	d->file = identify(d->fd);
	return 0;
}

int dest_write(struct dest *d, const void *data, size_t len, struct aw_err *err)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(d->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_io(err, errno, "write", d->dir, d->name);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int dest_move(struct dest *d, const char *name, struct aw_err *err)
{
	if (renameat(d->dir_fd, d->name, d->dir_fd, name) < 0)
		return fail_io(err, errno, "rename", d->dir, d->name);
	free(d->name);
	d->name = xstrdup(name);
	return 0;
}

int dest_cut(struct dest *d, int64_t size_bytes, struct aw_err *err)
{
	if (ftruncate(d->fd, size_bytes) < 0 || lseek(d->fd, size_bytes, SEEK_SET) < 0)
		return fail_io(err, errno, "cut", d->dir, d->part ? d->part : d->name);
	return 0;
}

int dest_read(struct dest *d, int64_t at, void *data, size_t len, struct aw_err *err)
{
	char *to = data;

	while (len > 0) {
		ssize_t n = pread(d->fd, to, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_io(err, n < 0 ? errno : ENODATA, "read", d->dir,
				       d->part ? d->part : d->name);
		to += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int dest_sync_part(struct dest *d, struct aw_err *err)
{
	/* Its name, too: without it the bytes would be of no use. */
	if (fdatasync(d->fd) < 0 || fsync(d->dir_fd) < 0)
		return fail_io(err, errno, "write", d->dir, d->name);
	return 0;
}

int dest_sync(struct dest *d, struct aw_err *err)
{
	/* A file system without modes (FAT, say) is no reason to throw a download away. */
	if (!(d->flags & DEST_PRIVATE) && fchmod(d->fd, 0644) < 0 && errno != EPERM &&
	    errno != EOPNOTSUPP)
		return fail_io(err, errno, "set the mode of", d->dir, d->part);
	if (fsync(d->fd) < 0)
		return fail_io(err, errno, "write", d->dir, d->name);
	return 0;
}

/* A name that is taken must stay as it is, also when it was taken a moment ago.  0 or -errno. */
static int rename_no_replace(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* NFS and others do not know the flag; a link never replaces either. */
	if (linkat(dir_fd, from, dir_fd, to, 0) < 0)
		return -errno;
	unlinkat(dir_fd, from, 0);
	return 0;
}

static int take_final_name(const struct dest *d, struct aw_err *err)
{
	int r;

	if (d->flags & DEST_OVERWRITE)
		r = renameat(d->dir_fd, d->part, d->dir_fd, d->name) < 0 ? -errno : 0;
	else
		r = rename_no_replace(d->dir_fd, d->part, d->name);
	if (r == -EEXIST)
		return aw_fail(err, AW_IO,
			       "%s/%s appeared while the download ran and was left alone: "
			       "remove it, or set \"overwrite\" to true "
			       "(awaitctl: --overwrite)",
			       d->dir, d->name);
	if (r < 0)
		return fail_io(err, -r, "rename the finished download to", d->dir, d->name);
	return 0;
}

int dest_publish(struct dest *d, struct aw_err *err)
{
	int r = d->part ? take_final_name(d, err) : 0;

	if (r < 0)
		return r;
	if (fsync(d->dir_fd) < 0)
		return fail_io(err, errno, "bring to disk", d->dir, d->name);
	close_all(d);
	return 0;
}

void dest_keep(struct dest *d)
{
	close_all(d);
}

void dest_discard(struct dest *d)
{
	const char *growing = d->part ? d->part : d->name;

	if (d->fd >= 0)
		unlinkat(d->dir_fd, growing, 0);
	close_all(d);
}

/* ---- what was left ---- */

/* A handle in its parts, and the folder, opened. */
struct left {
	int dir_fd;		    /* owns; -1 = none of ours is there */
	char *root, *folder, *part; /* own */
	char *file;		    /* owns; "" = the final name is not to be taken back */
	char *name;		    /* owns */
};

/* Up to "//" or the end; moves @at behind it. */
static char *take_field(const char **at)
{
	const char *sep = strstr(*at, "//");
	char *field = sep ? xstrndup(*at, (size_t)(sep - *at)) : xstrdup(*at);

	*at = sep ? sep + 2 : *at + strlen(*at);
	return field;
}

static void left_open(struct left *l, const char *handle)
{
	struct aw_err err = { .code = AW_OK };
	char *slash;

	l->root = take_field(&handle);
	l->folder = take_field(&handle);
	l->file = take_field(&handle);
	l->name = take_field(&handle);
	slash = strrchr(l->folder, '/');
	l->part = xstrdup(slash ? slash + 1 : l->folder);
	*(slash ? slash : l->folder) = '\0';
	l->dir_fd = *l->part ? open_folder(l->root, l->folder, &err) : -1;
	aw_err_fini(&err);
}

static void left_close(struct left *l)
{
	if (l->dir_fd >= 0)
		close(l->dir_fd);
	free(l->root);
	free(l->folder);
	free(l->part);
	free(l->file);
	free(l->name);
}

static bool has_final_name(const struct left *l)
{
	int fd = openat(l->dir_fd, l->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_free char *file = NULL;
	struct stat st;
	bool is_it;

	if (fd < 0)
		return false;
	file = identify(fd);
	is_it = fstat(fd, &st) == 0 && is_own_file(&st) && strcmp(file, l->file) == 0;
	close(fd);
	return is_it;
}

/* Should that fail, the next attempt says that the name is taken. */
static void take_back(const struct left *l)
{
	if (*l->file && has_final_name(l))
		(void)rename_no_replace(l->dir_fd, l->name, l->part);
}

void dest_take_back(const char *handle)
{
	struct left l;

	left_open(&l, handle);
	if (l.dir_fd >= 0)
		take_back(&l);
	left_close(&l);
}

void dest_remove_leftover(const char *handle)
{
	struct left l;

	left_open(&l, handle);
	if (l.dir_fd >= 0) {
		take_back(&l);
		/* To the disk: once its job's end is stored nobody looks for it any more. */
		if (remove_stale_part(l.dir_fd, l.part) == 0)
			(void)fsync(l.dir_fd);
	}
	left_close(&l);
}
