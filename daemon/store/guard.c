/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/store/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/store_int.h"
#include "proto/xalloc.h"

/* Where locks or syncs are somebody else's business (linux/magic.h has only some of these). */
static const struct {
	uint32_t magic;
	const char *name;
} unsafe_fs[] = {
	{ 0x6969, "NFS" },	{ 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },
	{ 0x517b, "SMB" },	{ 0x01021997, "9p" },	{ 0x65735546, "FUSE" },
	{ 0x5346414f, "AFS" },	{ 0x6b414653, "AFS" },	{ 0x00c36400, "Ceph" },
	{ 0x73757245, "Coda" },
};

#define HEADER_BYTES 100
#define HEADER_AT_APPLICATION_ID 68
static const char header_magic[16] = "SQLite format 3";

/* ---- the directory ---- */

/* mkdir -p, 0700. */
static int make_dirs(const char *path)
{
	cleanup_free char *copy = xstrdup(path);

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (c == '\0')
			return 0;
	}
}

static int check_fs(int fd, const char *dir, struct aw_err *err)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0) {
		aw_fail(err, AW_IO, "cannot look at the file system of %s: %m", dir);
		return EX_IOERR;
	}
	for (size_t i = 0; i < sizeof(unsafe_fs) / sizeof(unsafe_fs[0]); i++) {
		if ((uint32_t)fs.f_type != unsafe_fs[i].magic)
			continue;
		aw_fail(err, AW_IO,
			"the state directory %s is on %s, where jobs may be lost; use a local file "
			"system, or set allow_unsafe_fs=true",
			dir, unsafe_fs[i].name);
		return EX_CONFIG;
	}
	return 0;
}

/* Other people have no business in it; it may have been made by hand with the usual mode. */
static int close_to_others(int fd, const char *dir, struct aw_err *err)
{
	struct stat st;

	if (fstat(fd, &st) == 0 &&
	    ((st.st_mode & 07777) == 0700 || st.st_uid != geteuid() || fchmod(fd, 0700) == 0))
		return 0;
	aw_fail(err, AW_IO, "cannot make the state directory %s private: %m", dir);
	return 1;
}

static int lock_dir(int fd, const char *dir, struct aw_err *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK) {
		aw_fail(err, AW_IO, "another awaitd uses this state directory (%s)", dir);
		return EX_TEMPFAIL;
	}
	aw_fail(err, AW_IO, "cannot lock the state directory %s: %m", dir);
	return EX_IOERR;
}

int guard_dir(const char *state_dir, bool may_make, bool allow_unsafe_fs, char **ret_dir,
	      int *ret_lock_fd, struct aw_err *err)
{
	cleanup_free char *dir = NULL;
	int r = may_make ? make_dirs(state_dir) : 0;
	int fd;

	/* SQLite is to follow no symbolic link, so the path must have none. */
	if (r == 0)
		dir = realpath(state_dir, NULL);
	fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0) {
		if (r < 0)
			errno = -r;
		aw_fail(err, AW_IO, "cannot use %s as the state directory: %m", state_dir);
		return 1;
	}
	r = allow_unsafe_fs ? 0 : check_fs(fd, dir, err);
	if (r == 0 && may_make)
		r = close_to_others(fd, dir, err);
	if (r == 0)
		r = lock_dir(fd, dir, err);
	if (r != 0) {
		close(fd);
		return r;
	}
	*ret_dir = dir;
	dir = NULL;
	*ret_lock_fd = fd;
	return 0;
}

/* ---- the file ---- */

/* A name beside a missing database that shows that there was one: they are made after it. */
static bool is_trace(const char *name)
{
	if (strcmp(name, "alive") == 0 || strcmp(name, "output") == 0)
		return true;
	return strncmp(name, STORE_FILE, strlen(STORE_FILE)) == 0 &&
	       strncmp(name, STORE_FILE_NEW, strlen(STORE_FILE_NEW)) != 0;
}

static int find_trace(const char *dir, char **ret)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return -errno;
	while (!*ret && (e = readdir(d)))
		if (is_trace(e->d_name))
			*ret = xstrdup(e->d_name);
	closedir(d);
	return 0;
}

static int refuse_traces(const char *dir, const char *path, struct aw_err *err)
{
	cleanup_free char *trace = NULL;
	int r = find_trace(dir, &trace);

	if (r < 0) {
		errno = -r;
		aw_fail(err, AW_IO, "cannot read the state directory %s: %m", dir);
		return EX_IOERR;
	}
	if (!trace)
		return 0;
	aw_fail(err, AW_DAMAGED,
		"%s is missing, but %s is there: put the database back, or start once with --init "
		"to begin without any job",
		path, trace);
	return EX_DATAERR;
}

/* A log of another database would be replayed into the new one and ruin it. */
static int move_logs_away(const char *path, struct aw_err *err)
{
	static const char *const suffixes[] = { "-wal", "-journal" };

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		cleanup_free char *from = xasprintf("%s%s", path, suffixes[i]);
		cleanup_free char *to = xasprintf("%s.orphan", from);

		if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0 ||
		    errno == ENOENT)
			continue;
		aw_fail(err, AW_IO, "cannot move %s out of the way to %s: %m", from, to);
		return EX_IOERR;
	}
	return 0;
}

int guard_file(const char *dir, const char *path, bool is_init, bool *ret_exists,
	       struct aw_err *err)
{
	struct stat st;

	/* Never open it here: closing would drop the locks that SQLite holds on it (R1.13). */
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT) {
			aw_fail(err, AW_IO, "cannot look at %s: %m", path);
			return EX_IOERR;
		}
		*ret_exists = false;
		return is_init ? move_logs_away(path, err) : refuse_traces(dir, path, err);
	}
	if (!S_ISREG(st.st_mode)) {
		aw_fail(err, AW_DAMAGED, "%s is not a regular file", path);
		return EX_DATAERR;
	}
	if (st.st_size == 0) {
		aw_fail(err, AW_DAMAGED,
			"%s is empty, so its jobs are gone: put a copy in its place, or remove it "
			"and start once with --init to begin without any job",
			path);
		return EX_DATAERR;
	}
	*ret_exists = true;
	return 0;
}

int guard_header(sqlite3 *db, const char *path, struct aw_err *err)
{
	unsigned char header[HEADER_BYTES] = { 0 };
	const unsigned char *p = header + HEADER_AT_APPLICATION_ID;
	sqlite3_file *file = NULL;
	uint32_t id;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (rc == SQLITE_OK)
		rc = file->pMethods->xRead(file, header, sizeof(header), 0);
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
		aw_fail(err, AW_IO, "cannot read %s: %s", path, sqlite3_errstr(rc));
		return EX_IOERR;
	}
	id = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	if (memcmp(header, header_magic, sizeof(header_magic)) == 0 && id == SCHEMA_APPLICATION_ID)
		return 0;
	aw_fail(err, AW_DAMAGED,
		"%s is not a database of awaitd, or its beginning is damaged; it was left as it "
		"is: put a sound copy in its place",
		path);
	return EX_DATAERR;
}
