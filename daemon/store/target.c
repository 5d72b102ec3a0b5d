/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/xalloc.h"

int target_open(const char *path)
{
	int fd;

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int target_make(const char *path)
{
	int fd = target_open(path);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

/* A name that is taken must stay as it is, also when it was taken a moment ago. */
static int rename_no_replace(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* NFS and others do not know the flag; a link never replaces either. */
	if (link(from, to) < 0)
		return -errno;
	unlink(from);
	return 0;
}

int target_publish(const char *part, const char *path, bool overwrite)
{
	cleanup_free char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	int r = sync_path(part, 0);

	if (r == 0 && overwrite)
		r = rename(part, path) < 0 ? -errno : 0;
	else if (r == 0)
		r = rename_no_replace(part, path);
	return r == 0 ? sync_path(dir, O_DIRECTORY) : r;
}
